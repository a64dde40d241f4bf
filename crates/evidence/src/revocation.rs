//! AMD's revocation lists.
//!
//! Wire layout: CertificateList of RFC 5280, section 5.1, signed by the product's root with RSA-PSS and SHA-384, as
//! <https://kdsintf.amd.com/vcek/v1/Milan/crl> (and Genoa, Turin) serves it.
//! A list names revoked authorities; VEKs all have the serial number zero and cannot be named.
//! A list that is not signed by the chain's root or has a critical extension is as good as none, and what a list that was
//! signed revokes stays revoked, however old it is. Whoever keeps lists keeps [`RevocationList`]s: they were verified, and
//! [`RevocationList::replaces`] says which is the newer.

use std::cmp::Ordering;
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
use crate::certificate::{Authority, Certificate, list_shell};
use crate::{Anchors, Product, Refusal, Sha256, Step, hardware};

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

/// A list that a pinned root has signed; made only by [`RevocationList::verify`].
#[derive(Debug)]
pub struct RevocationList {
    der: Vec<u8>,
    content: Content,
}

/// Why a list is not taken over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListRefused {
    /// None of the certificates is the product's pinned root.
    #[error("expected the pinned root of {0} among the certificates, found none")]
    Root(Product),
    /// It is not a list of that root.
    #[error("expected a revocation list by the root of {product}, found {found}")]
    List {
        /// Whose root.
        product: Product,
        /// What was found instead.
        found: &'static str,
    },
    /// It is from the future.
    #[error("expected a revocation list that is in force already, found one from {from}")]
    Early {
        /// When it will be.
        from: String,
    },
    /// A newer one is known.
    #[error("expected a revocation list not older than {held}, found {found}")]
    Older {
        /// The one that is held.
        held: String,
        /// The one that was offered.
        found: String,
    },
}

impl RevocationList {
    /// Verifies a list of a product's root.
    ///
    /// 1. One of `certificates`, PEM, is a pinned root, is the product's, and is valid at `now`.
    /// 2. The list can be read and has what a list of AMD's has: an end, and no critical extension.
    /// 3. That root is its issuer and signed it.
    /// 4. It is not from the future. It may have run out: what it revokes stays revoked.
    ///
    /// # Errors
    /// The first that does not hold.
    pub fn verify(
        anchors: &Anchors,
        product: Product,
        certificates: &str,
        der: &[u8],
        now: Timestamp,
    ) -> Result<Self, ListRefused> {
        let name = format!("ARK-{}", product.amd_name());
        let pems = hardware::read_pem(certificates).unwrap_or_default();
        let root = pems
            .iter()
            .filter_map(|pem| Certificate::parse(&pem.contents).ok())
            .find(|root| {
                anchors.amd_roots().contains(&root.sha256())
                    && root.common_name() == Some(&name)
                    && root.valid_at(now, "the time").is_ok()
            })
            .ok_or(ListRefused::Root(product))?;
        let content = read(der, &root.authority()).map_err(|unusable| ListRefused::List {
            product,
            found: match unusable {
                Unusable::OfAnother => "one of another issuer",
                Unusable::Because(why) => why,
            },
        })?;
        if content.from > now.as_second() {
            return Err(ListRefused::Early { from: time_text(content.from) });
        }
        Ok(Self { der: der.to_vec(), content })
    }

    /// Shows that this list may take the place of `held`: it is not older, by the CRL number where both have one, else
    /// by when they were made.
    ///
    /// # Errors
    /// It is older.
    pub fn replaces(&self, held: &Self) -> Result<(), ListRefused> {
        let (new, old) = (&self.content, &held.content);
        let numbers = match (&new.number, &old.number) {
            (Some(new), Some(old)) => new.cmp(old),
            (None, _) | (_, None) => Ordering::Equal,
        };
        match numbers.then(new.from.cmp(&old.from)) {
            Ordering::Less => {
                Err(ListRefused::Older { held: old.to_string(), found: new.to_string() })
            }
            Ordering::Equal | Ordering::Greater => Ok(()),
        }
    }

