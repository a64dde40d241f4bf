//! Documents signed by a signer of the manifest: compact JWS (RFC 7515), RS256, one header form.
//!
//! Every kind of document has its own `typ`, so that none passes for another. The header holds
//! the signer's certificate; who the signer is, is decided only by the SHA-256 of its public key,
//! which must be one of the fingerprints that the caller got from a measured place. Nothing else
//! in the certificate is believed, its dates included: a signer is retired by a new trust root.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use aws_lc_rs::rand::SecureRandom;
use aws_lc_rs::signature::{self, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evidence::Sha256;
use serde::{Deserialize, Serialize};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use crate::b64;

/// What a signed document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentType {
    /// What a server needs to start: [`crate::bundle`].
    Bundle,
    /// The manifest in force: [`crate::signed_manifest`].
    Manifest,
}

impl DocumentType {
    /// The `typ` of the JWS header.
    #[must_use]
    pub const fn typ(self) -> &'static str {
        match self {
            Self::Bundle => "vouchsafe-bundle",
            Self::Manifest => "vouchsafe-manifest",
        }
    }
}

/// A signer's name in documents: SHA-256 of its DER SubjectPublicKeyInfo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SignerId(pub Sha256);

impl fmt::Display for SignerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for SignerId {
    type Err = <Sha256 as FromStr>::Err;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// A signer's certificate: a carrier of its RSA public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignerCertificate {
    der: Vec<u8>,
    /// PKCS#1 RSAPublicKey, which is what the verification takes.
    public_key: Vec<u8>,
    id: SignerId,
}

impl SignerCertificate {
    /// Reads a DER certificate with an RSA key of 3072 to 8192 bits.
    ///
    /// # Errors
    /// Not a certificate, or another kind or size of key.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|_| CertificateError::Malformed)?;
        if !rest.is_empty() {
            return Err(CertificateError::Malformed);
        }
        let spki = certificate.public_key();
        let bits = match spki.parsed() {
            Ok(x509_parser::public_key::PublicKey::RSA(key)) => key.key_size(),
            Ok(_) | Err(_) => return Err(CertificateError::NotRsa),
        };
        if !(3072..=8192).contains(&bits) {
            return Err(CertificateError::KeySize { bits });
        }
        Ok(Self {
            der: der.to_vec(),
            public_key: spki.subject_public_key.data.to_vec(),
            id: SignerId(Sha256::of(spki.raw)),
        })
    }

    /// Reads the first certificate of a PEM text.
    ///
    /// # Errors
    /// No certificate in it, or one that [`Self::from_der`] refuses.
    pub fn from_pem(text: &str) -> Result<Self, CertificateError> {
        let (_, pem) = x509_parser::pem::parse_x509_pem(text.as_bytes())
            .map_err(|_| CertificateError::Malformed)?;
        if pem.label != "CERTIFICATE" {
            return Err(CertificateError::Malformed);
        }
        Self::from_der(&pem.contents)
    }

    /// The certificate, DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Who the signer is.
    #[must_use]
    pub const fn id(&self) -> SignerId {
        self.id
    }
}

/// Why a certificate cannot be a signer's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not one DER certificate, in PEM where PEM was asked for.
    #[error("not an X.509 certificate")]
    Malformed,
    /// MAA's isolated mode takes policies signed RS256 only, so a signer's key is RSA.
    #[error("the key is not RSA, which RS256 needs")]
    NotRsa,
    /// The RSA key is too small or absurdly large.
    #[error("an RSA key of {bits} bits, expected 3072 to 8192")]
    KeySize {
        /// Size of the modulus.
        bits: usize,
    },
}

/// A signer's private key, where the provisioner holds it as a file.
pub struct SignerKey(signature::RsaKeyPair);

impl SignerKey {
    /// Reads a PKCS#8 DER key.
    ///
    /// # Errors
    /// Not an RSA key in PKCS#8.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, NotASignerKey> {
        signature::RsaKeyPair::from_pkcs8(der).map(Self).map_err(|_| NotASignerKey)
    }

    /// Reads a PKCS#8 PEM key.
    ///
    /// # Errors
    /// Not an RSA key in PKCS#8 PEM.
    pub fn from_pem(text: &str) -> Result<Self, NotASignerKey> {
        let (_, pem) =
            x509_parser::pem::parse_x509_pem(text.as_bytes()).map_err(|_| NotASignerKey)?;
        let der = Zeroizing::new(pem.contents);
        if pem.label == "PRIVATE KEY" { Self::from_pkcs8(&der) } else { Err(NotASignerKey) }
    }

    /// Signs a prepared document (RSASSA-PKCS1-v1_5 with SHA-256).
    ///
    /// # Errors
    /// The key does not belong to the certificate that the document names.
    pub fn sign(&self, document: ToSign, rng: &dyn SecureRandom) -> Result<String, JwsError> {
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0
            .sign(&signature::RSA_PKCS1_SHA256, rng, document.text.as_bytes(), &mut signature)
            .map_err(|_| JwsError::Signature)?;
        document.assemble(&signature)
    }
}

