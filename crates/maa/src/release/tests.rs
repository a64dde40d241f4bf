use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Map, Value, json};

use super::*;
use crate::test_corpus;

const ISSUER: &str = "https://vouchsafe.weu.attest.azure.net";

fn policy(condition: Value) -> ReleasePolicy {
    let json = json!({"version": "1.0.0", "anyOf": [{"authority": ISSUER, "allOf": [condition]}]});
    ReleasePolicy::parse(json.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error:?}"))
}

fn claims() -> Map<String, Value> {
    let claims = json!({
        "x-ms-attestation-type": "sevsnpvm", "x-ms-sevsnpvm-is-debuggable": false, "x-ms-sevsnpvm-vmpl": 0,
        "svn": "21", "null": null, "fraction": 1.5,
        "x-ms-isolation-tee": {"x-ms-compliance-status": "azure-compliant-cvm", "x-ms-runtime": {"keys": [1]}},
    });
    claims.as_object().unwrap().clone()
}

fn check(condition: Value, expected: Verdict) {
    let found = evaluate(&policy(condition.clone()), ISSUER, &claims());
    let verdict = if found.is_ok() { Verdict::Holds } else { Verdict::Fails };
    assert_eq!(verdict, expected, "{condition}");
}

#[test]
fn compares_canonical_text() {
    use Verdict::{Fails, Holds};
    let c = |claim: &str, operator: &str, value: Value| json!({"claim": claim, operator: value});
    check(c("x-ms-attestation-type", "equals", json!("sevsnpvm")), Holds);
    check(c("x-ms-attestation-type", "equals", json!("SevSnpVm")), Fails);
    check(c("x-ms-sevsnpvm-is-debuggable", "equals", json!("false")), Holds);
    check(c("x-ms-sevsnpvm-is-debuggable", "equals", json!(false)), Holds);
    check(c("x-ms-sevsnpvm-is-debuggable", "notEquals", json!(true)), Holds);
    check(c("x-ms-sevsnpvm-vmpl", "equals", json!("0")), Holds);
    check(c("x-ms-sevsnpvm-vmpl", "equals", json!("00")), Fails);
    check(c("svn", "equals", json!(21)), Holds);
    check(c("svn", "notEquals", json!(21)), Fails);
    // As numbers, not as text.
    check(c("svn", "greater", json!(3)), Holds);
    check(c("svn", "greater", json!(21)), Fails);
    check(c("svn", "greaterOrEquals", json!("21")), Holds);
    check(c("svn", "less", json!(22)), Holds);
    check(c("svn", "lessOrEquals", json!(20)), Fails);
    check(c("x-ms-attestation-type", "less", json!(1)), Fails);
    check(c("fraction", "less", json!(2)), Fails);
}

#[test]
fn a_missing_claim_meets_no_comparison() {
    use Verdict::{Fails, Holds};
    for (operator, value) in [
        ("equals", ""),
        ("notEquals", "x"),
        ("less", "1"),
        ("greaterOrEquals", "0"),
        ("lessOrEquals", "0"),
    ] {
        for claim in [
            "absent",
            "null",
            "x-ms-isolation-tee",
            "x-ms-isolation-tee.x-ms-runtime.keys",
            "svn.a",
        ] {
            check(json!({"claim": claim, operator: value}), Fails);
        }
    }
    check(json!({"claim": "absent", "exists": true}), Fails);
    check(json!({"claim": "absent", "exists": "false"}), Holds);
    check(json!({"claim": "svn", "exists": "true"}), Holds);
    check(json!({"claim": "x-ms-isolation-tee", "exists": true}), Holds);
    check(json!({"claim": "x-ms-isolation-tee.x-ms-runtime.keys.0", "exists": true}), Fails);
}

#[test]
fn reaches_into_objects() {
    use Verdict::{Fails, Holds};
    let claim = "x-ms-isolation-tee.x-ms-compliance-status";
    check(json!({"claim": claim, "equals": "azure-compliant-cvm"}), Holds);
    check(json!({"claim": "x-ms-compliance-status", "equals": "azure-compliant-cvm"}), Fails);
}

