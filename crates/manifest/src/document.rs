//! The manifest as a whole: its one way in, its sections, its canonical form.

use std::cell::RefCell;
use std::collections::BTreeMap;

use evidence::{Anchors, HostData, Measurement, Product, Sha256};
use schemars::JsonSchema;
use serde::Serialize;
use toml::de::{DeTable, DeValue};

use crate::fault::Faults;
use crate::place::{Azure, Deployment, Place, Server, Storage};
use crate::read::{Choice, Context, Item, Read, Sink, join};
use crate::rules::{Audit, Operator, Secret, Shows, Workload};
use crate::table::Table;
use crate::text::{Name, SecretPath};
use crate::trust::{Attestation, MasterKey, Recovery, Signer, Tls, Unseal};
use crate::words::Cloud;

/// A deployment of Vouchsafe: which server may hold the master key, which workloads exist, which secret each may have.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Manifest {
    /// The version of this language.
    #[schemars(range(min = 1, max = 1))]
    version: u8,
    deployment: Deployment,
    azure: Azure,
    server: Server,
    /// The keys whose holders answer for the deployment: at least two, one kept offline.
    #[schemars(length(min = 2))]
    signer: BTreeMap<Name, Signer>,
    attestation: Attestation,
    master_key: MasterKey,
    tls: Tls,
    storage: Storage,
    unseal: Unseal,
    recovery: Recovery,
    audit: Audit,
    /// Those who keep secrets.
    #[schemars(default)]
    operator: BTreeMap<Name, Operator>,
    /// Those who may have secrets.
    #[schemars(default)]
    workload: BTreeMap<Name, Workload>,
    /// The secrets, by their path in the key-value store.
    #[schemars(default)]
    secret: BTreeMap<SecretPath, Secret>,
}

impl Manifest {
    /// Reads a manifest. `source_name` is for messages only.
    ///
    /// # Errors
    /// Everything that is wrong with it: faults of syntax alone if there are any, else all the others.
    pub fn parse(source_name: &str, text: &str) -> Result<Self, Faults> {
        let sink = Sink::new(text);
        if text.len() > LONGEST_TEXT {
            let found = format!("{} bytes", text.len());
            sink.push("", 0..0, found, format!("at most {LONGEST_TEXT} bytes"), None);
            return Err(Faults::new(source_name, text, sink.faults()));
        }
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let span = error.span().unwrap_or(0..0);
            sink.push("", span, error.message().to_owned(), "TOML".to_owned(), None);
        }
        let document = DeValue::Table(document.into_inner());
        let manifest = match errors.is_empty() {
            true => Item::document(&document, &sink).table(Self::read).ok(),
            false => None,
        };
        match (manifest, sink.faults()) {
            (Some(manifest), faults) if faults.is_empty() => Ok(manifest),
            (_, faults) => Err(Faults::new(source_name, text, faults)),
        }
    }

    fn read(t: &Table<'_>) -> Read<Self> {
        let context = Context::of(t.entries());
        if context.cloud == Some(Cloud::Public) {
            refuse_insecure(t);
        }
        let version = t.required("version", |i| match i.number(i64::MIN, i64::MAX)? {
            1_i64 => Ok(1),
            _ => Err(i.reject("1, the only version so far")),
        });
        let deployment = t.required("deployment", |i| i.table(Deployment::read));
        let azure = t.required("azure", |i| i.table(Azure::read));
        let server = t.required("server", |i| i.table(Server::read));
        let signer = t.required("signer", Signer::read_all);
        let attestation =
            t.required("attestation", |i| i.table(|t| Attestation::read(t, &context)));
        let master_key = t.required("master_key", |i| i.table(|t| MasterKey::read(t, &context)));
        let tls = t.required("tls", |i| i.table(Tls::read));
        let storage = t.required("storage", |i| i.table(Storage::read));
        let unseal = t.required("unseal", |i| i.table(Unseal::read));
        let recovery = t.required("recovery", |i| i.table(Recovery::read));
        let audit = t.required("audit", |i| i.table(Audit::read));
        let operator =
            t.or("operator", BTreeMap::new(), |i| i.names(|_, i| i.table(Operator::read)));
        let workload = t.or("workload", BTreeMap::new(), |i| read_workloads(i, &context));
        let secret = t.or("secret", BTreeMap::new(), |i| {
            i.names(|_, i| i.table(|t| Secret::read(t, &context)))
        });
        Ok(Self {
            version: version?,
            deployment: deployment?,
            azure: azure?,
            server: server?,
            signer: signer?,
            attestation: attestation?,
            master_key: master_key?,
            tls: tls?,
            storage: storage?,
            unseal: unseal?,
            recovery: recovery?,
            audit: audit?,
            operator: operator?,
            workload: workload?,
            secret: secret?,
        })
    }

    /// What the manifest says, in one spelling (RFC 8785): the same for two texts that mean the same.
    #[must_use]
    #[expect(clippy::expect_used, reason = "all keys are texts and all numbers finite")]
    pub fn canonical(&self) -> String {
        serde_jcs::to_string(self).expect("a manifest is JSON")
    }

    /// The SHA-256 of [`Self::canonical`].
    #[must_use]
    pub fn digest(&self) -> Sha256 {
        Sha256::of(self.canonical().as_bytes())
    }

    /// The roots that evidence of this deployment must lead to.
    #[must_use]
    pub fn anchors(&self) -> Anchors {
        match self.azure.place() {
            Place::Public => Anchors::amd(),
            Place::InsecureLocal(local) => {
                Anchors::insecure(local.amd_root_sha256.iter().copied(), local.uvm_root_sha256)
            }
        }
    }

    /// HOST_DATA of the older images that may still have the master key on that day.
    pub fn permitted(&self, today: jiff::civil::Date) -> impl Iterator<Item = HostData> + '_ {
        let permitted = self.server.permitted.iter();
        permitted.filter(move |image| today <= image.until).map(|image| image.host_data)
    }
}

