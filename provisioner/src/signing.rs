//! The signers: their certificates, which are public, and what signs for them: a key file, a key in a vault, or a command.
//!
//! Whatever signs is believed only as far as its signature verifies under the signer's certificate.
//! The attestation policy may be signed elsewhere, with no key at hand: `deploy` leaves the text and goes on with the
//! signature ([`Elsewhere`]).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use azure::keys;
use azure::{Name as KeyName, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use infra::Signers;
use maa::policy_jws::{self, Content};
use manifest::{Manifest, Name};
use protocol::jws::ToSign;
use protocol::{SignerCertificate, SignerId};
use tokio::io::AsyncWriteExt as _;
use url::Url;
use zeroize::Zeroizing;

use crate::cloud::Cloud;
use crate::failure::{Exit, Failure, While as _};
use crate::state::{self, State};

/// Where a signer's private key is, as the command line says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyAt {
    /// In a file: PKCS#8 PEM.
    File(PathBuf),
    /// In a Key Vault or Managed HSM, which signs with it.
    Vault {
        /// The vault's address.
        vault: Url,
        /// The key's name.
        name: KeyName,
        /// Its version.
        version: Version,
    },
}

impl FromStr for KeyAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.starts_with("https://") {
            return Ok(Self::File(PathBuf::from(text)));
        }
        let form = || "https://VAULT.vault.azure.net/keys/NAME/VERSION".to_owned();
        let url = Url::parse(text).map_err(|_| form())?;
        let mut parts = url.path().trim_start_matches('/').split('/');
        let (Some("keys"), Some(name), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(form());
        };
        let (name, version) =
            (name.parse().map_err(|_| form())?, version.parse().map_err(|_| form())?);
        let mut vault = url.clone();
        vault.set_path("");
        Ok(Self::Vault { vault, name, version })
    }
}

/// What the command line says about signing.
#[derive(Debug, Clone, Default)]
pub struct Means {
    /// Private keys by the signers' names.
    pub keys: Vec<(String, KeyAt)>,
    /// A command that signs what it reads.
    pub command: Option<String>,
    /// For which signer the command signs, or who signs the attestation policy.
    pub signer: Option<String>,
    /// A signature of the attestation policy that was made elsewhere.
    pub signature: Option<PathBuf>,
}

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

/// A signer for whom something at hand signs.
pub struct Signer {
    name: Name,
    certificate: SignerCertificate,
    hand: Hand,
}

/// What signs.
enum Hand {
    Key(Box<RsaKeyPair>),
    Vault { client: Box<keys::Client>, name: KeyName, version: Version },
    Command(String),
}

impl Signer {
    /// The signer of the command, or the first of the manifest whose key was given on the command line or is named in the
    /// manifest.
    ///
    /// # Errors
    /// Nothing signs, or a key is not that of its certificate.
    pub fn at_hand(
        manifest: &Manifest,
        folder: &Path,
        certificates: &Signers,
        means: &Means,
        cloud: &Cloud,
    ) -> Result<Self, Failure> {
        let asked = means.keys.iter().map(|(name, _)| name).chain(&means.signer);
        for name in asked {
            known(certificates, name)?;
        }
        if let Some(command) = &means.command {
            let named = means.signer.as_deref();
            let (name, certificate) = certificates
                .iter()
                .find(|(name, _)| named.is_none_or(|named| named == name.as_str()))
                .ok_or_else(nobody)?;
            let (name, certificate) = (name.clone(), certificate.clone());
            return Ok(Self { name, certificate, hand: Hand::Command(command.clone()) });
        }
        let given: BTreeMap<&str, &KeyAt> =
            means.keys.iter().map(|(name, key)| (name.as_str(), key)).collect();
        // The one that is asked for comes first, if its key is at hand at all.
        let mut signers: Vec<_> = manifest.signer().iter().collect();
        signers.sort_by_key(|(name, _)| means.signer.as_deref() != Some(name.as_str()));
        for (name, signer) in signers {
            let named = signer.insecure_key.as_ref().map(|path| folder.join(path.as_str()));
            let key = given.get(name.as_str()).map(|key| (*key).clone()).or(named.map(KeyAt::File));
            if let (Some(key), Some(certificate)) = (key, certificates.get(name)) {
                return Self::with(name, certificate, key, cloud);
            }
        }
        Err(nobody())
    }

