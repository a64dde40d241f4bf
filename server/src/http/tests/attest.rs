//! One-shot attest and fetch: what is given, and each way of getting nothing.

use forged_root::{Chip, Product, ReportFields, Tcb, amd_crl};
use jiff::SignedDuration;
use protocol::attest::{AttestRequest, Challenge, EphemeralKey, WorkloadEvidence, binding};
use protocol::grant::{EphemeralSecret, Exchange, GrantBody, Sealed};
use serde_json::{Value, json};

use super::world::{DEV, NOW, World, verified_list};

const ATTEST: &str = "/vouchsafe/v1/attest";

async fn world() -> World {
    let world = World::new().await;
    let token = world.operator().await;
    let body = json!({"data": {"value": "hunter2", "note": "kept"}});
    let path = "/v1/secret/data/demo/db-password";
    let (status, _) = world.call("POST", path, Some(&token), Some(body)).await;
    assert_eq!(status, 200);
    world
}

async fn send(world: &World, request: &AttestRequest) -> (u16, Value) {
    world.call("POST", ATTEST, None, Some(serde_json::to_value(request).unwrap())).await
}

fn open(world: &World, key: EphemeralSecret, challenge: Challenge, answer: Value) -> GrantBody {
    let sealed: Sealed = serde_json::from_value(answer).unwrap();
    let identity = world.core.identity.id();
    key.open(Exchange { deployment: "dev", identity, challenge }, &sealed).unwrap()
}

/// Sends evidence with a change; the refusal's code, and the audit log's reason.
async fn refused(change: impl FnOnce(&mut ReportFields)) -> (u16, Value, String) {
    let world = world().await;
    let key = EphemeralSecret::generate().unwrap();
    let request = world.request(world.challenge().await, key.public(), change);
    let (status, answer) = send(&world, &request).await;
    let reason = world.reason(&answer).await;
    (status, answer["errors"].clone(), reason)
}

#[tokio::test]
async fn a_workload_gets_its_secret_and_a_token_that_reads_it() {
    let world = world().await;
    let key = EphemeralSecret::generate().unwrap();
    let challenge = world.challenge().await;
    let request = world.request(challenge, key.public(), |_| {});
    let (status, answer) = send(&world, &request).await;
    assert_eq!(status, 200, "{answer}");
    assert!(!answer.to_string().contains("hunter2"));
    let body = open(&world, key, challenge, answer);
    assert_eq!(body.workload, "demo");
    assert_eq!(body.token.policies, ["workload-demo"]);
    assert_eq!(body.token.lease_duration, 900);
    let secret = &body.secrets["demo/db-password"];
    assert_eq!((secret.field.as_str(), secret.version), ("value", 1));
    assert_eq!(secret.value.expose_secret(), "hunter2");

    let token = body.token.client_token.expose_secret();
    let path = "/v1/secret/data/demo/db-password";
    let (status, answer) = world.call("GET", path, Some(token), None).await;
    assert_eq!((status, &answer["data"]["data"]), (200, &json!({"value": "hunter2"})));

    let audit = world.audit().await;
    let record = audit.iter().find(|record| record["request"]["operation"] == "attest").unwrap();
    assert_eq!(record["outcome"], "granted");
    assert_eq!(record["request"]["caller"], json!({"workload": "demo"}));
    let evidence = &record["request"]["evidence"];
    assert_eq!(evidence["standing"], "verified");
    assert_eq!(evidence["host_data"].as_str().unwrap().len(), 64);
    assert_eq!(evidence["chip_id"].as_str().unwrap().len(), 128);
    assert!(evidence["reported_tcb"].as_str().unwrap().starts_with("milan"));
}

#[tokio::test]
async fn the_vault_shaped_login_gives_the_same_sealed_answer() {
    let world = world().await;
    let key = EphemeralSecret::generate().unwrap();
    let (_, answer) = world.call("POST", "/v1/auth/attest/challenge", None, None).await;
    let challenge = serde_json::from_value(answer["data"]["challenge"].clone()).unwrap();
    let request = world.request(challenge, key.public(), |_| {});
    let body = Some(serde_json::to_value(&request).unwrap());
    let (status, answer) = world.call("POST", "/v1/auth/attest/login", None, body).await;
    assert_eq!((status, &answer["auth"]), (200, &Value::Null));
    let body = open(&world, key, challenge, answer["data"].clone());
    assert_eq!(body.secrets["demo/db-password"].value.expose_secret(), "hunter2");
}

