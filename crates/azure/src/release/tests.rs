use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, OaepPublicEncryptingKey, PublicEncryptingKey};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::*;
use crate::testing::corpus;

const VERSION: &str = "c3c28aadd7d54867beb596461e6640bd";

/// A release as a vault would make it, every part replaceable.
struct Release {
    header: Value,
    kty: &'static str,
    crv: &'static str,
    /// What we asked for, and what the answer says that we did.
    sent: Wrapping,
    asked: &'static str,
    enc: &'static str,
    schema: &'static str,
    private: EcdsaKeyPair,
    public: EcdsaKeyPair,
    to: TransferKey,
}

fn p384() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap()
}

fn good(to: TransferKey) -> Release {
    let private = p384();
    let scalar = private.private_key().as_be_bytes().unwrap();
    let public = EcdsaKeyPair::from_private_key_and_public_key(
        &ECDSA_P384_SHA384_FIXED_SIGNING,
        scalar.as_ref(),
        private.public_key().as_ref(),
    )
    .unwrap();
    Release {
        header: json!({"alg": "RS256", "typ": "JWT", "x5c": ["AQID"]}),
        kty: "EC-HSM",
        crv: "P-384",
        sent: Wrapping::Sha256,
        asked: "RSA_AES_KEY_WRAP_256",
        enc: "RSA_AES_KEY_WRAP_256",
        schema: "1.0",
        private,
        public,
        to,
    }
}

fn wrap(to: &TransferKey, wrapping: Wrapping, plaintext: &[u8]) -> Vec<u8> {
    let spki = spki(to);
    let rsa = OaepPublicEncryptingKey::new(PublicEncryptingKey::from_der(&spki).unwrap()).unwrap();
    let mut wrapped = vec![0; rsa.ciphertext_size()];
    rsa.encrypt(wrapping.oaep(), &[7; 32], &mut wrapped, None).unwrap();
    let kek = AesKek::new(&AES_256, &[7; 32]).unwrap();
    let mut output = vec![0; plaintext.len() + 16];
    let kwp = kek.wrap_with_padding(plaintext, &mut output).unwrap();
    [wrapped.as_slice(), kwp].concat()
}

fn spki(key: &TransferKey) -> Vec<u8> {
    let components = aws_lc_rs::rsa::PublicKeyComponents {
        n: key.modulus().to_vec(),
        e: key.exponent().to_vec(),
    };
    let public: PublicEncryptingKey = components.try_into().unwrap();
    let der: aws_lc_rs::encoding::PublicKeyX509Der<'_> = public.as_der().unwrap();
    der.as_ref().to_vec()
}

