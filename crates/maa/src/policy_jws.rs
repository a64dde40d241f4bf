//! Policies as they travel: a JWS that carries the text, signed or not.
//!
//! Layout (RFC 7515 compact form; "How to author and sign an Azure Attestation policy"): the header
//! is `{"alg":"none"}`, or `alg` `RS256` with the signer as `x5c` (or `jwk`); the payload is
//! `{"AttestationPolicy":"<base64url of the text>"}`, or empty to go back to the default policy.
//! Microsoft's Python client (azure-security-attestation 1.0) writes `{"alg":"RSA256","jwk":{"x5c":[…]}}`, which the service takes,
//! so it is taken here; the signature is the same.
//!
//! An isolated provider takes a policy only if one of its policy certificates signed it; [`verify`]
//! asks the same. That a text is in a JWS says nothing about it: it is not parsed here.

use std::fmt;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

pub use crate::rs256::KeyError;
use crate::{
    encoding::{from_base64, from_base64url, to_base64, to_base64url},
    policy::MAX_TEXT,
    rs256::PublicKey,
};

/// The JWS that carries a policy without a signature.
#[must_use]
pub fn unsigned(text: &str) -> String {
    format!(
        "{}.{}.",
        to_base64url(br#"{"alg":"none"}"#),
        payload(&Content::Policy(text.to_owned()))
    )
}

/// The JWS that asks for the default policy, without a signature.
#[must_use]
pub fn unsigned_reset() -> String {
    format!("{}..", to_base64url(br#"{"alg":"none"}"#))
}

/// What a JWS about a policy carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A policy's text.
    Policy(String),
    /// Nothing: the default policy is to come back.
    Reset,
}

/// Prepares a JWS with a signature: the bytes that a signer must sign with RS256.
///
/// `certificates` are the signer's certificate and its issuers, in DER.
///
/// # Errors
/// If there is no certificate, or the first has no RSA key.
pub fn to_be_signed(content: &Content, certificates: &[Vec<u8>]) -> Result<ToBeSigned, SignError> {
    let first = certificates.first().ok_or(SignError::NoCertificate)?;
    let key = PublicKey::from_certificate(first)?;
    let x5c: Vec<String> = certificates.iter().map(|certificate| to_base64(certificate)).collect();
    let header = SignedHeader { alg: "RS256", x5c };
    let header = serde_json::to_vec(&header).map_err(|_| SignError::NoCertificate)?;
    Ok(ToBeSigned { key, input: format!("{}.{}", to_base64url(&header), payload(content)) })
}

/// A JWS that waits for its signature.
#[derive(Debug)]
pub struct ToBeSigned {
    key: PublicKey,
    input: String,
}

impl ToBeSigned {
    /// What is to be signed with RSASSA-PKCS1-v1_5 and SHA-256.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.input.as_bytes()
    }

    /// The JWS, once it is signed.
    ///
    /// # Errors
    /// If the signature is not that of the first certificate's key over [`Self::bytes`].
    pub fn assemble(self, signature: &[u8]) -> Result<String, SignError> {
        self.key.verify(self.input.as_bytes(), signature).map_err(|_| SignError::WrongSignature)?;
        Ok(format!("{}.{}", self.input, to_base64url(signature)))
    }
}

/// A policy could not be signed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// There is no certificate to name the signer.
    #[error("no certificate names the signer")]
    NoCertificate,
    /// The signer's certificate cannot be used.
    #[error("the signer's certificate")]
    Certificate(#[from] KeyError),
    /// The signature is of another key or of other bytes.
    #[error("the signature is not that of the certificate's key over these bytes")]
    WrongSignature,
}

/// A JWS about a policy, taken apart. Its signature was not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyJws {
    content: Content,
    signature: Signature,
    input: String,
}

/// How a JWS about a policy is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signature {
    /// Not at all.
    Unsigned,
    /// With RS256, by the key of the first certificate (DER).
    Certificates(Vec<Vec<u8>>, RawSignature),
    /// With RS256, by a key that the header gives without a certificate.
    Key(Jwk, RawSignature),
}

/// The bytes of a signature.
#[derive(Clone, PartialEq, Eq)]
pub struct RawSignature(Vec<u8>);

impl fmt::Debug for RawSignature {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} bytes", self.0.len())
    }
}

/// An RSA public key as a JWK gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwk(PublicKey);