    fn with(
        name: &Name,
        certificate: &SignerCertificate,
        key: KeyAt,
        cloud: &Cloud,
    ) -> Result<Self, Failure> {
        let hand = match key {
            KeyAt::File(path) => return Self::read(name, certificate, &path),
            KeyAt::Vault { vault, name, version } => {
                let client = keys::Client::new(&cloud.endpoints, &vault, cloud.credential.clone())
                    .during(|| format!("setting up the keys of {vault}"))?;
                Hand::Vault { client: Box::new(client), name, version }
            }
        };
        Ok(Self { name: name.clone(), certificate: certificate.clone(), hand })
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
        // Signing something shows whether key and certificate belong together before anything depends on it.
        let probe = to_sign("version=1.0;authorizationrules{};issuancerules{};", certificate)?;
        let signature = sign_with(&key, probe.bytes())?;
        probe.assemble(&signature).map_err(|error| {
            Failure::of(format!("the key of signer {name} is not its certificate's"), error, remedy)
        })?;
        let hand = Hand::Key(Box::new(key));
        Ok(Self { name: name.clone(), certificate: certificate.clone(), hand })
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
    /// Nothing was signed, or not with the certificate's key.
    pub async fn document(&self, document: ToSign) -> Result<String, Failure> {
        let signature = self.sign(document.signing_input().as_bytes()).await?;
        document.assemble(&signature).map_err(|error| self.wrong(error))
    }

    /// Signs an attestation policy.
    ///
    /// # Errors
    /// Nothing was signed, or not with the certificate's key.
    pub async fn policy(&self, text: &str) -> Result<String, Failure> {
        let unsigned = to_sign(text, &self.certificate)?;
        let signature = self.sign(unsigned.bytes()).await?;
        unsigned.assemble(&signature).map_err(|error| self.wrong(error))
    }

    fn wrong(&self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
        let doing = format!("signing as {}", self.name);
        let remedy = match self.hand {
            Hand::Key(_) | Hand::Vault { .. } => "check the signer's key and certificate",
            Hand::Command(_) => {
                "name the signer whose key the command has with --sign-as; it must write an RS256 signature, raw or in base64"
            }
        };
        Failure::of(doing, error, remedy)
    }

    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 §8.2), which is JOSE's RS256.
    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Failure> {
        match &self.hand {
            Hand::Key(key) => sign_with(key, message),
            Hand::Command(command) => run(command, &self.name, message).await,
            Hand::Vault { client, name, version } => {
                let mut sha256 = [0; 32];
                sha256.copy_from_slice(digest(&SHA256, message).as_ref());
                client
                    .sign_rs256(name, version, &sha256)
                    .await
                    .during(|| format!("signing as {} with the key {}", self.name, name.as_str()))
            }
        }
    }
}

/// An attestation policy that is signed where this program is not.
#[derive(Debug, Clone)]
pub enum Elsewhere {
    /// It is not: whoever is at hand signs.
    Here,
    /// This signer signs it; there is no signature yet.
    Awaited(Name),
    /// Somebody has signed it.
    Signed(Vec<u8>),
}

impl Elsewhere {
    /// What the command line says, given who is at hand.
    ///
    /// # Errors
    /// The signature's file cannot be read, or nobody has that name.
    pub fn of(means: &Means, certificates: &Signers, at_hand: &Signer) -> Result<Self, Failure> {
        if let Some(path) = &means.signature {
            let remedy = "give the file that the signer wrote";
            let failed = |error| Failure::of(format!("reading {}", path.display()), error, remedy);
            return std::fs::read(path).map(|bytes| Self::Signed(plain(bytes))).map_err(failed);
        }
        match &means.signer {
            Some(name) if name != at_hand.name.as_str() => {
                known(certificates, name).map(|name| Self::Awaited(name.clone()))
            }
            Some(_) | None => Ok(Self::Here),
        }
    }

    /// The signed policy; or the end of this run, with the text to be signed in a file.
    ///
    /// # Errors
    /// The signature is awaited, or it is nobody's.
    pub async fn policy(
        &self,
        text: &str,
        at_hand: &Signer,
        certificates: &Signers,
        state: &State,
    ) -> Result<String, Failure> {
        match self {
            Self::Here => at_hand.policy(text).await,
            Self::Signed(signature) => {
                let signed = certificates.values().find_map(|certificate| {
                    to_sign(text, certificate).ok()?.assemble(signature).ok()
                });
                signed.ok_or_else(|| {
                    Failure::refused(
                        "--signature is no signer's signature of this attestation policy",
                        "deploy without it, and have the text signed that is written then",
                    )
                })
            }
            Self::Awaited(name) => {
                let certificate = certificates.get(name).ok_or_else(nobody)?;
                let unsigned = to_sign(text, certificate)?;
                let path = state.path(&format!("attestation-policy.{name}.to-sign"));
                let text = std::str::from_utf8(unsigned.bytes()).map_err(|error| {
                    Failure::of("writing the policy", error, "this is a fault of ours")
                })?;
                state::write(&path, text, 0o600)?;
                let path = path.display();
                let what = format!(
                    "the attestation policy waits for the signature of {name}; the text is {path}"
                );
                let how = format!(
                    "openssl dgst -sha256 -sign KEY -out policy.sig {path}; then deploy again with --signature policy.sig"
                );
                Err(Failure::new(what, how).exiting(Exit::Unsigned))
            }
        }
    }
}

