//! Operations with a key inside the HSM: encrypt, decrypt, wrap, unwrap, sign, verify (azure.md C.2).
//!
//! 1. role; 2. the key exists; 3. it is enabled; 4. its time; 5. its `key_ops` permit the call; 6. the algorithm fits its type; 7. the value.
//!
//! Only RSA keys encrypt and wrap; an EC key has neither in the service. Symmetric algorithms belong to managed HSMs.

use aws_lc_rs::digest::{self, Digest, SHA256, SHA384, SHA512};
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPrivateDecryptingKey,
    OaepPublicEncryptingKey, Pkcs1PrivateDecryptingKey, Pkcs1PublicEncryptingKey,
    PrivateDecryptingKey, PublicEncryptingKey,
};
use aws_lc_rs::signature::{
    self as sig, KeyPair as _, ParsedPublicKey, RsaEncoding, VerificationAlgorithm,
};
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::access::{Access, granted};
use super::bundle::kid;
use super::create::internal;
use super::errors::{Thing, bad, forbidden, refusal};
use super::hsm::{Curve, KeyPair};
use super::state::KeyVersion;
use crate::core::Response;
use crate::core::encoding::{b64url, from_b64url};

#[derive(Deserialize)]
struct RawOperation {
    alg: String,
    value: Option<String>,
    digest: Option<String>,
}

/// `POST /keys/{n}[/{v}]/{encrypt,decrypt,wrapkey,unwrapkey,sign,verify}`.
pub(super) fn operate(
    access: &Access<'_>,
    name: &str,
    version: &str,
    operation: &str,
) -> Result<Response, Response> {
    // azure.md F.3: reading a key's public half is enough for what anybody could do with it.
    let (permission, use_of, counter, public_half) = match operation {
        "encrypt" => ("encrypt", "encrypt", "keyvault.keys.encrypt", true),
        "decrypt" => ("decrypt", "decrypt", "keyvault.keys.decrypt", false),
        "wrapkey" => ("wrap", "wrapKey", "keyvault.keys.wrapkey", true),
        "unwrapkey" => ("unwrap", "unwrapKey", "keyvault.keys.unwrapkey", false),
        "sign" => ("sign", "sign", "keyvault.keys.sign", false),
        "verify" => ("verify", "verify", "keyvault.keys.verify", true),
        other => {
            return Err(refusal(
                StatusCode::NOT_FOUND,
                "NotFound",
                &format!("There is no operation {other}."),
            ));
        }
    };
    let scope = format!("keys/{name}");
    let assignment = access.authorize(&format!("keys/{permission}/action"), Some(&scope)).or_else(
        |refused| {
            if public_half {
                access.authorize("keys/read", Some(&scope)).map_err(|_| refused)
            } else {
                Err(refused)
            }
        },
    )?;
    let found = access.cloud.keyvault.read(|state| {
        let key = state.key(access.cloud, &access.key, name)?;
        let (id, version) = key.version(version)?;
        Some((kid(access, key, id), id.to_owned(), version.clone()))
    });
    let (kid, id, key) = found.ok_or_else(|| Thing::Key.not_found(name))?;
    usable(access, &key, use_of)?;
    if !key.operations.iter().any(|one| one == use_of) {
        // Code and text of memory.
        let message = format!("Operation {use_of} is not permitted on this key.");
        return Err(forbidden(&message, "KeyOperationForbidden").operation(counter));
    }
    let raw: RawOperation = access
        .request
        .json()
        .map_err(|error| bad(&format!("The request body is not valid: {error}")))?;
    let bytes = |text: &Option<String>| {
        text.as_deref()
            .and_then(from_b64url)
            .ok_or_else(|| bad("A value is missing or is not base64url."))
    };
    let value = bytes(&raw.value)?;
    let pair = KeyPair::load(access.cloud, &id, &key.public).map_err(internal)?;
    let body = match operation {
        "sign" => json!({"kid": kid, "value": b64url(sign(&pair, &raw.alg, &value)?)}),
        "verify" => json!({"value": verify(&pair, &raw.alg, &bytes(&raw.digest)?, &value)?}),
        "encrypt" | "wrapkey" => {
            json!({"kid": kid, "value": b64url(encrypt(&pair, &raw.alg, &value)?)})
        }
        _ => json!({"kid": kid, "value": b64url(decrypt(&pair, &raw.alg, &value)?)}),
    };
    Ok(granted(Response::json(StatusCode::OK, &body), &assignment).operation(counter))
}

