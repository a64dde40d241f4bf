//! A server proves itself: evidence of its boot, the bundle and manifest that it runs under, and a
//! statement for this nonce on this TLS connection, signed by the key that the evidence binds.
//!
//! An agent or a provisioner checks all of it with [`verify`] before it believes a single further
//! byte of the connection. The TLS certificate proves nothing here: the statement names the
//! exporter of the connection (RFC 9266), so only the enclave can be at its far end.

use std::collections::BTreeSet;

use aws_lc_rs::rand::SecureRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, UnparsedPublicKey};
use evidence::{Allowed, Anchors, Product, RawEvidence, Sha256, VerifiedReport, inspect};
use jiff::Timestamp;
use manifest::Manifest;
use serde::{Deserialize, Serialize};

use crate::attest::Nonce;
use crate::bundle::{Bundle, BundleError, Identity};
use crate::jws::SignerId;
use crate::runtime_data::{RuntimeData, RuntimeDataError};
use crate::signed_manifest::{ManifestError, SignedManifest};

/// The label of the TLS exporter that the statement names (RFC 9266 §2); no context, 32 bytes.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// The body of `POST /vouchsafe/v1/evidence`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceRequest {
    /// Format; 1.
    pub version: u64,
    /// Fresh, of the client.
    pub nonce: Nonce,
}

/// The server's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceAnswer {
    /// Format; 1.
    pub version: u64,
    /// Evidence of this boot, bound to `runtime_data`.
    pub evidence: RawEvidence,
    /// The keys of this boot: [`RuntimeData`].
    #[serde(with = "crate::b64")]
    pub runtime_data: Vec<u8>,
    /// The bundle in force.
    pub bundle: String,
    /// The manifest in force.
    pub manifest: String,
    /// What the server says of itself.
    pub statement: Statement,
    /// ECDSA P-256 SHA-256 by the boot key over the canonical JSON of `statement`, r ‖ s.
    #[serde(with = "crate::b64")]
    pub signature: Vec<u8>,
}

impl EvidenceAnswer {
    /// The product of the server's processor, as unverified certificates say: which revocation list to ask AMD for.
    #[must_use]
    pub fn claimed_product(&self) -> Option<Product> {
        let views = inspect::certificates(&self.evidence.certificates).ok()?;
        views.into_iter().find_map(|view| view.vek).map(|vek| vek.product)
    }
}

/// What a server says of itself, on one connection, to one nonce.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// Format; 1.
    pub version: u64,
    /// Always [`PURPOSE`].
    pub purpose: String,
    /// The client's.
    pub nonce: Nonce,
    /// The TLS exporter of this connection.
    #[serde(with = "crate::b64")]
    pub exporter: [u8; 32],
    /// The store's identity.
    pub identity: Identity,
    /// The store's last commit.
    pub head: Head,
    /// Revision of the manifest in force.
    pub revision: u64,
    /// SHA-256 of the signed payload of the manifest in force.
    pub manifest_sha256: Sha256,
    /// Serial of the bundle in force.
    pub serial: u64,
}

/// A place in the store's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Number of the commit.
    pub n: u64,
    /// Its hash.
    pub hash: Sha256,
}

/// The purpose in a [`Statement`].
pub const PURPOSE: &str = "vouchsafe-server-evidence";

impl Statement {
    /// Signs the statement with the boot key.
    ///
    /// # Errors
    /// The statement cannot be written, or the key cannot sign.
    pub fn sign(
        &self,
        boot_key: &EcdsaKeyPair,
        rng: &dyn SecureRandom,
    ) -> Result<Vec<u8>, ServerRefused> {
        let text = serde_jcs::to_vec(self).map_err(|_| ServerRefused::Malformed("statement"))?;
        let signature = boot_key.sign(rng, &text).map_err(|_| ServerRefused::Signature)?;
        Ok(signature.as_ref().to_vec())
    }
}

/// What a client knows beforehand.
#[derive(Debug, Clone)]
pub struct Expectation {
    /// The deployment's name.
    pub deployment: String,
    /// Whose signatures count.
    pub signers: BTreeSet<SignerId>,
    /// The roots of the hardware's evidence.
    pub anchors: Anchors,
    /// AMD's revocation lists that are at hand, as DER; the manifest says whether the server's processor needs one.
    pub revocation_lists: Vec<Vec<u8>>,
    /// A manifest of a lower revision is refused.
    pub minimum_revision: u64,
    /// A bundle of a lower serial is refused.
    pub minimum_serial: u64,
}

/// A server that proved itself, by whether a signer has confirmed its store.
#[derive(Debug)]
pub enum VerifiedServer {
    /// The bundle names this store: agents and admin tools go on with such a server only.
    Confirmed(Server),
    /// The bundle names no store yet: only the provisioner of an initial deployment goes on.
    Unconfirmed(Server),
}

impl VerifiedServer {
    /// The server, if a signer has confirmed its store.
    ///
    /// # Errors
    /// The bundle names no store identity.
    pub fn confirmed(self) -> Result<Server, ServerRefused> {
        match self {
            Self::Confirmed(server) => Ok(server),
            Self::Unconfirmed(_) => Err(ServerRefused::Unconfirmed),
        }
    }

    /// The server, whichever.
    #[must_use]
    pub fn into_server(self) -> Server {
        match self {
            Self::Confirmed(server) | Self::Unconfirmed(server) => server,
        }
    }
}

/// What a verified server said; made only by [`verify`].
#[derive(Debug)]
pub struct Server {
    report: VerifiedReport,
    bundle: Bundle,
    manifest: Manifest,
    statement: Statement,
}

