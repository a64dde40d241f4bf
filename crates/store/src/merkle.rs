//! The Merkle tree over the audit records (RFC 6962 §2.1, SHA-256), with proofs that a record is in it and that it only grew.
//!
//! Whole subtrees are kept by level, so that a root or a proof takes logarithmic time. Records that are no longer kept leave their tree's edge behind: every later
//! root, every proof for a kept record and every proof from a size at or beyond the edge can still be made.

use crate::Hash;

/// The tree of the first `size` leaves, of which those from some number on are kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    size: u64,
    first: u64,
    /// Of level k: the hashes of whole subtrees of 2^k leaves, from number `start(first, k)` on.
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    /// A tree whose leaves before `first` are only known by the roots of its whole subtrees, the largest first.
    pub(crate) fn restore(first: u64, edge: &[Hash]) -> Option<Self> {
        if usize::try_from(first.count_ones()).ok()? != edge.len() {
            return None;
        }
        let mut tree = Self { size: first, first, levels: Vec::new() };
        let bits = (0..u64::BITS).rev().filter(|bit| first >> bit & 1 == 1);
        for (bit, hash) in bits.zip(edge) {
            tree.level(usize::try_from(bit).ok()?).push(*hash);
        }
        Some(tree)
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// How many leaves at the beginning are not kept.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// The roots of the whole subtrees of what is not kept, the largest first: what [`Tree::restore`] takes.
    pub(crate) fn edge(&self) -> Option<Vec<Hash>> {
        self.peaks(self.first)
    }

    /// The kept leaves, in order.
    pub(crate) fn leaves(&self) -> &[Hash] {
        let skip = usize::from(self.first & 1 == 1);
        self.levels.first().and_then(|level| level.get(skip..)).unwrap_or_default()
    }

    pub(crate) fn push(&mut self, leaf: Hash) {
        let (mut index, mut hash) = (self.size, leaf);
        self.size = self.size.saturating_add(1);
        let mut level = 0;
        loop {
            self.level(level).push(hash);
            if index & 1 == 0 {
                return;
            }
            // The left sibling of an odd one is kept on every level: `start` is even.
            let Some(left) = self.whole(level, index - 1) else { return };
            hash = node(&left, &hash);
            index >>= 1;
            level += 1;
        }
    }

    /// Forgets the leaves before `first`.
    pub(crate) fn forget(&mut self, first: u64) {
        let first = first.min(self.size);
        if first <= self.first {
            return;
        }
        for (level, hashes) in self.levels.iter_mut().enumerate() {
            let gone = start(first, level).saturating_sub(start(self.first, level));
            let gone = usize::try_from(gone).unwrap_or(usize::MAX).min(hashes.len());
            hashes.drain(..gone);
        }
        self.first = first;
    }

    /// The root of the first `size` leaves; `None` if they are not there or no longer known.
    pub(crate) fn root(&self, size: u64) -> Option<Hash> {
        if size > self.size {
            return None;
        }
        if size == 0 {
            return Some(Hash::of(b""));
        }
        self.range(0, size)
    }

    /// The audit path of leaf `index` in the tree of `size` leaves (RFC 6962 §2.1.1).
    pub(crate) fn inclusion(&self, index: u64, size: u64) -> Option<Vec<Hash>> {
        if index >= size || size > self.size {
            return None;
        }
        let (mut from, mut until, mut path) = (0, size, Vec::new());
        while until - from > 1 {
            let middle = from + split(until - from);
            if index < middle {
                path.push(self.range(middle, until)?);
                until = middle;
            } else {
                path.push(self.range(from, middle)?);
                from = middle;
            }
        }
        path.reverse();
        Some(path)
    }

    /// The proof that the tree of `old` leaves is the beginning of that of `new` ones (RFC 6962 §2.1.2).
    pub(crate) fn consistency(&self, old: u64, new: u64) -> Option<Vec<Hash>> {
        if old == 0 || old > new || new > self.size {
            return None;
        }
        let (mut from, mut until, mut path) = (0, new, Vec::new());
        let mut whole = true;
        while old != until {
            let middle = from + split(until - from);
            if old <= middle {
                path.push(self.range(middle, until)?);
                until = middle;
            } else {
                path.push(self.range(from, middle)?);
                from = middle;
                whole = false;
            }
        }
        if !whole {
            path.push(self.range(from, until)?);
        }
        path.reverse();
        Some(path)
    }

    fn peaks(&self, size: u64) -> Option<Vec<Hash>> {
        let mut peaks = Vec::new();
        for bit in (0..u64::BITS).rev().filter(|bit| size >> bit & 1 == 1) {
            peaks.push(self.whole(usize::try_from(bit).ok()?, (size >> bit) - 1)?);
        }
        Some(peaks)
    }

    /// The hash of the leaves from `from` up to `until`, as the tree splits them; never empty.
    fn range(&self, from: u64, until: u64) -> Option<Hash> {
        let length = until.checked_sub(from).filter(|length| *length > 0)?;
        if length.is_power_of_two() && from.is_multiple_of(length) {
            let level = length.trailing_zeros();
            return self.whole(usize::try_from(level).ok()?, from >> level);
        }
        let middle = from + split(length);
        Some(node(&self.range(from, middle)?, &self.range(middle, until)?))
    }

    fn whole(&self, level: usize, index: u64) -> Option<Hash> {
        let at = usize::try_from(index.checked_sub(start(self.first, level))?).ok()?;
        self.levels.get(level)?.get(at).copied()
    }

    fn level(&mut self, level: usize) -> &mut Vec<Hash> {
        if self.levels.len() <= level {
            self.levels.resize_with(level + 1, Vec::new);
        }
        #[expect(clippy::indexing_slicing, reason = "made above")]
        &mut self.levels[level]
    }
}

