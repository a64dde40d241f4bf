//! AMD's revocation lists: fetched beside the requests, never for one.
//!
//! A list is taken over once its signature has been verified under the product's pinned root, and only if it is not older
//! than the one that is held; anything else is refused, told once, and changes nothing. A list that cannot be renewed stays;
//! what it means past its own end is the manifest's `crl` to say. Lists are not stored: after a restart the first that
//! arrives is taken, however old.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use azure::Endpoints;
use azure::kds::{self, KdsError};
use evidence::{ListRefused, Product, RevocationList};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::core::Core;
use crate::follow::Reported;

/// The newest list of each product.
#[derive(Debug, Default)]
pub struct Lists(ArcSwap<BTreeMap<Product, Arc<RevocationList>>>);

impl Lists {
    /// All that there are, as DER.
    #[must_use]
    pub fn all(&self) -> Vec<Vec<u8>> {
        self.0.load().values().map(|list| list.der().to_vec()).collect()
    }

    /// Takes over a product's list.
    ///
    /// # Errors
    /// It is older than the one that is held, which stays.
    pub fn put(&self, product: Product, list: RevocationList) -> Result<(), ListRefused> {
        let list = Arc::new(list);
        let mut outcome = Ok(());
        self.0.rcu(|lists| {
            outcome = lists.get(&product).map_or(Ok(()), |held| list.replaces(held));
            let mut lists = BTreeMap::clone(lists);
            if outcome.is_ok() {
                lists.insert(product, Arc::clone(&list));
            }
            lists
        });
        outcome
    }
}

/// Why a list was not renewed.
#[derive(Debug, thiserror::Error)]
enum NotRenewed {
    #[error("asking amd")]
    Kds(#[from] KdsError),
    #[error("the list")]
    List(#[from] ListRefused),
}

/// Keeps the lists of the products that the manifest's workloads run on.
pub struct Refresher {
    core: Arc<Core>,
    endpoints: Endpoints,
    /// What AMD's service gave as the certificates of a product, once a list was verified with them.
    roots: BTreeMap<Product, String>,
    due: BTreeMap<Product, Instant>,
    reported: BTreeMap<Product, Reported>,
}

impl Refresher {
    /// For this server.
    #[must_use]
    pub const fn new(core: Arc<Core>, endpoints: Endpoints) -> Self {
        Self {
            core,
            endpoints,
            roots: BTreeMap::new(),
            due: BTreeMap::new(),
            reported: BTreeMap::new(),
        }
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
            let renewed = self.renew(product).await;
            let reported = self.reported.entry(product).or_default();
            if reported.told("revocation list", renewed).is_some() {
                self.due.insert(product, Instant::now() + RENEW);
            }
        }
    }

    async fn renew(&mut self, product: Product) -> Result<(), NotRenewed> {
        let certificates = match self.roots.get(&product) {
            Some(certificates) => certificates.clone(),
            None => kds::certificates(&self.endpoints, product).await?,
        };
        let list = kds::revocation_list(&self.endpoints, product).await?;
        let (anchors, now) = (self.core.verifier.anchors(), self.core.clock.now());
        let list = RevocationList::verify(anchors, product, &certificates, &list, now)?;
        self.roots.insert(product, certificates);
        Ok(self.core.revocation.put(product, list)?)
    }
}

/// A list is in force for months; this is how late a revocation is noticed.
const RENEW: Duration = Duration::from_secs(60 * 60);
const RETRY: Duration = Duration::from_secs(30);
/// How late a product that a new manifest names is looked for.
const TICK: Duration = Duration::from_secs(5);
const FIRST: Duration = Duration::from_secs(10);

#[cfg(test)]
impl Lists {
    /// As after a restart.
    pub(crate) fn forget(&self) {
        self.0.store(Arc::default());
    }
}

#[cfg(test)]
mod tests {
    use evidence::{Anchors, Sha256};
    use jiff::{SignedDuration, Timestamp};

    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_795_000_000, 0);
    const HOUR: SignedDuration = SignedDuration::from_hours(1);

    fn list(product: Product, number: u64) -> RevocationList {
        let forged = product.to_string().parse().unwrap();
        let from = NOW - HOUR;
        let der = forged_root::amd_crl_numbered(forged, Some(number), &[], from, NOW + HOUR);
        let anchors = Anchors::insecure(
            [Sha256::new(forged_root::amd_root_sha256(forged))],
            Sha256::new([0; 32]),
        );
        let chain = forged_root::amd_cert_chain(forged);
        RevocationList::verify(&anchors, product, &chain, &der, NOW).unwrap()
    }

    #[test]
    fn a_list_takes_the_place_of_the_same_products_older_one_and_never_the_other_way() {
        let lists = Lists::default();
        assert_eq!(lists.all(), Vec::<Vec<u8>>::new());
        let (genoa, milan) = (list(Product::Genoa, 1), list(Product::Milan, 8));
        let (genoa_der, milan_der) = (genoa.der().to_vec(), milan.der().to_vec());
        lists.put(Product::Genoa, genoa).unwrap();
        lists.put(Product::Milan, list(Product::Milan, 7)).unwrap();
        lists.put(Product::Milan, milan).unwrap();
        let held = [milan_der, genoa_der];
        assert_eq!(lists.all(), held);
        let refused = lists.put(Product::Milan, list(Product::Milan, 7)).unwrap_err();
        assert!(matches!(refused, ListRefused::Older { .. }), "{refused}");
        assert_eq!(lists.all(), held);
    }
}
