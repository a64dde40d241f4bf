//! The master key against whoever owns the subscription: no role of the vault opens what is wrapped to it, no other key
//! takes its place, and what became of it is shown, repaired or refused, never passed over.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context as _, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsBigEndian as _, EcPrivateKeyBin};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use e2e::attacker::{Attacker, GROUP, VAULT};
use e2e::cloud::{Cloud, ServicePrincipal, Verb};
use e2e::deployment::Deployment;
use e2e::owner;
use e2e::vault::Vault;
use serde_json::{Value, json};

const SECRET: &str = "the value that nobody may see";
const PROVIDER: &str = "vouchsafedev";

/// Every built-in role that says anything about a vault, and the three general ones; azure.md F.3. *Key Vault Data Access
/// Administrator* has no data action and can only grant roles of this list.
const ROLES: [(&str, &str); 15] = [
    ("Owner", "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"),
    ("Contributor", "b24988ac-6180-42a0-ab88-20f7382dd24c"),
    ("Reader", "acdd72a7-3385-48ef-bd42-f606fba81ae7"),
    ("Key Vault Administrator", "00482a5a-887f-4fb3-b363-3b7fe8e74483"),
    ("Key Vault Reader", "21090545-7ca7-4776-b22c-e363652d74d2"),
    ("Key Vault Contributor", "f25e0fa2-a7c8-4377-a976-54943a77a395"),
    ("Key Vault Crypto Officer", "14b46e9e-c2b7-41b4-b07b-48a6ebf60603"),
    ("Key Vault Crypto User", "12338af0-0e69-4776-bea7-57ae8d297424"),
    ("Key Vault Crypto Service Encryption User", "e147488a-f6f5-4113-8e2d-b22465e65bf6"),
    ("Key Vault Crypto Service Release User", "08bbd89e-9f13-488c-ac41-acfcb10c90ab"),
    ("Key Vault Secrets Officer", "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"),
    ("Key Vault Secrets User", "4633458b-17de-408a-b874-0445c86b69e6"),
    ("Key Vault Certificates Officer", "a4417e6f-fecd-4de8-b567-7b0420556985"),
    ("Key Vault Certificate User", "db79e9a7-68ee-4b58-9aeb-b90e7c24fcba"),
    ("Key Vault Purge Operator", "a68e7c17-0ab2-4c09-9a58-125dae29748c"),
];
/// What each of them may ask of a key, as its definition says; whoever may ask is refused for another reason.
const MAY: [(&str, &[&str]); 4] = [
    ("Key Vault Administrator", &["decrypt", "unwrapkey", "release"]),
    ("Key Vault Crypto Officer", &["decrypt", "unwrapkey", "release"]),
    ("Key Vault Crypto User", &["decrypt", "unwrapkey"]),
    ("Key Vault Crypto Service Encryption User", &["unwrapkey"]),
];

