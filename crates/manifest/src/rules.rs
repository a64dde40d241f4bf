//! Who may have which secret: `[audit]`, `[operator.NAME]`, `[workload.NAME]`, `[secret."PATH"]`.

use std::collections::{BTreeMap, BTreeSet};

use evidence::{DebugPolicy, HostData, Measurement, PcrIndex, PcrValue, Product, TcbFloor};
use schemars::JsonSchema;
use serde::Serialize;

use crate::group::Group;
use crate::read::{Context, Item, Read};
use crate::requirements::{Requirements, Uvm, as_flag};
use crate::schema::{Hex32, Hex48, PcrTable, TcbTable};
use crate::table::Table;
use crate::text::{ClaimName, ExactText, Field, HttpsUrl, Name, PathGlob, Register};
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
    /// HOST_DATA of its groups; a container's only, and needed there.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(with = "BTreeSet<Hex32>", default)]
    pub host_data: BTreeSet<HostData>,
    /// Whether the host may debug it, and so read every secret in it.
    #[serde(serialize_with = "as_flag")]
    #[schemars(with = "bool")]
    pub debug: DebugPolicy,
    /// The privilege level, which is 0 for a container, and for the paravisor of a virtual machine.
    #[schemars(range(min = 0, max = 0))]
    pub vmpl: u8,
    /// Launch measurements that are accepted. A container's are endorsed besides, and empty accepts every endorsed one;
    /// nobody endorses a paravisor, so a virtual machine needs at least one.
    #[schemars(with = "BTreeSet<Hex48>", default)]
    pub launch_measurements: BTreeSet<Measurement>,
    /// The oldest TCB of each accepted product; a product that is absent is refused.
    #[schemars(with = "TcbTable")]
    pub tcb: BTreeMap<Product, TcbFloor>,
    /// Which utility VM is accepted; a container's only, and needed there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uvm: Option<Uvm>,
    /// What has booted: the accepted values of registers of the virtual TPM, of its SHA-256 bank; a virtual machine's
    /// only, and needed there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "PcrTable", default)]
    pub pcrs: BTreeMap<PcrIndex, BTreeSet<PcrValue>>,
    /// Whether the machine must have been configured to boot only signed code; a virtual machine's only, and needed
    /// there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secure_boot: Option<bool>,
    /// What HOST_DATA is the hash of; a container's only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
}

/// What tells a workload from others of its kind.
#[derive(Debug, Clone, Copy)]
pub enum Shows<'w> {
    /// A container: what it is, and in which utility VM.
    Container {
        /// HOST_DATA of its groups.
        host_data: &'w BTreeSet<HostData>,
        /// Which utility VM.
        uvm: &'w Uvm,
    },
    /// A virtual machine: what has booted.
    Vm {
        /// The accepted values of registers.
        pcrs: &'w BTreeMap<PcrIndex, BTreeSet<PcrValue>>,
        /// Whether only signed code may have booted.
        secure_boot: evidence::Requirement,
    },
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
        let kind = t.required("kind", |i| i.choice());
        let common = Requirements::read(t, context);
        match kind? {
            WorkloadKind::Container => {
                let host_data = t.required("host_data", |i| some(i, i.set(|i| i.parse())?));
                let uvm = t.required("uvm", Uvm::read);
                let group = t.optional("group", |i| i.table(Group::read));
                let (host_data, uvm, group) = (host_data?, Some(uvm?), group?);
                Ok(Self { host_data, uvm, group, ..Self::new(WorkloadKind::Container, common?) })
            }
            WorkloadKind::Vm => {
                let pcrs = t.required("pcrs", read_pcrs);
                let secure_boot = t.required("secure_boot", |i| i.flag());
                let common = common?;
                if common.launch_measurements.is_empty() {
                    t.required("launch_measurements", |i| {
                        let help = "the measurement of Azure's paravisor; nobody endorses it, so without one any \
                            machine of AMD could say that it had a virtual TPM";
                        Err::<(), _>(i.reject_try("at least one", help))
                    })?;
                }
                let (pcrs, secure_boot) = (pcrs?, Some(secure_boot?));
                Ok(Self { pcrs, secure_boot, ..Self::new(WorkloadKind::Vm, common) })
            }
        }
    }

    /// What both kinds have; the rest is the reader's to fill in.
    fn new(kind: WorkloadKind, common: Requirements) -> Self {
        let Requirements { debug, vmpl, launch_measurements, tcb } = common;
        Self {
            kind,
            host_data: BTreeSet::new(),
            debug,
            vmpl,
            launch_measurements,
            tcb,
            uvm: None,
            pcrs: BTreeMap::new(),
            secure_boot: None,
            group: None,
        }
    }

    /// What tells it from others: a utility VM is what only a container has, and every container.
    #[must_use]
    pub fn shows(&self) -> Shows<'_> {
        match &self.uvm {
            Some(uvm) => Shows::Container { host_data: &self.host_data, uvm },
            None => Shows::Vm {
                pcrs: &self.pcrs,
                secure_boot: match self.secure_boot {
                    Some(false) => evidence::Requirement::NotRequired,
                    Some(true) | None => evidence::Requirement::Required,
                },
            },
        }
    }
}

fn read_pcrs(i: &Item<'_>) -> Read<BTreeMap<PcrIndex, BTreeSet<PcrValue>>> {
    let pcrs = i.names(|_: &Register, i| some(i, i.set(|i| i.parse())?))?;
    let pcrs: BTreeMap<PcrIndex, BTreeSet<PcrValue>> =
        pcrs.into_iter().map(|(register, values)| (register.0, values)).collect();
    // What boots may extend every later register as it likes, and reset 16 and 23 (TCG PC Client Platform Firmware
    // Profile 1.06, section 3.3.4): only these two say what booted.
    if MEASURED_BOOT.iter().all(|needed| pcrs.keys().any(|found| found.number() == *needed)) {
        return Ok(pcrs);
    }
    Err(i.reject("at least the registers 4 and 7, which say what booted and by whose keys"))
}

/// What was booted, and the keys and settings of Secure Boot.
const MEASURED_BOOT: [u8; 2] = [4, 7];

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
