//! The policy of the attestation provider for SEV-SNP: which evidence gets a token at all.
//!
//! One permit for each permitted HOST_DATA (and launch measurement, where the manifest names some), each with all the
//! conditions, so that no permit depends on another rule; debugging is denied once more, since a deny wins.
//! Claims do not name the processor's product, so a floor is the least of each component over the permitted products;
//! each product's own floor, and the security version of the utility VM, which is no claim, are checked by our own
//! verifiers. Version 1.0 of the language, because what claims a policy may issue is documented for a later one only.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use evidence::{DebugPolicy, HostData, TcbFloor};
use maa::policy::{PolicyHash, parse, policy_hash};
use manifest::{Manifest, ServerRequirements};

use crate::RenderError;

/// The policy's text, which is what is set, signed and hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestationPolicy {
    text: String,
    hash: PolicyHash,
}

impl AttestationPolicy {
    /// The policy that permits exactly these values.
    pub(crate) fn new(
        manifest: &Manifest,
        permitted: &BTreeSet<HostData>,
    ) -> Result<Self, RenderError> {
        let required = &manifest.attestation().server;
        let mut text = "version=1.0;\nauthorizationrules {\n".to_owned();
        if required.debug == DebugPolicy::Refuse {
            text.push_str("[type==\"x-ms-sevsnpvm-is-debuggable\", value==true] => deny();\n");
        }
        let measurements: Vec<Option<String>> = match required.launch_measurements.is_empty() {
            true => vec![None],
            false => required.launch_measurements.iter().map(|m| Some(m.to_string())).collect(),
        };
        for host_data in permitted {
            for measurement in &measurements {
                let mut conditions = conditions(required);
                conditions.push(equals("hostdata", &format!("\"{host_data}\"")));
                if let Some(measurement) = measurement {
                    conditions.push(equals("launchmeasurement", &format!("\"{measurement}\"")));
                }
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{} => permit();", conditions.join(" && "));
            }
        }
        text.push_str("};\nissuancerules {\n};\n");
        let text = parse(&text).map_err(RenderError::AttestationPolicy)?.to_string();
        let hash = policy_hash(&text);
        Ok(Self { text, hash })
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What tokens carry in `x-ms-policy-hash`.
    #[must_use]
    pub fn hash(&self) -> &PolicyHash {
        &self.hash
    }
}

/// What is the same for every permitted value.
fn conditions(required: &ServerRequirements) -> Vec<String> {
    let mut out = vec![
        "[type==\"x-ms-attestation-type\", value==\"sevsnpvm\"]".to_owned(),
        format!("[type==\"x-ms-compliance-status\", value==\"{}\"]", required.compliance),
    ];
    if required.debug == DebugPolicy::Refuse {
        out.push(equals("is-debuggable", "false"));
    }
    out.push(equals("migration-allowed", "false"));
    out.push(equals("vmpl", &required.vmpl.to_string()));
    let least = |component: fn(&TcbFloor) -> u8| {
        // A manifest has a floor for at least one product.
        required.tcb.values().map(component).min().unwrap_or(u8::MAX)
    };
    let floors = [
        ("bootloader-svn", least(|floor| floor.bootloader)),
        ("tee-svn", least(|floor| floor.tee)),
        ("snpfw-svn", least(|floor| floor.snp)),
        ("microcode-svn", least(|floor| floor.microcode)),
    ];
    out.extend(
        floors.map(|(claim, floor)| format!("[type==\"x-ms-sevsnpvm-{claim}\", value>={floor}]")),
    );
    out
}

fn equals(claim: &str, value: &str) -> String {
    format!("[type==\"x-ms-sevsnpvm-{claim}\", value=={value}]")
}
