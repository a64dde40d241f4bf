//! From a connection to the released secrets, against a server over a forged root. Every step of
//! trust has a server that breaks only that step, and is then asked for nothing more.

use std::path::Path;

use crate::revocation::NoList;
use crate::{
    AskError, Config, ExitStatus, Fault, Lists, Machine, MeetingError, Released, Rollback,
    Surroundings,
};
use attester::{Attester, AttesterError};
use aws_lc_rs::rand::SystemRandom;
use evidence::{Binding, RawEvidence, Sha256, Step};
use forged_root::SignerName;
use protocol::attest::RefusalCode;
use protocol::bundle::{BundleError, Identity};
use protocol::server_evidence::{Head, ServerRefused};

mod fake;

use fake::{Fake, NOW, REQUEST_ID, Running};

/// Evidence of the forged silicon, without a device.
#[derive(Debug)]
struct Silicon;

impl Attester for Silicon {
    fn evidence(&self, binding: &Binding) -> Result<RawEvidence, AttesterError> {
        Ok(fake::report([1; 32], *binding.as_bytes()))
    }
}

/// Evidence that was seen elsewhere.
#[derive(Debug)]
struct Stolen;

impl Attester for Stolen {
    fn evidence(&self, _binding: &Binding) -> Result<RawEvidence, AttesterError> {
        Ok(fake::report([1; 32], [9; 64]))
    }
}

const SECRETS: &str = r#"
[[secret]]
path = "demo/db-password"
env = "DB_PASSWORD"
[[secret]]
path = "demo/db-password"
file = "/run/secrets/db"
"#;

async fn fetch_with(config: &Config, attester: &dyn Attester) -> Result<Released, Fault> {
    let rng = SystemRandom::new();
    let lists = fake::lists();
    let around = Surroundings { clock: &|| NOW, rng: &rng, lists: &lists };
    crate::fetch(config, Machine::Container(attester), around).await
}

async fn fetch(running: &Running) -> Result<Released, Fault> {
    fetch_with(&fake::config(running.address, SECRETS), &Silicon).await
}

/// The fault of a fetch from this server, which may have been asked for evidence and nothing else.
async fn untrusted(fake: Fake) -> MeetingError {
    let running = fake.start().await;
    let fault = fetch(&running).await.unwrap_err();
    assert_eq!(fault.status(), ExitStatus::NotTrusted, "{fault:?}");
    assert_eq!(running.asked.lock().unwrap().paths, ["/vouchsafe/v1/evidence"]);
    let Fault::Meeting(error) = fault else { panic!("{fault:?}") };
    error
}

#[tokio::test]
async fn a_confirmed_server_releases_what_was_asked_for_once_each() {
    let running = Fake::new().start().await;
    let released = fetch(&running).await.unwrap();
    assert_eq!(released.workload(), "demo");
    assert_eq!(running.asked.lock().unwrap().secrets, [["demo/db-password"]]);
    assert!(!format!("{released:?}").contains("hunter2"));
}

#[tokio::test]
async fn checking_asks_for_evidence_and_nothing_else() {
    let running = Fake::new().start().await;
    let rng = SystemRandom::new();
    let lists = fake::lists();
    let around = Surroundings { clock: &|| NOW, rng: &rng, lists: &lists };
    let trusted = crate::check(&fake::config(running.address, SECRETS), around).await.unwrap();
    assert_eq!(trusted.server().statement().head.n, 4);
    assert_eq!(running.asked.lock().unwrap().paths, ["/vouchsafe/v1/evidence"]);
}

#[tokio::test]
async fn refuses_another_deployment() {
    let error = untrusted(Fake { deployment: "other".into(), ..Fake::new() }).await;
    let MeetingError::Untrusted(ServerRefused::Bundle(BundleError::Deployment { .. })) = error
    else {
        panic!("{error:?}")
    };
}

#[tokio::test]
async fn refuses_a_signer_that_is_not_pinned() {
    let error = untrusted(Fake { signer: SignerName::Stranger, ..Fake::new() }).await;
    assert!(matches!(error, MeetingError::Untrusted(ServerRefused::Bundle(BundleError::Jws(_)))));
}

#[tokio::test]
async fn refuses_somebody_in_the_middle() {
    let error = untrusted(Fake { exporter: Some([1; 32]), ..Fake::new() }).await;
    assert!(matches!(error, MeetingError::Untrusted(ServerRefused::Connection)), "{error:?}");
}

#[tokio::test]
async fn refuses_a_store_that_no_signer_confirmed() {
    let error = untrusted(Fake { confirmed: false, ..Fake::new() }).await;
    assert!(matches!(error, MeetingError::Untrusted(ServerRefused::Unconfirmed)), "{error:?}");
}