#[test]
fn no_role_of_the_vault_opens_what_is_wrapped() -> anyhow::Result<()> {
    let deployment = Deployment::deployed()?;
    let cloud = deployment.cloud();
    let attacker = Attacker::new(cloud)?;
    let (name, version) = attacker.master_key()?;
    // The artefact that opens everything else of TLS, as it lies in the vault.
    let wrapped = attacker.history("vouchsafe-dev-tls-password")?;
    let wrapped: Value = serde_json::from_str(wrapped.first().context("the TLS password")?)?;
    let ciphertext = wrapped.get("ct").and_then(Value::as_str).context("ct")?;
    // A true token for a true machine, with the server's own HOST_DATA and a key of the attacker's: of another provider in
    // the region, whose default policy permits everything.
    let host_data = server_host_data(&deployment)?;
    let foreign = foreign_token(&attacker, cloud, &host_data)?;

    for (role, guid) in ROLES {
        let principal = cloud.control(Verb::Post, "/principals", &json!({"name": role}))?;
        let principal: ServicePrincipal = serde_json::from_value(principal)?;
        owner::grant_to(cloud, &principal, guid)?;
        let token = owner::token_of(cloud, principal, "https://vault.azure.net")?;
        let may = MAY.iter().find(|(name, _)| *name == role).map_or(&[][..], |(_, may)| *may);
        let may_release = role == "Key Vault Crypto Service Release User";
        let ask = |operation: &str, body: &Value| {
            let url = format!("{VAULT}/keys/{name}/{version}/{operation}?api-version=7.4");
            owner::ask(cloud, &token, "POST", &url, body)
        };
        for operation in ["decrypt", "unwrapkey"] {
            for alg in ["RSA-OAEP-256", "RSA-OAEP", "RSA1_5", "ECDH-ES+A256KW", "A256KW"] {
                let (status, told) = ask(operation, &json!({"alg": alg, "value": ciphertext}))?;
                let what = format!("{role}, {operation} {alg}: {status}: {told}");
                ensure!(status == 403 && told.get("value").is_none(), "{what}");
                let inner = told.pointer("/error/innererror/code").and_then(Value::as_str);
                let expected = if may.contains(&operation) {
                    "KeyOperationForbidden"
                } else {
                    "ForbiddenByRbac"
                };
                ensure!(inner == Some(expected), "{what}");
            }
        }
        for enc in ["CKM_RSA_AES_KEY_WRAP", "RSA_AES_KEY_WRAP_256", "RSA_AES_KEY_WRAP_384"] {
            let (status, told) = ask("release", &json!({"target": foreign, "enc": enc}))?;
            let what = format!("{role}, release: {status}: {told}");
            ensure!(status == 403 && told.get("value").is_none(), "{what}");
            let message = told.pointer("/error/message").and_then(Value::as_str).unwrap_or("");
            let expected = if may_release || may.contains(&"release") {
                "attestation statement cannot be verified"
            } else {
                "Caller is not authorized"
            };
            ensure!(message.contains(expected), "{what}");
        }
    }
    // Who may change the key cannot make it open anything.
    for operations in [json!(["decrypt"]), json!(["sign", "unwrapKey"])] {
        let body = json!({"key_ops": operations});
        let (status, told) = attacker.ask_vault("PATCH", &format!("keys/{name}"), &body)?;
        ensure!(status == 400, "{status}: {told}");
    }
    let shown = attacker.vault("GET", &format!("keys/{name}/{version}"), &Value::Null)?;
    ensure!(shown.pointer("/key/d").is_none(), "the private half is not shown");
    let policy = json!({"release_policy": {"data": permit_all_policy()}});
    let (status, told) = attacker.ask_vault("PATCH", &format!("keys/{name}"), &policy)?;
    ensure!(status == 400 && told.to_string().contains("immutable"), "{status}: {told}");
    Ok(())
}

/// The provider is deleted and made again under its name: same address, same signing keys, a policy that permits all.
#[test]
fn a_token_of_a_provider_made_anew_releases_nothing() -> anyhow::Result<()> {
    let deployment = Deployment::deployed()?;
    let cloud = deployment.cloud();
    let attacker = Attacker::new(cloud)?;
    let (name, version) = attacker.master_key()?;
    let host_data = server_host_data(&deployment)?;
    let provider =
        format!("{GROUP}/providers/Microsoft.Attestation/attestationProviders/{PROVIDER}");
    attacker.arm("DELETE", &provider, "2021-06-01", &Value::Null)?;
    let body = json!({"location": "westeurope", "properties": {}});
    attacker.arm("PUT", &provider, "2021-06-01", &body)?;
    let token = attest(cloud, PROVIDER, &host_data)?.context("its policy permits everything")?;
    let body = json!({"target": token, "enc": "RSA_AES_KEY_WRAP_256"});
    let path = format!("keys/{name}/{version}/release");
    let (status, told) = attacker.ask_vault("POST", &path, &body)?;
    ensure!(status == 403, "{status}: {told}");
    ensure!(told.to_string().contains("does not meet key release policy"), "{told}");
    Ok(())
}

