//! What evidence of the same kinds may look like elsewhere: it is accepted, or refused for what differs.

use forged_root::vm::{Hcl, vm_fields};
use forged_root::{Chip, Form, Product, UVM_EKU, UVM_SVN};
use serde_json::{Value, json};

use super::vm::Vm;
use super::{Sample, steps};
use crate::{HclReport, Step};

#[test]
fn an_hcl_report_may_have_every_size_that_holds_it() {
    for product in Product::ALL {
        for version in [1, 2] {
            for report_version in [2, 3, 4, 5] {
                let mut vm = Vm::new(product);
                vm.change_fields = match report_version {
                    2 => |fields| fields.version = 2,
                    3 => |fields| fields.version = 3,
                    4 => |fields| fields.version = 4,
                    _ => |fields| fields.version = 5,
                };
                vm.change_hcl =
                    if version == 1 { |hcl| hcl.version = 1 } else { |hcl| hcl.version = 2 };
                let what = format!("hcl {version}, report {report_version} of {product}");
                let good = vm.evidence();
                let claims = HclReport::parse(&good.hcl_report).unwrap().claims_bytes().len();
                for size in [1236 + claims, 2048, 2600, 4096, 8192] {
                    let mut evidence = good.clone();
                    evidence.hcl_report.resize(size, 0);
                    match (vm.check(&evidence), product, report_version) {
                        (Err(refusal), Product::Turin, 2) => {
                            assert_eq!(refusal.step, Step::Product, "{what}");
                        }
                        (answer, ..) => {
                            answer.unwrap_or_else(|refusal| panic!("{what}, {size}: {refusal}"));
                        }
                    }
                }
                for size in [1236 + claims - 1, 1236, 8193] {
                    let mut evidence = good.clone();
                    evidence.hcl_report.resize(size, 0);
                    assert_eq!(vm.check(&evidence).unwrap_err().step, Step::Structure, "{what}");
                }
            }
        }
    }
}

#[test]
fn every_other_technology_is_refused_by_name() {
    for (kind, name) in [(1, "vbs"), (3, "trusted launch"), (4, "tdx"), (9, "kind 9")] {
        let vm = Vm::new(Product::Milan);
        let mut evidence = vm.evidence();
        evidence.hcl_report[1224] = kind;
        let refusal = vm.check(&evidence).unwrap_err();
        assert_eq!((refusal.step, refusal.found.as_str()), (Step::Structure, name));
    }
}

/// The answer to a machine whose claims are these bytes, bound into its report.
fn with_claims(change: impl Fn(&mut Value), write: fn(&Value) -> String) -> Result<(), Step> {
    let vm = Vm::new(Product::Genoa);
    let mut claims: Value = serde_json::from_slice(&vm.claims.json()).unwrap();
    change(&mut claims);
    let claims = write(&claims).into_bytes();
    let mut evidence = vm.evidence();
    let chip = Chip::new(Product::Genoa, "vm", Product::Genoa.tcb());
    evidence.hcl_report = Hcl::with(&vm_fields(&chip, &claims), &chip, claims).bytes();
    vm.check(&evidence).map(drop).map_err(|refusal| refusal.step)
}

