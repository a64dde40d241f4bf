//! One-shot attest and fetch: a workload's evidence in, its secrets out, sealed to the key that the evidence binds.

use std::collections::BTreeSet;

use jiff::Timestamp;
use manifest::{Appraised, NoMatch, SecretPath};
use protocol::attest::{AttestRequest, WorkloadEvidence, binding, vm_binding};
use protocol::grant::{
    Exchange, GrantBody, GrantedSecret, GrantedToken, SealError, Sealed, SecretText, seal,
};
use zeroize::Zeroizing;

use super::challenge::{ChallengeError, Challenges, Fresh};
use super::{Denied, ReleaseError, Released, SecretContent, decide, release};
use crate::audit::{Draft, EvidenceNote};
use crate::core::{Core, InForce};
use crate::tokens::{self, Holder, Lifetime, TokenError};

/// Answers a workload. The steps, each of which consumes the proof of the one before:
///
/// 1. the challenge is one of this server's and unused; it is used up now;
/// 2. the evidence binds challenge, deployment and key, and passes every step of [`evidence::verify()`] (a container's) or
///    [`evidence::verify_vm`] (a virtual machine's) under what the manifest's workloads admit;
/// 3. it is appraised: exactly one workload of the manifest fits;
/// 4. the decision: every secret asked for is one that the workload may have;
/// 5. the release: the record of it is durable;
/// 6. the answer is sealed to the key that the evidence binds.
///
/// # Errors
/// The first step that fails.
pub async fn attest(
    core: &Core,
    in_force: &InForce,
    challenges: &Challenges,
    request: &AttestRequest,
    draft: &mut Draft,
) -> Result<Sealed, AttestError> {
    let now = draft.time();
    let fresh = challenges.take(request.challenge, now)?;
    if request.version != 1 {
        return Err(AttestError::Malformed("version"));
    }
    if request.secrets.len() > MOST_SECRETS {
        return Err(AttestError::Malformed("secrets: too many"));
    }
    let wanted: BTreeSet<SecretPath> = request
        .secrets
        .iter()
        .map(|path| path.parse().map_err(|_| AttestError::Malformed("secrets: not a path")))
        .collect::<Result<_, _>>()?;

    let claimed = EvidenceNote::claimed(&request.evidence);
    draft.evidence = Some(claimed.clone());
    let appraised = appraise(core, in_force, &fresh, request, (draft, claimed))?;
    let holder = Holder::Workload(appraised.workload().as_str().to_owned());
    draft.caller = Some(holder.caller());
    draft.paths = wanted.iter().map(|path| path.as_str().to_owned()).collect();

    let workload = appraised.workload().as_str().to_owned();
    let lifetime = Lifetime::workload();
    let token = tokens::make(&in_force.manifest, holder, lifetime, now, core.rng())?;
    draft.accessor = Some(token.accessor().to_string());
    let grant = decide::for_workload(appraised, wanted, token)?;
    let released = release(&core.store, grant, draft).await?;

    let exchange = Exchange {
        deployment: core.trust_root.deployment(),
        identity: core.identity.id(),
        challenge: request.challenge,
    };
    Ok(seal(exchange, &request.public_key, &body(workload, released, now)?)?)
}

/// Steps 2 and 3; what is verified is noted before it is appraised.
fn appraise(
    core: &Core,
    in_force: &InForce,
    fresh: &Fresh,
    request: &AttestRequest,
    (draft, claimed): (&mut Draft, EvidenceNote),
) -> Result<Appraised, AttestError> {
    let manifest = &in_force.manifest;
    let (deployment, challenge) = (core.trust_root.deployment(), fresh.challenge());
    let (key, now) = (&request.public_key, draft.time());
    let revocation = manifest.attestation().revocation(core.revocation.all());
    match &request.evidence {
        WorkloadEvidence::Container(raw) => {
            let mut policy = manifest.admission_policy();
            policy.report.revocation = revocation;
            let binding = binding(deployment, challenge, key);
            let report = core.verifier.verify(&policy, raw, &binding, now)?;
            draft.evidence = Some(claimed.verified(report.hardware()));
            Ok(manifest::appraise(manifest, &report)?)
        }
        WorkloadEvidence::Vm(raw) => {
            let mut policy = manifest.vm_admission_policy();
            policy.report.revocation = revocation;
            let binding = vm_binding(deployment, challenge, key);
            let vm = core.verifier.verify_vm(&policy, raw, &binding, now)?;
            draft.evidence = Some(claimed.verified(vm.hardware()).of_vm(&vm));
            Ok(manifest::appraise_vm(manifest, &vm)?)
        }
    }
}

fn body(workload: String, released: Released, now: Timestamp) -> Result<GrantBody, AttestError> {
    let (client_token, about) = released.token.ok_or(AttestError::NoToken)?;
    let token = GrantedToken {
        client_token,
        lease_duration: about.left(now),
        policies: vec![about.holder.policy()],
    };
    let secrets = released
        .secrets
        .into_iter()
        .map(|(path, secret)| match secret.content {
            SecretContent::Field { name, json } => {
                let granted =
                    GrantedSecret { field: name, value: text_of(&json)?, version: secret.version };
                Ok((path.as_str().to_owned(), granted))
            }
            SecretContent::Whole(_) | SecretContent::Gone => Err(AttestError::NotAField { path }),
        })
        .collect::<Result<_, AttestError>>()?;
    Ok(GrantBody { version: 1, workload, token, secrets })
}

/// A string's content, or the JSON text of any other value.
fn text_of(json: &SecretText) -> Result<SecretText, AttestError> {
    let json = json.expose_secret();
    if json.starts_with('"') {
        return serde_json::from_str(json).map_err(|_| AttestError::Malformed("stored value"));
    }
    Ok(SecretText::new(Zeroizing::new(json.to_owned())))
}

/// Why a workload gets nothing.
#[derive(Debug, thiserror::Error)]
pub enum AttestError {
    /// Not of the expected form.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// Not a challenge of this server.
    #[error("challenge")]
    Challenge(#[from] ChallengeError),
    /// The evidence does not hold.
    #[error("evidence")]
    Evidence(#[from] evidence::Refusal),
    /// It is nobody of the manifest.
    #[error("appraisal")]
    Appraisal(#[from] NoMatch),
    /// The workload may not have it.
    #[error("decision")]
    Denied(#[from] Denied),
    /// No token.
    #[error("token")]
    Token(#[from] TokenError),
    /// The grant brought no token, which does not happen.
    #[error("the grant brought no token")]
    NoToken,
    /// The grant was for more than a field, which does not happen.
    #[error("{path} was not granted as a field")]
    NotAField {
        /// What was asked for.
        path: SecretPath,
    },
    /// Nothing was handed over.
    #[error("release")]
    Release(#[from] ReleaseError),
    /// It cannot be sealed.
    #[error("sealing the answer")]
    Seal(#[from] SealError),
}

/// More than any workload has.
const MOST_SECRETS: usize = 256;
