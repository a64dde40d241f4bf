//! That a report comes from AMD's hardware: its signature, the chain of the key that made it, and the agreement of both.

use std::ops::RangeInclusive;
use std::sync::Arc;

use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, ParsedPublicKey};
use jiff::Timestamp;
use x509_parser::pem::Pem;

use crate::cache::{Cache, Trust};
use crate::certificate::{Algorithms, Authority, Certificate, Fault};
use crate::vek::{Vek, VekKind};
use crate::{
    Absence, Anchors, ChipId, Product, Refusal, Report, Revocation, RevocationStatus, Sha256,
    SigningKey, Step, Tcb, TcbBytes, revocation,
};

/// A report that AMD's hardware signed. It says nothing about whether the guest deserves anything.
#[derive(Debug)]
pub struct VerifiedHardware {
    report: Report,
    product: Product,
    vek_sha256: Sha256,
    revocation: RevocationStatus,
}

impl VerifiedHardware {
    /// The report.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The product whose key signed.
    #[must_use]
    pub fn product(&self) -> Product {
        self.product
    }

    /// The kind of the key that signed.
    #[must_use]
    pub fn signing_key(&self) -> SigningKey {
        self.report.flags.signing_key()
    }

    /// SHA-256 of the certificate of the key that signed.
    #[must_use]
    pub fn vek_sha256(&self) -> &Sha256 {
        &self.vek_sha256
    }

    /// What was known about revoked authorities.
    #[must_use]
    pub fn revocation(&self) -> RevocationStatus {
        self.revocation
    }

    /// The TCB whose key signed.
    #[must_use]
    pub fn reported_tcb(&self) -> Tcb {
        self.report.reported_tcb.decode(self.product)
    }

    /// The TCB below which the platform cannot go back.
    #[must_use]
    pub fn committed_tcb(&self) -> Tcb {
        self.report.committed_tcb.decode(self.product)
    }

    /// The TCB at the guest's launch.
    #[must_use]
    pub fn launch_tcb(&self) -> Tcb {
        self.report.launch_tcb.decode(self.product)
    }

    /// The TCB that runs now.
    #[must_use]
    pub fn current_tcb(&self) -> Tcb {
        self.report.current_tcb.decode(self.product)
    }
}

/// Verifies that a report comes from AMD's hardware: the first eleven steps of [`crate::verify()`], without a
/// policy and without revocation lists.
///
/// `certificates` is PEM: the signing key's first, the others in any order.
///
/// # Errors
/// The first step that fails.
pub fn verify_hardware(
    anchors: &Anchors,
    report: &[u8],
    certificates: &str,
    now: Timestamp,
) -> Result<VerifiedHardware, Refusal> {
    let revocation = Revocation::Absent(Absence::NotConsulted);
    verify(Trust::once(anchors), &revocation, report, certificates, now)
}

/// The same with revocation lists, and with what was verified before.
pub(crate) fn verify(
    trust: Trust<'_>,
    revocation: &Revocation,
    report: &[u8],
    certificates: &str,
    now: Timestamp,
) -> Result<VerifiedHardware, Refusal> {
    // 1. Report structure.
    let parsed =
        Report::parse(report).map_err(|fault| Step::Structure.refuse("a report", fault))?;
    // 2 to 6.
    let chain = match trust.cache {
        None => Arc::new(Chain::verify(trust, report, &parsed, certificates, now)?),
        Some(cache) => known_chain(trust, cache, report, &parsed, certificates, now)?,
    };
    // 7. Revocation.
    let revocation =
        revocation::check(trust.cache, revocation, &chain.root, &chain.authority, now)?;
    // 8. Product.
    let product = verify_product(&parsed, &chain)?;
    // 9. Chip of the key.
    if let Some(chip) = chain.chip.filter(|chip| *chip != parsed.chip_id) {
        return Err(
            Step::VekChip.refuse(format_args!("chip {chip}, whose key signed"), parsed.chip_id)
        );
    }
    // 10. TCB of the key.
    if chain.tcb != parsed.reported_tcb {
        return Err(Step::VekTcb.refuse(
            format_args!("reported tcb {}, whose key signed", chain.tcb),
            format_args!("reported tcb {}", parsed.reported_tcb),
        ));
    }
    // 11. Signing key.
    verify_flags(&parsed, &chain)?;
    Ok(VerifiedHardware { vek_sha256: chain.vek_sha256, report: parsed, product, revocation })
}

