//! What an operator of a deployment does now and then, and what two of them do at once.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use e2e::attacker::{Attacker, GROUP};
use e2e::cloud::{ServicePrincipal, Verb, wait_for};
use e2e::deployment::{Deployment, Ended};
use e2e::owner;
use e2e::vault::Vault;
use serde_json::{Value, json};

/// The file that `[tls] pkcs12` names: made by openssl, with a certificate authority of its own.
#[test]
fn peer_a_certificate_that_is_brought_as_pkcs12_is_served() -> anyhow::Result<()> {
    let deployment = Deployment::new()?;
    let folder = deployment.folder().join("manifests");
    let openssl = |args: &str| -> anyhow::Result<()> {
        let made = Command::new("openssl")
            .args(args.split(' '))
            .current_dir(&folder)
            .stdin(Stdio::null())
            .output()
            .context("openssl is missing; run `cargo xtask setup`")?;
        let told = String::from_utf8_lossy(&made.stderr);
        ensure!(made.status.success(), "openssl {args}: {told}");
        Ok(())
    };
    let at = deployment.cloud().address();
    let names = format!("subjectAltName=DNS:localhost,IP:{at}");
    openssl(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj /CN=brought-ca -keyout ca.key -out ca.pem",
    )?;
    std::fs::write(folder.join("leaf.ext"), &names)?;
    let bring = |days: u32| -> anyhow::Result<Vec<u8>> {
        openssl("req -newkey rsa:2048 -nodes -subj /CN=brought -keyout leaf.key -out leaf.csr")?;
        openssl(&format!(
            "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days {days} -extfile leaf.ext -out leaf.pem"
        ))?;
        openssl(
            "pkcs12 -export -inkey leaf.key -in leaf.pem -certfile ca.pem -passout pass:brought-password -out tls.p12",
        )?;
        openssl("x509 -in leaf.pem -outform DER -out leaf.der")?;
        for file in ["leaf.key", "leaf.pem", "leaf.csr"] {
            std::fs::remove_file(folder.join(file))?;
        }
        Ok(std::fs::read(folder.join("leaf.der"))?)
    };
    let leaf = bring(10)?;
    deployment.change("source = \"provisioner\"", "source = \"pkcs12\"\npkcs12 = \"tls.p12\"")?;

    let with = |password: &str, args: &[&str]| -> anyhow::Result<Ended> {
        let mut command = deployment.command("vouchsafe-provisioner")?;
        let (verb, rest) = args.split_first().context("a verb")?;
        command.arg(verb).arg(deployment.manifest()).args(rest);
        Ok(command.env("VOUCHSAFE_PKCS12_PASSWORD", password).output()?.into())
    };
    let told = with("another password", &["deploy", "--yes"])?.with(1)?.text();
    ensure!(told.contains("VOUCHSAFE_PKCS12_PASSWORD"), "{told}");
    with("brought-password", &["deploy", "--yes"])?.well()?;
    ensure!(served(at)? == leaf, "the served certificate is the one that was brought");
    // Whoever believes its authority needs nothing of ours to reach the server.
    let authority = reqwest::Certificate::from_pem(&std::fs::read(folder.join("ca.pem"))?)?;
    let client = reqwest::Client::builder().tls_certs_only([authority]).no_proxy().build()?;
    let url = format!("https://{at}:8200/v1/sys/health");
    let status = wait_for(async { Ok(client.get(url).send().await?.status().as_u16()) })?;
    ensure!(status == 200, "{status}");
    deployment.provisioner("verify", &[])?.well()?;
    // It expires soon, which is told; nothing but another file changes it.
    let told = with("brought-password", &["plan"])?.well()?.text();
    ensure!(told.contains("bring another in the file"), "{told}");
    let next = bring(80)?;
    let told = with("brought-password", &["plan"])?.with(2)?.text();
    ensure!(told.contains("the file holds another certificate"), "{told}");
    with("brought-password", &["deploy", "--yes"])?.well()?;
    // Later there is no need for the file or its password.
    std::fs::remove_file(folder.join("tls.p12"))?;
    deployment.provisioner("plan", &[])?.well()?;
    deployment.provisioner("stop", &[])?.well()?;
    deployment.deploy()?.well()?;
    ensure!(served(at)? == next, "after the next start");
    Vault::new(&deployment.operator()?)?.write("demo/db-password", "over it")
}

