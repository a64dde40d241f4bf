//! The signers: their certificates, which are public, and the private keys that this run was given.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use infra::Signers;
use maa::policy_jws::{self, Content};
use manifest::{Manifest, Name};
use protocol::jws::ToSign;
use protocol::{SignerCertificate, SignerId};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::state;

/// Reads the certificates that the manifest names, from beside the manifest.
///
/// # Errors
/// One that is not there, or cannot be a signer's.
pub fn certificates(manifest: &Manifest, folder: &Path) -> Result<Signers, Failure> {
    let read = |(name, signer): (&Name, &manifest::Signer)| {
        let path = folder.join(signer.certificate.as_str());
        let remedy = "check [signer] in the manifest; paths are relative to the manifest";
        let doing = || format!("reading the certificate of signer {name}, {}", path.display());
        let text = state::read(&path)?.ok_or_else(|| Failure::new(doing(), remedy))?;
        let certificate = SignerCertificate::from_pem(&text)
            .map_err(|error| Failure::of(doing(), error, remedy))?;
        Ok((name.clone(), certificate))
    };
    manifest.signer().iter().map(read).collect()
}

/// A signer whose private key is at hand.
pub struct Signer {
    name: Name,
    certificate: SignerCertificate,
    key: RsaKeyPair,
}

impl Signer {
    /// The first signer of the manifest whose key was given on the command line or is named in the manifest.
    ///
    /// # Errors
    /// No key is at hand, or one is not that of its certificate.
    pub fn at_hand(
        manifest: &Manifest,
        folder: &Path,
        certificates: &Signers,
        given: &[(String, PathBuf)],
    ) -> Result<Self, Failure> {
        if let Some((unknown, _)) =
            given.iter().find(|(name, _)| !certificates.keys().any(|known| known.as_str() == name))
        {
            let names: Vec<&str> = certificates.keys().map(Name::as_str).collect();
            return Err(Failure::new(
                format!("the manifest has no signer {unknown}"),
                format!("--signer with one of {}", names.join(", ")),
            ));
        }
        let given: BTreeMap<&str, &PathBuf> =
            given.iter().map(|(name, path)| (name.as_str(), path)).collect();
        for (name, signer) in manifest.signer() {
            let named = signer.insecure_key.as_ref().map(|path| folder.join(path.as_str()));
            let path = given.get(name.as_str()).map(|path| (*path).clone()).or(named);
            if let (Some(path), Some(certificate)) = (path, certificates.get(name)) {
                return Self::read(name, certificate, &path);
            }
        }
        Err(Failure::new(
            "no signer's private key is at hand",
            "give one with --signer NAME=KEYFILE",
        ))
    }

    fn read(name: &Name, certificate: &SignerCertificate, path: &Path) -> Result<Self, Failure> {
        let remedy = "give the signer's RSA key as PKCS#8 PEM";
        let doing = || format!("reading the key of signer {name}, {}", path.display());
        let text = state::read(path)?.ok_or_else(|| Failure::new(doing(), remedy))?;
        let text = Zeroizing::new(text);
        let block =
            pem::parse(text.as_str()).map_err(|error| Failure::of(doing(), error, remedy))?;
        let der = Zeroizing::new(block.into_contents());
        let key =
            RsaKeyPair::from_pkcs8(&der).map_err(|error| Failure::of(doing(), error, remedy))?;
        let signer = Self { name: name.clone(), certificate: certificate.clone(), key };
        // Signing something shows whether key and certificate belong together before anything depends on it.
        signer.policy("version=1.0;authorizationrules{};issuancerules{};").map_err(|error| {
            Failure::of(format!("the key of signer {name} is not its certificate's"), error, remedy)
        })?;
        Ok(signer)
    }

    /// The name in the manifest.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The certificate.
    #[must_use]
    pub fn certificate(&self) -> &SignerCertificate {
        &self.certificate
    }

    /// Who it is.
    #[must_use]
    pub fn id(&self) -> SignerId {
        self.certificate.id()
    }

    /// Signs a bundle or a manifest.
    ///
    /// # Errors
    /// The document names another signer.
    pub fn document(&self, document: ToSign) -> Result<String, Failure> {
        let signature = self.sign(document.signing_input().as_bytes())?;
        document.assemble(&signature).map_err(|error| {
            Failure::of("signing a document", error, "this is a fault of ours; please report it")
        })
    }

    /// Signs an attestation policy.
    ///
    /// # Errors
    /// The key is not the certificate's.
    pub fn policy(&self, text: &str) -> Result<String, Failure> {
        let failed = |error| {
            Failure::of(
                "signing the attestation policy",
                error,
                "check the signer's key and certificate",
            )
        };
        let content = Content::Policy(text.to_owned());
        let unsigned = policy_jws::to_be_signed(&content, &[self.certificate.der().to_vec()])
            .map_err(failed)?;
        let signature = self.sign(unsigned.bytes())?;
        unsigned.assemble(&signature).map_err(failed)
    }

    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 §8.2), which is JOSE's RS256.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .map_err(|error| Failure::of("signing", error, "check the signer's key"))?;
        Ok(signature)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use forged_root::SignerName;
    use maa::policy_jws;
    use protocol::jws::{self, DocumentType};

    use super::*;

    fn folder() -> PathBuf {
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests"))
    }

    fn dev() -> Manifest {
        let text = std::fs::read_to_string(folder().join("dev.toml")).unwrap();
        Manifest::parse("dev.toml", &text).unwrap()
    }

    fn at_hand(given: &[(String, PathBuf)]) -> Result<Signer, Failure> {
        let manifest = dev();
        let certificates = certificates(&manifest, &folder()).unwrap();
        Signer::at_hand(&manifest, &folder(), &certificates, given)
    }

    #[test]
    fn what_a_signer_signs_verifies_under_its_certificate_alone() {
        let signer = at_hand(&[]).unwrap();
        assert_eq!(signer.name().as_str(), "first");
        let unsigned =
            jws::prepare(DocumentType::Bundle, signer.certificate(), b"payload").unwrap();
        let compact = signer.document(unsigned).unwrap();
        let signers = BTreeSet::from([signer.id()]);
        let verified = jws::verify(DocumentType::Bundle, &compact, &signers).unwrap();
        assert_eq!(verified.payload(), b"payload");
        assert!(jws::verify(DocumentType::Manifest, &compact, &signers).is_err());

        let policy = signer.policy("version=1.0;authorizationrules{};").unwrap();
        let parsed = policy_jws::parse(&policy).unwrap();
        let trusted = [signer.certificate().der().to_vec()];
        policy_jws::verify(&parsed, &trusted).unwrap();
    }

    #[test]
    fn a_key_of_another_signer_is_refused_before_it_signs_anything() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        std::fs::write(&path, forged_root::signer(SignerName::Stranger).key_pem).unwrap();
        assert!(at_hand(&[("first".to_owned(), path.clone())]).is_err());
        assert!(at_hand(&[("nobody".to_owned(), path)]).is_err());
    }
}
