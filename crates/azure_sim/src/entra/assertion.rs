//! Client assertions: a JWT signed by the application's certificate, or a token of a foreign issuer that stands for it.

use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use serde_json::Value;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::applications::Application;
use crate::core::Cloud;
use crate::core::encoding::from_b64url;

/// Why an assertion is refused. The codes are the service's, the texts shortened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AssertionFault {
    #[error("Client assertion is not a valid JWT.")]
    Malformed,
    #[error("Client assertion contains an invalid signature.")]
    Signature,
    #[error(
        "The certificate with identifier used to sign the client assertion is not registered on application."
    )]
    Unregistered,
    #[error("No matching federated identity record found for presented assertion.")]
    Unknown,
    #[error("Client assertion is not within its valid time range.")]
    Time,
    #[error("Client assertion has an invalid audience.")]
    Audience,
}

impl AssertionFault {
    pub(super) fn code(self) -> u32 {
        match self {
            Self::Malformed => 50_027,
            Self::Signature | Self::Unregistered => 700_027,
            Self::Unknown => 700_213,
            Self::Time => 700_024,
            Self::Audience => 700_023,
        }
    }
}

/// 1. shape and algorithm (RS256 or PS256); 2. who it is from: the application itself, or a federated issuer and subject; 3. signature by a
///    registered key; 4. audience; 5. time.
pub(super) fn verify(
    cloud: &Cloud,
    application: &Application,
    assertion: &str,
) -> Result<(), AssertionFault> {
    let parts: Vec<&str> = assertion.split('.').collect();
    let [header, payload, signature] = parts.as_slice() else {
        return Err(AssertionFault::Malformed);
    };
    let json = |part: &str| -> Result<Value, AssertionFault> {
        let bytes = from_b64url(part).ok_or(AssertionFault::Malformed)?;
        serde_json::from_slice(&bytes).map_err(|_| AssertionFault::Malformed)
    };
    let (head, claims) = (json(header)?, json(payload)?);
    let algorithm: &'static dyn VerificationAlgorithm =
        match head.get("alg").and_then(Value::as_str) {
            Some("RS256") => &RSA_PKCS1_2048_8192_SHA256,
            Some("PS256") => &RSA_PSS_2048_8192_SHA256,
            _ => return Err(AssertionFault::Malformed),
        };
    let claim = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
    let (issuer, subject, client) = (claim("iss"), claim("sub"), application.client_id.to_string());
    let own = issuer == client && subject == client;
    let (keys, audiences): (Vec<Vec<u8>>, Vec<String>) = if own {
        let tenant = cloud.settings.tenant;
        let host = format!("https://login.microsoftonline.com/{tenant}");
        let audiences = vec![
            format!("{host}/oauth2/v2.0/token"),
            format!("{host}/oauth2/token"),
            format!("{host}/v2.0"),
        ];
        (
            application.certificates.iter().filter_map(|text| key_of_certificate(text)).collect(),
            audiences,
        )
    } else {
        let fitting = application
            .federated
            .iter()
            .filter(|one| one.issuer == issuer && one.subject == subject);
        fitting
            .filter_map(|one| {
                Some((pem::parse(&one.public_key).ok()?.into_contents(), one.audience.clone()))
            })
            .unzip()
    };
    if keys.is_empty() {
        return Err(if own { AssertionFault::Unregistered } else { AssertionFault::Unknown });
    }
    let signed = format!("{header}.{payload}");
    let signature = from_b64url(signature).ok_or(AssertionFault::Malformed)?;
    let verified = keys.iter().any(|key| {
        UnparsedPublicKey::new(algorithm, key).verify(signed.as_bytes(), &signature).is_ok()
    });
    if !verified {
        return Err(AssertionFault::Signature);
    }
    let audience_fits = match claims.get("aud") {
        Some(Value::String(one)) => audiences.contains(one),
        Some(Value::Array(many)) => many
            .iter()
            .filter_map(Value::as_str)
            .any(|one| audiences.iter().any(|known| known == one)),
        _ => false,
    };
    if !audience_fits {
        return Err(AssertionFault::Audience);
    }
    let now = cloud.now().as_second();
    let time = |name: &str| claims.get(name).and_then(numeric_date);
    if time("exp").is_none_or(|exp| exp <= now) || time("nbf").is_some_and(|nbf| nbf > now + 300) {
        return Err(AssertionFault::Time);
    }
    Ok(())
}

/// RFC 7519 §2: seconds, which may have a fraction; Microsoft's Python client sends one.
fn numeric_date(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        let since_1970 = std::time::Duration::try_from_secs_f64(value.as_f64()?).ok()?;
        i64::try_from(since_1970.as_secs()).ok()
    })
}

fn key_of_certificate(text: &str) -> Option<Vec<u8>> {
    let der = pem::parse(text).ok()?.into_contents();
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    Some(certificate.public_key().raw.to_vec())
}
