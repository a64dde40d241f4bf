//! `lint`: what to look at in a manifest and in the policies that it means.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use super::print;
use crate::cli::Lint;
use crate::failure::{Exit, Failure};
use crate::manifest_at::ManifestAt;

pub(super) fn lint(options: &Lint, now: Timestamp) -> Result<Exit, Failure> {
    let at = ManifestAt::read(&options.manifest)?;
    let today = now.to_zoned(TimeZone::UTC).date();
    let findings = infra::lint::lint(&at.manifest, today)
        .map_err(|error| Failure::of("rendering the manifest", error, "correct the manifest"))?;
    if options.json {
        let shown = findings.iter();
        let shown = shown.map(|finding| json!({ "place": finding.place, "text": finding.text }));
        let shown: Vec<_> = shown.collect();
        let document = json!({ "version": 1, "type": "lint", "findings": shown });
        print(&format!("{document}\n"))?;
    } else {
        let lines: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
        print(&lines)?;
    }
    Ok(if findings.is_empty() { Exit::Done } else { Exit::Drift })
}
