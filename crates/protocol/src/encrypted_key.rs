//! A private key under a password: encrypted PKCS#8 (RFC 5958 §3), in the one form that we write.
//!
//! PBES2 (RFC 8018 §6.2) with PBKDF2-HMAC-SHA256 and AES-256-CBC, which openssl opens. The
//! password is 256 random bits, so the iteration count protects nothing and is low. Reading
//! accepts only this form, as a fixed template with three holes: salt, IV and ciphertext. Nothing
//! here authenticates: the bundle names the hash of what is read.

use std::num::NonZeroU32;

use aws_lc_rs::cipher::{
    AES_256, DecryptionContext, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey,
    UnboundCipherKey,
};
use aws_lc_rs::pbkdf2;
use aws_lc_rs::rand::SecureRandom;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Encrypts a PKCS#8 key (DER) under a password; PEM, label `ENCRYPTED PRIVATE KEY`.
///
/// # Errors
/// No randomness, or a key longer than any private key.
pub fn seal(
    pkcs8: &[u8],
    password: &[u8],
    rng: &dyn SecureRandom,
) -> Result<String, EncryptedKeyError> {
    let mut salt = [0; SALT_LEN];
    rng.fill(&mut salt).map_err(|_| EncryptedKeyError::Encrypt)?;
    let mut buffer = Zeroizing::new(Vec::with_capacity(pkcs8.len() + 32));
    buffer.extend_from_slice(pkcs8);
    let key = PaddedBlockEncryptingKey::cbc_pkcs7(cipher_key(password, &salt)?)
        .map_err(|_| EncryptedKeyError::Encrypt)?;
    let context = key.encrypt(&mut *buffer).map_err(|_| EncryptedKeyError::Encrypt)?;
    let iv: &[u8] = (&context).try_into().map_err(|_| EncryptedKeyError::Encrypt)?;

    let mut inner = ALGORITHM_HEAD.to_vec();
    inner.extend_from_slice(&salt);
    inner.extend_from_slice(ALGORITHM_MIDDLE);
    inner.extend_from_slice(iv);
    inner.extend(element(0x04, &buffer)?);
    let der = element(0x30, &inner)?;

    let text = STANDARD.encode(der);
    let mut pem = format!("{BEGIN}\n");
    for line in text.as_bytes().chunks(64) {
        pem.push_str(std::str::from_utf8(line).map_err(|_| EncryptedKeyError::Encrypt)?);
        pem.push('\n');
    }
    pem.push_str(END);
    pem.push('\n');
    Ok(pem)
}

/// Opens the encrypted key in a PEM text that may hold other things too; gives PKCS#8 DER.
///
/// # Errors
/// No encrypted key in it, another form than ours, or another password.
pub fn open(pem: &str, password: &[u8]) -> Result<Zeroizing<Vec<u8>>, EncryptedKeyError> {
    let (_, rest) = pem.split_once(BEGIN).ok_or(EncryptedKeyError::Missing)?;
    let (text, _) = rest.split_once(END).ok_or(EncryptedKeyError::Missing)?;
    if text.len() > MAX_TEXT {
        return Err(EncryptedKeyError::Form);
    }
    let text: String = text.split_ascii_whitespace().collect();
    let der = STANDARD.decode(text).map_err(|_| EncryptedKeyError::Form)?;

    let inner = content(0x30, &der)?;
    let rest = inner.strip_prefix(ALGORITHM_HEAD).ok_or(EncryptedKeyError::Form)?;
    let (salt, rest) = rest.split_at_checked(SALT_LEN).ok_or(EncryptedKeyError::Form)?;
    let rest = rest.strip_prefix(ALGORITHM_MIDDLE).ok_or(EncryptedKeyError::Form)?;
    let (iv, rest) = rest.split_at_checked(16).ok_or(EncryptedKeyError::Form)?;
    let mut buffer = Zeroizing::new(content(0x04, rest)?.to_vec());

    let iv: [u8; 16] = iv.try_into().map_err(|_| EncryptedKeyError::Form)?;
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(cipher_key(password, salt)?)
        .map_err(|_| EncryptedKeyError::Password)?;
    let length = key
        .decrypt(&mut buffer, DecryptionContext::Iv128(iv.into()))
        .map_err(|_| EncryptedKeyError::Password)?
        .len();
    buffer.truncate(length);
    // A wrong password passes the padding once in 256 times; a private key begins as a SEQUENCE.
    if buffer.first() == Some(&0x30) { Ok(buffer) } else { Err(EncryptedKeyError::Password) }
}

fn cipher_key(password: &[u8], salt: &[u8]) -> Result<UnboundCipherKey, EncryptedKeyError> {
    let mut key = Zeroizing::new([0; 32]);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ITERATIONS, salt, password, &mut *key);
    UnboundCipherKey::new(&AES_256, &*key).map_err(|_| EncryptedKeyError::Form)
}

