//! Microsoft's endorsement of a utility VM's measurement.
//!
//! Wire layout: a tagged COSE_Sign1 (RFC 9052, section 4.2) with the signer's certificates in the protected header
//! x5chain (RFC 9360), in one of two forms:
//! - *JSON*: content type `application/json`; issuer, feed and time in the protected text headers `iss`, `feed` and
//!   `signingtime`; SVN and measurement in the payload.
//! - *transparent*: a COSE hash envelope (header 259) whose payload is the bare measurement; issuer, feed, time and SVN
//!   in CWT claims (header 15, RFC 9597).
//!
//! Unprotected headers are not looked at: a host may write them. The chain is judged at the signing time that the
//! signer states, since its certificates live a year and its endorsements longer; an old endorsement is kept out by the
//! SVN floor, not by a clock.

mod claims;

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA384, UnparsedPublicKey};
use ciborium::Value;
use coset::iana::{self, EnumI64 as _};
use coset::{CoseSign1, Header, Label, RegisteredLabelWithPrivate, TaggedCborSerializable as _};
use jiff::Timestamp;

pub(crate) use self::claims::Claims;
use crate::cache::{Cache, Trust};
use crate::certificate::{Algorithms, Certificate, Fault};
use crate::hardware::at;
use crate::{Anchors, Measurement, Refusal, Sha256, Step, UvmPolicy};

/// An endorsement that passed every step of [`verify_endorsement`].
#[derive(Debug)]
pub struct VerifiedEndorsement {
    known: Arc<KnownEndorsement>,
}

/// What an endorsement says, after steps 25 to 31.
#[derive(Debug)]
pub(crate) struct KnownEndorsement {
    claims: Claims,
    form: EndorsementForm,
    /// The key usage that its signer was verified for.
    eku: String,
    /// The digest of what is signed, which is the same however the rest is written.
    signed: Sha256,
}

/// The two forms of endorsements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndorsementForm {
    /// A JSON payload.
    Json,
    /// A hash envelope with CWT claims.
    Transparent,
}

impl VerifiedEndorsement {
    /// The endorsed measurement.
    #[must_use]
    pub fn measurement(&self) -> &Measurement {
        &self.known.claims.measurement
    }

    /// The security version.
    #[must_use]
    pub fn svn(&self) -> u64 {
        self.known.claims.svn
    }

    /// The feed.
    #[must_use]
    pub fn feed(&self) -> &str {
        &self.known.claims.feed
    }

    /// The issuer, as did:x509.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.known.claims.issuer
    }

    /// When it was signed, as the signer says.
    #[must_use]
    pub fn signing_time(&self) -> Timestamp {
        self.known.claims.time
    }

    /// The form.
    #[must_use]
    pub fn form(&self) -> EndorsementForm {
        self.known.form
    }
}

/// Verifies that an endorsement is of this measurement: steps 25 to 34 of [`crate::verify()`].
///
/// # Errors
/// The first step that fails.
pub fn verify_endorsement(
    policy: &UvmPolicy,
    anchors: &Anchors,
    message: &[u8],
    measurement: &Measurement,
) -> Result<VerifiedEndorsement, Refusal> {
    verify(policy, Trust::once(anchors), message, measurement)
}

