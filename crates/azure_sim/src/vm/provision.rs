//! What a virtual TPM of Azure has when the guest sees it first: measured boot, and an attestation key.
//!
//! Wire layouts: "Trusted Platform Module Library", part 3, sections 22.2 (TPM2_PCR_Extend), 24.1 (TPM2_CreatePrimary), 28.5
//! (TPM2_EvictControl); part 2, section 12.2 (TPMT_PUBLIC).

use aws_lc_rs::digest::{SHA256, digest};
use forged_root::vm::RsaPublic;
use tpm::{Authorized, Command, OWNER, Reader, Tpm, TpmError, code};

/// Measures what is booted, and with which keys.
pub(super) fn boot(tpm: &mut Tpm, loader: &str) -> Result<(), TpmError> {
    for (register, event) in [(4, loader), (7, KEYS)] {
        let authorized = Authorized::ByEmptyPassword;
        let extend = Command::new("pcr_extend", code::PCR_EXTEND, &[register], authorized);
        let measured = digest(&SHA256, event.as_bytes());
        tpm.run(&extend.u32(1).u16(tpm::SHA256).bytes(measured.as_ref()))?;
    }
    Ok(())
}

/// Makes a restricted signing key and keeps it at HCLAkPub's handle; its public half.
pub(super) fn attestation_key(tpm: &mut Tpm) -> Result<RsaPublic, TpmError> {
    let authorized = Authorized::ByEmptyPassword;
    let template = [
        &[0x00, 0x01][..],          // TPM_ALG_RSA
        &tpm::SHA256.to_be_bytes(), // the name's algorithm
        &ATTRIBUTES.to_be_bytes(),
        &[0, 0], // no policy
        &tpm::NULL.to_be_bytes(),
        &[0x00, 0x14], // TPM_ALG_RSASSA
        &tpm::SHA256.to_be_bytes(),
        &[0x08, 0x00], // 2048 bits
        &[0, 0, 0, 0], // the usual exponent
        &[0, 0],       // the modulus is the TPM's to choose
    ]
    .concat();
    let create = Command::new("create_primary", code::CREATE_PRIMARY, &[OWNER], authorized);
    // No password, no data; the template; no outside information, no registers.
    let create = create.sized(&[0, 0, 0, 0]).sized(&template).sized(&[]).u32(0).making();
    let made = tpm.run(&create)?;
    let handle = made.handle.ok_or(TpmError::Answer("handle"))?;
    let mut outer = Reader::new(&made.parameters, "public area");
    let mut public = Reader::new(outer.sized()?, "public area");
    // Type, name algorithm, attributes, the empty policy, algorithm, scheme with hash, bits, exponent.
    public.slice(2 + 2 + 4 + 2 + 2 + 4 + 2 + 4)?;
    let modulus = public.sized()?.to_vec();
    let keep = Command::new("evict_control", code::EVICT_CONTROL, &[OWNER, handle], authorized);
    tpm.run(&keep.u32(ATTESTATION_KEY))?;
    let flush = Command::new("flush_context", code::FLUSH_CONTEXT, &[], Authorized::No);
    tpm.run(&flush.u32(handle))?;
    Ok(RsaPublic { modulus, exponent: vec![1, 0, 1] })
}

/// TPMA_OBJECT: fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, noDA, restricted, sign.
const ATTRIBUTES: u32 = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 10 | 1 << 16 | 1 << 18;
const ATTESTATION_KEY: u32 = 0x8100_0003;
/// Measured into register 7; its value is in `manifests/dev.toml`.
const KEYS: &str = "vouchsafe insecure secure-boot state";
