//! What a subscription owner can read holds no secret.
//!
//! The test first learns the secrets: with the simulated HSM's own file, which no owner has, it opens what is wrapped, puts
//! the shares together, and opens the keyring. Then it reads everything, and looks for each of them in every usual writing.
//!
//! Looked for: the master key's scalar; the TLS key's password, PKCS#8 and scalar; the storage account's access keys; each
//! automatic and recovery share and its value; the root key; the barrier keys; the operator's token; the secret's value.
//! Not known, because it never leaves the server's memory or the sealed log: the boot key, the transfer key of the release,
//! and the store identity's private half (which is in the log, under a barrier key that is looked for).

use std::path::Path;

use anyhow::{Context as _, ensure};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::encoding::{AsBigEndian as _, EcPrivateKeyBin};
use aws_lc_rs::hkdf;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use e2e::attacker::{Attacker, GROUP};
use e2e::deployment::Deployment;
use e2e::owner::{self, SUBSCRIPTION};
use e2e::saved::FIRST_COMMIT;
use e2e::vault::Vault;
use evidence::Sha256;
use protocol::bundle::Artefact;
use protocol::jwk::{Curve, EcPublicKey};
use protocol::share::ShareId;
use protocol::wrap::{Context, MasterKey};
use secrecy::SecretString;
use serde_json::Value;

const SECRET: &str = "the value that nobody may see";

/// A secret and its name.
type Needle = (String, Vec<u8>);

#[test]
fn what_an_owner_reads_holds_no_secret() -> anyhow::Result<()> {
    let deployment = Deployment::deployed()?;
    let operator = deployment.operator()?;
    Vault::new(&operator)?.write("demo/db-password", SECRET)?;
    ensure!(deployment.demo(&[])?.well()?.stdout.trim_end() == SECRET);
    let attacker = Attacker::new(deployment.cloud())?;
    let mut needles = secrets(&deployment, &attacker)?;
    needles.push(("the secret's value".to_owned(), SECRET.into()));
    let token = operator.get("VAULT_TOKEN").context("a token")?;
    needles.push(("the operator's token".to_owned(), token.clone().into_bytes()));

    let readable = everything(&deployment, &attacker)?;
    // The search finds what is there: a certificate, a wrapped value, a line of the server's program.
    let wrapped = attacker.history("vouchsafe-dev-storage-key")?;
    let wrapped: Value = serde_json::from_str(wrapped.first().context("storage key")?)?;
    let ciphertext = wrapped.get("ct").and_then(Value::as_str).context("ct")?;
    for there in [ciphertext, "BEGIN CERTIFICATE", "x-ms-policy-hash", "vouchlog"] {
        ensure!(!places(&readable, there.as_bytes()).is_empty(), "the search misses `{there}`");
    }
    let images = readable.iter().filter(|(place, _)| place.starts_with("image")).count();
    ensure!(images >= 3, "a manifest, a configuration and a layer: {images}");
    ensure!(places(&readable, b"BEGIN PRIVATE KEY").iter().all(|place| place.starts_with("image")));

    for (name, bytes) in &needles {
        ensure!(bytes.len() >= 16, "{name} is too short to look for");
        for writing in writings(bytes) {
            let found = places(&readable, &writing);
            ensure!(found.is_empty(), "{name} is in {found:?}");
        }
    }
    ensure!(needles.len() >= 25, "{} secrets are known", needles.len());
    Ok(())
}

#[test]
fn a_secret_is_found_however_it_is_written() {
    let secret: Vec<u8> = (0..32).map(|n: u8| n.wrapping_mul(37).wrapping_add(11)).collect();
    let hex: String = secret.iter().map(|byte| format!("{byte:02X}")).collect();
    let framed = |before: usize| [vec![b'a'; before], secret.clone(), vec![b'z'; 5]].concat();
    let mut texts = vec![framed(3), hex.to_lowercase().into_bytes(), hex.into_bytes()];
    for before in 0..3 {
        texts.push(STANDARD_NO_PAD.encode(framed(before)).into_bytes());
        texts.push(URL_SAFE_NO_PAD.encode(framed(before)).into_bytes());
    }
    for text in texts {
        let readable = [("here".to_owned(), text)];
        assert!(writings(&secret).iter().any(|one| !places(&readable, one).is_empty()));
        assert!(writings(&[7; 32]).iter().all(|one| places(&readable, one).is_empty()));
    }
}