#[test]
fn a_version_that_nobody_asked_for_is_drift_and_is_disabled() -> anyhow::Result<()> {
    let deployment = deployed_with_a_secret()?;
    let attacker = Attacker::new(deployment.cloud())?;
    let (name, ours) = attacker.master_key()?;
    let policy = release_policy(&attacker, &name)?;
    // One made, one imported: both become what a call without a version means.
    let made = json!({"kty": "EC-HSM", "crv": "P-384", "key_ops": ["sign", "verify"],
        "attributes": {"exportable": true}, "release_policy": policy});
    attacker.vault("POST", &format!("keys/{name}/create"), &made)?;
    attacker.vault("PUT", &format!("keys/{name}"), &import(&policy)?)?;
    ensure!(attacker.master_key()?.1 != ours, "another version is the current one");

    let told = deployment.provisioner("plan", &[])?.with(2)?.text();
    ensure!(told.matches("nothing of ours names this version").count() == 2, "{told}");
    ensure!(deployment.provisioner("verify", &[])?.code == Some(2), "a fault for verify");
    // A server that starts meanwhile has the version that a signer named.
    attacker.restart()?;
    attacker.serves()?;
    ensure!(deployment.demo(&[])?.well()?.stdout.trim_end() == SECRET);
    deployment.deploy()?.well()?;
    for version in attacker.list(&format!("keys/{name}/versions"))? {
        let id = version.get("kid").and_then(Value::as_str).unwrap_or_default();
        let enabled = version.pointer("/attributes/enabled").and_then(Value::as_bool);
        ensure!(enabled == Some(id.ends_with(&ours)), "{version}");
    }
    deployment.provisioner("plan", &[])?.well()?;
    ensure!(deployment.demo(&[])?.well()?.stdout.trim_end() == SECRET);

    // The pinned version disabled by hand: drift too.
    let disabled = json!({"attributes": {"enabled": false}});
    attacker.vault("PATCH", &format!("keys/{name}/{ours}"), &disabled)?;
    let told = deployment.provisioner("plan", &[])?.with(2)?.text();
    ensure!(told.contains("the pinned version is disabled"), "{told}");
    deployment.deploy()?.well()?;
    deployment.provisioner("plan", &[])?.well().map(drop)
}

/// Deleted, purged, and a key of the attacker's own under its name, with the same policy.
#[test]
fn an_imported_key_in_the_place_of_ours_is_refused() -> anyhow::Result<()> {
    let deployment = deployed_with_a_secret()?;
    let attacker = Attacker::new(deployment.cloud())?;
    let (name, ours) = attacker.master_key()?;
    let policy = release_policy(&attacker, &name)?;
    gone(&attacker, &name)?;
    refused(&deployment, &["missing", "restore it from a backup"])?;
    attacker.vault("PUT", &format!("keys/{name}"), &import(&policy)?)?;
    ensure!(attacker.master_key()? != (name, ours), "another key under the name");
    refused(&deployment, &["is missing", "restore it from a backup"])?;
    // The server that runs needs it no more; one that starts does not take the other.
    ensure!(deployment.demo(&[])?.well()?.stdout.trim_end() == SECRET);
    attacker.restart()?;
    attacker.never_serves()?;
    ensure!(deployment.demo(&[])?.code != Some(0), "an agent gets nothing");
    // Everything wrapped anew to it by somebody who knows its private half, and the birth bundle: still nothing.
    let birth = attacker.history("vouchsafe-dev-bundle")?.first().cloned().context("bundle")?;
    attacker.set_secret("vouchsafe-dev-bundle", &birth)?;
    attacker.restart()?;
    attacker.never_serves()?;
    ensure!(deployment.deploy()?.code != Some(0), "nothing is confirmed");
    attacker.never_serves()
}