macro_rules! sections {
    ($($(#[$doc:meta])* $name:ident: $type:ty),+ $(,)?) => {
        impl Manifest {
            $($(#[$doc])* #[must_use] pub fn $name(&self) -> &$type { &self.$name })+
        }
    };
}

sections! {
    /// `[deployment]`.
    deployment: Deployment,
    /// `[azure]`.
    azure: Azure,
    /// `[server]`.
    server: Server,
    /// `[signer.NAME]`.
    signer: BTreeMap<Name, Signer>,
    /// `[attestation]`.
    attestation: Attestation,
    /// `[master_key]`.
    master_key: MasterKey,
    /// `[tls]`.
    tls: Tls,
    /// `[storage]`.
    storage: Storage,
    /// `[unseal]`.
    unseal: Unseal,
    /// `[recovery]`.
    recovery: Recovery,
    /// `[audit]`.
    audit: Audit,
    /// `[operator.NAME]`.
    operator: BTreeMap<Name, Operator>,
    /// `[workload.NAME]`.
    workload: BTreeMap<Name, Workload>,
    /// `[secret."PATH"]`.
    secret: BTreeMap<SecretPath, Secret>,
}

impl Context {
    fn of(document: &DeTable<'_>) -> Self {
        let section = |name: &str| document.get(name).and_then(|value| value.get_ref().as_table());
        let cloud = section("azure").and_then(|azure| azure.get("cloud")?.get_ref().as_str());
        let cloud = Cloud::CHOICES.iter().find(|(name, _)| Some(*name) == cloud);
        let workloads = section("workload").into_iter().flat_map(|names| names.keys());
        Self {
            cloud: cloud.map(|(_, cloud)| *cloud),
            workloads: workloads.map(|name| name.get_ref().to_string()).collect(),
        }
    }
}

/// Refuses every key that lowers safety, wherever it stands.
fn refuse_insecure(t: &Table<'_>) {
    let mut left = vec![(String::new(), t.entries())];
    while let Some((path, entries)) = left.pop() {
        for (key, value) in entries {
            if key.get_ref().starts_with("insecure_") {
                let expected = "no `insecure_` key, because the cloud is public";
                t.reject_key(&join(&path, key.get_ref()), key.span(), expected);
            } else if let Some(inner) = value.get_ref().as_table() {
                left.push((join(&path, key.get_ref()), inner));
            }
        }
    }
}

/// Reads the workloads; no evidence may be good for two of them.
fn read_workloads(i: &Item<'_>, context: &Context) -> Read<BTreeMap<Name, Workload>> {
    let earlier: RefCell<BTreeMap<(HostData, Product), Earlier>> = RefCell::default();
    let machines: RefCell<Vec<(Name, Workload)>> = RefCell::default();
    i.names(|name: &Name, i| {
        let workload = i.table(|t| Workload::read(t, context))?;
        let mut earlier = earlier.borrow_mut();
        let mut machines = machines.borrow_mut();
        let twin = twin(&workload, &earlier).or_else(|| machine_twin(&workload, &machines));
        if let Some(twin) = twin {
            return Err(i.reject(format!("a workload that no evidence takes for `{twin}` too")));
        }
        for place in places(&workload) {
            let there = earlier.entry(place).or_insert_with(|| Earlier {
                first: name.clone(),
                any: None,
                by_measurement: BTreeMap::new(),
            });
            if workload.launch_measurements.is_empty() {
                there.any.get_or_insert_with(|| name.clone());
            }
            let measured = workload.launch_measurements.iter();
            there.by_measurement.extend(measured.map(|measurement| (*measurement, name.clone())));
        }
        if let Shows::Vm { .. } = workload.shows() {
            machines.push((name.clone(), workload.clone()));
        }
        Ok(workload)
    })
}

/// A virtual machine of which one piece of evidence could meet the requirements, too: no product, measurement or register
/// parts them.
fn machine_twin<'e>(workload: &Workload, machines: &'e [(Name, Workload)]) -> Option<&'e Name> {
    let Shows::Vm { pcrs, .. } = workload.shows() else { return None };
    let alike = |other: &Workload| {
        pcrs.iter().all(|(index, values)| {
            other.pcrs.get(index).is_none_or(|others| !values.is_disjoint(others))
        }) && workload.tcb.keys().any(|product| other.tcb.contains_key(product))
            && !workload.launch_measurements.is_disjoint(&other.launch_measurements)
    };
    machines.iter().find(|(_, other)| alike(other)).map(|(name, _)| name)
}

/// The workloads so far that have one value of HOST_DATA on one product.
struct Earlier {
    first: Name,
    /// The one that takes any launch measurement.
    any: Option<Name>,
    by_measurement: BTreeMap<Measurement, Name>,
}

/// A workload of which one report could meet the requirements, too; floors do not part them, since a new TCB is above
/// both.
fn twin<'e>(
    workload: &Workload,
    earlier: &'e BTreeMap<(HostData, Product), Earlier>,
) -> Option<&'e Name> {
    places(workload).filter_map(|place| earlier.get(&place)).find_map(|there| {
        if workload.launch_measurements.is_empty() {
            return Some(&there.first);
        }
        let same = |measurement| there.by_measurement.get(measurement);
        there.any.as_ref().or_else(|| workload.launch_measurements.iter().find_map(same))
    })
}

fn places(workload: &Workload) -> impl Iterator<Item = (HostData, Product)> + '_ {
    let products = || workload.tcb.keys().copied();
    workload.host_data.iter().flat_map(move |value| products().map(|product| (*value, product)))
}

/// Bounds the work before any of it is done.
const LONGEST_TEXT: usize = 8 << 20;
