//! Names, digests and paths of the distribution specification.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// `sha256:` and 64 lower-case hexadecimal digits; other algorithms are refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(format!("sha256:{}", hex::encode(digest::digest(&digest::SHA256, bytes))))
    }

    /// The hexadecimal part.
    pub fn hex(&self) -> &str {
        self.0.strip_prefix("sha256:").unwrap_or_default()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is no SHA-256 digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not sha256: and 64 lower-case hexadecimal digits")]
pub struct NotADigest;

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let digits = text.strip_prefix("sha256:").ok_or(NotADigest)?;
        let valid = digits.len() == 64
            && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if valid { Ok(Self(text.to_owned())) } else { Err(NotADigest) }
    }
}

impl TryFrom<String> for Digest {
    type Error = NotADigest;

    fn try_from(text: String) -> Result<Self, NotADigest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

/// What a path asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    Base,
    Catalog,
    Tags { repository: String },
    Blob { repository: String, digest: Digest },
    Uploads { repository: String },
    Upload { repository: String, id: Uuid },
    Manifest { repository: String, reference: Reference },
    Referrers { repository: String, digest: Digest },
}

/// A tag or a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reference {
    Tag(String),
    Digest(Digest),
}

impl Route {
    pub(super) fn repository(&self) -> Option<&str> {
        match self {
            Self::Base | Self::Catalog => None,
            Self::Tags { repository }
            | Self::Blob { repository, .. }
            | Self::Uploads { repository }
            | Self::Upload { repository, .. }
            | Self::Manifest { repository, .. }
            | Self::Referrers { repository, .. } => Some(repository),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl Reference {
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Ok(digest) = text.parse() {
            return Some(Self::Digest(digest));
        }
        let mut bytes = text.bytes();
        let first = bytes.next()?;
        let valid = (first.is_ascii_alphanumeric() || first == b'_')
            && text.len() <= 128
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        valid.then(|| Self::Tag(text.to_owned()))
    }
}

/// The route of a path; nothing if no endpoint or an invalid name.
pub(super) fn route(path: &str) -> Option<Route> {
    let rest = path.strip_prefix("/v2")?;
    match rest {
        "" | "/" => return Some(Route::Base),
        "/_catalog" => return Some(Route::Catalog),
        _ => {}
    }
    let segments: Vec<&str> = rest.strip_prefix('/')?.split('/').collect();
    let name = |parts: &[&str]| {
        let name = parts.join("/");
        repository(&name).then_some(name)
    };
    match segments.as_slice() {
        [parts @ .., "blobs", "uploads", ""] | [parts @ .., "blobs", "uploads"] => {
            Some(Route::Uploads { repository: name(parts)? })
        }
        [parts @ .., "blobs", "uploads", id] => {
            Some(Route::Upload { repository: name(parts)?, id: id.parse().ok()? })
        }
        [parts @ .., "blobs", digest] => {
            Some(Route::Blob { repository: name(parts)?, digest: digest.parse().ok()? })
        }
        [parts @ .., "manifests", reference] => Some(Route::Manifest {
            repository: name(parts)?,
            reference: Reference::parse(reference)?,
        }),
        [parts @ .., "tags", "list"] => Some(Route::Tags { repository: name(parts)? }),
        [parts @ .., "referrers", digest] => {
            Some(Route::Referrers { repository: name(parts)?, digest: digest.parse().ok()? })
        }
        _ => None,
    }
}

/// "Pulling manifests": `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*` between slashes, at most 255 bytes.
pub(super) fn repository(name: &str) -> bool {
    let component = |part: &str| {
        let letters = |piece: &str| {
            !piece.is_empty()
                && piece.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        let unified = part.replace("__", "_");
        let mut pieces = unified.split(['.', '_', '-']).collect::<Vec<_>>();
        if part.contains('-') {
            // Only dashes may repeat.
            pieces.retain(|piece| !piece.is_empty());
            let ends = part.starts_with('-') || part.ends_with('-');
            let mixed = ["-.", ".-", "-_", "_-", ".."].iter().any(|pair| part.contains(pair));
            return !ends && !mixed && pieces.iter().all(|piece| letters(piece));
        }
        pieces.iter().all(|piece| letters(piece))
    };
    !name.is_empty() && name.len() <= 255 && name.split('/').all(component)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_routes() {
        let digest = Digest::of(b"");
        let check =
            |path: &str, expected: Option<Route>| assert_eq!(route(path), expected, "{path}");
        let repository = "vouchsafe/server".to_owned();
        check("/v2/", Some(Route::Base));
        check(
            "/v2/vouchsafe/server/tags/list",
            Some(Route::Tags { repository: repository.clone() }),
        );
        check(
            "/v2/vouchsafe/server/blobs/uploads/",
            Some(Route::Uploads { repository: repository.clone() }),
        );
        check(
            &format!("/v2/vouchsafe/server/blobs/{digest}"),
            Some(Route::Blob { repository: repository.clone(), digest }),
        );
        let reference = Reference::Tag("v1.0".to_owned());
        check(
            "/v2/vouchsafe/server/manifests/v1.0",
            Some(Route::Manifest { repository, reference }),
        );
        check("/v2/Vouchsafe/manifests/x", None);
        check("/v2/manifests/x", None);
        check("/v2/a/blobs/sha256:00", None);
        check("/v1/a", None);
    }

    #[test]
    fn names_are_as_the_specification_says() {
        for good in ["a", "a/b", "a-b", "a--b", "a.b", "a_b", "a__b", "0/1"] {
            assert!(repository(good), "{good}");
        }
        for bad in ["", "/", "a/", "/a", "-a", "a-", "a..b", "a___b", "A", "a.-b", "a//b"] {
            assert!(!repository(bad), "{bad}");
        }
    }
}
