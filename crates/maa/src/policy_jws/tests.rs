use aws_lc_rs::{
    rand::SystemRandom,
    signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};

use super::*;
use crate::test_signer::{TestSigner, signer};

const TEXT: &str = "version=1.0; authorizationrules{=> permit();}; issuancerules{};";

fn sign(content: &Content, signer: &TestSigner) -> String {
    let waiting = to_be_signed(content, std::slice::from_ref(&signer.certificate)).unwrap();
    let signature = signer.sign(waiting.bytes());
    waiting.assemble(&signature).unwrap()
}

#[test]
fn reads_back_what_it_writes() {
    let jws = parse(&unsigned(TEXT)).unwrap();
    assert_eq!(*jws.content(), Content::Policy(TEXT.into()));
    assert_eq!(*jws.signature(), Signature::Unsigned);
    assert_eq!(unsigned_reset(), "eyJhbGciOiJub25lIn0..");
    assert_eq!(*parse(&unsigned_reset()).unwrap().content(), Content::Reset);

    for content in [Content::Policy(TEXT.into()), Content::Reset] {
        let jws = parse(&sign(&content, signer())).unwrap();
        assert_eq!(*jws.content(), content);
        let signed = verify(&jws, std::slice::from_ref(&signer().certificate)).unwrap();
        assert_eq!(*signed.content(), content);
        assert_eq!(signed.signer(), signer().certificate);
        verify_any_signer(&jws).unwrap();
    }
}

#[test]
fn takes_a_signer_without_a_certificate() {
    let key = signer().key.public_key();
    let (n, e) = (
        key.modulus().big_endian_without_leading_zero(),
        key.exponent().big_endian_without_leading_zero(),
    );
    let header = format!(
        "{{\"alg\":\"RS256\",\"jwk\":{{\"kty\":\"RSA\",\"n\":\"{}\",\"e\":\"{}\"}}}}",
        to_base64url(n),
        to_base64url(e)
    );
    let input =
        format!("{}.{}", to_base64url(header.as_bytes()), payload(&Content::Policy(TEXT.into())));
    let jws = format!("{input}.{}", to_base64url(&signer().sign(input.as_bytes())));
    let jws = parse(&jws).unwrap();
    verify_any_signer(&jws).unwrap();
    assert_eq!(verify(&jws, &[]).unwrap_err(), SignatureError::NoCertificate);
}

/// The layout of azure-security-attestation 1.0 for Python.
#[test]
fn takes_a_certificate_inside_a_key() {
    let header = format!(
        "{{\"alg\": \"RSA256\", \"jwk\": {{\"x5c\": [\"{}\"]}}}}",
        to_base64(&signer().certificate)
    );
    let input =
        format!("{}.{}", to_base64url(header.as_bytes()), payload(&Content::Policy(TEXT.into())));
    let jws = format!("{input}.{}", to_base64url(&signer().sign(input.as_bytes())));
    let jws = parse(&jws).unwrap();
    verify(&jws, std::slice::from_ref(&signer().certificate)).unwrap();
    assert_eq!(verify(&jws, &[]).unwrap_err(), SignatureError::Stranger);
}

/// A recorded pair: the policy of the SDK's test and the hash in the service's answer.
#[test]
fn hashes_a_jws_as_the_service_does() {
    let hash = "c6sEJQItV50OeP9IrP_bzywAMOVvj5uDPbklA_bwdYQ";
    assert_eq!(
        token_hash(&unsigned("version=1.0; authorizationrules{=> permit();}; issuancerules{};"))
            .as_str(),
        hash
    );
}

#[test]
fn refuses_a_signature_of_another_key_or_over_other_bytes() {
    let trusted = std::slice::from_ref(&signer().certificate);
    let jws = sign(&Content::Policy(TEXT.into()), signer());
    assert_eq!(verify(&parse(&jws).unwrap(), &[]).unwrap_err(), SignatureError::Stranger);
    assert_eq!(
        verify(&parse(&unsigned(TEXT)).unwrap(), trusted).unwrap_err(),
        SignatureError::NoCertificate
    );

    let other = payload(&Content::Policy("version=1.0;".into()));
    let parts: Vec<&str> = jws.split('.').collect();
    let changed = parse(&[parts[0], &other, parts[2]].join(".")).unwrap();
    assert_eq!(verify(&changed, trusted).unwrap_err(), SignatureError::WrongSignature);
    assert_eq!(verify_any_signer(&changed).unwrap_err(), SignatureError::WrongSignature);

    let stranger = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let waiting = to_be_signed(&Content::Reset, trusted).unwrap();
    let mut signature = vec![0; stranger.public_modulus_len()];
    stranger
        .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), waiting.bytes(), &mut signature)
        .unwrap();
    assert_eq!(waiting.assemble(&signature).unwrap_err(), SignError::WrongSignature);
    assert_eq!(to_be_signed(&Content::Reset, &[]).unwrap_err(), SignError::NoCertificate);
    assert!(to_be_signed(&Content::Reset, &[b"no certificate".to_vec()]).is_err());
}

