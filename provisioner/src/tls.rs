//! The server's TLS key and certificate: made here, or brought as PKCS#12. This is the only place that knows PKCS#12.
//!
//! Either way the result is one PEM text, the chain and the private key encrypted under a random 256-bit password, which
//! is stored as it is; the password is wrapped with the master key and kept nowhere in clear. A certificate authority that
//! is made here signs one certificate and is forgotten: whoever trusts it trusts just that server.

use std::net::IpAddr;
use std::path::Path;

use aws_lc_rs::rand::SecureRandom;
use evidence::Sha256;
use jiff::Timestamp;
use manifest::TlsName;
use p12_keystore::{KeyStore, Pkcs12ImportPolicy};
use pem::{LineEnding, Pem};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use std::collections::BTreeSet;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use crate::failure::Failure;

/// A certificate with its key, as they are stored.
pub struct Material {
    /// Chain and encrypted key, PEM.
    pub pem: String,
    /// The password of the key.
    pub password: Zeroizing<String>,
}

/// What a stored chain says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The DNS names and addresses that it is for.
    pub names: BTreeSet<String>,
    /// Until when it is good.
    pub expires: Timestamp,
    /// SHA-256 of its DER.
    pub sha256: Sha256,
}

/// Makes a certificate authority, a server certificate for these names, and forgets the authority.
///
/// # Errors
/// No randomness, or a name that a certificate cannot have.
pub fn make(
    deployment: &str,
    names: &BTreeSet<TlsName>,
    now: Timestamp,
    rng: &dyn SecureRandom,
) -> Result<Material, Failure> {
    let failed = |error: rcgen::Error| {
        Failure::of("making the server's certificate", error, "check [tls] names in the manifest")
    };
    let ca_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    ca.distinguished_name = named(&format!("Vouchsafe {deployment} CA"));
    validity(&mut ca, now)?;
    let ca_certificate = ca.self_signed(&ca_key).map_err(failed)?;

    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let subjects: Vec<String> = names.iter().map(|name| name.as_str().to_owned()).collect();
    let mut leaf = CertificateParams::new(subjects).map_err(failed)?;
    leaf.distinguished_name = named(&format!("Vouchsafe {deployment}"));
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    validity(&mut leaf, now)?;
    let certificate = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).map_err(failed)?;
    let pkcs8 = Zeroizing::new(key.serialize_der());
    seal(&[certificate.der().to_vec(), ca_certificate.der().to_vec()], &pkcs8, rng)
}

/// Reads a PKCS#12 file; its password is in the environment.
///
/// # Errors
/// It cannot be read, and those of [`import`].
pub fn import_file(path: &Path, rng: &dyn SecureRandom) -> Result<Material, Failure> {
    let bytes = std::fs::read(path).map_err(|error| {
        Failure::of(format!("reading {}", path.display()), error, "check [tls] pkcs12")
    })?;
    import(&bytes, &password(), rng)
}

/// Whether a client that asks for any of these names will take the certificate.
///
/// # Errors
/// It will not; the names that the certificate lacks.
pub fn covers(material: &Material, names: &BTreeSet<TlsName>) -> Result<(), Failure> {
    let found = Certificate::first(&material.pem).map(|first| first.names).unwrap_or_default();
    // RFC 6125, section 6.4.3: an asterisk stands for one whole leftmost label.
    let wild = |name: &str| match (name.parse::<IpAddr>(), name.split_once('.')) {
        (Err(_), Some((_, rest))) => found.contains(&format!("*.{rest}")),
        (Ok(_), _) | (_, None) => false,
    };
    let lacks = |name: &&str| !found.contains(*name) && !wild(name);
    let lacking: Vec<&str> = names.iter().map(TlsName::as_str).filter(lacks).collect();
    if lacking.is_empty() {
        return Ok(());
    }
    let found = found.into_iter().collect::<Vec<_>>().join(", ");
    Err(Failure::new(
        format!(
            "the certificate in the PKCS#12 file is for {found}, not for {}",
            lacking.join(", ")
        ),
        "bring a certificate for all [tls] names, or correct the names",
    ))
}

fn password() -> Zeroizing<String> {
    Zeroizing::new(std::env::var(PASSWORD).unwrap_or_default())
}

