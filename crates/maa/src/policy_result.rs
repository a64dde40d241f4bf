//! The service's answers about policies: tokens, once verified, with claims of their own.

use serde_json::Value;

use crate::{
    policy_jws::{self, Content, JwsError, PolicyJws, token_hash},
    token::VerifiedToken,
};

/// The service's word that it took the policy that was sent.
#[derive(Debug)]
pub struct PolicyTaken(());

/// Checks the answer to a policy that was set or reset.
///
/// 1. `x-ms-policy-result` is `Updated`, or `Removed` for a reset.
/// 2. For a policy, `x-ms-policy-token-hash` is the hash of the JWS as it was sent.
///
/// # Errors
/// With the first step that fails.
pub fn check_result(answer: &VerifiedToken, sent: &str) -> Result<PolicyTaken, ResultError> {
    let content = policy_jws::parse(sent)?;
    let claim = |name| answer.claims().get(name).and_then(Value::as_str);
    let result = claim("x-ms-policy-result");
    match content.content() {
        Content::Reset if result == Some("Removed") => Ok(PolicyTaken(())),
        Content::Policy(_) if result == Some("Updated") => {
            if claim("x-ms-policy-token-hash") != Some(token_hash(sent).as_str()) {
                return Err(ResultError::AnotherPolicy);
            }
            Ok(PolicyTaken(()))
        }
        Content::Reset | Content::Policy(_) => Err(ResultError::NotTaken),
    }
}

/// The policy in force, from the answer to a request for it.
///
/// # Errors
/// If the answer has no policy.
pub fn policy_in_force(answer: &VerifiedToken) -> Result<PolicyJws, ResultError> {
    let jws =
        answer.claims().get("x-ms-policy").and_then(Value::as_str).ok_or(ResultError::NoPolicy)?;
    Ok(policy_jws::parse(jws)?)
}

/// Why an answer about a policy was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResultError {
    /// The service does not say that it took the policy.
    #[error("the service does not say that it took the policy")]
    NotTaken,
    /// The service speaks of another policy.
    #[error("the service took another policy than the one that was sent")]
    AnotherPolicy,
    /// There is no policy in the answer.
    #[error("the answer has no policy")]
    NoPolicy,
    /// The policy is not a JWS as the service has it.
    #[error("the policy's JWS")]
    Jws(#[from] JwsError),
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{
        test_corpus,
        token::{Jwks, verify},
    };

    #[test]
    fn corpus_recorded_answers_about_policies_check() {
        let name = "azure-sdk-for-cpp/attestation/Policy-PolicyTests.PolicyTests-ModifyUnsecured_AAD_SgxEnclave.json";
        let Some(recording) = test_corpus::read(name) else {
            return test_corpus::absent("corpus_recorded_answers_about_policies_check");
        };
        let keys = Jwks::parse(test_corpus::key_sets(&recording)[0].as_bytes()).unwrap();
        let claims = test_corpus::token_claims(&recording);
        let answers: Vec<VerifiedToken> = test_corpus::tokens(&recording)
            .iter()
            .zip(claims)
            .map(|(token, claims)| {
                let now = Timestamp::from_second(claims["iat"].as_i64().unwrap()).unwrap();
                verify(token, &keys, claims["iss"].as_str().unwrap(), now).unwrap()
            })
            .collect();
        let [updated, new, removed, default] = answers.as_slice() else {
            panic!("{} answers", answers.len())
        };
        let sent =
            policy_jws::unsigned("version=1.0; authorizationrules{=> permit();}; issuancerules{};");
        check_result(updated, &sent).unwrap();
        check_result(removed, &policy_jws::unsigned_reset()).unwrap();
        assert_eq!(policy_in_force(new).unwrap(), policy_jws::parse(&sent).unwrap());
        assert_ne!(policy_in_force(default).unwrap(), policy_jws::parse(&sent).unwrap());

        let other =
            policy_jws::unsigned("version=1.0; authorizationrules{=> deny();}; issuancerules{};");
        assert_eq!(check_result(updated, &other).unwrap_err(), ResultError::AnotherPolicy);
        assert_eq!(check_result(removed, &sent).unwrap_err(), ResultError::NotTaken);
        assert_eq!(
            check_result(updated, &policy_jws::unsigned_reset()).unwrap_err(),
            ResultError::NotTaken
        );
        assert_eq!(policy_in_force(updated).unwrap_err(), ResultError::NoPolicy);
    }
}
