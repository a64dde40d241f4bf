//! AMD's part: endorsement keys of processors, their certificates, and reports signed with them.
//!
//! Wire layouts: the certificates of AMD 57230, "VCEK Certificate and KDS Interface Specification", revision 1.00,
//! section 3; the report of AMD 56860, revision 1.58, tables 23 and 139.
//! A chip's key follows from product, seed and TCB, so the same arguments give the same chip at any time; signatures
//! are random, so certificates differ in their bytes from call to call.

use aws_lc_rs::agreement::{ECDH_P384, PrivateKey};
use aws_lc_rs::digest;
use aws_lc_rs::encoding::{AsBigEndian as _, EcPrivateKeyBin};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::json;

use crate::certificate::{
    COMMON_NAME, COUNTRY, Certificate, Extension, LOCALITY, ORGANIZATION, P384, STATE, UNIT,
    ec_public, name, to_pem,
};
use crate::keys::{self, Fixed};
use crate::report::ReportFields;
use crate::{Product, Tcb, der};

/// A processor with one endorsement key.
#[derive(Debug)]
pub struct Chip {
    /// The certificate of its key; change it before asking for the chain to get one that is wrong in one place.
    pub certificate: VekCertificate,
    /// The product.
    pub product: Product,
    /// CHIP_ID; Turin uses the first 8 bytes.
    pub chip_id: [u8; 64],
    /// The version whose key this is.
    pub tcb: Tcb,
    key: EcdsaKeyPair,
}

/// What stands in a VEK's certificate.
#[derive(Debug, Clone)]
pub struct VekCertificate {
    /// Whose authority signs it.
    pub product: Product,
    /// Which of its two authorities.
    pub kind: VekKind,
    /// The common name of the subject.
    pub subject: String,
    /// The product extension.
    pub product_name: String,
    /// The TCB extensions, as the bytes of a report.
    pub tcb: [u8; 8],
    /// The hwid extension, which only a VCEK has.
    pub hwid: Option<Vec<u8>>,
    /// The name of the cloud provider, which only a VLEK has.
    pub provider: Option<&'static str>,
    /// Valid from.
    pub not_before: Timestamp,
    /// Valid until.
    pub not_after: Timestamp,
    /// The public key's point.
    pub point: Vec<u8>,
}

/// The two kinds of endorsement keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VekKind {
    /// Of one chip.
    Vcek,
    /// Of a cloud provider.
    Vlek,
}

impl Chip {
    /// The chip that `seed` names, at a TCB version, with its VCEK.
    #[must_use]
    pub fn new(product: Product, seed: &str, tcb: Tcb) -> Self {
        let mut chip_id = [0; 64];
        let digest = digest::digest(
            &digest::SHA512,
            format!("vouchsafe insecure chip {product} {seed}").as_bytes(),
        );
        let used = hwid_len(product);
        chip_id.iter_mut().zip(digest.as_ref()).take(used).for_each(|(to, from)| *to = *from);
        let hwid = Some(chip_id.iter().copied().take(used).collect());
        Self::with_kind(VekKind::Vcek, product, seed, tcb, chip_id, hwid)
    }

    /// The same chip with a VLEK, as a cloud provider would have loaded it.
    #[must_use]
    pub fn new_vlek(product: Product, seed: &str, tcb: Tcb) -> Self {
        let Self { chip_id, .. } = Self::new(product, seed, tcb);
        Self::with_kind(VekKind::Vlek, product, seed, tcb, chip_id, None)
    }

