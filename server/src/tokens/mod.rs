//! Service tokens of the Vault-compatible API: made by a login, kept as a hash, judged at every use.
//!
//! A token is 256 random bits. The store holds its SHA-256 with whom it is for, until when, and a digest of the rules
//! under which it was given; a token whose operator or workload is gone from the manifest in force, or has other
//! conditions there, is refused. What the holder may do is never in the token: the manifest in force decides.

mod holder;
mod secret;

use evidence::Sha256;
use jiff::{SignedDuration, Timestamp};
use manifest::Manifest;
use protocol::b64;
use protocol::grant::SecretText;
use serde::{Deserialize, Serialize};
use store::{CommitError, Key, Store, Transaction, Value, Version};

pub use holder::{About, Holder, Lifetime, seconds};
pub use secret::{Accessor, TokenText};

use holder::rules;

/// What the store keeps of a token.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    version: u8,
    accessor: Accessor,
    holder: Holder,
    /// Of the conditions under which the holder gets a token.
    rules: Sha256,
    issued: Timestamp,
    expires: Timestamp,
    /// No renewal goes beyond.
    latest: Timestamp,
}

/// A token that holds now, under the manifest in force. Made by [`authenticate`] and the functions for other tokens.
#[derive(Debug)]
pub struct Authenticated {
    record: Record,
    key: Key,
    version: Version,
}

/// A token that is not in the store yet.
pub struct NewToken {
    text: TokenText,
    record: Record,
}

/// Makes a token for a holder of the manifest in force.
///
/// # Errors
/// The manifest does not name the holder, or there is no randomness.
pub fn make(
    manifest: &Manifest,
    holder: Holder,
    lifetime: Lifetime,
    now: Timestamp,
    rng: &dyn aws_lc_rs::rand::SecureRandom,
) -> Result<NewToken, TokenError> {
    let rules = rules(manifest, &holder)?;
    let record = Record {
        version: 1,
        accessor: Accessor::fresh(rng)?,
        holder,
        rules,
        issued: now,
        expires: later(now, lifetime.first),
        latest: later(now, lifetime.most),
    };
    Ok(NewToken { text: TokenText::fresh(rng)?, record })
}

impl NewToken {
    /// What is to be committed before the token is handed out.
    ///
    /// # Errors
    /// The record cannot be written.
    pub fn add_to(&self, transaction: Transaction) -> Result<Transaction, TokenError> {
        let (token, accessor) = (token_key(&self.text)?, accessor_key(&self.record.accessor)?);
        let id = token.as_str().as_bytes().to_vec();
        Ok(transaction
            .require_absent(token.clone())
            .require_absent(accessor.clone())
            .put(token, self.record.to_value()?)
            .put(accessor, Value::new(id).map_err(|_| TokenError::Record)?))
    }

    /// Public name of the token.
    #[must_use]
    pub const fn accessor(&self) -> &Accessor {
        &self.record.accessor
    }

    /// The token, once it is committed, and what is known of it.
    #[must_use]
    pub fn into_parts(self) -> (SecretText, About) {
        let about = self.record.about();
        (self.text.into_secret(), about)
    }
}

/// Finds whose token this is. These are checked:
///
/// 1. the text has the form of a token;
/// 2. the store has its hash;
/// 3. it has not expired;
/// 4. the manifest in force names its holder, with the conditions under which the token was given.
///
/// # Errors
/// The first that does not hold.
pub fn authenticate(
    store: &Store,
    manifest: &Manifest,
    text: &TokenText,
    now: Timestamp,
) -> Result<Authenticated, TokenError> {
    by_key(store, manifest, token_key(text)?, now)
}

/// The token of an accessor, to be looked up or revoked.
///
/// # Errors
/// There is none, or it holds no longer.
pub fn by_accessor(
    store: &Store,
    manifest: &Manifest,
    accessor: &Accessor,
    now: Timestamp,
) -> Result<Authenticated, TokenError> {
    let entry = store.entry(&accessor_key(accessor)?).ok_or(TokenError::Unknown)?;
    let name = std::str::from_utf8(entry.value.expose_secret()).map_err(|_| TokenError::Record)?;
    by_key(store, manifest, Key::parse(name).map_err(|_| TokenError::Record)?, now)
}

