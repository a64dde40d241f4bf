//! What a proven server must agree with: the lock, and what the manifest renders to.

use evidence::Sha256;
use infra::Rendered;
use protocol::server_evidence::{Server, VerifiedServer};

use crate::deployment::Deployment;
use crate::lock::Lock;

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What should hold.
    pub what: String,
    /// Why it does not.
    pub fault: Option<String>,
}

impl Check {
    /// It holds.
    pub fn good(what: impl Into<String>) -> Self {
        Self { what: what.into(), fault: None }
    }

    /// It does not.
    pub fn bad(what: impl Into<String>, fault: impl Into<String>) -> Self {
        Self { what: what.into(), fault: Some(fault.into()) }
    }

    fn equal<T: PartialEq + std::fmt::Display>(what: &str, expected: &T, found: &T) -> Self {
        if expected == found {
            Self::good(what)
        } else {
            Self::bad(what, format!("it is {found}, expected {expected}"))
        }
    }

    /// As a line, with the fault below it.
    #[must_use]
    pub fn text(&self) -> String {
        match &self.fault {
            None => format!("✓ {}\n", self.what),
            Some(fault) => {
                let fault = fault.trim_end().replace('\n', "\n    ");
                format!("✗ {}\n    {fault}\n", self.what)
            }
        }
    }
}

/// Compares a proven server with the manifest and the lock.
#[must_use]
pub fn checks(
    server: &VerifiedServer,
    certificate: Option<Sha256>,
    rendered: &Rendered,
    deployment: &Deployment,
    lock: Option<&Lock>,
) -> Vec<Check> {
    let (server, confirmed): (&Server, _) = match server {
        VerifiedServer::Confirmed(server) => {
            (server, Check::good("a signer has confirmed its store"))
        }
        VerifiedServer::Unconfirmed(server) => (
            server,
            Check::bad("a signer has confirmed its store", "the bundle names no store identity"),
        ),
    };
    let body = server.bundle().body();
    let mut results = vec![
        confirmed,
        Check::equal(
            "its manifest is this one",
            &deployment.manifest.digest(),
            &server.manifest().digest(),
        ),
        Check::equal(
            "it is the measured server",
            &rendered.group.host_data(),
            server.report().host_data(),
        ),
    ];
    let Some(lock) = lock else {
        results.push(Check::bad("there is a lock", "there is none; deploy writes it"));
        return results;
    };
    let identity = server.statement().identity.id();
    results.extend([
        Check::equal("its store is the locked one", &lock.store.identity, &identity),
        Check::equal(
            "the master key is the locked one",
            &format!("{}/{}", lock.master_key.name, lock.master_key.version),
            &body.master_key.id(),
        ),
        Check::equal(
            "the master key's public half is the locked one",
            &lock.master_key.public_key_sha256,
            &body.master_key.public_key.sha256(),
        ),
        match certificate {
            Some(found) => Check::equal(
                "its certificate is the locked one",
                &lock.tls.certificate_sha256,
                &found,
            ),
            None => Check::bad("its certificate is the locked one", "it shows none"),
        },
    ]);
    results
}