impl fmt::Debug for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignerKey(..)")
    }
}

/// Bytes that are no RSA private key in PKCS#8.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an RSA private key in PKCS#8")]
pub struct NotASignerKey;

/// A document whose signing input is fixed and whose signature is still to come, perhaps from
/// elsewhere.
#[derive(Debug)]
pub struct ToSign {
    text: String,
    certificate: SignerCertificate,
}

impl ToSign {
    /// The JWS signing input: ASCII, to be signed RS256 by the certificate's key.
    #[must_use]
    pub fn signing_input(&self) -> &str {
        &self.text
    }

    /// Puts the signature on, once it is known to be right.
    ///
    /// # Errors
    /// The signature is not the certificate's.
    pub fn assemble(self, signature: &[u8]) -> Result<String, JwsError> {
        check_signature(&self.certificate, &self.text, signature)?;
        Ok(format!("{}.{}", self.text, b64::encode(signature)))
    }
}

/// Fixes what is to be signed: header and payload of a document of this kind.
///
/// # Errors
/// The header cannot be written, which does not happen.
pub fn prepare(
    kind: DocumentType,
    certificate: &SignerCertificate,
    payload: &[u8],
) -> Result<ToSign, JwsError> {
    let header = Header {
        alg: "RS256".to_owned(),
        typ: kind.typ().to_owned(),
        x5c: vec![STANDARD.encode(&certificate.der)],
    };
    let header = serde_jcs::to_vec(&header).map_err(|_| JwsError::Malformed("header"))?;
    Ok(ToSign {
        text: format!("{}.{}", b64::encode(&header), b64::encode(payload)),
        certificate: certificate.clone(),
    })
}

/// A document that one of the expected signers signed as this kind; made only by [`verify`].
#[derive(Debug)]
pub struct Verified {
    payload: Vec<u8>,
    signer: SignerId,
    digest: Sha256,
}

impl Verified {
    /// The signed bytes.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Who signed.
    #[must_use]
    pub const fn signer(&self) -> SignerId {
        self.signer
    }

    /// SHA-256 of the signed bytes.
    #[must_use]
    pub const fn digest(&self) -> Sha256 {
        self.digest
    }
}

/// Verifies a compact JWS.
///
/// In this order:
/// 1. size: at most [`MAX_DOCUMENT`] characters, three parts;
/// 2. header: exactly `alg`, `typ` and `x5c` with one certificate; `alg` is RS256;
/// 3. `typ` is that of `kind`;
/// 4. the certificate is readable, and the SHA-256 of its public key is one of `signers`;
/// 5. the signature over header and payload, as they came, is by that key.
///
/// # Errors
/// The first step that does not hold.
pub fn verify(
    kind: DocumentType,
    compact: &str,
    signers: &BTreeSet<SignerId>,
) -> Result<Verified, JwsError> {
    if compact.len() > MAX_DOCUMENT {
        return Err(JwsError::TooLarge { length: compact.len() });
    }
    let (signed, signature) = compact.rsplit_once('.').ok_or(JwsError::Malformed("parts"))?;
    let (header, payload) = signed.split_once('.').ok_or(JwsError::Malformed("parts"))?;
    let header = b64::decode(header).map_err(|_| JwsError::Malformed("header"))?;
    let header: Header =
        serde_json::from_slice(&header).map_err(|_| JwsError::Malformed("header"))?;
    if header.alg != "RS256" {
        return Err(JwsError::Algorithm);
    }
    if header.typ != kind.typ() {
        return Err(JwsError::Type { expected: kind.typ() });
    }
    let [certificate] = header.x5c.as_slice() else { return Err(JwsError::Malformed("x5c")) };
    let certificate = STANDARD.decode(certificate).map_err(|_| JwsError::Malformed("x5c"))?;
    let certificate = SignerCertificate::from_der(&certificate)?;
    if !signers.contains(&certificate.id) {
        return Err(JwsError::UnknownSigner { signer: certificate.id });
    }
    let signature = b64::decode(signature).map_err(|_| JwsError::Malformed("signature"))?;
    check_signature(&certificate, signed, &signature)?;
    let payload = b64::decode(payload).map_err(|_| JwsError::Malformed("payload"))?;
    let digest = Sha256::of(&payload);
    Ok(Verified { payload, signer: certificate.id, digest })
}

