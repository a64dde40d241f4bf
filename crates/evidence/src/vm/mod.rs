//! The evidence of a confidential virtual machine of Azure.
//!
//! There the report is not the guest's to ask for: a paravisor (the *HCL*) below it asks once, and binds what it wants to
//! say, the *runtime claims*, by their digest. Among the claims is the public half of a key that never leaves the
//! virtual TPM that the paravisor keeps for the guest, the *attestation key*; with it the TPM signs a *quote* over a nonce
//! of the verifier and over the registers in which the boot was measured.
//! So the report says which hardware and paravisor this is, the claims which TPM, and the quote that it is now and what
//! has booted.
//!
//! The framing of the HCL report and the list of register values are the guest's word; they count only where the
//! report's REPORT_DATA and the quote's digest confirm them.

mod claims;
mod hcl;
mod quote;
mod registers;
mod verify;

pub use claims::RuntimeClaims;
pub use hcl::{HclError, HclReport, HclReportKind};
pub use quote::{QuoteError, TpmQuote, TpmSignature};
pub use registers::{NotARegister, PcrIndex, PcrSelection, PcrValue, QuoteNonce, WrongNonce};
pub(crate) use verify::verify_under;
pub use verify::{RawQuote, RawVmEvidence, UserData, VerifiedVm, VmBinding, VmPolicy, verify_vm};

/// Bytes that are read from the front, big-endian, as every structure of a TPM is.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn slice(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    /// A TPM2B: a length of two bytes, and as many bytes.
    fn sized(&mut self) -> Option<&'a [u8]> {
        let len = self.u16()?;
        self.slice(len.into())
    }
}
