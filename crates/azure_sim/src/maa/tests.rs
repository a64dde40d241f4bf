use aws_lc_rs::digest::{SHA256, digest};
use forged_root::{
    Chip, Form, Product, ReportFields, Signer, SignerName, UVM_MEASUREMENT, UVM_SVN, signer,
    uvm_endorsement,
};
use hyper::Method;
use maa::policy_jws::{self, Content};
use maa::token::{Jwks, VerifiedToken, verify};
use serde_json::{Value, json};

use crate::bench::{Bench, GROUP, json as body};
use crate::core::Response;
use crate::core::encoding::{b64, b64url, from_b64url};
use crate::core::keys::RsaSigner;

const HOST: &str = "https://p.weu.attest.azure.net";
const CONTRIBUTOR: &str = "bbf86eb8-f7b4-4cce-96e4-18cddf81d86e";

fn provider_id() -> String {
    format!("{GROUP}/providers/Microsoft.Attestation/attestationProviders/p")
}

/// A request with forged evidence, changed before it is signed.
fn request(change: impl FnOnce(&mut ReportFields)) -> Value {
    let runtime = br#"{"z":1,"keys":[]}"#;
    let chip = Chip::new(Product::Milan, "chip", Product::Milan.tcb());
    let mut fields = chip.fields();
    fields.host_data = [0xab; 32];
    fields.report_data[..32].copy_from_slice(digest(&SHA256, runtime).as_ref());
    change(&mut fields);
    let endorsement = uvm_endorsement(&UVM_MEASUREMENT, UVM_SVN, Form::Json);
    let report = json!({
        "SnpReport": b64url(chip.sign(&fields)),
        "VcekCertChain": b64url(chip.vcek_pem_chain()),
        "Endorsements": b64url(json!({"Uvm": [b64url(endorsement)]}).to_string()),
    });
    json!({"report": b64url(report.to_string()), "runtimeData": {"data": b64url(runtime), "dataType": "JSON"}, "nonce": 13_202_930_541_250_959_283_u64})
}

async fn attest(bench: &Bench, sent: Value) -> Response {
    bench
        .call(
            Method::POST,
            &format!("{HOST}/attest/SevSnpVm?api-version=2022-08-01"),
            None,
            sent.to_string(),
        )
        .await
}

async fn verified(bench: &Bench, answer: &Response) -> VerifiedToken {
    assert_eq!(answer.status, 200, "{}", body(answer));
    let keys = bench.call(Method::GET, &format!("{HOST}/certs"), None, "").await;
    let token = body(answer)["token"].as_str().unwrap().to_owned();
    verify(&token, &Jwks::parse(&keys.body).unwrap(), HOST, bench.cloud.now()).unwrap()
}

async fn policy_call(
    bench: &Bench,
    method: Method,
    path: &str,
    sent: impl Into<String>,
) -> Response {
    let token = bench.token(&bench.administrator, "https://attest.azure.net").await;
    bench
        .call(method, &format!("{HOST}{path}?api-version=2022-08-01"), Some(&token), sent.into())
        .await
}

fn key_of(signer: Signer, directory: &std::path::Path) -> RsaSigner {
    let path = directory.join("signer.p8");
    std::fs::write(&path, pem::parse(signer.key_pem).unwrap().into_contents()).unwrap();
    RsaSigner::open(&path).unwrap()
}

fn signed(content: &Content, which: SignerName) -> String {
    let directory = tempfile::tempdir().unwrap();
    let signer = signer(which);
    let ready = policy_jws::to_be_signed(content, &[signer.certificate_der()]).unwrap();
    let signature = key_of(signer, directory.path()).sign(ready.bytes()).unwrap();
    ready.assemble(&signature).unwrap()
}