/// Enabled, and in its time: an expired key may still open and verify (as the documentation of attributes says). The texts are ours.
pub(super) fn usable(access: &Access<'_>, key: &KeyVersion, use_of: &str) -> Result<(), Response> {
    let now = access.now();
    if !key.attributes.enabled {
        return Err(forbidden(
            &format!("Operation {use_of} is not allowed on a disabled key."),
            "KeyDisabled",
        ));
    }
    let opens = matches!(use_of, "decrypt" | "unwrapKey" | "verify" | "release");
    if key.attributes.nbf.is_some_and(|nbf| nbf > now) && !opens {
        return Err(forbidden(
            &format!("Operation {use_of} is not allowed on a key that is not yet valid."),
            "KeyNotYetValid",
        ));
    }
    if key.attributes.exp.is_some_and(|exp| exp <= now) && !opens {
        return Err(forbidden(
            &format!("Operation {use_of} is not allowed on an expired key."),
            "KeyExpired",
        ));
    }
    Ok(())
}

/// The text is ours.
fn incompatible(algorithm: &str) -> Response {
    bad(&format!(
        "Key and algorithm are incompatible: algorithm {algorithm} cannot be used with a key of this type."
    ))
}

fn hash(algorithm: &str) -> Option<&'static digest::Algorithm> {
    if algorithm.ends_with("256") || algorithm == "ES256K" {
        Some(&SHA256)
    } else if algorithm.ends_with("384") {
        Some(&SHA384)
    } else {
        algorithm.ends_with("512").then_some(&SHA512)
    }
}

fn import(algorithm: &str, bytes: &[u8]) -> Result<Digest, Response> {
    let hash = hash(algorithm).ok_or_else(|| incompatible(algorithm))?;
    // The text is ours.
    Digest::import_less_safe(bytes, hash)
        .map_err(|_| bad(&format!("The digest has not the length that {algorithm} needs.")))
}

fn sign(pair: &KeyPair, algorithm: &str, value: &[u8]) -> Result<Vec<u8>, Response> {
    let refused = |_| internal(std::io::Error::other("signing"));
    match pair {
        KeyPair::Ec(curve, pair) if ec_algorithm(*curve).0 == algorithm => {
            Ok(pair.sign_digest(&import(algorithm, value)?).map_err(refused)?.as_ref().to_vec())
        }
        KeyPair::Rsa(pair) => {
            let (encoding, _) = rsa_algorithm(algorithm).ok_or_else(|| incompatible(algorithm))?;
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign_digest(encoding, &import(algorithm, value)?, &mut signature)
                .map_err(refused)?;
            Ok(signature)
        }
        KeyPair::Ec(..) => Err(incompatible(algorithm)),
    }
}

fn verify(
    pair: &KeyPair,
    algorithm: &str,
    digest: &[u8],
    signature: &[u8],
) -> Result<bool, Response> {
    let refused = |_| internal(std::io::Error::other("reading a public key"));
    let digest = import(algorithm, digest)?;
    let key = match pair {
        KeyPair::Ec(curve, pair) if ec_algorithm(*curve).0 == algorithm => {
            ParsedPublicKey::new(ec_algorithm(*curve).1, pair.public_key().as_ref())
                .map_err(|_| incompatible(algorithm))?
        }
        KeyPair::Rsa(pair) => {
            let (_, verification) =
                rsa_algorithm(algorithm).ok_or_else(|| incompatible(algorithm))?;
            let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(refused)?;
            ParsedPublicKey::new(verification, spki.as_ref())
                .map_err(|_| incompatible(algorithm))?
        }
        KeyPair::Ec(..) => return Err(incompatible(algorithm)),
    };
    Ok(key.verify_digest_sig(&digest, signature).is_ok())
}

fn ec_algorithm(curve: Curve) -> (&'static str, &'static dyn VerificationAlgorithm) {
    match curve {
        Curve::P256 => ("ES256", &sig::ECDSA_P256_SHA256_FIXED),
        Curve::P384 => ("ES384", &sig::ECDSA_P384_SHA384_FIXED),
        Curve::P521 => ("ES512", &sig::ECDSA_P521_SHA512_FIXED),
        Curve::P256k => ("ES256K", &sig::ECDSA_P256K1_SHA256_FIXED),
    }
}