fn known<'a>(certificates: &'a Signers, name: &str) -> Result<&'a Name, Failure> {
    certificates.keys().find(|known| known.as_str() == name).ok_or_else(|| {
        let names: Vec<&str> = certificates.keys().map(Name::as_str).collect();
        Failure::new(
            format!("the manifest has no signer {name}"),
            format!("name one of {}", names.join(", ")),
        )
    })
}

fn nobody() -> Failure {
    Failure::new(
        "no signer's private key is at hand",
        "give one with --signer NAME=KEYFILE or NAME=https://VAULT.vault.azure.net/keys/KEY/VERSION, or a command with --sign-with",
    )
}

fn to_sign(text: &str, certificate: &SignerCertificate) -> Result<policy_jws::ToBeSigned, Failure> {
    let content = Content::Policy(text.to_owned());
    policy_jws::to_be_signed(&content, &[certificate.der().to_vec()]).map_err(|error| {
        Failure::of("writing the attestation policy", error, "check the signer's certificate")
    })
}

fn sign_with(key: &RsaKeyPair, message: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
        .map_err(|error| Failure::of("signing", error, "check the signer's key"))?;
    Ok(signature)
}

/// Starts a command, gives it the bytes, and takes what it writes.
async fn run(command: &str, signer: &Name, message: &[u8]) -> Result<Vec<u8>, Failure> {
    let remedy = "run it by hand: it reads what is to be signed and writes an RS256 signature, raw or in base64";
    let doing = || format!("signing as {signer} with `{command}`");
    let failed = |error: std::io::Error| Failure::of(doing(), error, remedy);
    let mut child = tokio::process::Command::new("sh")
        .args(["-c", command])
        .env("VOUCHSAFE_SIGNER", signer.as_str())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that ends without reading says why by its status.
        stdin.write_all(message).await.ok();
    }
    let ended = child.wait_with_output().await.map_err(failed)?;
    if !ended.status.success() {
        return Err(Failure::new(format!("{}: it ended with {}", doing(), ended.status), remedy));
    }
    Ok(plain(ended.stdout))
}

