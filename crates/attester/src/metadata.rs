//! The host's metadata service: the certificates of the processor that a virtual machine runs on.
//!
//! `GET http://169.254.169.254/metadata/THIM/amd/certification` with `Metadata: true` (Azure, "trusted hardware identity
//! management"). It is the host that answers, in clear; the certificates prove nothing before they are verified. One question
//! of HTTP/1.0, whose answer ends with the connection, needs no library.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::AttesterError;

/// The answer of the service at this address.
pub(super) fn certification(address: SocketAddr) -> Result<Vec<u8>, AttesterError> {
    let answer = ask(address).map_err(AttesterError::Metadata)?;
    let lacks = |what| AttesterError::Answer(what);
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, body) = end
        .and_then(|end| answer.split_at_checked(end.checked_add(4)?))
        .ok_or(lacks("an http header"))?;
    let status = head.split(|byte| *byte == b' ').nth(1);
    if !head.starts_with(b"HTTP/1.") || status != Some(b"200") {
        return Err(lacks("the status 200"));
    }
    Ok(body.to_vec())
}

fn ask(address: SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let question = format!(
        "GET /metadata/THIM/amd/certification HTTP/1.0\r\nHost: {}\r\nMetadata: true\r\n\r\n",
        address.ip()
    );
    stream.write_all(question.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(LARGEST).read_to_end(&mut answer)?;
    Ok(answer)
}

pub(super) const ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(169, 254, 169, 254)), 80);
const PATIENCE: Duration = Duration::from_secs(10);
/// Real ones have about 7 KB.
const LARGEST: u64 = 128 << 10;

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn answered(answer: &'static str) -> (Result<Vec<u8>, AttesterError>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut question = Vec::new();
            while !question.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                question.push(byte[0]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(question).unwrap()
        });
        let result = certification(address);
        (result, thread.join().unwrap())
    }

    #[test]
    fn asks_as_the_service_wants_it() {
        let (body, question) = answered("HTTP/1.1 200 OK\r\nServer: IMDS\r\n\r\n{\"vcekCert\":1}");
        assert_eq!(body.unwrap(), b"{\"vcekCert\":1}");
        assert!(question.starts_with("GET /metadata/THIM/amd/certification HTTP/1.0\r\n"));
        assert!(question.contains("\r\nMetadata: true\r\n"));
    }

    #[test]
    fn refuses_every_other_answer() {
        for answer in
            ["HTTP/1.1 404 Not Found\r\n\r\n{}", "HTTP/1.1 200 OK\r\n", "", "200 200\r\n\r\n{}"]
        {
            assert!(matches!(answered(answer).0, Err(AttesterError::Answer(_))), "{answer}");
        }
    }
}