/// The name is known before the key is made: somebody imports one first.
#[test]
fn a_key_that_was_there_before_ours_is_not_adopted() -> anyhow::Result<()> {
    let deployment = Deployment::new()?;
    let refusal = json!([{"family": "keyvault", "method": "POST", "path": "/keys/*/create",
        "nth": 1, "count": 0, "action": {"kind": "status", "status": 400}}]);
    deployment.cloud().control(Verb::Put, "/faults", &refusal)?;
    // Also what a permanent error says: what was being done, the call, Azure's code and text, and what to try.
    let told = deployment.deploy()?.with(1)?.text();
    for part in [
        "making the master key dev-",
        "400",
        "InternalServerError",
        "the fault script failed this call",
    ] {
        ensure!(told.contains(part), "no `{part}` in: {told}");
    }
    ensure!(told.contains("try"), "what to try: {told}");
    deployment.cloud().control(Verb::Put, "/faults", &json!([]))?;
    let log = deployment.cloud().log()?;
    let (_, rest) = log.split_once("POST /keys/").context("the call")?;
    let (name, _) = rest.split_once('/').context("the name")?;
    let attacker = Attacker::new(deployment.cloud())?;
    let wanted = json!({"data": permit_all_policy(), "immutable": true});
    attacker.vault("PUT", &format!("keys/{name}"), &import(&wanted)?)?;
    refused(&deployment, &["nothing shows that we made it", "--adopt-master-key"])?;
    // Even said to be ours it is not taken: its policy is another.
    let (_, version) = attacker.master_key()?;
    let told = deployment.provisioner("deploy", &["--yes", "--adopt-master-key", &version])?;
    ensure!(told.text().contains("has another release policy, and it is immutable"), "{told:?}");
    ensure!(attacker.group().is_err(), "no server was started");
    // Without it the deployment is finished.
    gone(&attacker, name)?;
    deployment.deploy()?.well()?;
    deployment.provisioner("verify", &[])?.well().map(drop)
}

/// What it shows, what is changed in the state, and what the plan says.
type Case = (&'static str, Vec<(String, Value)>, &'static str);

/// What no client of the service can do, done to its state: the pinned version itself is another.
#[test]
fn a_pinned_version_that_differs_is_refused_with_its_remedy() -> anyhow::Result<()> {
    let mut deployment = deployed_with_a_secret()?;
    let (name, version) = Attacker::new(deployment.cloud())?.master_key()?;
    let file = deployment.cloud().state().join("keyvault.json");
    let sound = std::fs::read(&file)?;
    let other = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING)?;
    let (x, y) = other.public_key().as_ref().get(1..).context("a point")?.split_at(48);
    let rsa = json!({"rsa": {"n": "c1".repeat(256), "e": "010001"}});
    let key = format!("/vaults/vouchsafe-dev/keys/{}", name.to_uppercase());
    let at = format!("{key}/versions/{version}");
    let cases: [Case; 4] = [
        (
            "another public half",
            vec![
                (format!("{at}/public/ec/x"), json!(hex(x))),
                (format!("{at}/public/ec/y"), json!(hex(y))),
            ],
            "has the public half",
        ),
        (
            "another type",
            vec![(format!("{at}/kty"), json!("RSA-HSM")), (format!("{at}/public"), rsa)],
            "is of type RSA-HSM",
        ),
        (
            "another policy",
            vec![(format!("{key}/release_policy/data"), json!(permit_all_policy()))],
            "has another release policy, and it is immutable",
        ),
        (
            "a policy that can be changed",
            vec![(format!("{key}/release_policy/immutable"), json!(false))],
            "its release policy is changeable",
        ),
    ];
    for (what, changes, reason) in cases {
        let mut state: Value = serde_json::from_slice(&sound)?;
        for (pointer, value) in changes {
            *state.pointer_mut(&pointer).with_context(|| pointer.clone())? = value;
        }
        let text = serde_json::to_vec(&state)?;
        deployment.cloud_mut().exchange(|| Ok(std::fs::write(&file, &text)?))?;
        let attacker = Attacker::new(deployment.cloud())?;
        refused(&deployment, &[reason]).context(what)?;
        attacker.restart()?;
        attacker.never_serves().context(what)?;
    }
    deployment.cloud_mut().exchange(|| Ok(std::fs::write(&file, &sound)?))?;
    let attacker = Attacker::new(deployment.cloud())?;
    attacker.serves()?;
    deployment.provisioner("plan", &[])?.well()?;
    ensure!(deployment.demo(&[])?.well()?.stdout.trim_end() == SECRET);
    Ok(())
}

