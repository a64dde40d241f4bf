//! All keys in memory: found by name in one look, and listed in order.
//!
//! In a tree of names every comparison goes to a name that lies elsewhere in memory. So a name is looked up by its hash, and the tree is for ranges only. The hash is seeded
//! anew in each process: whoever chooses names does not choose collisions.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    ops::Bound,
};

use hashbrown::HashTable;

use crate::{Key, slot::Slot};

/// Keys with their slots.
#[derive(Default)]
pub(super) struct Table {
    /// By place; a place that is free holds nothing.
    places: Vec<Option<(Key, Slot)>>,
    free: Vec<Place>,
    by_hash: HashTable<Place>,
    in_order: BTreeMap<Key, Place>,
    seed: RandomState,
}

/// Small, because there are two for each key. More keys than it counts do not fit into a memory.
type Place = u32;

impl Table {
    /// Keys that are in order, each once.
    pub(super) fn ordered(keys: Vec<(Key, Slot)>) -> Self {
        let seed = RandomState::new();
        let names: Vec<_> =
            keys.iter().zip(0..).map(|((key, _), place)| (key.clone(), place)).collect();
        let mut by_hash = HashTable::with_capacity(names.len());
        for (key, place) in &names {
            by_hash.insert_unique(seed.hash_one(key.as_str()), *place, |_| 0);
        }
        let places = keys.into_iter().map(Some).collect();
        Self { places, free: Vec::new(), by_hash, in_order: names.into_iter().collect(), seed }
    }

    pub(super) fn get(&self, key: &Key) -> Option<(&Key, &Slot)> {
        let hash = self.seed.hash_one(key.as_str());
        let place = self.by_hash.find(hash, |place| self.is_at(*place, key))?;
        self.at(*place)
    }

    pub(super) fn get_mut(&mut self, key: &Key) -> Option<&mut Slot> {
        let hash = self.seed.hash_one(key.as_str());
        let place = *self.by_hash.find(hash, |place| self.is_at(*place, key))?;
        let (_, slot) = self.places.get_mut(index(place))?.as_mut()?;
        Some(slot)
    }

    /// Adds a key that is not there.
    pub(super) fn insert(&mut self, key: Key, slot: Slot) {
        let new = Some((key.clone(), slot));
        let place = match self.free.pop() {
            Some(place) => {
                if let Some(free) = self.places.get_mut(index(place)) {
                    *free = new;
                }
                place
            }
            None => {
                self.places.push(new);
                Place::try_from(self.places.len() - 1).unwrap_or(Place::MAX)
            }
        };
        let (places, seed) = (&self.places, &self.seed);
        let hash = |key: &Key| seed.hash_one(key.as_str());
        self.by_hash.insert_unique(hash(&key), place, |place| {
            places.get(index(*place)).and_then(Option::as_ref).map_or(0, |(key, _)| hash(key))
        });
        self.in_order.insert(key, place);
    }

    pub(super) fn remove(&mut self, key: &Key) {
        let Some(place) = self.in_order.remove(key) else { return };
        let hash = self.seed.hash_one(key.as_str());
        if let Ok(found) = self.by_hash.find_entry(hash, |one| *one == place) {
            found.remove();
        }
        if let Some(taken) = self.places.get_mut(index(place)) {
            *taken = None;
            self.free.push(place);
        }
    }

    /// In order, from a name on.
    pub(super) fn range(&self, from: Bound<&str>) -> impl Iterator<Item = (&Key, &Slot)> {
        self.in_order
            .range::<str, _>((from, Bound::Unbounded))
            .filter_map(|(_, place)| self.at(*place))
    }

    fn at(&self, place: Place) -> Option<(&Key, &Slot)> {
        self.places.get(index(place))?.as_ref().map(|(key, slot)| (key, slot))
    }

    fn is_at(&self, place: Place, key: &Key) -> bool {
        self.at(place).is_some_and(|(found, _)| found == key)
    }

    /// How many keys there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.by_hash.len(), self.in_order.len());
        assert_eq!(self.places.len() - self.free.len(), self.in_order.len());
        self.in_order.len()
    }
}

fn index(place: Place) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Value, Version};

    fn key(i: u8) -> Key {
        Key::parse(&format!("kv/{i:02}")).unwrap()
    }

    fn slot(version: u64) -> Slot {
        Slot::new(Version::new(version), Some(Value::copied(b"").unwrap()))
    }

    fn version(slot: &Slot) -> u64 {
        slot.newest().unwrap().1.number()
    }

    proptest! {
        #[test]
        fn is_a_map_in_order(
            begun in prop::collection::btree_set(0_u8..40, 0..20),
            steps in prop::collection::vec((0_u8..40, any::<bool>()), 0..200),
        ) {
            let mut map: BTreeMap<Key, u64> = begun.into_iter().map(|i| (key(i), 0)).collect();
            let mut table = Table::ordered(map.keys().map(|key| (key.clone(), slot(0))).collect());
            for (at, (i, put)) in (1..).zip(steps) {
                let key = key(i);
                if !put {
                    map.remove(&key);
                    table.remove(&key);
                } else if map.insert(key.clone(), at).is_some() {
                    *table.get_mut(&key).unwrap() = slot(at);
                } else {
                    table.insert(key, slot(at));
                }
                prop_assert_eq!(table.len(), map.len());
            }
            for i in 0..40 {
                let found = table.get(&key(i)).map(|(found, slot)| (found.clone(), version(slot)));
                prop_assert_eq!(found, map.get_key_value(&key(i)).map(|(key, at)| (key.clone(), *at)));
                prop_assert_eq!(table.get_mut(&key(i)).is_some(), map.contains_key(&key(i)));
                let from = Bound::Excluded(format!("kv/{i:02}"));
                let listed: Vec<_> = table.range(from.as_ref().map(String::as_str)).map(|(key, slot)| (key.clone(), version(slot))).collect();
                let expected: Vec<_> = map.range((Bound::Excluded(key(i)), Bound::Unbounded)).map(|(key, at)| (key.clone(), *at)).collect();
                prop_assert_eq!(listed, expected);
            }
        }
    }
}