/// Opens everything with the file of the simulated HSM.
fn secrets(deployment: &Deployment, attacker: &Attacker<'_>) -> anyhow::Result<Vec<Needle>> {
    let mut found: Vec<Needle> = Vec::new();
    let (name, version) = attacker.master_key()?;
    let file = deployment.cloud().state().join(format!("hsm/{version}.p8"));
    let (scalar, point) = scalar(&ECDSA_P384_SHA384_FIXED_SIGNING, &std::fs::read(file)?)?;
    found.push(("the master key".to_owned(), scalar.clone()));
    let key = MasterKey::new(scalar.into(), EcPublicKey::from_point(Curve::P384, &point)?)?;
    let id = format!("{name}/{version}");

    let open = |artefact: Artefact| -> anyhow::Result<Vec<u8>> {
        let text = attacker.history(&artefact.secret_name("dev"))?.pop().context("artefact")?;
        let context = Context { deployment: "dev", key: &id, artefact: artefact.name() };
        Ok(key.open(context, &text)?.to_vec())
    };
    let password = open(Artefact::TlsPassword)?;
    let pem = attacker.history(&Artefact::Tls.secret_name("dev"))?.pop().context("TLS")?;
    let pkcs8 = protocol::encrypted_key::open(&pem, &password)?.to_vec();
    found.push((
        "the TLS key".to_owned(),
        self::scalar(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8)?.0,
    ));
    found.push(("the TLS key's PKCS#8".to_owned(), pkcs8));
    found.push(("the TLS key's password".to_owned(), password));
    let stored = open(Artefact::StorageKey)?;
    for key in access_keys(attacker)? {
        let raw = base64::engine::general_purpose::STANDARD.decode(&key)?;
        found.push(("a storage key".to_owned(), raw));
        found.push(("a storage key's text".to_owned(), key.into_bytes()));
    }
    ensure!(found.iter().any(|(_, bytes)| *bytes == stored), "the stored key is the account's");

    let lock = std::fs::read_to_string(deployment.state().join("lock.toml"))?;
    let (_, rest) = lock.split_once("identity = \"").context("the lock names the store")?;
    let identity: Sha256 = rest.get(..64).context("an identity")?.parse()?;
    let mut automatic = Vec::new();
    for index in 1..=5 {
        let share = ShareId { deployment: "dev", key: &id, identity, generation: 1, index };
        let text = attacker.history(&share.secret_name())?.pop().context("a share")?;
        automatic.push(protocol::share::open(&key, &share, &text)?.to_vec());
    }
    let mut recovery = Vec::new();
    for (index, holder) in (1..).zip(["alice", "bob"]) {
        let file = deployment.folder().join(format!("manifests/insecure-recovery/{holder}.age"));
        let object = attacker.blob_bytes(&format!("recovery/{identity}/1/{index}"))?;
        recovery.push(recovery_share(&file, &object)?);
    }
    for share in automatic.iter().chain(&recovery) {
        found.push(("a share".to_owned(), share.clone()));
        found.push(("a share's value".to_owned(), point_of(share)?.1));
    }
    let root = combine(automatic.get(..3).context("three shares")?)?;
    ensure!(root == combine(&recovery)?, "both sets give the root key");
    let barrier = keyring(&attacker.blob_bytes(FIRST_COMMIT)?, &root, identity)?;
    found.push(("the root key".to_owned(), root));
    for key in barrier {
        found.push(("a barrier key".to_owned(), key));
    }
    Ok(found)
}

fn scalar(
    algorithm: &'static EcdsaSigningAlgorithm,
    pkcs8: &[u8],
) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8)?;
    let private: EcPrivateKeyBin<'_> = pair.private_key().as_be_bytes()?;
    Ok((private.as_ref().to_vec(), pair.public_key().as_ref().to_vec()))
}

fn recovery_share(holder: &Path, object: &[u8]) -> anyhow::Result<Vec<u8>> {
    let text = std::fs::read_to_string(holder)?;
    let key = text.lines().find(|line| line.starts_with("AGE-SECRET-KEY-")).context("a key")?;
    let share = store::unseal_share(object, &SecretString::from(key.to_owned()))?;
    Ok(share.expose_secret().to_vec())
}

/// x and y of a share. Layout, version 1, 51 bytes: version (1), set (16), threshold (1), x (1), y (32).
fn point_of(share: &[u8]) -> anyhow::Result<(u8, Vec<u8>)> {
    ensure!(share.len() == 51 && share.first() == Some(&1), "a share of version 1");
    Ok((*share.get(18).context("x")?, share.get(19..).context("y")?.to_vec()))
}