/// One DER element with a definite length of at most two bytes.
fn element(tag: u8, content: &[u8]) -> Result<Vec<u8>, EncryptedKeyError> {
    let length = u16::try_from(content.len()).map_err(|_| EncryptedKeyError::Encrypt)?;
    let [high, low] = length.to_be_bytes();
    let mut out = match (high, low) {
        (0, low @ 0..=0x7f) => vec![tag, low],
        (0, low) => vec![tag, 0x81, low],
        (high, low) => vec![tag, 0x82, high, low],
    };
    out.extend_from_slice(content);
    Ok(out)
}

/// The content of the one element that `der` is.
fn content(tag: u8, der: &[u8]) -> Result<&[u8], EncryptedKeyError> {
    let (length, content) = match der {
        [t, length @ 0..=0x7f, content @ ..] if *t == tag => (usize::from(*length), content),
        [t, 0x81, length, content @ ..] if *t == tag => (usize::from(*length), content),
        [t, 0x82, high, low, content @ ..] if *t == tag => {
            (usize::from(u16::from_be_bytes([*high, *low])), content)
        }
        _ => return Err(EncryptedKeyError::Form),
    };
    if content.len() == length { Ok(content) } else { Err(EncryptedKeyError::Form) }
}

/// Why an encrypted key cannot be written or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncryptedKeyError {
    /// It could not be encrypted.
    #[error("encrypting the private key")]
    Encrypt,
    /// There is none.
    #[error("no encrypted private key in the text")]
    Missing,
    /// Another algorithm, other parameters, or not DER.
    #[error("the encrypted private key is not in the form that we write")]
    Form,
    /// The password does not open it.
    #[error("the password does not open the private key")]
    Password,
}

const BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";
const MAX_TEXT: usize = 32 << 10;
const SALT_LEN: usize = 16;
const ITERATIONS: NonZeroU32 = NonZeroU32::new(2048).expect("not zero");

/// AlgorithmIdentifier up to the salt: PBES2 (1.2.840.113549.1.5.13), PBKDF2 (1.2.840.113549.1.5.12).
const ALGORITHM_HEAD: &[u8] = &[
    0x30, 0x62, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d, 0x30, 0x55, 0x30,
    0x34, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0c, 0x30, 0x27, 0x04, 0x10,
];

/// From the salt to the IV: 2048 iterations, key length 32, hmacWithSHA256 (1.2.840.113549.2.9),
/// aes256-CBC (2.16.840.1.101.3.4.1.42).
const ALGORITHM_MIDDLE: &[u8] = &[
    0x02, 0x02, 0x08, 0x00, 0x02, 0x01, 0x20, 0x30, 0x0c, 0x06, 0x08, 0x2a, 0x86, 0x48, 0x86, 0xf7,
    0x0d, 0x02, 0x09, 0x05, 0x00, 0x30, 0x1d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04,
    0x01, 0x2a, 0x04, 0x10,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::rng;

    const KEY: &[u8] = &[0x30, 3, 2, 1, 7];

    #[test]
    fn opens_with_the_password_and_with_no_other() {
        let pem = seal(KEY, b"password", &rng()).unwrap();
        assert_eq!(open(&format!("some certificate\n{pem}"), b"password").unwrap().as_slice(), KEY);
        for i in 0..64 {
            assert_eq!(
                open(&pem, format!("wrong {i}").as_bytes()),
                Err(EncryptedKeyError::Password)
            );
        }
        assert_eq!(open("nothing", b"password"), Err(EncryptedKeyError::Missing));
    }

    #[test]
    fn refuses_other_parameters() {
        let pem = seal(KEY, b"password", &rng()).unwrap();
        let text: String = pem.lines().filter(|l| !l.starts_with('-')).collect();
        let der = STANDARD.decode(text).unwrap();
        for at in (2..ALGORITHM_HEAD.len()).chain(2 + 34 + SALT_LEN..2 + 34 + SALT_LEN + 30) {
            let mut changed = der.clone();
            changed[at] ^= 1;
            let pem = format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode(changed));
            assert!(open(&pem, b"password").is_err(), "byte {at}");
        }
    }

    /// The reader of the format that everybody has agrees with us.
    #[test]
    fn peer_openssl_opens_it() {
        let pair = aws_lc_rs::signature::EcdsaKeyPair::generate(
            &aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1_SIGNING,
        )
        .unwrap();
        let pkcs8 = pair.to_pkcs8v1().unwrap();
        let pem = seal(pkcs8.as_ref(), b"correct horse", &rng()).unwrap();
        let file =
            std::env::temp_dir().join(format!("vouchsafe-encrypted-key-{}", std::process::id()));
        std::fs::write(&file, pem).unwrap();
        let output = std::process::Command::new("openssl")
            .args([
                "pkcs8",
                "-passin",
                "pass:correct horse",
                "-topk8",
                "-nocrypt",
                "-outform",
                "DER",
                "-in",
            ])
            .arg(&file)
            .output()
            .expect("openssl, which `cargo xtask setup` installs, is not there");
        std::fs::remove_file(file).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.stdout, pkcs8.as_ref());
    }
}