#[test]
fn groups_nest() {
    use Verdict::{Fails, Holds};
    let (yes, no) = (json!({"claim": "svn", "equals": 21}), json!({"claim": "svn", "equals": 22}));
    check(json!({"anyOf": [no, yes]}), Holds);
    check(json!({"allOf": [no, yes]}), Fails);
    check(json!({"anyOf": [{"allOf": [yes, no]}, {"anyOf": [no]}]}), Fails);
    check(json!({"allOf": [{"anyOf": [yes, no]}, yes]}), Holds);
}

#[test]
fn asks_for_the_issuer_to_the_letter() {
    let wanted = policy(json!({"claim": "svn", "equals": 21}));
    let with_slash = wanted.to_string().replace(ISSUER, &format!("{ISSUER}/"));
    let with_slash = ReleasePolicy::parse(with_slash.as_bytes()).unwrap();
    assert_eq!(evaluate(&wanted, ISSUER, &claims()).unwrap().authority(), ISSUER);
    evaluate(&with_slash, ISSUER, &claims()).unwrap();
    for other in
        ["https://vouchsafe2.weu.attest.azure.net", "https://vouchsafe.weu.attest.azure.net/", ""]
    {
        evaluate(&wanted, other, &claims()).unwrap_err();
    }
}

#[test]
fn explains_why_not() {
    let policy = json!({"version": "0.2", "anyOf": [
        {"authority": "https://elsewhere", "allOf": [{"claim": "svn", "equals": 21}]},
        {"authority": ISSUER, "allOf": [
            {"claim": "x-ms-attestation-type", "equals": "sevsnpvm"},
            {"anyOf": [{"claim": "absent", "exists": true}, {"claim": "null", "equals": "a\"b"}]},
            {"claim": "svn", "greaterOrEquals": 22},
        ]},
    ]});
    let policy = ReleasePolicy::parse(policy.to_string().as_bytes()).unwrap();
    let denied = evaluate(&policy, ISSUER, &claims()).unwrap_err();
    assert_eq!(denied.traces().len(), 2);
    insta::assert_snapshot!(denied.explain());
}

#[test]
fn compares_meaning() {
    let same = [
        r#"{"version":"1.0.0","anyOf":[{"authority":"https://a","allOf":[{"claim":"x","equals":"true"},{"claim":"y","equals":1}]}]}"#,
        r#" {"anyOf" : [{"allOf":[{"equals":"1","claim":"y"},{"claim":"x","equals":true}],"authority":"https://a/"}],"version":"0.2"}"#,
        r#"{"version":"1.0.0","anyOf":[{"authority":"https://a","allOf":[{"allOf":[{"claim":"x","equals":"true"}]},{"anyOf":[{"claim":"y","equals":1}]},{"claim":"y","equals":1}]}]}"#,
    ];
    let other = [
        r#"{"version":"1.0.0","anyOf":[{"authority":"https://b","allOf":[{"claim":"x","equals":"true"},{"claim":"y","equals":1}]}]}"#,
        r#"{"version":"1.0.0","anyOf":[{"authority":"https://a","anyOf":[{"claim":"x","equals":"true"},{"claim":"y","equals":1}]}]}"#,
        r#"{"version":"1.0.0","anyOf":[{"authority":"https://a","allOf":[{"claim":"x","equals":"true"}]}]}"#,
        r#"{"version":"1.0.0","anyOf":[{"authority":"https://a","allOf":[{"claim":"x","equals":"true"},{"claim":"y","notEquals":1}]}]}"#,
        r#"{"version":"1.0.0","anyOf":[{"authority":"https://a","allOf":[{"claim":"x","equals":"True"},{"claim":"y","equals":1}]}]}"#,
    ];
    let parse = |text: &str| ReleasePolicy::parse(text.as_bytes()).unwrap();
    for text in same {
        assert_eq!(parse(text), parse(same[0]), "{text}");
    }
    for text in other {
        assert_ne!(parse(text), parse(same[0]), "{text}");
    }
}