impl PolicyJws {
    /// What it carries.
    #[must_use]
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// How it is signed.
    #[must_use]
    pub fn signature(&self) -> &Signature {
        &self.signature
    }
}

/// Takes a JWS about a policy apart.
///
/// # Errors
/// If it is not of the layout above, or too large.
pub fn parse(jws: &str) -> Result<PolicyJws, JwsError> {
    if jws.len() > MAX_JWS {
        return Err(JwsError::TooLarge);
    }
    let mut parts = jws.split('.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(JwsError::Parts);
    };
    let decoded = from_base64url(header).map_err(|_| JwsError::Base64url("header"))?;
    let raw: RawHeader = serde_json::from_slice(&decoded).map_err(|_| JwsError::Header)?;
    let bytes = from_base64url(signature).map_err(|_| JwsError::Base64url("signature"))?;
    let signature = match (raw.alg.as_str(), raw.x5c, raw.jwk) {
        ("none", None, None) if bytes.is_empty() => Signature::Unsigned,
        ("none", _, _) => return Err(JwsError::Unsigned),
        ("RS256" | "RSA256", Some(x5c), None)
        | ("RS256" | "RSA256", None, Some(RawJwk { x5c: Some(x5c), n: None, e: None, .. }))
            if !x5c.is_empty() =>
        {
            let certificates = x5c.iter().map(|certificate| from_base64(certificate));
            let certificates =
                certificates.collect::<Result<_, _>>().map_err(|_| JwsError::Signer)?;
            Signature::Certificates(certificates, RawSignature(bytes))
        }
        (
            "RS256" | "RSA256",
            None,
            Some(RawJwk { kty: Some(kty), n: Some(n), e: Some(e), x5c: None }),
        ) if kty == "RSA" => {
            let modulus = from_base64url(&n).map_err(|_| JwsError::Signer)?;
            let exponent = from_base64url(&e).map_err(|_| JwsError::Signer)?;
            Signature::Key(Jwk(PublicKey::Components { modulus, exponent }), RawSignature(bytes))
        }
        ("RS256" | "RSA256", _, _) => return Err(JwsError::Signer),
        _ => return Err(JwsError::Algorithm),
    };
    let content = if payload.is_empty() { Content::Reset } else { Content::Policy(text(payload)?) };
    let (input, _) = jws.rsplit_once('.').ok_or(JwsError::Parts)?;
    Ok(PolicyJws { content, signature, input: input.to_owned() })
}

/// Verifies a signed JWS about a policy.
///
/// 1. It is signed, with RS256, by a certificate.
/// 2. That certificate is, byte for byte, one of `trusted` (DER).
/// 3. The signature is that of the certificate's key.
///
/// # Errors
/// With the first step that fails.
pub fn verify(jws: &PolicyJws, trusted: &[Vec<u8>]) -> Result<SignedPolicy, SignatureError> {
    let Signature::Certificates(certificates, signature) = &jws.signature else {
        return Err(SignatureError::NoCertificate);
    };
    let signer = certificates.first().ok_or(SignatureError::NoCertificate)?;
    if !trusted.contains(signer) {
        return Err(SignatureError::Stranger);
    }
    let key = PublicKey::from_certificate(signer)?;
    key.verify(jws.input.as_bytes(), &signature.0).map_err(|_| SignatureError::WrongSignature)?;
    Ok(SignedPolicy { content: jws.content.clone(), signer: signer.clone() })
}

/// Verifies the signature of a signed JWS under the key that it names itself.
///
/// A provider that is not isolated asks no more: any signer will do.
///
/// # Errors
/// If it is unsigned or the signature is wrong.
pub fn verify_any_signer(jws: &PolicyJws) -> Result<(), SignatureError> {
    let (key, signature) = match &jws.signature {
        Signature::Unsigned => return Err(SignatureError::NoCertificate),
        Signature::Key(key, signature) => (key.0.clone(), signature),
        Signature::Certificates(certificates, signature) => {
            let signer = certificates.first().ok_or(SignatureError::NoCertificate)?;
            (PublicKey::from_certificate(signer)?, signature)
        }
    };
    key.verify(jws.input.as_bytes(), &signature.0).map_err(|_| SignatureError::WrongSignature)
}

/// A policy, or a reset, that a trusted certificate signed.
#[derive(Debug)]
pub struct SignedPolicy {
    content: Content,
    signer: Vec<u8>,
}