    #[expect(
        clippy::expect_used,
        reason = "a digest is below the order of the curve but once in 2^190 seeds"
    )]
    fn with_kind(
        kind: VekKind,
        product: Product,
        seed: &str,
        tcb: Tcb,
        chip_id: [u8; 64],
        hwid: Option<Vec<u8>>,
    ) -> Self {
        let label =
            format!("vouchsafe insecure {kind:?} {product} {seed} {:?}", tcb.bytes(product));
        let scalar = digest::digest(&digest::SHA384, label.as_bytes());
        let private = PrivateKey::from_private_key(&ECDH_P384, scalar.as_ref())
            .expect("the scalar is in range");
        let point = private.compute_public_key().expect("the scalar is in range").as_ref().to_vec();
        let scalar: EcPrivateKeyBin<'_> = private.as_be_bytes().expect("the key can be exported");
        let key = EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P384_SHA384_FIXED_SIGNING,
            scalar.as_ref(),
            &point,
        )
        .expect("the halves belong together");
        let certificate = VekCertificate {
            product,
            kind,
            subject: match kind {
                VekKind::Vcek => "SEV-VCEK".to_owned(),
                VekKind::Vlek => "SEV-VLEK".to_owned(),
            },
            product_name: product.extension().to_owned(),
            tcb: tcb.bytes(product),
            hwid,
            provider: (kind == VekKind::Vlek).then_some("vouchsafe"),
            not_before: NOT_BEFORE,
            not_after: NOT_AFTER,
            point,
        };
        Self { certificate, product, chip_id, tcb, key }
    }

    /// A report as this chip makes it for a container of Azure; the caller sets what the guest decides.
    #[must_use]
    pub fn fields(&self) -> ReportFields {
        ReportFields {
            chip_id: self.chip_id,
            flags: match self.certificate.kind {
                VekKind::Vcek => 0,
                VekKind::Vlek => 1 << 2,
            },
            ..ReportFields::new(self.product, self.tcb)
        }
    }

    /// A signed report: 1184 bytes.
    #[must_use]
    pub fn sign(&self, fields: &ReportFields) -> Vec<u8> {
        self.sign_bytes(fields.signed_part())
    }

    /// Completes the signed part of a report, whatever it says, to a report.
    ///
    /// # Panics
    /// When the system has no randomness.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "signing fails only without memory or randomness, and this is for tests"
    )]
    pub fn sign_bytes(&self, mut report: Vec<u8>) -> Vec<u8> {
        let signature = self.key.sign(&SystemRandom::new(), &report).expect("the key is sound");
        for half in signature.as_ref().chunks(48) {
            report.extend(half.iter().rev());
            report.extend([0; 24]);
        }
        report.resize(crate::report::LEN, 0);
        report
    }

    /// The certificate of the key, signed by the forged authority.
    #[must_use]
    pub fn vek_der(&self) -> Vec<u8> {
        self.certificate.sign()
    }

    /// The chain as PEM: VCEK and ASK, or VLEK and ASVK, then ARK.
    #[must_use]
    pub fn vcek_pem_chain(&self) -> String {
        to_pem(&self.vek_der()) + &self.authorities_pem()
    }

    /// The answer of the platform's certificate service.
    #[must_use]
    pub fn thim_json(&self) -> String {
        let tcbm = format!("{:016X}", u64::from_le_bytes(self.certificate.tcb));
        json!({
            "vcekCert": to_pem(&self.vek_der()),
            "tcbm": tcbm,
            "certificateChain": self.authorities_pem(),
            "cacheControl": "86400",
        })
        .to_string()
    }

    /// The file `host-amd-cert-base64` of a security context.
    #[must_use]
    pub fn host_amd_cert_base64(&self) -> String {
        STANDARD.encode(self.thim_json())
    }

    fn authorities_pem(&self) -> String {
        let VekCertificate { product, kind, .. } = self.certificate;
        authority(product, kind).certificate.to_owned() + keys::ark(product).certificate
    }
}

impl VekCertificate {
    /// The certificate, signed by the forged authority that it names.
    #[must_use]
    pub fn sign(&self) -> Vec<u8> {
        let issuer = match self.kind {
            VekKind::Vcek => format!("SEV-{}", self.product.amd_name()),
            VekKind::Vlek => format!("SEV-VLEK-{}", self.product.amd_name()),
        };
        Certificate {
            serial: 0,
            issuer: amd_name(&issuer),
            subject: amd_name(&self.subject),
            not_before: self.not_before,
            not_after: self.not_after,
            key: ec_public(P384, &self.point),
            extensions: self.extensions(),
        }
        .sign(&authority(self.product, self.kind).pss_sha384())
    }