#[tokio::test]
async fn another_host_data_is_refused() {
    let (status, errors, reason) = refused(|fields| fields.host_data = [7; 32]).await;
    assert_eq!((status, errors), (403, json!(["rejected"])));
    assert!(reason.contains("host_data: expected c09492"), "{reason}");
}

#[tokio::test]
async fn the_debug_bit_is_refused() {
    let (status, errors, reason) = refused(|fields| fields.policy |= 1 << 19).await;
    assert_eq!((status, errors), (403, json!(["rejected"])));
    assert!(reason.contains("(debug)"), "{reason}");
}

#[tokio::test]
async fn an_old_tcb_is_refused() {
    let world = world().await;
    let key = EphemeralSecret::generate().unwrap();
    let tcb = Tcb { microcode: 1, ..Product::Milan.tcb() };
    let chip = Chip::new(Product::Milan, "old", tcb);
    let request = world.request_by(&chip, world.challenge().await, key.public(), |_| {});
    let (status, answer) = send(&world, &request).await;
    assert_eq!((status, &answer["errors"]), (403, &json!(["rejected"])));
    let reason = world.reason(&answer).await;
    assert!(reason.contains("(tcb floor)"), "{reason}");
}

#[tokio::test]
async fn a_challenge_is_used_up_by_any_attempt() {
    let world = world().await;
    let key = EphemeralSecret::generate().unwrap();
    let request = world.request(world.challenge().await, key.public(), |_| {});
    assert_eq!(send(&world, &request).await.0, 200);
    let (status, answer) = send(&world, &request).await;
    assert_eq!((status, &answer["errors"]), (403, &json!(["rejected"])));
    assert!(world.reason(&answer).await.contains("used before"));

    let challenge = world.challenge().await;
    let bad = world.request(challenge, key.public(), |fields| fields.host_data = [7; 32]);
    assert_eq!(send(&world, &bad).await.0, 403);
    let good = world.request(challenge, key.public(), |_| {});
    assert_eq!(send(&world, &good).await.0, 403);
}

#[tokio::test]
async fn a_challenge_of_another_server_is_refused() {
    let (world, other) = (world().await, world().await);
    let key = EphemeralSecret::generate().unwrap();
    let request = world.request(other.challenge().await, key.public(), |_| {});
    assert_eq!(send(&world, &request).await.0, 403);
}

#[tokio::test]
async fn stolen_evidence_with_another_key_is_refused() {
    let world = world().await;
    let (victim, thief) =
        (EphemeralSecret::generate().unwrap(), EphemeralSecret::generate().unwrap());
    let mut request = world.request(world.challenge().await, victim.public(), |_| {});
    request.public_key = *thief.public();
    let (status, answer) = send(&world, &request).await;
    assert_eq!((status, &answer["errors"]), (403, &json!(["rejected"])));
    assert!(world.reason(&answer).await.contains("(binding)"));
}

#[tokio::test]
async fn evidence_for_another_deployment_is_refused() {
    let world = world().await;
    let key = EphemeralSecret::generate().unwrap();
    let challenge = world.challenge().await;
    let request = world.request(challenge, key.public(), |fields| {
        fields.report_data = *binding("prod", &challenge, key.public()).as_bytes();
    });
    assert_eq!(send(&world, &request).await.0, 403);
}

#[tokio::test]
async fn a_chain_that_does_not_hold_is_refused() {
    let world = world().await;
    let key = EphemeralSecret::generate().unwrap();
    let mut request = world.request(world.challenge().await, key.public(), |_| {});
    let stranger = Chip::new(Product::Milan, "stranger", Product::Milan.tcb());
    let WorkloadEvidence::Container(evidence) = &mut request.evidence else {
        panic!("a container")
    };
    evidence.certificates = stranger.vcek_pem_chain();
    let (status, answer) = send(&world, &request).await;
    assert_eq!((status, &answer["errors"]), (403, &json!(["rejected"])));
    assert!(world.reason(&answer).await.contains("(report signature)"));
    let audit = world.audit().await;
    let record = audit.last().unwrap();
    assert_eq!(record["reason"]["step"]["step"], "signature");
    assert_eq!(record["request"]["evidence"]["standing"], "claimed");
}

#[tokio::test]
async fn a_secret_of_others_is_denied_and_an_absent_one_is_not_found() {
    let world = world().await;
    for (path, status, code) in [
        ("demo/other", 403, "denied"),
        ("demo/tls-key", 404, "not-found"),
        ("demo//tls-key", 400, "malformed"),
    ] {
        let key = EphemeralSecret::generate().unwrap();
        let mut request = world.request(world.challenge().await, key.public(), |_| {});
        request.secrets = vec![path.to_owned()];
        let (found, answer) = send(&world, &request).await;
        assert_eq!((found, &answer["errors"]), (status, &json!([code])), "{path}");
    }
}

