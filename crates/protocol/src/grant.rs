//! What a workload gets, sealed to the key that its evidence binds.
//!
//! HPKE base mode to the agent's ephemeral P-256 key. `info` names deployment, store identity and
//! challenge, so an answer fits one question at one server.

use std::collections::BTreeMap;

use evidence::Sha256;
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_P256_HKDF_SHA256_AES_256;
use rustls::crypto::hpke::{EncapsulatedSecret, Hpke as _, HpkePrivateKey, HpkePublicKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::attest::{Challenge, EphemeralKey};

/// The content of an answer; never in clear outside the two ends.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantBody {
    /// Format; 1.
    pub version: u64,
    /// Which workload of the manifest the caller was found to be.
    pub workload: String,
    /// A token with just that workload's rights.
    pub token: GrantedToken,
    /// The secrets asked for, by path.
    pub secrets: BTreeMap<String, GrantedSecret>,
}

/// A token of the Vault-compatible API.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantedToken {
    /// The token.
    pub client_token: SecretText,
    /// Seconds until it expires.
    pub lease_duration: u64,
    /// Names of its policies.
    pub policies: Vec<String>,
}

/// One secret's delivered field.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantedSecret {
    /// The field that the manifest delivers.
    pub field: String,
    /// Its value.
    pub value: SecretText,
    /// The version of the secret that it is of.
    pub version: u64,
}

/// A text that is wiped when dropped and never printed.
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes a text.
    #[must_use]
    pub const fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// The text, where it leaves us.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretText({} bytes)", self.0.len())
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(|text| Self(Zeroizing::new(text)))
    }
}

/// A sealed answer, as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// Format; 1.
    pub version: u64,
    /// The encapsulated key.
    #[serde(with = "crate::b64")]
    pub enc: Vec<u8>,
    /// The ciphertext.
    #[serde(with = "crate::b64")]
    pub ct: Vec<u8>,
}

/// What an answer answers: the HPKE `info`.
#[derive(Debug, Clone, Copy)]
pub struct Exchange<'a> {
    /// The deployment's name.
    pub deployment: &'a str,
    /// The store identity.
    pub identity: Sha256,
    /// The challenge that the evidence bound.
    pub challenge: Challenge,
}

impl Exchange<'_> {
    fn info(&self) -> Result<Vec<u8>, SealError> {
        #[derive(Serialize)]
        struct Info<'a> {
            purpose: &'static str,
            deployment: &'a str,
            identity: Sha256,
            challenge: Challenge,
        }
        let info = Info {
            purpose: "vouchsafe-grant",
            deployment: self.deployment,
            identity: self.identity,
            challenge: self.challenge,
        };
        serde_jcs::to_vec(&info).map_err(|_| SealError::Malformed)
    }
}

/// Seals an answer to the key that the evidence bound.
///
/// # Errors
/// The key is no point of P-256.
pub fn seal(
    exchange: Exchange<'_>,
    to: &EphemeralKey,
    body: &GrantBody,
) -> Result<Sealed, SealError> {
    // Room for everything, so that growing leaves no copy behind.
    let secrets: usize = body
        .secrets
        .iter()
        .map(|(path, s)| 6 * s.value.expose_secret().len() + path.len() + s.field.len() + 64)
        .sum();
    let mut plaintext = Zeroizing::new(Vec::with_capacity(secrets + 4096));
    serde_json::to_writer(&mut *plaintext, body).map_err(|_| SealError::Malformed)?;
    let public = HpkePublicKey(to.0.to_vec());
    let (enc, ct) = DH_KEM_P256_HKDF_SHA256_AES_256
        .seal(&exchange.info()?, b"", &plaintext, &public)
        .map_err(|_| SealError::PublicKey)?;
    Ok(Sealed { version: 1, enc: enc.0, ct })
}

/// The agent's key of one request; opening consumes it.
pub struct EphemeralSecret {
    private: HpkePrivateKey,
    public: EphemeralKey,
}

impl EphemeralSecret {
    /// Makes a key pair from the system's randomness.
    ///
    /// # Errors
    /// No randomness.
    pub fn generate() -> Result<Self, SealError> {
        let (public, private) = DH_KEM_P256_HKDF_SHA256_AES_256
            .generate_key_pair()
            .map_err(|_| SealError::Malformed)?;
        let public = EphemeralKey(public.0.try_into().map_err(|_| SealError::PublicKey)?);
        Ok(Self { private, public })
    }

    /// The public half, for the evidence and the request.
    #[must_use]
    pub const fn public(&self) -> &EphemeralKey {
        &self.public
    }

    /// Opens the answer to this request.
    ///
    /// # Errors
    /// Sealed to another key or for another exchange, changed, or not an answer.
    pub fn open(self, exchange: Exchange<'_>, sealed: &Sealed) -> Result<GrantBody, SealError> {
        if sealed.version != 1 {
            return Err(SealError::Malformed);
        }
        let plaintext = DH_KEM_P256_HKDF_SHA256_AES_256
            .open(
                &EncapsulatedSecret(sealed.enc.clone()),
                &exchange.info()?,
                b"",
                &sealed.ct,
                &self.private,
            )
            .map(Zeroizing::new)
            .map_err(|_| SealError::DoesNotOpen)?;
        serde_json::from_slice(&plaintext).map_err(|_| SealError::Malformed)
    }
}

/// Why an answer cannot be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Not an answer.
    #[error("not a sealed answer of the expected form")]
    Malformed,
    /// Not a point of P-256.
    #[error("the key to seal to is not a P-256 key")]
    PublicKey,
    /// Another key, another exchange, or changed bytes.
    #[error("the answer does not open: for another key or exchange, or changed")]
    DoesNotOpen,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body() -> GrantBody {
        let secret = |text: &str| SecretText::new(Zeroizing::new(text.to_owned()));
        GrantBody {
            version: 1,
            workload: "demo".into(),
            token: GrantedToken {
                client_token: secret("t"),
                lease_duration: 60,
                policies: vec!["demo".into()],
            },
            secrets: [(
                "demo/db".into(),
                GrantedSecret { field: "value".into(), value: secret("hunter2"), version: 3 },
            )]
            .into(),
        }
    }

    #[test]
    fn only_the_asker_opens_the_answer_to_its_question() {
        let exchange = Exchange {
            deployment: "dev",
            identity: Sha256::of(b"i"),
            challenge: Challenge([1; 32]),
        };
        let key = EphemeralSecret::generate().unwrap();
        let sealed = seal(exchange, key.public(), &body()).unwrap();
        let stranger = EphemeralSecret::generate().unwrap();
        assert_eq!(stranger.open(exchange, &sealed).err(), Some(SealError::DoesNotOpen));
        let opened = key.open(exchange, &sealed).unwrap();
        assert_eq!(opened.secrets["demo/db"].value.expose_secret(), "hunter2");
    }

    #[test]
    fn an_answer_to_another_challenge_does_not_open() {
        let exchange = Exchange {
            deployment: "dev",
            identity: Sha256::of(b"i"),
            challenge: Challenge([1; 32]),
        };
        let key = EphemeralSecret::generate().unwrap();
        let sealed = seal(exchange, key.public(), &body()).unwrap();
        let other = Exchange { challenge: Challenge([2; 32]), ..exchange };
        assert_eq!(key.open(other, &sealed).err(), Some(SealError::DoesNotOpen));
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", body().secrets["demo/db"].value), "SecretText(7 bytes)");
    }
}