#[test]
fn claims_may_say_more_in_another_order_and_with_spaces() {
    let pretty: fn(&Value) -> String = |claims| serde_json::to_string_pretty(claims).unwrap();
    for write in [pretty, Value::to_string] {
        let check = |change: fn(&mut Value)| with_claims(change, write);
        assert_eq!(check(|_| {}), Ok(()));
        let more = check(|claims| {
            claims["vm-configuration"]["current-time"] = 1_772_323_200.into();
            claims["vm-configuration"]["root-cert-thumbprint"] = "x".into();
            claims["vm-configuration"]["filtered-vpci-devices-allowed"] = Value::Null;
            claims["new-claim"] = json!({"a": [1, 2.5, null]});
            let endorsement = json!({"kid": "HCLEkPub", "kty": "RSA", "e": "AQAB", "n": "AAAA"});
            let keys = claims["keys"].as_array_mut().unwrap();
            keys.insert(0, endorsement);
            keys.push(json!({"kid": "other", "kty": "EC"}));
        });
        assert_eq!(more, Ok(()));
        assert_eq!(
            check(|claims| drop(claims.as_object_mut().unwrap().remove("user-data"))),
            Ok(())
        );
        assert_eq!(check(|claims| claims["user-data"] = "ab".repeat(64).into()), Ok(()));
        assert_eq!(check(|claims| claims["keys"] = json!([])), Err(Step::RuntimeClaims));
        let without = |claims: &mut Value| {
            drop(claims.as_object_mut().unwrap().remove("vm-configuration"));
        };
        assert_eq!(check(without), Err(Step::SecureBoot));
    }
}

#[test]
fn an_endorsement_may_say_more_and_carry_more_certificates() {
    for form in [Form::Json, Form::Transparent] {
        let accepts = |what: &str, change: fn(&mut Sample)| {
            let mut sample = Sample::new(Product::Milan, form);
            change(&mut sample);
            sample.verify().unwrap_or_else(|refusal| panic!("{what}: {refusal}"));
        };
        accepts("a certificate above the root", |s| {
            let root = s.endorsement.chain[2].clone();
            s.endorsement.chain.push(root);
        });
        accepts("a signer with several uses", |s| {
            s.endorsement.chain[0] =
                steps::leaf(&["1.3.6.1.5.5.7.3.36", UVM_EKU], 1_704_067_200, 3_000_000_000);
        });
        accepts("another feed that is demanded", |s| {
            s.endorsement.feed = "ConfAKS-AMD-UVM".to_owned();
            s.policy.uvm.feed = "ConfAKS-AMD-UVM".to_owned();
        });
        accepts("another usage that is demanded", |s| {
            let eku = "1.3.6.1.4.1.311.76.59.1.1";
            s.endorsement.chain[0] = steps::leaf(&[eku], 1_704_067_200, 3_000_000_000);
            s.policy.uvm.eku = eku.to_owned();
            s.endorsement.issuer = s.anchors.uvm_issuer(eku);
        });
        accepts("a newer vm", |s| s.endorsement.svn = u64::from(u32::MAX));
        accepts("unprotected and unknown headers", |s| {
            s.endorsement.change_headers = |headers| {
                headers.push((394.into(), forged_root::Value::Array(vec![])));
                headers.push((forged_root::Value::Text("more".to_owned()), 1.into()));
            };
        });
    }
}

#[test]
fn the_svn_of_a_json_endorsement_may_be_a_text_or_a_number() {
    let answer = |svn: Value| {
        let mut sample = Sample::new(Product::Milan, Form::Json);
        let measurement = crate::Measurement::new(sample.endorsement.measurement).to_string();
        let mut payload = json!({
            "x-ms-sevsnpvm-launchmeasurement": measurement, "x-ms-sevsnpvm-guestsvn": svn, "more": {},
        });
        if svn.is_null() {
            payload["x-ms-sevsnpvm-guestsvn-int"] = UVM_SVN.into();
        }
        sample.endorsement.payload = Some(payload.to_string().into_bytes());
        sample.verify().map(|verified| verified.uvm_svn()).map_err(|refusal| refusal.step)
    };
    for svn in [json!(UVM_SVN.to_string()), json!(UVM_SVN), Value::Null] {
        assert_eq!(answer(svn), Ok(UVM_SVN));
    }
    assert_eq!(answer(json!("0")), Err(Step::EndorsementSvn));
    for svn in [json!(-1), json!(1.5), json!("0x64"), json!("0100"), json!([100]), json!(true)] {
        assert_eq!(answer(svn.clone()), Err(Step::EndorsementStructure), "{svn}");
    }
}
