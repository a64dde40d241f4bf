//! A request as handlers see it: bounded, its path in segments, its body wiped when dropped.

use std::time::Duration;

use bytes::Buf;
use futures::{Stream, StreamExt as _};
use http::{HeaderMap, Method};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::connection::Peer;
use super::refusal::Refusal;

/// A request without its body.
pub(crate) struct Head {
    pub(crate) peer: Peer,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
}

/// A whole request.
pub(crate) struct Request {
    pub(crate) head: Head,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

/// What the caller wants done, as Vault maps methods to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Read,
    List,
    Write,
    Patch,
    Delete,
    Other,
}

impl Head {
    /// What is wanted.
    pub(crate) fn verb(&self) -> Verb {
        match self.method.as_str() {
            "GET" if self.parameter("list").as_deref() == Some("true") => Verb::List,
            "GET" | "HEAD" => Verb::Read,
            "LIST" => Verb::List,
            "POST" | "PUT" => Verb::Write,
            "PATCH" => Verb::Patch,
            "DELETE" => Verb::Delete,
            _ => Verb::Other,
        }
    }

    /// The path's segments; a slash at the end says nothing.
    pub(crate) fn segments(&self) -> Vec<&str> {
        let path = self.path.strip_prefix('/').unwrap_or(&self.path);
        path.strip_suffix('/').unwrap_or(path).split('/').collect()
    }

    /// A parameter of the query.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    /// A header's text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

impl Request {
    /// Reads the body, in bounded time and size.
    pub(crate) async fn read<B, E>(
        head: Head,
        body: impl Stream<Item = Result<B, E>>,
        most: usize,
    ) -> Result<Self, Refusal>
    where
        B: Buf,
    {
        match tokio::time::timeout(PATIENCE, collect(&head, body, most)).await {
            Ok(body) => Ok(Self { body: body?, head }),
            Err(_) => Err(Refusal::malformed("the body did not come in time")),
        }
    }

    /// The body as JSON; an empty one counts as an object without members.
    pub(crate) fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Refusal> {
        let body: &[u8] = if self.body.is_empty() { b"{}" } else { &self.body };
        // The parser's text may repeat what was sent, so only its place is kept.
        serde_json::from_slice(body).map_err(|fault| {
            Refusal::malformed(format!(
                "the body is not the expected JSON: line {}, column {}",
                fault.line(),
                fault.column()
            ))
        })
    }
}

async fn collect<B: Buf, E>(
    head: &Head,
    body: impl Stream<Item = Result<B, E>>,
    most: usize,
) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let too_large = || Refusal::malformed(format!("the body has more than {most} bytes"));
    let stated = head.header("content-length").and_then(|text| text.parse::<usize>().ok());
    if stated.is_some_and(|stated| stated > most) {
        return Err(too_large());
    }
    // Grown by hand, so that growing leaves no copy behind.
    let mut collected = Zeroizing::new(Vec::with_capacity(stated.unwrap_or(4096)));
    let mut body = std::pin::pin!(body);
    while let Some(part) = body.next().await {
        let mut part = part.map_err(|_| Refusal::malformed("the body broke off"))?;
        if collected.len().saturating_add(part.remaining()) > most {
            return Err(too_large());
        }
        while part.has_remaining() {
            let chunk = part.chunk();
            if collected.capacity() - collected.len() < chunk.len() {
                let room = (collected.len() + chunk.len()).saturating_mul(2);
                let mut larger = Zeroizing::new(Vec::with_capacity(room));
                larger.extend_from_slice(&collected);
                collected = larger;
            }
            collected.extend_from_slice(chunk);
            let length = chunk.len();
            part.advance(length);
        }
    }
    Ok(collected)
}

const PATIENCE: Duration = Duration::from_secs(5);