#[test]
fn refuses_other_layouts() {
    let none = to_base64url(br#"{"alg":"none"}"#);
    let with = |header: &str| to_base64url(header.as_bytes());
    let policy = payload(&Content::Policy(TEXT.into()));
    let cases = [
        (String::new(), JwsError::Parts),
        (format!("{none}.{policy}"), JwsError::Parts),
        (format!("{none}.{policy}.."), JwsError::Parts),
        (format!("?.{policy}."), JwsError::Base64url("header")),
        (format!("{none}.?."), JwsError::Base64url("payload")),
        (format!("{none}.{policy}.?"), JwsError::Base64url("signature")),
        (format!("{none}.{policy}.AAAA"), JwsError::Unsigned),
        (format!("{}.{policy}.", with("{}")), JwsError::Header),
        (format!("{}.{policy}.", with(r#"{"alg":"none","alg":"RS256"}"#)), JwsError::Header),
        (format!("{}.{policy}.", with(r#"{"alg":"none","crit":["b64"]}"#)), JwsError::Header),
        (format!("{}.{policy}.", with(r#"{"alg":"none","x5c":[]}"#)), JwsError::Unsigned),
        (format!("{}.{policy}.AAAA", with(r#"{"alg":"RSA256"}"#)), JwsError::Signer),
        (
            format!("{}.{policy}.AAAA", with(r#"{"alg":"RS256","jwk":{"x5c":["AAAA"],"n":"AA"}}"#)),
            JwsError::Signer,
        ),
        (format!("{}.{policy}.AAAA", with(r#"{"alg":"RS384"}"#)), JwsError::Algorithm),
        (format!("{}.{policy}.AAAA", with(r#"{"alg":"HS256"}"#)), JwsError::Algorithm),
        (format!("{}.{policy}.AAAA", with(r#"{"alg":"RS256"}"#)), JwsError::Signer),
        (format!("{}.{policy}.AAAA", with(r#"{"alg":"RS256","x5c":["?"]}"#)), JwsError::Signer),
        (format!("{none}.{}.", with("{}")), JwsError::Payload),
        (format!("{none}.{}.", with(r#"{"AttestationPolicy":"version= 1.0;"}"#)), JwsError::Text),
        (" ".repeat(MAX_JWS + 1), JwsError::TooLarge),
    ];
    for (jws, error) in cases {
        assert_eq!(parse(&jws).unwrap_err(), error, "{}", jws.chars().take(80).collect::<String>());
    }
}

fn recording(name: &str) -> Option<String> {
    crate::test_corpus::read(&format!("azure-sdk-for-cpp/attestation/{name}.json"))
}

#[test]
fn corpus_recorded_policies_parse_and_hash() {
    let Some(text) = recording("Policy-PolicyTests.PolicyTests-ModifyUnsecured_AAD_SgxEnclave")
    else {
        return crate::test_corpus::absent("corpus_recorded_policies_parse_and_hash");
    };
    let mut hashes = Vec::new();
    for claims in crate::test_corpus::token_claims(&text) {
        if let Some(jws) = claims.get("x-ms-policy").and_then(serde_json::Value::as_str) {
            let jws = parse(jws).unwrap();
            let Content::Policy(text) = jws.content() else { panic!("no policy") };
            let policy = crate::policy::parse(text).unwrap();
            assert_eq!(crate::policy::parse(&policy.to_string()).unwrap(), policy);
            hashes.push(crate::policy::policy_hash(text).to_string());
        }
    }
    hashes.sort();
    hashes.dedup();
    assert!(
        hashes.contains(&"bROrN897ZfWmWY2V0FLUlu3uwk5xatGnKYHn3zBbSlw".to_owned()),
        "{hashes:?}"
    );
    assert!(
        hashes.contains(&"z0FRjKS0ssQTNur1V6BV8WIrh9M3fzgTo0EfHRvapWU".to_owned()),
        "{hashes:?}"
    );
}