#[tokio::test]
async fn refuses_a_serial_below_the_pinned_one() {
    let error = untrusted(Fake { serial: 2, ..Fake::new() }).await;
    let MeetingError::Untrusted(ServerRefused::Old { found: 2, minimum: 3, .. }) = error else {
        panic!("{error:?}")
    };
}

async fn checked_with(lists: &Lists) -> Fault {
    let running = Fake::new().start().await;
    let rng = SystemRandom::new();
    let around = Surroundings { clock: &|| NOW, rng: &rng, lists };
    let config = fake::config(running.address, SECRETS);
    let fault = crate::fetch(&config, Machine::Container(&Silicon), around).await.unwrap_err();
    assert_eq!(running.asked.lock().unwrap().paths, ["/vouchsafe/v1/evidence"]);
    fault
}

#[tokio::test]
async fn refuses_a_server_whose_authority_is_revoked() {
    // 1 is the serial number of Milan's ASK.
    let fault = checked_with(&fake::lists_of(&[1])).await;
    assert_eq!(fault.status(), ExitStatus::NotTrusted);
    let Fault::Meeting(MeetingError::Untrusted(ServerRefused::Evidence(refusal))) = fault else {
        panic!("{fault:?}")
    };
    assert_eq!((refusal.step, refusal.found.as_str()), (Step::Revocation, "SEV-Milan, revoked"));
}

#[tokio::test]
async fn without_a_list_that_the_manifest_demands_nobody_is_believed() {
    let fault = checked_with(&Lists::Nowhere).await;
    assert_eq!(fault.status(), ExitStatus::Unavailable);
    assert!(matches!(fault, Fault::Meeting(MeetingError::NoList(NoList::Nowhere))), "{fault:?}");
    // A list that was given and says nothing of this root is the list's fault, not the network's.
    let fault = checked_with(&Lists::Given(vec![vec![1]])).await;
    assert_eq!(fault.status(), ExitStatus::NotTrusted, "{fault:?}");
}

#[tokio::test]
async fn without_a_list_that_the_manifest_does_not_demand_the_server_is_believed() {
    let running = Fake { crl: "if-present", ..Fake::new() }.start().await;
    let rng = SystemRandom::new();
    let around = Surroundings { clock: &|| NOW, rng: &rng, lists: &Lists::Nowhere };
    crate::check(&fake::config(running.address, SECRETS), around).await.unwrap();
}

#[tokio::test]
async fn refuses_roots_that_are_not_pinned() {
    let running = Fake::new().start().await;
    // Without `insecure_local` only AMD's own root counts.
    let signers: Vec<String> = fake::signers().iter().map(|id| format!("\"{id}\"")).collect();
    let config = format!(
        "version = 1\nserver = \"https://{}\"\ndeployment = \"dev\"\nsigners = [{}]\n\
         minimum_revision = 1\nminimum_serial = 1\nwait_seconds = 0\n",
        running.address,
        signers.join(", ")
    );
    let config = Config::parse(&config, Path::new("/")).unwrap();
    let fault = fetch_with(&config, &Silicon).await.unwrap_err();
    let Fault::Meeting(MeetingError::Untrusted(ServerRefused::Evidence(_))) = fault else {
        panic!("{fault:?}")
    };
}

/// A first meeting with one server, then one with another, by the same memory.
async fn meet_again(first: Fake, second: Fake) -> Result<Released, Fault> {
    let scratch = tempfile::tempdir().unwrap();
    let state = scratch.path().canonicalize().unwrap().join("memory/agent.state");
    let state = format!("state = \"{}\"\n{SECRETS}", state.display());
    for (fake, last) in [(first, false), (second, true)] {
        let running = fake.start().await;
        let met = fetch_with(&fake::config(running.address, &state), &Silicon).await;
        if last {
            return met;
        }
        met.unwrap();
    }
    unreachable!()
}

fn identity() -> Identity {
    Identity { public_key: fake::public(&fake::key()) }
}

fn fake_at(identity: &Identity, serial: u64, n: u64, hash: &[u8]) -> Fake {
    let head = Head { n, hash: Sha256::of(hash) };
    Fake { identity: identity.clone(), serial, head, ..Fake::new() }
}

#[tokio::test]
async fn a_server_that_grew_is_met_again() {
    let id = identity();
    meet_again(fake_at(&id, 3, 4, b"a"), fake_at(&id, 3, 4, b"a")).await.unwrap();
    meet_again(fake_at(&id, 3, 4, b"a"), fake_at(&id, 4, 5, b"b")).await.unwrap();
}

#[tokio::test]
async fn refuses_a_lower_serial_than_remembered() {
    let id = identity();
    let fault = meet_again(fake_at(&id, 5, 4, b"a"), fake_at(&id, 4, 4, b"a")).await.unwrap_err();
    let Fault::Meeting(MeetingError::Untrusted(ServerRefused::Old {
        found: 4, minimum: 5, ..
    })) = fault
    else {
        panic!("{fault:?}")
    };
}