/// A signature as bytes: what is base64 is taken as that, since no RSA signature is text.
fn plain(bytes: Vec<u8>) -> Vec<u8> {
    let text = std::str::from_utf8(&bytes).map(str::trim);
    let decoded = text.ok().and_then(|text| {
        let joined: String = text.split_whitespace().collect();
        protocol::b64::decode(joined.trim_end_matches('='))
            .ok()
            .or_else(|| STANDARD.decode(joined).ok())
    });
    decoded.unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use forged_root::SignerName;
    use maa::policy_jws;
    use protocol::jws::{self, DocumentType};

    use super::*;
    use crate::cli::Target;
    use crate::deployment::Deployment;

    fn folder() -> PathBuf {
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests"))
    }

    fn dev() -> Manifest {
        let text = std::fs::read_to_string(folder().join("dev.toml")).unwrap();
        Manifest::parse("dev.toml", &text).unwrap()
    }

    fn names() -> Signers {
        certificates(&dev(), &folder()).unwrap()
    }

    fn cloud() -> Cloud {
        let state = tempfile::tempdir().unwrap();
        let target = Target {
            manifest: folder().join("dev.toml"),
            json: false,
            crl: Vec::new(),
            auth: None,
            service_principal: Some(state.path().join("none.json")),
            signers: Vec::new(),
            sign_with: None,
            sign_as: None,
            signature: None,
            server_binary: None,
            state: Some(state.path().to_owned()),
            adopt_master_key: None,
            begin_new_store: false,
        };
        let file = target.service_principal.clone().unwrap();
        let principal = r#"{"tenant":"7e4a0000-0000-4000-8000-000000000001","client_id":"7e4a0000-0000-4000-8000-000000000002","client_secret":"x"}"#;
        state::write(&file, principal, 0o600).unwrap();
        Cloud::open(&Deployment::read(&target).unwrap()).unwrap()
    }

    fn means(keys: &[(&str, PathBuf)]) -> Means {
        let keys = keys.iter().map(|(name, path)| ((*name).to_owned(), KeyAt::File(path.clone())));
        Means { keys: keys.collect(), ..Means::default() }
    }

    fn at_hand(means: &Means) -> Result<Signer, Failure> {
        Signer::at_hand(&dev(), &folder(), &names(), means, &cloud())
    }

    #[tokio::test]
    async fn what_a_signer_signs_verifies_under_its_certificate_alone() {
        let signer = at_hand(&Means::default()).unwrap();
        assert_eq!(signer.name().as_str(), "first");
        let unsigned =
            jws::prepare(DocumentType::Bundle, signer.certificate(), b"payload").unwrap();
        let compact = signer.document(unsigned).await.unwrap();
        let signers = BTreeSet::from([signer.id()]);
        let verified = jws::verify(DocumentType::Bundle, &compact, &signers).unwrap();
        assert_eq!(verified.payload(), b"payload");
        assert!(jws::verify(DocumentType::Manifest, &compact, &signers).is_err());

        let policy = signer.policy(POLICY).await.unwrap();
        let parsed = policy_jws::parse(&policy).unwrap();
        let trusted = [signer.certificate().der().to_vec()];
        policy_jws::verify(&parsed, &trusted).unwrap();
    }

    #[test]
    fn a_key_of_another_signer_is_refused_before_it_signs_anything() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        std::fs::write(&path, forged_root::signer(SignerName::Stranger).key_pem).unwrap();
        assert!(at_hand(&means(&[("first", path.clone())])).is_err());
        assert!(at_hand(&means(&[("nobody", path)])).is_err());
    }

    const POLICY: &str = "version=1.0;authorizationrules{};";

    fn verified(jws: &str, name: &str) {
        let certificate = names().remove(&name.parse::<Name>().unwrap()).unwrap();
        policy_jws::verify(&policy_jws::parse(jws).unwrap(), &[certificate.der().to_vec()])
            .unwrap();
    }

    #[tokio::test]
    async fn a_command_signs_what_it_reads() {
        let key = folder().join("insecure-signers/second.key");
        let openssl = format!("openssl dgst -sha256 -sign {}", key.display());
        let with = |command: String, signer: Option<&str>| {
            let signer = signer.map(str::to_owned);
            at_hand(&Means { command: Some(command), signer, ..Means::default() }).unwrap()
        };
        verified(&with(openssl.clone(), Some("second")).policy(POLICY).await.unwrap(), "second");
        let text = format!("test \"$VOUCHSAFE_SIGNER\" = second && {openssl} | base64");
        verified(&with(text, Some("second")).policy(POLICY).await.unwrap(), "second");
        // The first of the manifest is taken where none is named, and its certificate is not this key's.
        let wrong = with(openssl, None).policy(POLICY).await.unwrap_err();
        assert_eq!(wrong.to_string(), "signing as first");
        for command in ["false", "echo no signature", "true"] {
            with(command.to_owned(), Some("second")).policy(POLICY).await.unwrap_err();
        }
    }

    #[tokio::test]
    async fn a_policy_is_signed_elsewhere_and_taken_up_again() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        let signer = at_hand(&Means::default()).unwrap();
        let sign = async |means: &Means, text: &str| {
            Elsewhere::of(means, &names(), &signer)?.policy(text, &signer, &names(), &state).await
        };
        let awaited = Means { signer: Some("second".to_owned()), ..Means::default() };
        let stopped = sign(&awaited, POLICY).await.unwrap_err();
        assert_eq!(stopped.exit(), Exit::Unsigned);

        let text = folder.path().join("attestation-policy.second.to-sign");
        let signature = folder.path().join("policy.sig");
        let key = self::folder().join("insecure-signers/second.key");
        let status = std::process::Command::new("openssl")
            .args(["dgst", "-sha256", "-sign"])
            .args([&key, &PathBuf::from("-out"), &signature, &text])
            .status()
            .unwrap();
        assert!(status.success());
        let signed = Means { signature: Some(signature.clone()), ..Means::default() };
        verified(&sign(&signed, POLICY).await.unwrap(), "second");
        let other = sign(&signed, "version=1.0;authorizationrules{=> permit();};").await;
        assert_eq!(other.unwrap_err().exit(), Exit::Refused);
        // Without either, whoever is at hand signs.
        verified(&sign(&Means::default(), POLICY).await.unwrap(), "first");
    }

    #[test]
    fn a_key_is_a_file_or_in_a_vault() {
        let vault = "https://v.vault.azure.net/keys/signer/c3c28aadd7d54867beb596461e6640bd";
        let KeyAt::Vault { vault, name, version } = vault.parse().unwrap() else { panic!() };
        assert_eq!((vault.as_str(), name.as_str()), ("https://v.vault.azure.net/", "signer"));
        assert_eq!(version.as_str(), "c3c28aadd7d54867beb596461e6640bd");
        assert_eq!("a.key".parse(), Ok(KeyAt::File("a.key".into())));
        for bad in
            ["https://v.vault.azure.net/keys/signer", "https://v.vault.azure.net/secrets/a/b"]
        {
            bad.parse::<KeyAt>().unwrap_err();
        }
    }
}