    fn extensions(&self) -> Vec<Extension> {
        let turin = self.product == Product::Turin;
        let of =
            |arc: &str, value| Extension::optional(&format!("1.3.6.1.4.1.3704.1.{arc}"), value);
        let mut all =
            vec![of("1", der::integer(turin.into())), of("2", der::ia5(&self.product_name))];
        let places: [&str; 8] = if turin {
            ["3.9", "3.1", "3.2", "3.3", "3.5", "3.6", "3.7", "3.8"]
        } else {
            ["3.1", "3.2", "3.4", "3.5", "3.6", "3.7", "3.3", "3.8"]
        };
        all.extend(
            places.iter().zip(self.tcb).map(|(arc, version)| of(arc, der::integer(version.into()))),
        );
        if let Some(hwid) = &self.hwid {
            all.push(of("4", hwid.clone()));
        }
        if let Some(provider) = self.provider {
            all.push(of("5", der::ia5(provider)));
        }
        all
    }
}

/// A Name as in AMD's certificates, except for the unit, which says what this is.
#[must_use]
pub fn amd_name(common_name: &str) -> Vec<u8> {
    name(&[
        (UNIT, "Forged by Vouchsafe"),
        (COUNTRY, "US"),
        (LOCALITY, "Santa Clara"),
        (STATE, "CA"),
        (ORGANIZATION, "Advanced Micro Devices"),
        (COMMON_NAME, common_name),
    ])
}

/// The root certificate of a product, as DER.
#[must_use]
pub fn ark_der(product: Product) -> Vec<u8> {
    keys::ark(product).der()
}

/// The certificate of the key that signs VCEKs.
#[must_use]
pub fn ask_der(product: Product) -> Vec<u8> {
    keys::ask(product).der()
}

/// The certificate of the key that signs VLEKs.
#[must_use]
pub fn asvk_der(product: Product) -> Vec<u8> {
    keys::asvk(product).der()
}

/// SHA-256 of the root certificate of a product.
#[must_use]
pub fn amd_root_sha256(product: Product) -> [u8; 32] {
    keys::ark(product).sha256()
}

/// The certificates that AMD's service gives for a product, as PEM: the authority of VCEKs, and the root.
#[must_use]
pub fn amd_cert_chain(product: Product) -> String {
    to_pem(&ask_der(product)) + &to_pem(&ark_der(product))
}

/// A revocation list of a product's root, as DER. The authorities' serial numbers stand in their certificates: the
/// product's number (Milan 0, Genoa 1, Turin 2) times 65536, plus 0 for ARK, 1 for ASK, 2 for ASVK.
#[must_use]
pub fn amd_crl(
    product: Product,
    revoked: &[u64],
    this_update: Timestamp,
    next_update: Timestamp,
) -> Vec<u8> {
    amd_crl_numbered(product, Some(1), revoked, this_update, next_update)
}

/// [`amd_crl`] with this CRL number, or without one.
#[must_use]
pub fn amd_crl_numbered(
    product: Product,
    number: Option<u64>,
    revoked: &[u64],
    this_update: Timestamp,
    next_update: Timestamp,
) -> Vec<u8> {
    let root = keys::ark(product).pss_sha384();
    let entries: Vec<_> = revoked
        .iter()
        .map(|serial| der::sequence(&[der::integer(*serial), der::time(this_update)]))
        .collect();
    // An empty list of entries is left out, as RFC 5280 demands.
    let entries = if entries.is_empty() { Vec::new() } else { der::sequence(&entries) };
    let extensions = match number {
        None => Vec::new(),
        Some(number) => {
            let number = der::octets(&der::integer(number));
            der::explicit(0, &der::sequence(&[der::sequence(&[der::oid("2.5.29.20"), number])]))
        }
    };
    let body = der::sequence(&[
        der::integer(1),
        root.algorithm(),
        amd_name(&format!("ARK-{}", product.amd_name())),
        der::time(this_update),
        der::time(next_update),
        entries,
        extensions,
    ]);
    let signature = der::bits(&root.sign(&body));
    der::sequence(&[body, root.algorithm(), signature])
}