impl Release {
    fn jws(&self) -> ReleaseJws {
        let pkcs8 = self.private.to_pkcs8v1().unwrap();
        let wrapping = Wrapping::parse(self.enc).unwrap_or(Wrapping::Sha256);
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let hsm = json!({
            "schema_version": self.schema,
            "header": {"kid": "release", "alg": "dir", "enc": self.enc},
            "ciphertext": encode(&wrap(&self.to, wrapping, pkcs8.as_ref())),
        });
        let (x, y) = self.public.public_key().as_ref()[1..].split_at(48);
        let payload = json!({
            "request": {"api-version": "2025-07-01", "enc": self.asked, "kid": "https://v.vault.azure.net/keys/k"},
            "response": {"key": {
                "key": {
                    "kid": format!("https://v.vault.azure.net/keys/k/{VERSION}"),
                    "kty": self.kty, "key_ops": ["sign", "verify"], "crv": self.crv,
                    "x": encode(x), "y": encode(y),
                    "key_hsm": encode(hsm.to_string().as_bytes()),
                },
                "attributes": {"enabled": true, "exportable": true},
                "release_policy": {"data": encode(br#"{"version":"1.0.0"}"#), "immutable": true},
            }},
        });
        let text = format!(
            "{}.{}.AA",
            encode(self.header.to_string().as_bytes()),
            encode(payload.to_string().as_bytes())
        );
        ReleaseJws::new(text, self.sent)
    }

    fn refused(&self) -> UnwrapError {
        unwrap(&self.jws(), &self.to).unwrap_err()
    }
}

#[test]
fn opens_a_release_with_each_wrapping() {
    let mut release = good(TransferKey::generate().unwrap());
    for enc in ["CKM_RSA_AES_KEY_WRAP", "RSA_AES_KEY_WRAP_256", "RSA_AES_KEY_WRAP_384"] {
        (release.sent, release.enc, release.asked) = (Wrapping::parse(enc).unwrap(), enc, enc);
        let key = unwrap(&release.jws(), &release.to).unwrap();
        assert_eq!(key.wrapping(), Wrapping::parse(enc).unwrap());
        assert_eq!(key.public().uncompressed(), release.public.public_key().as_ref());
        assert_eq!(key.version().as_str(), VERSION);
        assert!(key.policy().immutable && key.exportable() && key.enabled());
        assert_eq!(key.unverified_certificates(), [vec![1, 2, 3]]);
        let scalar = release.private.private_key().as_be_bytes().unwrap();
        assert_eq!(key.scalar().expose_secret(), scalar.as_ref());
        assert!(format!("{key:?}").contains("REDACTED"));
    }
}

#[test]
fn refuses_a_release_to_another_environment() {
    let release = good(TransferKey::generate().unwrap());
    let other = TransferKey::generate().unwrap();
    assert_eq!(unwrap(&release.jws(), &other).unwrap_err(), UnwrapError::NotForUs);
}

#[test]
fn refuses_a_private_half_of_another_key() {
    let mut release = good(TransferKey::generate().unwrap());
    release.private = p384();
    assert_eq!(release.refused(), UnwrapError::Mismatch);
}

#[test]
fn refuses_a_key_of_another_type_or_curve() {
    let mut release = good(TransferKey::generate().unwrap());
    release.kty = "EC";
    assert_eq!(release.refused(), UnwrapError::KeyType);
    release.kty = "EC-HSM";
    release.crv = "P-521";
    assert_eq!(release.refused(), UnwrapError::KeyType);
    release.crv = "P-256";
    assert_eq!(release.refused(), UnwrapError::Malformed("coordinates of the curve's length"));
    let mut release = good(release.to);
    release.private = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    assert_eq!(release.refused(), UnwrapError::PrivateKey);
}

#[test]
fn refuses_unknown_and_unasked_wrappings() {
    let mut release = good(TransferKey::generate().unwrap());
    release.asked = "CKM_RSA_AES_KEY_WRAP";
    assert!(matches!(release.refused(), UnwrapError::Malformed(_)));
    release.asked = "RSA_AES_KEY_WRAP_256";
    release.sent = Wrapping::Sha1;
    assert!(matches!(release.refused(), UnwrapError::Malformed(_)));
    release.sent = Wrapping::Sha256;
    release.enc = "none";
    assert_eq!(release.refused(), UnwrapError::Wrapping);
    release.enc = "RSA_AES_KEY_WRAP_256";
    release.schema = "2.0";
    assert_eq!(release.refused(), UnwrapError::Wrapping);
}

#[test]
fn refuses_an_envelope_that_is_not_a_release() {
    let mut release = good(TransferKey::generate().unwrap());
    release.header = json!({"alg": "none"});
    assert_eq!(release.refused(), UnwrapError::Malformed("alg RS256"));
    for text in ["", "a", "a.b", "a.b.c.d", "e30.e30.e30"] {
        let refused = unwrap(&ReleaseJws::new(text.to_owned(), Wrapping::Sha256), &release.to);
        assert!(matches!(refused, Err(UnwrapError::Malformed(_))), "{text}");
    }
    let long = ReleaseJws::new("a".repeat(LIMIT + 1), Wrapping::Sha256);
    assert_eq!(unwrap(&long, &release.to).unwrap_err(), UnwrapError::Malformed("a sensible size"));
}

#[test]
fn opens_a_private_key_without_its_public_half() {
    // RFC 5915 leaves publicKey optional, and the vault leaves it out.
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let scalar = pair.private_key().as_be_bytes().unwrap();
    let mut der = vec![
        0x30, 0x41, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
        0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x27, 0x30, 0x25,
        0x02, 0x01, 0x01, 0x04, 0x20,
    ];
    der.extend_from_slice(scalar.as_ref());
    let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
    let public = PublicEc::parse(Curve::P256, x, y).unwrap();
    let half = private_half(&public, &der).unwrap();
    assert_eq!(half.expose_secret(), scalar.as_ref());
}

#[test]
fn corpus_opens_the_published_wrapping() {
    let path = "confidential-sidecar-containers/skr-wrap-vector.json";
    let Some(vector) = corpus("corpus_opens_the_published_wrapping", path) else {
        return;
    };
    let vector: Value = serde_json::from_slice(&vector).unwrap();
    let field = |name: &str| vector[name].as_str().unwrap().to_owned();
    let pkcs1 = STANDARD.decode(field("private_key_pkcs1_b64")).unwrap();
    let pkcs8 = RsaKeyPair::from_der(&pkcs1).unwrap();
    let pkcs8: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pkcs8.as_der().unwrap();
    let key = TransferKey::from_pkcs8(pkcs8.as_ref()).unwrap();
    let wrapping = Wrapping::parse(&field("enc")).unwrap();
    let ciphertext = decode(&field("ciphertext_b64url")).unwrap();

    let opened = open(&key, wrapping, &ciphertext).unwrap();
    let expected = field("expected_key_hex");
    let hex: String = opened.iter().map(|byte| format!("{byte:02x}")).collect();
    // The plaintext is PKCS#8 or the key itself.
    assert!(hex.ends_with(&expected) || hex.contains(&expected), "{}", hex.len());
    for other in [Wrapping::Sha256, Wrapping::Sha384] {
        assert_eq!(open(&key, other, &ciphertext).unwrap_err(), UnwrapError::NotForUs);
    }
    assert_eq!(open(&key, wrapping, &ciphertext[..100]).unwrap_err(), UnwrapError::NotForUs);
    let mut changed = ciphertext;
    *changed.last_mut().unwrap() ^= 1;
    assert_eq!(open(&key, wrapping, &changed).unwrap_err(), UnwrapError::NotForUs);
}

#[test]
fn corpus_reads_a_recorded_release_up_to_its_wrapping() {
    let path = "azure-sdk-for-cpp/keyvault-keys/KeyVaultKeyClient.ReleaseKey2.json";
    let Some(recording) = corpus("corpus_reads_a_recorded_release_up_to_its_wrapping", path) else {
        return;
    };
    let recording: Value = serde_json::from_slice(&recording).unwrap();
    let body = recording["networkCallRecords"][2]["Response"]["BODY"].as_str().unwrap();
    let value: Value = serde_json::from_str(body).unwrap();
    let text = value["value"].as_str().unwrap();
    let (header, payload) = parse_jws(text).unwrap();
    let asked = Wrapping::parse(&payload.request.enc).unwrap();
    let jws = ReleaseJws::new(text.to_owned(), asked);
    assert_eq!(header.x5c.len(), 3);
    let bundle = payload.response.key;
    assert_eq!((bundle.key.kty.as_str(), bundle.key.crv.as_deref()), ("EC-HSM", Some("P-256")));
    assert!(bundle.attributes.exportable && !bundle.release_policy.immutable);
    let policy: Value = json(&bundle.release_policy.data, "policy").unwrap();
    assert_eq!(policy["anyOf"][0]["authority"], "https://sharedwus.wus.attest.azure.net");
    let hsm: RawHsm = json(&bundle.key.key_hsm, "key_hsm").unwrap();
    assert_eq!(decode(&hsm.ciphertext).unwrap().len(), 256 + 80);

    let stranger = TransferKey::generate().unwrap();
    assert_eq!(unwrap(&jws, &stranger).unwrap_err(), UnwrapError::NotForUs);
}