#[test]
fn a_purge_protected_key_is_kept_until_the_date_that_is_printed() -> anyhow::Result<()> {
    let deployment = Deployment::new()?;
    deployment.change("purge_protection = false", "purge_protection = true")?;
    deployment.deploy()?.well()?;
    Vault::new(&deployment.operator()?)?.write("demo/db-password", "gone with the store")?;
    let (name, version) = Attacker::new(deployment.cloud())?.master_key()?;

    // Seven days from now at the earliest; nothing was touched.
    let told = deployment.provisioner("destroy", &["--yes", "dev", "--purge-master-key"])?;
    let told = told.with(3)?.text();
    let days = |days: u32| date(&format!("{days} days"));
    let (today, tomorrow) = (days(7)?, days(8)?);
    ensure!(told.contains("keeps the master key until"), "{told}");
    ensure!(told.contains(&today) || told.contains(&tomorrow), "{today}: {told}");
    deployment.provisioner("plan", &[])?.well()?;
    ensure!(deployment.demo(&[])?.well()?.stdout.trim_end() == "gone with the store");

    // Without a terminal it wants the deployment's name, and no other.
    for args in [&[][..], &["--yes", "prod"], &["--yes", ""]] {
        let told = deployment.provisioner("destroy", args)?.with(3)?.text();
        ensure!(told.contains("--yes dev"), "{told}");
    }
    deployment.provisioner("plan", &[])?.well()?;
    let told = deployment.provisioner("destroy", &["--yes", "dev"])?.well()?.text();
    ensure!(told.contains("soft-deleted"), "{told}");
    // Destroyed, it still says until when.
    let told = deployment.provisioner("destroy", &["--yes", "dev", "--purge-master-key"])?;
    let told = told.with(3)?.text();
    ensure!(told.contains(&today) || told.contains(&tomorrow), "{today}: {told}");

    // Vault and key come back by name, and it says so.
    let told = deployment.deploy()?.well()?.text();
    ensure!(told.contains("recover key vault"), "{told}");
    let attacker = Attacker::new(deployment.cloud())?;
    ensure!(attacker.master_key()? == (name, version), "the same key");
    deployment.provisioner("verify", &[])?.well()?;
    ensure!(deployment.demo(&[])?.code != Some(0), "the store is a new one");
    Ok(())
}

/// At a terminal it asks for the name; a stock Python plays the terminal.
#[test]
fn peer_destroy_asks_for_the_name_at_a_terminal() -> anyhow::Result<()> {
    let deployment = Deployment::deployed()?;
    let at_terminal = |answer: &str| -> anyhow::Result<Ended> {
        let mut command = e2e::peer::script("terminal.py")?;
        command.arg(answer).arg(e2e::programs::find("vouchsafe-provisioner")?);
        command.args(["destroy".as_ref(), deployment.manifest().as_os_str()]);
        Ok(command.current_dir(deployment.folder()).output()?.into())
    };
    let told = at_terminal("y")?;
    ensure!(told.code == Some(3), "{told:?}");
    ensure!(told.text().contains("The deployment's name, to go on:"), "{told:?}");
    deployment.provisioner("plan", &[])?.well()?;
    let told = at_terminal("dev")?;
    ensure!(told.code == Some(0), "{told:?}");
    ensure!(told.text().contains("dev is destroyed"), "{told:?}");
    Ok(())
}

