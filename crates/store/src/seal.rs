//! Sealing: AES-256-GCM under a key that is derived for one sealing only.
//!
//! Each sealing draws a 256-bit salt, derives its own key with HKDF-SHA256, uses it once with the all-zero nonce, and forgets it. So no (key, nonce)
//! pair ever encrypts two texts as long as no salt repeats, and no count of messages is near any limit of the cipher.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{self, HKDF_SHA256},
    rand::SecureRandom,
};
use zeroize::Zeroizing;

/// What the key is for; part of the derivation.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    Commit,
    Keyring,
    Snapshot,
    Anchor,
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Commit => b"vouchsafe store 1 commit",
            Self::Keyring => b"vouchsafe store 1 keyring",
            Self::Snapshot => b"vouchsafe store 1 snapshot",
            Self::Anchor => b"vouchsafe store 1 anchor",
        }
    }
}

/// The random part of one sealing, in the clear beside it.
#[derive(Clone, Copy)]
pub(crate) struct Salt(pub(crate) [u8; SALT_LENGTH]);

impl Salt {
    pub(crate) fn fresh(rng: &dyn SecureRandom) -> Result<Self, RandomnessUnavailable> {
        let mut salt = [0; SALT_LENGTH];
        rng.fill(&mut salt).map_err(|_| RandomnessUnavailable)?;
        Ok(Self(salt))
    }
}

/// Encrypts everything from `start` on in place and appends the tag. `text` needs room for the tag, or a copy of the plaintext stays behind.
pub(crate) fn seal(
    key: &[u8; 32],
    salt: Salt,
    purpose: Purpose,
    aad: &[u8],
    text: &mut Vec<u8>,
    start: usize,
) -> Result<(), SealError> {
    let key = message_key(key, salt, purpose)?;
    let body = text.get_mut(start..).ok_or(SealError::Cipher)?;
    let tag = key
        .seal_in_place_separate_tag(nonce(), Aad::from(aad), body)
        .map_err(|_| SealError::Cipher)?;
    text.extend_from_slice(tag.as_ref());
    Ok(())
}

/// Decrypts `sealed`, which ends with its tag. Nothing is said of why it does not open.
pub(crate) fn open(
    key: &[u8; 32],
    salt: Salt,
    purpose: Purpose,
    aad: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Unopened> {
    open_in_place(key, salt, purpose, aad, (sealed.to_vec(), 0))
}

/// As `open`, of what begins somewhere in a buffer, which then holds the text and nothing else.
pub(crate) fn open_in_place(
    key: &[u8; 32],
    salt: Salt,
    purpose: Purpose,
    aad: &[u8],
    (buffer, start): (Vec<u8>, usize),
) -> Result<Zeroizing<Vec<u8>>, Unopened> {
    let mut text = Zeroizing::new(buffer);
    let key = message_key(key, salt, purpose).map_err(|_| Unopened)?;
    let opened = key.open_within(nonce(), Aad::from(aad), &mut text, start..);
    let length = opened.map_err(|_| Unopened)?.len();
    text.truncate(length);
    Ok(text)
}

/// Derives 32 bytes from a key without a salt, for a MAC.
pub(crate) fn derive(key: &[u8; 32], purpose: Purpose) -> Result<Zeroizing<[u8; 32]>, SealError> {
    expand(&hkdf::Salt::none(HKDF_SHA256), key, purpose)
}

fn message_key(key: &[u8; 32], salt: Salt, purpose: Purpose) -> Result<LessSafeKey, SealError> {
    let key = expand(&hkdf::Salt::new(HKDF_SHA256, &salt.0), key, purpose)?;
    Ok(LessSafeKey::new(
        UnboundKey::new(&AES_256_GCM, key.as_slice()).map_err(|_| SealError::Cipher)?,
    ))
}

fn expand(
    salt: &hkdf::Salt,
    key: &[u8; 32],
    purpose: Purpose,
) -> Result<Zeroizing<[u8; 32]>, SealError> {
    let mut derived = Zeroizing::new([0; 32]);
    salt.extract(key)
        .expand(&[purpose.label()], HKDF_SHA256)
        .and_then(|okm| okm.fill(derived.as_mut_slice()))
        .map_err(|_| SealError::Cipher)?;
    Ok(derived)
}

/// Safe because the key is used once.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

/// Why something could not be sealed.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum SealError {
    /// The cipher refused: a fault of this machine.
    #[error("the cipher refused")]
    Cipher,
    /// The content is larger than the format can say.
    #[error("the content is too large for the format")]
    TooLarge,
    /// The random number generator refused.
    #[error(transparent)]
    Randomness(#[from] RandomnessUnavailable),
}

/// The random number generator refused.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("no randomness available")]
pub struct RandomnessUnavailable;

/// The sealed bytes do not open under this key with this associated data.
#[derive(Debug)]
pub(crate) struct Unopened;

pub(crate) const SALT_LENGTH: usize = 32;
pub(crate) const TAG_LENGTH: usize = 16;
