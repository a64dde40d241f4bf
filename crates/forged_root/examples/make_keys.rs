//! Makes the fixed keys and certificates of this crate anew. Their digests stand in manifests and golden cases, so this
//! is run when the set grows, not otherwise: a file that exists is kept.
//!
//! `cargo run -p vouchsafe-forged-root --example make_keys -- crates/forged_root/keys`

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, RsaKeyPair};
use forged_root::Product;
use forged_root::amd::{NOT_AFTER, NOT_BEFORE, amd_name};
use forged_root::certificate::{
    COMMON_NAME, Certificate, Extension, SigningKey, armour, name, to_pem,
};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("name the folder")?);
    for (at, product) in (0..).zip(Product::ALL) {
        amd(&folder, at, product)?;
    }
    uvm(&folder)?;
    tls(&folder)?;
    rsa(&folder, "vm_ak", KeySize::Rsa2048)?;
    for number in 1..=3 {
        let key =
            SigningKey::RsaSha256(rsa(&folder, &format!("signer_{number}"), KeySize::Rsa3072)?);
        let subject = name(&[(COMMON_NAME, &format!("vouchsafe insecure signer {number}"))]);
        let extensions = vec![
            Extension::signs_data(),
            Extension::subject_key(&key.public()),
            Extension::end_entity(),
        ];
        let certificate = certificate(number, &subject, &subject, &key, extensions);
        write(&folder, &format!("signer_{number}"), &certificate.sign(&key))?;
    }
    Ok(())
}

fn amd(folder: &Path, at: u64, product: Product) -> Result<(), Box<dyn Error>> {
    let pss = |file: &str| rsa(folder, file, KeySize::Rsa4096).map(SigningKey::PssSha384);
    let root_file = format!("ark_{product}");
    let root = pss(&root_file)?;
    let root_name = amd_name(&format!("ARK-{}", product.amd_name()));
    let extensions = vec![
        Extension::signs_certificates(),
        Extension::subject_key(&root.public()),
        Extension::authority(None),
    ];
    write(
        folder,
        &root_file,
        &certificate(at << 16, &root_name, &root_name, &root, extensions).sign(&root),
    )?;
    for (offset, file, subject) in [(1, "ask", "SEV"), (2, "asvk", "SEV-VLEK")] {
        let file = format!("{file}_{product}");
        let key = pss(&file)?;
        let subject = amd_name(&format!("{subject}-{}", product.amd_name()));
        let extensions = vec![
            Extension::subject_key(&key.public()),
            Extension::authority_key(&root.public()),
            Extension::authority(Some(0)),
            Extension::signs_certificates(),
        ];
        let serial = (at << 16) + offset;
        write(
            folder,
            &file,
            &certificate(serial, &root_name, &subject, &key, extensions).sign(&root),
        )?;
    }
    Ok(())
}

fn uvm(folder: &Path) -> Result<(), Box<dyn Error>> {
    let root = SigningKey::RsaSha384(rsa(folder, "uvm_root", KeySize::Rsa4096)?);
    let root_name = forged_root::uvm_name("Vouchsafe insecure Supply Chain RSA Root CA");
    let extensions = vec![
        Extension::signs_certificates(),
        Extension::authority(None),
        Extension::subject_key(&root.public()),
    ];
    write(
        folder,
        "uvm_root",
        &certificate(1, &root_name, &root_name, &root, extensions).sign(&root),
    )?;
    let intermediate = SigningKey::RsaSha384(rsa(folder, "uvm_intermediate", KeySize::Rsa4096)?);
    let extensions = vec![
        Extension::signs_certificates(),
        Extension::subject_key(&intermediate.public()),
        Extension::authority(None),
        Extension::authority_key(&root.public()),
    ];
    let subject = forged_root::uvm_name("Vouchsafe insecure SCD Products RSA CA");
    let signed = certificate(2, &root_name, &subject, &intermediate, extensions).sign(&root);
    write(folder, "uvm_intermediate", &signed)?;
    rsa(folder, "uvm_leaf", KeySize::Rsa3072)?;
    // The embedded key of the leaf must be the one just made: on a first run, run this once more.
    write(folder, "uvm_leaf", &forged_root::default_leaf())
}

fn tls(folder: &Path) -> Result<(), Box<dyn Error>> {
    let path = folder.join("tls_ca.key.pem");
    if !path.exists() || fs::read(&path)?.is_empty() {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?;
        fs::write(&path, armour("PRIVATE KEY", key.to_pkcs8v1()?.as_ref()))?;
    }
    let key = pem::parse(fs::read(&path)?)?;
    let key = SigningKey::P256Sha256(EcdsaKeyPair::from_pkcs8(
        &ECDSA_P256_SHA256_ASN1_SIGNING,
        key.contents(),
    )?);
    let subject = name(&[(COMMON_NAME, "Vouchsafe insecure TLS CA")]);
    let extensions = vec![
        Extension::authority(Some(0)),
        Extension::signs_certificates(),
        Extension::subject_key(&key.public()),
    ];
    write(folder, "tls_ca", &certificate(1, &subject, &subject, &key, extensions).sign(&key))
}

fn certificate(
    serial: u64,
    issuer: &[u8],
    subject: &[u8],
    key: &SigningKey,
    extensions: Vec<Extension>,
) -> Certificate {
    Certificate {
        serial,
        issuer: issuer.to_vec(),
        subject: subject.to_vec(),
        not_before: NOT_BEFORE,
        not_after: NOT_AFTER,
        key: key.public(),
        extensions,
    }
}

fn rsa(folder: &Path, file: &str, size: KeySize) -> Result<RsaKeyPair, Box<dyn Error>> {
    let path = folder.join(format!("{file}.key.pem"));
    if !path.exists() || fs::read(&path)?.is_empty() {
        let key = KeyPair::generate(size)?;
        fs::write(&path, armour("PRIVATE KEY", key.as_der()?.as_ref()))?;
    }
    Ok(RsaKeyPair::from_pkcs8(pem::parse(fs::read(&path)?)?.contents())?)
}

fn write(folder: &Path, file: &str, der: &[u8]) -> Result<(), Box<dyn Error>> {
    let path = folder.join(format!("{file}.pem"));
    if !path.exists() || fs::read(&path)?.is_empty() {
        fs::write(path, to_pem(der))?;
    }
    Ok(())
}