#[tokio::test]
async fn nothing_is_sealed_before_its_record_is_durable() {
    let world = world().await;
    let key = EphemeralSecret::generate().unwrap();
    let request = world.request(world.challenge().await, key.public(), |_| {});
    world.objects.break_writes();
    let (status, answer) = send(&world, &request).await;
    assert_eq!((status, &answer["errors"]), (503, &json!(["unavailable"])));
}

#[tokio::test]
async fn a_malformed_request_says_so_and_repeats_nothing() {
    let world = world().await;
    let key = EphemeralKey([4; 65]);
    let request = world.request(world.challenge().await, &key, |_| {});
    let mut body = serde_json::to_value(&request).unwrap();
    body["more"] = json!("hunter2");
    let (status, answer) = world.call("POST", ATTEST, None, Some(body)).await;
    assert_eq!((status, &answer["errors"]), (400, &json!(["malformed"])));
    // A key that is no point: the evidence binds it, the answer cannot be sealed to it.
    let (status, answer) = send(&world, &request).await;
    assert_eq!((status, &answer["errors"]), (400, &json!(["malformed"])));
}

/// The serial number of Milan's ASK.
const ASK: u64 = 1;

/// What the demo workload gets while Milan's list is this: status, reason, and what the log has about revocation.
async fn with_list(crl: &str, list: Option<Vec<u8>>) -> (u16, String, Value) {
    let world = world().await;
    world.put_in_force(&DEV.replace("crl = \"require\"", &format!("crl = \"{crl}\"")));
    world.core.revocation.forget();
    // A list of another root says nothing about Milan's.
    let (product, list) = match list {
        Some(list) => (evidence::Product::Milan, list),
        None => (evidence::Product::Genoa, amd_crl(Product::Genoa, &[], NOW, NOW + HOUR)),
    };
    world.core.revocation.put(product, verified_list(product, &list)).unwrap();
    let key = EphemeralSecret::generate().unwrap();
    let request = world.request(world.challenge().await, key.public(), |_| {});
    let (status, answer) = send(&world, &request).await;
    let reason = if status == 200 { String::new() } else { world.reason(&answer).await };
    let audit = world.audit().await;
    let record = audit.iter().rfind(|record| record["request"]["operation"] == "attest").unwrap();
    (status, reason, record["request"]["evidence"]["revocation"].clone())
}

const HOUR: SignedDuration = SignedDuration::from_hours(1);

#[tokio::test]
async fn a_revoked_authority_is_refused_whatever_the_manifest_says() {
    for crl in ["require", "if-present"] {
        let list = amd_crl(Product::Milan, &[ASK], NOW - HOUR, NOW + HOUR);
        let (status, reason, _) = with_list(crl, Some(list)).await;
        assert_eq!(status, 403, "{crl}");
        assert!(reason.contains("(revocation)") && reason.contains("revoked"), "{reason}");
    }
}

#[tokio::test]
async fn without_a_list_in_force_the_manifest_decides() {
    let outdated = || Some(amd_crl(Product::Milan, &[], NOW - HOUR - HOUR, NOW - HOUR));
    for list in [None, outdated()] {
        let (status, reason, _) = with_list("require", list.clone()).await;
        assert_eq!(status, 403);
        assert!(reason.contains("(revocation)"), "{reason}");
        let (status, reason, known) = with_list("if-present", list.clone()).await;
        assert_eq!(status, 200, "{reason}");
        if list.is_none() {
            assert_eq!(known, json!({"unknown": "unavailable"}));
        } else {
            assert_eq!(known, json!({"not-revoked": {"until": (NOW - HOUR).to_string()}}));
        }
    }
    let current = Some(amd_crl(Product::Milan, &[], NOW - HOUR, NOW + HOUR));
    let (status, _, known) = with_list("require", current).await;
    assert_eq!(status, 200);
    assert_eq!(known, json!({"not-revoked": {"until": (NOW + HOUR).to_string()}}));
}

mod machine {
    //! Virtual machines: what only their evidence has.

    use evidence::{PcrIndex, PcrValue, QuoteNonce, RawQuote, RawVmEvidence};
    use forged_root::vm::{Hcl, QuoteFields, SoftwareAk, VmClaims, vm_fields};
    use protocol::attest::vm_binding;

    use super::*;

