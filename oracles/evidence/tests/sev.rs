//! The same reports and chains through the `sev` crate's own verifier.
//!
//! Whatever we accept it must accept; what it accepts and we refuse is listed with the step that refuses, and argued in
//! `oracles/README.md`.

use std::collections::BTreeMap;

use evidence::{Anchors, Sha256, Step, verify_hardware};
use forged_root::{Chip, Product, ReportFields, ark_der, ask_der, asvk_der};
use jiff::Timestamp;
use sev::certs::snp::{Chain, Verifiable};
use sev::firmware::guest::AttestationReport;
use sev::parser::ByteParser;

const NOW: Timestamp = Timestamp::constant(1_772_323_200, 0);

fn anchors() -> Anchors {
    let roots = Product::ALL.map(|product| Sha256::new(forged_root::amd_root_sha256(product)));
    Anchors::insecure(roots, Sha256::new([0; 32]))
}

/// Whether the `sev` crate accepts.
fn sev(chip: &Chip, authority: &[u8], report: &[u8]) -> bool {
    let Ok(chain) = Chain::from_der(&ark_der(chip.product), authority, &chip.vek_der()) else {
        return false;
    };
    AttestationReport::from_bytes(report).is_ok_and(|report| (&chain, &report).verify().is_ok())
}

/// Whether a byte of the signed part is reserved within a TCB version.
fn reserved(product: Product, at: usize) -> bool {
    let unused = match product {
        Product::Milan | Product::Genoa => 2..6,
        Product::Turin => 4..7,
    };
    [56, 384, 480, 496].iter().any(|word| unused.contains(&at.wrapping_sub(*word)))
}

type Change = fn(&mut ReportFields);

#[test]
fn agrees_or_is_stricter_for_a_reason() {
    let changes: [(&str, Change); 12] = [
        ("as it is", |_| {}),
        ("report data", |fields| fields.report_data = [7; 64]),
        ("host data", |fields| fields.host_data = [7; 32]),
        ("debug", |fields| fields.policy |= 1 << 19),
        ("vmpl", |fields| fields.vmpl = 2),
        ("another chip", |fields| fields.chip_id[0] ^= 1),
        ("another reported tcb", |fields| fields.reported_tcb[7] ^= 1),
        ("says vlek", |fields| fields.flags |= 1 << 2),
        ("masked chip key", |fields| fields.flags |= 1 << 1),
        ("another algorithm", |fields| fields.signature_algorithm = 9),
        ("a later version", |fields| fields.version = 6),
        ("an unknown processor", |fields| fields.cpuid = [0x1b, 0, 0]),
    ];
    let mut stricter = BTreeMap::new();
    for product in Product::ALL {
        let chip = Chip::new(product, "oracle", product.tcb());
        for (what, change) in changes {
            let mut fields = chip.fields();
            change(&mut fields);
            let report = chip.sign(&fields);
            let theirs = sev(&chip, &ask_der(product), &report);
            match (verify_hardware(&anchors(), &report, &chip.vcek_pem_chain(), NOW), theirs) {
                (Ok(_), true) | (Err(_), false) => {}
                (Ok(_), false) => panic!("{what} of {product}: only we accept"),
                (Err(refusal), true) => drop(stricter.insert(what, refusal.step)),
            }
            // A sample of the signed part's bits.
            for bit in (0..672 * 8).step_by(211) {
                let mut spoilt = report.clone();
                spoilt[bit / 8] ^= 1 << (bit % 8);
                // It checks the signature over what it read, and does not read what a TCB word reserves.
                let spoilt_theirs = sev(&chip, &ask_der(product), &spoilt);
                let expected = theirs && reserved(product, bit / 8);
                assert_eq!(spoilt_theirs, expected, "bit {bit} of {product}, {what}");
                let ours = verify_hardware(&anchors(), &spoilt, &chip.vcek_pem_chain(), NOW);
                assert!(ours.is_err(), "bit {bit} of {product}");
            }
        }
        let vlek = Chip::new_vlek(product, "oracle", product.tcb());
        let report = vlek.sign(&vlek.fields());
        assert!(sev(&vlek, &asvk_der(product), &report));
        verify_hardware(&anchors(), &report, &vlek.vcek_pem_chain(), NOW).unwrap();
        // Time.
        let late = Timestamp::constant(3_400_000_000, 0);
        let refusal = verify_hardware(&anchors(), &report, &vlek.vcek_pem_chain(), late);
        assert_eq!(refusal.unwrap_err().step, Step::Validity);
    }
    let expected = BTreeMap::from([
        ("another chip", Step::VekChip),
        ("another reported tcb", Step::VekTcb),
        ("says vlek", Step::SigningKey),
        ("masked chip key", Step::SigningKey),
        ("another algorithm", Step::Structure),
        ("a later version", Step::Structure),
    ]);
    assert_eq!(stricter, expected);
}