#[tokio::test]
async fn forged_evidence_gets_a_token_with_the_names_types_and_values_of_the_service() {
    let bench = Bench::new().with_provider("p", Vec::new());
    let token = verified(&bench, &attest(&bench, request(|_| {})).await).await;
    let claims = token.claims();
    assert_eq!(claims["x-ms-attestation-type"], "sevsnpvm");
    assert_eq!(claims["x-ms-compliance-status"], "azure-compliant-uvm");
    assert_eq!(claims["x-ms-policy-hash"], "9NY0VnTQ-IiBriBplVUpFbczcDaEBUwsiFYAzHu_gco");
    assert_eq!(claims["x-ms-sevsnpvm-hostdata"], "ab".repeat(32));
    assert_eq!(claims["x-ms-sevsnpvm-is-debuggable"], false);
    assert_eq!(
        claims["x-ms-sevsnpvm-bootloader-svn"],
        Product::Milan.tcb().bytes(Product::Milan)[0]
    );
    assert_eq!(
        claims["x-ms-sevsnpvm-microcode-svn"],
        Product::Milan.tcb().bytes(Product::Milan)[7]
    );
    assert_eq!(claims["x-ms-sevsnpvm-familyId"], "01000000000000000000000000000000");
    assert_eq!(claims["x-ms-sevsnpvm-vmpl"], 0);
    assert_eq!(claims["x-ms-runtime"], json!({"keys": [], "z": 1}));
    assert_eq!(claims["nonce"], "13202930541250959283");
    assert_eq!(claims["jti"].as_str().unwrap().len(), 64);
    assert_eq!(token.expires().duration_since(token.issued_at()).as_secs(), 28_800);
    assert_eq!(claims.get("x-ms-policy"), None);
}

#[tokio::test]
async fn evidence_that_is_wrong_in_one_place_is_refused() {
    let bench = Bench::new().with_provider("p", Vec::new());
    let check = async |sent: Value, text: &str| {
        let answer = attest(&bench, sent).await;
        let said = body(&answer);
        assert_eq!(answer.status, 400, "{said}");
        assert_eq!(said["error"]["code"], "InvalidParameter");
        assert_eq!(said["error"]["innererror"]["message"], said["error"]["message"]);
        assert!(said["error"]["message"].as_str().unwrap().contains(text), "{said}");
    };
    check(
        request(|fields| fields.report_data[0] ^= 1),
        "runtimeData is not the report's report data",
    )
    .await;
    check(request(|fields| fields.measurement[0] ^= 1), "endorsement").await;
    check(request(|fields| fields.reported_tcb[0] ^= 1), "cannot be verified").await;
    let mut other = request(|_| {});
    other["report"] = json!("AAAA");
    check(other, "report is not valid").await;
    let mut other = request(|_| {});
    other["initTimeData"] = json!({"data": b64url("{}"), "dataType": "JSON"});
    check(other, "initTimeData is not the report's host data").await;
}

#[tokio::test]
async fn other_types_are_refused_clearly() {
    let bench = Bench::new().with_provider("p", Vec::new());
    for kind in ["AzureGuest", "sgxenclave", "TdxVm"] {
        let answer = bench
            .call(Method::POST, &format!("{HOST}/attest/{kind}?api-version=2022-08-01"), None, "{}")
            .await;
        assert_eq!(
            (answer.status.as_u16(), &body(&answer)["error"]["code"]),
            (400, &json!("NotSupported"))
        );
    }
}

#[tokio::test]
async fn a_policy_decides_and_what_it_issues_is_in_the_token_twice() {
    let bench = Bench::new().with_provider("p", Vec::new());
    bench.grant(CONTRIBUTOR, &provider_id());
    let text = r#"version=1.0; authorizationrules{ [type=="x-ms-sevsnpvm-is-debuggable", value==true] => deny(); => permit(); }; issuancerules{ => issue(type="mine", value="x"); };"#;
    let jws = policy_jws::unsigned(text);
    let answer = verified(
        &bench,
        &policy_call(&bench, Method::PUT, "/policies/SevSnpVm", jws.clone()).await,
    )
    .await;
    maa::policy_result::check_result(&answer, &jws).unwrap();
    assert_eq!(answer.expires().duration_since(answer.issued_at()).as_secs(), 3600);
    let token = verified(&bench, &attest(&bench, request(|_| {})).await).await;
    assert_eq!(token.claims()["mine"], "x");
    assert_eq!(token.claims()["x-ms-policy"], json!({"mine": "x"}));
    assert_eq!(token.claims()["x-ms-policy-hash"], maa::policy::policy_hash(text).as_str());
    let denied = attest(&bench, request(|fields| fields.policy |= 1 << 19)).await;
    assert_eq!(denied.status, 400);
    assert_eq!(body(&denied)["error"]["code"], "PolicyEvaluationError");
    assert!(
        body(&denied)["error"]["message"].as_str().unwrap().contains("A Deny claim was issued")
    );
    let shown =
        verified(&bench, &policy_call(&bench, Method::GET, "/policies/sevsnpvm", "").await).await;
    assert_eq!(shown.claims()["x-ms-policy"], jws);
    let gone =
        policy_call(&bench, Method::POST, "/policies/SevSnpVm:reset", policy_jws::unsigned_reset())
            .await;
    assert_eq!(verified(&bench, &gone).await.claims()["x-ms-policy-result"], "Removed");
    verified(&bench, &attest(&bench, request(|fields| fields.policy |= 1 << 19)).await).await;
}

