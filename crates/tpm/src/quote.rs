//! Quotes: what a TPM signs about its registers.
//!
//! Wire layout: "Trusted Platform Module Library", part 3, section 18.4 (TPM2_Quote).

use std::collections::BTreeMap;

use crate::command::{Authorized, Command, Reader, code};
use crate::error::TpmError;
use crate::registers::{ALL, selection};
use crate::{NULL, Tpm};

/// A quote over all registers of the SHA-256 bank, with their values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// What was signed: a TPMS_ATTEST.
    pub message: Vec<u8>,
    /// The signature: a TPMT_SIGNATURE.
    pub signature: Vec<u8>,
    /// The registers.
    pub registers: BTreeMap<u8, [u8; 32]>,
}

impl Tpm {
    /// A quote by a key that the TPM holds, by the key's own scheme, with `nonce` in it.
    /// The values are read around the quote, and again as long as one of them changes meanwhile.
    ///
    /// # Errors
    /// No such key, registers that do not stand still, or no answer.
    pub fn quote(&mut self, key: u32, nonce: &[u8]) -> Result<Quote, TpmError> {
        for _ in 0..ATTEMPTS {
            let registers = self.registers()?;
            let asked = Command::new("quote", code::QUOTE, &[key], Authorized::ByEmptyPassword);
            let answer = self.run(&asked.sized(nonce).u16(NULL).bytes(&selection(ALL)))?;
            let mut reader = Reader::new(&answer.parameters, "quote");
            let message = reader.sized()?.to_vec();
            let signature = reader.rest().to_vec();
            if self.registers()? == registers {
                return Ok(Quote { message, signature, registers });
            }
        }
        Err(TpmError::Answer("registers that stand still"))
    }
}

const ATTEMPTS: u32 = 8;