/// Two machines: the same manifest, and a folder of its own each.
#[test]
fn of_two_deploys_at_once_one_wins_and_the_other_says_so() -> anyhow::Result<()> {
    let deployment = Deployment::new()?;
    // The first is held up just when it makes the key.
    let stall = json!([{"family": "keyvault", "method": "POST", "path": "/keys/*/create",
        "action": {"kind": "stall", "ms": 6000}}]);
    deployment.cloud().control(Verb::Put, "/faults", &stall)?;
    let mut first = deployment.command("vouchsafe-provisioner")?;
    first.arg("deploy").arg(deployment.manifest()).arg("--yes");
    let first = first.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let until = Instant::now() + Duration::from_secs(30);
    while !deployment.cloud().log()?.contains("/vouchsafe/deploy/lease") {
        ensure!(Instant::now() < until, "the first takes no lease");
        std::thread::sleep(Duration::from_millis(20));
    }
    // On the same machine it is a lock, on another the lease.
    let here = deployment.deploy()?;
    ensure!(here.code == Some(4), "{here:?}");
    ensure!(here.text().contains("another deployment"), "{here:?}");
    let there = elsewhere(&deployment, &["deploy", "--yes"])?;
    ensure!(there.code == Some(4), "{there:?}");
    ensure!(there.text().contains("another deployment is running"), "{there:?}");
    let first: Ended = first.wait_with_output()?.into();
    first.well()?;
    let attacker = Attacker::new(deployment.cloud())?;
    let (name, _) = attacker.master_key()?;
    ensure!(attacker.list(&format!("keys/{name}/versions"))?.len() == 1, "one master key");
    // The other finds it done: it has no lock yet, and recovers it from verified evidence.
    elsewhere(&deployment, &["deploy", "--yes"])?.well()?;
    elsewhere(&deployment, &["plan"])?.well()?;
    deployment.provisioner("plan", &[])?.well().map(drop)
}

/// Whoever holds the lease may die; nobody else deploys, stops or destroys until it has run out.
#[test]
fn a_dead_holder_of_the_lease_holds_others_up_for_a_minute_at_most() -> anyhow::Result<()> {
    let mut deployment = Deployment::deployed()?;
    deployment.change("revision = 1", "revision = 2")?;
    // It dies when the new manifest was stored: in the middle, with the lease.
    let provisioner = e2e::programs::find("vouchsafe-provisioner")?;
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "read go; exec \"$0\" deploy \"$1\" --yes"]);
    shell.arg(provisioner).arg(deployment.manifest()).current_dir(deployment.folder());
    let mut dying =
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let fault = json!([{"family": "blob", "method": "PUT", "path": "*/manifest/current",
        "action": {"kind": "kill-client", "pid": dying.id()}}]);
    deployment.cloud().control(Verb::Put, "/faults", &fault)?;
    std::io::Write::write_all(&mut dying.stdin.take().context("stdin")?, b"go\n")?;
    ensure!(dying.wait()?.code().is_none(), "it was killed");
    deployment.cloud().control(Verb::Put, "/faults", &json!([]))?;

    for verb in [&["deploy", "--yes"][..], &["stop"], &["destroy", "--yes", "dev"]] {
        let told = elsewhere(&deployment, verb)?;
        ensure!(told.code == Some(4), "{verb:?}: {told:?}");
        ensure!(told.text().contains("another deployment is running"), "{verb:?}: {told:?}");
    }
    ensure!(e2e::attacker::health(deployment.cloud().address()) == Some(200), "it serves on");
    // A minute later.
    expire_leases(&mut deployment)?;
    Attacker::new(deployment.cloud())?.serves()?;
    elsewhere(&deployment, &["deploy", "--yes"])?.well()?;
    elsewhere(&deployment, &["plan"])?.well()?;
    // The machine that died finds it done.
    deployment.deploy()?.well()?;
    deployment.provisioner("plan", &[])?.well()?;
    elsewhere(&deployment, &["stop"])?.well()?;
    ensure!(e2e::attacker::health(deployment.cloud().address()).is_none(), "stopped");
    Ok(())
}

