//! The texts of a manifest that must have a form: names, addresses, paths.
//!
//! Each is a type, made from text only by `FromStr`. The pattern beside a type is for editors, which read it in the
//! schema; the check beside it is what decides.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use evidence::{HostData, Measurement, PcrIndex, Sha256};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use crate::read::Expected;

/// A text that does not have the form it should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct Malformed(&'static str);

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $pattern:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Expected for $name {
            const EXPECTED: &'static str = $expected;
        }

        impl FromStr for $name {
            type Err = Malformed;

            fn from_str(text: &str) -> Result<Self, Malformed> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.to_owned())) } else { Err(Malformed($expected)) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "description": $expected, "pattern": $pattern })
            }
        }
    };
}

text!(
    /// The name of a deployment, which its key, bundle and lock carry.
    DeploymentName,
    "a name of 2 to 20 lower-case letters, digits and hyphens that begins with a letter",
    r"^[a-z][a-z0-9-]{1,19}$",
    |text| starts_with_letter(text) && is(text, 2..=20, "-", Case::Lower)
);
text!(
    /// A name that the manifest's author chooses: of a signer, a holder, an operator or a workload.
    Name,
    "a name of 1 to 40 lower-case letters, digits and hyphens that begins with a letter",
    r"^[a-z][a-z0-9-]{0,39}$",
    |text| starts_with_letter(text) && is(text, 1..=40, "-", Case::Lower)
);
text!(
    /// A UUID of Azure, as it writes them.
    Uuid,
    "a lower-case UUID such as \"00000000-0000-0000-0000-000000000000\"",
    r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
    |text| text.split('-').map(str::len).eq([8, 4, 4, 4, 12])
        && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-'))
);
text!(
    /// A region of Azure.
    Region,
    "a region in its short spelling such as \"westeurope\"",
    r"^[a-z0-9]{2,40}$",
    |text| is(text, 2..=40, "", Case::Lower)
);
text!(
    /// The name of a resource group.
    ResourceGroupName,
    "1 to 90 letters, digits and any of - _ . ( ) without a period at the end",
    r"^[A-Za-z0-9_.()-]{0,89}[A-Za-z0-9_()-]$",
    |text| is(text, 1..=90, "-_.()", Case::Any) && !text.ends_with('.')
);
text!(
    /// The name of a user-assigned managed identity.
    IdentityName,
    "3 to 128 letters, digits, hyphens and underscores that begin with a letter or digit",
    r"^[A-Za-z0-9][A-Za-z0-9_-]{2,127}$",
    |text| is(text, 3..=128, "-_", Case::Any) && !text.starts_with(['-', '_'])
);
text!(
    /// The name of a container registry.
    RegistryName,
    "5 to 50 lower-case letters and digits",
    r"^[a-z0-9]{5,50}$",
    |text| is(text, 5..=50, "", Case::Lower)
);
text!(
    /// A repository in a registry.
    Repository,
    "a repository of lower-case letters and digits, parted by single / . _ or -",
    r"^[a-z0-9]+([/._-][a-z0-9]+)*$",
    |text| text.len() <= 255
        && text.split(['/', '.', '_', '-']).all(|part| is(part, 1..=255, "", Case::Lower))
);
text!(
    /// The name of an attestation provider.
    ProviderName,
    "3 to 24 lower-case letters, digits and hyphens",
    r"^[a-z0-9-]{3,24}$",
    |text| is(text, 3..=24, "-", Case::Lower)
);
text!(
    /// The name of a key vault.
    VaultName,
    "3 to 24 lower-case letters, digits and single hyphens that begin with a letter and end with a letter or digit",
    r"^[a-z]([a-z0-9]|-[a-z0-9]){2,23}$",
    |text| starts_with_letter(text)
        && is(text, 3..=24, "-", Case::Lower)
        && !text.contains("--")
        && !text.ends_with('-')
);
text!(
    /// The name of a storage account.
    AccountName,
    "3 to 24 lower-case letters and digits",
    r"^[a-z0-9]{3,24}$",
    |text| is(text, 3..=24, "", Case::Lower)
);
text!(
    /// The name of a container in a storage account.
    ContainerName,
    "3 to 63 lower-case letters, digits and single hyphens, with a letter or digit at both ends",
    r"^[a-z0-9]([a-z0-9]|-[a-z0-9]){2,62}$",
    |text| is(text, 3..=63, "-", Case::Lower)
        && !text.contains("--")
        && !text.starts_with('-')
        && !text.ends_with('-')
);
text!(
    /// The address of an HTTPS service: scheme and host, perhaps a path, no slash at the end.
    HttpsUrl,
    "an address such as \"https://host.example/path\" without port, query or a slash at the end",
    r"^https://[a-z0-9.-]+(/[A-Za-z0-9._~-]+)*$",
    |text| text.strip_prefix("https://").is_some_and(|rest| {
        let (host, path) = rest.split_once('/').map_or((rest, None), |(h, p)| (h, Some(p)));
        text.len() <= 255
            && is_dns_name(host)
            && path.is_none_or(|path| path.split('/').all(|part| is(part, 1..=200, "._~-", Case::Any)))
    })
);
text!(
    /// A file, relative to the folder of the manifest.
    FilePath,
    "a file's path relative to the manifest's folder, with forward slashes",
    r"^[^/\\][^\\]*$",
    |text| !text.is_empty()
        && text.len() <= 1024
        && !text.starts_with('/')
        && !text.ends_with('/')
        && !text.contains(['\\', ':'])
        && !text.contains(char::is_control)
);
text!(
    /// A name that a TLS certificate is for: a DNS name or an IP address.
    TlsName,
    "a DNS name or an IP address",
    r"^[a-z0-9.:-]+$",
    |text| is_dns_name(text) || text.parse::<IpAddr>().is_ok_and(|ip| ip.to_string() == text)
);
text!(
    /// An age recipient: the public half of a person's recovery key.
    AgeRecipient,
    "an age recipient such as \"age1…\" (the public key that age-keygen prints)",
    r"^age1[02-9ac-hj-np-z]{58}$",
    |text| text == text.to_lowercase()
        && bech32::primitives::decode::CheckedHrpstring::new::<bech32::Bech32>(text).is_ok_and(
            |checked| checked.hrp().as_str() == "age" && checked.byte_iter().len() == 32
        )
);
text!(
    /// Where a secret is in the server's key-value store, below its mount.
    SecretPath,
    "a path of segments of letters, digits and . _ - parted by single slashes",
    r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$",
    is_secret_path
);
text!(
    /// Which paths an operator may touch: one path, all below a folder (`folder/*`), or all (`*`).
    PathGlob,
    "a secret's path, a folder followed by /*, or *",
    r"^(\*|[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*(/\*)?)$",
    |text| text == "*" || is_secret_path(text.strip_suffix("/*").unwrap_or(text))
);
text!(
    /// A field of a secret.
    Field,
    "the name of a field: 1 to 128 letters, digits and . _ -",
    r"^[A-Za-z0-9._-]{1,128}$",
    |text| is(text, 1..=128, "._-", Case::Any)
);
text!(
    /// The name of a token's claim.
    ClaimName,
    "the name of a claim: 1 to 128 letters, digits and any of . _ - : /",
    r"^[A-Za-z0-9._:/-]{1,128}$",
    |text| is(text, 1..=128, "._-:/", Case::Any)
);
text!(
    /// A text that a token must have to the letter.
    ExactText,
    "a text of 1 to 512 printable characters",
    r"^[^\x00-\x1f\x7f-\x9f]{1,512}$",
    |text| (1..=512).contains(&text.chars().count()) && !text.contains(char::is_control)
);
text!(
    /// Who signs a policy fragment.
    Did,
    "a did:x509 of 1 to 1024 printable characters",
    r"^did:x509:[^\x00-\x20\x7f-\x9f]{1,1015}$",
    |text| text.len() <= 1024
        && text.strip_prefix("did:x509:").is_some_and(|rest| !rest.is_empty())
        && !text.contains(|c: char| c.is_control() || c.is_whitespace())
);
text!(
    /// An image in a registry.
    ImageText,
    "an image with its registry, such as \"registry.example/repository@sha256:…\"",
    r"^[A-Za-z0-9.-]+(:[0-9]+)?/[a-z0-9][a-z0-9._/:@-]*$",
    |text| text.len() <= 512
        && text.split_once('/').is_some_and(|(host, rest)| host.contains('.') && !rest.is_empty())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/:@".contains(&b))
);
text!(
    /// The name of a variable.
    VariableName,
    "the name of a variable: 1 to 256 printable characters without an equals sign",
    r"^[^=\x00-\x20\x7f-\x9f]{1,256}$",
    |text| (1..=256).contains(&text.chars().count())
        && !text.contains(|c: char| c == '=' || c.is_control() || c.is_whitespace())
);
text!(
    /// The value of a variable, or an argument of a command; it may be empty.
    Value,
    "a text of up to 32768 characters without NUL",
    r"^[^\x00]{0,32768}$",
    |text| text.chars().count() <= 32_768 && !text.contains('\0')
);
text!(
    /// A path in a container.
    AzurePath,
    "an absolute path without a part ..",
    r"^/[^\x00:]*$",
    |text| text.starts_with('/')
        && text.len() <= 1024
        && !text.contains([':', '\0'])
        && text.split('/').all(|part| part != "..")
);

