//! Writes the seeds that are made by code: `cargo run -p vouchsafe-fuzz --example seeds`.
//! The others are texts, and were put into `fuzz/corpus/` as they are.

use std::fs;
use std::path::Path;

use forged_root::vm::{Hcl, QuoteFields, SoftwareAk, VmClaims};
use forged_root::{
    Chip, Form, Product, ReportFields, Tcb, UVM_MEASUREMENT, UVM_SVN, amd, amd_crl, uvm_endorsement,
};

mod store_seeds;

fn main() -> std::io::Result<()> {
    for (product, name) in
        [(Product::Milan, "milan"), (Product::Genoa, "genoa"), (Product::Turin, "turin")]
    {
        let tcb = Tcb { fmc: Some(1), bootloader: 4, tee: 0, snp: 24, microcode: 219 };
        let report = Chip::new(product, name, tcb).sign(&ReportFields::new(product, tcb));
        seed("snp_report", name, &report)?;
        evidence(product, name)?;
    }
    store_seeds::write()
}

/// What comes beside a report, and the forms in which all of it travels.
fn evidence(product: Product, name: &str) -> std::io::Result<()> {
    let chip = Chip::new(product, name, product.tcb());
    seed("thim_json", name, chip.thim_json().as_bytes())?;
    seed("x509_extensions", name, &chip.vek_der())?;
    let vlek = Chip::new_vlek(product, name, product.tcb());
    seed("x509_extensions", &format!("{name}_vlek"), &vlek.vek_der())?;
    seed("crl", name, &amd_crl(product, &[1, 7], amd::NOT_BEFORE, amd::NOT_AFTER))?;
    let form = if product == Product::Milan { Form::Json } else { Form::Transparent };
    let endorsement = uvm_endorsement(&UVM_MEASUREMENT, UVM_SVN, form);
    seed("uvm_endorsement", name, &endorsement)?;
    let ak = SoftwareAk::new();
    let hcl = Hcl::new(&chip, &VmClaims::new(ak.public())).bytes();
    seed("hcl_report", name, &hcl)?;
    let registers: Vec<_> = (0..24).map(|index| (index, [index; 32])).collect();
    let message = QuoteFields::new(name.as_bytes(), &registers).attest();
    let signature = ak.sign(&message);
    seed("tpms_attest", name, &message)?;
    seed("tpmt_signature", name, &signature)?;
    let pcrs: Vec<_> = registers.iter().map(|(_, value)| hex(value)).collect();
    let quote = format!(
        r#"{{"signature":"{}","message":"{}","pcrs":{pcrs:?}}}"#,
        hex(signature.get(6..).unwrap_or_default()),
        hex(&message)
    );
    seed("rcar_evidence", name, quote.as_bytes())?;
    seed("evidence_document", name, chip.host_amd_cert_base64().as_bytes())?;
    seed("evidence_document", &format!("{name}_quote"), quote.as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn seed(target: &str, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), bytes)
}