/// A script has nobody to answer for it.
#[test]
fn without_a_terminal_only_what_destroys_needs_a_word() -> anyhow::Result<()> {
    let deployment = Deployment::new()?;
    let told = deployment.provisioner("deploy", &["--plan-only"])?.well()?;
    ensure!(told.text().contains("to create"), "{told:?}");
    ensure!(Attacker::new(deployment.cloud())?.group().is_err(), "only shown");
    deployment.provisioner("deploy", &[])?.well()?;

    // Another size needs another container group, which holds nothing.
    deployment.change("cpu = 1", "cpu = 2")?;
    deployment.change("revision = 1", "revision = 2")?;
    let told = deployment.provisioner("deploy", &[])?.well()?;
    ensure!(told.text().contains("replace container group"), "{told:?}");
    // An attestation provider that somebody made anew is not isolated, which cannot be changed: ours takes its place.
    let attacker = Attacker::new(deployment.cloud())?;
    let provider =
        format!("{GROUP}/providers/Microsoft.Attestation/attestationProviders/vouchsafedev");
    attacker.arm("DELETE", &provider, "2021-06-01", &Value::Null)?;
    let body = json!({"location": "westeurope", "properties": {}});
    attacker.arm("PUT", &provider, "2021-06-01", &body)?;
    let told = deployment.provisioner("deploy", &[])?.with(3)?;
    ensure!(told.text().contains("would be replaced"), "{told:?}");
    ensure!(told.text().contains("--yes"), "{told:?}");
    // A line of JSON for each thing that a program may want to know.
    let told = deployment.provisioner("plan", &["--json"])?.with(2)?;
    let lines: Vec<Value> =
        told.stdout.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(told.stdout.contains("\"replace\""), "{told:?}");
    ensure!(lines.iter().all(|line| line.get("version") == Some(&json!(1))), "{told:?}");
    let told = deployment.provisioner("deploy", &["--yes", "--json"])?.well()?;
    let last: Value = serde_json::from_str(told.stdout.lines().last().context("a line")?)?;
    ensure!(last.get("type") == Some(&json!("deployed")), "{told:?}");
    ensure!(last.get("address").is_some_and(Value::is_string), "{told:?}");
    deployment.provisioner("plan", &[])?.well()?;
    attacker.restart()?;
    attacker.serves()
}

/// What an owner deletes by hand comes back where Azure keeps it, and is mourned where it does not.
#[test]
fn what_was_deleted_is_recovered_or_refused_with_its_remedy() -> anyhow::Result<()> {
    let deployment = Deployment::deployed()?;
    let vault = Vault::new(&deployment.operator()?)?;
    vault.write("demo/db-password", "kept")?;
    let attacker = Attacker::new(deployment.cloud())?;
    let key = attacker.master_key()?;

    attacker.vault("DELETE", &format!("keys/{}", key.0), &Value::Null)?;
    // It is being deleted first, which looks as if it were gone for good.
    let until = Instant::now() + Duration::from_secs(20);
    while attacker.names("deletedkeys")?.is_empty() {
        ensure!(Instant::now() < until, "the key is not deleted");
        std::thread::sleep(Duration::from_millis(100));
    }
    let told = deployment.provisioner("plan", &[])?.with(2)?.text();
    ensure!(told.contains("is soft-deleted, with its versions"), "{told}");
    let told = deployment.deploy()?.well()?.text();
    ensure!(told.contains("recover master key"), "{told}");
    ensure!(attacker.master_key()? == key, "the same key");

    let path = format!("{GROUP}/providers/Microsoft.KeyVault/vaults/vouchsafe-dev");
    attacker.arm("DELETE", &path, "2023-07-01", &Value::Null)?;
    let told = deployment.provisioner("plan", &[])?.with(2)?.text();
    ensure!(told.contains("key vault"), "{told}");
    let told = deployment.deploy()?.well()?.text();
    ensure!(told.contains("recover key vault"), "{told}");
    let attacker = Attacker::new(deployment.cloud())?;
    ensure!(attacker.master_key()? == key, "the same key");
    deployment.provisioner("plan", &[])?.well()?;
    attacker.restart()?;
    attacker.serves()?;
    ensure!(deployment.demo(&[])?.well()?.stdout.trim_end() == "kept");

    // The store has no such keeper.
    deployment.provisioner("stop", &[])?.well()?;
    for blob in attacker.blobs()?.iter().filter(|name| name.starts_with("log/")) {
        attacker.blob("DELETE", &format!("/{blob}"), "")?;
    }
    for verb in ["plan", "deploy"] {
        let told = deployment.provisioner(verb, &[])?.with(3)?.text();
        ensure!(told.contains("is not in its container"), "{told}");
        ensure!(told.contains("restore the container's objects from a backup"), "{told}");
        ensure!(told.contains("--begin-new-store, which loses every secret"), "{told}");
    }
    ensure!(attacker.group().is_err(), "nothing was started");
    let begun = deployment.provisioner("deploy", &["--yes", "--begin-new-store"])?.well()?.text();
    ensure!(begun.contains("every secret has to be written again"), "{begun}");
    deployment.provisioner("verify", &[])?.well()?;
    ensure!(deployment.demo(&[])?.code != Some(0), "an empty store");
    Vault::new(&deployment.operator()?)?.write("demo/db-password", "written again")?;
    ensure!(deployment.demo(&[])?.well()?.stdout.trim_end() == "written again");
    Ok(())
}

