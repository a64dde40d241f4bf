//! What we ask of a certificate, whoever issued it.
//!
//! Wire layout: RFC 5280, read by `x509-parser`; signatures are checked with aws-lc-rs over the raw bytes.
//! A certificate is one of a short chain that the caller has put in order; there is no path building here.
//! An extension that is critical and unknown to us makes a certificate useless to us.

use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA384, RsaParameters, UnparsedPublicKey,
};
use jiff::Timestamp;
use x509_parser::certificate::X509Certificate;
use x509_parser::num_bigint::BigUint;
use x509_parser::oid_registry::{
    OID_PKCS1_RSASSAPSS, OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA,
    OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_EXTENDED_KEY_USAGE, OID_X509_EXT_KEY_USAGE, Oid,
};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Name;

use crate::Sha256;

/// What is wrong with a certificate: expected and found.
pub(crate) type Fault = (String, String);

/// A certificate whose signature nobody has checked yet.
pub(crate) struct Certificate<'a> {
    der: &'a [u8],
    x509: X509Certificate<'a>,
}

/// What remains of an authority's certificate once it has been verified.
#[derive(Debug)]
pub(crate) struct Authority {
    sha256: Sha256,
    common_name: Option<String>,
    name: Vec<u8>,
    serial: BigUint,
    public_key: Vec<u8>,
}

/// Which signatures a chain may use.
#[derive(Clone, Copy)]
pub(crate) enum Algorithms {
    /// RSA-PSS with SHA-384 and a salt of 48 bytes: all that AMD uses.
    Pss,
    /// RSA PKCS#1 v1.5 with a SHA-2, too: what Microsoft uses.
    Rsa,
}

impl<'a> Certificate<'a> {
    /// Reads one certificate and nothing after it.
    pub(crate) fn parse(der: &'a [u8]) -> Result<Self, Fault> {
        let expected = || "a certificate in DER".to_owned();
        let (rest, x509) = X509Certificate::from_der(der)
            .map_err(|_| (expected(), format!("{} other bytes", der.len())))?;
        if !rest.is_empty() {
            return Err((expected(), format!("{} bytes after it", rest.len())));
        }
        shell(der)
            .ok_or_else(|| (expected(), "another encoding around its signed part".to_owned()))?;
        Ok(Self { der, x509 })
    }

    pub(crate) fn sha256(&self) -> Sha256 {
        Sha256::of(self.der)
    }

    /// The only common name of the subject.
    pub(crate) fn common_name(&self) -> Option<&str> {
        common_name(self.x509.subject())
    }

    /// The only common name of the issuer.
    pub(crate) fn issuer_name(&self) -> Option<&str> {
        common_name(self.x509.issuer())
    }

    /// The bytes of the public key: a point, or an RSA key as PKCS#1.
    pub(crate) fn public_key(&self) -> &[u8] {
        &self.x509.public_key().subject_public_key.data
    }

    /// The value of an extension that occurs once.
    pub(crate) fn extension(&self, oid: &Oid<'_>) -> Option<&[u8]> {
        self.x509.get_extension_unique(oid).ok().flatten().map(|extension| extension.value)
    }

    /// Whether an extension occurs, however often.
    pub(crate) fn has_extension(&self, oid: &Oid<'_>) -> bool {
        self.x509.extensions().iter().any(|extension| extension.oid == *oid)
    }

    /// The whole names of subject and issuer.
    pub(crate) fn names(&self) -> (String, String) {
        (self.x509.subject().to_string(), self.x509.issuer().to_string())
    }

    /// From when until when it is valid, as text.
    pub(crate) fn validity_text(&self) -> (String, String) {
        let text = |seconds| {
            Timestamp::from_second(seconds).map_or("another time".to_owned(), |at| at.to_string())
        };
        let (from, until) = self.validity();
        (text(from), text(until))
    }

    /// What is needed of it as an authority.
    pub(crate) fn authority(&self) -> Authority {
        Authority {
            sha256: self.sha256(),
            common_name: self.common_name().map(str::to_owned),
            name: self.x509.subject().as_raw().to_vec(),
            serial: self.x509.serial.clone(),
            public_key: self.public_key().to_vec(),
        }
    }