fn authority(product: Product, kind: VekKind) -> Fixed {
    match kind {
        VekKind::Vcek => keys::ask(product),
        VekKind::Vlek => keys::asvk(product),
    }
}

fn hwid_len(product: Product) -> usize {
    match product {
        Product::Milan | Product::Genoa => 64,
        Product::Turin => 8,
    }
}

/// All our certificates are valid from 2024-01-01.
pub const NOT_BEFORE: Timestamp = Timestamp::constant(1_704_067_200, 0);
/// All our certificates are valid until 2074-01-01.
pub const NOT_AFTER: Timestamp = Timestamp::constant(3_281_990_400, 0);

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{
        ECDSA_P384_SHA384_FIXED, RSA_PSS_2048_8192_SHA384, UnparsedPublicKey,
    };
    use x509_parser::parse_x509_certificate;

    use super::*;

    fn chips() -> impl Iterator<Item = Chip> {
        Product::ALL.into_iter().flat_map(|product| {
            [
                Chip::new(product, "test", product.tcb()),
                Chip::new_vlek(product, "test", product.tcb()),
            ]
        })
    }

    #[test]
    fn the_authority_signs_the_key_and_the_key_signs_reports() {
        for chip in chips() {
            let vek = chip.vek_der();
            let (_, vek) = parse_x509_certificate(&vek).unwrap();
            let authority = authority(chip.product, chip.certificate.kind).der();
            let (_, authority) = parse_x509_certificate(&authority).unwrap();
            assert_eq!(vek.issuer().as_raw(), authority.subject().as_raw());
            UnparsedPublicKey::new(
                &RSA_PSS_2048_8192_SHA384,
                &authority.public_key().subject_public_key.data,
            )
            .verify(vek.tbs_certificate.as_ref(), &vek.signature_value.data)
            .unwrap();
            let report = chip.sign(&chip.fields());
            assert_eq!(report.len(), 1184);
            let signature: Vec<u8> = report[672..720]
                .iter()
                .rev()
                .chain(report[744..792].iter().rev())
                .copied()
                .collect();
            UnparsedPublicKey::new(
                &ECDSA_P384_SHA384_FIXED,
                &vek.public_key().subject_public_key.data,
            )
            .verify(&report[..672], &signature)
            .unwrap();
        }
    }

    #[test]
    fn the_same_arguments_give_the_same_chip_and_others_another() {
        let chip = |seed, tcb| Chip::new(Product::Milan, seed, tcb);
        let tcb = Product::Milan.tcb();
        assert_eq!(chip("a", tcb).certificate.point, chip("a", tcb).certificate.point);
        assert_ne!(chip("a", tcb).chip_id, chip("b", tcb).chip_id);
        let older = Tcb { snp: 1, ..tcb };
        assert_eq!(chip("a", older).chip_id, chip("a", tcb).chip_id);
        assert_ne!(chip("a", older).certificate.point, chip("a", tcb).certificate.point);
    }

    #[test]
    fn the_certificate_service_answers_as_the_real_one() {
        let chip = Chip::new(Product::Milan, "test", Product::Milan.tcb());
        let answer: serde_json::Value = serde_json::from_str(&chip.thim_json()).unwrap();
        assert_eq!(answer["tcbm"], "DB18000000000004");
        assert_eq!(answer["cacheControl"], "86400");
        assert_eq!(
            answer["certificateChain"].as_str().unwrap().matches("BEGIN CERTIFICATE").count(),
            2
        );
    }
}
