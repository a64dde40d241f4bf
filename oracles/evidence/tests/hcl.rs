//! The same HCL reports through the parser of `az-cvm-vtpm`.

use az_cvm_vtpm::hcl::HclReport as Theirs;
use evidence::{HclReport, Sha256};
use forged_root::vm::{Hcl, SoftwareAk, VmClaims};
use forged_root::{Chip, Product};

#[test]
fn agrees_on_claims_and_their_digest() {
    for product in Product::ALL {
        let chip = Chip::new(product, "oracle", product.tcb());
        let good = Hcl::new(&chip, &VmClaims::new(SoftwareAk::new().public()));
        for (version, size) in [(1, 2600), (2, 2600)] {
            let bytes = Hcl { version, size, ..good.clone() }.bytes();
            let theirs = Theirs::new(bytes.clone()).unwrap();
            let ours = HclReport::parse(&bytes).unwrap();
            assert_eq!(theirs.var_data(), ours.claims_bytes());
            let digest = Sha256::of(ours.claims_bytes());
            assert_eq!(&theirs.var_data_sha256(), digest.as_bytes());
            assert!(theirs.ak_pub().is_ok() && ours.claims().unwrap().attestation_key().is_some());
        }
    }
}
