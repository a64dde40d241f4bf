//! The runtime claims: what the paravisor says about the machine that it runs, bound by the report.
//!
//! Wire layout: JSON with the members `keys` (RFC 7517), `vm-configuration` and `user-data`, as Microsoft describes them
//! under "Runtime claims" of the guest attestation design.
//! Members come and go with the paravisor's version, so reading is lenient: what is unknown is passed over, and what is
//! missing or of another type is absent. A verifier that needs a member refuses its absence.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::bytes::unhex;

/// The claims that a verifier may need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeClaims {
    attestation_keys: Vec<RsaKey>,
    secure_boot: Option<bool>,
    tpm_enabled: Option<bool>,
    console_enabled: Option<bool>,
    vm_id: Option<String>,
    user_data: Option<Vec<u8>>,
}

/// An RSA public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RsaKey {
    pub(super) modulus: Vec<u8>,
    pub(super) exponent: Vec<u8>,
}

impl RuntimeClaims {
    /// Reads the claims, as the bytes that the report's REPORT_DATA has the digest of.
    ///
    /// # Errors
    /// When they are not JSON.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let claims: Value = serde_json::from_slice(bytes)?;
        let keys = claims.get("keys").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let configuration =
            |name: &str| claims.get("vm-configuration").and_then(|all| all.get(name));
        let switch = |name: &str| configuration(name).and_then(Value::as_bool);
        Ok(Self {
            attestation_keys: keys
                .iter()
                .filter(|key| text(key, "kid") == Some(ATTESTATION_KEY))
                .filter_map(RsaKey::read)
                .collect(),
            secure_boot: switch("secure-boot"),
            tpm_enabled: switch("tpm-enabled"),
            console_enabled: switch("console-enabled"),
            vm_id: configuration("vmUniqueId").and_then(Value::as_str).map(str::to_owned),
            user_data: text(&claims, "user-data").and_then(unhex),
        })
    }

    /// The TPM's attestation key, if there is exactly one: modulus and exponent, big-endian.
    #[must_use]
    pub fn attestation_key(&self) -> Option<(&[u8], &[u8])> {
        match self.attestation_keys.as_slice() {
            [RsaKey { modulus, exponent }] => Some((modulus, exponent)),
            _ => None,
        }
    }

    /// How many attestation keys are named; sound claims name one.
    pub(super) fn attestation_keys(&self) -> &[RsaKey] {
        &self.attestation_keys
    }

    /// Whether the machine was configured to boot only signed code.
    #[must_use]
    pub fn secure_boot(&self) -> Option<bool> {
        self.secure_boot
    }

    /// Whether the machine has a TPM.
    #[must_use]
    pub fn tpm_enabled(&self) -> Option<bool> {
        self.tpm_enabled
    }

    /// Whether the machine has a console, through which its operator may type.
    #[must_use]
    pub fn console_enabled(&self) -> Option<bool> {
        self.console_enabled
    }

    /// The machine's identity, as Azure names it.
    #[must_use]
    pub fn vm_id(&self) -> Option<&str> {
        self.vm_id.as_deref()
    }

    /// What the guest had bound into the report: 64 bytes, zeros where it never asked.
    #[must_use]
    pub fn user_data(&self) -> Option<&[u8]> {
        self.user_data.as_deref()
    }
}

impl RsaKey {
    /// A key that is no RSA key is passed over, as one of another name would be.
    fn read(key: &Value) -> Option<Self> {
        let part = |name| URL_SAFE_NO_PAD.decode(text(key, name)?).ok();
        (text(key, "kty") == Some("RSA")).then_some(())?;
        Some(Self { modulus: part("n")?, exponent: part("e")? })
    }
}

fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name).and_then(Value::as_str)
}

/// The name of the attestation key among the claims' keys.
const ATTESTATION_KEY: &str = "HCLAkPub";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_knows_and_passes_over_the_rest() {
        let claims = RuntimeClaims::parse(
            br#"{"keys":[{"kid":"HCLAkPub","key_ops":["encrypt"],"kty":"RSA","e":"AQAB","n":"tYVB"},
                {"kid":"HCLEkPub","kty":"RSA","e":"AQAB","n":"AAAA"},{"kid":7},8],
                "vm-configuration":{"secure-boot":true,"console-enabled":false,"current-time":1,"x":null,
                "vmUniqueId":"BAEFD3E1"},"user-data":"0aFF","new":{}}"#,
        )
        .unwrap();
        assert_eq!(claims.attestation_key(), Some((&[0xb5, 0x85, 0x41][..], &[1, 0, 1][..])));
        assert_eq!((claims.secure_boot(), claims.tpm_enabled()), (Some(true), None));
        assert_eq!((claims.console_enabled(), claims.vm_id()), (Some(false), Some("BAEFD3E1")));
        assert_eq!(claims.user_data(), Some(&[10, 0xff][..]));
    }

    #[test]
    fn another_type_is_an_absence() {
        for text in [
            "{}",
            "[]",
            "7",
            r#"{"keys":{},"vm-configuration":[],"user-data":7}"#,
            r#"{"keys":[{"kid":"HCLAkPub"}],"vm-configuration":{"secure-boot":"true"},"user-data":"0"}"#,
            r#"{"keys":[{"kid":"HCLAkPub","kty":"EC","n":"AA","e":"AA"}],"user-data":"zz"}"#,
            r#"{"keys":[{"kid":"HCLAkPub","kty":"RSA","n":"A*","e":"AA"}]}"#,
        ] {
            let claims = RuntimeClaims::parse(text.as_bytes()).unwrap();
            assert_eq!(claims.attestation_key(), None, "{text}");
            assert_eq!((claims.secure_boot(), claims.user_data()), (None, None), "{text}");
        }
        assert!(RuntimeClaims::parse(b"{").is_err());
    }

    #[test]
    fn two_attestation_keys_are_none() {
        let key = r#"{"kid":"HCLAkPub","kty":"RSA","e":"AQAB","n":"tYVB"}"#;
        let text = format!(r#"{{"keys":[{key},{key}]}}"#);
        assert_eq!(RuntimeClaims::parse(text.as_bytes()).unwrap().attestation_key(), None);
    }
}