fn check_signature(
    certificate: &SignerCertificate,
    text: &str,
    signature: &[u8],
) -> Result<(), JwsError> {
    UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, &certificate.public_key)
        .verify(text.as_bytes(), signature)
        .map_err(|_| JwsError::Signature)
}

/// Why a signed document was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// Longer than any document of ours.
    #[error("{length} characters, at most {MAX_DOCUMENT} are read")]
    TooLarge {
        /// Length in characters.
        length: usize,
    },
    /// Not the form of our documents.
    #[error("malformed {0} of the signed document")]
    Malformed(&'static str),
    /// Another algorithm than RS256.
    #[error("signed with another algorithm than RS256")]
    Algorithm,
    /// A document of another kind.
    #[error("a document of another type, expected {expected}")]
    Type {
        /// The `typ` that was asked for.
        expected: &'static str,
    },
    /// The certificate in the header cannot be a signer's.
    #[error("certificate of the signer")]
    Certificate(#[from] CertificateError),
    /// A certificate that nobody here trusts.
    #[error("signed by {signer}, which is not one of the signers")]
    UnknownSigner {
        /// The key that signed, or claims to.
        signer: SignerId,
    },
    /// The signature is not the signer's over these bytes.
    #[error("the signature does not hold")]
    Signature,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    x5c: Vec<String>,
}

/// The longest document read, in characters: a manifest of 50,000 secrets fits.
pub const MAX_DOCUMENT: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, rng};

    fn signed(kind: DocumentType) -> String {
        testing::first().sign(kind, b"{\"a\":1}")
    }

    fn signers() -> BTreeSet<SignerId> {
        testing::signers()
    }

    #[test]
    fn accepts_what_a_signer_signed() {
        let verified =
            verify(DocumentType::Bundle, &signed(DocumentType::Bundle), &signers()).unwrap();
        assert_eq!(verified.payload(), b"{\"a\":1}");
        assert_eq!(verified.signer(), testing::first().certificate.id());
    }

    #[test]
    fn rejects_a_document_of_another_type() {
        let e =
            verify(DocumentType::Bundle, &signed(DocumentType::Manifest), &signers()).unwrap_err();
        assert_eq!(e, JwsError::Type { expected: "vouchsafe-bundle" });
    }

    #[test]
    fn rejects_a_signer_that_is_not_pinned() {
        let stranger = testing::stranger();
        let jws = stranger.sign(DocumentType::Bundle, b"{}");
        let e = verify(DocumentType::Bundle, &jws, &signers()).unwrap_err();
        assert_eq!(e, JwsError::UnknownSigner { signer: stranger.certificate.id() });
    }

    #[test]
    fn rejects_a_changed_payload() {
        let jws = signed(DocumentType::Bundle);
        let parts: Vec<&str> = jws.split('.').collect();
        let changed = format!("{}.{}.{}", parts[0], b64::encode(b"{\"a\":2}"), parts[2]);
        assert_eq!(
            verify(DocumentType::Bundle, &changed, &signers()).unwrap_err(),
            JwsError::Signature
        );
    }

    #[test]
    fn rejects_another_algorithm_and_further_header_members() {
        for (change, expected) in [
            (r#""alg":"none""#, JwsError::Algorithm),
            (r#""alg":"RS256","jku":"https://x""#, JwsError::Malformed("header")),
        ] {
            let jws = signed(DocumentType::Bundle);
            let (header, rest) = jws.split_once('.').unwrap();
            let header = String::from_utf8(b64::decode(header).unwrap()).unwrap();
            let header = header.replace(r#""alg":"RS256""#, change);
            let jws = format!("{}.{rest}", b64::encode(header.as_bytes()));
            assert_eq!(verify(DocumentType::Bundle, &jws, &signers()).unwrap_err(), expected);
        }
    }

    #[test]
    fn will_not_assemble_a_signature_of_another_key() {
        let stranger = testing::stranger();
        let document = prepare(DocumentType::Bundle, &testing::first().certificate, b"{}").unwrap();
        assert_eq!(stranger.key.sign(document, &rng()).unwrap_err(), JwsError::Signature);
    }
}
