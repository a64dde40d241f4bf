//! Whether a program runs by itself: an image that holds nothing else has no loader and no libraries.
//!
//! System V ABI, "Object Files" and "Program Header": a dynamically linked program has an entry of type `PT_INTERP`.

/// Why a program does not run in an image by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotStatic {
    /// Not a program for Linux on amd64.
    #[error("not an ELF program for amd64")]
    Other,
    /// It asks for a loader.
    #[error("linked dynamically: it needs a loader and libraries, which the image does not have")]
    Interpreter,
}

/// Checks the first bytes of a program: its header and its program headers.
pub fn check_static(program: &[u8]) -> Result<(), NotStatic> {
    let field = |at: usize, length: usize| program.get(at..at.checked_add(length)?);
    let half = |at: usize| Some(u16::from_le_bytes(field(at, 2)?.try_into().ok()?));
    let read = || {
        // Class 64, little-endian.
        let ident = field(0, 6)?;
        // Type: executable, or position-independent; machine: x86-64.
        let (kind, machine) = (half(16)?, half(18)?);
        let fits = ident == b"\x7fELF\x02\x01" && (kind == 2 || kind == 3) && machine == 62;
        let table = usize::try_from(u64::from_le_bytes(field(32, 8)?.try_into().ok()?)).ok()?;
        let (size, count) = (usize::from(half(54)?), usize::from(half(56)?));
        let mut kinds = Vec::new();
        for index in 0..count {
            let at = table.checked_add(index.checked_mul(size)?)?;
            kinds.push(u32::from_le_bytes(field(at, 4)?.try_into().ok()?));
        }
        (fits && size == 56 && count > 0).then_some(kinds)
    };
    let kinds = read().ok_or(NotStatic::Other)?;
    if kinds.contains(&PT_INTERP) { Err(NotStatic::Interpreter) } else { Ok(()) }
}

const PT_INTERP: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn program(kinds: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56 * kinds.len()];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[16] = 3;
        bytes[18] = 62;
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = kinds.len().try_into().unwrap();
        for (index, kind) in kinds.iter().enumerate() {
            bytes[64 + 56 * index..][..4].copy_from_slice(&kind.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn tells_static_programs_from_others() {
        assert_eq!(check_static(&program(&[1, 1, 2])), Ok(()));
        assert_eq!(check_static(&program(&[6, 3, 1])), Err(NotStatic::Interpreter));
        let mut arm = program(&[1]);
        arm[18] = 183;
        for other in [b"#!/bin/sh\n".to_vec(), Vec::new(), arm, program(&[])] {
            assert_eq!(check_static(&other), Err(NotStatic::Other));
        }
        let cut = program(&[1, 1]);
        assert_eq!(check_static(&cut[..100]), Err(NotStatic::Other));
    }

    #[test]
    fn this_test_is_static_itself() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(check_static(&own), Ok(()));
    }
}
