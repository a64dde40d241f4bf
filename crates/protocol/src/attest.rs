//! How a workload asks: challenge, evidence bound to it, request.
//!
//! The evidence binds the server's challenge and a public key that the agent made for this one
//! request, so neither evidence that was seen before nor evidence with another key gets anything.

use evidence::{Binding, QuoteNonce, RawEvidence, RawVmEvidence, UserData, VmBinding};
use serde::{Deserialize, Serialize};

/// The server's answer to `POST /vouchsafe/v1/challenge`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChallengeAnswer {
    /// Format; 1.
    pub version: u64,
    /// Single use, valid only at the server that made it.
    pub challenge: Challenge,
    /// Seconds until it is worth nothing.
    pub expires_in: u64,
}

/// A fresh value of the server: 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Challenge(#[serde(with = "crate::b64")] pub [u8; 32]);

/// A fresh value of a client: 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nonce(#[serde(with = "crate::b64")] pub [u8; 32]);

/// The public half of the key that the answer is sealed to: an uncompressed P-256 point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EphemeralKey(#[serde(with = "crate::b64")] pub [u8; 65]);

/// The body of `POST /vouchsafe/v1/attest`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttestRequest {
    /// Format; 1.
    pub version: u64,
    /// A challenge of this server.
    pub challenge: Challenge,
    /// What the answer is to be sealed to.
    pub public_key: EphemeralKey,
    /// Evidence that binds both: see [`binding`] and [`vm_binding`].
    pub evidence: WorkloadEvidence,
    /// The secrets wanted, by path; none, for a token only.
    pub secrets: Vec<String>,
}

/// A workload's evidence, by what it runs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkloadEvidence {
    /// A confidential container.
    Container(RawEvidence),
    /// A confidential virtual machine.
    Vm(RawVmEvidence),
}

/// REPORT_DATA of a container's evidence: SHA-256 of the canonical JSON of purpose, deployment,
/// challenge and key, then 32 zero bytes.
#[must_use]
pub fn binding(deployment: &str, challenge: &Challenge, public_key: &EphemeralKey) -> Binding {
    Binding::sha256(&bound("vouchsafe-workload", deployment, challenge, public_key))
}

/// What the quote of a virtual machine carries: the same digest with a purpose of its own. The
/// paravisor's report carries the digest of its claims, so nothing of ours is in it.
#[must_use]
pub fn vm_binding(deployment: &str, challenge: &Challenge, public_key: &EphemeralKey) -> VmBinding {
    let bound = bound("vouchsafe-workload-vm", deployment, challenge, public_key);
    VmBinding { nonce: QuoteNonce::sha256(&bound), user_data: UserData::Any }
}

fn bound(
    purpose: &'static str,
    deployment: &str,
    challenge: &Challenge,
    public_key: &EphemeralKey,
) -> Vec<u8> {
    #[derive(Serialize)]
    struct Bound<'a> {
        purpose: &'static str,
        deployment: &'a str,
        challenge: &'a Challenge,
        public_key: &'a EphemeralKey,
    }
    let bound = Bound { purpose, deployment, challenge, public_key };
    #[expect(clippy::expect_used, reason = "four strings always serialise")]
    serde_jcs::to_vec(&bound).expect("four strings serialise")
}

/// What a refused caller learns: a code and a request id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalAnswer {
    /// One code, of [`RefusalCode`].
    pub errors: Vec<String>,
    /// Under which the sealed audit log holds the reason.
    pub request_id: String,
}

/// The codes of refusals; they do not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalCode {
    /// The request is not of the expected form.
    Malformed,
    /// The evidence, token or challenge is not acceptable.
    Rejected,
    /// Known, but may not have this.
    Denied,
    /// No such thing; only told to one who might have it.
    NotFound,
    /// Not a thing that this server does.
    NotSupported,
    /// Too many requests.
    RateLimited,
    /// The server cannot do it now.
    Unavailable,
    /// The server is not serving yet.
    Sealed,
}

impl RefusalCode {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Malformed,
        Self::Rejected,
        Self::Denied,
        Self::NotFound,
        Self::NotSupported,
        Self::RateLimited,
        Self::Unavailable,
        Self::Sealed,
    ];

    /// The code with this text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.code() == text)
    }

    /// The code's text.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Rejected => "rejected",
            Self::Denied => "denied",
            Self::NotFound => "not-found",
            Self::NotSupported => "not-supported",
            Self::RateLimited => "rate-limited",
            Self::Unavailable => "unavailable",
            Self::Sealed => "sealed",
        }
    }

    /// The HTTP status that goes with it.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::Rejected | Self::Denied => 403,
            Self::NotFound => 404,
            Self::NotSupported => 405,
            Self::RateLimited => 429,
            Self::Unavailable | Self::Sealed => 503,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binding_changes_with_each_thing_that_it_binds() {
        let (challenge, key) = (Challenge([1; 32]), EphemeralKey([4; 65]));
        let bound = binding("dev", &challenge, &key);
        assert_ne!(bound, binding("prod", &challenge, &key));
        assert_ne!(bound, binding("dev", &Challenge([2; 32]), &key));
        assert_ne!(bound, binding("dev", &challenge, &EphemeralKey([5; 65])));
    }

    #[test]
    fn a_machines_binding_is_not_a_containers() {
        let (challenge, key) = (Challenge([1; 32]), EphemeralKey([4; 65]));
        let machine = vm_binding("dev", &challenge, &key);
        assert_ne!(machine, vm_binding("dev", &Challenge([2; 32]), &key));
        let container = binding("dev", &challenge, &key);
        assert_ne!(machine.nonce.as_bytes(), &container.as_bytes()[..32]);
    }

    #[test]
    fn evidence_says_its_kind() {
        let container =
            RawEvidence { report: vec![1], certificates: "c".into(), uvm_endorsement: vec![2] };
        let text = serde_json::to_string(&WorkloadEvidence::Container(container)).unwrap();
        let expected = r#"{"container":{"report":"AQ","certificates":"c","uvm_endorsement":"Ag"}}"#;
        assert_eq!(text, expected);
        assert!(serde_json::from_str::<WorkloadEvidence>(&text).is_ok());
        assert!(
            serde_json::from_str::<WorkloadEvidence>(&text.replace("container", "vm")).is_err()
        );
    }

    #[test]
    fn a_challenge_has_one_length() {
        assert!(serde_json::from_str::<Challenge>(r#""AAAA""#).is_err());
        let text = serde_json::to_string(&Challenge([7; 32])).unwrap();
        assert_eq!(serde_json::from_str::<Challenge>(&text).unwrap(), Challenge([7; 32]));
    }
}
