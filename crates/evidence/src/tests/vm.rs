//! A virtual machine's evidence, each step broken alone.

use std::collections::BTreeMap;

use forged_root::vm::{
    Hcl, QuoteFields, RsaPublic, SoftwareAk, VM_MEASUREMENT, VmClaims, vm_fields,
};
use forged_root::{Chip, Product, ReportFields};
use jiff::Timestamp;

use super::{NOW, forged_anchors, forged_floors};
use crate::{
    Allowed, Anchors, HostData, Measurement, PcrIndex, PcrValue, QuoteNonce, RawQuote,
    RawVmEvidence, Refusal, ReportPolicy, Requirement, Step, UserData, VerifiedVm, VmBinding,
    VmPolicy, verify_vm,
};

/// Everything that goes into a verification; a sound one until a test changes something.
pub(super) struct Vm {
    pub(super) chip: Chip,
    pub(super) ak: SoftwareAk,
    pub(super) claims: VmClaims,
    /// What the processor says beside what follows from the claims.
    pub(super) change_fields: fn(&mut ReportFields),
    pub(super) change_hcl: fn(&mut Hcl),
    pub(super) pcrs: BTreeMap<PcrIndex, PcrValue>,
    pub(super) change_quote: fn(&mut QuoteFields),
    pub(super) policy: VmPolicy,
    pub(super) anchors: Anchors,
    pub(super) binding: VmBinding,
    now: Timestamp,
    /// Changes the bytes after everything is signed.
    pub(super) spoil: fn(&mut RawVmEvidence),
}

impl Vm {
    pub(super) fn new(product: Product) -> Self {
        let ak = SoftwareAk::new();
        let pcrs: BTreeMap<_, _> = [0u8, 4, 7, 11, 23]
            .map(|index| (PcrIndex::try_from(index).unwrap(), PcrValue::of(&[index])))
            .into();
        let mut report = ReportPolicy::guest(forged_floors());
        report.measurements = Allowed::only([Measurement::new(VM_MEASUREMENT)]);
        let demanded = [4u8, 11].map(|index| {
            (PcrIndex::try_from(index).unwrap(), [PcrValue::of(&[index]), PcrValue::of(b"")].into())
        });
        Self {
            chip: Chip::new(product, "vm", product.tcb()),
            claims: VmClaims::new(ak.public()),
            ak,
            change_fields: |_| {},
            change_hcl: |_| {},
            pcrs,
            change_quote: |_| {},
            policy: VmPolicy { report, pcrs: demanded.into(), secure_boot: Requirement::Required },
            anchors: forged_anchors(),
            binding: VmBinding {
                nonce: QuoteNonce::sha256(b"challenge"),
                user_data: UserData::Any,
            },
            now: NOW,
            spoil: |_| {},
        }
    }

    pub(super) fn evidence(&self) -> RawVmEvidence {
        let claims = self.claims.json();
        let mut fields = vm_fields(&self.chip, &claims);
        (self.change_fields)(&mut fields);
        let mut hcl = Hcl::with(&fields, &self.chip, claims);
        (self.change_hcl)(&mut hcl);
        let registers: Vec<_> =
            self.pcrs.iter().map(|(index, value)| (index.number(), *value.as_bytes())).collect();
        let mut quote = QuoteFields::new(self.binding.nonce.as_bytes(), &registers);
        (self.change_quote)(&mut quote);
        let message = quote.attest();
        let mut evidence = RawVmEvidence {
            hcl_report: hcl.bytes(),
            certificates: self.chip.vcek_pem_chain(),
            quote: RawQuote { signature: self.ak.sign(&message), message, pcrs: self.pcrs.clone() },
        };
        (self.spoil)(&mut evidence);
        evidence
    }

    pub(super) fn verify(&self) -> Result<VerifiedVm, Refusal> {
        self.check(&self.evidence())
    }

    pub(super) fn check(&self, evidence: &RawVmEvidence) -> Result<VerifiedVm, Refusal> {
        verify_vm(&self.policy, &self.anchors, evidence, &self.binding, self.now)
    }
}

fn refused(step: Step, what: &str, change: impl Fn(&mut Vm)) {
    let mut vm = Vm::new(Product::Milan);
    change(&mut vm);
    let refusal = vm.verify().expect_err(what);
    assert_eq!(refusal.step, step, "{what}: {refusal}");
}

fn index(number: u8) -> PcrIndex {
    PcrIndex::try_from(number).unwrap()
}

