use serde_json::json;

use super::*;
use crate::{
    encoding::{to_base64, to_base64url},
    test_corpus,
    test_signer::signer,
};

const ISSUER: &str = "https://vouchsafe.weu.attest.azure.net";
const IAT: i64 = 1_700_000_000;

fn header() -> Value {
    json!({"alg": "RS256", "jku": format!("{ISSUER}/certs"), "kid": "k/1=", "typ": "JWT"})
}

fn claims() -> Value {
    json!({"iss": ISSUER, "iat": IAT, "nbf": IAT, "exp": IAT + 28_800, "x-ms-ver": "1.0"})
}

fn jwks() -> Jwks {
    let x5c = [to_base64(&signer().certificate)];
    let keys = json!({"keys": [
        {"kid": "k/1=", "kty": "RSA", "x5c": x5c},
        {"kid": "two", "x5c": x5c}, {"kid": "two", "x5c": x5c},
        {"kid": "bad", "x5c": ["AAAA"]}, {"kid": "none"}, {"x5c": x5c},
    ]});
    Jwks::parse(keys.to_string().as_bytes()).unwrap()
}

fn token(header: &Value, claims: &Value) -> String {
    let [header, claims] = [header, claims].map(|part| to_base64url(part.to_string().as_bytes()));
    let input = format!("{header}.{claims}");
    format!("{input}.{}", to_base64url(&signer().sign(input.as_bytes())))
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn with(mut json: Value, name: &str, value: Value) -> Value {
    json[name] = value;
    json
}

fn check(header: &Value, claims: &Value, expected: TokenError) {
    assert_eq!(verify(&token(header, claims), &jwks(), ISSUER, at(IAT)).unwrap_err(), expected);
}

#[test]
fn verifies_a_token() {
    let verified = verify(&token(&header(), &claims()), &jwks(), ISSUER, at(IAT)).unwrap();
    assert_eq!(verified.issuer(), ISSUER);
    assert_eq!(verified.claims()["x-ms-ver"], "1.0");
    assert_eq!((verified.issued_at(), verified.expires()), (at(IAT), at(IAT + 28_800)));
}

#[test]
fn refuses_a_header_that_the_service_does_not_write() {
    check(&with(header(), "alg", json!("none")), &claims(), TokenError::Algorithm);
    check(&with(header(), "alg", json!("HS256")), &claims(), TokenError::Algorithm);
    check(&with(header(), "alg", json!("rs256")), &claims(), TokenError::Algorithm);
    check(&with(header(), "typ", json!("vouchsafe-bundle")), &claims(), TokenError::Type);
    let unknown = TokenError::Malformed("a header that is not understood");
    check(&with(header(), "crit", json!(["exp"])), &claims(), unknown);
    check(&with(header(), "kid", json!(null)), &claims(), unknown);
    for jku in [
        "https://elsewhere/certs",
        &format!("{ISSUER}/certs/"),
        &format!("{ISSUER}.evil/certs"),
        ISSUER,
    ] {
        check(&with(header(), "jku", json!(jku)), &claims(), TokenError::KeySetAddress);
    }
}

#[test]
fn refuses_a_token_without_a_signature() {
    let signed = token(&with(header(), "alg", json!("none")), &claims());
    let (input, _) = signed.rsplit_once('.').unwrap();
    assert_eq!(
        verify(&format!("{input}."), &jwks(), ISSUER, at(IAT)).unwrap_err(),
        TokenError::Algorithm
    );
    let signed = token(&header(), &claims());
    let (input, _) = signed.rsplit_once('.').unwrap();
    assert_eq!(
        verify(&format!("{input}."), &jwks(), ISSUER, at(IAT)).unwrap_err(),
        TokenError::Signature
    );
}

#[test]
fn refuses_a_key_that_is_not_one_usable_key() {
    check(&with(header(), "kid", json!("other")), &claims(), TokenError::UnknownKey);
    check(&with(header(), "kid", json!("none")), &claims(), TokenError::UnknownKey);
    check(&with(header(), "kid", json!("two")), &claims(), TokenError::AmbiguousKey);
    check(&with(header(), "kid", json!("bad")), &claims(), TokenError::Key(KeyError::Certificate));
}

#[test]
fn refuses_a_changed_token() {
    let one = token(&header(), &claims());
    let other = token(&header(), &with(claims(), "x-ms-ver", json!("2.0")));
    let parts: Vec<&str> = one.split('.').collect();
    let changed = [parts[0], other.split('.').nth(1).unwrap(), parts[2]].join(".");
    assert_eq!(verify(&changed, &jwks(), ISSUER, at(IAT)).unwrap_err(), TokenError::Signature);
}

#[test]
fn refuses_another_issuer_to_the_letter() {
    let other = "https://vouchsafe2.weu.attest.azure.net";
    check(&header(), &with(claims(), "iss", json!(other)), TokenError::Issuer);
    check(&header(), &with(claims(), "iss", json!(format!("{ISSUER}/"))), TokenError::Issuer);
    check(&header(), &with(claims(), "iss", json!(ISSUER.to_uppercase())), TokenError::Issuer);
    check(&header(), &with(claims(), "iss", json!(null)), TokenError::Issuer);
    // A genuine token of the other provider, under the same regional key.
    let theirs = with(header(), "jku", json!(format!("{other}/certs")));
    check(&theirs, &with(claims(), "iss", json!(other)), TokenError::KeySetAddress);
}

#[test]
fn refuses_a_token_outside_its_time() {
    let leeway = LEEWAY.as_secs();
    let judge = |now| verify(&token(&header(), &claims()), &jwks(), ISSUER, at(now)).map(drop);
    assert_eq!(judge(IAT - leeway), Ok(()));
    assert_eq!(judge(IAT - leeway - 1), Err(TokenError::NotYetValid));
    assert_eq!(judge(IAT + 28_800 + leeway - 1), Ok(()));
    assert_eq!(judge(IAT + 28_800 + leeway), Err(TokenError::Expired));
    check(&header(), &with(claims(), "nbf", json!(IAT + leeway + 1)), TokenError::NotYetValid);
    check(&header(), &with(claims(), "iat", json!(IAT + leeway + 1)), TokenError::NotYetValid);
    for name in ["iat", "nbf", "exp"] {
        check(&header(), &with(claims(), name, json!(null)), TokenError::Time(name));
        check(&header(), &with(claims(), name, json!("1700000000")), TokenError::Time(name));
        check(&header(), &with(claims(), name, json!(i64::MAX)), TokenError::Time(name));
    }
}

#[test]
fn refuses_what_is_not_a_token() {
    let judge = |token: &str| verify(token, &jwks(), ISSUER, at(IAT)).unwrap_err();
    let good = token(&header(), &claims());
    assert_eq!(judge(""), TokenError::Malformed("not three parts"));
    assert_eq!(judge("a.b"), TokenError::Malformed("not three parts"));
    assert_eq!(
        judge(&format!("{good}.AAAA")),
        TokenError::Malformed("a payload that is not base64url")
    );
    assert_eq!(judge(&format!("?{good}")), TokenError::Malformed("a header that is not base64url"));
    assert_eq!(judge(&" ".repeat(MAX_TOKEN + 1)), TokenError::Malformed("too long"));
    assert_eq!(
        judge(&token(&header(), &json!([]))),
        TokenError::Malformed("a payload that is not a JSON object")
    );
    assert!(Jwks::parse(b"{}").is_err());
    assert!(Jwks::parse(&[b' '; 1024 * 1024 + 1]).is_err());
}

#[test]
fn corpus_real_cvm_token_verifies() {
    let (Some(token), Some(keys)) = (
        test_corpus::read("maa-tokens/cvm-sharedwus-2022.jwt"),
        test_corpus::read("maa-tokens/sharedwus-jwks-2022.json"),
    ) else {
        return test_corpus::absent("corpus_real_cvm_token_verifies");
    };
    let keys = Jwks::parse(keys.as_bytes()).unwrap();
    let issuer = "https://sharedwus.wus.attest.azure.net";
    let verified = verify(token.trim(), &keys, issuer, at(1_662_584_687)).unwrap();
    assert_eq!(verified.claims()["x-ms-isolation-tee"]["x-ms-attestation-type"], "sevsnpvm");
    assert_eq!(
        verify(token.trim(), &keys, issuer, at(1_700_000_000)).unwrap_err(),
        TokenError::Expired
    );
}

#[test]
fn corpus_recorded_tokens_verify_under_the_recorded_keys() {
    let names = [
        "Attestation-AttestationTests.AttestWithDraftPolicy-SgxEnclave_Aad",
        "Attestation-AttestationTests.AttestWithRuntimeDataJson-SgxEnclave_Aad",
        "CertificateTests.AddPolicyManagementCertificate",
        "CertificateTests.GetPolicyManagementCertificatesAad",
        "Policy-PolicyTests.PolicyTests-ModifyUnsecured_AAD_SgxEnclave",
    ];
    let (mut verified, mut unsigned) = (0, 0);
    for name in names {
        let Some(recording) =
            test_corpus::read(&format!("azure-sdk-for-cpp/attestation/{name}.json"))
        else {
            return test_corpus::absent("corpus_recorded_tokens_verify_under_the_recorded_keys");
        };
        let keys = Jwks::parse(test_corpus::key_sets(&recording)[0].as_bytes()).unwrap();
        for (token, claims) in
            test_corpus::tokens(&recording).iter().zip(test_corpus::token_claims(&recording))
        {
            let now = at(claims["iat"].as_i64().unwrap());
            match verify(token, &keys, claims["iss"].as_str().unwrap(), now) {
                Ok(_) => verified += 1,
                Err(TokenError::Algorithm) => unsigned += 1,
                Err(other) => panic!("{name}: {other}"),
            }
        }
    }
    // The one unsigned token is the answer to a draft policy.
    assert_eq!((verified, unsigned), (8, 1));
}
