//! Every parser of outside bytes, as a function of the bytes that must return whatever they are.
//!
//! A target may assert what must hold for every input: that what was printed parses back, that what
//! was accepted is what was read. `cargo xtask fuzz NAME` looks for inputs that make one panic;
//! an ordinary test runs every target over its seeds in `fuzz/corpus/NAME/`, and an input that was
//! once a finding stays there. Seeds are our own or forged: nobody else's data is among them.

mod targets;

/// A parser under test.
pub struct Target {
    /// Its name, the folder of its seeds.
    pub name: &'static str,
    /// Runs it over one input.
    pub run: fn(&[u8]),
}

/// All of them, by name.
pub const TARGETS: &[Target] = &[
    Target { name: "container_group", run: targets::image::group },
    Target { name: "crl", run: targets::evidence::crl },
    Target { name: "evidence_document", run: targets::evidence::evidence_document },
    Target { name: "explain_evidence", run: targets::explain::evidence },
    Target { name: "explain_token", run: targets::explain::token },
    Target { name: "hcl_report", run: targets::evidence::hcl_report },
    Target { name: "image_archive", run: targets::image::image_archive },
    Target { name: "layer_ext4", run: targets::image::layer_ext4 },
    Target { name: "maa_policy", run: targets::maa::policy },
    Target { name: "maa_policy_evaluation", run: targets::maa::policy_evaluation },
    Target { name: "manifest", run: targets::manifest::text },
    Target { name: "oci_manifest", run: targets::image::oci_manifest },
    Target { name: "rcar_evidence", run: targets::evidence::rcar_evidence },
    Target { name: "release_policy", run: targets::maa::release_policy },
    Target { name: "release_policy_evaluation", run: targets::maa::release_evaluation },
    Target { name: "snp_report", run: targets::evidence::snp_report },
    Target { name: "store_checkpoint", run: targets::store::checkpoint },
    Target { name: "store_commit", run: targets::store::commit },
    Target { name: "store_snapshot", run: targets::store::snapshot },
    Target { name: "thim_json", run: targets::evidence::thim_json },
    Target { name: "tpm_answer", run: targets::tpm::answer },
    Target { name: "tpms_attest", run: targets::evidence::tpms_attest },
    Target { name: "tpmt_signature", run: targets::evidence::tpmt_signature },
    Target { name: "uvm_endorsement", run: targets::evidence::uvm_endorsement },
    Target { name: "x509_extensions", run: targets::evidence::x509_extensions },
];

/// The target of that name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
