use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::policy::{
    parse,
    strategies::{KINDS, TEXTS, policies},
};

fn claims() -> ClaimSet {
    ClaimSet::new()
        .service("x-ms-attestation-type", Value::Text("sevsnpvm".into()))
        .service("x-ms-compliance-status", Value::Text("azure-compliant-uvm".into()))
        .service("x-ms-sevsnpvm-is-debuggable", Value::Boolean(false))
        .service("x-ms-sevsnpvm-vmpl", Value::Integer(0))
        .service("x-ms-sevsnpvm-microcode-svn", Value::Integer(219))
        .service("set", Value::Integer(1))
        .service("set", Value::Integer(2))
        .service("json", Value::Text("[0, \"abc\", null, true]".into()))
}

/// The issued claims as JSON, or the reason against.
fn check(rules: &str, expected: &str) {
    let policy = parse(rules).unwrap_or_else(|fault| panic!("{fault}"));
    let found = match evaluate(&policy, &claims()) {
        Ok(outgoing) => serde_json::to_string(&outgoing.to_json()).unwrap(),
        Err(denied) => denied.to_string(),
    };
    assert_eq!(found, expected, "{rules}");
}

fn authorization(rules: &str, expected: &str) {
    check(&format!("version=1.2;authorizationrules{{{rules}}};"), expected);
}

fn issuance(rules: &str, expected: &str) {
    check(
        &format!("version=1.2;authorizationrules{{=> permit();}};issuancerules{{{rules}}};"),
        expected,
    );
}

const NO_PERMIT: &str = "Policy Engine Exception: No Permit claim was issued in the authorizationrules section, authorization failed.";
const DENY: &str = "Policy Engine Exception: A Deny claim was issued, authorization failed.";

#[test]
fn permits_only_if_a_permit_rule_applies() {
    authorization("=> permit();", "{}");
    authorization("", NO_PERMIT);
    authorization("[type==\"absent\"] => permit();", NO_PERMIT);
    authorization("[type==\"x-ms-attestation-type\", value==\"sevsnpvm\"] => permit();", "{}");
    authorization("[type==\"x-ms-attestation-type\", value==\"sgx\"] => permit();", NO_PERMIT);
    authorization(
        "[type==\"x-ms-attestation-type\", issuer==\"CustomClaim\"] => permit();",
        NO_PERMIT,
    );
    authorization("[type==\"x-ms-attestation-type\", valueType==\"String\"] => permit();", "{}");
    authorization(
        "[type==\"x-ms-sevsnpvm-microcode-svn\", value>=219, value<220] => permit();",
        "{}",
    );
    authorization("[type==\"x-ms-sevsnpvm-microcode-svn\", value>219] => permit();", NO_PERMIT);
    authorization("[type==\"x-ms-sevsnpvm-vmpl\", value!=0] => permit();", NO_PERMIT);
    // Both conditions must hold, each by a claim of its own.
    authorization(
        "[type==\"x-ms-sevsnpvm-vmpl\", value==0] && [type==\"absent\"] => permit();",
        NO_PERMIT,
    );
}

#[test]
fn what_an_authorization_rule_issues_reaches_later_rules_and_no_token() {
    authorization(
        "=> issue(type=\"mine\", value=1); [type==\"mine\", issuer==\"AttestationPolicy\"] => permit();",
        "{}",
    );
    authorization(
        "=> issue(type=\"x-ms-policy-hash\", value=\"mine\"); => permit();",
        "the policy issues `x-ms-policy-hash`, a claim of the service, with a value of its own",
    );
}

