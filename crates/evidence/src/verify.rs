//! The whole verification of a container's evidence, and of a report alone.

use jiff::Timestamp;

use crate::cache::Trust;
use crate::{
    Anchors, Binding, ChipId, HostData, Measurement, Policy, Product, RawEvidence, Refusal, Report,
    ReportPolicy, Tcb, VerifiedEndorsement, VerifiedHardware, demands, endorsement, hardware,
};

/// Evidence that passed every step of [`verify()`], which is the only way to get one.
#[derive(Debug)]
pub struct VerifiedReport {
    hardware: VerifiedHardware,
    endorsement: VerifiedEndorsement,
}

/// Verifies the evidence of a confidential container.
///
/// The steps, in the order in which they are performed; the first that fails is the answer:
///
/// 1. *report structure*: 1184 bytes, version 2 to 5, ECDSA P-384 with SHA-384, a well-formed signature field.
/// 2. *certificates*: PEM, at most six; the first is a VCEK's or a VLEK's with AMD's extensions, and none of the other's.
/// 3. *report signature*: that key signed the raw bytes 0 to 671.
/// 4. *root*: one of the certificates is a pinned root, by SHA-256 of its DER.
/// 5. *chain*: the root signed ASK (or ASVK) and that signed the VEK, with RSA-PSS and SHA-384, each being an authority
///    of the right name for the product and the kind of key.
/// 6. *validity*: all three are valid at `now`.
/// 7. *revocation*: where the policy demands revocation lists, one is signed by this root and in force; where it has any,
///    that of this root names neither root nor ASK.
/// 8. *product*: VEK, root and the report's family and model agree.
/// 9. *chip of the key*: the VCEK is that of the report's chip.
/// 10. *tcb of the key*: each part of the VEK's TCB is that of the reported TCB.
/// 11. *signing key*: the report's flags name this kind of key, a VCEK's chip is not masked, and the policy permits it.
/// 12. *vmpl*: exactly the policy's.
/// 13. *debug*: the guest's policy does not allow debugging.
/// 14. *migration*: the guest's policy does not allow a migration agent.
/// 15. *guest policy*: the reserved one, multithreading, sockets, CXL, protections that it must demand, least ABI.
/// 16. *platform*: alias check, ciphertext hiding, power measurement, multithreading, TSME and error correction as demanded,
///     and not other than the guest's policy demands; the firmware's version, at least the committed one, and whether it is
///     committed; the mitigations of launch and now.
/// 17. *tcb order*: no part of reported, committed and launch TCB is above the current TCB.
/// 18. *tcb floor*: the product has a floor, and no part of reported, committed and launch TCB is below it.
/// 19. *binding*: REPORT_DATA is `binding`, all 64 bytes.
/// 20. *host data*: HOST_DATA is accepted.
/// 21. *measurement*: MEASUREMENT is accepted.
/// 22. *image*: family id, image id, guest SVN and the report ids of the guest and its migration agent are accepted.
/// 23. *id-block keys*: the digests of ID key and author key are accepted, the latter only of an author key in use.
/// 24. *chip*: the chip is accepted.
/// 25. *endorsement structure*: a tagged COSE_Sign1 in one of the two forms, with all that the form has.
/// 26. *endorsement algorithm*: PS384.
/// 27. *endorsement root*: the certificates can be read, and one above the signer's is the pinned root.
/// 28. *endorsement chain*: up to that root, each is signed by the next, an authority, and valid at the signing time.
/// 29. *endorsement key usage*: the signer's certificate is for signing, and has the policy's extended key usage.
/// 30. *endorsement signature*: the signer signed headers and payload.
/// 31. *endorsement issuer*: the named issuer is the did:x509 of root and extended key usage.
/// 32. *endorsement feed*: exactly the policy's.
/// 33. *endorsement svn*: not below the policy's.
/// 34. *endorsed measurement*: it is the report's.
///
/// Freshness is what `binding` says it is: the caller puts a challenge into it.
///
/// # Errors
/// The first step that fails, what it expected and what it found.
pub fn verify(
    policy: &Policy,
    anchors: &Anchors,
    evidence: &RawEvidence,
    binding: &Binding,
    now: Timestamp,
) -> Result<VerifiedReport, Refusal> {
    container(policy, Trust::once(anchors), evidence, binding, now)
}

