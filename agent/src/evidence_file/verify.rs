//! A verification, step by step.

use std::collections::BTreeMap;

use evidence::document::{Document, Parts};
use evidence::inspect::{self, CertificateView};
use evidence::{
    Absence, Anchors, Binding, HclReport, HclReportKind, KeyPolicy, Kind, Policy, Product,
    QuoteNonce, RawEvidence, RawVmEvidence, Refusal, Report, ReportPolicy, Requirement, Revocation,
    Sha256, Step, TcbFloor, TpmQuote, UserData, VerifiedReport, VmBinding, VmPolicy,
};
use jiff::Timestamp;
use manifest::{Manifest, NoMatch};

use super::tree::Node;
use super::{EvidenceFault, PartError, VerifyArguments, document, read};

/// How a verification ended.
pub(super) struct Outcome {
    kind: Kind,
    at: Timestamp,
    /// Steps that could not refuse, and why.
    idle: BTreeMap<Step, &'static str>,
    refusal: Option<Refusal>,
    /// What the manifest says of it, if there is one and the evidence passed.
    appraisal: Option<Result<String, NoMatch>>,
}

/// What verified it.
struct Judge {
    policy: Policy,
    anchors: Anchors,
    manifest: Option<Manifest>,
    now: Timestamp,
    idle: BTreeMap<Step, &'static str>,
}

pub(super) fn run(arguments: VerifyArguments, now: Timestamp) -> Result<Outcome, EvidenceFault> {
    let Document { mut parts, .. } = document(&arguments.file)?;
    complete(&mut parts, &arguments)?;
    let judge = Judge::new(&arguments, arguments.at.unwrap_or(now))?;
    let nonce = match &arguments.nonce {
        Some(text) => Some(
            unhex(text).ok_or(EvidenceFault::Argument { argument: "--nonce", expected: "hex" })?,
        ),
        None => parts.nonce.clone(),
    };
    if let Some(evidence) = parts.virtual_machine() {
        return judge.vm(&evidence, nonce);
    }
    if let Some(evidence) = parts.container() {
        return judge.container(&evidence, parts.runtime_data.as_deref());
    }
    let certificates = || parts.certificates.as_deref().ok_or(EvidenceFault::Lacks("certificates"));
    match (&parts.report, &parts.hcl_report) {
        (Some(report), _) => judge.report(report, certificates()?, parts.runtime_data.as_deref()),
        (None, Some(bytes)) => {
            let hcl = HclReport::parse(bytes).map_err(|error| EvidenceFault::Part {
                part: "the hcl report",
                source: error.into(),
            })?;
            if hcl.kind() != HclReportKind::Snp {
                return Ok(judge.another_technology(hcl.kind()));
            }
            judge.report(hcl.report(), certificates()?, Some(hcl.claims_bytes()))
        }
        (None, None) => Err(EvidenceFault::Lacks("report")),
    }
}

/// Adds what the command names beside the file.
fn complete(parts: &mut Parts, arguments: &VerifyArguments) -> Result<(), EvidenceFault> {
    for file in &arguments.certificates {
        let more = document(file)?.parts.certificates.ok_or(EvidenceFault::Argument {
            argument: "--certificates",
            expected: "a file of certificates",
        })?;
        let text = parts.certificates.get_or_insert_default();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&more);
    }
    if let Some(file) = &arguments.endorsement {
        parts.endorsements = document(file)?.parts.endorsements;
        if parts.endorsements.is_empty() {
            return Err(EvidenceFault::Argument {
                argument: "--endorsement",
                expected: "a file with an endorsement",
            });
        }
    }
    if let Some(file) = &arguments.runtime_data {
        parts.runtime_data = Some(read(file)?);
    }
    Ok(())
}

impl Judge {
    fn new(arguments: &VerifyArguments, now: Timestamp) -> Result<Self, EvidenceFault> {
        let manifest = match &arguments.manifest {
            None => None,
            Some(file) => {
                let text = String::from_utf8(read(file)?).map_err(|_| EvidenceFault::Argument {
                    argument: "--manifest",
                    expected: "text",
                })?;
                let name = file.to_string_lossy();
                Some(Manifest::parse(&name, &text).map_err(EvidenceFault::Manifest)?)
            }
        };
        let anchors = match (&arguments.roots, &manifest) {
            (Some(file), _) => roots(&read(file)?)?,
            (None, Some(manifest)) => manifest.anchors(),
            (None, None) => Anchors::amd(),
        };
        let mut policy = match &manifest {
            Some(manifest) => manifest.admission_policy(),
            None => lenient(),
        };
        let mut idle = BTreeMap::new();
        if arguments.crl.is_empty() {
            policy.report.revocation = Revocation::Absent(Absence::NotConsulted);
            idle.insert(Step::Revocation, "no list was given (--crl)");
        } else {
            let lists = arguments.crl.iter().map(|file| read(file)).collect::<Result<_, _>>()?;
            policy.report.revocation = Revocation::Required(lists);
        }
        let nothing = [
            Step::HostData,
            Step::Measurement,
            Step::Image,
            Step::IdKeys,
            Step::Chip,
            Step::Pcrs,
            Step::SecureBoot,
            Step::UserData,
        ];
        idle.extend(nothing.map(|step| (step, "nothing was demanded")));
        if manifest.is_none() {
            let lenient = [Step::Vmpl, Step::TcbFloor, Step::EndorsementSvn];
            idle.extend(lenient.map(|step| (step, "nothing was demanded without a manifest")));
        }
        Ok(Self { policy, anchors, manifest, now, idle })
    }

