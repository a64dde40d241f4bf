//! Secure key release: evidence → MAA token → the master key, once a boot.
//!
//! Whoever controls the vault could answer with another key, so the answer is compared with what a
//! signer signed: name, version, public half, release policy, and that neither can change.

use std::str::FromStr as _;

use azure::release::{ReleasedKey, TransferKey, UnwrapError};
use azure::{Name, Version, keys};
use jiff::Timestamp;
use maa::release::ReleasePolicy;
use protocol::bundle::MasterKeyRef;
use protocol::jwk::{Curve, EcPublicKey};
use protocol::wrap::{MasterKey, WrapError};
use secrecy::ExposeSecret as _;
use zeroize::Zeroizing;

use super::cold::Services;
use crate::core::BootIdentity;

/// The master key, and when MAA said that its token was issued.
pub(super) struct Released {
    pub(super) key: MasterKey,
    pub(super) issued_at: Timestamp,
}

/// Releases the bundle's master key to this boot.
///
/// 1. MAA turns the evidence into a token, if its policy permits;
/// 2. Key Vault releases the bundle's version of the key to that token, wrapped to the transfer key;
/// 3. the wrapping opens, and the halves belong together;
/// 4. what was released is what the bundle names.
pub(super) async fn release(
    services: &Services,
    expected: &MasterKeyRef,
    boot: &BootIdentity,
    transfer_key: TransferKey,
) -> Result<Released, ReleaseError> {
    let (name, version) = (Name::from_str(&expected.name)?, Version::from_str(&expected.version)?);
    let token = services.maa.attest_sev_snp(&boot.evidence, boot.runtime_data.bytes()).await?;
    let issued_at = issued_at(token.expose()).ok_or(ReleaseError::Time)?;
    let jws = services.keys.release(&name, &version, &token).await?;
    drop(token);
    // An RSA private operation.
    let released =
        tokio::task::spawn_blocking(move || azure::release::unwrap(&jws, &transfer_key)).await;
    let released = released.map_err(ReleaseError::Task)??;
    let public = check(&released, expected, &name, &version)?;
    let scalar = Zeroizing::new(released.into_scalar().expose_secret().to_vec());
    Ok(Released { key: MasterKey::new(scalar, public)?, issued_at })
}

/// Compares a released key with the one that a signer signed for.
fn check(
    released: &ReleasedKey,
    expected: &MasterKeyRef,
    name: &Name,
    version: &Version,
) -> Result<EcPublicKey, ReleaseError> {
    let differs = |what| Err(ReleaseError::OtherKey { what });
    if !released.name().as_str().eq_ignore_ascii_case(name.as_str()) {
        return differs("name");
    }
    if released.version() != version {
        return differs("version");
    }
    let curve = match released.public().curve() {
        keys::Curve::P256 => Curve::P256,
        keys::Curve::P384 => Curve::P384,
    };
    let public = EcPublicKey::from_point(curve, released.public().uncompressed())
        .map_err(|_| ReleaseError::OtherKey { what: "public half" })?;
    if public != expected.public_key {
        return differs("public half");
    }
    let policy =
        |document: &serde_json::Value| ReleasePolicy::parse(document.to_string().as_bytes());
    match (policy(&released.policy().document), policy(&expected.release_policy)) {
        (Ok(found), Ok(wanted)) if found == wanted => {}
        _ => return differs("release policy"),
    }
    if released.policy().immutable != expected.immutable {
        return differs("immutability of the release policy");
    }
    if !released.exportable() {
        return differs("exportability");
    }
    Ok(public)
}

/// When the token was issued. It is not verified here: it came over TLS from the MAA provider of
/// the trust root, and it only ever makes the clock later.
fn issued_at(token: &str) -> Option<Timestamp> {
    #[derive(serde::Deserialize)]
    struct Claims {
        iat: i64,
    }
    let payload = protocol::b64::decode(token.split('.').nth(1)?).ok()?;
    let claims: Claims = serde_json::from_slice(&payload).ok()?;
    Timestamp::from_second(claims.iat).ok()
}

/// Why the master key was not had.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// The bundle names a key that cannot exist.
    #[error("name or version of the master key")]
    Name(#[from] azure::InvalidName),
    /// MAA gave no token.
    #[error("attesting to maa")]
    Maa(#[from] azure::maa::MaaError),
    /// Without the time of issue the host's clock would have no floor.
    #[error("maa's token does not say when it was issued")]
    Time,
    /// Key Vault did not release the key.
    #[error("key vault's secure key release")]
    Release(#[from] keys::ReleaseError),
    /// What was released does not open.
    #[error("unwrapping the released key")]
    Unwrap(#[from] UnwrapError),
    /// The vault released another key than the one that a signer signed for.
    #[error("the released key is not the bundle's: its {what} differs")]
    OtherKey {
        /// What differs.
        what: &'static str,
    },
    /// The halves do not belong together.
    #[error("released key")]
    Halves(#[from] WrapError),
    /// The blocking task ended early.
    #[error("unwrapping the released key")]
    Task(#[source] tokio::task::JoinError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_when_it_was_issued() {
        let token = |payload: &str| format!("e30.{}.AA", protocol::b64::encode(payload.as_bytes()));
        let issued = issued_at(&token(r#"{"iat":1790000000,"exp":1}"#));
        assert_eq!(issued, Some(Timestamp::constant(1_790_000_000, 0)));
        for bad in [token("{}"), token(r#"{"iat":"1"}"#), "e30".to_owned(), String::new()] {
            assert_eq!(issued_at(&bad), None, "{bad}");
        }
    }
}