/// What the certificates of a signing key show, after steps 2, 4, 5 and 6.
#[derive(Debug)]
pub(crate) struct Chain {
    key: ParsedPublicKey,
    vek_sha256: Sha256,
    kind: VekKind,
    product: Product,
    tcb: TcbBytes,
    chip: Option<ChipId>,
    root: Authority,
    authority: Authority,
    /// When all three certificates are valid, in seconds.
    valid: RangeInclusive<i64>,
}

/// Steps 2 to 6 with what was verified before. They fail in the same way as they would without.
fn known_chain(
    trust: Trust<'_>,
    cache: &Cache,
    report: &[u8],
    parsed: &Report,
    certificates: &str,
    now: Timestamp,
) -> Result<Arc<Chain>, Refusal> {
    let digest = Sha256::of(certificates.as_bytes());
    if let Some(chain) = cache.chains.get(&digest) {
        if chain.valid.contains(&now.as_second()) {
            verify_signature(report, parsed, &chain.key)?;
            return Ok(chain);
        }
        // It has run out, or the clock was set back: only its certificates can say which.
        cache.chains.forget(&digest);
    }
    let chain = Arc::new(Chain::verify(trust, report, parsed, certificates, now)?);
    cache.chains.keep(digest, chain.vek_sha256, Arc::clone(&chain));
    Ok(chain)
}

impl Chain {
    fn verify(
        trust: Trust<'_>,
        report: &[u8],
        parsed: &Report,
        certificates: &str,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        // 2. Certificates.
        let pems = read_pem(certificates).map_err(at(Step::Certificates))?;
        let (first, others) = pems.split_first().ok_or_else(|| {
            Step::Certificates.refuse("the certificate of the signing key", "no certificate")
        })?;
        let vek = Vek::parse(&first.contents).map_err(at(Step::Certificates))?;
        let others: Vec<_> = others
            .iter()
            .map(|pem| Certificate::parse(&pem.contents))
            .collect::<Result<_, _>>()
            .map_err(at(Step::Certificates))?;
        // 3. Report signature. A key that is no point of the curve has signed nothing.
        let key = ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, vek.certificate.public_key())
            .map_err(|_| refuse_signature())?;
        verify_signature(report, parsed, &key)?;
        // 4. Root.
        let root = find_root(trust.anchors, &others)?;
        // 5. Chain.
        let authority = verify_chain(trust, &vek, &others, root)?;
        // 6. Validity.
        let mut valid = i64::MIN..=i64::MAX;
        for certificate in [&vek.certificate, authority, root] {
            certificate.valid_at(now, "the time").map_err(at(Step::Validity))?;
            let (from, until) = certificate.validity();
            valid = from.max(*valid.start())..=until.min(*valid.end());
        }
        Ok(Self {
            key,
            vek_sha256: vek.certificate.sha256(),
            kind: vek.kind,
            product: vek.product,
            tcb: vek.tcb,
            chip: vek.chip,
            root: root.authority(),
            authority: authority.authority(),
            valid,
        })
    }
}

pub(crate) fn at(step: Step) -> impl Fn(Fault) -> Refusal {
    move |(expected, found)| step.refuse(expected, found)
}

pub(crate) fn read_pem(text: &str) -> Result<Vec<Pem>, Fault> {
    if text.len() > MAX_PEM {
        return Err((format!("at most {MAX_PEM} bytes of certificates"), text.len().to_string()));
    }
    let mut pems = Vec::new();
    for pem in Pem::iter_from_buffer(text.as_bytes()) {
        let pem =
            pem.map_err(|_| ("certificates in PEM".to_owned(), "a broken block".to_owned()))?;
        if pem.label != "CERTIFICATE" {
            return Err(("only certificates in PEM".to_owned(), "another block".to_owned()));
        }
        if pems.len() == MAX_CERTIFICATES {
            return Err((format!("at most {MAX_CERTIFICATES} certificates"), "more".to_owned()));
        }
        pems.push(pem);
    }
    Ok(pems)
}

fn verify_signature(raw: &[u8], report: &Report, key: &ParsedPublicKey) -> Result<(), Refusal> {
    let signed = raw.get(..Report::SIGNED_LEN).ok_or_else(refuse_signature)?;
    key.verify_sig(signed, &report.signature).map_err(|_| refuse_signature())
}

