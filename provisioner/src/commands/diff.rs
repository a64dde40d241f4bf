//! `diff`: what the change from one manifest to another means.

use std::io::Write as _;

use anstyle::{AnsiColor, Style};
use infra::diff::{Side, Verdict, diff as compare, json, markdown, text};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::print;
use crate::cli::Diff;
use crate::failure::{Exit, Failure};
use crate::manifest_at::ManifestAt;

pub(super) fn diff(options: &Diff, now: Timestamp) -> Result<Exit, Failure> {
    let [old, new] = [ManifestAt::read(&options.old)?, ManifestAt::read(&options.new)?];
    let [before, after] = [old.signers()?, new.signers()?];
    let old = Side { name: old.name, manifest: &old.manifest, signers: before };
    let new = Side { name: new.name, manifest: &new.manifest, signers: after };
    let today = now.to_zoned(TimeZone::UTC).date();
    let found = compare(&old, &new, today)
        .map_err(|error| Failure::of("rendering the manifests", error, "correct the manifests"))?;
    match (options.json, options.markdown) {
        (true, _) => print(&format!("{}\n", json(&found)))?,
        (false, true) => print(&markdown(&found))?,
        (false, false) => print(&coloured(&text(&found)))?,
    }
    if found.is_empty() {
        // What means nothing prints nothing, but nobody is to think that everything was seen.
        for unseen in &found.unseen {
            // Nobody may be listening there.
            writeln!(anstream::stderr(), "note: {unseen}").ok();
        }
    }
    Ok(match found.verdict() {
        Verdict::NothingWeakened => Exit::Done,
        Verdict::Weakened => Exit::Refused,
    })
}

/// A printer that is no terminal drops the colours.
fn coloured(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let style = STYLES.iter().find(|(start, _)| line.starts_with(start));
        match style {
            Some((start, style)) => {
                let rest = line.strip_prefix(start).unwrap_or_default();
                out.push_str(&format!("{style}{start}{style:#}{rest}"));
            }
            None => out.push_str(line),
        }
    }
    out
}

const STYLES: [(&str, Style); 3] = [
    ("weakened:", AnsiColor::Red.on_default().bold()),
    ("changed:", AnsiColor::Yellow.on_default()),
    ("strengthened:", AnsiColor::Green.on_default()),
];
