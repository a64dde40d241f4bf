//! The master key and its release policy: who may have it.
//!
//! The policy names only what the attestation service itself computes: the hash of the policy in force, HOST_DATA, type,
//! compliance and debugging. Whoever replaces the provider's policy changes the hash.

use std::collections::BTreeSet;

use evidence::{DebugPolicy, HostData, Sha256};
use maa::release::ReleasePolicy;
use manifest::{Curve, Manifest};
use serde_json::{Value, json};

use crate::{AttestationPolicy, RenderError};

/// The master key as it is to be created.
#[derive(Debug, Clone)]
pub struct MasterKey {
    name: String,
    curve: Curve,
    release_policy: ReleasePolicy,
    immutable: bool,
}

impl MasterKey {
    /// Its name is the deployment's and the beginning of its release policy's SHA-256: an immutable policy belongs to a
    /// name, so each generation is a key of its own.
    pub(crate) fn new(
        manifest: &Manifest,
        attestation: &AttestationPolicy,
        permitted: &BTreeSet<HostData>,
    ) -> Result<Self, RenderError> {
        let release_policy = release_policy(manifest, attestation, permitted)?;
        let digest = Sha256::of(release_policy.to_string().as_bytes()).to_string();
        let generation = digest.get(..GENERATION_LEN).unwrap_or(&digest);
        Ok(Self {
            name: format!("{}-{generation}", manifest.deployment().name),
            curve: manifest.master_key().curve,
            release_policy,
            immutable: manifest.master_key().immutable,
        })
    }

    /// The key's name in the vault.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its curve.
    #[must_use]
    pub fn curve(&self) -> Curve {
        self.curve
    }

    /// Who may have it.
    #[must_use]
    pub fn release_policy(&self) -> &ReleasePolicy {
        &self.release_policy
    }

    /// Whether that can never be changed.
    #[must_use]
    pub fn immutable(&self) -> bool {
        self.immutable
    }
}

fn release_policy(
    manifest: &Manifest,
    attestation: &AttestationPolicy,
    permitted: &BTreeSet<HostData>,
) -> Result<ReleasePolicy, RenderError> {
    let required = &manifest.attestation().server;
    let equals = |claim: &str, value: &str| json!({ "claim": claim, "equals": value });
    let mut all = vec![
        equals("x-ms-attestation-type", "sevsnpvm"),
        equals("x-ms-compliance-status", required.compliance.as_str()),
        equals("x-ms-policy-hash", attestation.hash().as_str()),
    ];
    if required.debug == DebugPolicy::Refuse {
        // Published policies write Booleans as texts, and a vault compares texts.
        all.push(equals("x-ms-sevsnpvm-is-debuggable", "false"));
    }
    let mut host_data: Vec<Value> = permitted
        .iter()
        .map(|host_data| equals("x-ms-sevsnpvm-hostdata", &host_data.to_string()))
        .collect();
    match (host_data.pop(), host_data.is_empty()) {
        (Some(only), true) => all.push(only),
        (last, _) => {
            host_data.extend(last);
            all.push(json!({ "anyOf": host_data }));
        }
    }
    let policy = json!({
        "version": "1.0.0",
        "anyOf": [{ "authority": manifest.attestation().address.as_str(), "allOf": all }],
    });
    ReleasePolicy::parse(policy.to_string().as_bytes()).map_err(RenderError::ReleasePolicy)
}

/// Hex digits of the release policy's SHA-256 in the key's name.
const GENERATION_LEN: usize = 10;
