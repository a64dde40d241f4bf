use hyper::Method;
use serde_json::Value;

use crate::bench::{Bench, json};
use crate::core::encoding::{b64url, from_b64url};
use crate::core::keys::RsaSigner;

fn claims(token: &str) -> Value {
    serde_json::from_slice(&from_b64url(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

#[tokio::test]
async fn azure_resources_get_v1_claims_and_own_applications_the_v2_issuer() {
    let bench = Bench::new();
    let tenant = bench.cloud.settings.tenant;
    let azure = claims(&bench.token(&bench.administrator, "https://vault.azure.net").await);
    assert_eq!(azure["iss"], format!("https://sts.windows.net/{tenant}/"));
    assert_eq!(azure["aud"], "https://vault.azure.net");
    assert_eq!(azure["appid"], bench.administrator.client_id.to_string());
    let own = claims(&bench.token(&bench.administrator, "api://vouchsafe-dev").await);
    assert_eq!(own["iss"], format!("https://login.microsoftonline.com/{tenant}/v2.0"));
    assert_eq!(own["aud"], "api://vouchsafe-dev");
    assert_eq!(own["oid"], bench.administrator.oid.to_string());
}

#[tokio::test]
async fn a_wrong_secret_tenant_or_application_is_refused() {
    let bench = Bench::new();
    let who = &bench.administrator;
    let check = async |tenant: &str, client: &str, secret: &str, status: u16, code: &str| {
        let form = format!(
            "grant_type=client_credentials&client_id={client}&client_secret={secret}&scope=https%3A%2F%2Fvault.azure.net%2F.default"
        );
        let url = format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token");
        let answer = bench.call(Method::POST, &url, None, form).await;
        let said = json(&answer);
        assert_eq!(answer.status, status, "{said}");
        assert!(said["error_description"].as_str().unwrap().starts_with(code), "{said}");
    };
    let (tenant, client) = (who.tenant.to_string(), who.client_id.to_string());
    check(&tenant, &client, "wrong", 401, "AADSTS7000215").await;
    check(&tenant, &uuid::Uuid::nil().to_string(), &who.client_secret, 401, "AADSTS700016").await;
    check(&uuid::Uuid::nil().to_string(), &client, &who.client_secret, 400, "AADSTS90002").await;
}

#[tokio::test]
async fn a_federated_assertion_stands_for_its_application_and_no_other() {
    let bench = Bench::new();
    let signer = RsaSigner::open(&bench.directory.path().join("issuer.p8")).unwrap();
    let public_key = pem::encode(&pem::Pem::new("PUBLIC KEY", signer.spki().unwrap()));
    let credential = super::FederatedCredential {
        issuer: "https://issuer".into(),
        subject: "me".into(),
        audience: "api://AzureADTokenExchange".into(),
        public_key,
    };
    let new = super::NewApplication {
        name: "w".into(),
        certificates: Vec::new(),
        federated: vec![credential],
    };
    let who = super::add_application(&bench.cloud, new).unwrap();
    let now = bench.cloud.now().as_second();
    let assert = |subject: &str, audience: &str, exp: i64| {
        let claims = serde_json::json!({"iss": "https://issuer", "sub": subject, "aud": audience, "exp": exp});
        signer.jws(&serde_json::json!({"alg": "RS256"}), claims.as_object().unwrap()).unwrap()
    };
    let check = async |assertion: String, expected: &str| {
        let form = format!(
            "grant_type=client_credentials&client_id={}&scope=https%3A%2F%2Fvault.azure.net%2F.default&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion={assertion}",
            who.client_id
        );
        let url = format!("https://login.microsoftonline.com/{}/oauth2/v2.0/token", who.tenant);
        let answer = bench.call(Method::POST, &url, None, form).await;
        assert!(json(&answer).to_string().contains(expected), "{}", json(&answer));
    };
    check(assert("me", "api://AzureADTokenExchange", now + 60), "access_token").await;
    check(assert("you", "api://AzureADTokenExchange", now + 60), "AADSTS700213").await;
    check(assert("me", "other", now + 60), "AADSTS700023").await;
    check(assert("me", "api://AzureADTokenExchange", now - 1), "AADSTS700024").await;
    let good = assert("me", "api://AzureADTokenExchange", now + 60);
    let (input, _) = good.rsplit_once('.').unwrap();
    check(format!("{input}.{}", b64url([0; 256])), "AADSTS700027").await;
}

#[tokio::test]
async fn discovery_leads_to_the_keys() {
    let bench = Bench::new();
    let tenant = bench.cloud.settings.tenant;
    let url =
        format!("https://login.microsoftonline.com/{tenant}/v2.0/.well-known/openid-configuration");
    let configuration = json(&bench.call(Method::GET, &url, None, "").await);
    let keys =
        json(&bench.call(Method::GET, configuration["jwks_uri"].as_str().unwrap(), None, "").await);
    let token = bench.token(&bench.administrator, "api://a").await;
    let header: Value =
        serde_json::from_slice(&from_b64url(token.split('.').next().unwrap()).unwrap()).unwrap();
    assert_eq!(keys["keys"][0]["kid"], header["kid"]);
}

#[tokio::test]
async fn instance_metadata_serves_the_identities_that_run() {
    let ask = async |bench: &Bench, extra: &str| {
        let url = format!(
            "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://vault.azure.net{extra}"
        );
        let answer = bench.call(Method::GET, &url, None, "").await;
        (answer.status.as_u16(), json(&answer))
    };
    let bench = Bench::new();
    let (status, said) = ask(&bench, "").await;
    assert_eq!((status, &said["error_description"]), (400, &Value::from("Identity not found")));
    let bench = bench.with_running_identity(1);
    let (status, said) = ask(&bench, "").await;
    assert_eq!(status, 200);
    assert!(said.as_object().unwrap().values().all(Value::is_string), "{said}");
    assert_eq!(
        claims(said["access_token"].as_str().unwrap())["oid"],
        uuid::Uuid::from_u128(1001).to_string()
    );
    let bench = bench.with_running_identity(2);
    let (status, said) = ask(&bench, "").await;
    assert_eq!(status, 400, "{said}");
    let (status, said) = ask(&bench, "&client_id=00000000-0000-0000-0000-000000000002").await;
    assert_eq!(
        (status, &said["client_id"]),
        (200, &Value::from("00000000-0000-0000-0000-000000000002"))
    );
}
