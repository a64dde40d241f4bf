use super::*;
use crate::{policy::parse, release::ReleasePolicy};

fn check(rules: &str) -> Vec<FindingKind> {
    let text = format!("version=1.2;\nauthorizationrules{{\n{rules}\n}};");
    policy(&parse(&text).unwrap_or_else(|fault| panic!("{fault}")))
        .into_iter()
        .map(|finding| finding.kind)
        .collect()
}

fn good(host_data: &str) -> String {
    format!(
        "[type==\"x-ms-attestation-type\", value==\"sevsnpvm\"] && [type==\"x-ms-sevsnpvm-is-debuggable\", value==false] && [type==\"x-ms-sevsnpvm-bootloader-svn\", value>=3] && [type==\"x-ms-sevsnpvm-tee-svn\", value>=0] && [type==\"x-ms-sevsnpvm-snpfw-svn\", value>=20] && [type==\"x-ms-sevsnpvm-microcode-svn\", value>=115] && [type==\"x-ms-sevsnpvm-hostdata\", value==\"{host_data}\"] => permit();"
    )
}

#[test]
fn finds_nothing_in_a_sensible_policy() {
    let rules = format!("{}\n{}", good(&"a".repeat(64)), good(&"b".repeat(64)));
    assert_eq!(check(&rules), []);
}

#[test]
fn finds_permits_that_are_too_wide() {
    assert_eq!(check("=> permit();"), [FindingKind::PermitsEverything]);
    let debug = good(&"a".repeat(64))
        .replace("[type==\"x-ms-sevsnpvm-is-debuggable\", value==false] && ", "");
    assert_eq!(check(&debug), [FindingKind::PermitsDebug]);
    for deny in ["value==true", "value!=false, issuer==\"AttestationService\""] {
        assert_eq!(
            check(&format!("[type==\"x-ms-sevsnpvm-is-debuggable\", {deny}] => deny(); {debug}")),
            []
        );
    }
    let narrow = "[type==\"x-ms-sevsnpvm-is-debuggable\", value==true] && [type==\"x-ms-sevsnpvm-vmpl\", value==0] => deny();";
    assert_eq!(check(&format!("{narrow} {debug}")), [FindingKind::PermitsDebug]);
    let no_floor = good(&"a".repeat(64)).replace(
        "[type==\"x-ms-sevsnpvm-microcode-svn\", value>=115]",
        "[type==\"x-ms-sevsnpvm-microcode-svn\", value<=115]",
    );
    assert_eq!(check(&no_floor), [FindingKind::NoFloor(vec!["x-ms-sevsnpvm-microcode-svn"])]);
    let any = good(&"a".repeat(64)).replace(&format!(", value==\"{}\"", "a".repeat(64)), "");
    assert_eq!(check(&any), [FindingKind::NoHostData]);
}

#[test]
fn finds_what_is_issued_where_no_token_gets_it() {
    let rules = format!("=> issue(type=\"mine\", value=1); {}", good(&"a".repeat(64)));
    assert_eq!(check(&rules), [FindingKind::IssuedTooEarly]);
}

#[test]
fn finds_conditions_that_cannot_hold() {
    let reasons = |condition: &str| -> Vec<String> {
        let found = check(&format!("{condition} => deny();"));
        found
            .into_iter()
            .map(|kind| {
                let text = kind.to_string();
                if let FindingKind::NeverMatches { reason, .. } = kind { reason } else { text }
            })
            .collect()
    };
    let hex = "`x-ms-sevsnpvm-hostdata` is lower-case hex of 64 characters";
    for value in [
        format!("\"{}\"", "A".repeat(64)),
        "\"ab\"".into(),
        "1".into(),
        format!("\"{}\"", "g".repeat(64)),
    ] {
        assert_eq!(reasons(&format!("[type==\"x-ms-sevsnpvm-hostdata\", value=={value}]")), [hex]);
    }
    assert_eq!(
        reasons("[type==\"x-ms-sevsnpvm-is-debuggable\", value==\"true\"]"),
        ["`x-ms-sevsnpvm-is-debuggable` is Boolean"]
    );
    assert_eq!(
        reasons("[type==\"x-ms-sevsnpvm-vmpl\", value==\"0\"]"),
        ["`x-ms-sevsnpvm-vmpl` is an integer"]
    );
    assert_eq!(reasons("[type==\"x-ms-ver\", value==1]"), ["`x-ms-ver` is a string"]);
    assert_eq!(
        reasons("[type==\"x-ms-sevsnpvm-vmpl\", value>=3, value<3]"),
        ["no number is in that range"]
    );
    assert_eq!(
        reasons("[type==\"x-ms-sevsnpvm-tee-svn\", value>255]"),
        ["no number is in that range"]
    );
    assert_eq!(reasons("[type==\"a\", type==\"b\"]"), ["it asks for two types at once"]);
    assert_eq!(
        reasons("[type==\"x-ms-hostdata\"]"),
        ["neither the service nor a rule makes a claim `x-ms-hostdata`"]
    );
    assert_eq!(
        reasons("[value==true]"),
        ["`[value==true]` does not say which type of claim it means"]
    );
    assert_eq!(reasons("[type!=\"x\"]"), Vec::<String>::new());
}