/// Shamir's interpolation at 0 over GF(2^8) with the polynomial 0x11d.
fn combine(shares: &[Vec<u8>]) -> anyhow::Result<Vec<u8>> {
    let mul = |mut a: u8, mut b: u8| {
        let mut product = 0;
        while b != 0 {
            if b & 1 == 1 {
                product ^= a;
            }
            a = (a << 1) ^ if a & 0x80 == 0 { 0 } else { 0x1d };
            b >>= 1;
        }
        product
    };
    let inverse = |a: u8| (0..=u8::MAX).find(|one| mul(a, *one) == 1).unwrap_or(0);
    let points: Vec<(u8, Vec<u8>)> =
        shares.iter().map(|s| point_of(s)).collect::<Result<_, _>>()?;
    let mut value = vec![0; 32];
    for (x, y) in &points {
        let others = points.iter().filter(|(other, _)| other != x);
        let basis = others.fold(1, |basis, (other, _)| mul(basis, mul(*other, inverse(other ^ x))));
        value.iter_mut().zip(y).for_each(|(to, y)| *to ^= mul(*y, basis));
    }
    Ok(value)
}

/// The barrier keys of the first commit's keyring (crates/store: `commit.rs`, `keyring.rs`, `seal.rs`, all version 1).
fn keyring(commit: &[u8], root: &[u8], identity: Sha256) -> anyhow::Result<Vec<Vec<u8>>> {
    let length = commit.get(88..92).context("a length")?.try_into().map(u32::from_be_bytes)?;
    let clear = commit.get(96..).and_then(|rest| rest.get(..usize::try_from(length).ok()?));
    let header: Value = serde_json::from_slice(clear.context("the clear part")?)?;
    let sealed = header.get("keyring").and_then(Value::as_str).context("a keyring")?;
    let sealed = URL_SAFE_NO_PAD.decode(sealed)?;
    ensure!(sealed.first() == Some(&1), "a keyring of version 1");
    let (salt, sealed) = sealed.get(1..).context("a salt")?.split_at(32);
    let mut key = [0; 32];
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(root);
    extracted.expand(&[b"vouchsafe store 1 keyring"], hkdf::HKDF_SHA256)?.fill(&mut key)?;
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key)?);
    let about = [identity.as_bytes().as_slice(), &1_u32.to_be_bytes()].concat();
    let mut text = sealed.to_vec();
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    let text = key.open_in_place(nonce, Aad::from(about), &mut text)?;
    ensure!(!text.is_empty() && text.len() % 36 == 0, "ids and keys");
    Ok(text.chunks(36).filter_map(|entry| Some(entry.get(4..)?.to_vec())).collect())
}

fn access_keys(attacker: &Attacker<'_>) -> anyhow::Result<Vec<String>> {
    let path = format!("{GROUP}/providers/Microsoft.Storage/storageAccounts/vouchsafedev/listKeys");
    let told = attacker.arm("POST", &path, "2023-05-01", &Value::Null)?;
    let keys = told.get("keys").and_then(Value::as_array).into_iter().flatten();
    Ok(keys.filter_map(|key| Some(key.get("value")?.as_str()?.to_owned())).collect())
}

