//! AMD's revocation lists: fetched beside the requests, never for one.
//!
//! A list is a claim until a verification has checked its signature under the root of the evidence, so nothing here judges
//! it. A list that cannot be renewed stays until its own end; what then happens is the manifest's `crl` to say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use azure::Endpoints;
use azure::kds::{self, KdsError};
use evidence::Product;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::core::Core;
use crate::follow::Reported;

/// The newest list of each product, as DER.
#[derive(Debug, Default)]
pub struct Lists(ArcSwap<BTreeMap<Product, Vec<u8>>>);

impl Lists {
    /// All that there are.
    #[must_use]
    pub fn all(&self) -> Vec<Vec<u8>> {
        self.0.load().values().cloned().collect()
    }

    /// Replaces a product's list.
    pub fn put(&self, product: Product, list: Vec<u8>) {
        self.0.rcu(|lists| {
            let mut lists = BTreeMap::clone(lists);
            lists.insert(product, list.clone());
            lists
        });
    }
}

/// Keeps the lists of the products that the manifest's workloads run on.
pub struct Refresher {
    core: Arc<Core>,
    endpoints: Endpoints,
    due: BTreeMap<Product, Instant>,
    reported: BTreeMap<Product, Reported>,
}

impl Refresher {
    /// For this server.
    #[must_use]
    pub const fn new(core: Arc<Core>, endpoints: Endpoints) -> Self {
        Self { core, endpoints, due: BTreeMap::new(), reported: BTreeMap::new() }
    }

    /// Looks for the first time, but not for long: a server without lists serves what needs none.
    pub async fn first(&mut self) {
        drop(tokio::time::timeout(FIRST, self.look()).await);
    }

    /// Looks now and then until `stop` is set.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            self.look().await;
            tokio::select! {
                () = tokio::time::sleep(TICK) => {}
                changed = stop.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn look(&mut self) {
        let manifest = self.core.in_force();
        let workloads = manifest.manifest.workload().values();
        let needed: BTreeSet<Product> =
            workloads.flat_map(|workload| workload.tcb.keys().copied()).collect();
        for product in needed {
            if self.due.get(&product).is_some_and(|due| *due > Instant::now()) {
                continue;
            }
            // Whatever becomes of this attempt, the next one is not at once.
            self.due.insert(product, Instant::now() + RETRY);
            let fetched: Result<_, KdsError> = kds::revocation_list(&self.endpoints, product).await;
            let reported = self.reported.entry(product).or_default();
            if let Some(list) = reported.told("revocation list", fetched) {
                self.core.revocation.put(product, list);
                self.due.insert(product, Instant::now() + RENEW);
            }
        }
    }
}

/// A list is in force for months; this is how late a revocation is noticed.
const RENEW: Duration = Duration::from_secs(60 * 60);
const RETRY: Duration = Duration::from_secs(30);
/// How late a product that a new manifest names is looked for.
const TICK: Duration = Duration::from_secs(5);
const FIRST: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_list_takes_the_place_of_the_older() {
        let lists = Lists::default();
        assert_eq!(lists.all(), Vec::<Vec<u8>>::new());
        lists.put(Product::Genoa, vec![2]);
        lists.put(Product::Milan, vec![1]);
        lists.put(Product::Milan, vec![3]);
        assert_eq!(lists.all(), [vec![3], vec![2]]);
    }
}