    fn container(
        mut self,
        evidence: &RawEvidence,
        runtime_data: Option<&[u8]>,
    ) -> Result<Outcome, EvidenceFault> {
        let binding = self.binding(&evidence.report, runtime_data);
        self.own_level(&evidence.report);
        let result = evidence::verify(&self.policy, &self.anchors, evidence, &binding, self.now);
        let appraisal = match (&result, &self.manifest) {
            (Ok(verified), Some(manifest)) => Some(appraise(manifest, verified)),
            _ => None,
        };
        Ok(self.outcome(Kind::Container, result.err(), appraisal))
    }

    fn report(
        mut self,
        report: &[u8],
        certificates: &str,
        runtime_data: Option<&[u8]>,
    ) -> Result<Outcome, EvidenceFault> {
        let certificates = key_first(certificates);
        let binding = self.binding(report, runtime_data);
        self.own_level(report);
        let (policy, anchors) = (&self.policy.report, &self.anchors);
        let result =
            evidence::verify_snp(policy, anchors, report, &certificates, &binding, self.now);
        Ok(self.outcome(Kind::Report, result.err(), None))
    }

    /// An HCL report of a technology whose reports are not taken apart, whatever lies beside it.
    fn another_technology(self, kind: HclReportKind) -> Outcome {
        let refusal = Refusal {
            step: Step::Structure,
            expected: "an hcl report of kind snp".to_owned(),
            found: kind.to_string(),
        };
        self.outcome(Kind::Report, Some(refusal), None)
    }

    fn vm(
        mut self,
        evidence: &RawVmEvidence,
        nonce: Option<Vec<u8>>,
    ) -> Result<Outcome, EvidenceFault> {
        let nonce = match nonce {
            Some(nonce) => nonce,
            None => {
                self.idle.insert(Step::QuoteNonce, "no nonce was given (--nonce)");
                TpmQuote::parse(&evidence.quote.message)
                    .map_err(|error| EvidenceFault::Part {
                        part: "the quote",
                        source: PartError::Quote(error),
                    })?
                    .extra_data
            }
        };
        let nonce = QuoteNonce::new(nonce).map_err(|_| EvidenceFault::Argument {
            argument: "--nonce",
            expected: "8 to 64 bytes, as the quote should carry",
        })?;
        if let Ok(hcl) = HclReport::parse(&evidence.hcl_report) {
            self.own_level(hcl.report());
        }
        let mut policy = match &self.manifest {
            Some(manifest) => {
                self.idle.remove(&Step::Measurement);
                manifest.vm_admission_policy()
            }
            None => VmPolicy {
                report: self.policy.report.clone(),
                pcrs: BTreeMap::new(),
                secure_boot: Requirement::NotRequired,
            },
        };
        policy.report.revocation = self.policy.report.revocation.clone();
        let binding = VmBinding { nonce, user_data: UserData::Any };
        let evidence =
            RawVmEvidence { certificates: key_first(&evidence.certificates), ..evidence.clone() };
        let result = evidence::verify_vm(&policy, &self.anchors, &evidence, &binding, self.now);
        let appraisal = match (&result, &self.manifest) {
            (Ok(verified), Some(manifest)) => Some(
                manifest::appraise_vm(manifest, verified)
                    .map(|appraised| appraised.workload().to_string()),
            ),
            _ => None,
        };
        Ok(self.outcome(Kind::VirtualMachine, result.err(), appraisal))
    }

    /// What REPORT_DATA must be; where nobody says, what it is.
    fn binding(&mut self, report: &[u8], runtime_data: Option<&[u8]>) -> Binding {
        match (runtime_data, Report::parse(report)) {
            (Some(data), _) => Binding::sha256(data),
            (None, Ok(report)) => {
                self.idle.insert(Step::Binding, "no runtime data was given (--runtime-data)");
                report.report_data
            }
            // The first step refuses such a report, whatever it should bind.
            (None, Err(_)) => Binding::new([0; Binding::LEN]),
        }
    }