#[test]
fn prints_as_a_vault_does() {
    let text = r#"{"version":"1.0.0","anyOf":[{"authority":"https://a","allOf":[{"claim":"x","equals":"\"é\n"},{"anyOf":[{"claim":"y.z","less":-1},{"claim":"y","exists":false}]}]}]}"#;
    let policy = ReleasePolicy::parse(text.as_bytes()).unwrap();
    assert_eq!(policy.to_string(), text);
    assert_eq!(ReleasePolicy::from_data(&policy.to_data()).unwrap(), policy);
    let padded = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE, text);
    assert_eq!(ReleasePolicy::from_data(&padded).unwrap(), policy);
    assert!(matches!(ReleasePolicy::from_data("?"), Err(ReleaseError::Base64url)));
}

#[test]
fn refuses_what_is_not_in_the_grammar() {
    let condition = |text: &str| {
        format!(r#"{{"version":"1.0.0","anyOf":[{{"authority":"https://a","allOf":[{text}]}}]}}"#)
    };
    let deep = |times: usize| {
        condition(&format!(
            "{}{}{}",
            r#"{"allOf":["#.repeat(times),
            r#"{"claim":"x","equals":1}"#,
            "]}".repeat(times)
        ))
    };
    ReleasePolicy::parse(deep(MAX_DEPTH - 1).as_bytes()).unwrap();
    let cases = [
        "".to_owned(),
        "[]".to_owned(),
        r#"{"version":"1.0.0"}"#.to_owned(),
        r#"{"version":"1.0.0","anyOf":[]}"#.to_owned(),
        r#"{"version":"2.0.0","anyOf":[{"authority":"https://a","allOf":[{"claim":"x","equals":1}]}]}"#.to_owned(),
        r#"{"version":"1.0.0","allOf":[{"authority":"https://a","allOf":[{"claim":"x","equals":1}]}]}"#.to_owned(),
        r#"{"version":"1.0.0","anyOf":[{"authority":"https://a"}]}"#.to_owned(),
        r#"{"version":"1.0.0","anyOf":[{"allOf":[{"claim":"x","equals":1}]}]}"#.to_owned(),
        r#"{"version":"1.0.0","anyOf":[{"authority":"https://a","anyOf":[{"claim":"x","equals":1}],"allOf":[{"claim":"x","equals":1}]}]}"#.to_owned(),
        condition(""),
        condition("{}"),
        condition(r#"{"claim":"x"}"#),
        condition(r#"{"equals":"x"}"#),
        condition(r#"{"claim":"x","equals":1,"less":2}"#),
        condition(r#"{"claim":"x","equals":1,"equals":2}"#),
        condition(r#"{"claim":"x","contains":"a"}"#),
        condition(r#"{"claim":"x","equals":{}}"#),
        condition(r#"{"claim":"x","equals":null}"#),
        condition(r#"{"claim":"x","equals":1.5}"#),
        condition(r#"{"claim":"x","equals":18446744073709551615}"#),
        condition(r#"{"claim":"x","less":"a"}"#),
        condition(r#"{"claim":"x","exists":1}"#),
        condition(r#"{"claim":"","equals":1}"#),
        condition(r#"{"claim":"a..b","equals":1}"#),
        condition(r#"{"anyOf":[]}"#),
        condition(r#"{"anyOf":[{"claim":"x","equals":1}],"claim":"x","equals":1}"#),
        deep(MAX_DEPTH),
        deep(65_536 / 12),
        r#"{"anyOf":["#.repeat(6_000),
        " ".repeat(MAX_POLICY + 1),
    ];
    for text in cases {
        let refused = ReleasePolicy::parse(text.as_bytes());
        assert!(refused.is_err(), "{}", text.chars().take(200).collect::<String>());
    }
}

#[test]
fn corpus_public_policies_parse_and_evaluate() {
    let (Some(policy), Some(recording)) = (
        test_corpus::read("cvm-guest-attestation/public_SKR_policy-datadisk.json"),
        test_corpus::read(
            "azure-sdk-for-cpp/keyvault-keys/KeyVaultKeyClient.CreateKeyWithReleasePolicyOptions.json",
        ),
    ) else {
        return test_corpus::absent("corpus_public_policies_parse_and_evaluate");
    };
    let policy = ReleasePolicy::parse(policy.as_bytes()).unwrap();
    assert!(policy.authorities().len() > 10);
    assert_eq!(ReleasePolicy::parse(policy.to_string().as_bytes()).unwrap(), policy);
    let cvm = json!({"x-ms-isolation-tee": {
        "x-ms-attestation-type": "sevsnpvm", "x-ms-compliance-status": "azure-compliant-cvm"}});
    let issuer = "https://sharedweu.weu.attest.azure.net";
    evaluate(&policy, issuer, cvm.as_object().unwrap()).unwrap();
    evaluate(&policy, ISSUER, cvm.as_object().unwrap()).unwrap_err();
    evaluate(&policy, issuer, &claims()).unwrap_err();

    let data = recording.split(r#"\"data\":\""#).nth(1).or(recording.split(r#""data": ""#).nth(1));
    let data: String = data
        .unwrap()
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c))
        .collect();
    let policy = ReleasePolicy::from_data(&data).unwrap();
    assert_eq!(ReleasePolicy::from_data(&policy.to_data()).unwrap(), policy);
}

fn conditions() -> impl Strategy<Value = Condition> {
    let text = select(vec!["0", "1", "true", "sevsnpvm", "21", ""])
        .prop_map(|text| Scalar::Text(text.to_owned()));
    let scalar = prop_oneof![
        any::<bool>().prop_map(Scalar::Boolean),
        (-1_i64..30).prop_map(Scalar::Integer),
        text
    ];
    let claim = select(vec![
        "svn",
        "absent",
        "null",
        "x-ms-sevsnpvm-is-debuggable",
        "x-ms-attestation-type",
        "x-ms-isolation-tee.x-ms-compliance-status",
        "x-ms-isolation-tee.x-ms-runtime",
    ]);
    let free = (claim.clone(), select(vec![Operator::Equals, Operator::NotEquals]), scalar);
    let ordered =
        [Operator::Less, Operator::LessOrEquals, Operator::Greater, Operator::GreaterOrEquals];
    let ordered = (claim.clone(), select(ordered.to_vec()), (-1_i64..30).prop_map(Scalar::Integer));
    let exists = (claim, Just(Operator::Exists), any::<bool>().prop_map(Scalar::Boolean));
    let leaf = prop_oneof![free, ordered, exists].prop_map(|(claim, operator, value)| {
        Condition::Claim { claim: claim.to_owned(), operator, value }
    });
    leaf.prop_recursive(3, 12, 3, |inner| groups(inner.boxed()).prop_map(Condition::Group))
}

fn groups(conditions: BoxedStrategy<Condition>) -> impl Strategy<Value = Group> {
    prop_oneof![
        vec(conditions.clone(), 1..4).prop_map(Group::AnyOf),
        vec(conditions, 1..4).prop_map(Group::AllOf)
    ]
}

fn random_policies() -> impl Strategy<Value = ReleasePolicy> {
    let slash = format!("{ISSUER}/");
    let authority = select(vec![ISSUER.to_owned(), slash, "https://elsewhere".to_owned()]);
    let authority = (authority, groups(conditions().boxed()))
        .prop_map(|(authority, group)| Authority { authority, group });
    (select(vec![Version::V1_0_0, Version::V0_2]), vec(authority, 1..3))
        .prop_map(|(version, any_of)| ReleasePolicy { version, any_of })
}

proptest! {
    #![proptest_config(crate::test_cases::config(500))]
    #[test]
    fn printing_and_parsing_give_the_policy_back(policy in random_policies()) {
        let parsed = ReleasePolicy::parse(policy.to_string().as_bytes()).unwrap();
        prop_assert_eq!(parsed.to_string(), policy.to_string());
        prop_assert_eq!(parsed, policy);
    }

    #[test]
    fn agrees_with_the_naive_evaluator(policy in random_policies()) {
        let json: Value = serde_json::from_str(&policy.to_string()).unwrap();
        let expected = naive::permits(&json, ISSUER, &Value::Object(claims()));
        prop_assert_eq!(evaluate(&policy, ISSUER, &claims()).is_ok(), expected);
    }

    #[test]
    fn policies_of_the_same_meaning_let_the_same_tokens_through(policy in random_policies()) {
        let mut turned = policy.clone();
        turned.any_of.reverse();
        let repeated = turned.any_of[0].clone();
        turned.any_of.push(repeated);
        prop_assert_eq!(&turned, &policy);
        let judge = |policy| evaluate(policy, ISSUER, &claims()).is_ok();
        prop_assert_eq!(judge(&turned), judge(&policy));
    }
}