/// Each construct that published policies for enclaves, machines and TPMs use, on claims of their kind.
#[test]
fn evaluates_what_published_policies_are_made_of() {
    let evidence = || {
        ClaimSet::new()
            .service("x-ms-sgx-is-debuggable", Value::Boolean(false))
            .service("x-ms-sgx-product-id", Value::Integer(17))
            .service("x-ms-sgx-svn", Value::Integer(3))
            .service("x-ms-sgx-mrsigner", Value::Text("5e".repeat(32)))
            .service("$is-windows", Value::Boolean(false))
            .service("EV_EFI_Variable_Authority/SHA256/pcr7/0-1/Shim", Value::Text("AB".into()))
            .service("tpmVersion", Value::Integer(2))
            .service("events", Value::Text("[true, true]".into()))
    };
    let cases = [
        // An enclave by product and signer; the signer under another name.
        (
            "version= 1.0;\r\nauthorizationrules \r\n{\r\n [ type==\"x-ms-sgx-is-debuggable\", value==false ]\r\n && [ type==\"x-ms-sgx-product-id\", value==17 ] && [ type==\"x-ms-sgx-svn\", value>= 0 ] \r\n=> permit();\r\n};\r\nissuancerules {\r\nc:[type==\"x-ms-sgx-svn\"] => issue(type=\"svn\", value=c.value);\r\n};",
            r#"{"svn":3}"#,
        ),
        // A deny before, and two permits for two signers.
        (
            "version=1.0;authorizationrules{[type==\"x-ms-sgx-is-debuggable\", value == true] => deny();[type==\"x-ms-sgx-mrsigner\", value==\"a\"] => permit();[ type==\"x-ms-sgx-mrsigner\", value!=\"b\"]=> permit();};",
            "{}",
        ),
        // Properties of the service before, of the token after; a section with a capital letter.
        (
            "version = 1.1;\nconfigurationrules\n{\n=> issueproperty (\ntype = \"x-ms-sgx-tcbidentifier\", value = \"11\"\n);\n=> issueproperty(type = \"require_valid_aik_cert\", value = false);\n};\nauthorizationrules { => permit(); };\nIssuancerules { => issueproperty(type=\"report_validity_in_minutes\", value=1440); };",
            "{}",
        ),
        // Types with any signs; a claim made first and asked for later; a claim passed on whole.
        (
            "version=1.0;authorizationrules{ [type==\"EV_EFI_Variable_Authority/SHA256/pcr7/0-1/Shim\", value==\"AB\"]\n=> add (type=\"keys-validated\", value=true); [type==\"$is-windows\", value==false] && [type==\"keys-validated\", value==true] => permit(); };issuancerules{ => issue(type = \"token-ver\", value = \"1.0\"); c:[type==\"$is-windows\"] => issue(claim=c); };",
            r#"{"$is-windows":false,"token-ver":"1.0"}"#,
        ),
        // A condition that refers to an earlier one; by issuer and kind of value.
        (
            "version=1.0;authorizationrules{ F1:[type==\"tpmVersion\", valueType==\"Integer\"] && C2:[type==\"tpmVersion\" , issuer==\"AttestationService\", value== F1.value ] => permit(); };issuancerules{ [type==\"tpmVersion\", value>=2] => issue(\"modern\", value=true); };",
            r#"{"modern":true}"#,
        ),
        // Sets, absence, and what was not there before.
        (
            "version=1.2;\n\nconfigurationrules{\n};\n\nauthorizationrules {\n\t=> permit(); // always\n};\nissuancerules{\nc :[type == \"events\", issuer==\"AttestationService\"] => add(type=\"set\", value=JsonToClaimValue(c.value));c:[type==\"set\", issuer=\"AttestationPolicy\"]=> issue(type=\"all\", value=ContainsOnlyValue(c.value, true));\n![type==\"none\"] => issue(type=\"none\", value=NegateBool(true)); c1:[type==\"all\"] && c2:[type==\"set\"] => issue(type=\"within\", value=IsSubsetOf(c1.value, c2.value));\n\n};//end",
            r#"{"all":true,"none":false,"within":true}"#,
        ),
        // A table of actions has no `issue` here, but a published policy does.
        (
            "version=1.2;authorizationrules{ c:[type==\"x-ms-sgx-svn\", issuer==\"AttestationService\", value==3] => issue(type=\"verified\", value=true); c:[type==\"verified\", issuer==\"AttestationPolicy\" , value==true] => permit(); };issuancerules{ };",
            "{}",
        ),
    ];
    for (text, expected) in cases {
        let policy = parse(text).unwrap_or_else(|fault| panic!("{fault}"));
        assert_eq!(parse(&policy.to_string()).unwrap(), policy, "{text}");
        let issued = match evaluate(&policy, &evidence()) {
            Ok(outgoing) => serde_json::to_string(&outgoing.to_json()).unwrap(),
            Err(denied) => denied.to_string(),
        };
        assert_eq!(issued, expected, "{text}");
    }
}

#[test]
fn a_deny_wins_over_a_permit_in_any_order() {
    authorization("=> permit(); => deny();", DENY);
    authorization("=> deny(); => permit();", DENY);
    authorization("=> deny();", DENY);
    authorization(
        "[type==\"x-ms-sevsnpvm-is-debuggable\", value==true] => deny(); => permit();",
        "{}",
    );
    authorization("![type==\"absent\"] => deny(); => permit();", DENY);
    authorization("![type==\"set\"] => deny(); => permit();", "{}");
}

#[test]
fn added_claims_are_seen_by_later_rules_only() {
    authorization(
        "=> add(type=\"x\", value=1); [type==\"x\", issuer==\"AttestationPolicy\"] => permit();",
        "{}",
    );
    authorization("[type==\"x\"] => permit(); => add(type=\"x\", value=1);", NO_PERMIT);
    check(
        "version=1.1;configurationrules{=> issueproperty(type=\"p\", value=1);};authorizationrules{[type==\"p\"] => permit();};",
        "{}",
    );
}