/// By a signer, since nobody else can: the default policy permits everything.
#[test]
fn a_reset_of_the_attestation_policy_is_drift_and_is_repaired() -> anyhow::Result<()> {
    let deployment = deployed_with_a_secret()?;
    let cloud = deployment.cloud();
    let attacker = Attacker::new(cloud)?;
    let token = owner::token(cloud, "https://attest.azure.net")?;
    let reset = |jws: String| -> anyhow::Result<u16> {
        let client = cloud.client()?;
        let url = format!(
            "https://{PROVIDER}.weu.attest.azure.net/policies/SevSnpVm:reset?api-version=2020-10-01"
        );
        let call =
            client.post(url).bearer_auth(&token).header("content-type", "text/plain").body(jws);
        e2e::cloud::wait_for(async { Ok(call.send().await?.status().as_u16()) })
    };
    ensure!(reset("eyJhbGciOiJub25lIn0..".to_owned())? >= 400, "an administrator cannot");
    deployment.provisioner("plan", &[])?.well()?;
    let status = reset(signed_by(&deployment, "first", b"")?)?;
    ensure!(status == 200, "a signer can: {status}");

    let told = deployment.provisioner("plan", &[])?.with(2)?.text();
    ensure!(told.contains("attestation policy"), "{told}");
    ensure!(deployment.provisioner("verify", &[])?.code == Some(2), "a fault for verify");
    attacker.restart()?;
    attacker.never_serves()?;
    deployment.deploy()?.well()?;
    deployment.provisioner("plan", &[])?.well()?;
    deployment.provisioner("verify", &[])?.well()?;
    ensure!(deployment.demo(&[])?.well()?.stdout.trim_end() == SECRET);
    Ok(())
}

fn deployed_with_a_secret() -> anyhow::Result<Deployment> {
    let deployment = Deployment::deployed()?;
    Vault::new(&deployment.operator()?)?.write("demo/db-password", SECRET)?;
    Ok(deployment)
}

/// `plan` and `deploy` show it with these texts and change nothing.
fn refused(deployment: &Deployment, parts: &[&str]) -> anyhow::Result<()> {
    for told in [deployment.provisioner("plan", &[])?, deployment.deploy()?] {
        ensure!(told.code == Some(3), "{told:?}");
        for part in parts {
            ensure!(told.text().contains(part), "no `{part}` in {}", told.text());
        }
    }
    Ok(())
}

fn gone(attacker: &Attacker<'_>, name: &str) -> anyhow::Result<()> {
    attacker.vault("DELETE", &format!("keys/{name}"), &Value::Null)?;
    // It is being deleted for a while.
    for _ in 0..100 {
        let (status, _) =
            attacker.ask_vault("DELETE", &format!("deletedkeys/{name}"), &Value::Null)?;
        if status == 204 {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    anyhow::bail!("{name} is not purged")
}

fn release_policy(attacker: &Attacker<'_>, name: &str) -> anyhow::Result<Value> {
    let key = attacker.vault("GET", &format!("keys/{name}"), &Value::Null)?;
    key.get("release_policy").cloned().context("a release policy")
}

/// A key whose private half the attacker knows.
fn import(policy: &Value) -> anyhow::Result<Value> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING)?;
    let private: EcPrivateKeyBin<'_> = pair.private_key().as_be_bytes()?;
    let (x, y) = pair.public_key().as_ref().get(1..).context("a point")?.split_at(48);
    Ok(json!({
        "key": {"kty": "EC-HSM", "crv": "P-384", "key_ops": ["sign", "verify"],
            "x": b64url(x), "y": b64url(y), "d": b64url(private.as_ref())},
        "Hsm": true,
        "attributes": {"exportable": true},
        "release_policy": policy,
    }))
}

fn permit_all_policy() -> String {
    let authority = format!("https://{PROVIDER}.weu.attest.azure.net");
    let policy = json!({"version": "1.0.0", "anyOf": [{"authority": authority, "allOf": [
        {"claim": "x-ms-attestation-type", "equals": "sevsnpvm"}]}]});
    b64url(policy.to_string().as_bytes())
}

fn server_host_data(deployment: &Deployment) -> anyhow::Result<String> {
    let lock = std::fs::read_to_string(deployment.state().join("lock.toml"))?;
    let (_, rest) = lock.split_once("host_data = \"").context("host_data")?;
    rest.split_once('"').map(|(hex, _)| hex.to_owned()).context("host_data")
}