/// The same, with what was verified before.
pub(crate) fn verify(
    policy: &UvmPolicy,
    trust: Trust<'_>,
    message: &[u8],
    measurement: &Measurement,
) -> Result<VerifiedEndorsement, Refusal> {
    // 25 to 31.
    let known = match trust.cache {
        None => Arc::new(verify_message(policy, trust.anchors, message)?),
        Some(Cache { endorsements, .. }) => {
            let digest = Sha256::of(message);
            match endorsements.get(&digest).filter(|known| known.eku == policy.eku) {
                Some(known) => known,
                None => {
                    let known = Arc::new(verify_message(policy, trust.anchors, message)?);
                    endorsements.keep(digest, known.signed, Arc::clone(&known));
                    known
                }
            }
        }
    };
    let claims = &known.claims;
    // 32. Endorsement feed.
    if claims.feed != policy.feed {
        return Err(Step::EndorsementFeed.refuse(&policy.feed, shown(&claims.feed)));
    }
    // 33. Endorsement SVN.
    if claims.svn < policy.min_svn {
        return Err(
            Step::EndorsementSvn.refuse(format_args!("{} or later", policy.min_svn), claims.svn)
        );
    }
    // 34. Endorsed measurement.
    if claims.measurement != *measurement {
        return Err(Step::EndorsedMeasurement.refuse(claims.measurement, measurement));
    }
    Ok(VerifiedEndorsement { known })
}

/// What the message says, whoever asks and whatever for.
fn verify_message(
    policy: &UvmPolicy,
    anchors: &Anchors,
    message: &[u8],
) -> Result<KnownEndorsement, Refusal> {
    // 25. Endorsement structure.
    let message = read_message(message).map_err(at(Step::EndorsementStructure))?;
    let header = &message.protected.header;
    let form = claims::form(header).map_err(at(Step::EndorsementStructure))?;
    let payload = message.payload.as_deref().unwrap_or_default();
    let claims = claims::read(form, header, payload).map_err(at(Step::EndorsementStructure))?;
    // 26. Endorsement algorithm.
    if header.alg != Some(RegisteredLabelWithPrivate::Assigned(iana::Algorithm::PS384)) {
        let found =
            header.alg.as_ref().map_or("none".to_owned(), |algorithm| format!("{algorithm:?}"));
        return Err(Step::EndorsementAlgorithm.refuse("ps384", found));
    }
    // 27. Endorsement root.
    let chain = read_chain(header).map_err(at(Step::EndorsementRoot))?;
    let root = chain
        .iter()
        .skip(1)
        .position(|certificate| certificate.sha256() == *anchors.uvm_root())
        .ok_or_else(|| refuse_root(anchors, &chain))?;
    // 28. Endorsement chain, up to the root.
    let chain: Vec<_> = chain.into_iter().take(root + 2).collect();
    verify_chain(&chain, claims.time).map_err(at(Step::EndorsementChain))?;
    let Some(signer) = chain.first() else {
        return Err(Step::EndorsementRoot.refuse("the signer's certificate", "none"));
    };
    // 29. Endorsement key usage.
    signer.usable_for(&policy.eku).map_err(at(Step::EndorsementUsage))?;
    // 30. Endorsement signature.
    let signed = message.tbs_data(&[]);
    UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA384, signer.public_key())
        .verify(&signed, &message.signature)
        .map_err(|_| {
            Step::EndorsementSignature.refuse("a signature by the endorsement's signer", "another")
        })?;
    // 31. Endorsement issuer.
    let issuer = anchors.uvm_issuer(&policy.eku);
    if claims.issuer != issuer {
        return Err(Step::EndorsementIssuer.refuse(issuer, shown(&claims.issuer)));
    }
    let signed = Sha256::of(&signed);
    Ok(KnownEndorsement { claims, form, eku: policy.eku.clone(), signed })
}

/// What a message says, and its certificates, without a look at any signature.
pub(crate) struct Look {
    pub(crate) form: EndorsementForm,
    pub(crate) claims: Claims,
    pub(crate) chain: Vec<Vec<u8>>,
}

/// Reads a message for people.
pub(crate) fn look(bytes: &[u8]) -> Result<Look, Fault> {
    let message = read_message(bytes)?;
    let header = &message.protected.header;
    let form = claims::form(header)?;
    let claims = claims::read(form, header, message.payload.as_deref().unwrap_or_default())?;
    let chain = match header_value(header, &Label::Int(X5CHAIN)) {
        Some(Value::Array(chain)) => {
            chain.iter().filter_map(|der| der.as_bytes().cloned()).take(MAX_CHAIN).collect()
        }
        _ => Vec::new(),
    };
    Ok(Look { form, claims, chain })
}

