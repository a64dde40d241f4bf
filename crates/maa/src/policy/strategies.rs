//! Random policies that follow the rules of the language.

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::*;

/// A policy of any version, over few names and values, so that rules meet claims.
pub(crate) fn policies() -> impl Strategy<Value = Policy> {
    select(vec![Version::V1_0, Version::V1_1, Version::V1_2]).prop_flat_map(|version| {
        let configuration = match version {
            Version::V1_0 => Just(None).boxed(),
            Version::V1_1 | Version::V1_2 => {
                option::of(vec(rules(version, Section::Configuration), 0..3)).boxed()
            }
        };
        let permit = Rule { conditions: Vec::new(), action: Action::Permit, line: Line(1) };
        // Half of the policies permit at once, so that issuance is reached often.
        let authorization = (any::<bool>(), vec(rules(version, Section::Authorization), 0..4))
            .prop_map(move |(at_once, rules)| {
                at_once.then(|| permit.clone()).into_iter().chain(rules).collect()
            });
        let issuance = option::of(vec(rules(version, Section::Issuance), 0..5));
        (configuration, authorization, issuance).prop_map(
            move |(configuration, authorization, issuance)| Policy {
                version,
                configuration,
                authorization,
                issuance,
            },
        )
    })
}

/// Names of claims that random policies and random claims share.
pub(crate) const KINDS: [&str; 5] =
    ["a", "b", "x-ms-sevsnpvm-vmpl", "$svn", "x-ms-attestation-type"];
/// Values that they share.
pub(crate) const TEXTS: [&str; 6] = ["sevsnpvm", "a", "", "[1,true]", "null", "Integer"];

fn rules(version: Version, section: Section) -> impl Strategy<Value = Rule> {
    vec(option::of(select(vec!["c", "c1", "F_2"])), 0..3).prop_flat_map(move |mut wanted| {
        // The same name twice in a rule is refused.
        let mut names: Vec<&str> = Vec::new();
        for name in &mut wanted {
            *name = name.filter(|name| !names.contains(name));
            names.extend(*name);
        }
        let mut conditions = Vec::new();
        let mut earlier = Vec::new();
        for name in wanted {
            conditions.push(condition(version, name, earlier.clone()));
            earlier.extend(name);
        }
        (conditions, action(version, section, earlier)).prop_map(|(conditions, action)| Rule {
            conditions,
            action,
            line: Line(1),
        })
    })
}

fn condition(
    version: Version,
    name: Option<&'static str>,
    earlier: Vec<&'static str>,
) -> impl Strategy<Value = Condition> {
    let senses = match (version, name) {
        (Version::V1_2, None) => vec![Sense::Present, Sense::Absent],
        _ => vec![Sense::Present],
    };
    let name = name.map(|name| Ident(name.to_owned()));
    (select(senses), vec(test(version, earlier), 1..4)).prop_map(move |(sense, tests)| Condition {
        sense,
        name: name.clone(),
        tests,
    })
}

fn test(version: Version, earlier: Vec<&'static str>) -> impl Strategy<Value = Test> {
    use Operator::*;
    let all = vec![Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual];
    let kinds = select(KINDS.to_vec()).prop_map(text).boxed();
    prop_oneof![
        3 => kinds.prop_map(|operand| Test { property: Property::Type, operator: Equal, operand }),
        1 => (select(vec![Property::ValueType, Property::Issuer]), select(vec![Equal, NotEqual]),
              select(vec!["Integer", "String", "AttestationService"]).prop_map(text))
            .prop_map(|(property, operator, operand)| Test { property, operator, operand }),
        3 => (select(all), expression(version, earlier)).prop_map(|(operator, operand)| {
            let unordered = matches!(operand, Expression::Text(_) | Expression::Boolean(_));
            let operator = if unordered && operator.orders() { NotEqual } else { operator };
            Test { property: Property::Value, operator, operand }
        }),
    ]
}

fn expression(version: Version, earlier: Vec<&'static str>) -> BoxedStrategy<Expression> {
    let literal = prop_oneof![
        any::<bool>().prop_map(Expression::Boolean),
        (0_i64..4).prop_map(Expression::Integer),
        Just(Expression::Integer(i64::MAX)),
        select(TEXTS.to_vec()).prop_map(text),
        Just(text("// ünï")),
    ];
    let leaf = if earlier.is_empty() {
        literal.boxed()
    } else {
        let properties =
            vec![Property::Type, Property::Value, Property::ValueType, Property::Issuer];
        let property = (select(earlier), select(properties))
            .prop_map(|(of, property)| Expression::Property { of: Ident(of.to_owned()), property });
        prop_oneof![literal, property].boxed()
    };
    if version < Version::V1_2 {
        return leaf;
    }
    let leaf = prop_oneof![20 => leaf, 1 => Just(text("say \\\"a\\\" \\n"))];
    leaf.prop_recursive(3, 8, 2, |inner| {
        (select(Function::ALL.to_vec()), inner.clone(), inner).prop_map(
            |(function, first, second)| {
                let arguments =
                    if function.arity() == 1 { vec![first] } else { vec![first, second] };
                Expression::Call { function, arguments }
            },
        )
    })
    .boxed()
}

fn action(version: Version, section: Section, earlier: Vec<&'static str>) -> BoxedStrategy<Action> {
    let kind = select(KINDS.to_vec()).prop_map(text);
    let new = (kind, expression(version, earlier.clone()))
        .prop_map(|(kind, value)| Subject::New { kind, value });
    let subject = if earlier.is_empty() {
        new.boxed()
    } else {
        prop_oneof![new, select(earlier).prop_map(|name| Subject::Claim(Ident(name.to_owned())))]
            .boxed()
    };
    match section {
        Section::Configuration => subject.prop_map(Action::IssueProperty).boxed(),
        Section::Authorization => prop_oneof![
            4 => Just(Action::Permit),
            1 => Just(Action::Deny),
            2 => subject.clone().prop_map(Action::Add),
            1 => subject.prop_map(Action::Issue),
        ]
        .boxed(),
        Section::Issuance => prop_oneof![
            subject.clone().prop_map(Action::Add),
            subject.clone().prop_map(Action::Issue),
            subject.prop_map(Action::IssueProperty),
        ]
        .boxed(),
    }
}

fn text(text: &str) -> Expression {
    Expression::Text(Text(text.to_owned()))
}