/// A token for this machine of a provider that the attacker made.
fn foreign_token(
    attacker: &Attacker<'_>,
    cloud: &Cloud,
    host_data: &str,
) -> anyhow::Result<String> {
    let path = format!("{GROUP}/providers/Microsoft.Attestation/attestationProviders/foreign");
    let body = json!({"location": "westeurope", "properties": {}});
    attacker.arm("PUT", &path, "2021-06-01", &body)?;
    // Ours does not permit a machine with another HOST_DATA.
    ensure!(attest(cloud, PROVIDER, &"11".repeat(32))?.is_none(), "not permitted");
    attest(cloud, "foreign", host_data)?.context("its policy permits everything")
}

/// Asks a provider for a token for a machine with that HOST_DATA and an RSA key of ours; `None` if its policy does not permit.
fn attest(cloud: &Cloud, provider: &str, host_data: &str) -> anyhow::Result<Option<String>> {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048)?;
    let part = |bytes: &[u8]| b64url(bytes);
    let public = pair.public_key();
    let key = json!({"kid": "k", "kty": "RSA", "key_ops": ["encrypt"],
        "n": part(public.modulus().big_endian_without_leading_zero()),
        "e": part(public.exponent().big_endian_without_leading_zero())});
    let runtime = json!({"keys": [key]}).to_string();
    let device = cloud.control(Verb::Post, "/enclaves", &json!({"host_data": host_data}))?;
    let folder = device.get("directory").and_then(Value::as_str).context("a device")?;
    let folder = Path::new(folder);
    let mut socket = UnixStream::connect(folder.join("insecure-snp-device"))?;
    let mut report_data = digest(&SHA256, runtime.as_bytes()).as_ref().to_vec();
    report_data.resize(64, 0);
    socket.write_all(&report_data)?;
    let mut report = Vec::new();
    socket.read_to_end(&mut report)?;
    let decoded = |name: &str| -> anyhow::Result<Vec<u8>> {
        Ok(STANDARD.decode(std::fs::read_to_string(folder.join(name))?.trim())?)
    };
    let certificates: Value = serde_json::from_slice(&decoded("host-amd-cert-base64")?)?;
    let pem = |name: &str| certificates.get(name).and_then(Value::as_str).unwrap_or_default();
    let chain = format!("{}{}", pem("vcekCert"), pem("certificateChain"));
    let endorsements = json!({"Uvm": [b64url(&decoded("reference-info-base64")?)]});
    let evidence = json!({"SnpReport": b64url(&report), "VcekCertChain": b64url(chain.as_bytes()),
        "Endorsements": b64url(endorsements.to_string().as_bytes())});
    let body = json!({"report": b64url(evidence.to_string().as_bytes()),
        "runtimeData": {"data": b64url(runtime.as_bytes()), "dataType": "JSON"}});
    let url =
        format!("https://{provider}.weu.attest.azure.net/attest/SevSnpVm?api-version=2022-08-01");
    let (_, told) = owner::ask(cloud, "none is needed", "POST", &url, &body)?;
    Ok(told.get("token").and_then(Value::as_str).map(str::to_owned))
}

/// A JWS by a signer of the manifest, as an isolated provider wants it.
fn signed_by(deployment: &Deployment, signer: &str, payload: &[u8]) -> anyhow::Result<String> {
    let folder = deployment.folder().join("manifests/insecure-signers");
    let der = |file: String| -> anyhow::Result<Vec<u8>> {
        let text = std::fs::read_to_string(folder.join(file))?;
        let lines = text.lines().skip_while(|line| !line.starts_with("-----BEGIN")).skip(1);
        let body: String = lines.take_while(|line| !line.starts_with("-----END")).collect();
        Ok(STANDARD.decode(body)?)
    };
    let certificate = STANDARD.encode(der(format!("{signer}.pem"))?);
    let header = json!({"alg": "RS256", "x5c": [certificate]}).to_string();
    let signed = format!("{}.{}", b64url(header.as_bytes()), b64url(payload));
    let pair = RsaKeyPair::from_pkcs8(&der(format!("{signer}.key"))?)?;
    let mut signature = vec![0; pair.public_modulus_len()];
    let rng = aws_lc_rs::rand::SystemRandom::new();
    pair.sign(&RSA_PKCS1_SHA256, &rng, signed.as_bytes(), &mut signature)?;
    Ok(format!("{signed}.{}", b64url(&signature)))
}

fn b64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