#[test]
fn issues_claims_in_order_and_only_issued_ones() {
    issuance(
        "=> add(type=\"x\", value=1); c:[type==\"x\"] => issue(type=\"y\", value=c.value);",
        "{\"y\":1}",
    );
    issuance("c:[type==\"x-ms-sevsnpvm-vmpl\"] => issue(claim=c);", "{\"x-ms-sevsnpvm-vmpl\":0}");
    issuance("c:[type==\"set\"] => issue(type=\"y\", value=c.value);", "{\"y\":[1,2]}");
    issuance("=> issueproperty(type=\"report_validity_in_minutes\", value=60);", "{}");
    let policy =
        parse("version=1.0;authorizationrules{=> permit();};issuancerules{=> issueproperty(type=\"p\", value=60);};")
            .unwrap();
    let outgoing = evaluate(&policy, &claims()).unwrap();
    let property =
        Claim { kind: "p".into(), value: Value::Integer(60), issuer: Issuer::AttestationPolicy };
    assert_eq!(outgoing.properties(), [property]);
}

#[test]
fn refuses_a_claim_of_the_service_with_another_value() {
    let refused = |kind: &str| {
        format!("the policy issues `{kind}`, a claim of the service, with a value of its own")
    };
    for kind in ["x-ms-policy-hash", "iss", "x-ms-sevsnpvm-hostdata", "x-ms-runtime", "set"] {
        issuance(&format!("=> issue(type=\"{kind}\", value=\"forged\");"), &refused(kind));
    }
    issuance(
        "c:[type==\"set\"] => issue(type=\"x-ms-sevsnpvm-vmpl\", value=c.value);",
        &refused("x-ms-sevsnpvm-vmpl"),
    );
    // What a rule added is no value of the service's.
    issuance(
        "=> add(type=\"iss\", value=\"a\"); c:[type==\"iss\"] => issue(claim=c);",
        &refused("iss"),
    );
}

#[test]
fn functions_follow_their_documentation() {
    issuance(
        "c:[type==\"json\"] => issue(type=\"y\", value=JsonToClaimValue(c.value));",
        "{\"y\":[0,\"abc\",true]}",
    );
    issuance("=> issue(type=\"y\", value=JsonToClaimValue(\"null\"));", "{}");
    issuance(
        "=> issue(type=\"y\", value=AppendString(\"a\\\"\", AppendString(\"b\", \"\")));",
        "{\"y\":\"a\\\"b\"}",
    );
    issuance("=> issue(type=\"y\", value=NegateBool(true));", "{\"y\":false}");
    issuance(
        "c:[type==\"set\"] => issue(type=\"y\", value=ContainsOnlyValue(c.value, 1));",
        "{\"y\":false}",
    );
    issuance(
        "=> issue(type=\"y\", value=ContainsOnlyValue(JsonToClaimValue(\"[1,1]\"), 1));",
        "{\"y\":true}",
    );
    issuance(
        "=> issue(type=\"y\", value=ContainsOnlyValue(JsonToClaimValue(\"[]\"), 1));",
        "{\"y\":false}",
    );
    issuance(
        "c:[type==\"set\"] => issue(type=\"y\", value=IsSubsetOf(c.value, JsonToClaimValue(\"[2,1,3]\")));",
        "{\"y\":true}",
    );
    issuance(
        "c:[type==\"set\"] => issue(type=\"y\", value=IsSubsetOf(c.value, 1));",
        "{\"y\":false}",
    );
}

#[test]
fn refuses_what_public_text_does_not_define() {
    let cases = [
        ("=> issue(type=\"y\", value=JmesPath(\"{}\", \"a\"));", "the function `JmesPath`"),
        ("=> issue(type=\"y\", value=JsonToClaimValue(\"1.5\"));", "JSON that is no claim's value"),
        (
            "=> issue(type=\"y\", value=JsonToClaimValue(\"[[1]]\"));",
            "JSON that is no claim's value",
        ),
        ("=> issue(type=\"y\", value=JsonToClaimValue(\"{\"));", "text that is not JSON"),
        (
            "=> issue(type=\"y\", value=\"a\\n\");",
            "an escape other than that of the quotation mark",
        ),
        ("=> issue(type=\"y\", value=NegateBool(1));", "another value where a Boolean is needed"),
        (
            "=> issue(type=\"y\", value=AppendString(1, \"a\"));",
            "another value where a string is needed",
        ),
        (
            "[type==\"set\", value!=\"1\"] => issue(type=\"y\", value=1);",
            "`!=` between values of different types",
        ),
        (
            "c:[type==\"set\"] && [value==c.value] => issue(type=\"y\", value=1);",
            "several values where one is needed",
        ),
    ];
    for (rule, what) in cases {
        issuance(rule, &format!("not supported: {what}"));
    }
    // A claim that another test excludes does not bring the evaluation down.
    issuance("[type==\"none\", value!=\"1\"] => issue(type=\"y\", value=1);", "{}");
    issuance("[type==\"none\", value==JmesPath(\"\", \"\")] => issue(type=\"y\", value=1);", "{}");
    // Nor does an unlike type that is asked to be equal.
    issuance("[type==\"set\", value==\"1\"] => issue(type=\"y\", value=1);", "{}");
}

