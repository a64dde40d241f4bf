//! A small writer of DER: as much of it as our certificates need.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// One element: tag, length, content.
#[must_use]
pub fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match u8::try_from(content.len()) {
        Ok(short @ ..=0x7f) => out.push(short),
        _ => {
            let length = content.len().to_be_bytes();
            let significant: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
            out.push(0x80 | u8::try_from(significant.len()).unwrap_or(0x7f));
            out.extend(significant);
        }
    }
    out.extend_from_slice(content);
    out
}

/// SEQUENCE of elements.
#[must_use]
pub fn sequence(elements: &[Vec<u8>]) -> Vec<u8> {
    element(0x30, &elements.concat())
}

/// SET of elements, which the caller has sorted.
#[must_use]
pub fn set(elements: &[Vec<u8>]) -> Vec<u8> {
    element(0x31, &elements.concat())
}

/// An explicitly tagged element, `[number]`.
#[must_use]
pub fn explicit(number: u8, content: &[u8]) -> Vec<u8> {
    element(0xa0 | number, content)
}

/// An implicitly tagged primitive, `[number]`.
#[must_use]
pub fn implicit(number: u8, content: &[u8]) -> Vec<u8> {
    element(0x80 | number, content)
}

/// INTEGER from a number without sign: shortest form, with a zero byte before a set top bit.
#[must_use]
pub fn integer(number: u64) -> Vec<u8> {
    unsigned(&number.to_be_bytes())
}

/// INTEGER from big-endian bytes without sign.
#[must_use]
pub fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let mut content: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
    if content.first().is_none_or(|first| first & 0x80 != 0) {
        content.insert(0, 0);
    }
    element(0x02, &content)
}

/// BOOLEAN true.
#[must_use]
pub fn yes() -> Vec<u8> {
    element(0x01, &[0xff])
}

/// NULL.
#[must_use]
pub fn null() -> Vec<u8> {
    element(0x05, &[])
}

/// BIT STRING of whole bytes.
#[must_use]
pub fn bits(bytes: &[u8]) -> Vec<u8> {
    element(0x03, &[&[0], bytes].concat())
}

/// BIT STRING of named bits: the first is the highest of the first byte.
#[must_use]
pub fn named_bits(byte: u8) -> Vec<u8> {
    let unused = u8::try_from(byte.trailing_zeros().min(7)).unwrap_or(0);
    element(0x03, &[unused, byte])
}

/// OCTET STRING.
#[must_use]
pub fn octets(bytes: &[u8]) -> Vec<u8> {
    element(0x04, bytes)
}

/// UTF8String.
#[must_use]
pub fn utf8(text: &str) -> Vec<u8> {
    element(0x0c, text.as_bytes())
}

/// PrintableString.
#[must_use]
pub fn printable(text: &str) -> Vec<u8> {
    element(0x13, text.as_bytes())
}

/// IA5String.
#[must_use]
pub fn ia5(text: &str) -> Vec<u8> {
    element(0x16, text.as_bytes())
}

/// OBJECT IDENTIFIER from its dotted form; an arc that is no number counts as zero.
#[must_use]
pub fn oid(dotted: &str) -> Vec<u8> {
    let mut arcs = dotted.split('.').map(|arc| arc.parse::<u64>().unwrap_or(0));
    let first = arcs.next().unwrap_or(0) * 40 + arcs.next().unwrap_or(0);
    let mut content = Vec::new();
    for arc in std::iter::once(first).chain(arcs) {
        let mut groups = vec![base128(arc)];
        let mut rest = arc >> 7;
        while rest > 0 {
            groups.push(base128(rest) | 0x80);
            rest >>= 7;
        }
        content.extend(groups.into_iter().rev());
    }
    element(0x06, &content)
}

/// UTCTime up to 2049, GeneralizedTime from 2050, as RFC 5280 wants it.
#[must_use]
pub fn time(at: Timestamp) -> Vec<u8> {
    let civil = at.to_zoned(TimeZone::UTC).datetime();
    if civil.year() < 2050 {
        element(0x17, civil.strftime("%y%m%d%H%M%SZ").to_string().as_bytes())
    } else {
        element(0x18, civil.strftime("%Y%m%d%H%M%SZ").to_string().as_bytes())
    }
}

fn base128(number: u64) -> u8 {
    let [low, ..] = number.to_le_bytes();
    low & 0x7f
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_canonical_elements() {
        assert_eq!(integer(0), [2, 1, 0]);
        assert_eq!(integer(0xdb), [2, 2, 0, 0xdb]);
        assert_eq!(integer(0x51), [2, 1, 0x51]);
        assert_eq!(element(4, &[7; 200])[..3], [4, 0x81, 200]);
        assert_eq!(element(4, &[7; 300])[..4], [4, 0x82, 1, 44]);
        assert_eq!(oid("1.3.6.1.4.1.3704.1.1"), [6, 9, 0x2b, 6, 1, 4, 1, 0x9c, 0x78, 1, 1]);
        assert_eq!(named_bits(0b0000_0110), [3, 2, 1, 6]);
        assert_eq!(time("2024-01-02T03:04:05Z".parse().unwrap()), *b"\x17\x0d240102030405Z");
        assert_eq!(time("2074-01-02T03:04:05Z".parse().unwrap()), *b"\x18\x0f20740102030405Z");
    }
}
