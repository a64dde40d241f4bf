//! Would this evidence get that secret: the verification that a server performs, then the appraisal.

use std::collections::BTreeMap;

use evidence::{Binding, DebugPolicy, Policy, RawEvidence, Report, TcbFloor, VerifiedReport};
use jiff::Timestamp;
use manifest::{Manifest, NoMatch, SecretPath, appraise};

use super::file::Material;
use super::{Explained, Outcome, Step, Verdict};

/// The manifest has no such secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the manifest has no secret {path}{near}")]
pub struct NoSuchSecret {
    path: String,
    near: String,
}

/// Says whether this evidence would get that secret.
///
/// 1. The evidence is verified under what some workload admits, as a server does.
/// 2. It is appraised: which workload is it?
/// 3. That workload is one of the secret's readers.
///
/// Evidence that fails the first step for its platform only is appraised all the same, to name the nearest workload.
///
/// # Errors
/// There is no such secret.
pub fn secret(
    manifest: &Manifest,
    material: &Material,
    path: &str,
    now: Timestamp,
) -> Result<Explained, NoSuchSecret> {
    let known =
        path.parse::<SecretPath>().ok().and_then(|path| manifest.secret().get_key_value(&path));
    let Some((path, wanted)) = known else {
        let folder = path.rsplit_once('/').map_or(path, |(folder, _)| folder);
        let near = manifest
            .secret()
            .keys()
            .map(SecretPath::as_str)
            .find(|other| other.starts_with(folder));
        let near = near.map(|near| format!("; there is {near}")).unwrap_or_default();
        return Err(NoSuchSecret { path: path.to_owned(), near });
    };
    let policy = manifest.admission_policy();
    let mut steps = Vec::new();
    let verified = match verify(manifest, &policy, material, now) {
        Ok(verified) => {
            steps.push(Step {
                name: "evidence",
                outcome: Outcome::Passes,
                why: vec![passed(&verified)],
            });
            Some(verified)
        }
        Err(why) => {
            steps.push(Step { name: "evidence", outcome: Outcome::Refuses, why: vec![why] });
            verify(manifest, &lenient(policy, &material.report), material, now).ok()
        }
    };
    let appraised = verified.map(|verified| appraise(manifest, &verified));
    match appraised {
        None => {
            let why = vec!["evidence that cannot be verified is no workload's".to_owned()];
            steps.push(Step { name: "workload", outcome: Outcome::Unseen, why });
        }
        Some(Err(no_match)) => {
            steps.push(Step {
                name: "workload",
                outcome: Outcome::Refuses,
                why: nearest(&no_match),
            });
        }
        Some(Ok(appraised)) => {
            let workload = appraised.workload();
            let why = vec![format!("it is the workload {workload}")];
            steps.push(Step { name: "workload", outcome: Outcome::Passes, why });
            let (outcome, why) = match appraised.readable().get(path) {
                Some(field) => (Outcome::Passes, format!("{workload} gets its field {field}")),
                None => {
                    let readers: Vec<&str> =
                        wanted.readers.iter().map(|name| name.as_str()).collect();
                    let readers = readers.join(", ");
                    (Outcome::Refuses, format!("{workload} is none of its readers: {readers}"))
                }
            };
            steps.push(Step { name: "secret", outcome, why: vec![why] });
        }
    }
    let verdict = match steps.iter().all(|step| step.outcome == Outcome::Passes) {
        true => Verdict::Yes,
        false => Verdict::No,
    };
    let notes =
        vec!["freshness was not judged: a server wants evidence for its own challenge".to_owned()];
    Ok(Explained { wanted: format!("the secret {path}"), verdict, steps, notes })
}

fn verify(
    manifest: &Manifest,
    policy: &Policy,
    material: &Material,
    now: Timestamp,
) -> Result<VerifiedReport, String> {
    let report = Report::parse(&material.report).map_err(|error| error.to_string())?;
    let raw = RawEvidence {
        report: material.report.clone(),
        certificates: material.certificates.clone().ok_or("the file has no certificates")?,
        uvm_endorsement: material
            .endorsement
            .clone()
            .ok_or("the file has no endorsement of the utility VM")?,
    };
    // Whatever it is bound to: that is another question.
    let binding: &Binding = &report.report_data;
    evidence::verify(policy, &manifest.anchors(), &raw, binding, now)
        .map_err(|refusal| refusal.to_string())
}

/// A policy that asks for sound evidence of any platform, to say how far it is from each workload.
fn lenient(mut policy: Policy, report: &[u8]) -> Policy {
    let none = TcbFloor { fmc: None, bootloader: 0, tee: 0, snp: 0, microcode: 0 };
    let floors: BTreeMap<_, _> =
        evidence::Product::ALL.into_iter().map(|product| (product, none)).collect();
    let relaxed = Policy::container(floors, 0);
    policy.report.floors = relaxed.report.floors;
    policy.uvm = relaxed.uvm;
    policy.report.debug = DebugPolicy::DangerouslyAllow;
    let vmpl = Report::parse(report).ok().and_then(|report| u8::try_from(report.vmpl).ok());
    policy.report.vmpl = vmpl.unwrap_or(policy.report.vmpl);
    policy
}

fn passed(verified: &VerifiedReport) -> String {
    format!(
        "sound: {}, {}, utility VM {}",
        verified.product(),
        verified.reported_tcb(),
        verified.uvm_svn()
    )
}

/// The nearest workload and every field that differs; or those that fit together.
fn nearest(no_match: &NoMatch) -> Vec<String> {
    let Some(first) = no_match.candidates().first() else {
        return vec!["the manifest names no workload".to_owned()];
    };
    if first.differences.is_empty() {
        return vec![no_match.to_string()];
    }
    let mut lines = vec![format!("it fits no workload; the nearest is {}", first.workload)];
    lines.extend(first.differences.iter().map(|difference| {
        format!(
            "{}: expected {}, found {}",
            difference.field, difference.expected, difference.found
        )
    }));
    lines
}