/// A build machine with a federated token, and whoever runs with the server's identity; `sp` is what all other tests use.
#[test]
fn it_signs_in_as_it_is_told() -> anyhow::Result<()> {
    let deployment = Deployment::new()?;
    let cloud = deployment.cloud();
    let pair = RsaKeyPair::generate(KeySize::Rsa2048)?;
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der()?;
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        STANDARD.encode(public.as_ref())
    );
    let federated = json!([{"issuer": "https://builds.example", "subject": "repo:main",
        "audience": "api://AzureADTokenExchange", "public_key": pem}]);
    let wanted = json!({"name": "builds", "federated": federated});
    let builds = cloud.control(Verb::Post, "/principals", &wanted)?;
    let builds: ServicePrincipal = serde_json::from_value(builds)?;
    owner::grant_to(cloud, &builds, "8e3af657-a8ff-443c-a75c-2fe8c4bcb635")?;
    let token = |subject: &str| -> anyhow::Result<String> {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let claims = json!({"iss": "https://builds.example", "sub": subject,
            "aud": "api://AzureADTokenExchange", "exp": 4_102_444_800_u32});
        let signed = format!("{}.{}", part(json!({"alg": "RS256"})), part(claims));
        let mut signature = vec![0; pair.public_modulus_len()];
        let rng = aws_lc_rs::rand::SystemRandom::new();
        pair.sign(&RSA_PKCS1_SHA256, &rng, signed.as_bytes(), &mut signature)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    };
    let file = deployment.folder().join("federated-token");
    let by_token = |subject: &str, args: &[&str]| -> anyhow::Result<Ended> {
        std::fs::write(&file, token(subject)?)?;
        let mut command = deployment.command("vouchsafe-provisioner")?;
        let (verb, rest) = args.split_first().context("a verb")?;
        command.arg(verb).arg(deployment.manifest()).args(rest).args(["--auth", "wi"]);
        command.env("AZURE_TENANT_ID", &builds.tenant).env("AZURE_CLIENT_ID", &builds.client_id);
        Ok(command.env("AZURE_FEDERATED_TOKEN_FILE", &file).output()?.into())
    };
    let told = by_token("repo:feature", &["deploy", "--yes"])?.with(1)?.text();
    ensure!(told.contains("No matching federated identity record found"), "{told}");
    ensure!(told.contains("try: "), "{told}");
    by_token("repo:main", &["deploy", "--yes"])?.well()?;
    by_token("repo:main", &["plan"])?.well()?;
    by_token("repo:main", &["verify"])?.well()?;

    // The one identity that runs here is the server's: it may not even look, until somebody lets it.
    let told = deployment.provisioner("plan", &["--auth", "mi"])?.with(1)?.text();
    ensure!(told.contains("AuthorizationFailed"), "{told}");
    let identity = Attacker::new(cloud)?.arm(
        "GET",
        &format!(
            "{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/vouchsafe-dev"
        ),
        "2023-01-31",
        &Value::Null,
    )?;
    let oid = identity.pointer("/properties/principalId").and_then(Value::as_str);
    let server = ServicePrincipal { oid: oid.context("principalId")?.to_owned(), ..builds.clone() };
    owner::grant_to(cloud, &server, "8e3af657-a8ff-443c-a75c-2fe8c4bcb635")?;
    let told = deployment.provisioner("plan", &["--auth", "mi"])?.with(2)?.text();
    ensure!(told.contains("for the deployer"), "{told}");

    // Nobody is signed in at the command line here.
    let told = deployment.provisioner("plan", &["--auth", "cli"])?.with(1)?.text();
    ensure!(told.contains("az not found on PATH") || told.contains("az login"), "{told}");
    Ok(())
}

