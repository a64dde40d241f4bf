//! Claims and sets of them.

use std::fmt;

use serde_json::Map;

/// A claim: something that is said about the evidence, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The claim's name; `type` in a policy.
    pub kind: String,
    /// The claim's value.
    pub value: Value,
    /// Who says so.
    pub issuer: Issuer,
}

impl fmt::Display for Claim {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} = {} ({})", self.kind, self.value, self.issuer.as_str())
    }
}

/// The value of a claim.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// `Boolean`
    Boolean(bool),
    /// `Integer`
    Integer(i64),
    /// `String`
    Text(String),
}

impl Value {
    /// The value's `valueType`.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Boolean(_) => "Boolean",
            Self::Integer(_) => "Integer",
            Self::Text(_) => "String",
        }
    }

    /// The value as JSON.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Boolean(value) => (*value).into(),
            Self::Integer(value) => (*value).into(),
            Self::Text(value) => value.as_str().into(),
        }
    }

    /// A JSON Boolean, integer or string as a value.
    pub(super) fn from_json(json: &serde_json::Value) -> Option<Self> {
        match json {
            serde_json::Value::Bool(value) => Some(Self::Boolean(*value)),
            serde_json::Value::Number(number) => number.as_i64().map(Self::Integer),
            serde_json::Value::String(text) => Some(Self::Text(text.clone())),
            serde_json::Value::Null
            | serde_json::Value::Array(_)
            | serde_json::Value::Object(_) => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => write!(out, "{value}"),
            Self::Integer(value) => write!(out, "{value}"),
            Self::Text(value) => write!(out, "{value:?}"),
        }
    }
}

/// Who made a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Issuer {
    /// The service, from the evidence.
    AttestationService,
    /// A rule of the policy.
    AttestationPolicy,
    /// The client that asks for the token.
    CustomClaim,
}

impl Issuer {
    /// The issuer as a policy writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AttestationService => "AttestationService",
            Self::AttestationPolicy => "AttestationPolicy",
            Self::CustomClaim => "CustomClaim",
        }
    }
}

/// The incoming claims of an evaluation, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimSet(Vec<Claim>);

impl ClaimSet {
    /// No claims.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a claim that the service makes from evidence.
    #[must_use]
    pub fn service(mut self, kind: &str, value: Value) -> Self {
        self.push(Claim { kind: kind.to_owned(), value, issuer: Issuer::AttestationService });
        self
    }

    /// Adds a claim.
    pub fn push(&mut self, claim: Claim) {
        self.0.push(claim);
    }

    /// The claims.
    #[must_use]
    pub fn claims(&self) -> &[Claim] {
        &self.0
    }

    /// The service's claims from which a token with these claims was made.
    ///
    /// Objects and arrays are not claims of the policy language, and what the policy of that time
    /// issued (`x-ms-policy`) did not come from the service; both are left out.
    #[must_use]
    pub fn from_token(claims: &Map<String, serde_json::Value>) -> Self {
        let issued = claims.get("x-ms-policy").and_then(serde_json::Value::as_object);
        let service = claims
            .iter()
            .filter(|(kind, _)| issued.is_none_or(|issued| !issued.contains_key(*kind)))
            .filter_map(|(kind, value)| Some((kind, Value::from_json(value)?)));
        service.fold(Self::new(), |set, (kind, value)| set.service(kind, value))
    }
}

/// Whether the service itself puts a claim of this name into tokens, whatever the evidence.
///
/// The names are those of "Azure Attestation claim sets" and of recorded SEV-SNP tokens.
pub(crate) fn is_service_name(kind: &str) -> bool {
    NAMES.contains(&kind) || PREFIXES.iter().any(|prefix| kind.starts_with(prefix))
}

const NAMES: [&str; 15] = [
    "aud",
    "exp",
    "iat",
    "iss",
    "jti",
    "nbf",
    "nonce",
    "x-ms-attestation-type",
    "x-ms-compliance-status",
    "x-ms-inittime",
    "x-ms-policy",
    "x-ms-policy-hash",
    "x-ms-policy-signer",
    "x-ms-runtime",
    "x-ms-ver",
];

const PREFIXES: [&str; 3] = ["x-ms-sevsnpvm-", "x-ms-azurevm-", "x-ms-isolation-tee"];
