//! What a token would say of evidence.
//!
//! Names and types are those of "Azure Attestation claim sets" and of recorded tokens: integers are the components of the
//! reported TCB, hex is lower case, and the compliance status comes from the endorsement of the utility VM.

use evidence::{Anchors, Product, Report, Tcb, UvmPolicy, verify_endorsement, verify_hardware};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::file::Material;
use super::{Outcome, Step};

/// What is known of a server: a token's claims, or those that a token of its evidence would have.
#[derive(Debug, Clone, PartialEq)]
pub struct Subject {
    /// The claims.
    pub claims: Map<String, Value>,
    /// Where they come from.
    pub origin: Origin,
    /// What was verified on the way.
    pub steps: Vec<Step>,
}

/// Where claims come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A token.
    Token,
    /// Evidence, from which the provider of the manifest would make a token.
    Evidence,
}

impl Subject {
    /// The claims of a token.
    #[must_use]
    pub fn of_token(claims: Map<String, Value>) -> Self {
        Self { claims, origin: Origin::Token, steps: Vec::new() }
    }

    /// The claims that the service would make of evidence under these roots.
    #[must_use]
    pub fn of_evidence(material: &Material, anchors: &Anchors, now: Timestamp) -> Self {
        let (hardware, claims) = hardware(material, anchors, now);
        let endorsement = endorsement(material, anchors);
        let mut claims = claims.unwrap_or_default();
        if endorsement.outcome == Outcome::Passes {
            claims.insert("x-ms-compliance-status".to_owned(), json!("azure-compliant-uvm"));
        }
        Self { claims, origin: Origin::Evidence, steps: vec![hardware, endorsement] }
    }
}

fn step(name: &'static str, outcome: Outcome, why: impl Into<String>) -> Step {
    Step { name, outcome, why: vec![why.into()] }
}

fn hardware(
    material: &Material,
    anchors: &Anchors,
    now: Timestamp,
) -> (Step, Option<Map<String, Value>>) {
    const NAME: &str = "hardware";
    let Some(certificates) = &material.certificates else {
        let why = "the file has no certificates, so the report is believed as it is";
        return match Report::parse(&material.report) {
            Err(error) => (step(NAME, Outcome::Refuses, error.to_string()), None),
            Ok(report) => match report.product() {
                None => {
                    let why = "without certificates, a report of this version does not say of which product it is";
                    (step(NAME, Outcome::Refuses, why), None)
                }
                Some(product) => {
                    let tcb = report.reported_tcb.decode(product);
                    (step(NAME, Outcome::Unseen, why), Some(claims(&report, tcb)))
                }
            },
        };
    };
    match verify_hardware(anchors, &material.report, certificates, now) {
        Ok(hardware) => {
            let why = format!("{} signed the report", shown(hardware.product()));
            let claims = claims(hardware.report(), hardware.reported_tcb());
            (step(NAME, Outcome::Passes, why), Some(claims))
        }
        Err(refusal) => {
            // Most of what follows can be said of an unverified report, too.
            let report = Report::parse(&material.report).ok();
            let known = report.and_then(|report| {
                let tcb = report.reported_tcb.decode(report.product()?);
                Some(claims(&report, tcb))
            });
            (step(NAME, Outcome::Refuses, refusal.to_string()), known)
        }
    }
}

fn shown(product: Product) -> String {
    format!("a processor of the product {product}")
}

fn endorsement(material: &Material, anchors: &Anchors) -> Step {
    const NAME: &str = "endorsement";
    let Some(message) = &material.endorsement else {
        return step(
            NAME,
            Outcome::Unseen,
            "the file has none, so no token says `x-ms-compliance-status`",
        );
    };
    let Ok(report) = Report::parse(&material.report) else {
        return step(NAME, Outcome::Unseen, "there is no report that it could be for");
    };
    let policy = UvmPolicy::container_platform(0);
    match verify_endorsement(&policy, anchors, message, &report.measurement) {
        Ok(endorsement) => {
            let why = format!("the utility VM is endorsed, security version {}", endorsement.svn());
            step(NAME, Outcome::Passes, why)
        }
        Err(refusal) => step(NAME, Outcome::Refuses, refusal.to_string()),
    }
}

fn claims(report: &Report, tcb: Tcb) -> Map<String, Value> {
    let mut claims = Map::new();
    let mut put = |name: &str, value: Value| drop(claims.insert(format!("x-ms-{name}"), value));
    put("ver", json!("1.0"));
    put("attestation-type", json!("sevsnpvm"));
    put("sevsnpvm-authorkeydigest", json!(report.author_key_digest.to_string()));
    put("sevsnpvm-bootloader-svn", json!(tcb.bootloader));
    put("sevsnpvm-familyId", json!(report.family_id.to_string()));
    put("sevsnpvm-guestsvn", json!(report.guest_svn));
    put("sevsnpvm-hostdata", json!(report.host_data.to_string()));
    put("sevsnpvm-idkeydigest", json!(report.id_key_digest.to_string()));
    put("sevsnpvm-imageId", json!(report.image_id.to_string()));
    put("sevsnpvm-is-debuggable", json!(report.policy.allows_debug()));
    put("sevsnpvm-launchmeasurement", json!(report.measurement.to_string()));
    put("sevsnpvm-microcode-svn", json!(tcb.microcode));
    put("sevsnpvm-migration-allowed", json!(report.policy.allows_migration()));
    put("sevsnpvm-reportdata", json!(report.report_data.to_string()));
    put("sevsnpvm-reportid", json!(report.report_id.to_string()));
    put("sevsnpvm-smt-allowed", json!(report.policy.allows_smt()));
    put("sevsnpvm-snpfw-svn", json!(tcb.snp));
    put("sevsnpvm-tee-svn", json!(tcb.tee));
    put("sevsnpvm-vmpl", json!(report.vmpl));
    claims
}
