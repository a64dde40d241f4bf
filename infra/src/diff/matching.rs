//! Which of the old things is which of the new ones.
//!
//! A name is for people: what is equal under another name is the same thing. What is left is matched by name, and after
//! that by what identifies it, so that a thing that was renamed and changed is compared with itself.

use std::collections::BTreeMap;

/// The old and the new of the same thing, under its new name; or the one that has no other.
pub(super) struct Matched<'a, K, V> {
    pub(super) pairs: Vec<Pair<'a, K, V>>,
    pub(super) gone: Vec<(&'a K, &'a V)>,
    pub(super) come: Vec<(&'a K, &'a V)>,
}

/// The same thing before and after.
pub(super) struct Pair<'a, K, V> {
    pub(super) names: [&'a K; 2],
    pub(super) values: [&'a V; 2],
}

/// Matches by equal content, then by name, then by identity, where that is unambiguous.
pub(super) fn matching<'a, K: Ord, V, C: Ord, I: Ord>(
    old: &'a BTreeMap<K, V>,
    new: &'a BTreeMap<K, V>,
    content: impl Fn(&'a V) -> C,
    identity: impl Fn(&'a V) -> I,
) -> Matched<'a, K, V> {
    let mut gone: BTreeMap<&K, &V> = old.iter().collect();
    let mut come: BTreeMap<&K, &V> = new.iter().collect();
    let mut pairs = Vec::new();
    // What has not changed at all keeps its name even if something else is equal to it.
    let same = |(name, value): &(&&'a K, &&'a V)| {
        new.get(**name).is_some_and(|other| content(other) == content(value))
    };
    let unchanged: Vec<&K> = gone.iter().filter(same).map(|(name, _)| *name).collect();
    let mut pair = |gone: &mut BTreeMap<&'a K, &'a V>,
                    come: &mut BTreeMap<&'a K, &'a V>,
                    names: Vec<[&'a K; 2]>| {
        for [before, after] in names {
            if let (Some(old), Some(new)) = (gone.remove(before), come.remove(after)) {
                pairs.push(Pair { names: [before, after], values: [old, new] });
            }
        }
    };
    pair(&mut gone, &mut come, unchanged.into_iter().map(|name| [name, name]).collect());
    let renamed = by_key(&gone, &come, &content);
    pair(&mut gone, &mut come, renamed);
    let kept = gone.keys().filter(|name| come.contains_key(**name)).map(|name| [*name, *name]);
    let kept = kept.collect();
    pair(&mut gone, &mut come, kept);
    let identical = by_key(&gone, &come, &identity);
    pair(&mut gone, &mut come, identical);
    Matched { pairs, gone: gone.into_iter().collect(), come: come.into_iter().collect() }
}

/// The names on both sides that have the same key, where no other on the same side has it.
fn by_key<'a, K: Ord, V, C: Ord>(
    gone: &BTreeMap<&'a K, &'a V>,
    come: &BTreeMap<&'a K, &'a V>,
    key: &impl Fn(&'a V) -> C,
) -> Vec<[&'a K; 2]> {
    let index = |side: &BTreeMap<&'a K, &'a V>| {
        let mut names: BTreeMap<C, Option<&'a K>> = BTreeMap::new();
        for (name, value) in side {
            names.entry(key(value)).and_modify(|twin| *twin = None).or_insert(Some(name));
        }
        names
    };
    let come = index(come);
    let pairs = index(gone).into_iter().filter_map(|(key, before)| {
        let after = come.get(&key)?;
        Some([before?, (*after)?])
    });
    pairs.collect()
}
