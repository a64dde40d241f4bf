//! AMD's revocation lists.
//!
//! Wire layout: CertificateList of RFC 5280, section 5.1, signed by the product's root with RSA-PSS and SHA-384, as
//! <https://kdsintf.amd.com/vcek/v1/Milan/crl> (and Genoa, Turin) serves it.
//! A list names revoked authorities; VEKs all have the serial number zero and cannot be named.
//! A list that is not signed by the chain's root, is not in force, or has a critical extension is as good as none.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA384, UnparsedPublicKey};
use jiff::Timestamp;
use serde::Serialize;
use x509_parser::num_bigint::BigUint;
use x509_parser::oid_registry::OID_PKCS1_RSASSAPSS;
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::cache::Cache;
use crate::certificate::Authority;
use crate::{Refusal, Sha256, Step};

/// What is known about revoked authorities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revocation {
    /// These lists, as DER, one of which must be of the chain's root and in force.
    Required(Vec<Vec<u8>>),
    /// These lists, as DER: what they revoke is revoked, also where the list has run out since, but a chain whose root
    /// has no usable list among them passes.
    IfPresent(Vec<Vec<u8>>),
    /// No list is looked at.
    Absent(Absence),
}

/// Why there is no revocation list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Absence {
    /// The verifier does not ask for one.
    NotConsulted,
    /// The verifier would have looked at one, and has none of this root that it can use.
    Unavailable,
}

/// What a verification knew about revoked authorities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RevocationStatus {
    /// A list of the root names neither root nor authority.
    NotRevoked {
        /// Until when the list is in force; in the past where an outdated list was permitted.
        until: Timestamp,
    },
    /// Nothing was known.
    Unknown(Absence),
}

/// What a list says, once its root's signature on it has been verified.
#[derive(Debug)]
pub(crate) struct RevocationList {
    from: i64,
    until: Timestamp,
    revoked: BTreeSet<BigUint>,
}

/// Checks that no list that is required revokes one of the authorities.
pub(crate) fn check(
    cache: Option<&Cache>,
    revocation: &Revocation,
    root: &Authority,
    authority: &Authority,
    now: Timestamp,
) -> Result<RevocationStatus, Refusal> {
    let (lists, age) = match revocation {
        Revocation::Required(lists) => (lists, Age::InForce(now)),
        Revocation::IfPresent(lists) => (lists, Age::Any),
        Revocation::Absent(why) => return Ok(RevocationStatus::Unknown(*why)),
    };
    let name = root.common_name().unwrap_or("the root");
    let refuse = |found: &dyn fmt::Display| {
        Step::Revocation.refuse(format_args!("a revocation list by {name}, in force"), found)
    };
    let mut fault = refuse(&"none");
    for der in lists {
        let list = match known(cache, der, root).and_then(|list| age.admit(list)) {
            Ok(list) => list,
            Err(Unusable::OfAnother) => continue,
            Err(Unusable::Because(why)) => {
                fault = refuse(&why);
                continue;
            }
        };
        let revoked = [authority, root]
            .into_iter()
            .find(|certificate| list.revoked.contains(certificate.serial()));
        return match revoked {
            None => Ok(RevocationStatus::NotRevoked { until: list.until }),
            Some(certificate) => {
                let label = certificate.common_name().unwrap_or("an authority");
                Err(Step::Revocation
                    .refuse("authorities that are not revoked", format_args!("{label}, revoked")))
            }
        };
    }
    match revocation {
        Revocation::Required(_) => Err(fault),
        Revocation::IfPresent(_) | Revocation::Absent(_) => {
            Ok(RevocationStatus::Unknown(Absence::Unavailable))
        }
    }
}

/// How old a list may be.
#[derive(Clone, Copy)]
enum Age {
    /// It must be in force at this time.
    InForce(Timestamp),
    /// However old: what was revoked stays revoked.
    Any,
}

impl Age {
    fn admit(self, list: Arc<RevocationList>) -> Result<Arc<RevocationList>, Unusable> {
        match self {
            Self::InForce(now)
                if !(list.from..=list.until.as_second()).contains(&now.as_second()) =>
            {
                Err(Unusable::Because("one that is not in force"))
            }
            Self::InForce(_) | Self::Any => Ok(list),
        }
    }
}

/// Why a list says nothing about a chain.
enum Unusable {
    /// It is of another root.
    OfAnother,
    /// It should be of this one.
    Because(&'static str),
}

/// Reads a list that may have been read before.
fn known(
    cache: Option<&Cache>,
    der: &[u8],
    root: &Authority,
) -> Result<Arc<RevocationList>, Unusable> {
    let Some(Cache { lists, .. }) = cache else {
        return read(der, root).map(Arc::new);
    };
    let pair = Sha256::of(der).and(root.sha256());
    if let Some(list) = lists.get(&pair) {
        return Ok(list);
    }
    let list = Arc::new(read(der, root)?);
    lists.keep(pair, pair, Arc::clone(&list));
    Ok(list)
}

fn read(der: &[u8], root: &Authority) -> Result<RevocationList, Unusable> {
    let list = parse(der).map_err(Unusable::Because)?;
    if !root.is_named(list.issuer()) {
        return Err(Unusable::OfAnother);
    }
    if list.signature_algorithm != list.tbs_cert_list.signature
        || list.signature_algorithm.algorithm != OID_PKCS1_RSASSAPSS
    {
        return Err(Unusable::Because("one with another signature algorithm"));
    }
    if UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA384, root.public_key())
        .verify(list.tbs_cert_list.as_ref(), &list.signature_value.data)
        .is_err()
    {
        return Err(Unusable::Because("one with another signature"));
    }
    content(&list).map_err(Unusable::Because)
}

/// Reads a list for people: its issuer and what it says, without a look at its signature.
pub(crate) fn look(der: &[u8]) -> Result<(String, RevocationList), &'static str> {
    let list = parse(der)?;
    Ok((list.issuer().to_string(), content(&list)?))
}

fn parse(der: &[u8]) -> Result<CertificateRevocationList<'_>, &'static str> {
    if der.len() > MAX_LIST {
        return Err("one that is too large");
    }
    match CertificateRevocationList::from_der(der) {
        Ok((&[], list)) => Ok(list),
        _ => Err("one that cannot be read"),
    }
}

fn content(list: &CertificateRevocationList<'_>) -> Result<RevocationList, &'static str> {
    let entries = list.iter_revoked_certificates().flat_map(|entry| entry.extensions());
    if list.extensions().iter().chain(entries).any(|extension| extension.critical) {
        return Err("one with a critical extension");
    }
    let until = list.next_update().ok_or("one without an end")?;
    let until =
        Timestamp::from_second(until.timestamp()).map_err(|_| "one with an end that is no time")?;
    let revoked = list.iter_revoked_certificates().map(|entry| entry.user_certificate.clone());
    Ok(RevocationList { from: list.last_update().timestamp(), until, revoked: revoked.collect() })
}

impl RevocationList {
    pub(crate) fn until(&self) -> Timestamp {
        self.until
    }

    pub(crate) fn revoked(&self) -> impl Iterator<Item = &BigUint> {
        self.revoked.iter()
    }
}

/// Real ones have less than 2 KB.
const MAX_LIST: usize = 64 << 10;
