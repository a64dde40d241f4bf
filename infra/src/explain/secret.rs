//! Would this evidence get that secret: the verification that a server performs, then the appraisal.

use evidence::{
    Allowed, Binding, DebugPolicy, HclReport, Policy, QuoteNonce, RawEvidence, RawVmEvidence,
    Report, ReportPolicy, TcbFloor, TpmQuote, UserData, VerifiedReport, VerifiedVm, VmBinding,
    VmPolicy,
};
use jiff::Timestamp;
use manifest::{Appraised, Manifest, NoMatch, SecretPath, appraise, appraise_vm};

use super::file::{Container, Machine, Material};
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
    let (sound, appraised) = match material {
        Material::Container(container) => of_container(manifest, container, now),
        Material::Machine(machine) => of_machine(manifest, machine, now),
    };
    let (outcome, why) = match sound {
        Ok(what) => (Outcome::Passes, what),
        Err(why) => (Outcome::Refuses, why),
    };
    let mut steps = vec![Step { name: "evidence", outcome, why: vec![why] }];
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

/// What was verified, or the refusal; and whose evidence it is, if it is sound at all.
type Judged = (Result<String, String>, Option<Result<Appraised, NoMatch>>);

fn of_container(manifest: &Manifest, container: &Container, now: Timestamp) -> Judged {
    let mut policy = manifest.admission_policy();
    let verified = match verify(manifest, &policy, container, now) {
        Ok(verified) => Ok(verified),
        Err(why) => {
            policy.uvm.min_svn = 0;
            lenient(&mut policy.report, &container.report);
            Err((why, verify(manifest, &policy, container, now).ok()))
        }
    };
    judged(verified, passed, |verified| appraise(manifest, verified))
}

fn of_machine(manifest: &Manifest, machine: &Machine, now: Timestamp) -> Judged {
    let mut policy = manifest.vm_admission_policy();
    let verified = match verify_machine(manifest, &policy, machine, now) {
        Ok(verified) => Ok(verified),
        Err(why) => {
            let hcl = HclReport::parse(&machine.hcl_report);
            lenient(&mut policy.report, hcl.as_ref().map_or(&[], |hcl| hcl.report()));
            Err((why, verify_machine(manifest, &policy, machine, now).ok()))
        }
    };
    judged(verified, passed_machine, |verified| appraise_vm(manifest, verified))
}

fn judged<T>(
    verified: Result<T, (String, Option<T>)>,
    passed: impl Fn(&T) -> String,
    appraise: impl Fn(&T) -> Result<Appraised, NoMatch>,
) -> Judged {
    match verified {
        Ok(verified) => (Ok(passed(&verified)), Some(appraise(&verified))),
        Err((why, verified)) => (Err(why), verified.as_ref().map(appraise)),
    }
}

fn verify(
    manifest: &Manifest,
    policy: &Policy,
    container: &Container,
    now: Timestamp,
) -> Result<VerifiedReport, String> {
    let report = Report::parse(&container.report).map_err(|error| error.to_string())?;
    let raw = RawEvidence {
        report: container.report.clone(),
        certificates: container.certificates.clone().ok_or(NO_CERTIFICATES)?,
        uvm_endorsement: container
            .endorsement
            .clone()
            .ok_or("the file has no endorsement of the utility VM")?,
    };
    // Whatever it is bound to: that is another question.
    let binding: &Binding = &report.report_data;
    evidence::verify(policy, &manifest.anchors(), &raw, binding, now)
        .map_err(|refusal| refusal.to_string())
}

fn verify_machine(
    manifest: &Manifest,
    policy: &VmPolicy,
    machine: &Machine,
    now: Timestamp,
) -> Result<VerifiedVm, String> {
    let quote = machine.quote.clone().ok_or("the file has no quote of the machine's TPM")?;
    let certificates = machine.certificates.clone().ok_or(NO_CERTIFICATES)?;
    // Whatever it carries: that is another question.
    let carried = TpmQuote::parse(&quote.message).map_err(|error| error.to_string())?.extra_data;
    let nonce = QuoteNonce::new(carried).map_err(|error| error.to_string())?;
    let raw = RawVmEvidence { hcl_report: machine.hcl_report.clone(), certificates, quote };
    let binding = VmBinding { nonce, user_data: UserData::Any };
    evidence::verify_vm(policy, &manifest.anchors(), &raw, &binding, now)
        .map_err(|refusal| refusal.to_string())
}

/// Asks only for sound evidence of any platform, to say how far it is from each workload.
fn lenient(policy: &mut ReportPolicy, report: &[u8]) {
    let none = TcbFloor { fmc: None, bootloader: 0, tee: 0, snp: 0, microcode: 0 };
    policy.floors = evidence::Product::ALL.into_iter().map(|product| (product, none)).collect();
    policy.debug = DebugPolicy::DangerouslyAllow;
    policy.measurements = Allowed::Any;
    let vmpl = Report::parse(report).ok().and_then(|report| u8::try_from(report.vmpl).ok());
    policy.vmpl = vmpl.unwrap_or(policy.vmpl);
}

fn passed(verified: &VerifiedReport) -> String {
    format!(
        "sound: {}, {}, utility VM {}",
        verified.product(),
        verified.reported_tcb(),
        verified.uvm_svn()
    )
}

fn passed_machine(verified: &VerifiedVm) -> String {
    let hardware = verified.hardware();
    let registers: Vec<String> = verified.pcrs().keys().map(ToString::to_string).collect();
    format!(
        "sound: a virtual machine, {}, {}, quoted registers {}",
        hardware.product(),
        hardware.reported_tcb(),
        registers.join(", ")
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

const NO_CERTIFICATES: &str = "the file has no certificates";
