//! What a reviewer should look at in a manifest that is otherwise sound.
//!
//! A finding is advice and decides nothing. The two policies are rendered and checked by `maa`; the rest is about who can
//! read, forge or destroy what. The image is not measured for it: HOST_DATA of the server is a stand-in.

use std::collections::BTreeSet;
use std::fmt;

use evidence::{DebugPolicy, HostData, Product, Sha256, TcbFloor};
use jiff::civil::Date;
use maa::lint::Mutability;
use manifest::{Action, Crl, Login, Manifest, Trust};

use crate::{Admitting, AttestationPolicy, MasterKey, Party, RenderError};

/// Something to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where: a key of the manifest, or a policy that it means.
    pub place: String,
    /// What.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// Looks at a manifest and at the policies that it means. `today` decides which older images have expired.
///
/// # Errors
/// A policy that cannot be rendered.
pub fn lint(manifest: &Manifest, today: Date) -> Result<Vec<Finding>, RenderError> {
    let mut findings = Findings(Vec::new());
    trust(manifest, today, &mut findings);
    platform(manifest, &mut findings);
    rules(manifest, &mut findings);
    admitted(manifest, &mut findings);
    policies(manifest, today, &mut findings)?;
    Ok(findings.0)
}

struct Findings(Vec<Finding>);

impl Findings {
    fn push(&mut self, place: impl Into<String>, text: impl Into<String>) {
        self.0.push(Finding { place: place.into(), text: text.into() });
    }
}

/// Whose word counts, and what can be destroyed.
fn trust(manifest: &Manifest, today: Date, findings: &mut Findings) {
    for (name, signer) in manifest.signer() {
        if signer.insecure_key.is_some() {
            let text = "everybody who can read the file decides who gets which secret";
            findings.push(format!("signer.{name}.insecure_key"), text);
        }
    }
    if manifest.attestation().trust == Trust::Entra {
        let text = "whoever has the role in Entra can replace the policy, and so stop the service; \"isolated\" asks for a signer's signature";
        findings.push("attestation.trust", text);
    }
    for image in &manifest.server().permitted {
        if image.until < today {
            let text = format!(
                "{} expired on {} and is rendered nowhere; remove it",
                image.host_data, image.until
            );
            findings.push("server.permitted", text);
        }
    }
    let key = manifest.master_key();
    if !key.immutable {
        findings.push("master_key.immutable", "whoever may write the key can change who gets it");
    }
    if !key.purge_protection {
        findings.push(
            "master_key.purge_protection",
            "whoever may purge the vault may destroy the master key",
        );
    }
    let recovery = manifest.recovery();
    if usize::from(recovery.threshold) == recovery.holder.len() {
        let text = "as many as there are holders: with one key lost, nothing can be recovered";
        findings.push("recovery.threshold", text);
    }
    if manifest.unseal().threshold == manifest.unseal().shares {
        findings.push(
            "unseal.threshold",
            "as many as there are shares: with one lost, no server starts",
        );
    }
}

/// Which platforms are accepted.
fn platform(manifest: &Manifest, findings: &mut Findings) {
    let server = &manifest.attestation().server;
    if server.debug == DebugPolicy::DangerouslyAllow {
        findings.push(
            "attestation.server.debug",
            "the host can read the master key in the server's memory",
        );
    }
    if manifest.attestation().crl == Crl::IfPresent {
        let text = "whoever keeps AMD's revocation list away has revoked authorities accepted";
        findings.push("attestation.crl", text);
    }
    if server.launch_measurements.is_empty() {
        let text = "empty, so the master key is within reach of every utility VM that was ever endorsed: no claim says its security version";
        findings.push("attestation.server.launch_measurements", text);
    }
    let floors: Vec<(&Product, &TcbFloor)> = server.tcb.iter().collect();
    for (product, floor) in &floors {
        let lower = floors.iter().find(|(other, low)| other != product && is_below(low, floor));
        if let Some((other, _)) = lower {
            let text = format!(
                "not comparable across products: claims do not name the product, so a {product} machine below this floor gets a token by the floor of {other}; only the server's verifiers tell them apart"
            );
            findings.push(format!("attestation.server.tcb.{product}"), text);
        }
        if floor.fmc.is_some_and(|fmc| fmc > 0) {
            let text = "no claim has this component: the attestation service does not look at it";
            findings.push(format!("attestation.server.tcb.{product}.fmc"), text);
        }
    }
    for (name, workload) in manifest.workload() {
        if workload.debug == DebugPolicy::DangerouslyAllow {
            findings.push(
                format!("workload.{name}.debug"),
                "its host can read every secret that it gets",
            );
        }
        if workload.uvm.as_ref().is_some_and(|uvm| uvm.minimum_svn < server.uvm.minimum_svn) {
            let text = "an older utility VM than the server's own is accepted";
            findings.push(format!("workload.{name}.uvm.minimum_svn"), text);
        }
        if workload.secure_boot == Some(false) {
            let text =
                "code that nobody signed may have booted, as far as its registers do not say";
            findings.push(format!("workload.{name}.secure_boot"), text);
        }
        for (product, floor) in &workload.tcb {
            let lower = |own: &TcbFloor| own != floor && is_below(floor, own);
            if server.tcb.get(product).is_some_and(lower) {
                let text = "an older platform than the server's own is accepted";
                findings.push(format!("workload.{name}.tcb.{product}"), text);
            }
        }
    }
}

