//! Go's `sort.Slice`, because one order in the image depends on it.
//!
//! The reference sorts extended attributes by a comparison that is no order, so the outcome is whatever its sort
//! makes of it: pattern-defeating quicksort (Orson Peters, arXiv 2106.05123) with the constants and the pseudo-random
//! numbers of Go's standard library since 1.19. Up to twelve elements, that is an insertion sort.
#![expect(clippy::indexing_slicing, reason = "all places are between 0 and the slice's length")]

pub(super) fn sort_as_go<T>(items: &mut [T], less: impl Fn(&T, &T) -> bool) {
    let length = items.len();
    let bad_pivots = bits(length);
    Sorter { items, less }.sort(0, length, bad_pivots);
}

struct Sorter<'a, T, F> {
    items: &'a mut [T],
    less: F,
}

#[derive(PartialEq, Eq)]
enum Hint {
    Unknown,
    Increasing,
    Decreasing,
}

impl<T, F: Fn(&T, &T) -> bool> Sorter<'_, T, F> {
    fn less(&self, a: usize, b: usize) -> bool {
        (self.less)(&self.items[a], &self.items[b])
    }

    fn sort(&mut self, mut from: usize, mut to: usize, mut bad_pivots: u32) {
        let (mut balanced, mut partitioned) = (true, true);
        loop {
            let length = to - from;
            if length <= 12 {
                return self.insert(from, to);
            }
            if bad_pivots == 0 {
                return self.heap(from, to);
            }
            if !balanced {
                self.scatter(from, to);
                bad_pivots -= 1;
            }
            let (mut pivot, mut hint) = self.choose_pivot(from, to);
            if hint == Hint::Decreasing {
                self.items[from..to].reverse();
                pivot = (to - 1) - (pivot - from);
                hint = Hint::Increasing;
            }
            if balanced && partitioned && hint == Hint::Increasing && self.insert_some(from, to) {
                return;
            }
            if from > 0 && !self.less(from - 1, pivot) {
                from = self.partition_equal(from, to, pivot);
                continue;
            }
            let (middle, already) = self.partition(from, to, pivot);
            partitioned = already;
            let (left, right) = (middle - from, to - middle);
            if left < right {
                balanced = left >= length / 8;
                self.sort(from, middle, bad_pivots);
                from = middle + 1;
            } else {
                balanced = right >= length / 8;
                self.sort(middle + 1, to, bad_pivots);
                to = middle;
            }
        }
    }

    fn insert(&mut self, from: usize, to: usize) {
        for start in from + 1..to {
            let mut at = start;
            while at > from && self.less(at, at - 1) {
                self.items.swap(at, at - 1);
                at -= 1;
            }
        }
    }

    /// Mends up to five places in a slice that looks sorted; `true` if it is sorted then.
    fn insert_some(&mut self, from: usize, to: usize) -> bool {
        let mut at = from + 1;
        for _ in 0..5 {
            while at < to && !self.less(at, at - 1) {
                at += 1;
            }
            if at == to {
                return true;
            }
            if to - from < 50 {
                return false;
            }
            self.items.swap(at, at - 1);
            if at - from >= 2 {
                for place in (1..at).rev() {
                    if !self.less(place, place - 1) {
                        break;
                    }
                    self.items.swap(place, place - 1);
                }
            }
            if to - at >= 2 {
                for place in at + 1..to {
                    if !self.less(place, place - 1) {
                        break;
                    }
                    self.items.swap(place, place - 1);
                }
            }
        }
        false
    }

    fn heap(&mut self, from: usize, to: usize) {
        let length = to - from;
        for root in (0..=(length - 1) / 2).rev() {
            self.sift(root, length, from);
        }
        for last in (0..length).rev() {
            self.items.swap(from, from + last);
            self.sift(0, last, from);
        }
    }

    fn sift(&mut self, mut root: usize, end: usize, from: usize) {
        loop {
            let mut child = 2 * root + 1;
            if child >= end {
                return;
            }
            if child + 1 < end && self.less(from + child, from + child + 1) {
                child += 1;
            }
            if !self.less(from + root, from + child) {
                return;
            }
            self.items.swap(from + root, from + child);
            root = child;
        }
    }

    /// Everything below the pivot before it, the rest after; where the pivot is then, and whether it was so already.
    fn partition(&mut self, from: usize, to: usize, pivot: usize) -> (usize, bool) {
        self.items.swap(from, pivot);
        let (mut low, mut high) = (from + 1, to - 1);
        let mut already = true;
        loop {
            while low <= high && self.less(low, from) {
                low += 1;
            }
            while low <= high && !self.less(high, from) {
                high -= 1;
            }
            if low > high {
                self.items.swap(high, from);
                return (high, already);
            }
            already = false;
            self.items.swap(low, high);
            low += 1;
            high -= 1;
        }
    }

    fn partition_equal(&mut self, from: usize, to: usize, pivot: usize) -> usize {
        self.items.swap(from, pivot);
        let (mut low, mut high) = (from + 1, to - 1);
        loop {
            while low <= high && !self.less(from, low) {
                low += 1;
            }
            while low <= high && self.less(from, high) {
                high -= 1;
            }
            if low > high {
                return low;
            }
            self.items.swap(low, high);
            low += 1;
            high -= 1;
        }
    }

    /// Moves three elements to places that look random.
    fn scatter(&mut self, from: usize, to: usize) {
        let length = to - from;
        let mut random = u64::try_from(length).unwrap_or_default();
        let mask = (1_usize << bits(length)) - 1;
        let middle = from + (length / 4) * 2;
        for place in middle - 1..=middle + 1 {
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            let mut other = usize::try_from(random).unwrap_or_default() & mask;
            if other >= length {
                other -= length;
            }
            self.items.swap(place, from + other);
        }
    }

    fn choose_pivot(&self, from: usize, to: usize) -> (usize, Hint) {
        let quarter = (to - from) / 4;
        let mut swaps = 0;
        let [mut a, mut b, mut c] = [from + quarter, from + quarter * 2, from + quarter * 3];
        if to - from >= 50 {
            for place in [&mut a, &mut b, &mut c] {
                *place = self.median([*place - 1, *place, *place + 1], &mut swaps);
            }
        }
        let pivot = self.median([a, b, c], &mut swaps);
        (
            pivot,
            match swaps {
                0 => Hint::Increasing,
                12 => Hint::Decreasing,
                _ => Hint::Unknown,
            },
        )
    }

    fn median(&self, [a, b, c]: [usize; 3], swaps: &mut u32) -> usize {
        let mut ordered = |a, b| {
            if self.less(b, a) {
                *swaps += 1;
                (b, a)
            } else {
                (a, b)
            }
        };
        let (a, b) = ordered(a, b);
        let (b, _) = ordered(b, c);
        ordered(a, b).1
    }
}

