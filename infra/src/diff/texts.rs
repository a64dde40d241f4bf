//! The two policies as texts, where they differ.

use std::collections::BTreeSet;

use evidence::HostData;
use jiff::civil::Date;
use similar::TextDiff as Lines;

use super::Side;
use super::server::{Software, measured};
use crate::{AttestationPolicy, MasterKey, RenderError};

/// A text before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextDiff {
    /// What it is.
    pub name: &'static str,
    /// The lines that differ, with some around them, in the usual form.
    pub unified: String,
}

/// What the two policies are.
pub(super) struct Policies {
    pub(super) texts: Vec<TextDiff>,
    /// Whether a token or a key of the old kind is none of the new.
    pub(super) key: Key,
}

/// Whether the master key can stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Stays,
    Another,
}

pub(super) fn policies(
    old: &Side<'_>,
    new: &Side<'_>,
    software: Software,
    today: Date,
) -> Result<Policies, RenderError> {
    let (before, after) = (Shown::of(old, today)?, Shown::of(new, today)?);
    let stays = before.attestation == after.attestation
        && before.release == after.release
        && old.manifest.master_key().curve == new.manifest.master_key().curve
        && old.manifest.master_key().immutable == new.manifest.master_key().immutable;
    let key = if stays { Key::Stays } else { Key::Another };
    let same_hash = before.hash == after.hash;
    let hash = |which: &str| match same_hash {
        true => "<the hash of the attestation policy>".to_owned(),
        false => format!("<the hash of the {which} attestation policy>"),
    };
    let before = before.named("old", software, &hash("old"));
    let after = after.named("new", software, &hash("new"));
    let texts = [
        text("attestation policy", &before.attestation, &after.attestation),
        text("release policy", &before.release, &after.release),
    ];
    Ok(Policies { texts: texts.into_iter().flatten().collect(), key })
}

/// The texts of one side.
struct Shown {
    attestation: String,
    release: String,
    host_data: HostData,
    hash: String,
}

impl Shown {
    fn of(side: &Side<'_>, today: Date) -> Result<Self, RenderError> {
        let host_data = measured(side);
        let mut permitted: BTreeSet<HostData> = side.manifest.permitted(today).collect();
        permitted.insert(host_data);
        let attestation = AttestationPolicy::new(side.manifest, &permitted)?;
        let key = MasterKey::new(side.manifest, &attestation, &permitted)?;
        let release = key.release_policy().to_string();
        let pretty = serde_json::from_str::<serde_json::Value>(&release);
        let pretty = pretty.and_then(|json| serde_json::to_string_pretty(&json));
        Ok(Self {
            attestation: attestation.text().to_owned(),
            release: pretty.unwrap_or(release) + "\n",
            host_data,
            hash: attestation.hash().to_string(),
        })
    }

    /// With names for what is not known before the image is measured.
    fn named(self, which: &str, software: Software, hash: &str) -> Self {
        let server = match software {
            Software::Same => "<the server's HOST_DATA>".to_owned(),
            Software::Other => format!("<the {which} server's HOST_DATA>"),
        };
        let own = self.host_data.to_string();
        Self {
            attestation: self.attestation.replace(&own, &server),
            release: self.release.replace(&own, &server).replace(&self.hash, hash),
            ..self
        }
    }
}

fn text(name: &'static str, old: &str, new: &str) -> Option<TextDiff> {
    let lines = Lines::from_lines(old, new);
    let unified = lines.unified_diff().context_radius(CONTEXT).to_string();
    (!unified.is_empty()).then_some(TextDiff { name, unified })
}

/// Lines around a difference.
const CONTEXT: usize = 2;
