//! RSA keys of the simulated services: made at first need, kept as PKCS#8 in files (mode 0600), used for RS256.

use std::io;
use std::path::Path;
use std::sync::Mutex;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use serde_json::{Map, Value};

use super::encoding::b64url;
use super::store::write_atomically;

static MAKING: Mutex<()> = Mutex::new(());

/// An RS256 signer.
pub struct RsaSigner {
    pair: KeyPair,
    pkcs8: Vec<u8>,
}

impl std::fmt::Debug for RsaSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RsaSigner")
    }
}

impl RsaSigner {
    /// Reads the key of that file, or makes one (RSA-2048) and writes it.
    ///
    /// # Errors
    /// The file system's; [`io::ErrorKind::InvalidData`] if the file holds no key.
    pub fn open(path: &Path) -> io::Result<Self> {
        match Self::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Two first needs at once must not make two keys, of which one is forgotten.
                let _making = MAKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                match Self::read(path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    made => return made,
                }
                let pair = KeyPair::generate(KeySize::Rsa2048)
                    .map_err(|_| io::Error::other("making an RSA key"))?;
                let der =
                    aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(
                        &pair,
                    )
                    .map_err(|_| io::Error::other("encoding an RSA key"))?;
                let pkcs8 = der.as_ref().to_vec();
                write_atomically(path, &pkcs8)?;
                Ok(Self { pair, pkcs8 })
            }
            read => read,
        }
    }

    fn read(path: &Path) -> io::Result<Self> {
        let pkcs8 = std::fs::read(path)?;
        let pair = KeyPair::from_pkcs8(&pkcs8)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not an RSA key in PKCS#8"))?;
        Ok(Self { pair, pkcs8 })
    }

    /// The private key as PKCS#8 DER (to make certificates with).
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// Modulus, big endian without leading zero.
    pub fn modulus(&self) -> Vec<u8> {
        self.pair.public_key().modulus().big_endian_without_leading_zero().to_vec()
    }

    /// Public exponent, big endian without leading zero.
    pub fn exponent(&self) -> Vec<u8> {
        self.pair.public_key().exponent().big_endian_without_leading_zero().to_vec()
    }

    /// The public half as SubjectPublicKeyInfo DER.
    ///
    /// # Errors
    /// The crypto library refuses to encode.
    pub fn spki(&self) -> io::Result<Vec<u8>> {
        let der: aws_lc_rs::encoding::PublicKeyX509Der<'_> = self
            .pair
            .public_key()
            .as_der()
            .map_err(|_| io::Error::other("encoding an RSA public key"))?;
        Ok(der.as_ref().to_vec())
    }

    /// PKCS#1 v1.5 over SHA-256.
    ///
    /// # Errors
    /// The crypto library refuses.
    pub fn sign(&self, message: &[u8]) -> io::Result<Vec<u8>> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| io::Error::other("signing"))?;
        Ok(signature)
    }

    /// A compact JWS. Header and payload are written as given; `serde_json` maps are sorted bytewise, as MAA's are.
    ///
    /// # Errors
    /// The crypto library refuses.
    pub fn jws(&self, header: &Value, payload: &Map<String, Value>) -> io::Result<String> {
        let payload = serde_json::to_vec(payload).map_err(io::Error::other)?;
        let signed = format!("{}.{}", b64url(header.to_string()), b64url(payload));
        let signature = self.sign(signed.as_bytes())?;
        Ok(format!("{signed}.{}", b64url(signature)))
    }
}