impl Field {
    /// The field that is delivered unless a manifest names another.
    pub(crate) fn value() -> Self {
        Self("value".to_owned())
    }
}

/// The number of a register, as the key of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Register(pub(crate) PcrIndex);

impl FromStr for Register {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let index = text.parse().ok().and_then(|number: u8| PcrIndex::try_from(number).ok());
        // One spelling, so that no register is there twice.
        let index = index.filter(|index| index.to_string() == text);
        index.map(Self).ok_or(Malformed(Self::EXPECTED))
    }
}

impl Expected for Register {
    const EXPECTED: &'static str = "the number of a register, 0 to 23";
}

impl Expected for HostData {
    const EXPECTED: &'static str = "64 lower-case hex digits, a value of HOST_DATA";
}

impl Expected for Sha256 {
    const EXPECTED: &'static str = "64 lower-case hex digits, a SHA-256";
}

impl Expected for Measurement {
    const EXPECTED: &'static str = "96 lower-case hex digits, a launch measurement";
}

#[derive(PartialEq, Eq)]
enum Case {
    Lower,
    Any,
}

/// Whether the text has such a length and only letters, digits and the others.
fn is(text: &str, length: std::ops::RangeInclusive<usize>, others: &str, case: Case) -> bool {
    length.contains(&text.len())
        && text.chars().all(|c| {
            c.is_ascii_lowercase()
                || c.is_ascii_digit()
                || (case == Case::Any && c.is_ascii_uppercase())
                || others.contains(c)
        })
}

fn starts_with_letter(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
}

/// RFC 1123, section 2.1, in lower case; all-digit top labels are addresses and so no names.
fn is_dns_name(text: &str) -> bool {
    text.len() <= 253
        && !text.rsplit('.').next().is_some_and(|top| top.bytes().all(|b| b.is_ascii_digit()))
        && text.split('.').all(|label| {
            is(label, 1..=63, "-", Case::Lower) && !label.starts_with('-') && !label.ends_with('-')
        })
}

fn is_secret_path(text: &str) -> bool {
    text.len() <= 256
        && text
            .split('/')
            .all(|part| is(part, 1..=128, "._-", Case::Any) && part != "." && part != "..")
}