#[tokio::test]
async fn bad_policies_are_refused_with_the_service_codes() {
    let bench = Bench::new().with_provider("p", Vec::new());
    bench.grant(CONTRIBUTOR, &provider_id());
    let check = async |sent: String, code: &str| {
        let answer = policy_call(&bench, Method::PUT, "/policies/SevSnpVm", sent).await;
        assert_eq!(
            (answer.status.as_u16(), &body(&answer)["error"]["code"]),
            (400, &json!(code)),
            "{}",
            body(&answer)
        );
    };
    check(
        policy_jws::unsigned("version=1.0; authorizationrules{ permit(); };"),
        "PolicyParsingError",
    )
    .await;
    check("no jws".into(), "InvalidOperation").await;
    check(policy_jws::unsigned_reset(), "InvalidOperation").await;
}

#[tokio::test]
async fn a_draft_policy_gets_an_unsigned_token() {
    let bench = Bench::new().with_provider("p", Vec::new());
    let mut sent = request(|_| {});
    sent["draftPolicyForAttestation"] =
        json!("version=1.0; authorizationrules{=> permit();}; issuancerules{};");
    let answer = attest(&bench, sent.clone()).await;
    let token = body(&answer)["token"].as_str().unwrap().to_owned();
    let header: Value =
        serde_json::from_slice(&from_b64url(token.split('.').next().unwrap()).unwrap()).unwrap();
    assert_eq!(header["alg"], "none");
    assert_eq!(header["jku"], format!("{HOST}/certs"));
    assert!(header["kid"].is_string() && token.ends_with('.'));
    sent["draftPolicyForAttestation"] =
        json!("version=1.0; authorizationrules{}; issuancerules{};");
    let said = body(&attest(&bench, sent).await);
    assert!(
        said["error"]["message"]
            .as_str()
            .unwrap()
            .contains("No Permit claim was issued in the authorizationrules section")
    );
}

#[tokio::test]
async fn an_isolated_provider_takes_policies_of_its_signers_only() {
    let certificate = b64(signer(SignerName::First).certificate_der());
    let bench = Bench::new().with_provider("p", vec![certificate]);
    bench.grant(CONTRIBUTOR, &provider_id());
    let text = "version=1.0; authorizationrules{=> permit();}; issuancerules{};";
    let content = Content::Policy(text.to_owned());
    for jws in [policy_jws::unsigned(text), signed(&content, SignerName::Stranger)] {
        let answer = policy_call(&bench, Method::PUT, "/policies/SevSnpVm", jws).await;
        assert_eq!(
            (answer.status.as_u16(), &body(&answer)["error"]["code"]),
            (400, &json!("InvalidOperation"))
        );
    }
    let reset =
        policy_call(&bench, Method::POST, "/policies/SevSnpVm:reset", policy_jws::unsigned_reset())
            .await;
    assert_eq!(reset.status, 400);
    let jws = signed(&content, SignerName::First);
    let answer = verified(
        &bench,
        &policy_call(&bench, Method::PUT, "/policies/SevSnpVm", jws.clone()).await,
    )
    .await;
    maa::policy_result::check_result(&answer, &jws).unwrap();
    let token = verified(&bench, &attest(&bench, request(|_| {})).await).await;
    assert_eq!(
        token.claims()["x-ms-policy-signer"]["x5c"][0],
        b64(signer(SignerName::First).certificate_der())
    );
    let reset = signed(&Content::Reset, SignerName::First);
    assert_eq!(
        policy_call(&bench, Method::POST, "/policies/SevSnpVm:reset", reset).await.status,
        200
    );
}