/// Takes key and chain out of a PKCS#12 file.
///
/// # Errors
/// Another password, or not just one key with its certificate.
pub fn import(file: &[u8], password: &str, rng: &dyn SecureRandom) -> Result<Material, Failure> {
    let remedy = "check the file, and the password in VOUCHSAFE_PKCS12_PASSWORD";
    let store = KeyStore::from_pkcs12(file, password, Pkcs12ImportPolicy::Strict)
        .map_err(|error| Failure::of("opening the PKCS#12 file", error, remedy))?;
    let lacks = || Failure::new("the PKCS#12 file holds no key with its certificate", remedy);
    let (_, chain) = store.private_key_chain().ok_or_else(lacks)?;
    let certificates: Vec<Vec<u8>> =
        chain.certs().iter().map(|certificate| certificate.as_der().to_vec()).collect();
    if certificates.is_empty() {
        return Err(lacks());
    }
    seal(&certificates, chain.key().as_der(), rng)
}

fn seal(chain: &[Vec<u8>], pkcs8: &[u8], rng: &dyn SecureRandom) -> Result<Material, Failure> {
    let failed = || Failure::new("encrypting the server's key", "run again");
    let mut random = Zeroizing::new([0; 32]);
    rng.fill(&mut *random).map_err(|_| failed())?;
    let password = Zeroizing::new(protocol::b64::encode(&*random));
    let key = protocol::encrypted_key::seal(pkcs8, password.as_bytes(), rng)
        .map_err(|error| Failure::of("encrypting the server's key", error, "check the key"))?;
    Ok(Material { pem: format!("{}{key}", chain_pem(chain)), password })
}

/// A chain as PEM.
#[must_use]
pub fn chain_pem(chain: &[Vec<u8>]) -> String {
    let encoding = pem::EncodeConfig::new().set_line_ending(LineEnding::LF);
    let block = |der: &Vec<u8>| pem::encode_config(&Pem::new("CERTIFICATE", der.clone()), encoding);
    chain.iter().map(block).collect()
}

impl Certificate {
    /// Reads the first certificate of a stored text.
    #[must_use]
    pub fn first(text: &str) -> Option<Self> {
        let blocks = pem::parse_many(text).ok()?;
        let block = blocks.into_iter().find(|block| block.tag() == "CERTIFICATE")?;
        Self::parse(block.contents())
    }

    /// Reads the certificate in a PKCS#12 file, if there is the file and its password opens it.
    #[must_use]
    pub fn brought(path: &Path) -> Option<Self> {
        let store = KeyStore::from_pkcs12(
            &std::fs::read(path).ok()?,
            &password(),
            Pkcs12ImportPolicy::Strict,
        );
        let store = store.ok()?;
        let (_, chain) = store.private_key_chain()?;
        Self::parse(chain.certs().first()?.as_der())
    }

    /// Reads a certificate.
    #[must_use]
    pub fn parse(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let subject = certificate.subject_alternative_name().ok().flatten();
        let names = subject.iter().flat_map(|names| &names.value.general_names);
        let names = names.filter_map(|name| {
            if let GeneralName::DNSName(name) = name {
                Some((*name).to_owned())
            } else if let GeneralName::IPAddress(bytes) = name {
                address(bytes).map(|address| address.to_string())
            } else {
                None
            }
        });
        let expires = certificate.validity().not_after.timestamp();
        Some(Self {
            names: names.collect(),
            expires: Timestamp::from_second(expires).ok()?,
            sha256: Sha256::of(der),
        })
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut out = DistinguishedName::new();
    out.push(DnType::CommonName, name);
    out
}

/// From an hour ago, because clocks differ, for as long as clients accept.
fn validity(params: &mut CertificateParams, now: Timestamp) -> Result<(), Failure> {
    let day = |timestamp: Timestamp| {
        let date = timestamp.to_zoned(jiff::tz::TimeZone::UTC).date();
        let part = |number: i8| u8::try_from(number).unwrap_or(1);
        rcgen::date_time_ymd(i32::from(date.year()), part(date.month()), part(date.day()))
    };
    let span = |hours: i64| now.saturating_add(jiff::SignedDuration::from_hours(hours));
    let unusable = |error| Failure::of("dating a certificate", error, "check this machine's clock");
    params.not_before = day(span(-1).map_err(unusable)?);
    params.not_after = day(span(VALID_DAYS * 24).map_err(unusable)?);
    Ok(())
}

/// Browsers and Apple's clients accept no more.
const VALID_DAYS: i64 = 397;

/// The environment variable with the password of a PKCS#12 file.
const PASSWORD: &str = "VOUCHSAFE_PKCS12_PASSWORD";

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;