fn rsa_algorithm(
    name: &str,
) -> Option<(&'static dyn RsaEncoding, &'static dyn VerificationAlgorithm)> {
    Some(match name {
        "RS256" => (&sig::RSA_PKCS1_SHA256, &sig::RSA_PKCS1_2048_8192_SHA256),
        "RS384" => (&sig::RSA_PKCS1_SHA384, &sig::RSA_PKCS1_2048_8192_SHA384),
        "RS512" => (&sig::RSA_PKCS1_SHA512, &sig::RSA_PKCS1_2048_8192_SHA512),
        "PS256" => (&sig::RSA_PSS_SHA256, &sig::RSA_PSS_2048_8192_SHA256),
        "PS384" => (&sig::RSA_PSS_SHA384, &sig::RSA_PSS_2048_8192_SHA384),
        "PS512" => (&sig::RSA_PSS_SHA512, &sig::RSA_PSS_2048_8192_SHA512),
        _ => return None,
    })
}

/// Padding of RSA encryption.
enum Padding {
    Pkcs1,
    Oaep(&'static OaepAlgorithm),
}

fn padding(algorithm: &str) -> Result<Padding, Response> {
    match algorithm {
        "RSA1_5" => Ok(Padding::Pkcs1),
        "RSA-OAEP" => Ok(Padding::Oaep(&OAEP_SHA1_MGF1SHA1)),
        "RSA-OAEP-256" => Ok(Padding::Oaep(&OAEP_SHA256_MGF1SHA256)),
        other => Err(incompatible(other)),
    }
}

fn encrypt(pair: &KeyPair, algorithm: &str, value: &[u8]) -> Result<Vec<u8>, Response> {
    let KeyPair::Rsa(pair) = pair else { return Err(incompatible(algorithm)) };
    let padding = padding(algorithm)?;
    let spki: PublicKeyX509Der<'_> = pair
        .public_key()
        .as_der()
        .map_err(|_| internal(std::io::Error::other("encoding a key")))?;
    let key = PublicEncryptingKey::from_der(spki.as_ref()).map_err(|_| incompatible(algorithm))?;
    let mut out = vec![0; key.key_size_bytes()];
    let too_long = |_| bad("The value is too long for this key and algorithm.");
    match padding {
        Padding::Pkcs1 => {
            let key = Pkcs1PublicEncryptingKey::new(key).map_err(|_| incompatible(algorithm))?;
            Ok(key.encrypt(value, &mut out).map_err(too_long)?.to_vec())
        }
        Padding::Oaep(oaep) => {
            let key = OaepPublicEncryptingKey::new(key).map_err(|_| incompatible(algorithm))?;
            Ok(key.encrypt(oaep, value, &mut out, None).map_err(too_long)?.to_vec())
        }
    }
}

fn decrypt(pair: &KeyPair, algorithm: &str, value: &[u8]) -> Result<Vec<u8>, Response> {
    let KeyPair::Rsa(_) = pair else { return Err(incompatible(algorithm)) };
    let padding = padding(algorithm)?;
    let pkcs8 =
        pair.released_form().ok_or_else(|| internal(std::io::Error::other("encoding a key")))?;
    let key = PrivateDecryptingKey::from_pkcs8(&pkcs8).map_err(|_| incompatible(algorithm))?;
    let mut out = vec![0; key.key_size_bytes()];
    // The text is ours.
    let wrong = |_| bad("The value cannot be decrypted with this key and algorithm.");
    match padding {
        Padding::Pkcs1 => {
            let key = Pkcs1PrivateDecryptingKey::new(key).map_err(|_| incompatible(algorithm))?;
            Ok(key.decrypt(value, &mut out).map_err(wrong)?.to_vec())
        }
        Padding::Oaep(oaep) => {
            let key = OaepPrivateDecryptingKey::new(key).map_err(|_| incompatible(algorithm))?;
            Ok(key.decrypt(oaep, value, &mut out, None).map_err(wrong)?.to_vec())
        }
    }
}