    /// The list as it was signed.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Until when it is in force.
    #[must_use]
    pub fn until(&self) -> Timestamp {
        self.content.until
    }
}

/// What a list says.
#[derive(Debug)]
pub(crate) struct Content {
    number: Option<BigUint>,
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
    let mut fault = "none";
    let mut until = None;
    // All of them: a list that revokes nothing must not hide one that does.
    for der in lists {
        let list = match known(cache, der, root) {
            Ok(list) => list,
            Err(Unusable::OfAnother) => continue,
            Err(Unusable::Because(why)) => {
                fault = why;
                continue;
            }
        };
        let mut authorities = [authority, root].into_iter();
        if let Some(revoked) = authorities.find(|found| list.revoked.contains(found.serial())) {
            let label = revoked.common_name().unwrap_or("an authority");
            return Err(Step::Revocation
                .refuse("authorities that are not revoked", format_args!("{label}, revoked")));
        }
        if age.admits(&list) {
            until = until.max(Some(list.until));
        } else {
            fault = "one that is not in force";
        }
    }
    match (until, revocation) {
        (Some(until), _) => Ok(RevocationStatus::NotRevoked { until }),
        (None, Revocation::Required(_)) => {
            Err(Step::Revocation
                .refuse(format_args!("a revocation list by {name}, in force"), fault))
        }
        (None, Revocation::IfPresent(_) | Revocation::Absent(_)) => {
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
    fn admits(self, list: &Content) -> bool {
        match self {
            Self::InForce(now) => (list.from..=list.until.as_second()).contains(&now.as_second()),
            Self::Any => true,
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
fn known(cache: Option<&Cache>, der: &[u8], root: &Authority) -> Result<Arc<Content>, Unusable> {
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

fn read(der: &[u8], root: &Authority) -> Result<Content, Unusable> {
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
pub(crate) fn look(der: &[u8]) -> Result<(String, Content), &'static str> {
    let list = parse(der)?;
    Ok((list.issuer().to_string(), content(&list)?))
}

fn parse(der: &[u8]) -> Result<CertificateRevocationList<'_>, &'static str> {
    if der.len() > MAX_LIST {
        return Err("one that is too large");
    }
    match CertificateRevocationList::from_der(der) {
        Ok((&[], list)) if list_shell(der).is_some() => Ok(list),
        _ => Err("one that cannot be read"),
    }
}

fn content(list: &CertificateRevocationList<'_>) -> Result<Content, &'static str> {
    let entries = list.iter_revoked_certificates().flat_map(|entry| entry.extensions());
    if list.extensions().iter().chain(entries).any(|extension| extension.critical) {
        return Err("one with a critical extension");
    }
    let until = list.next_update().ok_or("one without an end")?;
    let until =
        Timestamp::from_second(until.timestamp()).map_err(|_| "one with an end that is no time")?;
    let revoked = list.iter_revoked_certificates().map(|entry| entry.user_certificate.clone());
    Ok(Content {
        number: list.crl_number().cloned(),
        from: list.last_update().timestamp(),
        until,
        revoked: revoked.collect(),
    })
}

impl Content {
    pub(crate) fn number(&self) -> Option<&BigUint> {
        self.number.as_ref()
    }

    pub(crate) fn from(&self) -> String {
        time_text(self.from)
    }

    pub(crate) fn until(&self) -> Timestamp {
        self.until
    }

    pub(crate) fn revoked(&self) -> impl Iterator<Item = &BigUint> {
        self.revoked.iter()
    }
}

/// For a refusal: which list it is.
impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(number) = &self.number {
            write!(f, "number {number} ")?;
        }
        write!(f, "of {}", time_text(self.from))
    }
}

fn time_text(second: i64) -> String {
    Timestamp::from_second(second).map_or("another time".to_owned(), |time| time.to_string())
}

/// Real ones have less than 2 KB.
const MAX_LIST: usize = 64 << 10;