    /// Evidence of dev.toml's machine, with this nonce in its quote.
    fn evidence_of(nonce: &QuoteNonce, change: impl FnOnce(&mut ReportFields)) -> WorkloadEvidence {
        let product = Product::Milan;
        let chip = Chip::new(product, "machine", product.tcb());
        let ak = SoftwareAk::new();
        let claims = VmClaims::new(ak.public()).json();
        let mut fields = vm_fields(&chip, &claims);
        change(&mut fields);
        let registers = [4u8, 7].map(|register| {
            let front = format!("\n{register} = [\"");
            let value = DEV.split(&front).nth(1).and_then(|rest| rest.get(..64)).unwrap();
            (register, *value.parse::<PcrValue>().unwrap().as_bytes())
        });
        let message = QuoteFields::new(nonce.as_bytes(), &registers).attest();
        let pcrs = registers
            .map(|(register, value)| (PcrIndex::try_from(register).unwrap(), PcrValue::new(value)));
        WorkloadEvidence::Vm(RawVmEvidence {
            hcl_report: Hcl::with(&fields, &chip, claims).bytes(),
            certificates: chip.vcek_pem_chain(),
            quote: RawQuote { signature: ak.sign(&message), message, pcrs: pcrs.into() },
        })
    }

    fn request(
        challenge: Challenge,
        key: &EphemeralKey,
        evidence: WorkloadEvidence,
    ) -> AttestRequest {
        let secrets = vec!["machine/disk-key".to_owned()];
        AttestRequest { version: 1, challenge, public_key: *key, evidence, secrets }
    }

    async fn machines_world() -> World {
        let world = World::new().await;
        let token = world.operator().await;
        let body = json!({"data": {"value": "correct horse"}});
        let path = "/v1/secret/data/machine/disk-key";
        assert_eq!(world.call("POST", path, Some(&token), Some(body)).await.0, 200);
        world
    }

    #[tokio::test]
    async fn a_machine_gets_its_secret_and_the_log_has_its_registers() {
        let world = machines_world().await;
        let (key, challenge) = (EphemeralSecret::generate().unwrap(), world.challenge().await);
        let nonce = vm_binding("dev", &challenge, key.public()).nonce;
        let request = request(challenge, key.public(), evidence_of(&nonce, |_| {}));
        let (status, answer) = send(&world, &request).await;
        assert_eq!(status, 200, "{answer}");
        let body = open(&world, key, challenge, answer);
        assert_eq!(body.workload, "machine");
        assert_eq!(body.secrets["machine/disk-key"].value.expose_secret(), "correct horse");
        let audit = world.audit().await;
        let record = audit.iter().rfind(|it| it["request"]["operation"] == "attest").unwrap();
        let vm = &record["request"]["evidence"]["vm"];
        assert_eq!((&vm["secure_boot"], &vm["boots"]), (&json!(true), &json!([3, 0])));
        assert!(vm["pcrs"]["4"].as_str().unwrap().starts_with("7bcc5e43"), "{vm}");
    }

    async fn refused_machine(
        nonce: impl FnOnce(&Challenge, &EphemeralKey) -> QuoteNonce,
        change: impl FnOnce(&mut ReportFields),
    ) -> String {
        let world = machines_world().await;
        let (key, challenge) = (EphemeralSecret::generate().unwrap(), world.challenge().await);
        let nonce = nonce(&challenge, key.public());
        let request = request(challenge, key.public(), evidence_of(&nonce, change));
        let (status, answer) = send(&world, &request).await;
        assert_eq!((status, &answer["errors"]), (403, &json!(["rejected"])));
        world.reason(&answer).await
    }

    #[tokio::test]
    async fn a_quote_for_another_challenge_deployment_or_key_is_refused() {
        let nonces: [fn(&Challenge, &EphemeralKey) -> QuoteNonce; 3] = [
            |_, key| vm_binding("dev", &Challenge([7; 32]), key).nonce,
            |challenge, key| vm_binding("prod", challenge, key).nonce,
            |challenge, _| vm_binding("dev", challenge, &EphemeralKey([4; 65])).nonce,
        ];
        for nonce in nonces {
            let reason = refused_machine(nonce, |_| {}).await;
            assert!(reason.contains("(quote nonce)"), "{reason}");
        }
    }

    #[tokio::test]
    async fn another_paravisor_and_a_debuggable_one_are_refused() {
        let nonce =
            |challenge: &Challenge, key: &EphemeralKey| vm_binding("dev", challenge, key).nonce;
        let reason = refused_machine(nonce, |fields| fields.measurement = [7; 48]).await;
        assert!(reason.contains("(measurement)"), "{reason}");
        let reason = refused_machine(nonce, |fields| fields.policy |= 1 << 19).await;
        assert!(reason.contains("(debug)"), "{reason}");
    }
}
