//! What keys and secrets of a Key Vault have in common: names, versions, and the way refusals are sorted.

use std::fmt;
use std::future::Future;
use std::str::FromStr;
use std::time::Duration;

use azure_core::time::OffsetDateTime;
use jiff::Timestamp;

use crate::call::Answer;

/// The name of a key or secret: 1 to 127 letters, digits and hyphens. Vaults compare names without case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

/// The version of a key or secret: 32 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(String);

/// A text is not the name or version of a key or secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidName {
    /// Not a name.
    #[error("a name has 1 to 127 letters, digits and hyphens")]
    Name,
    /// Not a version.
    #[error("a version has 32 lower-case hex digits")]
    Version,
}

impl Name {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Version {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let fits = (1..=127).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        fits.then(|| Self(text.to_owned())).ok_or(InvalidName::Name)
    }
}

impl FromStr for Version {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let fits = text.len() == 32
            && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        fits.then(|| Self(text.to_owned())).ok_or(InvalidName::Version)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whose fault a vault's refusal is.
pub(crate) enum Sort {
    NotFound,
    /// Deleted, and holding its name until it is recovered or purged.
    Deleted,
    /// Being deleted or recovered; soon it will be one or the other.
    Changing,
    Disabled,
    Denied,
    Throttled,
    Rejected,
}

impl Sort {
    pub(crate) fn of(answer: &Answer) -> Self {
        match (answer.status(), answer.inner_code()) {
            (404, _) => Self::NotFound,
            (409, Some("ObjectIsDeletedButRecoverable")) => Self::Deleted,
            (409, Some("ObjectIsBeingDeleted" | "ObjectIsBeingRecovered")) => Self::Changing,
            (403, Some("SecretDisabled" | "KeyDisabled")) => Self::Disabled,
            (401 | 403, _) => Self::Denied,
            (429, _) => Self::Throttled,
            _ => Self::Rejected,
        }
    }
}

/// Splits `https://<vault>/<collection>/<name>/<version>`.
pub(crate) fn parse_id(id: &str, collection: &str) -> Option<(Name, Version)> {
    let url = url::Url::parse(id).ok()?;
    let mut segments = url.path_segments()?;
    (segments.next() == Some(collection)).then_some(())?;
    let name = segments.next()?.parse().ok()?;
    let version = segments.next()?.parse().ok()?;
    segments.next().is_none().then_some((name, version))
}

/// The vault's clock has whole seconds.
pub(crate) fn timestamp(at: Option<OffsetDateTime>) -> Option<Timestamp> {
    Timestamp::from_second(at?.unix_timestamp()).ok()
}

/// Asks until there is an answer, for what takes effect some seconds after the call that caused it.
pub(crate) async fn settle<T, E, F>(mut probe: impl FnMut() -> F) -> Result<Option<T>, E>
where
    F: Future<Output = Result<Option<T>, E>>,
{
    let mut pause = Duration::from_millis(200);
    for _ in 0..40 {
        if let Some(settled) = probe().await? {
            return Ok(Some(settled));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(Duration::from_secs(5));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_names_versions_and_ids() {
        assert!("".parse::<Name>().is_err());
        assert!("a/b".parse::<Name>().is_err());
        assert!("A-1".parse::<Name>().is_ok());
        assert!("C3".repeat(16).parse::<Version>().is_err());
        let id = format!("https://v.vault.azure.net/keys/k/{}", "c3".repeat(16));
        let (name, version) = parse_id(&id, "keys").unwrap();
        assert_eq!((name.as_str(), version.as_str().len()), ("k", 32));
        assert!(parse_id(&id, "secrets").is_none());
        assert!(parse_id("https://v.vault.azure.net/keys/k", "keys").is_none());
        assert!(parse_id(&format!("{id}/x"), "keys").is_none());
    }
}