/// Whether a machine that meets the second meets the first, as far as claims tell.
fn is_below(low: &TcbFloor, high: &TcbFloor) -> bool {
    low.bootloader <= high.bootloader
        && low.tee <= high.tee
        && low.snp <= high.snp
        && low.microcode <= high.microcode
}

/// Who may do what.
fn rules(manifest: &Manifest, findings: &mut Findings) {
    for (name, operator) in manifest.operator() {
        let Login::Jwt = operator.login;
        if operator.may.contains(&Action::Read) {
            let text =
                "may read values, and whoever runs the identity provider can forge this login";
            findings.push(format!("operator.{name}.may"), text);
        }
    }
    let read: BTreeSet<_> = manifest.secret().values().flat_map(|secret| &secret.readers).collect();
    for name in manifest.workload().keys().filter(|name| !read.contains(name)) {
        findings.push(format!("workload.{name}"), "may have no secret");
    }
    let writers: Vec<_> =
        manifest.operator().values().filter(|o| o.may.contains(&Action::Write)).collect();
    for path in manifest.secret().keys() {
        let writable = writers.iter().any(|operator| operator.permit(Action::Write, path).is_ok());
        if !writable {
            findings.push(format!("secret.\"{path}\""), "no operator may write it");
        }
    }
}

/// Who else can obtain what a group holds: HOST_DATA identifies the whole of it.
fn admitted(manifest: &Manifest, findings: &mut Findings) {
    for party in crate::parties(manifest) {
        let Party { group, issuer, feed, minimum_svn } = party;
        let place = match &group {
            Admitting::Every => "policy fragments".to_owned(),
            Admitting::Workload(name) => format!("workload.{name}.group.fragments"),
        };
        let whose = match group {
            Admitting::Every => "what every group holds, the server's too",
            Admitting::Workload(_) => "its secrets",
        };
        let text =
            format!("{issuer}, signing {feed} from version {minimum_svn}, can obtain {whose}");
        findings.push(place, text);
    }
    for (name, workload) in manifest.workload() {
        if workload.group.as_ref().is_some_and(|group| group.insecure_debug) {
            let text = "its host sees every secret that it gets";
            findings.push(format!("workload.{name}.group.insecure_debug"), text);
        }
    }
}

fn policies(manifest: &Manifest, today: Date, findings: &mut Findings) -> Result<(), RenderError> {
    let own = Sha256::of(manifest.deployment().name.as_str().as_bytes());
    let mut permitted: BTreeSet<HostData> = manifest.permitted(today).collect();
    permitted.insert(HostData::new(*own.as_bytes()));
    let attestation = AttestationPolicy::new(manifest, &permitted)?;
    let key = MasterKey::new(manifest, &attestation, &permitted)?;
    let parsed = maa::policy::parse(attestation.text()).map_err(RenderError::AttestationPolicy)?;
    for finding in maa::lint::policy(&parsed) {
        findings.push("attestation policy", finding.to_string());
    }
    let mutability = match manifest.master_key().immutable {
        true => Mutability::Immutable,
        false => Mutability::Mutable,
    };
    for finding in maa::lint::release(key.release_policy(), mutability) {
        findings.push("release policy", finding.to_string());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
