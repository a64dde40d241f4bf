//! JSON to a [`ReleasePolicy`].

use serde::{Deserialize, Deserializer, de};

use super::{
    Authority, Condition, Group, MAX_DEPTH, MAX_POLICY, Operator, ReleasePolicy, Scalar, Version,
};

pub(super) fn parse(json: &[u8]) -> Result<ReleasePolicy, ReleaseError> {
    if json.len() > MAX_POLICY {
        return Err(ReleaseError::TooLarge);
    }
    let raw: RawPolicy = serde_json::from_slice(json).map_err(ReleaseError::Json)?;
    let version = match raw.version.as_str() {
        "1.0.0" => Version::V1_0_0,
        "0.2" => Version::V0_2,
        _ => return Err(ReleaseError::Version),
    };
    if raw.any_of.is_empty() {
        return Err(ReleaseError::Empty("anyOf".to_owned()));
    }
    let any_of = raw.any_of.into_iter().enumerate();
    let any_of = any_of.map(|(index, raw)| authority(raw, &format!("anyOf[{index}]")));
    Ok(ReleasePolicy { version, any_of: any_of.collect::<Result<_, _>>()? })
}

fn authority(raw: RawAuthority, at: &str) -> Result<Authority, ReleaseError> {
    let group =
        group(raw.any_of, raw.all_of, at, 1)?.ok_or_else(|| ReleaseError::Shape(at.to_owned()))?;
    Ok(Authority { authority: raw.authority, group })
}

fn group(
    any_of: Option<Vec<RawCondition>>,
    all_of: Option<Vec<RawCondition>>,
    at: &str,
    depth: usize,
) -> Result<Option<Group>, ReleaseError> {
    let conditions = |raw: Vec<RawCondition>, name: &str| {
        let at = format!("{at}.{name}");
        if depth > MAX_DEPTH {
            return Err(ReleaseError::TooDeep);
        }
        if raw.is_empty() {
            return Err(ReleaseError::Empty(at));
        }
        raw.into_iter()
            .enumerate()
            .map(|(index, raw)| condition(raw, &format!("{at}[{index}]"), depth))
            .collect()
    };
    match (any_of, all_of) {
        (None, None) => Ok(None),
        (Some(raw), None) => Ok(Some(Group::AnyOf(conditions(raw, "anyOf")?))),
        (None, Some(raw)) => Ok(Some(Group::AllOf(conditions(raw, "allOf")?))),
        (Some(_), Some(_)) => Err(ReleaseError::Shape(at.to_owned())),
    }
}

fn condition(raw: RawCondition, at: &str, depth: usize) -> Result<Condition, ReleaseError> {
    let shape = || ReleaseError::Shape(at.to_owned());
    let group = group(raw.any_of, raw.all_of, at, depth + 1)?;
    let operators = [
        (Operator::Equals, raw.equals),
        (Operator::NotEquals, raw.not_equals),
        (Operator::Less, raw.less),
        (Operator::LessOrEquals, raw.less_or_equals),
        (Operator::Greater, raw.greater),
        (Operator::GreaterOrEquals, raw.greater_or_equals),
        (Operator::Exists, raw.exists),
    ];
    let mut given = operators.into_iter().filter_map(|(operator, value)| Some((operator, value?)));
    match (group, raw.claim, given.next(), given.next()) {
        (Some(group), None, None, None) => Ok(Condition::Group(group)),
        (None, Some(claim), Some((operator, value)), None) => {
            if claim.split('.').any(str::is_empty) {
                return Err(shape());
            }
            let integer = value.canonical().parse::<i64>().is_ok();
            let fits = match operator {
                Operator::Equals | Operator::NotEquals => true,
                Operator::Less
                | Operator::LessOrEquals
                | Operator::Greater
                | Operator::GreaterOrEquals => integer,
                Operator::Exists => matches!(value.canonical().as_str(), "true" | "false"),
            };
            if !fits {
                return Err(ReleaseError::Value { at: at.to_owned(), operator: operator.as_str() });
            }
            Ok(Condition::Claim { claim, operator, value })
        }
        _ => Err(shape()),
    }
}

/// Why a release policy was refused.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// It is too large.
    #[error("the release policy has more than {MAX_POLICY} bytes")]
    TooLarge,
    /// Conditions nest too deep.
    #[error("conditions nest deeper than {MAX_DEPTH}")]
    TooDeep,
    /// `data` is not base64url.
    #[error("the release policy is not base64url")]
    Base64url,
    /// It is not JSON, or has members that the grammar has not.
    #[error("the release policy is not of the grammar")]
    Json(#[source] serde_json::Error),
    /// The version is neither 1.0.0 nor 0.2.
    #[error("not supported: a version other than 1.0.0 and 0.2")]
    Version,
    /// A list is empty.
    #[error("{0} is empty")]
    Empty(String),
    /// Neither one group nor one claim with one operator.
    #[error("{0} is neither one of `anyOf` and `allOf` nor one `claim` with one operator")]
    Shape(String),
    /// An operator cannot have such a value.
    #[error("{at}: `{operator}` cannot have this value")]
    Value {
        /// Where it stands.
        at: String,
        /// The operator.
        operator: &'static str,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPolicy {
    version: String,
    #[serde(rename = "anyOf")]
    any_of: Vec<RawAuthority>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAuthority {
    authority: String,
    #[serde(rename = "anyOf")]
    any_of: Option<Vec<RawCondition>>,
    #[serde(rename = "allOf")]
    all_of: Option<Vec<RawCondition>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawCondition {
    any_of: Option<Vec<Self>>,
    all_of: Option<Vec<Self>>,
    claim: Option<String>,
    equals: Option<Scalar>,
    not_equals: Option<Scalar>,
    less: Option<Scalar>,
    less_or_equals: Option<Scalar>,
    greater: Option<Scalar>,
    greater_or_equals: Option<Scalar>,
    exists: Option<Scalar>,
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl de::Visitor<'_> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("a Boolean, an integer or a string")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar::Integer(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Scalar, E> {
        i64::try_from(value)
            .map(Scalar::Integer)
            .map_err(|_| E::custom("an integer of more than 64 bits"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(value.to_owned()))
    }
}
