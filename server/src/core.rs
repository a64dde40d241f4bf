//! What a running server is: its store, the documents in force, and the keys of this boot.
//!
//! Every request holds one [`InForce`] from start to end; a newer bundle or manifest replaces the
//! whole of it. There is one [`Core`] for the life of the process, made by the last step of boot.

use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::signature::EcdsaKeyPair;
use evidence::{RawEvidence, Sha256, Verifier};
use jiff::Timestamp;
use manifest::Manifest;
use object_store::ObjectStore;
use protocol::TrustRoot;
use protocol::attest::Nonce;
use protocol::bundle::{Bundle, Identity};
use protocol::runtime_data::RuntimeData;
use protocol::server_evidence::{EvidenceAnswer, Head, PURPOSE, ServerRefused, Statement};
use store::Store;

use crate::clock::Clock;
use crate::revocation::Lists;
use crate::vault::Vault;

/// The running server.
pub struct Core {
    /// The measured document that makes this server this deployment's.
    pub trust_root: TrustRoot,
    /// Verifies the evidence of workloads, and remembers the keys and endorsements that it has met.
    pub verifier: Verifier,
    /// Everything that is kept.
    pub store: Store,
    /// Where the store's objects and the manifest are.
    pub objects: Arc<dyn ObjectStore>,
    /// Where bundle, anchor and shares are.
    pub vault: Vault,
    /// The store's identity, as documents have it.
    pub identity: Identity,
    /// Time, as far as a host can be believed.
    pub clock: Clock,
    /// The system's randomness.
    pub rng: SystemRandom,
    /// The keys of this boot and the evidence for them.
    pub boot: BootIdentity,
    /// AMD's revocation lists.
    pub revocation: Lists,
    /// The documents in force.
    pub in_force: ArcSwap<InForce>,
}

/// Documents in force, replaced as a whole.
#[derive(Debug)]
pub struct InForce {
    /// The bundle, verified, its serial committed.
    pub bundle: Bundle,
    /// The bundle as it was signed, to be shown.
    pub bundle_text: String,
    /// The manifest, verified, its revision committed.
    pub manifest: Manifest,
    /// SHA-256 of the manifest's signed payload.
    pub manifest_digest: Sha256,
    /// The manifest as it was signed, to be shown.
    pub manifest_text: String,
}

/// What was made for this boot only.
pub struct BootIdentity {
    /// Evidence of this boot, which binds `runtime_data`.
    pub evidence: RawEvidence,
    /// The public halves of the keys of this boot.
    pub runtime_data: RuntimeData,
    /// Signs statements; P-256.
    pub key: EcdsaKeyPair,
}

/// Whether a signer has confirmed the store: what may be answered at all.
#[derive(Clone)]
pub enum Phase {
    /// The bundle names no store yet: only the evidence door answers.
    Unconfirmed(Arc<Core>),
    /// The bundle names this store: everything is served.
    Serving(Arc<Core>),
}

impl Core {
    /// The documents in force now; hold on to it for the whole of a request.
    #[must_use]
    pub fn in_force(&self) -> Arc<InForce> {
        self.in_force.load_full()
    }

    /// Now, as far as a host can be believed.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Randomness for keys, nonces and tokens.
    #[must_use]
    pub fn rng(&self) -> &dyn SecureRandom {
        &self.rng
    }

    /// Proves this server to a client: its nonce, on the connection with this exporter.
    ///
    /// # Errors
    /// The boot key cannot sign.
    pub fn prove(&self, nonce: Nonce, exporter: [u8; 32]) -> Result<EvidenceAnswer, ServerRefused> {
        let in_force = self.in_force();
        let head = self.store.head();
        let statement = Statement {
            version: 1,
            purpose: PURPOSE.to_owned(),
            nonce,
            exporter,
            identity: self.identity.clone(),
            head: Head { n: head.n, hash: Sha256::new(*head.hash.as_bytes()) },
            revision: in_force.manifest.deployment().revision,
            manifest_sha256: in_force.manifest_digest,
            serial: in_force.bundle.body().serial,
        };
        let signature = statement.sign(&self.boot.key, &self.rng)?;
        Ok(EvidenceAnswer {
            version: 1,
            evidence: self.boot.evidence.clone(),
            runtime_data: self.boot.runtime_data.bytes().to_vec(),
            bundle: in_force.bundle_text.clone(),
            manifest: in_force.manifest_text.clone(),
            statement,
            signature,
        })
    }
}