#[tokio::test]
async fn signers_are_added_and_removed_by_signers() {
    let first = signer(SignerName::First);
    let bench = Bench::new().with_provider("p", vec![b64(first.certificate_der())]);
    bench.grant(CONTRIBUTOR, &provider_id());
    let jws = |who: SignerName, subject: SignerName| {
        let who = signer(who);
        let header = json!({"alg": "RS256", "x5c": [b64(who.certificate_der())]});
        let payload = json!({"policyCertificate": {"kty": "RSA", "x5c": [b64(signer(subject).certificate_der())]}});
        json!(
            key_of(who, bench.directory.path()).jws(&header, payload.as_object().unwrap()).unwrap()
        )
        .to_string()
    };
    let add = async |who, subject| {
        policy_call(&bench, Method::POST, "/certificates:add", jws(who, subject)).await
    };
    assert_eq!(add(SignerName::Stranger, SignerName::Stranger).await.status, 400);
    for _ in 0..2 {
        let answer = verified(&bench, &add(SignerName::First, SignerName::Second).await).await;
        assert_eq!(answer.claims()["x-ms-policycertificates-result"], "IsPresent");
        assert_eq!(answer.claims()["x-ms-certificate-thumbprint"].as_str().unwrap().len(), 40);
    }
    let list = verified(&bench, &policy_call(&bench, Method::GET, "/certificates", "").await).await;
    assert_eq!(list.claims()["x-ms-policy-certificates"]["keys"].as_array().unwrap().len(), 2);
    let removed = policy_call(
        &bench,
        Method::POST,
        "/certificates:remove",
        jws(SignerName::Second, SignerName::First),
    )
    .await;
    assert_eq!(
        verified(&bench, &removed).await.claims()["x-ms-policycertificates-result"],
        "IsAbsent"
    );
    assert_eq!(add(SignerName::First, SignerName::First).await.status, 400, "no longer a signer");
}

#[tokio::test]
async fn a_missing_role_is_401_and_so_is_a_missing_token() {
    let bench = Bench::new().with_provider("p", Vec::new());
    let stranger = bench.stranger();
    let token = bench.token(&stranger, "https://attest.azure.net").await;
    for token in [None, Some(token.as_str())] {
        let answer = bench
            .call(
                Method::GET,
                &format!("{HOST}/policies/SevSnpVm?api-version=2022-08-01"),
                token,
                "",
            )
            .await;
        assert_eq!(
            (answer.status.as_u16(), &body(&answer)["error"]["code"]),
            (401, &json!("Unauthorized"))
        );
    }
    // Owner has it, as its actions are control-plane actions (azure.md A.1).
    assert_eq!(policy_call(&bench, Method::GET, "/policies/SevSnpVm", "").await.status, 200);
}

#[tokio::test]
async fn providers_of_a_region_share_the_key_but_not_the_certificate_and_a_new_one_starts_anew() {
    let bench = Bench::new().with_provider("p", Vec::new()).with_provider("q", Vec::new());
    let keys = async |name: &str| {
        body(
            &bench
                .call(Method::GET, &format!("https://{name}.weu.attest.azure.net/certs"), None, "")
                .await,
        )
    };
    let (p, q) = (keys("p").await, keys("q").await);
    assert_eq!(p["keys"][0]["kid"], q["keys"][0]["kid"]);
    assert_ne!(p["keys"][0]["x5c"], q["keys"][0]["x5c"]);
    let jws = policy_jws::unsigned("version=1.0; authorizationrules{}; issuancerules{};");
    assert_eq!(policy_call(&bench, Method::PUT, "/policies/SevSnpVm", jws).await.status, 200);
    super::forget_provider(&bench.cloud, "p.weu.attest.azure.net");
    assert_eq!(attest(&bench, request(|_| {})).await.status, 200);
}
