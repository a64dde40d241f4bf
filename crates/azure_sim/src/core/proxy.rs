//! HTTP CONNECT proxy (ours) for clients that cannot be told an address: every host of this cloud leads to the HTTPS listener.
//!
//! Other hosts are refused: a test that leaks to the real Azure must fail, not pass.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::TcpStream;

use super::dispatch::Family;

pub(super) async fn tunnel(mut client: TcpStream, cloud: SocketAddr) {
    let answer = match tokio::time::timeout(Duration::from_secs(10), target(&mut client)).await {
        Ok(Some(host)) if Family::of(&host).is_some() => match TcpStream::connect(cloud).await {
            Ok(mut upstream) => {
                if client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.is_ok() {
                    // Either end may close first.
                    let _ = copy_bidirectional(&mut client, &mut upstream).await.is_ok();
                }
                return;
            }
            Err(_) => "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
        },
        Ok(Some(_)) => "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        Ok(None) | Err(_) => "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    };
    // The client may be gone; there is nobody else to tell.
    let _ = client.write_all(answer.as_bytes()).await.is_ok();
}

/// Reads the request head, at most 8 KiB, and gives the host of `CONNECT host:port`.
async fn target(client: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= 8192 {
            return None;
        }
        head.push(client.read_u8().await.ok()?);
    }
    host_of(&head)
}

fn host_of(head: &[u8]) -> Option<String> {
    let line = std::str::from_utf8(head).ok()?.lines().next()?;
    let mut words = line.split(' ');
    (words.next()? == "CONNECT").then_some(())?;
    let (host, port) = words.next()?.rsplit_once(':')?;
    port.parse::<u16>().ok()?;
    Some(host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_connect_is_understood() {
        let check = |head: &str, expected: Option<&str>| {
            assert_eq!(host_of(head.as_bytes()).as_deref(), expected);
        };
        check(
            "CONNECT V.vault.azure.net:443 HTTP/1.1\r\nHost: x\r\n\r\n",
            Some("v.vault.azure.net"),
        );
        check("CONNECT v.vault.azure.net HTTP/1.1\r\n\r\n", None);
        check("GET http://v/ HTTP/1.1\r\n\r\n", None);
    }
}
