//! Speaks to a TPM 2.0: the few commands that evidence needs.
//!
//! A TPM is a device that takes one command and gives one answer, both of bytes. [`Tpm`] is the kernel's device
//! `/dev/tpmrm0`, or the Unix socket of a software TPM. [`Tpm::run`] performs any [`Command`]; the methods beside it are those that
//! a guest of Azure uses: indices, registers, quotes.
//!
//! All authorizations are empty passwords, which is what Azure's virtual TPM has. What a TPM says is believed by nobody
//! here; whoever receives a quote verifies it. Answers are bounded and read as what they may be: anything.

mod command;
mod error;
mod index;
mod quote;
mod registers;
mod way;

pub use command::{Answer, Authorized, Command, Reader, code};
pub use error::TpmError;
pub use index::{Index, attribute};
pub use quote::Quote;
pub use registers::read_registers;
pub use way::Tpm;

/// The owner's hierarchy, TPM_RH_OWNER.
pub const OWNER: u32 = 0x4000_0001;
/// TPM_ALG_SHA256.
pub const SHA256: u16 = 0x000b;
/// TPM_ALG_NULL.
pub const NULL: u16 = 0x0010;
