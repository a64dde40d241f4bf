//! A TLS authority that everybody can sign with.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};

use crate::amd::{NOT_AFTER, NOT_BEFORE};
use crate::certificate::{COMMON_NAME, Certificate, Extension, SigningKey, armour, name, to_pem};
use crate::keys::{TLS_CA, sha256};

/// The authority.
#[derive(Debug, Clone)]
pub struct TlsCa {
    /// Its certificate, as DER.
    pub certificate_der: Vec<u8>,
    /// Its certificate, as PEM.
    pub certificate_pem: &'static str,
    /// Its P-256 key, PKCS#8 as PEM.
    pub key_pem: &'static str,
}

/// A server's certificate and key.
#[derive(Debug, Clone)]
pub struct IssuedTls {
    /// The server's certificate and the authority's, each as DER.
    pub chain_der: Vec<Vec<u8>>,
    /// The same as PEM.
    pub chain_pem: String,
    /// The P-256 key, PKCS#8 as DER.
    pub key_der: Vec<u8>,
    /// The same as PEM.
    pub key_pem: String,
}

/// The authority.
#[must_use]
pub fn tls_ca() -> TlsCa {
    TlsCa {
        certificate_der: TLS_CA.der(),
        certificate_pem: TLS_CA.certificate,
        key_pem: TLS_CA.key,
    }
}

/// SHA-256 of the authority's certificate.
#[must_use]
pub fn tls_ca_sha256() -> [u8; 32] {
    TLS_CA.sha256()
}

/// A new key and a certificate for these names, which may be DNS names or addresses.
///
/// # Panics
/// When the system has no randomness.
#[must_use]
#[expect(
    clippy::expect_used,
    reason = "making a key fails only without memory or randomness, and this is for tests"
)]
pub fn issue_tls(names: &[String]) -> IssuedTls {
    let key =
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("the system has randomness");
    let key_der = key.to_pkcs8v1().expect("the key can be exported").as_ref().to_vec();
    let public = SigningKey::P256Sha256(key).public();
    let issuer = TLS_CA.p256();
    let [a, b, c, d, e, f, g, ..] = sha256(&public);
    let certificate = Certificate {
        serial: u64::from_be_bytes([0, a, b, c, d, e, f, g]),
        issuer: tls_ca_name(),
        subject: name(&[(COMMON_NAME, names.first().map_or("no name", String::as_str))]),
        not_before: NOT_BEFORE,
        not_after: NOT_AFTER,
        extensions: vec![
            Extension::server_names(names.iter().map(String::as_str)),
            Extension::signs_data(),
            Extension::for_use(["1.3.6.1.5.5.7.3.1"]),
            Extension::subject_key(&public),
            Extension::authority_key(&issuer.public()),
            Extension::end_entity(),
        ],
        key: public,
    }
    .sign(&issuer);
    IssuedTls {
        chain_pem: to_pem(&certificate) + TLS_CA.certificate,
        chain_der: vec![certificate, TLS_CA.der()],
        key_pem: armour("PRIVATE KEY", &key_der),
        key_der,
    }
}

/// The authority's Name.
#[must_use]
fn tls_ca_name() -> Vec<u8> {
    name(&[(COMMON_NAME, "Vouchsafe insecure TLS CA")])
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
    use x509_parser::extensions::GeneralName;
    use x509_parser::parse_x509_certificate;

    use super::*;

    #[test]
    fn issues_certificates_for_names_and_addresses() {
        let issued = issue_tls(&["vault.example".to_owned(), "127.0.0.1".to_owned()]);
        let (_, server) = parse_x509_certificate(&issued.chain_der[0]).unwrap();
        let (_, authority) = parse_x509_certificate(&issued.chain_der[1]).unwrap();
        UnparsedPublicKey::new(
            &ECDSA_P256_SHA256_ASN1,
            &authority.public_key().subject_public_key.data,
        )
        .verify(server.tbs_certificate.as_ref(), &server.signature_value.data)
        .unwrap();
        let names = &server.subject_alternative_name().unwrap().unwrap().value.general_names;
        assert_eq!(
            *names,
            [GeneralName::DNSName("vault.example"), GeneralName::IPAddress(&[127, 0, 0, 1])]
        );
        assert!(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &issued.key_der).is_ok());
    }
}