/// Whatever an owner can read, by the place where it is. Not `listKeys`, which hands out a key on purpose.
fn everything(
    deployment: &Deployment,
    attacker: &Attacker<'_>,
) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let none = &Value::Null;
    let mut found: Vec<(String, Vec<u8>)> = Vec::new();
    let mut keep = |place: &str, bytes: Vec<u8>| found.push((place.to_owned(), bytes));

    // Resource manager: every resource's body, which for the group holds policy, environment and instance view.
    let listed = attacker.arm("GET", &format!("{GROUP}/resources"), "2021-04-01", none)?;
    keep("the resources", listed.to_string().into_bytes());
    let resources = listed.get("value").and_then(Value::as_array).context("resources")?;
    ensure!(resources.len() >= 6, "identity, provider, vault, account, registry, logs, group");
    for resource in resources {
        let member = |name: &str| resource.get(name).and_then(Value::as_str).unwrap_or_default();
        let version = VERSIONS.iter().find(|(kind, _)| kind.eq_ignore_ascii_case(member("type")));
        let version = version.with_context(|| member("type").to_owned())?.1;
        let body = attacker.arm("GET", member("id"), version, none)?;
        keep(member("id"), body.to_string().into_bytes());
        if member("type").ends_with("containerGroups") {
            let containers = body.pointer("/properties/containers").and_then(Value::as_array);
            for container in containers.into_iter().flatten() {
                let name = container.get("name").and_then(Value::as_str).context("name")?;
                let logs = format!("{}/containers/{name}/logs", member("id"));
                let logs = attacker.arm("GET", &logs, version, none)?;
                ensure!(logs.to_string().len() > 100, "the server writes a log");
                keep("the container's log", logs.to_string().into_bytes());
            }
        }
    }
    for list in ["roleAssignments", "roleDefinitions"] {
        let path =
            format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/{list}");
        keep(list, attacker.arm("GET", &path, "2022-04-01", none)?.to_string().into_bytes());
    }

    // Key Vault: every version of every key and secret, with tags and attributes.
    for (kind, least) in [("keys", 1), ("secrets", 9)] {
        let mut versions = 0;
        for name in attacker.names(kind)? {
            for item in attacker.list(&format!("{kind}/{name}/versions"))? {
                keep("a list of the vault", item.to_string().into_bytes());
                let id = item.get("id").or_else(|| item.get("kid")).and_then(Value::as_str);
                let path = id.and_then(|id| id.split(".net/").nth(1)).context("path")?;
                let value = attacker.vault("GET", path, none)?;
                keep(path, value.to_string().into_bytes());
                // Escapes of JSON would hide a line break.
                let text = value.get("value").and_then(Value::as_str).unwrap_or_default();
                keep(path, text.as_bytes().to_vec());
                versions += 1;
            }
        }
        ensure!(versions >= least, "{versions} versions of {kind}");
    }

    // Storage: every blob.
    let blobs = attacker.blobs()?;
    for prefix in ["log/", "recovery/", "manifest"] {
        ensure!(blobs.iter().any(|name| name.starts_with(prefix)), "no {prefix} in {blobs:?}");
    }
    for blob in blobs {
        keep(&format!("blob {blob}"), attacker.blob_bytes(&blob)?);
    }

    // Registry: every manifest, configuration and layer, unpacked too.
    for bytes in attacker.images()? {
        if bytes.starts_with(&[0x1f, 0x8b]) {
            let mut plain = Vec::new();
            let mut reader = flate2::read::MultiGzDecoder::new(bytes.as_slice());
            std::io::Read::read_to_end(&mut reader, &mut plain)?;
            keep("image, unpacked", plain);
        }
        keep("image", bytes);
    }

    // Attestation: policy and its signers.
    let token = owner::token(deployment.cloud(), "https://attest.azure.net")?;
    for path in ["policies/SevSnpVm", "certificates", "certs", ".well-known/openid-configuration"] {
        let url =
            format!("https://vouchsafedev.weu.attest.azure.net/{path}?api-version=2020-10-01");
        let told = owner::call(deployment.cloud(), &token, "GET", &url, none)?;
        keep(path, told.to_string().into_bytes());
        let parts = told.get("token").and_then(Value::as_str).unwrap_or_default().split('.');
        for part in parts.filter_map(|part| URL_SAFE_NO_PAD.decode(part).ok()) {
            keep(path, part);
        }
    }
    Ok(found)
}

/// The bytes as they are, in hexadecimal, and in base64 wherever in a longer text they begin.
fn writings(bytes: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut all = vec![bytes.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
    for skipped in 0..3 {
        // Whole groups of three bytes are four letters of their own.
        let rest = bytes.get(skipped..).unwrap_or_default();
        let whole = rest.get(..rest.len() / 3 * 3).unwrap_or_default();
        all.push(STANDARD_NO_PAD.encode(whole).into_bytes());
        all.push(URL_SAFE_NO_PAD.encode(whole).into_bytes());
    }
    all
}

fn places(readable: &[(String, Vec<u8>)], needle: &[u8]) -> Vec<String> {
    let holds = |text: &[u8]| memchr::memmem::find(text, needle).is_some();
    readable.iter().filter(|(_, text)| holds(text)).map(|(place, _)| place.clone()).collect()
}

/// What each type is read with.
const VERSIONS: [(&str, &str); 7] = [
    ("Microsoft.ManagedIdentity/userAssignedIdentities", "2023-01-31"),
    ("Microsoft.Attestation/attestationProviders", "2021-06-01"),
    ("Microsoft.KeyVault/vaults", "2023-07-01"),
    ("Microsoft.Storage/storageAccounts", "2023-05-01"),
    ("Microsoft.ContainerRegistry/registries", "2023-07-01"),
    ("Microsoft.OperationalInsights/workspaces", "2023-09-01"),
    ("Microsoft.ContainerInstance/containerGroups", "2023-05-01"),
];
