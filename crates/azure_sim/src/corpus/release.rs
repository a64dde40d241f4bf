//! The real attestation request gets a token, and a key released to that token opens with the private half that lies beside it.

use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrapPadded as _};
use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OaepPrivateDecryptingKey,
    PrivateDecryptingKey,
};
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_2048_8192_SHA256,
    UnparsedPublicKey,
};
use hyper::Method;
use maa::token::{Jwks, verify};
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::file;
use crate::bench::{Bench, GROUP, json as body};
use crate::core::encoding::{b64url, from_b64, from_b64url};

const MAA: &str = "https://p.weu.attest.azure.net";
const VAULT: &str = "https://v.vault.azure.net";
const FOLDER: &str = "azure-cleanroom/insecure-virtual/encryption";

fn policy(claims: Value) -> Value {
    json!({"data": b64url(json!({"version": "1.0.0", "anyOf": [{"authority": MAA, "allOf": claims}]}).to_string()), "immutable": true})
}

#[tokio::test]
async fn corpus_the_real_request_is_attested_and_a_key_is_released_to_it() {
    let Some(request) = file("the real request", &format!("{FOLDER}/maa-request.json")) else {
        return;
    };
    let private = file("the real request", &format!("{FOLDER}/test-key.pkcs8.b64")).unwrap();
    let private =
        from_b64(String::from_utf8(private).unwrap().split_whitespace().collect::<String>())
            .unwrap();
    let bench = Bench::new().with_vault(|_| {}).with_provider("p", Vec::new());

    let answer = bench
        .call(Method::POST, &format!("{MAA}/attest/SevSnpVM?api-version=2020-10-01"), None, request)
        .await;
    assert_eq!(answer.status, 200, "{}", body(&answer));
    let token = body(&answer)["token"].as_str().unwrap().to_owned();
    let keys = bench.call(Method::GET, &format!("{MAA}/certs"), None, "").await;
    let verified =
        verify(&token, &Jwks::parse(&keys.body).unwrap(), MAA, bench.cloud.now()).unwrap();
    let claims = verified.claims();
    // The policy of azure-cleanroom's template: `values.txt` beside the request's folder.
    assert_eq!(
        claims["x-ms-sevsnpvm-hostdata"],
        "73973b78d70cc68353426de188db5dfc57e5b766e399935fb73a61127ea26d20"
    );
    assert_eq!(claims["x-ms-compliance-status"], "azure-compliant-uvm");
    assert_eq!(claims["x-ms-attestation-type"], "sevsnpvm");
    assert_eq!(claims["x-ms-sevsnpvm-is-debuggable"], false);
    assert_eq!(claims["x-ms-sevsnpvm-imageId"], "02000000000000000000000000000000");
    assert_eq!(claims["x-ms-sevsnpvm-guestsvn"], 2);
    assert_eq!(claims["nonce"], "13202930541250959283");
    assert_eq!(claims["x-ms-runtime"]["keys"][0]["kid"], "96478d5f");
    assert!(claims.keys().is_sorted());

    bench.grant(
        "14b46e9e-c2b7-41b4-b07b-48a6ebf60603",
        &format!("{GROUP}/providers/Microsoft.KeyVault/vaults/v"),
    );
    let bearer = bench.token(&bench.administrator, "https://vault.azure.net").await;
    let call = async |path: &str, sent: Value| {
        let answer = bench
            .call(
                Method::POST,
                &format!("{VAULT}{path}?api-version=7.4"),
                Some(&bearer),
                sent.to_string(),
            )
            .await;
        (answer.status.as_u16(), body(&answer))
    };
    let conditions = json!([
        {"claim": "x-ms-attestation-type", "equals": "sevsnpvm"},
        {"claim": "x-ms-compliance-status", "equals": "azure-compliant-uvm"},
        {"claim": "x-ms-sevsnpvm-is-debuggable", "equals": "false"},
        {"claim": "x-ms-policy-hash", "equals": "9NY0VnTQ-IiBriBplVUpFbczcDaEBUwsiFYAzHu_gco"},
        {"claim": "x-ms-sevsnpvm-hostdata", "equals": claims["x-ms-sevsnpvm-hostdata"]},
    ]);
    let key = json!({"kty": "EC-HSM", "crv": "P-384", "attributes": {"exportable": true}, "release_policy": policy(conditions)});
    let (status, made) = call("/keys/k/create", key).await;
    assert_eq!(status, 200, "{made}");
    let point = [&[4][..], &member(&made["key"]["x"]), &member(&made["key"]["y"])].concat();

    for (enc, oaep) in [
        ("CKM_RSA_AES_KEY_WRAP", &OAEP_SHA1_MGF1SHA1),
        ("RSA_AES_KEY_WRAP_256", &OAEP_SHA256_MGF1SHA256),
        ("RSA_AES_KEY_WRAP_384", &OAEP_SHA384_MGF1SHA384),
    ] {
        let (status, released) =
            call("/keys/k//release", json!({"target": token, "enc": enc, "nonce": "n"})).await;
        assert_eq!(status, 200, "{released}");
        let payload = open_jws(released["value"].as_str().unwrap());
        assert_eq!(
            payload["request"],
            json!({"api-version": "7.4", "enc": enc, "kid": format!("{VAULT}/keys/k"), "nonce": "n"})
        );
        let inner = &payload["response"]["key"];
        assert_eq!(inner["release_policy"]["immutable"], true);
        let key_hsm: Value = serde_json::from_slice(&member(&inner["key"]["key_hsm"])).unwrap();
        assert_eq!(key_hsm["header"], json!({"alg": "dir", "enc": enc, "kid": "96478d5f"}));
        let ciphertext = member(&key_hsm["ciphertext"]);
        let (wrapped, rest) = ciphertext.split_at(256);
        let rsa =
            OaepPrivateDecryptingKey::new(PrivateDecryptingKey::from_pkcs8(&private).unwrap())
                .unwrap();
        let mut buffer = [0; 256];
        let aes = rsa.decrypt(oaep, wrapped, &mut buffer, None).unwrap();
        let mut plain = vec![0; rest.len()];
        let pkcs8 =
            AesKek::new(&AES_256, aes).unwrap().unwrap_with_padding(rest, &mut plain).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, pkcs8).unwrap();
        assert_eq!(pair.public_key().as_ref(), point);
    }

    // One claim less true, and the vault says no.
    let other = json!([{"claim": "x-ms-sevsnpvm-hostdata", "equals": "00"}]);
    let key = json!({"kty": "EC-HSM", "crv": "P-384", "attributes": {"exportable": true}, "release_policy": policy(other)});
    assert_eq!(call("/keys/other/create", key).await.0, 200);
    let (status, said) = call("/keys/other/release", json!({"target": token})).await;
    assert_eq!(
        (status, &said["error"]["message"]),
        (
            403,
            &json!("Target environment attestation does not meet key release policy requirements.")
        )
    );
    // A token with one character changed is no token.
    let mut forged = token.clone().into_bytes();
    let last = forged.len() - 20;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    let (status, said) =
        call("/keys/k/release", json!({"target": String::from_utf8(forged).unwrap()})).await;
    assert_eq!(
        (status, &said["error"]["message"]),
        (403, &json!("Target environment attestation statement cannot be verified."))
    );
    // Another provider of the region signs with the same key; the issuer tells them apart.
    let bench = bench.with_provider("q", Vec::new());
    let request = file("the real request", &format!("{FOLDER}/maa-request.json")).unwrap();
    let answer = bench
        .call(
            Method::POST,
            "https://q.weu.attest.azure.net/attest/SevSnpVm?api-version=2020-10-01",
            None,
            request,
        )
        .await;
    let sent = json!({"target": body(&answer)["token"]}).to_string();
    let answer = bench
        .call(Method::POST, &format!("{VAULT}/keys/k/release?api-version=7.4"), Some(&bearer), sent)
        .await;
    assert_eq!(answer.status, 403);
    assert_eq!(bench.cloud.faults.counts()["keyvault.keys.release"].ok, 3);
}

fn member(value: &Value) -> Vec<u8> {
    from_b64url(value.as_str().unwrap()).unwrap()
}

/// Verifies under `x5c[0]`, and gives the payload.
fn open_jws(jws: &str) -> Value {
    let (signed, signature) = jws.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    let header: Value = serde_json::from_slice(&from_b64url(header).unwrap()).unwrap();
    let leaf = from_b64(header["x5c"][0].as_str().unwrap()).unwrap();
    let (_, certificate) = X509Certificate::from_der(&leaf).unwrap();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, certificate.public_key().raw)
        .verify(signed.as_bytes(), &from_b64url(signature).unwrap())
        .unwrap();
    assert_eq!(header["kid"].as_str().unwrap().len(), 40);
    serde_json::from_slice(&from_b64url(payload).unwrap()).unwrap()
}