    /// From when until when it is valid, both included, in seconds.
    pub(crate) fn validity(&self) -> (i64, i64) {
        let validity = self.x509.validity();
        (validity.not_before.timestamp(), validity.not_after.timestamp())
    }

    /// Whether this certificate's issuer has the name of that one's subject.
    pub(crate) fn names_issuer(&self, issuer: &Certificate<'_>) -> bool {
        self.x509.issuer().as_raw() == issuer.x509.subject().as_raw()
    }

    /// Checks that `issuer`, which has `below` authorities under it in the chain, may sign this and did.
    pub(crate) fn issued_by(
        &self,
        issuer: &Certificate<'_>,
        below: u32,
        algorithms: Algorithms,
    ) -> Result<(), Fault> {
        if !self.names_issuer(issuer) {
            let name = |name: &X509Name<'_>| common_name(name).unwrap_or("another name").to_owned();
            return Err((name(issuer.x509.subject()), name(self.x509.issuer())));
        }
        self.known_extensions()?;
        issuer.known_extensions()?;
        issuer.may_issue(below)?;
        let algorithm = self.algorithm(algorithms)?;
        UnparsedPublicKey::new(algorithm, issuer.public_key())
            .verify(self.x509.tbs_certificate.as_ref(), &self.x509.signature_value.data)
            .map_err(|_| {
                let name = issuer.common_name().unwrap_or("its issuer");
                (
                    format!("a signature by {name} on {}", self.label()),
                    "another signature".to_owned(),
                )
            })
    }

    /// Checks that the certificate is valid at a time, which is named for the refusal.
    pub(crate) fn valid_at(&self, at: Timestamp, what: &str) -> Result<(), Fault> {
        let validity = self.x509.validity();
        if (validity.not_before.timestamp()..=validity.not_after.timestamp())
            .contains(&at.as_second())
        {
            return Ok(());
        }
        let found = format!("{what} {at}");
        Err((
            format!(
                "{} valid from {} to {}",
                self.label(),
                validity.not_before,
                validity.not_after
            ),
            found,
        ))
    }

    /// Checks that the key may sign data and that the certificate is for `eku`, in dotted form.
    pub(crate) fn usable_for(&self, eku: &str) -> Result<(), Fault> {
        let usage = self.x509.key_usage().ok().flatten();
        if !usage.is_some_and(|usage| usage.value.digital_signature()) {
            return Err((format!("{} to sign data", self.label()), "no such key usage".to_owned()));
        }
        let uses = self.x509.extended_key_usage().ok().flatten();
        let found: Vec<_> = uses
            .map(|uses| uses.value.other.iter().map(Oid::to_id_string).collect())
            .unwrap_or_default();
        if found.iter().any(|oid| oid == eku) {
            return Ok(());
        }
        Err((
            format!("extended key usage {eku}"),
            if found.is_empty() { "none".to_owned() } else { found.join(", ") },
        ))
    }

    fn label(&self) -> &str {
        self.common_name().unwrap_or("a certificate without a common name")
    }

    fn known_extensions(&self) -> Result<(), Fault> {
        let known = [
            OID_X509_EXT_BASIC_CONSTRAINTS,
            OID_X509_EXT_KEY_USAGE,
            OID_X509_EXT_EXTENDED_KEY_USAGE,
        ];
        match self
            .x509
            .extensions()
            .iter()
            .find(|extension| extension.critical && !known.contains(&extension.oid))
        {
            None => Ok(()),
            Some(extension) => Err((
                format!("only known critical extensions in {}", self.label()),
                extension.oid.to_id_string(),
            )),
        }
    }

    fn may_issue(&self, below: u32) -> Result<(), Fault> {
        let refuse =
            |found: &str| Err((format!("{} to be an authority", self.label()), found.to_owned()));
        let Some(constraints) = self.x509.basic_constraints().ok().flatten() else {
            return refuse("no basic constraints");
        };
        if !constraints.value.ca {
            return refuse("an end entity");
        }
        if constraints.value.path_len_constraint.is_some_and(|limit| limit < below) {
            return refuse("a chain longer than it permits");
        }
        match self.x509.key_usage().ok().flatten() {
            Some(usage) if usage.value.key_cert_sign() => Ok(()),
            _ => refuse("no key usage for certificates"),
        }
    }