/// What Azure refuses for good is told whole: what was being done, to what, Azure's code and text, and what to try.
#[test]
fn a_permanent_error_names_resource_call_code_message_and_remedy() -> anyhow::Result<()> {
    let deployment = Deployment::new()?;
    let cases: [(&str, &str, &str, &[&str]); 4] = [
        ("arm", "PUT", "*/vaults/vouchsafe-dev", &["key vault", "vouchsafe-dev", "409"]),
        ("maa", "PUT", "/policies/SevSnpVm", &["attestation policy", "409"]),
        ("keyvault", "PUT", "/secrets/vouchsafe-dev-tls", &["vouchsafe-dev-tls", "409"]),
        (
            "arm",
            "PUT",
            "*/containerGroups/vouchsafe-dev",
            &["container group", "vouchsafe-dev", "409"],
        ),
    ];
    for (family, method, path, parts) in cases {
        let fault = json!([{"family": family, "method": method, "path": path, "count": 0,
            "action": {"kind": "status", "status": 409}}]);
        deployment.cloud().control(Verb::Put, "/faults", &fault)?;
        let told = deployment.deploy()?;
        let text = told.text();
        ensure!(told.code == Some(1), "{family} {path}: {told:?}");
        let always = ["InternalServerError", "the fault script failed this call", "try"];
        for part in parts.iter().chain(&always) {
            ensure!(text.contains(part), "{family} {path}: no `{part}` in {text}");
        }
    }
    deployment.cloud().control(Verb::Put, "/faults", &json!([]))?;
    deployment.deploy()?.well()?;
    deployment.provisioner("verify", &[])?.well().map(drop)
}

/// The provisioner of another machine, as the same service principal.
fn elsewhere(deployment: &Deployment, args: &[&str]) -> anyhow::Result<Ended> {
    let (verb, rest) = args.split_first().context("a verb")?;
    let mut command = deployment.command("vouchsafe-provisioner")?;
    command.arg(verb).arg(deployment.manifest()).args(rest);
    command.arg("--state").arg(deployment.folder().join("elsewhere"));
    command.arg("--service-principal");
    command.arg(deployment.cloud().state().join("service-principal.json"));
    Ok(command.output()?.into())
}

/// As if a minute had passed: the service keeps of a lease until when it lasts.
fn expire_leases(deployment: &mut Deployment) -> anyhow::Result<()> {
    let folder = deployment.cloud().state().join("blob/vouchsafedev/vouchsafe");
    deployment.cloud_mut().exchange(|| {
        let mut expired = 0;
        for file in std::fs::read_dir(&folder)? {
            expired += usize::from(expire(&file?.path())?);
        }
        ensure!(expired == 1, "{expired} leases");
        Ok(())
    })
}

fn expire(file: &Path) -> anyhow::Result<bool> {
    let bytes = std::fs::read(file)?;
    // A blob's file is a line of JSON and then its bytes.
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return Ok(false) };
    let (head, content) = bytes.split_at(end);
    let mut head: Value = serde_json::from_slice(head)?;
    let Some(expires) = head.pointer_mut("/lease/expires").filter(|at| at.is_string()) else {
        return Ok(false);
    };
    *expires = json!("2020-01-01T00:00:00Z");
    std::fs::write(file, [&serde_json::to_vec(&head)?, content].concat())?;
    Ok(true)
}

/// The certificate that the server shows.
fn served(at: Ipv4Addr) -> anyhow::Result<Vec<u8>> {
    let client = reqwest::Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .tls_info(true)
        .no_proxy()
        .build()?;
    wait_for(async {
        let answer = client.get(format!("https://{at}:8200/v1/sys/health")).send().await?;
        let shown = answer.extensions().get::<reqwest::tls::TlsInfo>().context("no TLS")?;
        Ok(shown.peer_certificate().context("no certificate")?.to_vec())
    })
}

/// A day in the future, as the provisioner prints it.
fn date(from_now: &str) -> anyhow::Result<String> {
    let told = Command::new("date").args(["-u", "-d", from_now, "+%Y-%m-%d"]).output()?;
    Ok(String::from_utf8(told.stdout)?.trim().to_owned())
}
