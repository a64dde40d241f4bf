//! One connection: TLS handshake, then HTTP/1.1 or HTTP/2, both bounded in time and number.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::Watcher;
use hyper_util::service::TowerToHyperService;
use protocol::server_evidence::EXPORTER_LABEL;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::reply::Response;

/// Who is at the far end, and how the connection is told from every other.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// Its address.
    pub(crate) address: SocketAddr,
    /// The exporter of this connection (RFC 9266).
    pub(crate) exporter: [u8; 32],
}

/// The caller's configuration, speaking HTTP and binding channels.
pub(super) fn spoken(tls: &rustls::ServerConfig) -> Arc<rustls::ServerConfig> {
    let mut tls = tls.clone();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Without it the exporter of a TLS 1.2 connection binds nothing (RFC 9266, section 4.2).
    tls.require_ems = true;
    Arc::new(tls)
}

/// Serves a connection until it ends, or until the watcher says to finish.
pub(super) async fn serve<S>(
    socket: TcpStream,
    address: SocketAddr,
    acceptor: TlsAcceptor,
    service: S,
    watcher: Watcher,
) where
    S: tower::Service<http::Request<Incoming>, Response = Response> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    // Without it each fresh connection stalls for 40 ms.
    if socket.set_nodelay(true).is_err() {
        return;
    }
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(socket)).await else {
        return;
    };
    let exported = stream.get_ref().1.export_keying_material([0; 32], EXPORTER_LABEL, None);
    let Ok(exporter) = exported else { return };
    let peer = Peer { address, exporter };
    let (used, uses) = watch::channel(());
    let service = tower::service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        let (mut service, used) = (service.clone(), used.clone());
        async move {
            used.send_replace(());
            let answer = service.call(request).await;
            used.send_replace(());
            answer
        }
    });

    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER)
        .max_buf_size(BUFFER)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADERS)
        .initial_connection_window_size(WINDOW)
        .keep_alive_interval(Some(ALIVE))
        .keep_alive_timeout(ALIVE);
    let connection =
        builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let connection = tokio::time::timeout(LONGEST, watcher.watch(connection.into_owned()));
    tokio::select! {
        // How a connection ends is the client's affair.
        _ = connection => {}
        () = idle(uses, IDLE) => {}
    }
}

/// Until no request began or ended for a while: pings alone hold no connection.
async fn idle(mut uses: watch::Receiver<()>, longest: Duration) {
    while let Ok(Ok(())) = tokio::time::timeout(longest, uses.changed()).await {}
}

const HANDSHAKE: Duration = Duration::from_secs(10);
const HEADER: Duration = Duration::from_secs(30);
const ALIVE: Duration = Duration::from_secs(20);
/// Longer than any request takes.
const IDLE: Duration = Duration::from_secs(60);
/// Clients reconnect; a slot must not be held for ever.
const LONGEST: Duration = Duration::from_secs(3600);
const STREAMS: u32 = 32;
const HEADERS: u32 = 64 << 10;
const BUFFER: usize = 64 << 10;
/// What a connection holds of bodies that nobody reads yet.
const WINDOW: u32 = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_without_requests_ends_and_each_request_prolongs_it() {
        let (used, uses) = watch::channel(());
        let idle = tokio::spawn(idle(uses, Duration::from_secs(1)));
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert!(!idle.is_finished());
            used.send_replace(());
        }
        tokio::time::timeout(Duration::from_secs(10), idle).await.unwrap().unwrap();
    }
}