#[test]
fn accepts_sound_evidence_of_every_product_version_and_size() {
    for product in Product::ALL {
        let vm = Vm::new(product);
        let verified = vm.verify().unwrap();
        assert_eq!(verified.product().to_string(), product.to_string());
        assert_eq!(verified.report().measurement.as_bytes(), &VM_MEASUREMENT);
        assert_eq!(verified.report().host_data, HostData::new([0; 32]));
        assert_eq!(verified.claims().secure_boot(), Some(true));
        assert_eq!(verified.claims().vm_id(), Some("D0B7A1F0-0000-4000-8000-5EC0DE5EC0DE"));
        let quote = verified.quote();
        assert_eq!((quote.reset_count, quote.restart_count, quote.clock), (3, 0, 3_363_536));
        assert_eq!(verified.pcrs(), &vm.pcrs);
    }
    let accepts = |what: &str, change: fn(&mut Vm)| {
        let mut vm = Vm::new(Product::Genoa);
        change(&mut vm);
        vm.verify().unwrap_or_else(|refusal| panic!("{what}: {refusal}"));
    };
    accepts("the older size and version", |vm| {
        vm.change_hcl = |hcl| {
            hcl.version = 1;
            hcl.size = 2048;
        };
    });
    accepts("user data", |vm| {
        let bytes = [&[7; 48][..], &[0; 16]].concat();
        vm.claims.user_data = Some(bytes);
        vm.binding.user_data = UserData::Exactly(vec![7; 48]);
    });
    accepts("no secure boot where it is not demanded", |vm| {
        vm.claims.secure_boot = None;
        vm.policy.secure_boot = Requirement::NotRequired;
    });
    accepts("no registers where none are demanded", |vm| {
        vm.pcrs.clear();
        vm.policy.pcrs.clear();
    });
    accepts("an unsafe clock", |vm| vm.change_quote = |quote| quote.safe = 0);
}

