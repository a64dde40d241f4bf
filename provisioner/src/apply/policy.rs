//! Setting the attestation policy, and seeing that it was set.

use azure::maa::{AttestationType, MaaError, PolicyJws};
use maa::policy_jws::{self, Content};
use serde_json::Value;

use super::Applying;
use super::lease::patiently;
use crate::deployment::Deployment as Deployed;
use crate::failure::{Failure, While as _};
use crate::inventory::Want;
use crate::inventory::reading::verified;

impl Applying<'_> {
    /// Signs, sets, and reads back: only what is in force counts.
    pub(super) async fn set_policy(&self) -> Result<(), Failure> {
        let doing = || "setting the attestation policy".to_owned();
        let wanted = &self.intent.rendered.attestation;
        let Deployed { signers, state, .. } = self.deployment;
        let jws = self.policy_signer.policy(wanted.text(), self.signer, signers, state).await?;
        let sent = PolicyJws::new(jws.clone());
        let kind = AttestationType::SevSnpVm;
        let set = patiently!(self, MaaError::Denied(_), self.cloud.maa.set_policy(kind, &sent));
        let answer = set.during(doing)?;
        let want = Want {
            manifest: &self.deployment.manifest,
            rendered: self.intent.rendered,
            keys: &std::collections::BTreeSet::new(),
            now: self.now(),
        };
        let claims = verified(self.cloud, want, answer.as_str()).await?;
        let hash = claims.claims().get("x-ms-policy-token-hash").and_then(Value::as_str);
        if hash != Some(policy_jws::token_hash(&jws).as_str()) {
            return Err(Failure::new(
                "the provider stored another policy than was sent",
                "run again",
            ));
        }
        let read = self.cloud.maa.policy(kind).await.during(doing)?;
        let claims = verified(self.cloud, want, read.as_str()).await?;
        let jws = claims.claims().get("x-ms-policy").and_then(Value::as_str).unwrap_or_default();
        match policy_jws::parse(jws).map(|jws| jws.content().clone()) {
            Ok(Content::Policy(text)) if text == wanted.text() => Ok(()),
            Ok(_) | Err(_) => Err(Failure::new(
                "the attestation policy in force is not the one that was set",
                "find out who else changes it, then run again",
            )),
        }
    }
}