    fn algorithm(&self, algorithms: Algorithms) -> Result<&'static RsaParameters, Fault> {
        let oid = &self.x509.signature_algorithm.algorithm;
        let refuse =
            |found: String| (format!("a known signature algorithm of {}", self.label()), found);
        if self.x509.signature_algorithm != self.x509.tbs_certificate.signature {
            return Err(refuse("two different ones".to_owned()));
        }
        if *oid == OID_PKCS1_RSASSAPSS {
            // Other parameters than SHA-384 with a salt of its length do not verify.
            return Ok(&RSA_PSS_2048_8192_SHA384);
        }
        let rsa = [
            (OID_PKCS1_SHA256WITHRSA, &RSA_PKCS1_2048_8192_SHA256),
            (OID_PKCS1_SHA384WITHRSA, &RSA_PKCS1_2048_8192_SHA384),
            (OID_PKCS1_SHA512WITHRSA, &RSA_PKCS1_2048_8192_SHA512),
        ];
        match algorithms {
            Algorithms::Pss => None,
            Algorithms::Rsa => {
                rsa.into_iter().find(|(known, _)| known == oid).map(|(_, algorithm)| algorithm)
            }
        }
        .ok_or_else(|| refuse(oid.to_id_string()))
    }
}

impl Authority {
    pub(crate) fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// The only common name of the subject.
    pub(crate) fn common_name(&self) -> Option<&str> {
        self.common_name.as_deref()
    }

    /// Whether this is the subject's name.
    pub(crate) fn is_named(&self, name: &X509Name<'_>) -> bool {
        self.name == name.as_raw()
    }

    /// The serial number, which is unique under one issuer.
    pub(crate) fn serial(&self) -> &BigUint {
        &self.serial
    }

    /// The bytes of the public key: an RSA key as PKCS#1.
    pub(crate) fn public_key(&self) -> &[u8] {
        &self.public_key
    }
}

/// Checks what the signature does not cover and `x509-parser` reads leniently: the outer sequence, the second copy of the
/// signature algorithm, and the bit string. So a certificate has one encoding, and its digest names it.
fn shell(der: &[u8]) -> Option<()> {
    shell_around(der, |signed| {
        let (_version, fields) = element(signed, VERSION)?;
        element(fields, INTEGER).map(|(_serial, fields)| fields)
    })
}

/// The same of a revocation list.
pub(crate) fn list_shell(der: &[u8]) -> Option<()> {
    shell_around(der, |signed| element(signed, INTEGER).map(|(_version, fields)| fields))
}

/// `algorithm` leads from the signed part to the first copy of the signature algorithm.
fn shell_around(der: &[u8], algorithm: fn(&[u8]) -> Option<&[u8]>) -> Option<()> {
    let (whole, rest) = element(der, SEQUENCE)?;
    let (signed, after) = element(whole, SEQUENCE)?;
    let fields = algorithm(signed)?;
    let (signature, end) = element(after.strip_prefix(raw_element(fields)?)?, BIT_STRING)?;
    (rest.is_empty() && end.is_empty() && signature.first() == Some(&0)).then_some(())
}

/// The content of the first element, which has this tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (length, rest) = match rest {
        [short @ ..=0x7f, rest @ ..] => (usize::from(*short), rest),
        [0x81, length @ 0x80..=0xff, rest @ ..] => (usize::from(*length), rest),
        [0x82, high @ 1..=0xff, low, rest @ ..] => {
            (usize::from(u16::from_be_bytes([*high, *low])), rest)
        }
        _ => return None,
    };
    if *found != tag {
        return None;
    }
    rest.split_at_checked(length)
}

/// The first element, a sequence, with its tag and length.
fn raw_element(der: &[u8]) -> Option<&[u8]> {
    let (_, rest) = element(der, SEQUENCE)?;
    der.get(..der.len() - rest.len())
}

fn common_name<'a>(name: &'a X509Name<'_>) -> Option<&'a str> {
    let mut names = name.iter_common_name();
    let only = names.next()?.as_str().ok()?;
    names.next().is_none().then_some(only)
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;
/// The explicit tag of the version, which only certificates of version 1 lack.
const VERSION: u8 = 0xa0;
