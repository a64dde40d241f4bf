//! Indices of a TPM's non-volatile memory.
//!
//! Wire layouts: "Trusted Platform Module Library", part 3, section 31 (the NV commands), and part 2, section 13.5
//! (TPMS_NV_PUBLIC) and 13.4 (TPMA_NV).

use crate::command::{Authorized, Command, Reader, code};
use crate::error::TpmError;
use crate::{OWNER, SHA256, Tpm};

/// What an index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Index {
    /// Its number.
    pub number: u32,
    /// Who may do what with it, as bits of [`attribute`].
    pub attributes: u32,
    /// How many bytes it holds.
    pub size: u16,
}

/// TPMA_NV.
pub mod attribute {
    /// The owner may write.
    pub const OWNER_WRITE: u32 = 1 << 1;
    /// Whoever has the index's password may write.
    pub const AUTH_WRITE: u32 = 1 << 2;
    /// The owner may read.
    pub const OWNER_READ: u32 = 1 << 17;
    /// Whoever has the index's password may read.
    pub const AUTH_READ: u32 = 1 << 18;
    /// Wrong passwords lock nothing.
    pub const NO_DA: u32 = 1 << 25;
}

impl Tpm {
    /// What an index is; none if it is not defined.
    ///
    /// # Errors
    /// No answer, or another refusal.
    pub fn index(&mut self, number: u32) -> Result<Option<Index>, TpmError> {
        let asked = Command::new("nv_read_public", code::NV_READ_PUBLIC, &[number], Authorized::No);
        let answer = match self.run(&asked) {
            Ok(answer) => answer,
            Err(absent) if absent.is_absence() => return Ok(None),
            Err(other) => return Err(other),
        };
        let mut outer = Reader::new(&answer.parameters, "index");
        let mut public = Reader::new(outer.sized()?, "index");
        let (number, _name_algorithm, attributes) = (public.u32()?, public.u16()?, public.u32()?);
        let _policy = public.sized()?;
        Ok(Some(Index { number, attributes, size: public.u16()? }))
    }

    /// Defines an index that owner and everybody may read and write.
    ///
    /// # Errors
    /// It is there already, there is no room, or no answer.
    pub fn define(&mut self, number: u32, size: u16) -> Result<Index, TpmError> {
        use attribute::{AUTH_READ, AUTH_WRITE, NO_DA, OWNER_READ, OWNER_WRITE};
        let attributes = OWNER_WRITE | OWNER_READ | AUTH_WRITE | AUTH_READ | NO_DA;
        let public = [
            &number.to_be_bytes()[..],
            &SHA256.to_be_bytes(),
            &attributes.to_be_bytes(),
            &[0, 0],
            &size.to_be_bytes(),
        ]
        .concat();
        let asked = Command::new(
            "nv_define_space",
            code::NV_DEFINE_SPACE,
            &[OWNER],
            Authorized::ByEmptyPassword,
        );
        self.run(&asked.sized(&[]).sized(&public))?;
        Ok(Index { number, attributes, size })
    }

    /// The whole content of an index.
    ///
    /// # Errors
    /// It was never written, may not be read, or no answer.
    pub fn read(&mut self, index: Index) -> Result<Vec<u8>, TpmError> {
        let by = if index.attributes & attribute::OWNER_READ == 0 { index.number } else { OWNER };
        let mut content = Vec::with_capacity(index.size.into());
        while let Some(left) = left(index.size, content.len()) {
            let (offset, length) = (index.size.saturating_sub(left), left.min(PORTION));
            let handles = [by, index.number];
            let asked =
                Command::new("nv_read", code::NV_READ, &handles, Authorized::ByEmptyPassword);
            let answer = self.run(&asked.u16(length).u16(offset))?;
            let portion = Reader::new(&answer.parameters, "index content").sized()?;
            if portion.len() != usize::from(length) {
                return Err(TpmError::Answer("index content"));
            }
            content.extend_from_slice(portion);
        }
        Ok(content)
    }

    /// Writes to the front of an index.
    ///
    /// # Errors
    /// It is smaller, may not be written, or no answer.
    pub fn write(&mut self, index: Index, content: &[u8]) -> Result<(), TpmError> {
        let by = if index.attributes & attribute::OWNER_WRITE == 0 { index.number } else { OWNER };
        let portions = content.chunks(PORTION.into());
        for (portion, offset) in portions.zip((0u16..).step_by(PORTION.into())) {
            let handles = [by, index.number];
            let asked =
                Command::new("nv_write", code::NV_WRITE, &handles, Authorized::ByEmptyPassword);
            self.run(&asked.sized(portion).u16(offset))?;
        }
        Ok(())
    }
}

/// What is left to be read, unless it is nothing.
fn left(size: u16, read: usize) -> Option<u16> {
    u16::try_from(read).ok().and_then(|read| size.checked_sub(read)).filter(|left| *left > 0)
}

/// Every TPM takes as much at once; many take no more than 1024.
const PORTION: u16 = 512;
