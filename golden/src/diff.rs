//! What changes of a manifest mean: `golden/diff/<case>/case.toml` names a manifest, in what both sides differ from it
//! (`both`), in what one side does (`old`, `new`), and which drawings the case is about.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use evidence::Sha256;
use infra::diff::{Diff, Kind, Side, SignerKey, Verdict, diff, json, markdown, text};
use manifest::{Manifest, Name, Signer};
use protocol::{SignerCertificate, SignerId};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    base: String,
    show: Vec<String>,
    /// Whether the certificates of signers cannot be read.
    #[serde(default)]
    unread: bool,
    #[serde(default)]
    both: Vec<Replace>,
    #[serde(default)]
    old: Vec<Replace>,
    #[serde(default)]
    new: Vec<Replace>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Replace {
    old: String,
    new: String,
}

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn replaced(mut text: String, replace: &[Replace]) -> String {
    for Replace { old, new } in replace {
        assert_eq!(text.matches(old).count(), 1, "{old}");
        text = text.replace(old, new);
    }
    text
}

fn parse(name: &str, text: &str) -> Manifest {
    Manifest::parse(name, text).unwrap_or_else(|faults| panic!("{faults}"))
}

/// The worthless signers of dev.toml are there; those of prod.toml are for its reader to make, and here each path stands
/// for a key.
pub(crate) fn side<'a>(name: &str, manifest: &'a Manifest, unread: bool) -> Side<'a> {
    let key = |(name, signer): (&Name, &Signer)| {
        let path = signer.certificate.as_str();
        let key = match fs::read_to_string(root().join("manifests").join(path)) {
            _ if unread => SignerKey::Unread(path.to_owned()),
            Ok(pem) => SignerKey::Known(SignerCertificate::from_pem(&pem).unwrap().id()),
            Err(_) => SignerKey::Known(SignerId(Sha256::of(path.as_bytes()))),
        };
        (name.clone(), key)
    };
    let signers = manifest.signer().iter().map(key).collect();
    Side { name: name.to_owned(), manifest, signers }
}

fn manifests(case: &Case) -> [Manifest; 2] {
    let base = fs::read_to_string(root().join("manifests").join(&case.base)).unwrap();
    let both = replaced(base, &case.both);
    let [old, new] = [replaced(both.clone(), &case.old), replaced(both, &case.new)];
    [parse("old", &old), parse("new", &new)]
}

fn compared(old: &Manifest, new: &Manifest, unread: bool) -> Diff {
    let today = "2026-11-22".parse().unwrap();
    diff(&side("old", old, unread), &side("new", new, unread), today).unwrap()
}

fn judged(case: &Case) -> Diff {
    let [old, new] = manifests(case);
    compared(&old, &new, case.unread)
}

fn cases() -> Vec<(String, PathBuf, Case)> {
    let mut cases: Vec<_> = fs::read_dir(root().join("golden/diff"))
        .unwrap()
        .map(|entry| {
            let folder = entry.unwrap().path();
            let text = fs::read_to_string(folder.join("case.toml")).unwrap();
            let name = folder.file_name().unwrap().to_string_lossy().into_owned();
            let case = toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            (name, folder, case)
        })
        .collect();
    cases.sort_by(|a, b| a.0.cmp(&b.0));
    cases
}

#[test]
fn changes_mean_what_is_pinned() {
    for (_, folder, case) in cases() {
        let diff = judged(&case);
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(folder.canonicalize().unwrap());
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        for what in &case.show {
            let shown = match what.as_str() {
                "text" => text(&diff),
                "markdown" => markdown(&diff),
                "json" => serde_json::to_string_pretty(&json(&diff)).unwrap(),
                other => panic!("no such drawing: {other}"),
            };
            settings.bind(|| insta::assert_snapshot!(what.as_str(), shown));
        }
    }
}

/// A certificate that lies on neither side is no part of a change, and is said not to have been seen; one that a side alone names
/// may bring another key.
#[test]
fn what_could_not_be_read_is_told_and_is_a_weakening_where_a_side_alone_names_it() {
    let mut verdicts = Vec::new();
    for (name, _, case) in cases().into_iter().filter(|(_, _, case)| case.unread) {
        let diff = judged(&case);
        assert!(!diff.unseen.is_empty(), "{name}");
        verdicts.push((name, diff.verdict()));
    }
    let expected = [
        ("signers-unread".to_owned(), Verdict::NothingWeakened),
        ("signers-unread-exchanged".to_owned(), Verdict::Weakened),
    ];
    assert_eq!(verdicts, expected);
}

#[test]
fn every_kind_of_change_has_a_case() {
    let all: BTreeSet<Kind> = cases()
        .iter()
        .flat_map(|(_, _, case)| judged(case).changes)
        .map(|change| change.kind)
        .collect();
    let missing: Vec<&Kind> = Kind::ALL.iter().filter(|kind| !all.contains(*kind)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn what_means_nothing_prints_nothing() {
    let mut tried = 0;
    for (name, _, case) in cases() {
        if name == "nothing" || name.ends_with("-means-nothing") || name.ends_with("-names-swapped")
        {
            let diff = judged(&case);
            assert_eq!(text(&diff), "", "{name}");
            assert_eq!(diff.verdict(), Verdict::NothingWeakened);
            tried += 1;
        }
    }
    assert_eq!(tried, 5);
}

/// Whatever one direction strengthens, the other weakens; but what is new and its own is nobody's loss.
#[test]
fn what_is_a_gain_one_way_is_a_loss_the_other() {
    use infra::diff::Effect::{Strengthens, Weakens};
    for (name, _, case) in cases() {
        let [before, after] = manifests(&case);
        let [there, back] = [(&before, &after), (&after, &before)]
            .map(|(old, new)| compared(old, new, case.unread));
        let find = |diff: &Diff, effect| {
            let own = [Kind::Secret, Kind::Workload];
            diff.changes.iter().any(|change| change.effect == effect && !own.contains(&change.kind))
        };
        for (one, other) in [(&there, &back), (&back, &there)] {
            assert!(!find(one, Strengthens) || find(other, Weakens), "{name}");
        }
    }
}