#[tokio::test]
async fn refuses_a_store_that_went_back_forked_or_is_another() {
    let id = identity();
    for (second, expected) in [
        (fake_at(&id, 3, 3, b"a"), "the server's store is at commit 3, it has been at 4"),
        (fake_at(&id, 3, 4, b"b"), "another commit 4"),
        (fake_at(&identity(), 3, 5, b"c"), "the server has the store"),
    ] {
        let fault = meet_again(fake_at(&id, 3, 4, b"a"), second).await.unwrap_err();
        assert_eq!(fault.status(), ExitStatus::NotTrusted);
        let Fault::Meeting(MeetingError::Rollback(rollback)) = fault else { panic!("{fault:?}") };
        let rollback: Rollback = rollback;
        assert!(rollback.to_string().contains(expected), "{rollback}");
    }
}

#[tokio::test]
async fn a_memory_that_is_none_stops_the_agent() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("agent.state");
    let other = format!(
        r#"{{"version":1,"deployment":"other","identity":"{0}","serial":1,"revision":1,"head":{{"n":1,"hash":"{0}"}}}}"#,
        Sha256::of(b"x")
    );
    for text in ["", "{}", other.as_str(), &other.replace("\"version\":1", "\"version\":2")] {
        std::fs::write(&file, text).unwrap();
        let running = Fake::new().start().await;
        let state = format!("state = \"{}\"", file.display());
        let fault = fetch_with(&fake::config(running.address, &state), &Silicon).await.unwrap_err();
        assert_eq!(fault.status(), ExitStatus::Config, "{fault:?}");
        assert!(running.asked.lock().unwrap().paths.is_empty());
    }
}

#[tokio::test]
async fn a_refusal_is_told_with_its_code_and_request() {
    let refusals = vec![("/vouchsafe/v1/attest", RefusalCode::Denied)];
    let running = Fake { refusals, ..Fake::new() }.start().await;
    let fault = fetch(&running).await.unwrap_err();
    assert_eq!(fault.status(), ExitStatus::Refused);
    let text = crate::fault::chain(&fault);
    assert_eq!(
        text,
        format!("asking for the secrets: the server refused: denied (request {REQUEST_ID})")
    );
}

#[tokio::test]
async fn evidence_of_another_request_gets_nothing() {
    let running = Fake::new().start().await;
    let fault = fetch_with(&fake::config(running.address, SECRETS), &Stolen).await.unwrap_err();
    assert_eq!(fault.status(), ExitStatus::Refused, "{fault:?}");
}

#[tokio::test]
async fn waits_for_a_sealed_server_only_as_long_as_it_may() {
    let sealed = || vec![("/vouchsafe/v1/evidence", RefusalCode::Sealed)];
    let running = Fake { refusals: sealed(), ..Fake::new() }.start().await;
    let fault = fetch(&running).await.unwrap_err();
    assert_eq!(fault.status(), ExitStatus::Unavailable, "{fault:?}");

    let running = Fake { refusals: sealed(), ..Fake::new() }.start().await;
    let patient = fake::config_waiting(running.address, 5, SECRETS);
    fetch_with(&patient, &Silicon).await.unwrap();
    assert_eq!(running.asked.lock().unwrap().paths.len(), 4);
}

#[tokio::test]
async fn an_answer_to_another_question_does_not_open() {
    let running = Fake { other_exchange: true, ..Fake::new() }.start().await;
    let fault = fetch(&running).await.unwrap_err();
    assert!(matches!(fault, Fault::Ask(AskError::Sealed(_))), "{fault:?}");
}

#[tokio::test]
async fn an_answer_without_a_secret_is_not_enough() {
    let running = Fake { secrets: vec![("demo/tls-key", "pem")], ..Fake::new() }.start().await;
    let fault = fetch(&running).await.unwrap_err();
    assert!(matches!(fault, Fault::Ask(AskError::Missing { .. })), "{fault:?}");
}

#[test]
fn the_demo_configuration_pins_the_dev_deployment() {
    let config = Config::load(&fake::manifests().join("demo-agent.toml")).unwrap();
    assert_eq!(config.pins().deployment.as_str(), "dev");
    assert_eq!(config.pins().signers, fake::signers());
    let text = std::fs::read_to_string(fake::manifests().join("dev.toml")).unwrap();
    let manifest = manifest::Manifest::parse("dev.toml", &text).unwrap();
    assert_eq!(format!("{:?}", config.roots().anchors()), format!("{:?}", manifest.anchors()));
    for path in config.paths() {
        assert!(text.contains(&format!("[secret.\"{path}\"]")), "{path}");
    }
}