fn by_key(
    store: &Store,
    manifest: &Manifest,
    key: Key,
    now: Timestamp,
) -> Result<Authenticated, TokenError> {
    let entry = store.entry(&key).ok_or(TokenError::Unknown)?;
    let record: Record =
        serde_json::from_slice(entry.value.expose_secret()).map_err(|_| TokenError::Record)?;
    if now >= record.expires {
        return Err(TokenError::Expired);
    }
    if rules(manifest, &record.holder)? != record.rules {
        return Err(TokenError::RulesChanged);
    }
    Ok(Authenticated { record, key, version: entry.version })
}

impl Authenticated {
    /// Whose it is.
    #[must_use]
    pub const fn holder(&self) -> &Holder {
        &self.record.holder
    }

    /// Public name of the token.
    #[must_use]
    pub const fn accessor(&self) -> &Accessor {
        &self.record.accessor
    }

    /// What is known of it.
    #[must_use]
    pub fn about(&self) -> About {
        self.record.about()
    }

    /// Prolongs the token, never beyond the end that it was given at first.
    ///
    /// # Errors
    /// It is at that end, or the transaction cannot be made.
    pub fn renew(
        mut self,
        increment: Option<SignedDuration>,
        now: Timestamp,
    ) -> Result<(About, Transaction), TokenError> {
        if self.record.expires >= self.record.latest {
            return Err(TokenError::NotRenewable);
        }
        let first = Lifetime::workload().first;
        let wanted = later(now, increment.filter(|wanted| wanted.is_positive()).unwrap_or(first));
        self.record.expires = wanted.min(self.record.latest);
        let value = self.record.to_value()?;
        let transaction =
            Transaction::new(now).require(self.key.clone(), self.version).put(self.key, value);
        Ok((self.record.about(), transaction))
    }

    /// Takes the token out of the store.
    ///
    /// # Errors
    /// The transaction cannot be made.
    pub fn revoke(self, now: Timestamp) -> Result<Transaction, TokenError> {
        let accessor = accessor_key(&self.record.accessor)?;
        Ok(Transaction::new(now).delete(self.key).delete(accessor))
    }
}

impl Record {
    fn about(&self) -> About {
        let Self { holder, accessor, issued, expires, latest, .. } = self.clone();
        About { holder, accessor, issued, expires, latest }
    }

    fn to_value(&self) -> Result<Value, TokenError> {
        let bytes = serde_json::to_vec(self).map_err(|_| TokenError::Record)?;
        Value::new(bytes).map_err(|_| TokenError::Record)
    }
}

/// Takes expired tokens out of the store; anyone who asks in between is refused anyway.
///
/// # Errors
/// The store did not take it.
pub async fn sweep(store: &Store, now: Timestamp) -> Result<(), CommitError> {
    let mut after = None;
    loop {
        let page = store.range(TOKENS, after.as_ref(), 500);
        let mut transaction = Transaction::new(now);
        let mut any = false;
        for entry in &page.entries {
            let Ok(record) = serde_json::from_slice::<Record>(entry.value.expose_secret()) else {
                continue;
            };
            if now >= record.expires
                && let Ok(accessor) = accessor_key(&record.accessor)
            {
                any = true;
                transaction = transaction.delete(entry.key.clone()).delete(accessor);
            }
        }
        if any {
            store.commit(transaction).await?;
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

fn token_key(text: &TokenText) -> Result<Key, TokenError> {
    let hash = Sha256::of(text.expose_secret().as_bytes());
    Key::parse(&format!("{TOKENS}{hash}")).map_err(|_| TokenError::Record)
}

fn accessor_key(accessor: &Accessor) -> Result<Key, TokenError> {
    Key::parse(&format!("token-accessor/{accessor}")).map_err(|_| TokenError::Record)
}

fn later(now: Timestamp, by: SignedDuration) -> Timestamp {
    now.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// Why a token gives nothing.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Not the text of a token or accessor.
    #[error("not a token of this server")]
    Malformed,
    /// The store has no such token.
    #[error("no such token")]
    Unknown,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// The manifest in force names no such operator or workload.
    #[error("the manifest in force does not name the token's holder")]
    NoHolder,
    /// The manifest in force asks for other things than it did.
    #[error("the token was given under other conditions than those of the manifest in force")]
    RulesChanged,
    /// At its end.
    #[error("the token cannot be renewed further")]
    NotRenewable,
    /// A record that we cannot write or read.
    #[error("the token's record is not readable")]
    Record,
    /// No randomness.
    #[error("no randomness")]
    Randomness,
}

const TOKENS: &str = "token/";

/// Encodes random bytes.
fn encode(bytes: &[u8]) -> String {
    b64::encode(bytes)
}
