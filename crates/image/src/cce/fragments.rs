//! The list of fragments that a user adds to a group, in the reference tool's file format.
//!
//! Whoever signs a fragment of that feed decides what may run in the group and so may obtain its secrets.

use serde::Deserialize;

use super::container::Fragment;

/// Why a list of fragments is none.
#[derive(Debug, thiserror::Error)]
pub enum FragmentsError {
    /// Not JSON, or of another form.
    #[error("list of fragments does not parse")]
    Json(#[from] serde_json::Error),
    /// A minimum that is no number.
    #[error("fragment {feed:?}: minimum_svn {found:?} is not a number")]
    MinimumSvn {
        /// The fragment's feed.
        feed: String,
        /// What it says.
        found: String,
    },
    /// An issuer that no signature can have.
    #[error("fragment {feed:?}: issuer {found:?} is not a did:x509")]
    Issuer {
        /// The fragment's feed.
        feed: String,
        /// What it says.
        found: String,
    },
    /// Something to include that the framework does not know.
    #[error("fragment {feed:?}: includes {found:?}, which is not supported")]
    Includes {
        /// The fragment's feed.
        feed: String,
        /// What it says.
        found: String,
    },
    /// No feed.
    #[error("a fragment has no feed")]
    Feed,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawList {
    fragments: Vec<RawFragment>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFragment {
    feed: String,
    includes: Vec<String>,
    issuer: String,
    minimum_svn: String,
    /// Where the tool that fetches it finds it; it is not measured.
    #[serde(default, rename = "path")]
    _path: Option<String>,
}

impl Fragment {
    /// Checks the parts of a fragment.
    pub fn parse(
        issuer: &str,
        feed: &str,
        minimum_svn: &str,
        includes: Vec<String>,
    ) -> Result<Self, FragmentsError> {
        if feed.is_empty() {
            return Err(FragmentsError::Feed);
        }
        let feed = feed.to_owned();
        if !issuer.starts_with("did:x509:") {
            return Err(FragmentsError::Issuer { feed, found: issuer.to_owned() });
        }
        let digits = !minimum_svn.is_empty() && minimum_svn.bytes().all(|b| b.is_ascii_digit());
        if !digits || minimum_svn.len() > SVN_DIGITS {
            return Err(FragmentsError::MinimumSvn { feed, found: minimum_svn.to_owned() });
        }
        match includes.iter().find(|part| !INCLUDES.contains(&part.as_str())) {
            Some(found) => Err(FragmentsError::Includes { feed, found: found.clone() }),
            None => Ok(Self {
                feed,
                includes,
                issuer: issuer.to_owned(),
                minimum_svn: minimum_svn.to_owned(),
            }),
        }
    }

    /// Reads `{"fragments": […]}`, as the reference tool's `--fragments-json`.
    pub fn parse_list(json: &[u8]) -> Result<Vec<Self>, FragmentsError> {
        let list: RawList = serde_json::from_slice(json)?;
        let parse =
            |raw: RawFragment| Self::parse(&raw.issuer, &raw.feed, &raw.minimum_svn, raw.includes);
        list.fragments.into_iter().map(parse).collect()
    }
}

/// `framework.rego`, `extract_fragment_includes`.
const INCLUDES: [&str; 4] = ["containers", "fragments", "external_processes", "namespace"];
const SVN_DIGITS: usize = 9;