fn read_message(bytes: &[u8]) -> Result<CoseSign1, Fault> {
    let expected = "a tagged COSE_Sign1";
    if bytes.len() > MAX_MESSAGE {
        return fault(expected, format!("{} bytes", bytes.len()));
    }
    let message =
        CoseSign1::from_tagged_slice(bytes).or_else(|_| fault(expected, "other bytes"))?;
    if message.payload.is_none() {
        return fault("an attached payload", "none");
    }
    let known = |label: &RegisteredLabelWithPrivate<iana::HeaderParameter>| match label {
        RegisteredLabelWithPrivate::Assigned(label) => KNOWN_HEADERS.contains(&label.to_i64()),
        RegisteredLabelWithPrivate::PrivateUse(label) => KNOWN_HEADERS.contains(label),
        RegisteredLabelWithPrivate::Text(_) => false,
    };
    if !message.protected.header.crit.iter().all(known) {
        return fault("only known critical headers", "another");
    }
    Ok(message)
}

fn read_chain(header: &Header) -> Result<Vec<Certificate<'_>>, Fault> {
    let Some(Value::Array(chain)) = header_value(header, &Label::Int(X5CHAIN)) else {
        return fault("a protected x5chain of several certificates", "none");
    };
    if chain.len() > MAX_CHAIN {
        return fault(&format!("at most {MAX_CHAIN} certificates"), chain.len());
    }
    chain
        .iter()
        .map(|certificate| {
            let Value::Bytes(der) = certificate else {
                return fault("a certificate in DER", "another type");
            };
            Certificate::parse(der)
        })
        .collect()
}

fn verify_chain(chain: &[Certificate<'_>], signing_time: Timestamp) -> Result<(), Fault> {
    for certificate in chain {
        certificate.valid_at(signing_time, "the signing time")?;
    }
    for (below, (certificate, issuer)) in (0..).zip(chain.iter().zip(chain.iter().skip(1))) {
        certificate.issued_by(issuer, below, Algorithms::Rsa)?;
    }
    Ok(())
}

fn refuse_root(anchors: &Anchors, chain: &[Certificate<'_>]) -> Refusal {
    let found = match chain.last() {
        Some(last) if chain.len() > 1 => format!("a chain that ends with digest {}", last.sha256()),
        Some(_) | None => "no chain".to_owned(),
    };
    Step::EndorsementRoot.refuse(format_args!("the pinned root {}", anchors.uvm_root()), found)
}

fn header_value<'h>(header: &'h Header, label: &Label) -> Option<&'h Value> {
    header.rest.iter().find(|(name, _)| name == label).map(|(_, value)| value)
}

/// Text of the evidence, short enough for a log and without control characters.
fn shown(text: &str) -> String {
    text.escape_debug().take(160).collect()
}

fn fault<T>(expected: &str, found: impl fmt::Display) -> Result<T, Fault> {
    Err((expected.to_owned(), found.to_string()))
}

/// Real ones have 11 KB, with receipts perhaps twice that.
const MAX_MESSAGE: usize = 64 << 10;
const MAX_CHAIN: usize = 6;

/// CWT Claims, RFC 9597.
const CWT_CLAIMS: i64 = 15;
/// x5chain, RFC 9360.
const X5CHAIN: i64 = 33;
/// The content type of what a hash envelope's payload is the hash of.
const PREIMAGE_CONTENT_TYPE: i64 = 259;
/// Those that may be marked critical: alg, content type, CWT claims, x5chain, x5t, and the hash envelope's.
const KNOWN_HEADERS: [i64; 7] = [1, 3, CWT_CLAIMS, X5CHAIN, 34, 258, PREIMAGE_CONTENT_TYPE];