impl SignedPolicy {
    /// What was signed.
    #[must_use]
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// The certificate that signed it, in DER.
    #[must_use]
    pub fn signer(&self) -> &[u8] {
        &self.signer
    }
}

/// The hash of a JWS as it is sent: claim `x-ms-policy-token-hash` of the service's answer.
///
/// It is base64url(SHA-256(the JWS)); another function than the policy hash.
#[must_use]
pub fn token_hash(jws: &str) -> PolicyTokenHash {
    PolicyTokenHash(to_base64url(digest::digest(&digest::SHA256, jws.as_bytes()).as_ref()))
}

/// The hash of a policy's JWS, as base64url without padding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyTokenHash(String);

impl PolicyTokenHash {
    /// The hash as the claim writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PolicyTokenHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Why a JWS about a policy was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// It is longer than any policy needs.
    #[error("the JWS has more than {MAX_JWS} bytes")]
    TooLarge,
    /// It has not three parts.
    #[error("the JWS has not three parts")]
    Parts,
    /// A part is not base64url.
    #[error("the {0} of the JWS is not base64url")]
    Base64url(&'static str),
    /// The header is not JSON with `alg`.
    #[error("the header of the JWS is not JSON with `alg`")]
    Header,
    /// The header asks for an algorithm that is not RS256.
    #[error("the JWS is signed with another algorithm than RS256")]
    Algorithm,
    /// `alg` is `none`, but there is a signer or a signature.
    #[error("the JWS says that it is unsigned and has a signer or a signature")]
    Unsigned,
    /// The signer is neither certificates nor an RSA key.
    #[error("the JWS names no signer as `x5c` or RSA `jwk`")]
    Signer,
    /// The payload is not JSON with `AttestationPolicy`.
    #[error("the payload of the JWS is not JSON with `AttestationPolicy`")]
    Payload,
    /// The policy is not base64url of UTF-8.
    #[error("`AttestationPolicy` is not base64url of UTF-8 text")]
    Text,
}

/// Why a signature on a policy was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// It is not signed by a certificate.
    #[error("the policy is not signed by a certificate")]
    NoCertificate,
    /// The certificate is not among the trusted ones.
    #[error("the policy is signed by a certificate that is not a policy certificate")]
    Stranger,
    /// The certificate cannot be used.
    #[error("the signer's certificate")]
    Certificate(#[from] KeyError),
    /// The signature is wrong.
    #[error("the signature on the policy is wrong")]
    WrongSignature,
}

fn payload(content: &Content) -> String {
    match content {
        Content::Reset => String::new(),
        // Base64url needs no escapes in JSON.
        Content::Policy(text) => to_base64url(
            format!("{{\"AttestationPolicy\":\"{}\"}}", to_base64url(text.as_bytes())).as_bytes(),
        ),
    }
}

fn text(payload: &str) -> Result<String, JwsError> {
    let payload = from_base64url(payload).map_err(|_| JwsError::Base64url("payload"))?;
    let raw: RawPayload = serde_json::from_slice(&payload).map_err(|_| JwsError::Payload)?;
    let text = from_base64url(&raw.policy).map_err(|_| JwsError::Text)?;
    String::from_utf8(text).map_err(|_| JwsError::Text)
}

#[derive(Serialize)]
struct SignedHeader {
    alg: &'static str,
    x5c: Vec<String>,
}

/// Other header parameters (`typ`, `kid`) are allowed and mean nothing here; `crit` is not.
#[derive(Deserialize)]
struct RawHeader {
    alg: String,
    x5c: Option<Vec<String>>,
    jwk: Option<RawJwk>,
    #[serde(default, rename = "crit", deserialize_with = "refuse")]
    _critical: (),
}

#[derive(Deserialize)]
struct RawJwk {
    kty: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x5c: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct RawPayload {
    #[serde(rename = "AttestationPolicy")]
    policy: String,
}

/// Refuses a parameter that must be understood (RFC 7515, section 4.1.11): none is.
pub(crate) fn refuse<'de, D: serde::Deserializer<'de>>(_: D) -> Result<(), D::Error> {
    Err(serde::de::Error::custom("`crit` is not supported"))
}

/// Base64url twice over the text, and room for certificates.
const MAX_JWS: usize = 2 * MAX_TEXT + 64 * 1024;

#[cfg(test)]
mod tests;