/// How many binary digits a number has.
fn bits(number: usize) -> u32 {
    usize::BITS - number.leading_zeros()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::digest::{SHA256, digest};

    use super::*;

    /// Lists made by the same rule were sorted by Go; these are the hashes of what came out.
    #[test]
    fn sorts_by_a_comparison_that_is_no_order_just_as_go_does() {
        for (count, shape, expected) in GO {
            let mut seed: u32 = count * 4 + shape;
            let mut items: Vec<(u8, String)> = (0..count)
                .map(|at| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let random = seed >> 16;
                    match shape {
                        0 => (u8::try_from(random % 3).unwrap(), format!("{random:x}")),
                        1 => (1, format!("{at:05}")),
                        2 => (1, format!("{:05}", count - at)),
                        _ => (u8::try_from(1 + at % 5).unwrap(), format!("{}", random % 50)),
                    }
                })
                .collect();
            sort_as_go(&mut items, |a, b| a.0 < b.0 || a.1.len() < b.1.len() || a.1 < b.1);
            let text: String =
                items.iter().map(|(index, name)| format!("{index} {name}\n")).collect();
            assert_eq!(hex::encode(digest(&SHA256, text.as_bytes())), expected, "{count} {shape}");
        }
    }

    const GO: [(u32, u32, &str); 44] = [
        (2, 0, "169533179fd76a70a88458d2086df37f05aeca9c7994553e35f913d187e8a70a"),
        (2, 1, "4843c3ce074b0df966451e4b1614492927b5af6958e15506342c9a344f4a312e"),
        (2, 2, "2fc99f7aff207dfaf8b07ad9493b31523333c8ce13b5ae61ed42e5bd1e1a4b45"),
        (2, 3, "640430a142f71fc8a3fb643dd5ede6ee3938830ada5ff5bda5c322f6b62ecf28"),
        (5, 0, "f3dd1e0e7d400bb74b14900cad8797c7510bd10683300469195eca99f98d2efe"),
        (5, 1, "6cbb9fbacb2c875f61bfa9a6240be58dc8d3ee177c198a6165189ec69e7c8191"),
        (5, 2, "5c7faacf276575bf0ebe4a2eaed325231c82ce9acf4817e1e8fa98e5c5b877ce"),
        (5, 3, "9d718a6e2e0117e1d156c9e351bdf94f975e67ade5943be7d4d6e3de69224636"),
        (12, 0, "f187427556199c83ff5612d42671ba5534d47fa2746d6bae45c09ebf488cc454"),
        (12, 1, "dfed69a060516e2cb760807f7d504267d07d179d0f78255824d4619c2752291e"),
        (12, 2, "2d375dadef463ccf6ae86e40d6dbbc93cd497469af0786d450f7e6520d6ee294"),
        (12, 3, "5a2ed6cda6d295e7259c652666d3a3109e09253cc4b7fd3703344610fa418f08"),
        (13, 0, "c23465a7f8758c9473d9294d862fdc15b4c9be4976747a38f67566d35d02475a"),
        (13, 1, "dd8f8e3f0fcb93ae11f72e4be4c424ab996718c3d7c10d2b1fd26a7470c6b35c"),
        (13, 2, "141c7e467ed212d95d488d78a9c287422a10414c0f491317002b4ded82461763"),
        (13, 3, "049cb87450a9c420047dc987495378f92337c18e94c8be001e2f32a6921563b4"),
        (20, 0, "180bdac6cae4956030b59512daae4b786b05be35594cadd53ba0b44349cbf909"),
        (20, 1, "82f0f40b844029b19d6d2e0bf51c54085e802ad05e8acf135b727c4395122461"),
        (20, 2, "901c2c7abd7628303ba6dad9de086028f5f8b8bb4cf12dec1a8e5a369530e4dd"),
        (20, 3, "2d3c16487fb37f9ed923368f181ec1bf53915c41ec2fc2c8d96a9345b9695e86"),
        (49, 0, "3de852285d5c0e574035a76f4b367f726483c04aaddb921e1d29c1ce37d56492"),
        (49, 1, "88a5340ecbae55f67d8395f716b737a043f3baec56f991ef7b13b24496a03096"),
        (49, 2, "2ca867814a0d755e80bc1a2042ea7afda2007d0baf2730633b61745a82c73531"),
        (49, 3, "542bf724918e467a437d2416fd6fe1d06ed3c9efc2ac5db3839cc98bdf76cc1f"),
        (50, 0, "be6a7756c2df62a2f08849af491d080d5d774ab009ac19e3a4680277fbaabfa6"),
        (50, 1, "b123c57e4ee68c210fea5ddf2537a74a1c92bce312b7271162ece3f8eb2dc498"),
        (50, 2, "c92d492d28f3cd57f6c081794c6b2bae91521fc97ae3560f9a0dbf75761a9c2e"),
        (50, 3, "9fd981ccec5cd84ac0696790b950eef650fb09f431d8dfedf0022851adad05cd"),
        (51, 0, "91dab8978975a63992f56741fa3694989a6956754349979a82db80569f9512b0"),
        (51, 1, "7accb9617a14c21e1a2bfd9e3f74aa62b191ecb9a91135a70b5759d9a6c4ea3b"),
        (51, 2, "a1daba51c787865c4e35f3f880ddfa2cb5ca50315b718b90e25175f7c15d70e7"),
        (51, 3, "43e06b47d6427a8f8ce6619b9611f9f5ed37222a246d5b11ec25ddc415cbe8c2"),
        (100, 0, "c8fd5540bac191969fecc0010e3b6e4720f79ff119fdb77a30e4b7ad6b053db5"),
        (100, 1, "3b7f73f75866dc26e72c58b1d12b298bf9701b0b054707bd4f79967593fdb12d"),
        (100, 2, "30e1bb99e90c73eb453c4a5036f86277c4cf347f105c52c5825fc95c539f37c5"),
        (100, 3, "9775207a7d000d6554ac4c2485a220673bf3df0d145782216e6af0606a400279"),
        (203, 0, "b112231617d284668b1a11122fd46ffaebee3c6196dfd86913a413839c9fa301"),
        (203, 1, "377dd7b60020239ff8d6db7d06aea0d53bd7bf2aac0b177f958db6e424be8ea0"),
        (203, 2, "523fb9014573a2ec04846163631543eda35fe4df504b1b5e58e902ac702c0d75"),
        (203, 3, "281b6f76e8b9a05b545679ae47205c9961bb088d1c4d588e286ede9e13192e45"),
        (1000, 0, "01fdf5d9f3b962ac3e7cfdc2e85d4930ea8672960fb5eae9bd8bbba67edf00f4"),
        (1000, 1, "801dae21773b2779b882b163e637e920e647e8e592580a29c55eed2529e7db9a"),
        (1000, 2, "4676ccc88e4d1bf3bd88fcc83730fa6fea40484a6b5f7cf1c94c48daf75a1cec"),
        (1000, 3, "01f378e89c643666bf0077c73b4c6167f88fd684ba8ca89533c37c7fc5a8f81d"),
    ];
}
