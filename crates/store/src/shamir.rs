//! Shamir's secret sharing over GF(2^8), in constant time with respect to the secret and the shares' values.
//!
//! The field is that of polynomial 0x11d and the wire form is x ‖ y, as `blahaj` (formerly `sharks`) has them, which the tests use as a second
//! opinion. It is here, and not a table-driven crate, because a host that watches the caches of a confidential guest sees table indices.
//! The x coordinates are public.

use std::hint::black_box;

use zeroize::Zeroizing;

/// The length of what is shared.
pub(crate) const LENGTH: usize = 32;

/// One point of the 32 polynomials.
pub(crate) struct Point {
    /// Public; never zero, because that point is the secret.
    pub(crate) x: u8,
    /// Secret.
    pub(crate) y: Zeroizing<[u8; LENGTH]>,
}

/// Evaluates the polynomials whose constant terms are `secret` and whose further coefficients are `coefficients`, lowest degree first.
pub(crate) fn evaluate(secret: &[u8; LENGTH], coefficients: &[[u8; LENGTH]], x: u8) -> Point {
    let mut y = Zeroizing::new([0; LENGTH]);
    for row in coefficients.iter().rev().chain([secret]) {
        for (to, coefficient) in y.iter_mut().zip(row) {
            *to = mul(*to, x) ^ coefficient;
        }
    }
    Point { x, y }
}

/// The value at `at` of the lowest polynomials through these points. Their x must be distinct.
pub(crate) fn interpolate(points: &[Point], at: u8) -> Zeroizing<[u8; LENGTH]> {
    let mut value = Zeroizing::new([0; LENGTH]);
    for one in points {
        let basis = points
            .iter()
            .filter(|other| other.x != one.x)
            .map(|other| mul(other.x ^ at, inverse(other.x ^ one.x)))
            .fold(1, mul);
        for (to, y) in value.iter_mut().zip(one.y.iter()) {
            *to ^= mul(*y, basis);
        }
    }
    value
}

/// Multiplication without a branch or a table on either operand.
fn mul(mut a: u8, b: u8) -> u8 {
    let mut product = 0;
    for bit in 0..8 {
        product ^= a & mask((b >> bit) & 1);
        a = (a << 1) ^ (REDUCTION & mask(a >> 7));
    }
    product
}

/// a^254, which is 1/a; zero for zero.
fn inverse(a: u8) -> u8 {
    // 254 = 0b1111_1110: seven squarings, multiplying after each but the first's own bit.
    let mut square = a;
    let mut product = 1;
    for _ in 0..7 {
        square = mul(square, square);
        product = mul(product, square);
    }
    product
}

/// All ones for 1 and all zeros for 0; the compiler is kept from turning it back into a branch.
fn mask(bit: u8) -> u8 {
    black_box(0_u8.wrapping_sub(bit))
}

const REDUCTION: u8 = 0x1d;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_field_is_a_field() {
        for a in 1..=255 {
            assert_eq!(mul(a, inverse(a)), 1, "{a}");
            assert_eq!(mul(a, 1), a);
            assert_eq!(mul(a, 0), 0);
        }
        // From the exponent table of the polynomial 0x11d: 2^8 = 0x1d, 2^9 = 0x3a.
        assert_eq!(mul(0x80, 2), 0x1d);
        assert_eq!(mul(0x1d, 2), 0x3a);
    }

    #[test]
    fn another_implementation_combines_our_shares() {
        let secret = [7; 32];
        let coefficients = [[0x5a; 32], [0xc3; 32]];
        let shares: Vec<blahaj::Share> = [1, 9, 255]
            .into_iter()
            .map(|x| evaluate(&secret, &coefficients, x))
            .map(|point| {
                blahaj::Share::try_from([&[point.x], point.y.as_slice()].concat().as_slice())
                    .unwrap()
            })
            .collect();
        assert_eq!(blahaj::Sharks(3).recover(&shares).unwrap(), secret);
    }

    #[test]
    fn we_combine_the_shares_of_another_implementation() {
        let secret: Vec<u8> = (100..132).collect();
        let points: Vec<Point> = blahaj::Sharks(4)
            .dealer(&secret)
            .skip(3)
            .take(4)
            .map(|share| Vec::from(&share))
            .map(|bytes| Point { x: bytes[0], y: Zeroizing::new(bytes[1..].try_into().unwrap()) })
            .collect();
        assert_eq!(interpolate(&points, 0).as_slice(), secret);
        assert_ne!(interpolate(&points[..3], 0).as_slice(), secret);
    }

    proptest! {
        #[test]
        fn any_threshold_of_points_gives_the_secret_and_every_other_point(
            secret: [u8; 32],
            coefficients in proptest::collection::vec(any::<[u8; 32]>(), 0..5),
            start in 1_u8..200,
        ) {
            let count = u8::try_from(coefficients.len()).unwrap() + 1;
            let points: Vec<Point> = (start..start + count).map(|x| evaluate(&secret, &coefficients, x)).collect();
            prop_assert_eq!(*interpolate(&points, 0), secret);
            let extra = evaluate(&secret, &coefficients, start + count + 3);
            prop_assert_eq!(&*interpolate(&points, extra.x), &*extra.y);
        }
    }
}
