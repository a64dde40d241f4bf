//! What a vault says about a secret, parsed.

use std::collections::BTreeMap;

use azure_security_keyvault_secrets::models as sdk;
use jiff::Timestamp;
use secrecy::SecretString;

use crate::call::{Call, Fault, Malformed};
use crate::vault::{Name, Version, parse_id, timestamp};

/// A version of a secret with its value.
#[derive(Debug)]
pub struct Secret {
    /// Everything but the value.
    pub about: SecretVersion,
    /// The value.
    pub value: SecretString,
}

/// A version of a secret without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretVersion {
    /// The version.
    pub version: Version,
    /// Whether it can be read.
    pub enabled: bool,
    /// When it was stored.
    pub created: Option<Timestamp>,
    /// What its writer says it is.
    pub content_type: Option<String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

/// A soft-deleted secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedSecret {
    /// When it was deleted.
    pub deleted: Option<Timestamp>,
    /// When Azure destroys it.
    pub purged: Option<Timestamp>,
}

impl Secret {
    pub(super) fn parse(call: &Call, secret: sdk::Secret) -> Result<Self, Fault> {
        let mut secret = secret;
        let value =
            secret.value.take().ok_or_else(|| Fault::Malformed(Malformed::new(call, "value")))?;
        Ok(Self { value: value.into(), about: SecretVersion::parse_updated(call, secret)? })
    }
}

impl SecretVersion {
    pub(super) fn parse(call: &Call, item: sdk::SecretProperties) -> Result<Self, Fault> {
        let (_, version) = item
            .id
            .as_deref()
            .and_then(|id| parse_id(id, "secrets"))
            .ok_or_else(|| Fault::Malformed(Malformed::new(call, "a secret id")))?;
        Self::build(call, version, item.attributes, item.content_type, item.tags)
    }

    /// The answer to an update is a secret without its value.
    pub(super) fn parse_updated(call: &Call, secret: sdk::Secret) -> Result<Self, Fault> {
        let (_, version) = secret
            .id
            .as_deref()
            .and_then(|id| parse_id(id, "secrets"))
            .ok_or_else(|| Fault::Malformed(Malformed::new(call, "a secret id")))?;
        Self::build(call, version, secret.attributes, secret.content_type, secret.tags)
    }

    /// A list of secrets has ids without versions.
    pub(super) fn parse_name(call: &Call, item: sdk::SecretProperties) -> Result<Name, Fault> {
        item.id
            .as_deref()
            .and_then(|id| url::Url::parse(id).ok())
            .and_then(|id| id.path().strip_prefix("/secrets/")?.parse().ok())
            .ok_or_else(|| Fault::Malformed(Malformed::new(call, "a secret id")))
    }

    fn build(
        call: &Call,
        version: Version,
        attributes: Option<sdk::SecretAttributes>,
        content_type: Option<String>,
        tags: Option<impl IntoIterator<Item = (String, String)>>,
    ) -> Result<Self, Fault> {
        let attributes =
            attributes.ok_or_else(|| Fault::Malformed(Malformed::new(call, "attributes")))?;
        Ok(Self {
            version,
            enabled: attributes.enabled.unwrap_or(false),
            created: timestamp(attributes.created),
            content_type,
            tags: tags.into_iter().flatten().collect(),
        })
    }
}

impl DeletedSecret {
    pub(super) fn parse(call: &Call, deleted: sdk::DeletedSecret) -> Result<Self, Fault> {
        if deleted.recovery_id.is_none() {
            return Err(Fault::Malformed(Malformed::new(call, "recoveryId")));
        }
        Ok(Self {
            deleted: timestamp(deleted.deleted_date),
            purged: timestamp(deleted.scheduled_purge_date),
        })
    }
}
