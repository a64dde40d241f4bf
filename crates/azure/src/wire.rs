//! One call over a pipeline of the SDK, for the services that the SDK has no client for.

use std::sync::Arc;

use azure_core::credentials::TokenCredential;
use azure_core::http::headers::{HeaderName, Headers};
use azure_core::http::policies::Policy;
use azure_core::http::policies::auth::BearerTokenAuthorizationPolicy;
use azure_core::http::{
    Body, Context, Method, Pipeline, PipelineSendOptions, RawResponse, Request,
};
use serde::de::DeserializeOwned;
use url::Url;

use crate::call::{Answer, Call, Fault, Malformed};
use crate::endpoints::{Endpoints, Retries};

/// A pipeline: our transport, retries, and a bearer token if there is a credential.
#[derive(Debug, Clone)]
pub(crate) struct Wire(Pipeline);

/// A credential and what its tokens are for.
#[derive(Debug, Clone)]
pub(crate) struct Bearer {
    pub(crate) credential: Arc<dyn TokenCredential>,
    pub(crate) scope: &'static str,
}

impl Wire {
    pub(crate) fn new(endpoints: &Endpoints, retries: Retries, bearer: Option<Bearer>) -> Self {
        let per_try: Vec<Arc<dyn Policy>> = bearer
            .into_iter()
            .map(|bearer| -> Arc<dyn Policy> {
                Arc::new(BearerTokenAuthorizationPolicy::new(bearer.credential, [bearer.scope]))
            })
            .collect();
        Self(Pipeline::new(
            option_env!("CARGO_PKG_NAME"),
            option_env!("CARGO_PKG_VERSION"),
            endpoints.client_options(retries),
            Vec::new(),
            per_try,
            None,
        ))
    }

    /// Sends, and returns the answer if its status is a success.
    pub(crate) async fn send(&self, call: &Call, asked: Asked) -> Result<Got, Fault> {
        let got = self.exchange(call, asked).await?;
        if got.status < 300 { Ok(got) } else { Err(got.refusal(call)) }
    }

    /// Sends, and returns the answer whatever its status.
    pub(crate) async fn exchange(&self, call: &Call, asked: Asked) -> Result<Got, Fault> {
        let mut request = Request::new(asked.url, asked.method);
        for (name, value) in asked.headers {
            request.insert_header(name, value);
        }
        if let Some((kind, body)) = asked.body {
            if !kind.is_empty() {
                request.insert_header("content-type", kind);
            }
            request.set_body(body);
        }
        let options = PipelineSendOptions { skip_checks: true, ..PipelineSendOptions::default() };
        self.0
            .send(&Context::new(), &mut request, Some(options))
            .await
            .map(Got::from)
            .map_err(|error| Fault::from_sdk(call, error))
    }
}

/// A request.
#[derive(Debug)]
pub(crate) struct Asked {
    method: Method,
    url: Url,
    headers: Vec<(&'static str, String)>,
    body: Option<(&'static str, Body)>,
}

impl Asked {
    pub(crate) fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: vec![("accept", "application/json".to_owned())], body: None }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn body(mut self, kind: &'static str, body: impl Into<Body>) -> Self {
        self.body = Some((kind, body.into()));
        self
    }

    /// A body whose type is among the headers, or does not matter.
    pub(crate) fn bytes(mut self, body: bytes::Bytes) -> Self {
        self.body = Some(("", body.into()));
        self
    }

    pub(crate) fn json(self, body: &serde_json::Value) -> Self {
        self.body("application/json", body.to_string())
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: azure_core::http::response::ResponseBody,
}

impl Got {
    /// Reads the body as JSON.
    pub(crate) fn json<T: DeserializeOwned>(
        &self,
        call: &Call,
        expected: &'static str,
    ) -> Result<T, Fault> {
        serde_json::from_slice(&self.body)
            .map_err(|_| Fault::Malformed(Malformed::new(call, expected)))
    }

    pub(crate) fn header(&self, name: &'static str) -> Option<&str> {
        self.headers.get_optional_str(&HeaderName::from_static(name))
    }

    /// The answer as a refusal.
    pub(crate) fn refusal(&self, call: &Call) -> Fault {
        Fault::from_answer(Answer::parse(
            call.clone(),
            self.status,
            self.header("x-ms-error-code"),
            self.headers.get_optional_str(&REQUEST_ID),
            &self.body,
        ))
    }
}

impl From<RawResponse> for Got {
    fn from(raw: RawResponse) -> Self {
        let (status, headers, body) = raw.deconstruct();
        Self { status: u16::from(status), headers, body }
    }
}

/// An address without its query, for errors and logs.
pub(crate) fn place(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.to_string()
}

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