    use super::*;

    fn names() -> BTreeSet<TlsName> {
        ["localhost", "127.0.0.1"].iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn makes_a_chain_with_a_key_that_only_its_password_opens() {
        let now: Timestamp = "2026-11-22T05:00:00Z".parse().unwrap();
        let made = make("dev", &names(), now, &SystemRandom::new()).unwrap();
        let opened = protocol::encrypted_key::open(&made.pem, made.password.as_bytes()).unwrap();
        assert!(KeyPair::try_from(opened.as_slice()).is_ok());
        assert!(protocol::encrypted_key::open(&made.pem, b"other").is_err());
        assert!(!made.pem.contains("BEGIN PRIVATE KEY"));
        let certificate = Certificate::first(&made.pem).unwrap();
        assert_eq!(certificate.names, ["127.0.0.1", "localhost"].map(str::to_owned).into());
        assert_eq!(certificate.expires, "2027-12-24T00:00:00Z".parse().unwrap());
        assert_eq!(made.pem.matches("BEGIN CERTIFICATE").count(), 2);
    }

    #[test]
    fn takes_key_and_chain_out_of_a_pkcs12() {
        use p12_keystore::{Certificate as Shown, KeyStoreEntry, PrivateKey, PrivateKeyChain};
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let certificate =
            CertificateParams::new(["vouchsafe.example".to_owned()]).unwrap().self_signed(&key);
        let shown = Shown::from_der(certificate.unwrap().der()).unwrap();
        let pkcs8 = PrivateKey::from_der(key.serialized_der()).unwrap();
        let mut store = KeyStore::new();
        let chain = PrivateKeyChain::new(vec![1_u8], pkcs8, [shown]);
        store.add_entry("server", KeyStoreEntry::PrivateKeyChain(chain));
        let file = store.writer("secret").write().unwrap();

        let imported = import(&file, "secret", &SystemRandom::new()).unwrap();
        let opened =
            protocol::encrypted_key::open(&imported.pem, imported.password.as_bytes()).unwrap();
        assert_eq!(opened.as_slice(), key.serialized_der());
        let names = Certificate::first(&imported.pem).unwrap().names;
        assert_eq!(names, ["vouchsafe.example".to_owned()].into());
        assert!(import(&file, "other", &SystemRandom::new()).is_err());
    }

    #[test]
    fn a_certificate_is_for_the_names_that_clients_ask_for() {
        let now: Timestamp = "2026-11-22T05:00:00Z".parse().unwrap();
        let set = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
        let check = |of: &[&str], wanted: &[&str], lacking: Option<&str>| {
            let made = make("dev", &names(), now, &SystemRandom::new()).unwrap();
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
            let of: Vec<String> = of.iter().map(|&name| name.to_owned()).collect();
            let leaf = CertificateParams::new(of).unwrap().self_signed(&key).unwrap();
            let pem = chain_pem(&[leaf.der().to_vec()]);
            let told = covers(&Material { pem, ..made }, &set(wanted));
            let told = told.err().map(|failure| failure.to_string());
            assert_eq!(told.is_some(), lacking.is_some(), "{told:?}");
            assert!(told.unwrap_or_default().contains(lacking.unwrap_or_default()));
        };
        check(&["a.example"], &["a.example"], None);
        check(&["a.example", "10.0.0.1"], &["a.example", "10.0.0.1"], None);
        check(&["*.example"], &["a.example"], None);
        check(&["*.example"], &["b.a.example"], Some("not for b.a.example"));
        check(&["*.0.0.1"], &["10.0.0.1"], Some("not for 10.0.0.1"));
        check(&["a.example"], &["a.example", "b.example"], Some("not for b.example"));
    }

    #[test]
    fn refuses_a_pkcs12_that_is_none() {
        assert!(import(b"nonsense", "", &SystemRandom::new()).is_err());
    }
}