impl Server {
    /// The hardware's report.
    #[must_use]
    pub const fn report(&self) -> &VerifiedReport {
        &self.report
    }

    /// The bundle in force.
    #[must_use]
    pub const fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// The manifest in force.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What the server said of itself.
    #[must_use]
    pub const fn statement(&self) -> &Statement {
        &self.statement
    }
}

/// Verifies a server's answer to `nonce` on the connection with this `exporter`.
///
/// In this order:
/// 1. the bundle is signed by a signer, for this deployment, and its serial is not below the minimum;
/// 2. the manifest likewise, and its revision is not below the minimum, nor below the bundle's;
/// 3. the runtime data are a release key and a boot key;
/// 4. the evidence satisfies the manifest's demands on the server under `anchors`, binds the
///    runtime data, its HOST_DATA is one that the bundle permits, and no revocation list that is at hand names its
///    authorities; where the manifest demands a list, there is one in force;
/// 5. the statement is signed by the boot key, for this purpose, nonce and connection;
/// 6. the statement is about the bundle and the manifest that were shown;
/// 7. the store identity in the statement is the bundle's, where the bundle names one.
///
/// # Errors
/// The first that does not hold.
pub fn verify(
    expect: &Expectation,
    answer: &EvidenceAnswer,
    nonce: &Nonce,
    exporter: &[u8; 32],
    now: Timestamp,
) -> Result<VerifiedServer, ServerRefused> {
    if answer.version != 1 {
        return Err(ServerRefused::Malformed("version"));
    }
    let bundle = Bundle::verify(&answer.bundle, &expect.deployment, &expect.signers)?;
    let body = bundle.body();
    at_least("serial of the bundle", body.serial, expect.minimum_serial)?;

    let manifest = SignedManifest::verify(&answer.manifest, &expect.deployment, &expect.signers)?;
    let revision = manifest.manifest().deployment().revision;
    at_least(
        "revision of the manifest",
        revision,
        expect.minimum_revision.max(body.minimum_revision),
    )?;

    let runtime_data = RuntimeData::parse(&answer.runtime_data)?;

    let attestation = manifest.manifest().attestation();
    let mut policy = attestation.server.policy(Allowed::Only(body.host_data.clone()));
    policy.report.revocation = attestation.revocation(expect.revocation_lists.clone());
    let report =
        evidence::verify(&policy, &expect.anchors, &answer.evidence, &runtime_data.binding(), now)?;

    let statement = &answer.statement;
    let text = serde_jcs::to_vec(statement).map_err(|_| ServerRefused::Malformed("statement"))?;
    UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, runtime_data.boot_key().point())
        .verify(&text, &answer.signature)
        .map_err(|_| ServerRefused::Signature)?;
    if statement.version != 1 || statement.purpose != PURPOSE {
        return Err(ServerRefused::Malformed("statement"));
    }
    if statement.nonce != *nonce {
        return Err(ServerRefused::Nonce);
    }
    if statement.exporter != *exporter {
        return Err(ServerRefused::Connection);
    }
    if statement.serial != body.serial
        || statement.revision != revision
        || statement.manifest_sha256 != manifest.digest()
    {
        return Err(ServerRefused::Inconsistent);
    }
    let confirmed = match &body.identity {
        Some(identity) if *identity == statement.identity => true,
        Some(identity) => {
            return Err(ServerRefused::Identity {
                expected: identity.id(),
                found: statement.identity.id(),
            });
        }
        None => false,
    };
    let server =
        Server { report, bundle, manifest: manifest.into_manifest(), statement: statement.clone() };
    Ok(if confirmed {
        VerifiedServer::Confirmed(server)
    } else {
        VerifiedServer::Unconfirmed(server)
    })
}

fn at_least(what: &'static str, found: u64, minimum: u64) -> Result<(), ServerRefused> {
    if found < minimum { Err(ServerRefused::Old { what, found, minimum }) } else { Ok(()) }
}

/// Why a server is not the one that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ServerRefused {
    /// Not of the expected form.
    #[error("malformed {0} in the server's answer")]
    Malformed(&'static str),
    /// The bundle does not hold.
    #[error("the server's bundle")]
    Bundle(#[from] BundleError),
    /// The manifest does not hold.
    #[error("the server's manifest")]
    Manifest(#[from] ManifestError),
    /// Older than what is already known.
    #[error("{what} is {found}, at least {minimum} is required")]
    Old {
        /// What is too old.
        what: &'static str,
        /// What was shown.
        found: u64,
        /// What is required.
        minimum: u64,
    },
    /// The runtime data are not a server's.
    #[error("the server's runtime data")]
    RuntimeData(#[from] RuntimeDataError),
    /// The hardware does not vouch for it.
    #[error("the server's evidence")]
    Evidence(#[from] evidence::Refusal),
    /// The statement is not by the attested boot key.
    #[error("the server's statement is not signed by its attested key")]
    Signature,
    /// An answer to another question.
    #[error("the server answered another nonce")]
    Nonce,
    /// Somebody is between the client and the server.
    #[error("the server is not at the far end of this TLS connection")]
    Connection,
    /// The statement is about other documents than those shown.
    #[error("the server's statement does not fit the documents that it shows")]
    Inconsistent,
    /// Another store than the one that a signer confirmed.
    #[error("the server has the store {found}, the bundle names {expected}")]
    Identity {
        /// The bundle's.
        expected: Sha256,
        /// The server's.
        found: Sha256,
    },
    /// The bundle names no store.
    #[error("no signer has confirmed the server's store yet")]
    Unconfirmed,
}

#[cfg(test)]
mod tests;
