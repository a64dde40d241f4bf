//! The policy of the attestation provider for SEV-SNP: which evidence gets a token at all.
//!
//! One permit for each permitted HOST_DATA, product's floor and, where the manifest names some, launch measurement, each
//! with all the conditions, so that no permit depends on another rule; debugging is denied once more, since a deny wins.
//! Claims do not name the processor's product, so a machine must meet the whole floor of one of the permitted products;
//! that it is its own, and the security version of the utility VM, which is no claim, are checked by our own verifiers.
//! So the master key is out of reach of an older utility VM only where the manifest names launch measurements.
//! Version 1.0 of the language, because what claims a policy may issue is documented for a later one only.

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
        // Two products may have the same floor, and no rule is to stand twice.
        let floors: BTreeSet<Floor> = required.tcb.values().map(components).collect();
        for host_data in permitted {
            for measurement in &measurements {
                for floor in &floors {
                    let mut conditions = conditions(required, floor);
                    conditions.push(equals("hostdata", &format!("\"{host_data}\"")));
                    if let Some(measurement) = measurement {
                        conditions.push(equals("launchmeasurement", &format!("\"{measurement}\"")));
                    }
                    // Writing to a string cannot fail.
                    let _ = writeln!(text, "{} => permit();", conditions.join(" && "));
                }
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

/// The least of each component that has a claim, by the claim's name.
type Floor = [(&'static str, u8); 4];

fn components(floor: &TcbFloor) -> Floor {
    [
        ("bootloader-svn", floor.bootloader),
        ("tee-svn", floor.tee),
        ("snpfw-svn", floor.snp),
        ("microcode-svn", floor.microcode),
    ]
}

/// What is the same for every permitted value.
fn conditions(required: &ServerRequirements, floor: &Floor) -> Vec<String> {
    let mut out = vec![
        "[type==\"x-ms-attestation-type\", value==\"sevsnpvm\"]".to_owned(),
        format!("[type==\"x-ms-compliance-status\", value==\"{}\"]", required.compliance),
    ];
    if required.debug == DebugPolicy::Refuse {
        out.push(equals("is-debuggable", "false"));
    }
    out.push(equals("migration-allowed", "false"));
    out.push(equals("vmpl", &required.vmpl.to_string()));
    out.extend(
        floor.map(|(claim, floor)| format!("[type==\"x-ms-sevsnpvm-{claim}\", value>={floor}]")),
    );
    out
}

fn equals(claim: &str, value: &str) -> String {
    format!("[type==\"x-ms-sevsnpvm-{claim}\", value=={value}]")
}
