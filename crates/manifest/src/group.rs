//! What a workload's HOST_DATA is the hash of: `[workload.NAME.group]`.
//!
//! The hardware reports the hash and nothing else, so a server decides by `host_data` alone. This section is for
//! people: `image measure` derives the hash from it, or writes here what it found, and `lint` and `diff` name the
//! parties that a group admits.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use crate::read::{Item, Read};
use crate::table::Table;
use crate::text::{AzurePath, Did, ExactText, ImageText, Name, Value, VariableName};
use crate::words::VolumeKind;

/// A container group.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct Group {
    /// Whose signed policy parts the group admits, beside Microsoft's infrastructure; they can obtain its secrets.
    #[schemars(default)]
    pub fragments: Vec<Fragment>,
    /// Whether the policy permits shells, any environment, logs and dumps, and so the host every secret.
    #[schemars(default)]
    pub insecure_debug: bool,
    /// The containers; empty if they are described elsewhere.
    #[schemars(default)]
    pub container: BTreeMap<Name, Container>,
}

/// A signed policy part that a group admits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct Fragment {
    /// Who signs it.
    pub issuer: Did,
    /// What it is called.
    pub feed: ExactText,
    /// The least security version.
    #[schemars(range(min = 0, max = 999_999_999))]
    pub minimum_svn: u32,
    /// What it may add.
    #[schemars(length(min = 1))]
    pub includes: BTreeSet<ExactText>,
}

/// A container of a group. What is left out is the image's or the service's default.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct Container {
    /// The image, with its registry.
    pub image: ImageText,
    /// The command with its arguments.
    #[schemars(default)]
    pub command: Vec<Value>,
    /// Variables.
    #[schemars(default)]
    pub environment: BTreeMap<VariableName, Value>,
    /// Volumes, in order.
    #[schemars(default)]
    pub volumes: Vec<Volume>,
    /// The user by number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<u32>,
    /// The group by number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
    /// Capabilities beyond the service's defaults.
    #[schemars(default)]
    pub add_capabilities: BTreeSet<ExactText>,
    /// Capabilities that it does without; `ALL` is every one.
    #[schemars(default)]
    pub drop_capabilities: BTreeSet<ExactText>,
    /// Whether it can never gain privileges.
    #[schemars(default)]
    pub no_new_privileges: bool,
}

/// A volume of a container.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct Volume {
    /// What it is.
    pub kind: VolumeKind,
    /// Where it is mounted.
    pub path: AzurePath,
    /// Whether it may only be read.
    #[schemars(default)]
    pub read_only: bool,
}

impl Group {
    pub(crate) fn read(t: &Table<'_>) -> Read<Self> {
        let fragments = t.or("fragments", Vec::new(), |i| i.list(|i| i.table(Fragment::read)));
        let insecure_debug = t.or("insecure_debug", false, Item::flag);
        let container =
            t.or("container", BTreeMap::new(), |i| i.names(|_: &Name, i| i.table(Container::read)));
        Ok(Self { fragments: fragments?, insecure_debug: insecure_debug?, container: container? })
    }
}

impl Fragment {
    fn read(t: &Table<'_>) -> Read<Self> {
        let issuer = t.required("issuer", |i| i.parse());
        let feed = t.required("feed", |i| i.parse());
        let minimum_svn = t.required("minimum_svn", |i| i.number(0, 999_999_999));
        let includes = t.required("includes", |i| i.set(|i| i.parse()));
        Ok(Self { issuer: issuer?, feed: feed?, minimum_svn: minimum_svn?, includes: includes? })
    }
}

impl Container {
    fn read(t: &Table<'_>) -> Read<Self> {
        let image = t.required("image", |i| i.parse());
        let command = t.or("command", Vec::new(), |i| i.list(|i| i.parse()));
        let environment =
            t.or("environment", BTreeMap::new(), |i| i.names(|_: &VariableName, i| i.parse()));
        let volumes = t.or("volumes", Vec::new(), |i| i.list(|i| i.table(Volume::read)));
        let user = t.optional("user", |i| i.number(0, i64::from(u32::MAX)));
        let group = t.optional("group", |i| i.number(0, i64::from(u32::MAX)));
        let add = t.or("add_capabilities", BTreeSet::new(), |i| i.set(|i| i.parse()));
        let drop = t.or("drop_capabilities", BTreeSet::new(), |i| i.set(|i| i.parse()));
        let no_new_privileges = t.or("no_new_privileges", false, Item::flag);
        Ok(Self {
            image: image?,
            command: command?,
            environment: environment?,
            volumes: volumes?,
            user: user?,
            group: group?,
            add_capabilities: add?,
            drop_capabilities: drop?,
            no_new_privileges: no_new_privileges?,
        })
    }
}

impl Volume {
    fn read(t: &Table<'_>) -> Read<Self> {
        let kind = t.required("kind", |i| i.choice());
        let path = t.required("path", |i| i.parse());
        let read_only = t.or("read_only", false, Item::flag);
        Ok(Self { kind: kind?, path: path?, read_only: read_only? })
    }
}
