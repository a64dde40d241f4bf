//! JSON over HTTP/1.1 on one connection.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use protocol::attest::{RefusalAnswer, RefusalCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{Address, PATIENCE};

/// An open connection.
#[derive(Debug)]
pub(crate) struct Wire {
    sender: SendRequest<Full<Bytes>>,
    authority: String,
    /// Of a login, for what is asked from now on.
    token: Option<HeaderValue>,
    patience: Duration,
    /// Moves the bytes; ends when this is dropped.
    _driver: JoinSet<()>,
}

impl Wire {
    pub(crate) async fn new(
        stream: TlsStream<TcpStream>,
        address: &Address,
    ) -> Result<Self, hyper::Error> {
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        let mut driver = JoinSet::new();
        // Whoever waits for an answer gets the same error.
        driver.spawn(async move { drop(connection.await) });
        let authority = address.authority();
        Ok(Self { sender, authority, token: None, patience: PATIENCE, _driver: driver })
    }

    pub(crate) fn log_in(&mut self, token: &str, patience: Duration) -> Result<(), CallError> {
        let mut token = HeaderValue::from_str(token).map_err(|_| CallError::Question)?;
        token.set_sensitive(true);
        (self.token, self.patience) = (Some(token), patience);
        Ok(())
    }

    pub(crate) async fn post<Q, A>(&mut self, path: &str, question: &Q) -> Result<A, CallError>
    where
        Q: Serialize + Sync,
        A: DeserializeOwned,
    {
        let body = serde_json::to_vec(question).map_err(|_| CallError::Question)?;
        self.call(Method::POST, path, body).await
    }

    pub(crate) async fn get<A: DeserializeOwned>(&mut self, path: &str) -> Result<A, CallError> {
        self.call(Method::GET, path, Vec::new()).await
    }

    async fn call<A: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<A, CallError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.authority.as_str())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body))
            .map_err(|_| CallError::Question)?;
        if let Some(token) = &self.token {
            request.headers_mut().insert("x-vault-token", token.clone());
        }
        let exchange = async {
            self.sender.ready().await.map_err(CallError::Broken)?;
            let response = self.sender.send_request(request).await.map_err(CallError::Broken)?;
            let status = response.status();
            Ok((status, read(response).await?))
        };
        let (status, body) =
            timeout(self.patience, exchange).await.map_err(|_| CallError::TimedOut)??;
        let not_an_answer = || CallError::NotAnAnswer { status: status.as_u16() };
        if status == StatusCode::OK {
            serde_json::from_slice(&body).map_err(|_| not_an_answer())
        } else {
            Err(Refused::read(status, &body).map_or_else(not_an_answer, CallError::Refused))
        }
    }
}

/// The whole body, wiped when dropped: it may hold a token.
async fn read(response: Response<Incoming>) -> Result<Zeroizing<Vec<u8>>, CallError> {
    let body = response.into_body();
    let expected = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if expected > MAX_ANSWER {
        return Err(CallError::TooLarge);
    }
    let mut content = Zeroizing::new(Vec::with_capacity(expected));
    let mut body = Limited::new(body, MAX_ANSWER);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| match error.downcast::<hyper::Error>() {
            Ok(broken) => CallError::Broken(*broken),
            Err(_limit) => CallError::TooLarge,
        })?;
        if let Some(data) = frame.data_ref() {
            content.extend_from_slice(data);
        }
    }
    Ok(content)
}

/// What a refused caller learns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the server refused: {} (request {request_id})", code.code())]
pub struct Refused {
    /// The code.
    pub code: RefusalCode,
    /// Under which the server's audit log holds the reason.
    pub request_id: Uuid,
}

impl Refused {
    /// Only a code that exists, with its own status, and a request id are believed: the rest would
    /// be somebody's text on our terminal.
    fn read(status: StatusCode, body: &[u8]) -> Option<Self> {
        let answer: RefusalAnswer = serde_json::from_slice(body).ok()?;
        let [code] = answer.errors.as_slice() else { return None };
        let code = RefusalCode::parse(code)?;
        let request_id = Uuid::try_parse(&answer.request_id).ok()?;
        (code.status() == status.as_u16()).then_some(Self { code, request_id })
    }
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The server says no.
    #[error(transparent)]
    Refused(Refused),
    /// The connection broke, and its proof with it.
    #[error("the connection to the server broke")]
    Broken(#[source] hyper::Error),
    /// It took too long.
    #[error("no answer of the server in time")]
    TimedOut,
    /// More than is ever needed.
    #[error("an answer of more than {MAX_ANSWER} bytes")]
    TooLarge,
    /// Not JSON of the expected form.
    #[error("status {status} with a body of another form than expected")]
    NotAnAnswer {
        /// The HTTP status.
        status: u16,
    },
    /// The question is no request.
    #[error("the question cannot be sent")]
    Question,
}

/// Two signed documents of the largest size, in JSON.
const MAX_ANSWER: usize = 2 * protocol::jws::MAX_DOCUMENT + (1 << 20);
