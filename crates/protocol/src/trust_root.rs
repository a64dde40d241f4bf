//! The trust root: the one measured document that makes a generic server image one deployment's
//! server.
//!
//! It is the value of the environment variable [`TrustRoot::VARIABLE`], which the CCE policy fixes
//! to the letter, so its text is part of HOST_DATA. There is one spelling of it, the canonical
//! JSON; any other is refused, so that what is measured is what is read.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use evidence::Sha256;
use serde::{Deserialize, Serialize};

use crate::jws::SignerId;

/// Deployment, services and signers, as measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustRoot(Body);

/// What a trust root says; [`TrustRoot`] is a checked one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// Format; 1.
    pub version: u64,
    /// The deployment's name.
    pub deployment: String,
    /// Which Azure.
    pub cloud: Cloud,
    /// Address of the MAA provider, `https://NAME.REGION.attest.azure.net`, without a slash at the end.
    pub attestation: String,
    /// Address of the Key Vault, `https://NAME.vault.azure.net`, without a slash at the end.
    pub vault: String,
    /// Whose signatures count.
    pub signers: BTreeSet<SignerId>,
    /// Present exactly when `cloud` is `local`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insecure_local: Option<InsecureLocal>,
}

/// Which Azure a deployment is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cloud {
    /// The public cloud, `*.azure.net`.
    Public,
    /// The local cloud, on loopback over forged roots.
    Local,
}

/// Where the local cloud is, and the forged roots that it stands on.
///
/// It also selects the simulated SNP device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InsecureLocal {
    /// Address in 127.0.0.0/8: the cloud on port 8443, IMDS on 8480, the server on 8200.
    pub address: Ipv4Addr,
    /// SHA-256 of the DER of the TLS root.
    pub ca_sha256: Sha256,
    /// SHA-256 of the DER of each forged AMD root.
    pub amd_root_sha256: BTreeSet<Sha256>,
    /// SHA-256 of the DER of the forged root of UVM endorsements.
    pub uvm_root_sha256: Sha256,
}

impl TrustRoot {
    /// The environment variable that carries it.
    pub const VARIABLE: &'static str = "VOUCHSAFE_TRUST_ROOT";

    /// The longest text, in bytes.
    pub const MAX_LEN: usize = 1024;

    /// Checks the content.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn new(body: Body) -> Result<Self, TrustRootError> {
        if body.version != 1 {
            return Err(TrustRootError::Version { found: body.version });
        }
        if body.deployment.is_empty()
            || !body
                .deployment
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        {
            return Err(TrustRootError::Invalid("deployment"));
        }
        let address = |text: &str, suffix: &str| {
            text.strip_prefix("https://").and_then(|host| host.strip_suffix(suffix)).is_some_and(
                |name| {
                    !name.is_empty()
                        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
                },
            )
        };
        if !address(&body.attestation, ".attest.azure.net") {
            return Err(TrustRootError::Invalid("attestation"));
        }
        if !address(&body.vault, ".vault.azure.net") {
            return Err(TrustRootError::Invalid("vault"));
        }
        if body.signers.len() < 2 {
            return Err(TrustRootError::Invalid("signers"));
        }
        match (body.cloud, &body.insecure_local) {
            (Cloud::Public, None) => {}
            (Cloud::Local, Some(local))
                if local.address.is_loopback() && !local.amd_root_sha256.is_empty() => {}
            (Cloud::Public, Some(_)) | (Cloud::Local, _) => {
                return Err(TrustRootError::Invalid("insecure_local"));
            }
        }
        let root = Self(body);
        let length = root.text().len();
        if length > Self::MAX_LEN {
            return Err(TrustRootError::TooLarge { length });
        }
        Ok(root)
    }

    /// Reads the text of the environment variable.
    ///
    /// # Errors
    /// Too large, not JSON of the right members, not in the canonical spelling, or a rule of
    /// [`Self::new`] that does not hold.
    pub fn parse(text: &str) -> Result<Self, TrustRootError> {
        if text.len() > Self::MAX_LEN {
            return Err(TrustRootError::TooLarge { length: text.len() });
        }
        let body: Body = serde_json::from_str(text).map_err(TrustRootError::Json)?;
        let root = Self::new(body)?;
        if root.text() != text {
            return Err(TrustRootError::NotCanonical);
        }
        Ok(root)
    }

    /// The one text of this trust root: canonical JSON (RFC 8785).
    #[must_use]
    pub fn text(&self) -> String {
        #[expect(clippy::expect_used, reason = "strings and small integers always serialise")]
        serde_jcs::to_string(&self.0).expect("strings and small integers serialise")
    }

    /// What it says.
    #[must_use]
    pub const fn body(&self) -> &Body {
        &self.0
    }

    /// The deployment's name.
    #[must_use]
    pub fn deployment(&self) -> &str {
        &self.0.deployment
    }

    /// Whose signatures count.
    #[must_use]
    pub const fn signers(&self) -> &BTreeSet<SignerId> {
        &self.0.signers
    }
}

/// Why a text is no trust root.
#[derive(Debug, thiserror::Error)]
pub enum TrustRootError {
    /// Over [`TrustRoot::MAX_LEN`].
    #[error("trust root of {length} bytes, at most {} are allowed", TrustRoot::MAX_LEN)]
    TooLarge {
        /// Its length in bytes.
        length: usize,
    },
    /// Not JSON, or not its members.
    #[error("trust root is not the expected JSON")]
    Json(#[source] serde_json::Error),
    /// A format of another version.
    #[error("trust root of version {found}, expected 1")]
    Version {
        /// The version stated.
        found: u64,
    },
    /// A member with a value that it cannot have.
    #[error("trust root member `{0}` is not acceptable")]
    Invalid(&'static str),
    /// The same content in another spelling.
    #[error("trust root is not canonical JSON")]
    NotCanonical,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::trust_root;

    #[test]
    fn has_one_spelling() {
        let text = trust_root().text();
        assert_eq!(TrustRoot::parse(&text).unwrap(), trust_root());
        assert!(matches!(TrustRoot::parse(&format!("{text} ")), Err(TrustRootError::NotCanonical)));
        assert!(text.len() < TrustRoot::MAX_LEN, "{}", text.len());
    }

    #[test]
    fn rejects_what_would_weaken_a_public_deployment() {
        let mut body = trust_root().body().clone();
        body.cloud = Cloud::Public;
        assert!(matches!(TrustRoot::new(body), Err(TrustRootError::Invalid("insecure_local"))));
    }

    #[test]
    fn rejects_addresses_outside_azure() {
        for address in [
            "http://x.vault.azure.net",
            "https://evil.example",
            "https://a/.vault.azure.net",
            "https://.vault.azure.net",
            "https://x.vault.azure.net/",
        ] {
            let mut body = trust_root().body().clone();
            body.vault = address.to_owned();
            assert!(
                matches!(TrustRoot::new(body), Err(TrustRootError::Invalid("vault"))),
                "{address}"
            );
        }
    }

    #[test]
    fn rejects_unknown_members_and_a_single_signer() {
        let text = trust_root().text().replace("\"version\":1", "\"version\":1,\"x\":1");
        assert!(matches!(TrustRoot::parse(&text), Err(TrustRootError::Json(_))));
        let mut body = trust_root().body().clone();
        body.signers.pop_first();
        assert!(matches!(TrustRoot::new(body), Err(TrustRootError::Invalid("signers"))));
    }
}