/// Checks that the leaf is number `index` of the tree of `size` leaves with this root (RFC 9162 §2.1.3.2).
pub(crate) fn check_inclusion(
    leaf: Hash,
    (index, size): (u64, u64),
    path: &[Hash],
    root: Hash,
) -> Result<(), WrongProof> {
    if index >= size {
        return Err(WrongProof);
    }
    let (mut f, mut s, mut hash) = (index, size - 1, leaf);
    for step in path {
        if s == 0 {
            return Err(WrongProof);
        }
        if f & 1 == 1 || f == s {
            hash = node(step, &hash);
            while f & 1 == 0 && f != 0 {
                f >>= 1;
                s >>= 1;
            }
        } else {
            hash = node(&hash, step);
        }
        f >>= 1;
        s >>= 1;
    }
    if s == 0 && hash == root { Ok(()) } else { Err(WrongProof) }
}

/// Checks that the tree of size and root `old` is the beginning of `new` (RFC 9162 §2.1.4.2).
pub(crate) fn check_consistency(
    old: (u64, Hash),
    new: (u64, Hash),
    path: &[Hash],
) -> Result<(), WrongProof> {
    if old.0 == new.0 {
        return if path.is_empty() && old.1 == new.1 { Ok(()) } else { Err(WrongProof) };
    }
    if old.0 == 0 || old.0 > new.0 {
        return Err(WrongProof);
    }
    let beginning = old.0.is_power_of_two().then_some(old.1);
    let mut steps = beginning.iter().chain(path);
    let (mut f, mut s) = (old.0 - 1, new.0 - 1);
    while f & 1 == 1 {
        f >>= 1;
        s >>= 1;
    }
    let first = *steps.next().ok_or(WrongProof)?;
    let (mut before, mut after) = (first, first);
    for step in steps {
        if s == 0 {
            return Err(WrongProof);
        }
        if f & 1 == 1 || f == s {
            before = node(step, &before);
            after = node(step, &after);
            while f & 1 == 0 && f != 0 {
                f >>= 1;
                s >>= 1;
            }
        } else {
            after = node(&after, step);
        }
        f >>= 1;
        s >>= 1;
    }
    if s == 0 && before == old.1 && after == new.1 { Ok(()) } else { Err(WrongProof) }
}

