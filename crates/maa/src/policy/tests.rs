use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{strategies::policies, *};

fn check(text: &str, canonical: &str) {
    let policy = parse(text).unwrap_or_else(|fault| panic!("{fault}"));
    assert_eq!(policy.to_string(), canonical);
    assert_eq!(parse(canonical).unwrap(), policy);
    assert_eq!(parse(canonical).unwrap().to_string(), canonical);
}

fn refused(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn prints_a_policy_in_its_canonical_form() {
    check(
        "version= 1.0;\nauthorizationrules\n{\n// a comment\n=> permit();};",
        "version=1.0;\nauthorizationrules {\n    => permit();\n};\n",
    );
    check(
        "version=1.1;configurationrules{=>issueproperty(value=15,type=\"required_pcr_mask\");};authorizationrules{[type==\"a\",value>=3]&&c:[value!=true]&&[type==\"b\",value==c.value]=>permit();[issuer==\"x\"]=>deny();};issuancerules{c:[type==\"a\"]=>issue(claim=c);};",
        "version=1.1;\nconfigurationrules {\n    => issueproperty(type=\"required_pcr_mask\", value=15);\n};\nauthorizationrules {\n    [type==\"a\", value>=3] &&\n    c:[value!=true] &&\n    [type==\"b\", value==c.value]\n        => permit();\n    [issuer==\"x\"] => deny();\n};\nissuancerules {\n    c:[type==\"a\"] => issue(claim=c);\n};\n",
    );
    check(
        "version=1.2;authorizationrules{![type==\"x\"]=>add(type=\"x\",value=AppendString(\"{\\\"a\\\": `1`}\",\"\\\\w\"));};issuancerules{};",
        "version=1.2;\nauthorizationrules {\n    ![type==\"x\"] => add(type=\"x\", value=AppendString(\"{\\\"a\\\": `1`}\", \"\\\\w\"));\n};\nissuancerules {\n};\n",
    );
}

#[test]
fn accepts_the_liberties_of_published_samples() {
    check(
        "Version = 1.2;\nAuthorizationrules { c:[type=\"a\", issuer=\"AttestationPolicy\"] => permit(); };\nIssuancerules { => issue(\"PlatformAttested\", value=true); };",
        "version=1.2;\nauthorizationrules {\n    c:[type==\"a\", issuer==\"AttestationPolicy\"] => permit();\n};\nissuancerules {\n    => issue(type=\"PlatformAttested\", value=true);\n};\n",
    );
}

/// The style of Microsoft's samples: comments anywhere, queries with every sign in them, escapes, nested calls.
#[test]
fn reads_policies_as_microsoft_writes_them() {
    let text = r#"version=1.2;

configurationrules{
};

authorizationrules {
    // "Quoted", [bracketed] => and; commented
    c:[type == "pcrs", issuer=="AttestationService"] =>  add(type="first", value=JsonToClaimValue(JmesPath(c.value, "PCRs[? Index == `0`].Digests.SHA256 | @[0] =='4c83' ")));
    [type=="first", value==true] &&
    c:[type=="pcrs"] && c1:[type=="want", value==JsonToClaimValue(JmesPath(c.value, "PCRs[0] == `\"KCk6Ow\"`"))] => permit();
};

issuancerules{
c:[type == "events", issuer==
    "AttestationService"]=>add(type = "paths",value=JmesPath(c.value, "[? p == '\\windows\\wd.sys' || !q && {a:b}]"));
![type=="paths", issuer=="AttestationPolicy"]=> issue(type="paths", value=false); c:[type=="seq", value != "null"] => add(type="query", value=AppendString(AppendString("Events[? n < `", c.value), "`]"));

c1:[type=="query"] &&
c2:[type=="events"] => issue(type="level", value=JsonToClaimValue(JmesPath(c2.value, c1.value)));//the end
};
"#;
    let policy = parse(text).unwrap_or_else(|fault| panic!("{fault}"));
    insta::assert_snapshot!(policy);
    assert_eq!(parse(&policy.to_string()).unwrap(), policy);
}

#[test]
fn points_at_the_fault() {
    let faults = [
        "version=1.0\n[",
        "version=1.0;\nauthorizationrules\n{\n    [type==\"a\"] => permit()\n};",
        "version=1.0;\nauthorizationrules{ [typ==\"a\"] => permit(); };",
        "version=1.0;\nauthorizationrules{ [type \"a\"] => permit(); };",
        "version=1.0;\nauthorizationrules{ [type==”a”] => permit(); };",
        "version=1.0;\nauthorizationrules{ [type==\"a\" && [type==\"b\"] => permit(); };",
        "version=1.0;\nauthorizationrules{ [type==\"a\"] permit(); };",
        "version=1.0;\nauthorizationrules{ => issueproperty(type=\"a\", value=1); };",
        "version=1.0;\nauthorizationrules{ => permit() => deny(); };",
        "version=1.0;\nauthorizationrules{ => permit(); }",
        "version=1.0;\nauthorizationrules{ => permit(); }; more",
        "version=1.0;\nauthorizationrules{ => permit();",
        "version=1.0;\nissuancerules{};",
        "version=1.0;\nauthorizationrules{ [value==d.value] => permit(); };",
        "version=1.0;\nauthorizationrules{ => add(claim=c); };",
        "version=1.0;\nauthorizationrules{ => add(type=\"a\"); };",
        "version=1.0;\nauthorizationrules{ => add(type=\"a\", type=\"b\"); };",
        "version=1.0;\nauthorizationrules{ => add(type=\"a, value=1); };",
        "version=1.0;\nauthorizationrules{ [] => permit(); };",
        "",
    ];
    let texts: Vec<String> = faults.into_iter().map(refused).collect();
    insta::assert_snapshot!(texts.join("\n\n"));
}

#[test]
fn refuses_what_a_version_does_not_have_and_what_is_not_defined() {
    let faults = [
        "version=1.0;configurationrules{};authorizationrules{};",
        "version=1.1;authorizationrules{![type==\"a\"] => permit();};",
        "version=1.1;authorizationrules{=> add(type=\"a\", value=NegateBool(true));};",
        "version=1.1;authorizationrules{[value==\"a\\\"b\"] => permit();};",
        "version=1.2;authorizationrules{=> add(type=\"a\", value=Sum(1, 2));};",
        "version=1.2;authorizationrules{!c:[type==\"a\"] => permit();};",
        "version=1.0;authorizationrules{c:[type==\"a\"] && c:[type==\"b\"] => permit();};",
        "version=1.0;authorizationrules{=> add(type=\"a\", value=1, issuer=\"x\");};",
        "version=1.0;authorizationrules{=> add(type=\"a\", issuer=\"x\", value=1);};",
        "version=1.0;authorizationrules{[value==-1] => permit();};",
        "version=1.0;authorizationrules{[value==0xF] => permit();};",
        "version=1.0;authorizationrules{[value==9223372036854775808] => permit();};",
        "version=1.0;authorizationrules{[type>=\"a\"] => permit();};",
        "version=1.0;authorizationrules{[value>=\"a\"] => permit();};",
        "version=1.0;authorizationrules{[type==1] => permit();};",
        "version=1.3;authorizationrules{};",
    ];
    let texts: Vec<String> = faults.into_iter().map(refused).collect();
    insta::assert_snapshot!(texts.join("\n\n"));
}

#[test]
fn writes_a_fault_as_the_service_does() {
    let fault = parse("version=1.0\n[").unwrap_err();
    assert_eq!(
        fault.service_text(),
        "Policy Parser Exception Thrown: Offending symbol: '['\nLine: '2', Column: '0'\nFailure message: 'mismatched input '[' expecting ';''\nFailing rule: 'policy'"
    );
}

/// The published pairs of text and hash.
#[test]
fn hashes_as_the_service_does() {
    let known = [
        (
            "version= 1.0;authorizationrules{=> permit();};",
            "9NY0VnTQ-IiBriBplVUpFbczcDaEBUwsiFYAzHu_gco",
        ),
        (
            "version= 1.0;\n\nauthorizationrules\n{\n    => permit();\n};",
            "LTPRQQju-FejAwdYihF8YV_c2XWebG9joKvrHKc3bxs",
        ),
        (
            "version=1.0; authorizationrules{=> permit();}; issuancerules{};",
            "z0FRjKS0ssQTNur1V6BV8WIrh9M3fzgTo0EfHRvapWU",
        ),
    ];
    for (text, hash) in known {
        assert_eq!(policy_hash(text).to_string(), hash);
        assert_eq!(hash.parse::<PolicyHash>().unwrap(), policy_hash(text));
        parse(text).unwrap();
    }
    assert!("9NY0VnTQ".parse::<PolicyHash>().is_err());
}

#[test]
fn refuses_hostile_sizes_quickly() {
    let nested = |times: usize| {
        let (open, close) = ("NegateBool(".repeat(times), ")".repeat(times));
        format!("version=1.2;authorizationrules{{=> add(type=\"a\", value={open}true{close});}};")
    };
    parse(&nested(usize::from(MAX_DEPTH))).unwrap();
    let open = |what: &str| {
        format!("version=1.2;authorizationrules{{{}", what.repeat(65_536 / what.len()))
    };
    let hostile = [
        nested(usize::from(MAX_DEPTH) + 1),
        nested(65_536 / 12),
        open("["),
        open("!"),
        open("{"),
        open("("),
        open("c:"),
        open("c:[type==c.value,"),
        open("[type==\"a\"]&&"),
        open("=>add(type=\"a\",value=AppendString("),
        open("=>add("),
        open("\"\\"),
        open("/"),
        open("// \n"),
        " ".repeat(MAX_TEXT + 1),
    ];
    for text in hostile {
        let start = Instant::now();
        parse(&text).unwrap_err();
        assert!(
            start.elapsed() < Duration::from_secs(1),
            "{}",
            text.chars().take(60).collect::<String>()
        );
    }
}

proptest! {
    #![proptest_config(crate::test_cases::config(500))]
    #[test]
    fn printing_and_parsing_give_the_policy_back(policy in policies()) {
        let text = policy.to_string();
        let parsed = parse(&text).map_err(|fault| TestCaseError::fail(fault.to_string()))?;
        prop_assert_eq!(&parsed, &policy);
        prop_assert_eq!(parsed.to_string(), text);
    }

    #[test]
    fn no_text_panics(text in "(version=1\\.2;|authorizationrules\\{|\\[|\\]|type|==|\"[a\\\\\"]*|=>|permit\\(\\);|add\\(|c:|c\\.|[{}();,!&. é\\n0-9-])*") {
        match parse(&text) {
            Ok(policy) => drop(policy.to_string()),
            Err(fault) => drop((fault.to_string(), fault.service_text())),
        }
    }
}
