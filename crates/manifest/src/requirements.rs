//! What evidence must show: the part that the server's requirements and a workload's have in common.

use std::collections::{BTreeMap, BTreeSet};

use evidence::{Allowed, DebugPolicy, HostData, Measurement, Policy, Product, TcbFloor};
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::read::{Context, Item, Read};
use crate::table::Table;
use crate::words::{Cloud, Feed};

/// What was read of it; [`ServerRequirements`](crate::ServerRequirements) and [`Workload`](crate::Workload) take it over.
pub(crate) struct Requirements {
    pub(crate) debug: DebugPolicy,
    pub(crate) vmpl: u8,
    pub(crate) launch_measurements: BTreeSet<Measurement>,
    pub(crate) tcb: BTreeMap<Product, TcbFloor>,
}

/// Which utility VM is accepted.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct Uvm {
    /// Its endorsement's feed.
    pub feed: Feed,
    /// The least security version.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub minimum_svn: u64,
}

impl Requirements {
    pub(crate) fn read(t: &Table<'_>, context: &Context) -> Read<Self> {
        let debug = t.required("debug", |i| match (i.flag()?, context.cloud) {
            (true, Some(Cloud::Public)) => Err(i.reject_try(
                "false, because the cloud is public",
                "false; the host can read the memory of a guest that allows debugging",
            )),
            (true, _) => Ok(DebugPolicy::DangerouslyAllow),
            (false, _) => Ok(DebugPolicy::Refuse),
        });
        let vmpl = t.required("vmpl", |i| match i.number(0, 3)? {
            0 => Ok(0),
            _ => Err(i.reject("0, the level of confidential containers and paravisors")),
        });
        let launch_measurements =
            t.or("launch_measurements", BTreeSet::new(), |i| i.set(|i| i.parse()));
        let tcb = t.required("tcb", read_floors);
        Ok(Self {
            debug: debug?,
            vmpl: vmpl?,
            launch_measurements: launch_measurements?,
            tcb: tcb?,
        })
    }
}

impl Uvm {
    pub(crate) fn read(i: &Item<'_>) -> Read<Self> {
        i.table(|t| {
            let feed = t.required("feed", |i| i.choice());
            let minimum_svn = t.required("minimum_svn", |i| i.number(1, 1_000_000));
            Ok(Self { feed: feed?, minimum_svn: minimum_svn? })
        })
    }
}

/// The demands as `evidence` checks them.
pub(crate) fn policy(
    debug: DebugPolicy,
    vmpl: u8,
    measurements: &BTreeSet<Measurement>,
    tcb: &BTreeMap<Product, TcbFloor>,
    uvm: &Uvm,
    host_data: Allowed<HostData>,
) -> Policy {
    let Feed::ContainerPlat = uvm.feed;
    let mut policy = Policy::container(tcb.clone(), uvm.minimum_svn);
    policy.report.vmpl = vmpl;
    policy.report.debug = debug;
    policy.report.host_data = host_data;
    if !measurements.is_empty() {
        policy.report.measurements = Allowed::Only(measurements.clone());
    }
    policy
}

fn read_floors(i: &Item<'_>) -> Read<BTreeMap<Product, TcbFloor>> {
    let floors = i.table(|t| {
        let floors = Product::ALL.map(|product| {
            let read = |i: &Item<'_>| i.table(|t| read_floor(product, t));
            let floor = match product {
                Product::Milan => t.optional("milan", read),
                Product::Genoa => t.optional("genoa", read),
                Product::Turin => t.optional("turin", read),
            };
            floor.map(|floor| floor.map(|floor| (product, floor)))
        });
        let floors = floors.into_iter().collect::<Read<Vec<_>>>()?;
        Ok(floors.into_iter().flatten().collect::<BTreeMap<_, _>>())
    })?;
    if floors.is_empty() {
        return Err(i.reject("a floor for at least one of milan, genoa, turin"));
    }
    Ok(floors)
}

fn read_floor(product: Product, t: &Table<'_>) -> Read<TcbFloor> {
    // Only Turin has the component, and there a missing floor would go unnoticed.
    let fmc = match product {
        Product::Turin => t.required("fmc", |i| i.number(0, 255)).map(Some),
        Product::Milan | Product::Genoa => {
            t.optional("fmc", |i| Err(i.reject("no `fmc`, which only turin has")))
        }
    };
    let bootloader = t.required("bootloader", |i| i.number(0, 255));
    let tee = t.required("tee", |i| i.number(0, 255));
    let snp = t.required("snp", |i| i.number(0, 255));
    let microcode = t.required("microcode", |i| i.number(0, 255));
    Ok(TcbFloor { fmc: fmc?, bootloader: bootloader?, tee: tee?, snp: snp?, microcode: microcode? })
}

pub(crate) fn as_flag<S: Serializer>(
    debug: &DebugPolicy,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(match debug {
        DebugPolicy::DangerouslyAllow => true,
        DebugPolicy::Refuse => false,
    })
}
