//! Platform configuration registers, of the SHA-256 bank.
//!
//! Wire layouts: "Trusted Platform Module Library", part 3, section 22.4 (TPM2_PCR_Read), part 2, section 10.9
//! (TPML_PCR_SELECTION, TPML_DIGEST).

use std::collections::BTreeMap;

use crate::command::{Authorized, Command, Reader, code};
use crate::error::TpmError;
use crate::{SHA256, Tpm};

impl Tpm {
    /// The values of all registers. They are read in several commands, so one may have changed meanwhile.
    ///
    /// # Errors
    /// No answer, or a TPM without such a bank.
    pub fn registers(&mut self) -> Result<BTreeMap<u8, [u8; 32]>, TpmError> {
        let mut values = BTreeMap::new();
        let mut wanted = ALL;
        // A TPM gives at most eight digests at once, and says which.
        while wanted != 0 {
            let asked = Command::new("pcr_read", code::PCR_READ, &[], Authorized::No);
            let answer = self.run(&asked.bytes(&selection(wanted)))?;
            let given = read_registers(&answer.parameters, wanted, &mut values)?;
            if given == 0 {
                return Err(TpmError::Answer("registers"));
            }
            wanted &= !given;
        }
        Ok(values)
    }
}

/// A TPML_PCR_SELECTION of registers of the SHA-256 bank.
pub(crate) fn selection(registers: u32) -> Vec<u8> {
    let [first, second, third, _] = registers.to_le_bytes();
    let [high, low] = SHA256.to_be_bytes();
    vec![0, 0, 0, 1, high, low, 3, first, second, third]
}

/// Takes over the values that the parameters of an answer have, and says of which registers they are, as bits.
///
/// # Errors
/// The bytes are no such answer, or one about registers that were not wanted.
pub fn read_registers(
    parameters: &[u8],
    wanted: u32,
    values: &mut BTreeMap<u8, [u8; 32]>,
) -> Result<u32, TpmError> {
    let mut reader = Reader::new(parameters, "registers");
    let _update_counter = reader.u32()?;
    if (reader.u32()?, reader.u16()?, reader.u8()?) != (1, SHA256, 3) {
        return Err(TpmError::Answer("register selection"));
    }
    let given = reader.slice(3)?.iter().rev().fold(0, |set, byte| set << 8 | u32::from(*byte));
    if given & !wanted != 0 || reader.u32()? != given.count_ones() {
        return Err(TpmError::Answer("register selection"));
    }
    for register in (0..24).filter(|register| given >> register & 1 == 1) {
        let value = reader.sized()?.try_into().map_err(|_| TpmError::Answer("register"))?;
        values.insert(register, value);
    }
    Ok(given)
}

/// Registers 0 to 23.
pub(crate) const ALL: u32 = 0xff_ffff;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_was_given_and_nothing_else() {
        let mut answer = vec![0, 0, 0, 9];
        answer.extend(selection(0b1001_0000_0000));
        answer.extend([0, 0, 0, 2]);
        for value in [1u8, 2] {
            answer.extend([0, 32]);
            answer.extend([value; 32]);
        }
        let mut values = BTreeMap::new();
        assert_eq!(read_registers(&answer, ALL, &mut values).unwrap(), 0b1001_0000_0000);
        assert_eq!(values, [(8, [1; 32]), (11, [2; 32])].into());
        assert!(read_registers(&answer, 0xff, &mut values).is_err(), "not asked for");
        for length in 0..answer.len() {
            assert!(
                read_registers(&answer[..length], ALL, &mut BTreeMap::new()).is_err(),
                "{length}"
            );
        }
        for (at, value) in [(7, 2), (9, 4), (10, 2), (17, 3), (19, 20)] {
            let mut bad = answer.clone();
            bad[at] = value;
            assert!(read_registers(&bad, ALL, &mut BTreeMap::new()).is_err(), "{at}");
        }
    }
}
