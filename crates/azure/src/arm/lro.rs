//! Long-running operations. Resource Manager RPC, "Asynchronous API Reference": poll `Azure-AsyncOperation` if the answer
//! has it, else `Location`, else read the resource until its `provisioningState` is final; wait as long as the service
//! says between polls.

use std::time::Duration;

use azure_core::http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::{ArmError, Client};
use crate::call::{Answer, Call};
use crate::wire::{Asked, Got};

/// What the caller wants when the operation is done.
pub(super) enum Then {
    /// The resource, read again if the operation took long.
    Read(Url),
    /// What the operation answers.
    Answer,
    /// Nothing.
    Nothing,
}

impl Client {
    /// Waits until an accepted operation is done.
    pub(super) async fn finish(
        &self,
        call: &Call,
        got: Got,
        then: Then,
    ) -> Result<Value, ArmError> {
        tokio::time::timeout(self.patience, self.wait(call, got, then)).await.unwrap_or_else(|_| {
            Err(ArmError::TimedOut { call: call.clone(), waited: self.patience })
        })
    }

    async fn wait(&self, call: &Call, got: Got, then: Then) -> Result<Value, ArmError> {
        let operation = got.header("azure-asyncoperation").map(str::to_owned);
        let location = got.header("location").map(str::to_owned);
        if let Some(operation) = operation {
            let operation = self.own(call, &operation)?;
            self.poll_status(call, got, operation).await?;
            return match (then, location) {
                (Then::Read(url), _) => self.read(call, url).await,
                (Then::Answer, Some(location)) => self.read(call, self.own(call, &location)?).await,
                (Then::Answer, None) | (Then::Nothing, _) => Ok(Value::Null),
            };
        }
        if let Some(location) = location.filter(|_| got.status == 202) {
            let location = self.own(call, &location)?;
            let done = self.poll_location(call, got, location).await?;
            return match then {
                Then::Read(url) => self.read(call, url).await,
                Then::Answer => value(call, &done),
                Then::Nothing => Ok(Value::Null),
            };
        }
        match then {
            Then::Read(url) => self.poll_resource(call, got, url).await,
            Then::Answer => value(call, &got),
            Then::Nothing => Ok(Value::Null),
        }
    }

    async fn poll_status(&self, call: &Call, first: Got, operation: Url) -> Result<(), ArmError> {
        let mut pace = Pace::new(&first);
        loop {
            pace.wait().await;
            let asked = Asked::new(Method::Get, operation.clone());
            let got = self.wire.send(call, asked).await?;
            let status: RawStatus = got.json(call, "an operation's status")?;
            match status.status.as_str() {
                "Succeeded" => return Ok(()),
                state @ ("Failed" | "Canceled") => {
                    return Err(failed(call, &got, state, status.error));
                }
                // Whatever else it says, it runs on.
                _ => pace.next(&got),
            }
        }
    }

    async fn poll_location(
        &self,
        call: &Call,
        first: Got,
        mut location: Url,
    ) -> Result<Got, ArmError> {
        let mut pace = Pace::new(&first);
        loop {
            pace.wait().await;
            let asked = Asked::new(Method::Get, location.clone());
            let got = self.wire.send(call, asked).await?;
            if got.status != 202 {
                return Ok(got);
            }
            pace.next(&got);
            if let Some(moved) = got.header("location") {
                location = self.own(call, moved)?;
            }
        }
    }

    async fn poll_resource(&self, call: &Call, first: Got, url: Url) -> Result<Value, ArmError> {
        let mut pace = Pace::new(&first);
        let mut got = first;
        loop {
            let resource = value(call, &got)?;
            let state = resource
                .pointer("/properties/provisioningState")
                .and_then(Value::as_str)
                .unwrap_or("Succeeded");
            match state {
                "Failed" | "Canceled" => {
                    let error = resource.pointer("/properties/error").cloned();
                    return Err(failed(call, &got, state, error));
                }
                // The resource providers' words for "not yet"; a word that is not among them is the resource's own.
                "Accepted"
                | "Pending"
                | "Creating"
                | "Updating"
                | "Deleting"
                | "Provisioning"
                | "ProvisioningAccount"
                | "RegisteringDns"
                | "ResolvingDNS" => {}
                _ => return Ok(resource),
            }
            pace.wait().await;
            got = self.wire.send(call, Asked::new(Method::Get, url.clone())).await?;
            pace.next(&got);
        }
    }

    async fn read(&self, call: &Call, url: Url) -> Result<Value, ArmError> {
        let got = self.wire.send(call, Asked::new(Method::Get, url)).await?;
        value(call, &got)
    }
}

fn value(call: &Call, got: &Got) -> Result<Value, ArmError> {
    if got.body.is_empty() { Ok(Value::Null) } else { Ok(got.json(call, "JSON")?) }
}

/// The refusal that an operation ends in has the shape of any other, one level down.
fn failed(call: &Call, got: &Got, state: &str, error: Option<Value>) -> ArmError {
    let error = error
        .filter(Value::is_object)
        .unwrap_or_else(|| json!({ "code": state, "message": "no reason given" }));
    ArmError::Failed(Answer::parse(
        call.clone(),
        got.status,
        None,
        got.header("x-ms-request-id"),
        json!({ "error": error }).to_string().as_bytes(),
    ))
}

#[derive(Deserialize)]
struct RawStatus {
    status: String,
    error: Option<Value>,
}

/// How long to wait before the next poll.
struct Pace {
    own: Duration,
    said: Option<Duration>,
}

impl Pace {
    fn new(got: &Got) -> Self {
        Self { own: FIRST, said: retry_after(got) }
    }

    fn next(&mut self, got: &Got) {
        self.own = (self.own * 3 / 2).min(LONGEST);
        self.said = retry_after(got);
    }

    async fn wait(&self) {
        tokio::time::sleep(self.said.unwrap_or(self.own)).await;
    }
}

/// `retry-after-ms`, else `Retry-After` in seconds (RFC 9110 section 10.2.3); bounded, so that nobody puts us to sleep.
fn retry_after(got: &Got) -> Option<Duration> {
    let number = |name| got.header(name).and_then(|text| text.trim().parse().ok());
    number("retry-after-ms")
        .or_else(|| number("x-ms-retry-after-ms"))
        .map(Duration::from_millis)
        .or_else(|| number("retry-after").map(Duration::from_secs))
        .map(|pause| pause.min(BOUND))
}

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(15);
const BOUND: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    fn got(headers: &[(&'static str, &'static str)]) -> Got {
        let mut map = azure_core::http::headers::Headers::new();
        for (name, value) in headers {
            map.insert(*name, *value);
        }
        Got {
            status: 202,
            headers: map,
            body: azure_core::http::response::ResponseBody::from_bytes(""),
        }
    }

    #[test]
    fn honours_what_the_service_says_within_bounds() {
        let cases = [
            (vec![], None),
            (vec![("retry-after", "17")], Some(17_000)),
            (vec![("retry-after", "17"), ("retry-after-ms", "5")], Some(5)),
            (vec![("retry-after", "99999999999")], Some(120_000)),
            (vec![("retry-after", "soon")], None),
        ];
        for (headers, expected) in cases {
            let said = retry_after(&got(&headers));
            assert_eq!(said, expected.map(Duration::from_millis), "{headers:?}");
        }
    }
}
