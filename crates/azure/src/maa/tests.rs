use base64::Engine;
use serde_json::Value;

use super::*;
use crate::testing::{FarEnd, Hosts, Reply, corpus, credential};

const HOST: Hosts = Hosts(&["p.weu.attest.azure.net"]);

fn client(far: &FarEnd) -> Client {
    Client::new(&far.endpoints, &"https://p.weu.attest.azure.net".parse().unwrap(), credential())
}

fn decode(value: &Value) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(value.as_str().unwrap().trim_end_matches('=')).unwrap()
}

#[tokio::test]
async fn attests_without_a_token_and_reads_the_policy_with_one() {
    let far = FarEnd::start(
        HOST,
        vec![
            Reply::new(200, r#"{"token":"a.b.c"}"#),
            Reply::new(200, r#"{"token":"d.e.f"}"#),
            Reply::new(200, r#"{"token":"g.h.i"}"#),
            Reply::new(200, r#"{"keys":[]}"#),
        ],
    )
    .await;
    let client = client(&far);
    let evidence = RawEvidence {
        report: vec![1; 1184],
        certificates: "PEM".to_owned(),
        uvm_endorsement: vec![2; 3],
    };
    let token = client.attest_sev_snp(&evidence, b"{}").await.unwrap();
    assert_eq!(token.expose(), "a.b.c");
    assert!(!format!("{token:?}").contains("a.b.c"));
    let policy = client.policy(AttestationType::SevSnpVm).await.unwrap();
    assert_eq!(policy.as_str(), "d.e.f");
    let jws = PolicyJws::new("x.y.z".to_owned());
    client.set_policy(AttestationType::SevSnpVm, &jws).await.unwrap();
    client.certs().await.unwrap();

    let seen = far.seen();
    assert_eq!(
        far.lines(),
        [
            "POST p.weu.attest.azure.net/attest/SevSnpVm?api-version=2022-08-01",
            "GET p.weu.attest.azure.net/policies/SevSnpVm?api-version=2022-08-01",
            "PUT p.weu.attest.azure.net/policies/SevSnpVm?api-version=2022-08-01",
            "GET p.weu.attest.azure.net/certs",
        ]
    );
    assert_eq!(seen[0].header("authorization"), None);
    assert_eq!(
        seen[1].header("authorization"),
        Some("Bearer token for https://attest.azure.net/.default")
    );
    assert_eq!(seen[2].header("content-type"), Some("text/plain"));
    assert_eq!(seen[2].body, b"x.y.z");
}

#[tokio::test]
async fn sorts_refusals_and_retries_throttling() {
    let refusal =
        |code: &str| Reply::new(400, format!(r#"{{"error":{{"code":"{code}","message":"m"}}}}"#));
    let far = FarEnd::start(
        HOST,
        vec![
            Reply::new(429, "").header("retry-after-ms", "1"),
            Reply::cut(),
            refusal("PolicyEvaluationError"),
            refusal("PolicyParsingError"),
            refusal("InvalidParameter"),
            refusal("InvalidOperation"),
            Reply::new(401, ""),
            Reply::new(200, r#"{"jwt":"x"}"#),
        ],
    )
    .await;
    let client = client(&far);
    let kind = AttestationType::SevSnpVm;
    assert!(matches!(client.policy(kind).await, Err(MaaError::PolicyDenied(_))));
    assert_eq!(far.seen().len(), 3);
    assert!(matches!(client.policy(kind).await, Err(MaaError::PolicyInvalid(_))));
    assert!(matches!(client.policy(kind).await, Err(MaaError::ParameterInvalid(_))));
    assert!(matches!(client.policy(kind).await, Err(MaaError::Disallowed(_))));
    assert!(matches!(client.policy(kind).await, Err(MaaError::Denied(_))));
    assert!(matches!(client.policy(kind).await, Err(MaaError::Malformed(_))));
}

#[test]
fn corpus_builds_the_body_of_a_real_request() {
    let Some(real) = corpus(
        "corpus_builds_the_body_of_a_real_request",
        "azure-cleanroom/insecure-virtual/encryption/maa-request.json",
    ) else {
        return;
    };
    let real: Value = serde_json::from_slice(&real).unwrap();
    let report: Value = serde_json::from_slice(&decode(&real["report"])).unwrap();
    let endorsements: Value = serde_json::from_slice(&decode(&report["Endorsements"])).unwrap();
    let evidence = RawEvidence {
        report: decode(&report["SnpReport"]),
        certificates: String::from_utf8(decode(&report["VcekCertChain"])).unwrap(),
        uvm_endorsement: decode(&endorsements["Uvm"][0]),
    };

    let ours = attest_body(&evidence, &decode(&real["runtimeData"]["data"]));

    let our_report: Value = serde_json::from_slice(&decode(&ours["report"])).unwrap();
    for part in ["SnpReport", "VcekCertChain"] {
        assert_eq!(decode(&our_report[part]), decode(&report[part]), "{part}");
    }
    let our_endorsements: Value =
        serde_json::from_slice(&decode(&our_report["Endorsements"])).unwrap();
    assert_eq!(decode(&our_endorsements["Uvm"][0]), evidence.uvm_endorsement);
    assert_eq!(decode(&ours["runtimeData"]["data"]), decode(&real["runtimeData"]["data"]));
    assert_eq!(ours["runtimeData"]["dataType"], real["runtimeData"]["dataType"]);
}