#[test]
fn refuses_rules_that_make_claims_without_end() {
    let double = "c:[type==\"a\"] => add(type=\"a\", value=c.value);".repeat(40);
    issuance(
        &format!("=> add(type=\"a\", value=1); {double}"),
        "the policy makes more claims than are evaluated here",
    );
    let longer = "c:[type==\"a\", valueType==\"String\"] => add(type=\"a\", value=AppendString(c.value, c.value));";
    let chain: String = (0..40)
        .map(|n| {
            longer.replace("\"a\"", &format!("\"a{n}\"")).replacen(
                "add(type=\"a",
                "add(type=\"b",
                1,
            )
        })
        .map(|rule| {
            let (from, to) = rule.split_once("\"b").unwrap();
            let number: usize = to.split('"').next().unwrap().parse().unwrap();
            format!("{from}\"a{}\"{}", number + 1, to.split_once('"').unwrap().1)
        })
        .collect();
    issuance(
        &format!("=> add(type=\"a0\", value=\"0123456789\"); {chain}"),
        "the policy makes more claims than are evaluated here",
    );
}

#[test]
fn explains_which_rule_did_what() {
    let policy = parse(
        "version=1.0;\nauthorizationrules{\n[type==\"x-ms-sevsnpvm-is-debuggable\", value==true] => deny();\n[type==\"x-ms-attestation-type\", value==\"sevsnpvm\"] && [type==\"x-ms-compliance-status\", value==\"azure-compliant-cvm\"] => permit();\n[type==\"absent\"] => permit();\nc:[type==\"set\"] => add(claim=c);\n};",
    )
    .unwrap();
    let denied = evaluate(&policy, &claims()).unwrap_err();
    assert_eq!(*denied.refusal(), Refusal::NoPermit);
    insta::assert_snapshot!(denied.trace().explain(&policy));
    assert_eq!(denied.trace().steps().len(), 4);
    assert_eq!(denied.trace().claims().len(), claims().claims().len() + 2);
}

#[test]
fn takes_the_service_claims_of_a_token() {
    let token = serde_json::json!({
        "x-ms-ver": "1.0", "exp": 1, "secureboot": true, "mine": 1, "x-ms-runtime": {"keys": []},
        "x-ms-azurevm-attested-pcrs": [0], "x-ms-policy": {"mine": 1},
    });
    let set = ClaimSet::from_token(token.as_object().unwrap());
    let kinds: Vec<&str> = set.claims().iter().map(|claim| claim.kind.as_str()).collect();
    assert_eq!(kinds, ["exp", "secureboot", "x-ms-ver"]);
}

fn random_claims() -> impl Strategy<Value = ClaimSet> {
    let value = prop_oneof![
        any::<bool>().prop_map(Value::Boolean),
        (0_i64..4).prop_map(Value::Integer),
        select(TEXTS.to_vec()).prop_map(|text| Value::Text(text.to_owned())),
    ];
    let issuer =
        select(vec![Issuer::AttestationService, Issuer::AttestationPolicy, Issuer::CustomClaim]);
    let claim = (select(KINDS.to_vec()), value, issuer).prop_map(|(kind, value, issuer)| Claim {
        kind: kind.to_owned(),
        value,
        issuer,
    });
    vec(claim, 0..6).prop_map(|claims| {
        let mut set = ClaimSet::new();
        claims.into_iter().for_each(|claim| set.push(claim));
        set
    })
}

proptest! {
    #![proptest_config(crate::test_cases::config(2000))]
    #[test]
    fn agrees_with_the_naive_evaluator(policy in policies(), claims in random_claims()) {
        let found = evaluate(&policy, &claims);
        let expected = naive::evaluate(&policy, &claims);
        match (found, expected) {
            (Ok(found), Ok((issued, properties))) => {
                prop_assert_eq!(found.issued(), issued);
                prop_assert_eq!(found.properties(), properties);
            },
            // Of two gaps in one condition either may be named.
            (Err(Denied { refusal: Refusal::NotSupported(_), .. }), Err(Refusal::NotSupported(_))) => {},
            (Err(found), Err(expected)) => prop_assert_eq!(found.refusal(), &expected),
            (found, expected) => prop_assert!(false, "{:?} but {:?}", found, expected),
        }
    }
}
