//! What content of a registry is called.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};

/// The digest of a blob or manifest: SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// The name of a repository, for example `vouchsafe/server`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository(pub(super) String);

/// Which of a repository's manifests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The one that a tag names now.
    Tag(String),
    /// The one that has this digest.
    Digest(Digest),
}

/// The name of an image as a container group has it: `HOST/REPOSITORY`, then `:TAG`, `@DIGEST` or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageName {
    /// The registry, with a port if it has one.
    pub host: String,
    /// The repository.
    pub repository: Repository,
    /// The digest, or else the tag, or else `latest`.
    pub target: Target,
}

/// A text is not a digest or the name of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidReference {
    /// Not a digest.
    #[error("a digest is sha256: and 64 lower-case hex digits")]
    Digest,
    /// Not a repository.
    #[error("a repository is lower-case words joined by slashes")]
    Repository,
    /// Not a tag.
    #[error("a tag is up to 128 letters, digits, dots, underscores and dashes")]
    Tag,
    /// No registry.
    #[error("an image's name begins with its registry: registry.example/repository")]
    Host,
}

impl Digest {
    /// The digest of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut sha256 = [0; 32];
        for (to, from) in sha256.iter_mut().zip(digest(&SHA256, bytes).as_ref()) {
            *to = *from;
        }
        Self(sha256)
    }

    /// The SHA-256.
    #[must_use]
    pub fn sha256(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Digest {
    fn from(sha256: [u8; 32]) -> Self {
        Self(sha256)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Digest {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let hex = text
            .strip_prefix("sha256:")
            .filter(|hex| hex.bytes().all(|b| !b.is_ascii_uppercase()))
            .ok_or(InvalidReference::Digest)?;
        let mut sha256 = [0; 32];
        hex::decode_to_slice(hex, &mut sha256).map_err(|_| InvalidReference::Digest)?;
        Ok(Self(sha256))
    }
}

impl FromStr for Repository {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let word = |word: &str| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
                && word.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
                && word.bytes().last().is_some_and(|b| b.is_ascii_alphanumeric())
        };
        (text.len() <= 255 && text.split('/').all(word))
            .then(|| Self(text.to_owned()))
            .ok_or(InvalidReference::Repository)
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => write!(f, "{digest}"),
        }
    }
}

impl FromStr for ImageName {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.parse()?)),
            None => (text, None),
        };
        let (host, path) = name.split_once('/').ok_or(InvalidReference::Host)?;
        let part = |byte: u8| byte.is_ascii_alphanumeric() || b".-:".contains(&byte);
        // Without a dot or a port the first word is a repository of some registry that is not named.
        if !host.contains(['.', ':']) || !host.bytes().all(part) {
            return Err(InvalidReference::Host);
        }
        let (repository, tag) = match path.split_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (path, None),
        };
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let is_tag = |tag: &str| {
            (1..=128).contains(&tag.len())
                && !tag.starts_with(['.', '-'])
                && tag.bytes().all(letter)
        };
        if !tag.is_none_or(is_tag) {
            return Err(InvalidReference::Tag);
        }
        let target = match digest {
            Some(digest) => Target::Digest(digest),
            None => Target::Tag(tag.unwrap_or("latest").to_owned()),
        };
        Ok(Self { host: host.to_owned(), repository: repository.parse()?, target })
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = match self.target {
            Target::Tag(_) => ':',
            Target::Digest(_) => '@',
        };
        write!(f, "{}/{}{separator}{}", self.host, self.repository, self.target)
    }
}