    /// Without a manifest the privilege level is the report's own, unless the host asked for the report.
    fn own_level(&mut self, report: &[u8]) {
        if self.manifest.is_some() {
            return;
        }
        if let Ok(level @ 0..=3) = Report::parse(report).map(|report| report.vmpl) {
            self.policy.report.vmpl = u8::try_from(level).unwrap_or(0);
        }
    }

    fn outcome(
        self,
        kind: Kind,
        refusal: Option<Refusal>,
        appraisal: Option<Result<String, NoMatch>>,
    ) -> Outcome {
        Outcome { kind, at: self.now, idle: self.idle, refusal, appraisal }
    }
}

fn appraise(manifest: &Manifest, verified: &VerifiedReport) -> Result<String, NoMatch> {
    manifest::appraise(manifest, verified).map(|appraised| appraised.workload().to_string())
}

/// What genuine evidence of anybody meets that a host cannot debug or move.
fn lenient() -> Policy {
    let floors = Product::ALL.map(|product| (product, TcbFloor::default())).into();
    let report = ReportPolicy { keys: KeyPolicy::VcekOrVlek, ..ReportPolicy::guest(floors) };
    Policy { report, ..Policy::container(BTreeMap::new(), 0) }
}

/// AMD's roots have names of their own; another root is that of endorsements.
fn roots(bytes: &[u8]) -> Result<Anchors, EvidenceFault> {
    let wrong = EvidenceFault::Argument {
        argument: "--roots",
        expected: "root certificates in PEM, of which one at most is not AMD's",
    };
    let Ok(views) = std::str::from_utf8(bytes).map(inspect::certificates) else {
        return Err(wrong);
    };
    let Ok(views) = views else { return Err(wrong) };
    let of_amd = |view: &&CertificateView| view.subject.contains("CN=ARK-");
    let others: Vec<_> = views.iter().filter(|view| !of_amd(view)).collect();
    let uvm = match others.as_slice() {
        [] => Sha256::new([0; Sha256::LEN]),
        [only] => only.sha256,
        _ => return Err(wrong),
    };
    Ok(Anchors::insecure(views.iter().filter(of_amd).map(|view| view.sha256), uvm))
}

/// The certificate of the signing key first, as evidence has it, wherever the files had it.
fn key_first(pem: &str) -> String {
    let Ok(views) = inspect::certificates(pem) else { return pem.to_owned() };
    let blocks: Vec<_> = pem.split_inclusive(END).filter(|block| block.contains(END)).collect();
    let (keys, others): (Vec<_>, Vec<_>) =
        views.iter().zip(blocks).partition(|(view, _)| view.vek.is_some());
    keys.into_iter().chain(others).map(|(_, block)| format!("{}\n", block.trim())).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<_>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let (pairs, []) = digits.as_deref()?.as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| u8::try_from(high << 4 | low).ok()).collect()
}

impl Outcome {
    pub(super) fn node(&self) -> Node {
        let kind = match self.kind {
            Kind::Report => "a report",
            Kind::Container => "a container",
            Kind::VirtualMachine => "a virtual machine",
        };
        let steps = Step::of(self.kind).map(|step| self.step(step)).collect();
        let mut out = vec![
            ("evidence_of", Node::text(kind)),
            ("at", Node::text(self.at)),
            ("steps", Node::List(steps)),
            ("outcome", Node::text(if self.refusal.is_some() { "refused" } else { "passed" })),
        ];
        match &self.appraisal {
            None => {}
            Some(Ok(workload)) => out.push(("workload", Node::text(workload))),
            Some(Err(none)) => {
                out.push(("workload", Node::text("none")));
                out.push(("why", Node::text(none)));
            }
        }
        Node::Map(out)
    }

    fn step(&self, step: Step) -> Node {
        let head = format!("{} {step}", step.number());
        let refused = self.refusal.as_ref().filter(|refusal| refusal.step <= step);
        Node::text(match (refused, self.idle.get(&step)) {
            (Some(refusal), _) if refusal.step == step => {
                let Refusal { expected, found, .. } = refusal;
                format!("{head}: REFUSED: expected {expected}, found {found}")
            }
            (Some(_), _) => format!("{head}: not reached"),
            (None, Some(why)) => format!("{head}: not demanded: {why}"),
            (None, None) => format!("{head}: passed"),
        })
    }

    /// The end of the command.
    pub(super) fn end(&self) -> Result<(), EvidenceFault> {
        match (&self.refusal, &self.appraisal) {
            (Some(refusal), _) => Err(EvidenceFault::Refused { step: refusal.step }),
            (None, Some(Err(_))) => Err(EvidenceFault::NoWorkload),
            (None, Some(Ok(_)) | None) => Ok(()),
        }
    }
}

const END: &str = "-----END CERTIFICATE-----";
