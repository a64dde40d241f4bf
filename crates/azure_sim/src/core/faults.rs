//! Faults on request: a script of rules, each of which strikes certain calls, and counters of what was called.
//!
//! Written by the control host, asked by the dispatcher. Ours; real services have no such script.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::dispatch::Family;
use super::http::Request;

/// One rule: which calls, and what happens to them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Family of hosts by [`Family::label`] (`keyvault`, `maa`, `arm`, …); absent means all but the control host.
    #[serde(default)]
    pub family: Option<String>,
    /// Method; absent means all.
    #[serde(default)]
    pub method: Option<String>,
    /// Path pattern in which `*` stands for any run of characters; absent means all.
    #[serde(default)]
    pub path: Option<String>,
    /// The first matching call that is struck, from 1 (the default).
    #[serde(default = "one")]
    pub nth: u64,
    /// How many calls from there on are struck (default 1; 0 means all).
    #[serde(default = "one")]
    pub count: u64,
    /// What happens.
    pub action: Action,
}

/// What happens to a struck call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// 429 with the family's error body, not performed.
    Throttle {
        /// `Retry-After` in seconds; absent means no such header (azure.md C.5, C.7).
        #[serde(default)]
        retry_after: Option<u32>,
        /// `retry-after-ms`, which Azure's clients honour below a second.
        #[serde(default)]
        retry_after_ms: Option<u32>,
    },
    /// That status with an error body, not performed.
    Status {
        /// E.g. 500.
        status: u16,
    },
    /// Waits, then performs.
    Stall {
        /// Milliseconds.
        ms: u64,
    },
    /// Closes the connection, not performed.
    Cut,
    /// Performs, then closes the connection.
    LoseResponse,
    /// Performs, then ends that process (SIGKILL) and closes the connection: a client that dies
    /// just after its call took effect.
    KillClient {
        /// The client's process.
        pid: u32,
    },
    /// Performs, then ends every container's process and closes the connection: a server that dies
    /// just after its call took effect. Restart policies apply.
    KillContainers,
    /// Performs, and before anybody is answered copies a folder while nothing else is served
    /// ([`super::saving`]): what is left if everything dies just after the call took effect.
    Save {
        /// What is copied.
        folder: PathBuf,
        /// Where the copies go.
        into: PathBuf,
    },
}

/// The script and the counters.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    rules: Vec<(Fault, u64)>,
    counts: BTreeMap<String, Count>,
}

/// How often an operation was called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Answered at all.
    pub calls: u64,
    /// Answered with a status below 400.
    pub ok: u64,
}

impl Faults {
    /// Replaces the script; call numbers start anew.
    pub fn set(&self, rules: Vec<Fault>) {
        self.lock().rules = rules.into_iter().map(|rule| (rule, 0)).collect();
    }

    /// Adds one rule.
    pub fn add(&self, rule: Fault) {
        self.lock().rules.push((rule, 0));
    }

    /// The script with the number of matching calls that each rule has seen.
    pub fn script(&self) -> Vec<(Fault, u64)> {
        self.lock().rules.clone()
    }

    /// Which fault strikes this call. Every matching rule counts it; the first that is due strikes.
    pub fn strike(&self, family: &Family, request: &Request) -> Option<Action> {
        let mut struck = None;
        for (rule, seen) in &mut self.lock().rules {
            if !rule.matches(family, request) {
                continue;
            }
            *seen += 1;
            let due = *seen >= rule.nth
                && (rule.count == 0 || *seen < rule.nth.saturating_add(rule.count));
            if due && struck.is_none() {
                struck = Some(rule.action.clone());
            }
        }
        struck
    }

    /// Counts an answered call.
    pub fn count(&self, operation: &str, ok: bool) {
        let mut inner = self.lock();
        let count = inner.counts.entry(operation.to_owned()).or_default();
        count.calls += 1;
        count.ok += u64::from(ok);
    }

    /// All counters.
    pub fn counts(&self) -> BTreeMap<String, Count> {
        self.lock().counts.clone()
    }

    /// Sets all counters to zero.
    pub fn reset_counts(&self) {
        self.lock().counts.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fault {
    fn matches(&self, family: &Family, request: &Request) -> bool {
        let family_fits = match &self.family {
            Some(label) => label == family.label(),
            None => !matches!(family, Family::Control),
        };
        family_fits
            && self
                .method
                .as_ref()
                .is_none_or(|method| method.eq_ignore_ascii_case(request.method.as_str()))
            && self.path.as_ref().is_none_or(|pattern| glob(pattern, &request.path))
    }
}

/// `*` stands for any run of characters, also across `/`; everything else for itself, without case.
pub fn glob(pattern: &str, text: &str) -> bool {
    let pattern = pattern.to_ascii_lowercase();
    let text = text.to_ascii_lowercase();
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut remaining: Vec<&str> = parts.collect();
    let Some(last) = remaining.pop() else { return rest.is_empty() };
    for part in remaining {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

fn one() -> u64 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        let check = |pattern: &str, text: &str, expected: bool| {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        };
        check("/keys/*/release", "/keys/a/b/release", true);
        check("/keys/*/release", "/keys/a/b/sign", false);
        check("/keys", "/keys", true);
        check("/keys", "/keys/x", false);
        check("*", "", true);
        check("/a*a", "/a", false);
        check("*secrets*", "/Secrets/x", true);
    }
}
