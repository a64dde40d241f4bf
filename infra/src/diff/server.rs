//! Which software may have the master key, and what it must show.

use std::collections::BTreeMap;

use evidence::{HostData, Sha256};
use jiff::civil::Date;
use manifest::{Manifest, Place, ServerImage};
use serde_json::json;

use super::change::{Changes, Effect, Kind};
use super::{Side, SignerKey, requirements};

/// Whether the server is measured as before: its image and its trust root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Software {
    Same,
    Other,
}

pub(super) fn compare(
    old: &Side<'_>,
    new: &Side<'_>,
    today: Date,
    changes: &mut Changes,
) -> Software {
    let kind = Kind::MasterKey;
    let software = match measured(old) == measured(new) {
        true => Software::Same,
        false => Software::Other,
    };
    if software == Software::Other {
        let why = why(old, new);
        let text = format!("gains the master key: {why}, so it is other software than before");
        changes.push(Effect::Weakens, kind, "the server", text);
        let text = "loses the master key, unless it is among the permitted images";
        changes.push(Effect::Strengthens, kind, "the server before", text);
    }
    let (before, after) = (permitted(old.manifest, today), permitted(new.manifest, today));
    for (host_data, until) in &after {
        let subject = format!("software {host_data}");
        match before.get(host_data) {
            None => {
                let text = format!("may have the master key until {until}");
                changes.push(Effect::Weakens, kind, subject, text);
            }
            Some(earlier) if earlier == until => {}
            Some(earlier) => {
                let (effect, how) = match until > earlier {
                    true => (Effect::Weakens, "longer"),
                    false => (Effect::Strengthens, "shorter"),
                };
                let text = format!("may have the master key until {until}, {how} than {earlier}");
                changes.push(effect, kind, subject, text);
            }
        }
    }
    for host_data in before.keys().filter(|host_data| !after.contains_key(host_data)) {
        let text = "may no longer have the master key";
        changes.push(Effect::Strengthens, kind, format!("software {host_data}"), text);
    }
    let required = [old, new].map(|side| (&side.manifest.attestation().server).into());
    let [before, after] = required;
    requirements::compare("the server", before, after, changes);
    software
}

fn permitted(manifest: &Manifest, today: Date) -> BTreeMap<HostData, Date> {
    let images = manifest.server().permitted.iter().filter(|image| today <= image.until);
    images.map(|image| (image.host_data, image.until)).collect()
}

fn image(manifest: &Manifest) -> String {
    match &manifest.server().image {
        ServerImage::Build => "build".to_owned(),
        ServerImage::Digest(digest) => format!("sha256:{digest}"),
    }
}

/// A name for what is measured that is the same exactly if that is: HOST_DATA itself needs the image.
pub(super) fn measured(side: &Side<'_>) -> HostData {
    let manifest = side.manifest;
    let local = match manifest.azure().place() {
        Place::Public => json!(null),
        Place::InsecureLocal(local) => json!({
            "address": local.address.to_string(),
            "ca": local.ca_sha256.to_string(),
            "amd": local.amd_root_sha256.iter().map(Sha256::to_string).collect::<Vec<_>>(),
            "uvm": local.uvm_root_sha256.to_string(),
        }),
    };
    let facts = json!({
        "image": image(manifest),
        "deployment": manifest.deployment().name.as_str(),
        "attestation": manifest.attestation().address.as_str(),
        "vault": manifest.master_key().address.as_str(),
        "signers": signers(side),
        "insecure_local": local,
    });
    HostData::new(*Sha256::of(facts.to_string().as_bytes()).as_bytes())
}

fn signers(side: &Side<'_>) -> Vec<String> {
    let mut keys: Vec<String> = side.signers.values().map(shown).collect();
    keys.sort();
    keys
}

fn shown(key: &SignerKey) -> String {
    match key {
        SignerKey::Known(id) => id.to_string(),
        SignerKey::Unread(path) => format!("in {path}"),
    }
}

/// What of it is measured and differs.
fn why(old: &Side<'_>, new: &Side<'_>) -> String {
    let (a, b) = (old.manifest, new.manifest);
    let trust_root = a.deployment().name != b.deployment().name
        || a.attestation().address != b.attestation().address
        || a.master_key().address != b.master_key().address
        || a.azure().place() != b.azure().place()
        || signers(old) != signers(new);
    let images = [image(a), image(b)];
    let mut reasons = Vec::new();
    if images[0] != images[1] {
        reasons.push(format!("its image is {}, not {}", images[1], images[0]));
    }
    if trust_root {
        reasons.push("its trust root changes".to_owned());
    }
    reasons.join(" and ")
}
