//! Who may have which secret: `[audit]`, `[operator.NAME]`, `[workload.NAME]`, `[secret."PATH"]`.

use std::collections::{BTreeMap, BTreeSet};

use evidence::{Allowed, DebugPolicy, HostData, Measurement, Policy, Product, TcbFloor};
use schemars::JsonSchema;
use serde::Serialize;

use crate::group::Group;
use crate::read::{Context, Item, Read};
use crate::requirements::{Requirements, Uvm, as_flag, policy};
use crate::schema::{Hex32, Hex48, TcbTable};
use crate::table::Table;
use crate::text::{ClaimName, ExactText, Field, HttpsUrl, Name, PathGlob};
use crate::words::{Action, Login, WorkloadKind};

/// What the audit log keeps.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct Audit {
    /// How many refusals a minute are recorded one by one; more are counted.
    #[schemars(range(min = 1, max = 100_000))]
    pub refusals_per_minute: u32,
}

/// Somebody who keeps secrets: a role that a token may have.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct Operator {
    /// How they log in.
    pub login: Login,
    /// The issuer of the token, exactly.
    pub issuer: HttpsUrl,
    /// The audience of the token, exactly.
    pub audience: ExactText,
    /// Claims that the token must have, exactly.
    #[schemars(length(min = 1))]
    pub claims: BTreeMap<ClaimName, ExactText>,
    /// What they may do.
    #[schemars(length(min = 1))]
    pub may: BTreeSet<Action>,
    /// Where they may do it.
    #[schemars(length(min = 1))]
    pub paths: BTreeSet<PathGlob>,
    /// For how long a login lasts.
    #[schemars(range(min = 1, max = 1440))]
    pub token_minutes: u32,
}

/// An application that may have secrets.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct Workload {
    /// What it runs in.
    pub kind: WorkloadKind,
    /// HOST_DATA of its groups.
    #[schemars(with = "BTreeSet<Hex32>", length(min = 1))]
    pub host_data: BTreeSet<HostData>,
    /// Whether the host may debug it, and so read every secret in it.
    #[serde(serialize_with = "as_flag")]
    #[schemars(with = "bool")]
    pub debug: DebugPolicy,
    /// The privilege level, which is 0 for a container.
    #[schemars(range(min = 0, max = 0))]
    pub vmpl: u8,
    /// Launch measurements that are accepted, beside being endorsed; empty accepts every endorsed one.
    #[schemars(with = "BTreeSet<Hex48>", default)]
    pub launch_measurements: BTreeSet<Measurement>,
    /// The oldest TCB of each accepted product; a product that is absent is refused.
    #[schemars(with = "TcbTable")]
    pub tcb: BTreeMap<Product, TcbFloor>,
    /// Which utility VM is accepted.
    pub uvm: Uvm,
    /// What HOST_DATA is the hash of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
}

/// A secret, and who may read it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct Secret {
    /// The field that is delivered.
    #[schemars(default = "Field::value")]
    pub field: Field,
    /// The workloads that may read it.
    #[schemars(length(min = 1))]
    pub readers: BTreeSet<Name>,
}

impl Audit {
    pub(crate) fn read(t: &Table<'_>) -> Read<Self> {
        let refusals_per_minute = t.required("refusals_per_minute", |i| i.number(1, 100_000));
        Ok(Self { refusals_per_minute: refusals_per_minute? })
    }
}

impl Operator {
    pub(crate) fn read(t: &Table<'_>) -> Read<Self> {
        let login = t.required("login", |i| match i.text()? {
            "cert" => Err(i.reject("\"jwt\"; login by certificate is not supported yet")),
            _ => i.choice(),
        });
        let issuer = t.required("issuer", |i| i.parse());
        let audience = t.required("audience", |i| i.parse());
        let claims = t.required("claims", |i| {
            let claims = i.names(|_, i| i.parse())?;
            match claims.is_empty() {
                true => Err(i.reject("at least one claim, since the issuer signs for others too")),
                false => Ok(claims),
            }
        });
        let may = t.required("may", |i| some(i, i.set(|i| i.choice())?));
        let paths = t.required("paths", |i| some(i, i.set(|i| i.parse())?));
        let token_minutes = t.required("token_minutes", |i| i.number(1, 1440));
        Ok(Self {
            login: login?,
            issuer: issuer?,
            audience: audience?,
            claims: claims?,
            may: may?,
            paths: paths?,
            token_minutes: token_minutes?,
        })
    }
}

impl Workload {
    pub(crate) fn read(t: &Table<'_>, context: &Context) -> Read<Self> {
        let kind = t.required("kind", |i| match i.text()? {
            "vm" => Err(i.reject("\"container\"; virtual machines are not supported yet")),
            _ => i.choice(),
        });
        let host_data = t.required("host_data", |i| some(i, i.set(|i| i.parse())?));
        let group = t.optional("group", |i| i.table(Group::read));
        let Requirements { debug, vmpl, launch_measurements, tcb, uvm } =
            Requirements::read(t, context)?;
        let (kind, host_data, group) = (kind?, host_data?, group?);
        Ok(Self { kind, host_data, debug, vmpl, launch_measurements, tcb, uvm, group })
    }

    /// The demands as `evidence` checks them.
    #[must_use]
    pub fn policy(&self) -> Policy {
        let WorkloadKind::Container = self.kind;
        let host_data = Allowed::Only(self.host_data.clone());
        let measurements = &self.launch_measurements;
        policy(self.debug, self.vmpl, measurements, &self.tcb, &self.uvm, host_data)
    }
}

impl Secret {
    pub(crate) fn read(t: &Table<'_>, context: &Context) -> Read<Self> {
        let field = t.or("field", Field::value(), |i| i.parse());
        let readers = t.required("readers", |i| {
            let readers = i.set(|i| {
                let name: Name = i.parse()?;
                match context.workloads.contains(name.as_str()) {
                    true => Ok(name),
                    false => Err(i.reject_word("the name of a workload", &context.workloads)),
                }
            })?;
            some(i, readers)
        });
        Ok(Self { field: field?, readers: readers? })
    }
}

fn some<T>(i: &Item<'_>, set: BTreeSet<T>) -> Read<BTreeSet<T>> {
    if set.is_empty() { Err(i.reject("at least one")) } else { Ok(set) }
}