/// The same, with what was verified before.
pub(crate) fn container(
    policy: &Policy,
    trust: Trust<'_>,
    evidence: &RawEvidence,
    binding: &Binding,
    now: Timestamp,
) -> Result<VerifiedReport, Refusal> {
    let hardware = hardware::verify(
        trust,
        &policy.report.revocation,
        &evidence.report,
        &evidence.certificates,
        now,
    )?;
    demands::check(&policy.report, &hardware, binding)?;
    let measurement = &hardware.report().measurement;
    let endorsement =
        endorsement::verify(&policy.uvm, trust, &evidence.uvm_endorsement, measurement)?;
    Ok(VerifiedReport { hardware, endorsement })
}

/// A report that passed every step of [`verify_snp`], which is the only way to get one.
#[derive(Debug)]
pub struct VerifiedSnp {
    hardware: VerifiedHardware,
}

/// Verifies the report of a guest that talks to the firmware itself, on any cloud: steps 1 to 24 of [`verify()`].
///
/// Nobody endorses the guest's measurement here, so a policy that does not name the accepted ones says nothing about what
/// runs.
///
/// # Errors
/// The first step that fails.
pub fn verify_snp(
    policy: &ReportPolicy,
    anchors: &Anchors,
    report: &[u8],
    certificates: &str,
    binding: &Binding,
    now: Timestamp,
) -> Result<VerifiedSnp, Refusal> {
    snp(policy, Trust::once(anchors), report, certificates, binding, now)
}

/// The same, with what was verified before.
pub(crate) fn snp(
    policy: &ReportPolicy,
    trust: Trust<'_>,
    report: &[u8],
    certificates: &str,
    binding: &Binding,
    now: Timestamp,
) -> Result<VerifiedSnp, Refusal> {
    let hardware = hardware::verify(trust, &policy.revocation, report, certificates, now)?;
    demands::check(policy, &hardware, binding)?;
    Ok(VerifiedSnp { hardware })
}

impl VerifiedSnp {
    /// The hardware's part.
    #[must_use]
    pub fn hardware(&self) -> &VerifiedHardware {
        &self.hardware
    }

    /// The whole report.
    #[must_use]
    pub fn report(&self) -> &Report {
        self.hardware.report()
    }

    /// The processor's product.
    #[must_use]
    pub fn product(&self) -> Product {
        self.hardware.product()
    }
}

impl VerifiedReport {
    /// HOST_DATA: for a container, the SHA-256 of its CCE policy.
    #[must_use]
    pub fn host_data(&self) -> &HostData {
        &self.report().host_data
    }

    /// The endorsed launch measurement.
    #[must_use]
    pub fn measurement(&self) -> &Measurement {
        &self.report().measurement
    }

    /// The processor's product.
    #[must_use]
    pub fn product(&self) -> Product {
        self.hardware.product()
    }

    /// The processor.
    #[must_use]
    pub fn chip_id(&self) -> &ChipId {
        &self.report().chip_id
    }

    /// The TCB whose key signed.
    #[must_use]
    pub fn reported_tcb(&self) -> Tcb {
        self.hardware.reported_tcb()
    }

    /// The TCB below which the platform cannot go back.
    #[must_use]
    pub fn committed_tcb(&self) -> Tcb {
        self.hardware.committed_tcb()
    }

    /// The TCB at the guest's launch.
    #[must_use]
    pub fn launch_tcb(&self) -> Tcb {
        self.hardware.launch_tcb()
    }

    /// The security version of the endorsed utility VM.
    #[must_use]
    pub fn uvm_svn(&self) -> u64 {
        self.endorsement.svn()
    }

    /// The endorsement.
    #[must_use]
    pub fn endorsement(&self) -> &VerifiedEndorsement {
        &self.endorsement
    }

    /// The hardware's part.
    #[must_use]
    pub fn hardware(&self) -> &VerifiedHardware {
        &self.hardware
    }

    /// The whole report.
    #[must_use]
    pub fn report(&self) -> &Report {
        self.hardware.report()
    }
}
