//! Evidence as it travels, and as a container of Azure finds it in its security context.
//!
//! Nothing here is verified; the only aim is to bring the bytes into one shape.
//! The files of the security context come from the host.
//! They are refused when they are larger than [`MAX_FILE`] or are not what their name says.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// Evidence of a container, in bytes. In JSON the two binary parts are base64url without padding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawEvidence {
    /// The attestation report: 1184 bytes.
    #[serde(with = "base64url")]
    pub report: Vec<u8>,
    /// The certificates as PEM, one after the other: that of the signing key (VCEK or VLEK) first, then ASK and ARK.
    pub certificates: String,
    /// The endorsement of the utility VM: a COSE_Sign1.
    #[serde(with = "base64url")]
    pub uvm_endorsement: Vec<u8>,
}

/// A file of the security context that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SecurityContextError {
    /// The file is larger than any real one.
    #[error("{file}: expected at most {MAX_FILE} bytes, found {found}")]
    TooLarge {
        /// Which file.
        file: &'static str,
        /// Its length.
        found: usize,
    },
    /// The file is not standard base64.
    #[error("{file}: not base64")]
    Base64 {
        /// Which file.
        file: &'static str,
        /// What is wrong with it.
        #[source]
        source: base64::DecodeError,
    },
    /// The certificates are not in the form of the platform's certificate service.
    #[error("{CERTIFICATES_FILE}: not the json of the certificate service")]
    Json(#[source] serde_json::Error),
}

/// The answer of the platform's certificate service (THIM). It has more members than these, and may get others.
#[derive(Deserialize)]
struct RawCertificates {
    #[serde(rename = "vcekCert")]
    vcek: String,
    #[serde(rename = "certificateChain")]
    chain: String,
}

impl RawEvidence {
    /// Evidence from a report and the contents of the files `host-amd-cert-base64` and `reference-info-base64` (or
    /// `transparent-reference-info-base64`, which has the newer form of endorsement).
    ///
    /// # Errors
    /// When a file is too large, or is not base64 or not JSON.
    pub fn from_security_context(
        report: Vec<u8>,
        host_amd_cert_b64: &[u8],
        reference_info_b64: &[u8],
    ) -> Result<Self, SecurityContextError> {
        let certificates = certificates_from_thim(&decode(CERTIFICATES_FILE, host_amd_cert_b64)?)?;
        let uvm_endorsement = decode(ENDORSEMENT_FILE, reference_info_b64)?;
        Ok(Self { report, certificates, uvm_endorsement })
    }
}

/// The certificates of an answer of the platform's certificate service (THIM), as PEM, the signing key's first.
///
/// # Errors
/// When the answer is not JSON with `vcekCert` and `certificateChain`.
pub fn certificates_from_thim(json: &[u8]) -> Result<String, SecurityContextError> {
    let RawCertificates { mut vcek, chain } =
        serde_json::from_slice(json).map_err(SecurityContextError::Json)?;
    if !vcek.ends_with('\n') {
        vcek.push('\n');
    }
    vcek.push_str(&chain);
    Ok(vcek)
}

fn decode(file: &'static str, text: &[u8]) -> Result<Vec<u8>, SecurityContextError> {
    if text.len() > MAX_FILE {
        return Err(SecurityContextError::TooLarge { file, found: text.len() });
    }
    // Some tools break lines.
    let text: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(text).map_err(|source| SecurityContextError::Base64 { file, source })
}

/// Bytes in JSON.
pub(crate) mod base64url {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        URL_SAFE_NO_PAD
            .decode(text.as_bytes())
            .map_err(|_| de::Error::custom("expected base64url without padding"))
    }
}

/// Real ones have about 9 KB (certificates) and 15 KB (endorsement).
const MAX_FILE: usize = 128 << 10;

const CERTIFICATES_FILE: &str = "host-amd-cert-base64";
const ENDORSEMENT_FILE: &str = "reference-info-base64";

#[cfg(test)]
mod tests {
    use super::*;

    const THIM: &str = r#"{"vcekCert":"V","tcbm":"DB18000000000004","certificateChain":"C\n","cacheControl":"86400"}"#;

    #[test]
    fn reads_a_security_context() {
        let certificates = STANDARD.encode(THIM) + "\n";
        let raw =
            RawEvidence::from_security_context(vec![1], certificates.as_bytes(), b"0oQ=").unwrap();
        assert_eq!(
            raw,
            RawEvidence {
                report: vec![1],
                certificates: "V\nC\n".into(),
                uvm_endorsement: vec![0xd2, 0x84]
            }
        );
    }

    #[test]
    fn refuses_files_that_are_something_else() {
        let read = |certificates: &[u8], endorsement: &[u8]| {
            RawEvidence::from_security_context(vec![], certificates, endorsement)
                .unwrap_err()
                .to_string()
        };
        let good = STANDARD.encode(THIM);
        assert_eq!(read(b"*", b""), "host-amd-cert-base64: not base64");
        assert_eq!(
            read(b"e30=", b""),
            "host-amd-cert-base64: not the json of the certificate service"
        );
        assert_eq!(read(good.as_bytes(), b"*"), "reference-info-base64: not base64");
        let large = vec![b'A'; MAX_FILE + 1];
        assert!(read(&large, b"").contains("at most 131072"));
    }

    #[test]
    fn travels_as_json() {
        let raw = RawEvidence {
            report: vec![0xfb, 0xff],
            certificates: "pem".into(),
            uvm_endorsement: vec![],
        };
        let json = serde_json::to_string(&raw).unwrap();
        assert_eq!(json, r#"{"report":"-_8","certificates":"pem","uvm_endorsement":""}"#);
        assert_eq!(serde_json::from_str::<RawEvidence>(&json).unwrap(), raw);
        assert!(serde_json::from_str::<RawEvidence>(&json.replace("}", r#","x":1}"#)).is_err());
    }
}