#[test]
fn travels_as_json() {
    let evidence = Vm::new(Product::Milan).evidence();
    let json = serde_json::to_string(&evidence).unwrap();
    assert_eq!(serde_json::from_str::<RawVmEvidence>(&json).unwrap(), evidence);
    assert!(serde_json::from_str::<RawVmEvidence>(&json.replacen('{', r#"{"x":1,"#, 1)).is_err());
}

#[test]
fn steps_1_to_3_frame_report_and_signature() {
    refused(Step::Structure, "magic", |vm| vm.change_hcl = |hcl| hcl.magic = *b"HCLB");
    refused(Step::Structure, "version", |vm| vm.change_hcl = |hcl| hcl.version = 3);
    for kind in [1, 3, 4, 5] {
        let mut vm = Vm::new(Product::Milan);
        vm.change_hcl = match kind {
            1 => |hcl: &mut Hcl| hcl.report_type = 1,
            3 => |hcl: &mut Hcl| hcl.report_type = 3,
            4 => |hcl: &mut Hcl| hcl.report_type = 4,
            _ => |hcl: &mut Hcl| hcl.report_type = 5,
        };
        assert_eq!(vm.verify().unwrap_err().step, Step::Structure, "{kind}");
    }
    refused(Step::Structure, "hash", |vm| vm.change_hcl = |hcl| hcl.hash_type = 2);
    refused(Step::Structure, "cut off", |vm| vm.spoil = |e| e.hcl_report.truncate(1300));
    refused(Step::Structure, "too long", |vm| vm.spoil = |e| e.hcl_report.resize(9000, 0));
    refused(Step::Structure, "report version", |vm| {
        vm.change_fields = |fields| fields.version = 6;
    });
    refused(Step::Certificates, "none", |vm| vm.spoil = |e| e.certificates.clear());
    refused(Step::Signature, "report", |vm| vm.spoil = |e| e.hcl_report[32 + 80] ^= 1);
    refused(Step::Signature, "another chip", |vm| {
        vm.spoil = |e| {
            let other = Chip::new(Product::Milan, "other", Product::Milan.tcb());
            e.certificates = other.vcek_pem_chain();
        };
    });
}

#[test]
fn steps_of_every_report() {
    refused(Step::Root, "amd's roots are meant", |vm| vm.anchors = Anchors::amd());
    refused(Step::Validity, "later", |vm| vm.now = "2074-01-02T00:00:00Z".parse().unwrap());
    refused(Step::Vmpl, "vmpl", |vm| vm.change_fields = |fields| fields.vmpl = 2);
    refused(Step::Debug, "debug", |vm| vm.change_fields = |fields| fields.policy |= 1 << 19);
    refused(Step::TcbFloor, "floor", |vm| vm.policy.report.floors.clear());
    refused(Step::Measurement, "measurement", |vm| {
        vm.change_fields = |fields| fields.measurement[0] ^= 1;
    });
}

#[test]
fn step_19_binding_of_the_claims() {
    refused(Step::Binding, "changed claims", |vm| vm.spoil = |e| e.hcl_report[1300] ^= 1);
    refused(Step::Binding, "shorter claims", |vm| vm.spoil = |e| e.hcl_report[1232] -= 1);
    refused(Step::Binding, "other report data", |vm| {
        vm.change_fields = |fields| fields.report_data[0] ^= 1;
    });
    refused(Step::Binding, "more report data", |vm| {
        vm.change_fields = |fields| fields.report_data[63] = 1;
    });
    // Another key in the claims, as whoever holds another TPM would put it there.
    refused(Step::Binding, "another attestation key", |vm| {
        vm.spoil = |e| {
            let n = b"\"n\":\"";
            let at = e.hcl_report.windows(n.len()).position(|window| window == n).unwrap();
            e.hcl_report[at + 30] ^= 1;
        };
    });
}

#[test]
fn step_35_runtime_claims() {
    refused(Step::RuntimeClaims, "no key", |vm| vm.claims.attestation_keys.clear());
    refused(Step::RuntimeClaims, "two keys", |vm| {
        vm.claims.attestation_keys.push(vm.ak.public());
    });
    refused(Step::RuntimeClaims, "not json", |vm| {
        vm.change_hcl = |hcl| {
            let chip = Chip::new(Product::Milan, "vm", Product::Milan.tcb());
            let claims = b"[{]".to_vec();
            hcl.report = chip.sign(&vm_fields(&chip, &claims));
            hcl.claims = claims;
        };
    });
}

#[test]
fn step_36_user_data() {
    refused(Step::UserData, "none", |vm| {
        vm.claims.user_data = None;
        vm.binding.user_data = UserData::Exactly(vec![7; 32]);
    });
    refused(Step::UserData, "other", |vm| {
        vm.binding.user_data = UserData::Exactly(vec![7; 32]);
    });
    refused(Step::UserData, "more", |vm| {
        vm.claims.user_data = Some(vec![7; 64]);
        vm.binding.user_data = UserData::Exactly(vec![7; 32]);
    });
    refused(Step::UserData, "less", |vm| {
        vm.claims.user_data = Some(vec![7; 31]);
        vm.binding.user_data = UserData::Exactly(vec![7; 32]);
    });
}

#[test]
fn step_37_quote_signature() {
    refused(Step::QuoteSignature, "changed quote", |vm| vm.spoil = |e| e.quote.message[60] ^= 1);
    refused(Step::QuoteSignature, "changed signature", |vm| {
        vm.spoil = |e| *e.quote.signature.last_mut().unwrap() ^= 1;
    });
    refused(Step::QuoteSignature, "another scheme", |vm| {
        vm.spoil = |e| e.quote.signature[1] = 0x16;
    });
    refused(Step::QuoteSignature, "another hash", |vm| vm.spoil = |e| e.quote.signature[3] = 0x0c);
    refused(Step::QuoteSignature, "something after it", |vm| {
        vm.spoil = |e| e.quote.signature.push(0);
    });
    refused(Step::QuoteSignature, "empty", |vm| vm.spoil = |e| e.quote.signature.clear());
    refused(Step::QuoteSignature, "too large", |vm| vm.spoil = |e| e.quote.message.resize(1025, 0));
    refused(Step::QuoteSignature, "the key of another tpm in the claims", |vm| {
        let mut public = vm.ak.public();
        public.modulus[100] ^= 1;
        vm.claims.attestation_keys = vec![public];
    });
    refused(Step::QuoteSignature, "a key that is too short", |vm| {
        let RsaPublic { modulus, exponent } = vm.ak.public();
        let modulus = modulus[..128].to_vec();
        vm.claims.attestation_keys = vec![RsaPublic { modulus, exponent }];
    });
    refused(Step::QuoteSignature, "an empty key", |vm| {
        vm.claims.attestation_keys = vec![RsaPublic { modulus: vec![], exponent: vec![] }];
    });
}

#[test]
fn step_38_quote_structure() {
    refused(Step::QuoteStructure, "magic", |vm| {
        vm.change_quote = |quote| quote.magic = 0xff54_4348;
    });
    for kind in [0x8017u16, 0x8019, 0x8014] {
        let mut vm = Vm::new(Product::Milan);
        vm.change_quote = match kind {
            0x8017 => |quote: &mut QuoteFields| quote.kind = 0x8017,
            0x8019 => |quote: &mut QuoteFields| quote.kind = 0x8019,
            _ => |quote: &mut QuoteFields| quote.kind = 0x8014,
        };
        let refusal = vm.verify().unwrap_err();
        assert_eq!(refusal.step, Step::QuoteStructure, "{refusal}");
        assert!(refusal.found.contains("type"), "{refusal}");
    }
    refused(Step::QuoteStructure, "safe", |vm| vm.change_quote = |quote| quote.safe = 2);
    refused(Step::QuoteStructure, "too many banks", |vm| {
        vm.change_quote = |quote| quote.selections = vec![(0x000b, [1, 0, 0]); 17];
    });
}

#[test]
fn step_39_quote_nonce() {
    refused(Step::QuoteNonce, "another", |vm| vm.change_quote = |quote| quote.extra_data[0] ^= 1);
    refused(Step::QuoteNonce, "none", |vm| vm.change_quote = |quote| quote.extra_data.clear());
    refused(Step::QuoteNonce, "longer", |vm| vm.change_quote = |quote| quote.extra_data.push(0));
    refused(Step::QuoteNonce, "shorter", |vm| {
        vm.change_quote = |quote| {
            quote.extra_data.pop();
        };
    });
}

#[test]
fn step_40_pcr_selection() {
    refused(Step::PcrSelection, "another bank", |vm| {
        vm.change_quote = |quote| quote.selections[0].0 = 4;
    });
    refused(Step::PcrSelection, "two banks", |vm| {
        vm.change_quote = |quote| quote.selections.push((0x000c, [1, 0, 0]));
    });
    refused(Step::PcrSelection, "no bank", |vm| vm.change_quote = |quote| quote.selections.clear());
    refused(Step::PcrSelection, "fewer registers than shown", |vm| {
        vm.change_quote = |quote| quote.selections[0].1[0] &= !1;
    });
    // The quote is over one register, and the policy's stand beside it, unquoted.
    refused(Step::PcrSelection, "shown and not quoted", |vm| {
        vm.spoil = |e| {
            e.quote.pcrs.insert(index(1), PcrValue::of(b"1"));
        };
    });
    refused(Step::PcrSelection, "quoted and not shown", |vm| {
        vm.spoil = |e| {
            e.quote.pcrs.remove(&index(0));
        };
    });
    refused(Step::PcrSelection, "a demanded register is not quoted", |vm| {
        vm.pcrs.remove(&index(11));
    });
    refused(Step::PcrSelection, "nothing is quoted", |vm| vm.pcrs.clear());
}

#[test]
fn steps_41_to_43_registers_and_secure_boot() {
    refused(Step::PcrDigest, "another value is shown", |vm| {
        vm.spoil = |e| {
            e.quote.pcrs.insert(index(0), PcrValue::of(b"other"));
        };
    });
    refused(Step::PcrDigest, "the value that is demanded is shown", |vm| {
        vm.pcrs.insert(index(4), PcrValue::of(b"malware"));
        vm.spoil = |e| {
            e.quote.pcrs.insert(index(4), PcrValue::of(&[4]));
        };
    });
    refused(Step::PcrDigest, "another digest", |vm| {
        vm.change_quote = |quote| quote.pcr_digest[31] ^= 1;
    });
    refused(Step::PcrDigest, "no digest", |vm| vm.change_quote = |quote| quote.pcr_digest.clear());
    refused(Step::Pcrs, "another value", |vm| {
        vm.pcrs.insert(index(4), PcrValue::of(b"malware"));
    });
    refused(Step::Pcrs, "no value is accepted", |vm| {
        vm.policy.pcrs.insert(index(4), [].into());
    });
    refused(Step::SecureBoot, "off", |vm| vm.claims.secure_boot = Some(false));
    refused(Step::SecureBoot, "nothing said", |vm| vm.claims.secure_boot = None);
}

#[test]
fn every_byte_of_the_quote_counts() {
    let vm = Vm::new(Product::Milan);
    let good = vm.evidence();
    for at in 0..good.quote.message.len() {
        let mut evidence = good.clone();
        evidence.quote.message[at] ^= 1 << (at % 8);
        assert_eq!(vm.check(&evidence).unwrap_err().step, Step::QuoteSignature, "byte {at}");
    }
    for at in 0..good.quote.signature.len() {
        let mut evidence = good.clone();
        evidence.quote.signature[at] ^= 1 << (at % 8);
        assert_eq!(vm.check(&evidence).unwrap_err().step, Step::QuoteSignature, "byte {at}");
    }
    let claims =
        usize::try_from(u32::from_le_bytes(good.hcl_report[1232..1236].try_into().unwrap()));
    for at in 1236..1236 + claims.unwrap() {
        let mut evidence = good.clone();
        evidence.hcl_report[at] ^= 1 << (at % 8);
        assert_eq!(vm.check(&evidence).unwrap_err().step, Step::Binding, "byte {at}");
    }
}
