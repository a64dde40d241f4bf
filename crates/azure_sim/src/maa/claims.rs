//! What the service says of a report: names and types of azure.md A.5.

use evidence::VerifiedHardware;
use serde_json::{Map, Value, json};

/// The claims of the hardware, without those of time, instance and policy. Hexadecimal is lower case.
pub(super) fn claims_of(hardware: &VerifiedHardware) -> Map<String, Value> {
    let report = hardware.report();
    let tcb = hardware.reported_tcb();
    let mut claims = Map::new();
    let mut put = |name: &str, value: Value| drop(claims.insert(format!("x-ms-{name}"), value));
    put("attestation-type", json!("sevsnpvm"));
    put("sevsnpvm-authorkeydigest", json!(hex::encode(report.author_key_digest.as_bytes())));
    put("sevsnpvm-bootloader-svn", json!(tcb.bootloader));
    put("sevsnpvm-familyId", json!(hex::encode(report.family_id.as_bytes())));
    put("sevsnpvm-guestsvn", json!(report.guest_svn));
    put("sevsnpvm-hostdata", json!(hex::encode(report.host_data.as_bytes())));
    put("sevsnpvm-idkeydigest", json!(hex::encode(report.id_key_digest.as_bytes())));
    put("sevsnpvm-imageId", json!(hex::encode(report.image_id.as_bytes())));
    put("sevsnpvm-is-debuggable", json!(report.policy.allows_debug()));
    put("sevsnpvm-launchmeasurement", json!(hex::encode(report.measurement.as_bytes())));
    put("sevsnpvm-microcode-svn", json!(tcb.microcode));
    put("sevsnpvm-migration-allowed", json!(report.policy.allows_migration()));
    put("sevsnpvm-reportdata", json!(hex::encode(report.report_data.as_bytes())));
    put("sevsnpvm-reportid", json!(hex::encode(report.report_id.as_bytes())));
    put("sevsnpvm-smt-allowed", json!(report.policy.allows_smt()));
    put("sevsnpvm-snpfw-svn", json!(tcb.snp));
    put("sevsnpvm-tee-svn", json!(tcb.tee));
    put("sevsnpvm-vmpl", json!(report.vmpl));
    claims
}
