//! Which of the old things is which of the new ones.
//!
//! A name is for people: what is equal under another name is the same thing. What is left is matched by name, and after
//! that by what identifies it, so that a thing that was renamed and changed is compared with itself.

use std::cmp::Ordering;
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
    let mut gone: BTreeMap<&K, &V> = BTreeMap::new();
    let mut come: BTreeMap<&K, &V> = BTreeMap::new();
    let mut pairs = Vec::new();
    for (name, values) in side_by_side(old, new) {
        match values {
            // What has not changed at all keeps its name even if something else is equal to it.
            [Some(before), Some(after)] if content(before) == content(after) => {
                pairs.push(Pair { names: [name, name], values: [before, after] });
            }
            [before, after] => {
                gone.extend(before.map(|value| (name, value)));
                come.extend(after.map(|value| (name, value)));
            }
        }
    }
    let mut pair = |gone: &mut BTreeMap<&'a K, &'a V>,
                    come: &mut BTreeMap<&'a K, &'a V>,
                    names: Vec<[&'a K; 2]>| {
        for [before, after] in names {
            if let (Some(old), Some(new)) = (gone.remove(before), come.remove(after)) {
                pairs.push(Pair { names: [before, after], values: [old, new] });
            }
        }
    };
    let renamed = by_key(&gone, &come, &content);
    pair(&mut gone, &mut come, renamed);
    let kept = gone.keys().filter(|name| come.contains_key(**name)).map(|name| [*name, *name]);
    let kept = kept.collect();
    pair(&mut gone, &mut come, kept);
    let identical = by_key(&gone, &come, &identity);
    pair(&mut gone, &mut come, identical);
    Matched { pairs, gone: gone.into_iter().collect(), come: come.into_iter().collect() }
}

/// Both sides in the order of their keys, in one pass: looking each key of one up in the other costs many times that.
pub(super) fn side_by_side<'a, K: Ord, V>(
    old: &'a BTreeMap<K, V>,
    new: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (&'a K, [Option<&'a V>; 2])> {
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    std::iter::from_fn(move || {
        let order = match (old.peek(), new.peek()) {
            (Some((before, _)), Some((after, _))) => before.cmp(after),
            (Some(_), None) => Ordering::Less,
            (None, _) => Ordering::Greater,
        };
        let before = if order.is_le() { old.next() } else { None };
        let after = if order.is_ge() { new.next() } else { None };
        let (key, _) = before.or(after)?;
        Some((key, [before, after].map(|side| side.map(|(_, value)| value))))
    })
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
