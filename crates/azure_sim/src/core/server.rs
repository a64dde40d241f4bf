//! The listeners: HTTPS for all hosts, plain HTTP for instance metadata, the CONNECT proxy.
//!
//! HTTP/1.1 only, so that a cut connection means the same to every client. Bodies are bounded; handshakes and headers time out.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::cloud::Cloud;
use super::dispatch::{Cut, Family, dispatch};
use super::http::{MAX_BODY, Query, Request, Response};
use super::{proxy, tls};

/// Where the cloud listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// All HTTPS hosts.
    pub cloud: SocketAddr,
    /// Instance metadata.
    pub imds: SocketAddr,
    /// CONNECT proxy.
    pub proxy: SocketAddr,
}

/// Binds all listeners and serves in the background until [`Cloud::shut_down`].
///
/// # Errors
/// A port is taken, or the TLS configuration is refused.
pub async fn start(cloud: &Arc<Cloud>) -> io::Result<Addresses> {
    let ports = cloud.settings.ports;
    let bind = async |port| TcpListener::bind((cloud.settings.address, port)).await;
    let (https, imds, connect) =
        (bind(ports.cloud).await?, bind(ports.imds).await?, bind(ports.proxy).await?);
    let addresses = Addresses {
        cloud: https.local_addr()?,
        imds: imds.local_addr()?,
        proxy: connect.local_addr()?,
    };
    let acceptor = TlsAcceptor::from(tls::server_config().map_err(io::Error::other)?);

    listen(cloud, https, move |cloud, socket| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(socket)).await
            else {
                return;
            };
            serve(&cloud, stream, Door::Cloud).await;
        }
    });
    listen(
        cloud,
        imds,
        move |cloud, socket| async move { serve(&cloud, socket, Door::Imds).await },
    );
    listen(cloud, connect, move |_, socket| proxy::tunnel(socket, addresses.cloud));
    Ok(addresses)
}

#[derive(Clone, Copy)]
enum Door {
    Cloud,
    Imds,
}

fn listen<F, S>(cloud: &Arc<Cloud>, listener: TcpListener, serve: S)
where
    F: Future<Output = ()> + Send + 'static,
    S: Fn(Arc<Cloud>, TcpStream) -> F + Send + 'static,
{
    let cloud = Arc::clone(cloud);
    tokio::spawn(async move {
        loop {
            let accepted = tokio::select! {
                () = cloud.stopped() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, _)) => {
                    // Without it a fresh connection stalls for 40 ms; a socket that refuses still works.
                    let _ = socket.set_nodelay(true).is_ok();
                    let connection = serve(Arc::clone(&cloud), socket);
                    let cloud = Arc::clone(&cloud);
                    tokio::spawn(async move {
                        tokio::pin!(connection);
                        tokio::select! {
                            () = cloud.stopped() => {}
                            () = &mut connection => return,
                        }
                        // What is being answered may be answered; who is idle is cut off.
                        let _ = tokio::time::timeout(LINGER, connection).await.is_ok();
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    });
}

async fn serve(
    cloud: &Arc<Cloud>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    door: Door,
) {
    let service = service_fn(move |request| {
        let cloud = Arc::clone(cloud);
        async move { answer(&cloud, door, request).await }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(120))
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "connection ended");
    }
}

async fn answer(
    cloud: &Arc<Cloud>,
    door: Door,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Full<Bytes>>, Cut> {
    let (parts, body) = request.into_parts();
    let host = parts
        .uri
        .host()
        .or_else(|| parts.headers.get("host").and_then(|value| value.to_str().ok()))
        .map(|host| host.split(':').next().unwrap_or_default().to_ascii_lowercase())
        .unwrap_or_default();
    let family = match door {
        Door::Imds => Some(Family::Imds),
        Door::Cloud => Family::of(&host),
    };
    let Some(family) = family else {
        return Ok(plain(StatusCode::MISDIRECTED_REQUEST, "this host is not of the local cloud"));
    };
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large or ended early"));
    };
    let raw_query = parts.uri.query().unwrap_or_default().to_owned();
    let head = parts.method == Method::HEAD;
    let request = Request {
        method: parts.method,
        host,
        path: parts.uri.path().to_owned(),
        query: Query::parse(&raw_query),
        raw_query,
        headers: parts.headers,
        body: body.to_bytes(),
        id: uuid::Uuid::new_v4(),
    };
    // A handler runs to its end even if the client goes away, as a service's does.
    let cloud = Arc::clone(cloud);
    let worked = tokio::spawn(async move { dispatch(&cloud, family, request).await }).await;
    match worked {
        Ok(answered) => answered.map(|response| wire(response, head)),
        Err(error) => {
            tracing::error!(%error, "a handler ended abnormally");
            Ok(plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                "a handler of the local cloud ended abnormally",
            ))
        }
    }
}

/// A HEAD answer may state the length of the body that it does not have.
fn wire(response: Response, head: bool) -> hyper::Response<Full<Bytes>> {
    let body = if head { Bytes::new() } else { response.body };
    let mut wire = hyper::Response::new(Full::new(body));
    *wire.status_mut() = response.status;
    *wire.headers_mut() = *response.headers;
    wire
}

fn plain(status: StatusCode, text: &str) -> hyper::Response<Full<Bytes>> {
    wire(Response::bytes(status, "text/plain", text.to_owned()), false)
}

const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a connection outlives the shutdown.
pub const LINGER: Duration = Duration::from_millis(300);