#[test]
fn finds_claims_of_the_service_and_shadowed_rules() {
    assert_eq!(
        check("=> add(type=\"x-ms-sevsnpvm-hostdata\", value=\"\");"),
        [FindingKind::ServiceClaim("x-ms-sevsnpvm-hostdata".into())]
    );
    assert_eq!(
        check("=> add(type=\"mine\", value=\"\"); [type==\"mine\", value==true] => deny();"),
        []
    );
    let two = "[type==\"x-ms-ver\"] => deny(); [type==\"x-ms-sevsnpvm-vmpl\"] && [type==\"x-ms-ver\"] => deny();";
    assert_eq!(check(two), [FindingKind::Shadowed(Line(3))]);
    let text = format!("version=1.2;\nauthorizationrules{{\n{two}\n}};");
    let finding = policy(&parse(&text).unwrap()).remove(0);
    assert_eq!(
        finding.to_string(),
        "authorizationrules, line 3: adds nothing to the rule on line 3"
    );
}

#[test]
fn finds_weak_release_policies() {
    let check = |group: &str, mutability| {
        let text =
            format!(r#"{{"version":"1.0.0","anyOf":[{{"authority":"https://a",{group}}}]}}"#);
        release(&ReleasePolicy::parse(text.as_bytes()).unwrap(), mutability)
    };
    let name = || "https://a".to_owned();
    let hash = r#"{"claim":"x-ms-policy-hash","equals":"h"}"#;
    let debug = r#"{"claim":"x-ms-sevsnpvm-is-debuggable","equals":"false"}"#;
    let host = |value: &str| format!(r#"{{"claim":"x-ms-sevsnpvm-hostdata","equals":"{value}"}}"#);
    let good = format!(r#""allOf":[{hash},{debug},{{"anyOf":[{},{}]}}]"#, host("a"), host("b"));
    assert_eq!(check(&good, Mutability::Immutable), []);
    assert_eq!(check(&good, Mutability::Mutable), [ReleaseFinding::Mutable]);
    let weak = [
        (format!(r#""allOf":[{hash},{debug}]"#), vec![ReleaseFinding::NoHostData(name())]),
        (format!(r#""allOf":[{debug},{}]"#, host("a")), vec![ReleaseFinding::NoPolicyHash(name())]),
        (format!(r#""allOf":[{hash},{}]"#, host("a")), vec![ReleaseFinding::NoDebugCheck(name())]),
        (
            format!(r#""allOf":[{hash},{debug},{{"anyOf":[{},{debug}]}}]"#, host("a")),
            vec![ReleaseFinding::NoHostData(name())],
        ),
        (
            r#""allOf":[{"claim":"mine","equals":"a"}]"#.to_owned(),
            vec![
                ReleaseFinding::NoDebugCheck(name()),
                ReleaseFinding::NoPolicyHash(name()),
                ReleaseFinding::NoHostData(name()),
                ReleaseFinding::OnlyIssuable(name()),
            ],
        ),
    ];
    for (group, expected) in weak {
        assert_eq!(check(&group, Mutability::Immutable), expected, "{group}");
    }
    let two = format!(
        r#"{{"version":"1.0.0","anyOf":[{{"authority":"a",{good}}},{{"authority":"b",{good}}}]}}"#
    );
    let two = ReleasePolicy::parse(two.as_bytes()).unwrap();
    assert_eq!(release(&two, Mutability::Immutable), [ReleaseFinding::SeveralAuthorities(2)]);
}

#[test]
fn finds_permits_that_a_deny_or_a_lower_level_makes_idle() {
    let first = good(&"a".repeat(64));
    let deny = "[type==\"x-ms-attestation-type\", value==\"sevsnpvm\"] => deny();";
    assert_eq!(check(&format!("{first}\n{deny}")), [FindingKind::Overruled(Line(4))]);
    // Another product's numbers are another matter, as long as neither level is below the other.
    let other = first.replace("value>=3]", "value>=9]").replace("value>=115]", "value>=80]");
    assert_eq!(check(&format!("{first}\n{other}")), []);
    let higher = first.replace("value>=115]", "value>=200]");
    assert_eq!(check(&format!("{first}\n{higher}")), [FindingKind::LevelWithoutEffect(Line(3))]);
    let elsewhere = higher.replace(&"a".repeat(64), &"b".repeat(64));
    assert_eq!(check(&format!("{first}\n{elsewhere}")), []);
}
