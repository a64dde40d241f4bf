//! `POST /attest/SevSnpVm` (azure.md A.3).
//!
//! 1. shape; 2. report under AMD's roots or the forged ones; 3. endorsement under the same party's root, judged at its signing time;
//! 4. runtime data bound by REPORT_DATA; 5. init-time data bound by HOST_DATA; 6. the policy, draft or in force, permits;
//! 7. the token. Texts of 1–5 are ours: nobody recorded them, only the code `InvalidParameter` is known.

use aws_lc_rs::digest::{SHA256, digest};
use evidence::{
    Anchors, Sha256, Step, UvmPolicy, VerifiedHardware, verify_endorsement, verify_hardware,
};
use forged_root::{Product, amd_root_sha256, uvm_root_sha256};
use hyper::StatusCode;
use maa::evaluate::{ClaimSet, Refusal, evaluate};
use maa::policy;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::claims::claims_of;
use super::errors::{bad, internal};
use super::policies::{InForce, in_force};
use super::{AttestationType, Call, keys, token_id};
use crate::core::Response;
use crate::core::encoding::from_b64url;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawAttest {
    report: Option<String>,
    runtime_data: Option<RawData>,
    init_time_data: Option<RawData>,
    nonce: Option<Value>,
    draft_policy_for_attestation: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawData {
    #[serde(default)]
    data: String,
    #[serde(default)]
    data_type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawReport {
    snp_report: String,
    vcek_cert_chain: String,
    endorsements: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawEndorsements {
    uvm: Vec<String>,
}

pub(super) fn attest(call: &Call<'_>, kind: AttestationType) -> Result<Response, Response> {
    if kind != AttestationType::SevSnpVm {
        return Err(bad(
            "NotSupported",
            "The local cloud attests SEV-SNP only (/attest/SevSnpVm).",
        ));
    }
    let raw: RawAttest = call
        .request
        .json()
        .map_err(|error| invalid(&format!("The request body is not valid: {error}")))?;
    let (hardware, compliance) = verify(call, raw.report.as_deref())?;
    let report = hardware.report();
    let (bound, _) = report.report_data.as_bytes().split_at(32);
    let runtime = bound_object(raw.runtime_data.as_ref(), bound, "runtimeData", "report data")?;
    let inittime = bound_object(
        raw.init_time_data.as_ref(),
        report.host_data.as_bytes(),
        "initTimeData",
        "host data",
    )?;

    let mut claims = claims_of(&hardware);
    if let Some(compliance) = compliance {
        claims.insert("x-ms-compliance-status".to_owned(), json!(compliance));
    }
    let draft = raw.draft_policy_for_attestation.as_deref().filter(|text| !text.is_empty());
    let in_force = match draft {
        Some(text) => InForce { text: text.to_owned(), signer: None },
        None => in_force(call, kind)?,
    };
    let issued = judge(&in_force.text, &claims)?;
    if !issued.is_empty() {
        claims.insert("x-ms-policy".to_owned(), Value::Object(issued.clone()));
    }
    for (name, value) in issued {
        claims.entry(name).or_insert(value);
    }
    for (name, value) in [
        ("x-ms-runtime", runtime),
        ("x-ms-inittime", inittime),
        ("x-ms-policy-signer", in_force.signer),
    ] {
        if let Some(value) = value {
            claims.insert(name.to_owned(), value);
        }
    }
    // A number is taken, and comes back as text (azure.md A.3).
    let nonce = match raw.nonce {
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(Value::String(text)) => Some(text).filter(|text| !text.is_empty()),
        Some(Value::Null) | None => None,
        Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
            return Err(invalid("The nonce is neither text nor number."));
        }
    };
    if let Some(nonce) = nonce {
        claims.insert("nonce".to_owned(), json!(nonce));
    }
    let hash = policy::policy_hash(&in_force.text);
    claims.insert("x-ms-policy-hash".to_owned(), json!(hash.as_str()));
    let now = call.cloud.now().as_second();
    claims.insert("iss".to_owned(), json!(call.issuer()));
    claims.insert("jti".to_owned(), json!(token_id()));
    claims.insert("iat".to_owned(), json!(now));
    claims.insert("nbf".to_owned(), json!(now));
    claims.insert("exp".to_owned(), json!(now + 28_800));
    claims.insert("x-ms-ver".to_owned(), json!("1.0"));
    let token = match draft {
        Some(_) => keys::unsigned(call.cloud, call.host, &claims),
        None => keys::sign(call.cloud, call.host, &claims),
    };
    let token = token.map_err(|error| internal(&error))?;
    Ok(Response::json(StatusCode::OK, &json!({"token": token})))
}

fn invalid(message: &str) -> Response {
    bad("InvalidParameter", message)
}

/// The hardware, and the compliance status that the endorsement of its utility VM earns. Without endorsement there is no such claim (ours:
/// a confidential VM, whose status comes from its known measurement, attests another way).
fn verify(
    call: &Call<'_>,
    report: Option<&str>,
) -> Result<(VerifiedHardware, Option<&'static str>), Response> {
    let decoded = |text: &str, what: &str| {
        from_b64url(text).ok_or_else(|| invalid(&format!("{what} is not base64url.")))
    };
    let report = decoded(report.ok_or_else(|| invalid("The report is missing."))?, "The report")?;
    let raw: RawReport = serde_json::from_slice(&report)
        .map_err(|error| invalid(&format!("The report is not valid: {error}")))?;
    let snp = decoded(&raw.snp_report, "SnpReport")?;
    let chain = decoded(&raw.vcek_cert_chain, "VcekCertChain")?;
    let chain = std::str::from_utf8(&chain).map_err(|_| invalid("VcekCertChain is not PEM."))?;
    let now = call.cloud.now();
    let forged = Anchors::insecure(
        Product::ALL.map(|product| Sha256::new(amd_root_sha256(product))),
        Sha256::new(uvm_root_sha256()),
    );
    let (hardware, anchors) = match verify_hardware(&Anchors::amd(), &snp, chain, now) {
        Ok(hardware) => (hardware, Anchors::amd()),
        Err(refusal) => match verify_hardware(&forged, &snp, chain, now) {
            Ok(hardware) => (hardware, forged),
            Err(other) => {
                let refusal = if refusal.step == Step::Root { other } else { refusal };
                return Err(invalid(&format!(
                    "The report or its certificates cannot be verified: {refusal}"
                )));
            }
        },
    };
    let Some(endorsements) = raw.endorsements.filter(|text| !text.is_empty()) else {
        return Ok((hardware, None));
    };
    let endorsements: RawEndorsements =
        serde_json::from_slice(&decoded(&endorsements, "Endorsements")?)
            .map_err(|error| invalid(&format!("Endorsements is not valid: {error}")))?;
    let mut refused = "there is none".to_owned();
    for message in &endorsements.uvm {
        let message = decoded(message, "Endorsements.Uvm")?;
        for (policy, status) in platforms() {
            match verify_endorsement(&policy, &anchors, &message, &hardware.report().measurement) {
                Ok(_) => return Ok((hardware, Some(status))),
                Err(refusal) => refused = refusal.to_string(),
            }
        }
    }
    Err(invalid(&format!("The endorsement of the utility VM cannot be verified: {refused}")))
}

/// Whose utility VMs are known, and as what (azure.md §0 surprise 14, D.3).
fn platforms() -> [(UvmPolicy, &'static str); 2] {
    let kubernetes = UvmPolicy {
        eku: "1.3.6.1.4.1.311.76.59.1.5".to_owned(),
        feed: "ConfAKS-AMD-UVM".to_owned(),
        min_svn: 1,
    };
    [
        (kubernetes, "azure-signed-katacc-uvm"),
        (UvmPolicy::container_platform(0), "azure-compliant-uvm"),
    ]
}

/// Data bound by the report: its object if it is JSON, nothing if it is binary or absent.
fn bound_object(
    raw: Option<&RawData>,
    expected: &[u8],
    name: &str,
    field: &str,
) -> Result<Option<Value>, Response> {
    let Some(raw) = raw.filter(|raw| !raw.data.is_empty()) else { return Ok(None) };
    let data =
        from_b64url(&raw.data).ok_or_else(|| invalid(&format!("{name} is not base64url.")))?;
    if digest(&SHA256, &data).as_ref() != expected {
        return Err(invalid(&format!("The SHA-256 of {name} is not the report's {field}.")));
    }
    match raw.data_type.to_ascii_lowercase().as_str() {
        "json" => {
            let object: Map<String, Value> = serde_json::from_slice(&data)
                .map_err(|_| invalid(&format!("{name} is not a JSON object.")))?;
            Ok(Some(Value::Object(object)))
        }
        "binary" => Ok(None),
        other => {
            Err(invalid(&format!("The dataType {other} of {name} is neither JSON nor Binary.")))
        }
    }
}

/// The claims that the policy issues.
fn judge(text: &str, claims: &Map<String, Value>) -> Result<Map<String, Value>, Response> {
    let policy =
        policy::parse(text).map_err(|error| bad("PolicyParsingError", &error.service_text()))?;
    let outgoing = evaluate(&policy, &ClaimSet::from_token(claims)).map_err(|denied| {
        let message = match denied.refusal() {
            // Recorded for a missing permit; by the specification a deny differs in the inner text only.
            Refusal::Deny | Refusal::NoPermit => format!(
                "Attestation Enclave operation failed with 65518: Exception(0) 83FFFFEE Policy Evaluation Error has occurred    Msg:[{}] \n\r\nUnhandled Enclave Exception: \"Policy Evaluation Error has occurred\"\r\n",
                denied.refusal()
            ),
            Refusal::ServiceClaim(_) | Refusal::NotSupported(_) | Refusal::TooLarge => {
                format!("Policy Evaluation Error has occurred (text of the local cloud): {}", denied.refusal())
            }
        };
        bad("PolicyEvaluationError", &message)
    })?;
    Ok(outgoing.to_json())
}