/// The hash of a leaf.
pub(crate) fn leaf(content: &[u8]) -> Hash {
    Hash::of_parts(&[&[0], content])
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Hash::of_parts(&[&[1], left.as_bytes(), right.as_bytes()])
}

/// The largest power of two below `length`, which is at least 2.
fn split(length: u64) -> u64 {
    1 << (length - 1).ilog2()
}

/// The number of the first whole subtree of level `level` that is kept when leaves from `first` on are.
fn start(first: u64, level: usize) -> u64 {
    u32::try_from(level + 1).ok().and_then(|bits| first.checked_shr(bits)).unwrap_or(0) << 1
}

/// The proof does not prove it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WrongProof;

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6962 §2.1, word for word.
    fn slow(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Hash::of(b""),
            [one] => *one,
            more => {
                let (left, right) =
                    more.split_at(usize::try_from(split(number(more.len()))).unwrap());
                node(&slow(left), &slow(right))
            }
        }
    }

    fn number(size: usize) -> u64 {
        u64::try_from(size).unwrap()
    }

    fn leaves(count: u8) -> Vec<Hash> {
        (0..count).map(|i| leaf(&[i])).collect()
    }

    fn tree(leaves: &[Hash]) -> Tree {
        let mut tree = Tree::default();
        leaves.iter().for_each(|one| tree.push(*one));
        tree
    }

    #[test]
    fn the_root_is_that_of_the_definition() {
        let all = leaves(70);
        for size in 0..=all.len() {
            assert_eq!(tree(&all).root(number(size)), Some(slow(&all[..size])), "{size}");
        }
        // RFC 6962's published example: the empty tree.
        assert_eq!(
            Tree::default().root(0).unwrap().to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn every_proof_proves_its_claim_and_no_other() {
        let all = leaves(40);
        for forgotten in [0, 1, 5, 8, 13, 16, 31] {
            let mut tree = tree(&all[..33]);
            tree.forget(forgotten);
            let edge = tree.edge().unwrap();
            let mut again = Tree::restore(forgotten, &edge).unwrap();
            tree.leaves().to_vec().iter().for_each(|one| again.push(*one));
            all[33..].iter().for_each(|one| again.push(*one));
            for new in forgotten.max(1)..=40 {
                let root = again.root(new).unwrap();
                assert_eq!(root, slow(&all[..usize::try_from(new).unwrap()]));
                for index in forgotten..new {
                    let path = again.inclusion(index, new).unwrap();
                    let own = all[usize::try_from(index).unwrap()];
                    check_inclusion(own, (index, new), &path, root).unwrap();
                    let other = all[usize::try_from((index + 1) % 40).unwrap()];
                    assert!(check_inclusion(other, (index, new), &path, root).is_err());
                    if new > 1 {
                        assert!(
                            check_inclusion(own, ((index + 1) % new, new), &path, root).is_err()
                        );
                        assert!(check_inclusion(own, (index, new), &path[1..], root).is_err());
                    }
                    let longer = [path.as_slice(), &[root]].concat();
                    assert!(check_inclusion(own, (index, new), &longer, root).is_err());
                }
                for old in forgotten.max(1)..=new {
                    let before = (old, again.root(old).unwrap());
                    let path = again.consistency(old, new).unwrap();
                    check_consistency(before, (new, root), &path).unwrap();
                    let forged = (old, leaf(b"other"));
                    assert!(check_consistency(forged, (new, root), &path).is_err());
                    if old < new {
                        let forged = (new, leaf(b"other"));
                        assert!(check_consistency(before, forged, &path).is_err());
                        assert!(check_consistency(before, (new, root), &path[1..]).is_err());
                    }
                    let longer = [path.as_slice(), &[root]].concat();
                    assert!(check_consistency(before, (new, root), &longer).is_err());
                }
            }
        }
    }

    #[test]
    fn what_was_forgotten_is_not_proved() {
        let mut tree = tree(&leaves(20));
        tree.forget(9);
        assert_eq!(tree.inclusion(3, 20), None);
        assert_eq!(tree.root(21), None);
        assert_eq!(tree.consistency(0, 20), None);
        assert!(Tree::restore(9, &[]).is_none());
    }
}
