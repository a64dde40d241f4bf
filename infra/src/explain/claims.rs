//! What a token would say of evidence.
//!
//! Names and types are those of "Azure Attestation claim sets" and of recorded tokens: integers are the components of the
//! reported TCB, hex is lower case, and the compliance status comes from the endorsement of the utility VM.

use evidence::{
    Anchors, HclReport, HclReportKind, Product, Report, RuntimeClaims, Tcb, UvmPolicy,
    verify_endorsement, verify_hardware,
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::file::{Container, Machine, Material};
use super::{Outcome, Step};

/// What is known of a server: a token's claims, or those that a token of its evidence would have.
#[derive(Debug, Clone, PartialEq)]
pub struct Subject {
    /// The claims.
    pub claims: Map<String, Value>,
    /// Where they come from.
    pub origin: Origin,
    /// Of a virtual machine, the claims that a token for its own kind of evidence would have besides.
    pub guest: Option<Map<String, Value>>,
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
        Self { claims, origin: Origin::Token, guest: None, steps: Vec::new() }
    }

    /// The claims that the service would make of evidence under these roots.
    #[must_use]
    pub fn of_evidence(material: &Material, anchors: &Anchors, now: Timestamp) -> Self {
        match material {
            Material::Container(container) => Self::of_container(container, anchors, now),
            Material::Machine(machine) => Self::of_machine(machine, anchors, now),
        }
    }

    fn of_container(container: &Container, anchors: &Anchors, now: Timestamp) -> Self {
        let certificates = container.certificates.as_deref();
        let (hardware, claims) = hardware(&container.report, certificates, anchors, now);
        let endorsement = endorsement(container, anchors);
        let mut claims = claims.unwrap_or_default();
        if endorsement.outcome == Outcome::Passes {
            claims.insert("x-ms-compliance-status".to_owned(), json!("azure-compliant-uvm"));
        }
        let steps = vec![hardware, endorsement];
        Self { claims, origin: Origin::Evidence, guest: None, steps }
    }

    /// The paravisor's report can go to the service as any report can ("POST /attest/SevSnpVm"); a virtual machine's whole
    /// evidence goes to "POST /attest/AzureGuest", and the silicon's claims are one level down in that token.
    fn of_machine(machine: &Machine, anchors: &Anchors, now: Timestamp) -> Self {
        let certificates = machine.certificates.as_deref();
        let hcl = HclReport::parse(&machine.hcl_report);
        let (hardware, claims, about) = match &hcl {
            Err(error) => (step(HARDWARE, Outcome::Refuses, error.to_string()), None, None),
            Ok(hcl) if hcl.kind() != HclReportKind::Snp => {
                let why = format!("the paravisor has a report of {}, not of SEV-SNP", hcl.kind());
                (step(HARDWARE, Outcome::Refuses, why), None, None)
            }
            Ok(hcl) => {
                let (step, claims) = hardware(hcl.report(), certificates, anchors, now);
                (step, claims, hcl.claims().ok())
            }
        };
        let endorsement = step(
            ENDORSEMENT,
            Outcome::Unseen,
            "nobody endorses a virtual machine, so no token says `azure-compliant-uvm`",
        );
        let claims = claims.unwrap_or_default();
        let guest = Some(guest(&claims, about.as_ref()));
        Self { claims, origin: Origin::Evidence, guest, steps: vec![hardware, endorsement] }
    }
}

/// What a token of a virtual machine says, of which the policies of a deployment could ask.
fn guest(silicon: &Map<String, Value>, about: Option<&RuntimeClaims>) -> Map<String, Value> {
    let mut tee = silicon.clone();
    tee.insert("x-ms-compliance-status".to_owned(), json!("azure-compliant-cvm"));
    let mut claims = Map::new();
    claims.insert("x-ms-ver".to_owned(), json!("1.0"));
    claims.insert("x-ms-attestation-type".to_owned(), json!("azurevm"));
    claims.insert("x-ms-isolation-tee".to_owned(), Value::Object(tee));
    if let Some(on) = about.and_then(RuntimeClaims::secure_boot) {
        claims.insert("secureboot".to_owned(), json!(on));
    }
    if let Some(id) = about.and_then(RuntimeClaims::vm_id) {
        claims.insert("x-ms-azurevm-vmid".to_owned(), json!(id));
    }
    claims
}

fn step(name: &'static str, outcome: Outcome, why: impl Into<String>) -> Step {
    Step { name, outcome, why: vec![why.into()] }
}

fn hardware(
    report: &[u8],
    certificates: Option<&str>,
    anchors: &Anchors,
    now: Timestamp,
) -> (Step, Option<Map<String, Value>>) {
    let Some(certificates) = certificates else {
        let why = "the file has no certificates, so the report is believed as it is";
        return match Report::parse(report) {
            Err(error) => (step(HARDWARE, Outcome::Refuses, error.to_string()), None),
            Ok(report) => match report.product() {
                None => {
                    let why = "without certificates, a report of this version does not say of which product it is";
                    (step(HARDWARE, Outcome::Refuses, why), None)
                }
                Some(product) => {
                    let tcb = report.reported_tcb.decode(product);
                    (step(HARDWARE, Outcome::Unseen, why), Some(claims(&report, tcb)))
                }
            },
        };
    };
    match verify_hardware(anchors, report, certificates, now) {
        Ok(hardware) => {
            let why = format!("{} signed the report", shown(hardware.product()));
            let claims = claims(hardware.report(), hardware.reported_tcb());
            (step(HARDWARE, Outcome::Passes, why), Some(claims))
        }
        Err(refusal) => {
            // Most of what follows can be said of an unverified report, too.
            let report = Report::parse(report).ok();
            let known = report.and_then(|report| {
                let tcb = report.reported_tcb.decode(report.product()?);
                Some(claims(&report, tcb))
            });
            (step(HARDWARE, Outcome::Refuses, refusal.to_string()), known)
        }
    }
}

fn shown(product: Product) -> String {
    format!("a processor of the product {product}")
}

fn endorsement(container: &Container, anchors: &Anchors) -> Step {
    let Some(message) = &container.endorsement else {
        return step(
            ENDORSEMENT,
            Outcome::Unseen,
            "the file has none, so no token says `x-ms-compliance-status`",
        );
    };
    let Ok(report) = Report::parse(&container.report) else {
        return step(ENDORSEMENT, Outcome::Unseen, "there is no report that it could be for");
    };
    let policy = UvmPolicy::container_platform(0);
    match verify_endorsement(&policy, anchors, message, &report.measurement) {
        Ok(endorsement) => {
            let why = format!("the utility VM is endorsed, security version {}", endorsement.svn());
            step(ENDORSEMENT, Outcome::Passes, why)
        }
        Err(refusal) => step(ENDORSEMENT, Outcome::Refuses, refusal.to_string()),
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

const HARDWARE: &str = "hardware";
const ENDORSEMENT: &str = "endorsement";