fn refuse_signature() -> Refusal {
    Step::Signature.refuse("a signature by the key of the first certificate", "another signature")
}

fn find_root<'c, 'd>(
    anchors: &Anchors,
    certificates: &'c [Certificate<'d>],
) -> Result<&'c Certificate<'d>, Refusal> {
    let pinned =
        |certificate: &&Certificate<'_>| anchors.amd_roots().contains(&certificate.sha256());
    certificates.iter().find(pinned).ok_or_else(|| {
        let found = certificates
            .iter()
            .filter(|certificate| certificate.names_issuer(certificate))
            .map(|root| {
                format!("{} with digest {}", root.common_name().unwrap_or("a root"), root.sha256())
            })
            .next();
        Step::Root.refuse("a pinned root of AMD", found.as_deref().unwrap_or("no root"))
    })
}

/// The authority between VEK and root. The root is pinned, so its own signature says nothing more.
fn verify_chain<'c, 'd>(
    trust: Trust<'_>,
    vek: &Vek<'_>,
    certificates: &'c [Certificate<'d>],
    root: &Certificate<'_>,
) -> Result<&'c Certificate<'d>, Refusal> {
    let expected = vek.kind.authority(vek.product);
    if vek.certificate.issuer_name() != Some(&expected) {
        let found = vek.certificate.issuer_name().unwrap_or("another issuer");
        return Err(Step::Chain.refuse(expected, found));
    }
    let authority = certificates
        .iter()
        .find(|certificate| vek.certificate.names_issuer(certificate))
        .ok_or_else(|| Step::Chain.refuse(format_args!("the certificate of {expected}"), "none"))?;
    verify_authority(trust.cache, authority, root)?;
    vek.certificate.issued_by(authority, 0, Algorithms::Pss).map_err(at(Step::Chain))?;
    Ok(authority)
}

/// An authority below a pinned root is verified once: both are known by their digests.
fn verify_authority(
    cache: Option<&Cache>,
    authority: &Certificate<'_>,
    root: &Certificate<'_>,
) -> Result<(), Refusal> {
    let verify = || authority.issued_by(root, 1, Algorithms::Pss).map_err(at(Step::Chain));
    let Some(Cache { authorities, .. }) = cache else {
        return verify();
    };
    let pair = authority.sha256().and(root.sha256());
    if authorities.get(&pair).is_none() {
        verify()?;
        authorities.keep(pair, pair, Arc::new(()));
    }
    Ok(())
}

fn verify_product(report: &Report, chain: &Chain) -> Result<Product, Refusal> {
    let product = chain.product;
    let (expected, found) = (format!("ARK-{}", product.amd_name()), chain.root.common_name());
    if found != Some(&expected) {
        return Err(Step::Product.refuse(expected, found.unwrap_or("another root")));
    }
    match (report.cpuid, report.product()) {
        // Version 2 names no product; it is older than Turin, whose TCB it could not express.
        (None, _) if product != Product::Turin => Ok(product),
        (Some(_), Some(found)) if found == product => Ok(product),
        (None, _) => {
            Err(Step::Product.refuse("a report version of 3 or later on turin", report.version))
        }
        (Some(cpuid), _) => Err(Step::Product.refuse(
            format_args!("a processor of {product}, whose key signed"),
            format_args!("family {:#04x}, model {:#04x}", cpuid.family, cpuid.model),
        )),
    }
}

fn verify_flags(report: &Report, chain: &Chain) -> Result<(), Refusal> {
    let (expected, found) = (chain.kind.signing_key(), report.flags.signing_key());
    if expected != found {
        return Err(Step::SigningKey.refuse(format_args!("signing key {expected}"), found));
    }
    match (found, report.flags.mask_chip_key()) {
        (SigningKey::Vcek, true) => {
            Err(Step::SigningKey.refuse("a chip key that is not masked", "a masked one"))
        }
        (SigningKey::Vcek | SigningKey::Vlek | SigningKey::None | SigningKey::Other(_), _) => {
            Ok(())
        }
    }
}

/// A real chain has about 6.5 KB.
const MAX_PEM: usize = 32 << 10;
const MAX_CERTIFICATES: usize = 6;
