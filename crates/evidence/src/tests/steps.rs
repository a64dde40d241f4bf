//! Each step, broken alone.

use forged_root::certificate::{Certificate, Extension, SigningKey, to_pem};
use forged_root::keys::{self, UVM_INTERMEDIATE, UVM_LEAF, UVM_ROOT};
use forged_root::{Chip, Form, Product, Tcb, Value, amd, uvm_leaf};

use super::{NOW, Sample, forged_floors};
use crate::{
    AbiVersion, Absence, Allowed, Anchors, Binding, ChipId, CxlPolicy, DebugPolicy,
    EndorsementForm, FamilyId, FirmwarePolicy, FirmwareVersion, GuestRequirements, HostData,
    ImageId, KeyDigest, KeyPolicy, Measurement, MigrationPolicy, ProvisionalPolicy, RawEvidence,
    ReportId, Requirement, Revocation, RevocationStatus, Sha256, SmtPolicy, SocketPolicy, Step,
};

#[test]
fn accepts_sound_evidence_of_every_product_key_and_form() {
    for product in Product::ALL {
        for form in [Form::Json, Form::Transparent] {
            let verified = Sample::new(product, form).verify().unwrap();
            assert_eq!(verified.product().to_string(), product.to_string());
            assert_eq!(verified.host_data(), &HostData::new([7; 32]));
            assert_eq!(verified.uvm_svn(), forged_root::UVM_SVN);
            let expected = match form {
                Form::Json => EndorsementForm::Json,
                Form::Transparent => EndorsementForm::Transparent,
            };
            assert_eq!(verified.endorsement().form(), expected);
        }
        Sample::vlek(product).verify().unwrap();
    }
}

#[test]
fn accepts_what_the_formats_leave_open() {
    let accepts = |what: &str, change: fn(&mut Sample)| {
        let mut sample = Sample::new(Product::Milan, Form::Json);
        change(&mut sample);
        sample.verify().unwrap_or_else(|refusal| panic!("{what}: {refusal}"));
    };
    accepts("report version 2", |s| s.fields.version = 2);
    accepts("report version 5", |s| s.fields.version = 5);
    accepts("unknown platform bits", |s| s.fields.platform_info |= 0xff00_0000_0000_0000);
    accepts("unknown policy bits", |s| s.fields.policy |= 0xff00_0000_0000_0000);
    accepts("unknown mitigations", |s| s.fields.launch_mitigations = u64::MAX);
    accepts("a wrapped chip id", |s| {
        let wrapped = [&[4, 64], s.chip.chip_id.as_slice()].concat();
        s.chip.certificate.hwid = Some(wrapped);
    });
    accepts("the authorities in the other order", |s| {
        s.spoil = |evidence| {
            let vek = Chip::new(Product::Milan, "evidence", Product::Milan.tcb()).vek_der();
            evidence.certificates = to_pem(&vek)
                + keys::ark(Product::Milan).certificate
                + keys::ask(Product::Milan).certificate;
        };
    });
    accepts("another root beside the right one", |s| {
        s.spoil = |evidence| evidence.certificates.push_str(keys::ark(Product::Genoa).certificate);
    });
    accepts("a signer whose certificate has expired since", |s| {
        let at = s.endorsement.signing_time;
        s.endorsement.chain[0] =
            leaf(&[forged_root::UVM_EKU], at.as_second() - 1, at.as_second() + 1);
    });
    accepts("debug where it is allowed", |s| {
        s.fields.policy |= 1 << 19;
        s.policy.report.debug = DebugPolicy::DangerouslyAllow;
    });
    accepts("migration where it is allowed", |s| {
        s.fields.policy |= 1 << 18;
        s.policy.report.migration = MigrationPolicy::DangerouslyAllow;
    });
    accepts("single socket where it is demanded", |s| {
        s.fields.policy |= 1 << 20;
        s.policy.report.sockets = SocketPolicy::Single;
    });
    accepts("no multithreading where that is demanded", |s| {
        s.fields.policy &= !(1 << 16);
        s.fields.platform_info &= !1;
        s.policy.report.smt = SmtPolicy::Refuse;
    });
    accepts("every protection where it is demanded", |s| {
        s.fields.platform_info |= 0b11_1000;
        s.policy.report.platform.alias_check = Requirement::Required;
        s.policy.report.platform.ciphertext_hiding = Requirement::Required;
        s.policy.report.platform.rapl_disabled = Requirement::Required;
    });
    accepts("every protection that the guest demands", |s| {
        s.fields.policy |= 0b1_1110 << 21;
        s.fields.policy &= !(1 << 16);
        s.fields.platform_info = 0b11_1100;
        s.policy.report.guest = GuestRequirements {
            aes_256_xts: Requirement::Required,
            rapl_disabled: Requirement::Required,
            ciphertext_hiding: Requirement::Required,
            page_swap_disabled: Requirement::Required,
        };
        s.policy.report.platform.tsme_disabled = Requirement::Required;
        s.policy.report.platform.ecc = Requirement::Required;
    });
    accepts("cxl where it is allowed", |s| {
        s.fields.policy |= 1 << 21;
        s.policy.report.cxl = CxlPolicy::Allow;
    });
    accepts("an author key in use", |s| {
        s.fields.author_key_digest = [4; 48];
        s.fields.flags |= 1;
        s.policy.report.author_keys = Allowed::only([KeyDigest::new([4; 48])]);
    });
    accepts("a machine without multithreading where that is demanded", |s| {
        s.fields.platform_info &= !1;
        s.policy.report.platform.smt_disabled = Requirement::Required;
    });
    accepts("committed firmware where that is demanded, of the least version", |s| {
        s.policy.report.firmware = FirmwarePolicy {
            least: FirmwareVersion { major: 1, minor: 55, build: 29 },
            provisional: ProvisionalPolicy::Refuse,
        };
    });
    accepts("named values", |s| {
        s.policy.report.host_data = Allowed::only([HostData::new([7; 32]), HostData::new([8; 32])]);
        s.policy.report.measurements = Allowed::only([Measurement::new(s.fields.measurement)]);
        s.policy.report.family_ids = Allowed::only([FamilyId::new(s.fields.family_id)]);
        s.policy.report.image_ids = Allowed::only([ImageId::new(s.fields.image_id)]);
        s.policy.report.report_ids = Allowed::only([ReportId::new(s.fields.report_id)]);
        s.policy.report.migration_agents = Allowed::only([ReportId::new([0xff; 32])]);
        s.policy.report.min_guest_svn = s.fields.guest_svn;
        s.policy.report.id_keys = Allowed::only([KeyDigest::new([0; 48])]);
        s.policy.report.author_keys = Allowed::only([KeyDigest::new([0; 48])]);
        s.policy.report.chips = Allowed::only([ChipId::new(s.chip.chip_id)]);
        s.policy.report.min_abi = AbiVersion { major: 0, minor: 31 };
    });
}

/// The change makes exactly this step fail, and every step before it passes.
fn refused(step: Step, what: &str, product: Product, change: impl Fn(&mut Sample)) {
    let mut sample = Sample::new(product, Form::Json);
    change(&mut sample);
    let refusal = sample.verify().expect_err(what);
    assert_eq!(refusal.step, step, "{what}: {refusal}");
    assert!(
        refusal.to_string().starts_with(&format!("step {} ({step}): expected ", step.number())),
        "{refusal}"
    );
}

/// The same for both forms of endorsement.
fn endorsement_refused(step: Step, what: &str, change: impl Fn(&mut Sample)) {
    for form in [Form::Json, Form::Transparent] {
        let mut sample = Sample::new(Product::Milan, form);
        change(&mut sample);
        let refusal = sample.verify().expect_err(what);
        assert_eq!(refusal.step, step, "{what}: {refusal}");
    }
}

#[test]
fn step_1_report_structure() {
    let milan =
        |what, change: fn(&mut Sample)| refused(Step::Structure, what, Product::Milan, change);
    milan("version 1", |s| s.fields.version = 1);
    milan("version 6", |s| s.fields.version = 6);
    milan("signature algorithm", |s| s.fields.signature_algorithm = 2);
    milan("too short", |s| s.spoil = |e| e.report.truncate(1183));
    milan("too long", |s| s.spoil = |e| e.report.push(0));
    milan("empty", |s| s.spoil = |e| e.report.clear());
    milan("after the signature", |s| s.spoil = |e| e.report[1183] = 1);
}

#[test]
fn step_2_certificates() {
    let milan =
        |what, change: fn(&mut Sample)| refused(Step::Certificates, what, Product::Milan, change);
    milan("no certificate", |s| s.spoil = |e| e.certificates.clear());
    milan("broken block", |s| {
        s.spoil = |e| e.certificates = e.certificates.replacen("MII", "*II", 1);
    });
    milan("another block", |s| {
        s.spoil = |e| e.certificates = e.certificates.replace("CERTIFICATE", "X509 CRL");
    });
    milan("too large", |s| s.spoil = |e| e.certificates.push_str(&" ".repeat(1 << 16)));
    milan("too many", |s| s.spoil = |e| e.certificates = e.certificates.repeat(3));
    milan("authority first", |s| {
        s.spoil =
            |e| e.certificates = keys::ask(Product::Milan).certificate.to_owned() + &e.certificates;
    });
    milan("another subject", |s| s.chip.certificate.subject = "SEV-OTHER".to_owned());
    milan("another product", |s| s.chip.certificate.product_name = "Venice".to_owned());
    milan("a chip id that is too short", |s| s.chip.certificate.hwid = Some(vec![0; 63]));
    milan("no chip id", |s| s.chip.certificate.hwid = None);
    milan("a provider in a chip's key", |s| s.chip.certificate.provider = Some("someone"));
    let vlek = |what, change: fn(&mut Sample)| {
        refused(Step::Certificates, what, Product::Milan, |s| {
            *s = Sample::vlek(Product::Milan);
            change(s);
        });
    };
    vlek("no provider", |s| s.chip.certificate.provider = None);
    vlek("a provider without a name", |s| s.chip.certificate.provider = Some(""));
    vlek("a chip in a provider's key", |s| s.chip.certificate.hwid = Some(vec![0; 64]));
    milan("turin's layout", |s| s.chip.certificate.product_name = "Turin".to_owned());
}

#[test]
fn step_3_report_signature() {
    for product in Product::ALL {
        let refused =
            |what, change: fn(&mut Sample)| refused(Step::Signature, what, product, change);
        refused("changed byte", |s| s.spoil = |e| e.report[80] ^= 1);
        refused("changed r", |s| s.spoil = |e| e.report[672] ^= 1);
        refused("changed s", |s| s.spoil = |e| e.report[744] ^= 1);
        refused("no signature", |s| s.spoil = |e| e.report[672..].fill(0));
        refused("another key", |s| {
            let other = Chip::new(s.chip.product, "another", s.chip.tcb);
            s.chip.certificate.point = other.certificate.point;
        });
    }
}

#[test]
fn step_4_root() {
    for product in Product::ALL {
        let refused = |what, change: fn(&mut Sample)| refused(Step::Root, what, product, change);
        refused("amd's roots are meant", |s| s.anchors = Anchors::amd());
        refused("no root is meant", |s| s.anchors = Anchors::insecure([], *s.anchors.uvm_root()));
        refused("no root in the chain", |s| {
            s.spoil = |e| {
                let at = e.certificates.rfind("-----BEGIN").unwrap();
                e.certificates.truncate(at);
            };
        });
    }
}

/// Replaces the authority of Milan's VCEKs.
fn with_authority(evidence: &mut RawEvidence, der: &[u8]) {
    evidence.certificates =
        evidence.certificates.replace(keys::ask(Product::Milan).certificate, &to_pem(der));
}

fn authority(extensions: Vec<Extension>) -> Certificate {
    Certificate {
        serial: 9,
        issuer: amd::amd_name("ARK-Milan"),
        subject: amd::amd_name("SEV-Milan"),
        not_before: amd::NOT_BEFORE,
        not_after: amd::NOT_AFTER,
        key: keys::ask(Product::Milan).pss_sha384().public(),
        extensions,
    }
}

fn sound_authority() -> Vec<Extension> {
    vec![Extension::authority(Some(0)), Extension::signs_certificates()]
}

fn milan_root() -> SigningKey {
    keys::ark(Product::Milan).pss_sha384()
}

#[test]
fn step_5_chain() {
    let milan = |what, change: fn(&mut Sample)| refused(Step::Chain, what, Product::Milan, change);
    milan("no authority", |s| {
        s.spoil =
            |e| e.certificates = e.certificates.replace(keys::ask(Product::Milan).certificate, "");
    });
    milan("vcek under the vlek's authority", |s| s.chip.certificate.kind = amd::VekKind::Vlek);
    milan("another product's authority", |s| s.chip.certificate.product = Product::Genoa);
    milan("another product in the key", |s| s.chip.certificate.product_name = "Genoa".to_owned());
    milan("signature on the key", |s| s.spoil = |e| flip_der(e, 0, -1));
    milan("content of the key", |s| s.spoil = |e| flip_der(e, 0, -600));
    milan("signature on the authority", |s| s.spoil = |e| flip_der(e, 1, -1));
    milan("an authority that signs itself", |s| {
        s.spoil = |e| {
            let mut own = authority(sound_authority());
            own.issuer = own.subject.clone();
            with_authority(e, &own.sign(&keys::ask(Product::Milan).pss_sha384()));
        };
    });
    milan("an authority of another root", |s| {
        s.spoil = |e| {
            with_authority(
                e,
                &authority(sound_authority()).sign(&keys::ark(Product::Genoa).pss_sha384()),
            );
        };
    });
    milan("another signature algorithm", |s| {
        s.spoil = |e| {
            with_authority(
                e,
                &authority(sound_authority()).sign(&keys::ark(Product::Milan).rsa_sha384()),
            );
        };
    });
    milan("not an authority", |s| {
        s.spoil = |e| {
            let extensions = vec![Extension::end_entity(), Extension::signs_certificates()];
            with_authority(e, &authority(extensions).sign(&milan_root()));
        };
    });
    milan("no constraints", |s| {
        s.spoil = |e| {
            with_authority(
                e,
                &authority(vec![Extension::signs_certificates()]).sign(&milan_root()),
            );
        };
    });
    milan("not for certificates", |s| {
        s.spoil = |e| {
            let extensions = vec![Extension::authority(None), Extension::signs_data()];
            with_authority(e, &authority(extensions).sign(&milan_root()));
        };
    });
    milan("unknown critical extension", |s| {
        s.spoil = |e| {
            let mut extensions = sound_authority();
            extensions.push(Extension::critical("1.2.3.4", vec![5, 0]));
            with_authority(e, &authority(extensions).sign(&milan_root()));
        };
    });
}

#[test]
fn step_6_validity() {
    let milan =
        |what, change: fn(&mut Sample)| refused(Step::Validity, what, Product::Milan, change);
    milan("key expired", |s| {
        s.chip.certificate.not_after = NOW - std::time::Duration::from_secs(1);
    });
    milan("key not yet valid", |s| {
        s.chip.certificate.not_before = NOW + std::time::Duration::from_secs(1);
    });
    milan("before everything", |s| s.now = "2023-12-31T23:59:59Z".parse().unwrap());
    milan("after everything", |s| s.now = "2074-01-02T00:00:00Z".parse().unwrap());
    milan("authority expired", |s| {
        s.spoil = |e| {
            let mut expired = authority(sound_authority());
            expired.not_after = NOW - std::time::Duration::from_secs(1);
            with_authority(e, &expired.sign(&milan_root()));
        };
    });
}

fn crl(product: Product, revoked: &[u64], until: &str) -> Vec<u8> {
    forged_root::amd_crl(
        product,
        revoked,
        "2026-01-01T00:00:00Z".parse().unwrap(),
        until.parse().unwrap(),
    )
}

const LATER: &str = "2026-12-01T00:00:00Z";
const OVER: &str = "2026-02-01T00:00:00Z";

#[test]
fn step_7_revocation() {
    for (root, product) in
        [(0x0, Product::Milan), (0x1_0000, Product::Genoa), (0x2_0000, Product::Turin)]
    {
        let all =
            |revoked: &[u64]| Product::ALL.map(|product| crl(product, revoked, LATER)).to_vec();
        let with = |lists: Vec<Vec<u8>>| {
            move |s: &mut Sample| s.policy.report.revocation = Revocation::Required(lists.clone())
        };
        let mut sample = Sample::new(product, Form::Json);
        with(all(&[]))(&mut sample);
        sample.verify().unwrap();
        with(all(&[root + 2, 7]))(&mut sample);
        sample.verify().unwrap();
        let refused = |what: &str, lists| refused(Step::Revocation, what, product, with(lists));
        refused("no list", vec![]);
        refused("authority revoked", all(&[7, root + 1]));
        refused("root revoked", all(&[root]));
        refused("outdated", vec![crl(product, &[], "2026-02-01T00:00:00Z")]);
        refused("not a list", vec![vec![1, 2, 3]]);
        refused("too large", vec![vec![0; 1 << 17]]);
        let others = Product::ALL.into_iter().filter(|other| *other != product);
        refused("of other roots", others.map(|other| crl(other, &[], LATER)).collect());
        let mut forged = crl(product, &[], LATER);
        *forged.last_mut().unwrap() ^= 1;
        refused("another signature", vec![forged]);
        let early = forged_root::amd_crl(
            product,
            &[],
            NOW + std::time::Duration::from_secs(1),
            LATER.parse().unwrap(),
        );
        refused("not yet in force", vec![early]);
        refused("an outdated one that revokes nothing", vec![crl(product, &[], OVER)]);
    }
}

#[test]
fn step_7_revocation_where_a_list_is_not_demanded() {
    let status = |revocation: Revocation| {
        let mut sample = Sample::new(Product::Milan, Form::Json);
        sample.policy.report.revocation = revocation;
        sample.verify().map(|verified| verified.hardware().revocation())
    };
    let list = |revoked: &[u64], until| vec![crl(Product::Milan, revoked, until)];
    let not_revoked =
        |until: &str| Ok(RevocationStatus::NotRevoked { until: until.parse().unwrap() });
    assert_eq!(status(Revocation::Required(list(&[], LATER))), not_revoked(LATER));
    assert_eq!(status(Revocation::IfPresent(list(&[], LATER))), not_revoked(LATER));
    assert_eq!(status(Revocation::IfPresent(list(&[7], OVER))), not_revoked(OVER));
    let unknown = |why| Ok(RevocationStatus::Unknown(why));
    for absence in [Absence::NotConsulted, Absence::Unavailable] {
        assert_eq!(status(Revocation::Absent(absence)), unknown(absence));
    }
    let mut forged = list(&[1], LATER);
    *forged[0].last_mut().unwrap() ^= 1;
    for unusable in [vec![], vec![crl(Product::Genoa, &[1], LATER)], vec![vec![1]], forged] {
        assert_eq!(status(Revocation::IfPresent(unusable)), unknown(Absence::Unavailable));
    }
    // What was revoked stays revoked.
    for until in [LATER, OVER] {
        for serial in [0, 1] {
            let refusal = status(Revocation::IfPresent(list(&[serial], until))).unwrap_err();
            assert_eq!(refusal.step, Step::Revocation, "{refusal}");
        }
    }
}

#[test]
fn step_8_product() {
    refused(Step::Product, "genoa's model", Product::Milan, |s| s.fields.cpuid = [0x19, 0x11, 0]);
    refused(Step::Product, "unknown model", Product::Genoa, |s| s.fields.cpuid = [0x1b, 0, 0]);
    refused(Step::Product, "turin's model", Product::Genoa, |s| s.fields.cpuid = [0x1a, 2, 0]);
    refused(Step::Product, "version 2 on turin", Product::Turin, |s| s.fields.version = 2);
    refused(Step::Product, "root of another product", Product::Milan, |s| {
        s.spoil = |e| {
            let mut under_genoa = authority(sound_authority());
            under_genoa.issuer = amd::amd_name("ARK-Genoa");
            with_authority(e, &under_genoa.sign(&keys::ark(Product::Genoa).pss_sha384()));
            let (milan, genoa) =
                (keys::ark(Product::Milan).certificate, keys::ark(Product::Genoa).certificate);
            e.certificates = e.certificates.replace(milan, genoa);
        };
    });
}

#[test]
fn step_9_chip_of_the_key() {
    for product in Product::ALL {
        for at in 0..64 {
            refused(Step::VekChip, &format!("byte {at} of {product}"), product, |s| {
                s.fields.chip_id[at] ^= 1;
            });
        }
        refused(Step::VekChip, "masked chip id", product, |s| s.fields.chip_id = [0; 64]);
    }
}

#[test]
fn step_10_tcb_of_the_key() {
    for product in Product::ALL {
        for at in 0..8 {
            refused(Step::VekTcb, &format!("byte {at} of {product}"), product, |s| {
                s.chip.certificate.tcb[at] ^= 0x80;
            });
        }
    }
}

#[test]
fn step_11_signing_key() {
    for product in Product::ALL {
        let refused =
            |what, change: fn(&mut Sample)| refused(Step::SigningKey, what, product, change);
        refused("says vlek", |s| s.fields.flags = 1 << 2);
        refused("says none", |s| s.fields.flags = 7 << 2);
        refused("says something unknown", |s| s.fields.flags = 3 << 2);
        refused("masked chip key", |s| s.fields.flags = 1 << 1);
        refused("vlek where only vcek is permitted", |s| {
            *s = Sample::vlek(s.chip.product);
            s.policy.report.keys = KeyPolicy::Vcek;
        });
        refused("vlek that says vcek", |s| {
            *s = Sample::vlek(s.chip.product);
            s.fields.flags = 0;
        });
    }
}

#[test]
fn steps_12_to_16_guest_and_platform() {
    for product in Product::ALL {
        let check =
            |step, what: &str, change: fn(&mut Sample)| refused(step, what, product, change);
        check(Step::Vmpl, "vmpl 1", |s| s.fields.vmpl = 1);
        check(Step::Vmpl, "made by the host", |s| s.fields.vmpl = u32::MAX);
        check(Step::Vmpl, "vmpl 0 where 1 is meant", |s| s.policy.report.vmpl = 1);
        check(Step::Debug, "debug", |s| s.fields.policy |= 1 << 19);
        check(Step::Migration, "migration", |s| s.fields.policy |= 1 << 18);
        check(Step::GuestPolicy, "reserved one", |s| s.fields.policy &= !(1 << 17));
        check(Step::GuestPolicy, "multithreading", |s| s.policy.report.smt = SmtPolicy::Refuse);
        check(Step::GuestPolicy, "several sockets", |s| {
            s.policy.report.sockets = SocketPolicy::Single;
        });
        check(Step::GuestPolicy, "minor abi", |s| {
            s.policy.report.min_abi = AbiVersion { major: 0, minor: 32 }
        });
        check(Step::GuestPolicy, "major abi", |s| {
            s.policy.report.min_abi = AbiVersion { major: 1, minor: 0 }
        });
        check(Step::GuestPolicy, "cxl", |s| s.fields.policy |= 1 << 21);
        check(Step::GuestPolicy, "aes-256-xts", |s| {
            s.policy.report.guest.aes_256_xts = Requirement::Required;
        });
        check(Step::GuestPolicy, "power measurement", |s| {
            s.policy.report.guest.rapl_disabled = Requirement::Required;
        });
        check(Step::GuestPolicy, "ciphertext hiding", |s| {
            s.policy.report.guest.ciphertext_hiding = Requirement::Required;
        });
        check(Step::GuestPolicy, "page swap", |s| {
            s.policy.report.guest.page_swap_disabled = Requirement::Required;
        });
        check(Step::Platform, "multithreading that the guest refuses", |s| {
            s.fields.policy &= !(1 << 16);
            s.fields.platform_info |= 1;
        });
        check(Step::Platform, "power measurement that the guest refuses", |s| {
            s.fields.policy |= 1 << 23;
            s.fields.platform_info &= !(1 << 3);
        });
        check(Step::Platform, "no ciphertext hiding, which the guest demands", |s| {
            s.fields.policy |= 1 << 24;
            s.fields.platform_info &= !(1 << 4);
        });
        check(Step::Platform, "tsme", |s| {
            s.fields.platform_info |= 1 << 1;
            s.policy.report.platform.tsme_disabled = Requirement::Required;
        });
        check(Step::Platform, "error correction", |s| {
            s.fields.platform_info &= !(1 << 2);
            s.policy.report.platform.ecc = Requirement::Required;
        });
        for at in 0..3 {
            refused(Step::Platform, "committed firmware above the current", product, |s| {
                s.fields.committed_firmware[at] += 1;
            });
        }
        check(Step::Platform, "alias check", |s| {
            s.fields.platform_info &= !(1 << 5);
            s.policy.report.platform.alias_check = Requirement::Required;
        });
        check(Step::Platform, "ciphertext hiding", |s| {
            s.policy.report.platform.ciphertext_hiding = Requirement::Required;
        });
        check(Step::Platform, "power measurement", |s| {
            s.policy.report.platform.rapl_disabled = Requirement::Required;
        });
        check(Step::Platform, "multithreading of the machine", |s| {
            s.policy.report.platform.smt_disabled = Requirement::Required;
        });
        check(Step::Platform, "old firmware", |s| {
            s.policy.report.firmware.least = FirmwareVersion { major: 1, minor: 56, build: 0 };
        });
        check(Step::Platform, "firmware that is not committed", |s| {
            s.policy.report.firmware.provisional = ProvisionalPolicy::Refuse;
            s.fields.committed_firmware[0] -= 1;
        });
        check(Step::Platform, "a tcb that is not committed", |s| {
            s.policy.report.firmware.provisional = ProvisionalPolicy::Refuse;
            s.fields.committed_tcb[7] -= 1;
        });
        check(Step::Platform, "a mitigation", |s| s.policy.report.mitigations = 1 << 40);
    }
    refused(Step::Platform, "a mitigation that was not there at launch", Product::Turin, |s| {
        s.policy.report.mitigations = 1;
        s.fields.launch_mitigations = 0;
    });
}

/// The bytes of a report's TCB that are components.
pub(super) fn components(product: Product) -> Vec<usize> {
    match product {
        Product::Milan | Product::Genoa => vec![0, 1, 6, 7],
        Product::Turin => vec![0, 1, 2, 3, 7],
    }
}

#[test]
fn step_17_tcb_order() {
    for product in Product::ALL {
        for at in components(product) {
            let refused = |what: &str, change: &dyn Fn(&mut Sample)| {
                refused(
                    Step::TcbOrder,
                    &format!("{what}, byte {at} of {product}"),
                    product,
                    change,
                );
            };
            refused("committed above current", &|s| s.fields.committed_tcb[at] += 1);
            refused("launch above current", &|s| s.fields.launch_tcb[at] += 1);
            refused("reported above current", &|s| {
                s.fields.reported_tcb[at] += 1;
                s.chip.certificate.tcb[at] += 1;
            });
        }
    }
}

#[test]
fn step_18_tcb_floor() {
    for product in Product::ALL {
        for at in components(product).into_iter().filter(|at| product.tcb().bytes(product)[*at] > 0)
        {
            let refused = |what: &str, change: &dyn Fn(&mut Sample)| {
                refused(
                    Step::TcbFloor,
                    &format!("{what}, byte {at} of {product}"),
                    product,
                    change,
                );
            };
            refused("committed below floor", &|s| s.fields.committed_tcb[at] -= 1);
            refused("launch below floor", &|s| s.fields.launch_tcb[at] -= 1);
            refused("reported below floor", &|s| {
                s.fields.reported_tcb[at] -= 1;
                s.chip.certificate.tcb[at] -= 1;
            });
        }
        refused(Step::TcbFloor, "no floor", product, |s| {
            s.policy.report.floors.remove(&product.to_string().parse().unwrap());
        });
        refused(Step::TcbFloor, "an old machine", product, |s| {
            let old = Tcb { microcode: 1, ..s.chip.tcb };
            let binding = s.binding;
            *s = Sample::of(Chip::new(product, "evidence", old), Form::Json);
            assert_eq!((s.binding, &s.policy.report.floors), (binding, &forged_floors()));
        });
    }
    refused(Step::TcbFloor, "a floor for what the product lacks", Product::Milan, |s| {
        s.policy.report.floors.values_mut().for_each(|floor| floor.fmc = Some(0));
    });
}

#[test]
fn step_19_binding() {
    for at in 0..64 {
        refused(Step::Binding, &format!("byte {at}"), Product::Milan, |s| {
            s.fields.report_data[at] ^= 1;
        });
    }
    refused(Step::Binding, "other runtime data", Product::Milan, |s| {
        s.binding = Binding::sha256(b"other");
    });
}

#[test]
fn steps_20_to_24_accepted_values() {
    let check =
        |step, what: &str, change: fn(&mut Sample)| refused(step, what, Product::Milan, change);
    check(Step::HostData, "another policy", |s| {
        s.policy.report.host_data = Allowed::only([HostData::new([8; 32])]);
    });
    check(Step::HostData, "none accepted", |s| s.policy.report.host_data = Allowed::only([]));
    check(Step::Measurement, "measurement", |s| {
        s.policy.report.measurements = Allowed::only([Measurement::new([0; 48])]);
    });
    check(Step::Image, "family", |s| {
        s.policy.report.family_ids = Allowed::only([FamilyId::new([0; 16])]);
    });
    check(Step::Image, "image", |s| {
        s.policy.report.image_ids = Allowed::only([ImageId::new([0; 16])]);
    });
    check(Step::Image, "another run", |s| {
        s.policy.report.report_ids = Allowed::only([ReportId::new([0; 32])]);
    });
    check(Step::Image, "another migration agent", |s| {
        s.policy.report.migration_agents = Allowed::only([ReportId::new([0; 32])]);
    });
    check(Step::Image, "guest svn", |s| s.policy.report.min_guest_svn = 3);
    check(Step::IdKeys, "id key", |s| {
        s.policy.report.id_keys = Allowed::only([KeyDigest::new([1; 48])]);
    });
    check(Step::IdKeys, "author key", |s| {
        s.policy.report.author_keys = Allowed::only([KeyDigest::new([1; 48])]);
    });
    check(Step::IdKeys, "author key that is not in use", |s| {
        s.fields.author_key_digest = [4; 48];
        s.policy.report.author_keys = Allowed::only([KeyDigest::new([4; 48])]);
    });
    check(Step::Chip, "chip", |s| s.policy.report.chips = Allowed::only([ChipId::new([1; 64])]));
}

pub(super) fn leaf(uses: &[&str], from: i64, until: i64) -> Vec<u8> {
    let at = |seconds| jiff::Timestamp::from_second(seconds).unwrap();
    uvm_leaf(uses, at(from), at(until))
}

#[test]
fn step_25_endorsement_structure() {
    let check = |what, change: fn(&mut Sample)| {
        endorsement_refused(Step::EndorsementStructure, what, change);
    };
    check("empty", |s| s.spoil = |e| e.uvm_endorsement.clear());
    check("cut off", |s| s.spoil = |e| e.uvm_endorsement.truncate(1000));
    check("something after it", |s| s.spoil = |e| e.uvm_endorsement.push(0));
    check("not tagged", |s| {
        s.spoil = |e| {
            e.uvm_endorsement.remove(0);
        }
    });
    check("too large", |s| s.spoil = |e| e.uvm_endorsement.resize(1 << 17, 0));
    check("json", |s| s.spoil = |e| e.uvm_endorsement = b"{}".to_vec());
    check("unknown critical header", |s| {
        s.endorsement.change_headers =
            |headers| headers.push((2.into(), Value::Array(vec![4.into()])));
    });
    check("both forms", |s| {
        s.endorsement.change_headers = |headers| {
            headers.retain(|(label, _)| ![3.into(), 259.into()].contains(label));
            headers.push((3.into(), Value::Text("application/json".to_owned())));
            headers.push((259.into(), Value::Text("application/octet-stream".to_owned())));
        };
    });
    check("another content", |s| {
        s.endorsement.change_headers =
            |headers| headers.retain(|(label, _)| ![3.into(), 259.into()].contains(label));
    });
    check("empty payload", |s| s.endorsement.payload = Some(Vec::new()));
    check("a header twice", |s| {
        s.endorsement.change_headers = |headers| headers.extend(headers.clone());
    });
}

#[test]
fn step_25_what_each_form_must_have() {
    for lacking in ["iss", "feed", "signingtime"] {
        let mut sample = Sample::new(Product::Milan, Form::Json);
        sample.endorsement.change_headers = match lacking {
            "iss" => |headers| headers.retain(|(label, _)| label.as_text() != Some("iss")),
            "feed" => |headers| headers.retain(|(label, _)| label.as_text() != Some("feed")),
            _ => |headers| headers.retain(|(label, _)| label.as_text() != Some("signingtime")),
        };
        assert_eq!(sample.verify().unwrap_err().step, Step::EndorsementStructure, "{lacking}");
    }
    let measurement = "0".repeat(96);
    for payload in [
        "{}".to_owned(),
        format!(r#"{{"x-ms-sevsnpvm-launchmeasurement":"{measurement}"}}"#),
        format!(
            r#"{{"x-ms-sevsnpvm-guestsvn":"104x","x-ms-sevsnpvm-launchmeasurement":"{measurement}"}}"#
        ),
        format!(
            r#"{{"x-ms-sevsnpvm-guestsvn":"0104","x-ms-sevsnpvm-launchmeasurement":"{measurement}"}}"#
        ),
        format!(
            r#"{{"x-ms-sevsnpvm-guestsvn":"104","x-ms-sevsnpvm-guestsvn-int":105,"x-ms-sevsnpvm-launchmeasurement":"{measurement}"}}"#
        ),
        r#"{"x-ms-sevsnpvm-guestsvn":"104","x-ms-sevsnpvm-launchmeasurement":"00"}"#.to_owned(),
    ] {
        let mut sample = Sample::new(Product::Milan, Form::Json);
        sample.endorsement.payload = Some(payload.clone().into_bytes());
        assert_eq!(sample.verify().unwrap_err().step, Step::EndorsementStructure, "{payload}");
    }
    let changes: [Change; 5] = [
        |claims| claims.clear(),
        |claims| claims.retain(|(key, _)| *key != 1.into()),
        |claims| claims.retain(|(key, _)| *key != 6.into()),
        |claims| claims.retain(|(key, _)| key.as_text() != Some("svn")),
        |claims| claims.push((1.into(), Value::Text("again".to_owned()))),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let mut headers = Sample::new(Product::Milan, Form::Transparent);
        headers.endorsement.change_claims = change;
        assert_eq!(headers.verify().unwrap_err().step, Step::EndorsementStructure, "change {at}");
    }
}

#[test]
fn step_25_accepts_every_way_to_write_a_time() {
    let times: [Change; 4] = [
        |claims| set_time(claims, 1_769_904_000.into()),
        |claims| set_time(claims, Value::Text("2026-02-01T00:00:00Z".to_owned())),
        |claims| {
            set_time(
                claims,
                Value::Tag(0, Box::new(Value::Text("2026-02-01T00:00:00Z".to_owned()))),
            );
        },
        |claims| set_time(claims, Value::Tag(1, Box::new(1_769_904_000.into()))),
    ];
    for time in times {
        let mut sample = Sample::new(Product::Milan, Form::Transparent);
        sample.endorsement.change_claims = time;
        let verified = sample.verify().unwrap();
        assert_eq!(verified.endorsement().signing_time().to_string(), "2026-02-01T00:00:00Z");
    }
}

type Change = fn(&mut Vec<(Value, Value)>);

fn set_time(claims: &mut Vec<(Value, Value)>, time: Value) {
    claims.retain(|(key, _)| *key != 6.into());
    claims.push((6.into(), time));
}

#[test]
fn steps_26_and_27_endorsement_algorithm_and_root() {
    for algorithm in [-37, -39, -257, -7, -35] {
        endorsement_refused(Step::EndorsementAlgorithm, "algorithm", |s| {
            s.endorsement.algorithm = algorithm;
        });
    }
    let check =
        |what, change: fn(&mut Sample)| endorsement_refused(Step::EndorsementRoot, what, change);
    check("another root is meant", |s| {
        s.anchors = Anchors::insecure(s.anchors.amd_roots().iter().copied(), Sha256::new([0; 32]));
    });
    check("microsoft's root is meant", |s| {
        s.anchors =
            Anchors::insecure(s.anchors.amd_roots().iter().copied(), *Anchors::amd().uvm_root());
    });
    check("root left out", |s| drop(s.endorsement.chain.pop()));
    check("signer alone", |s| s.endorsement.chain.truncate(1));
    check("no certificates", |s| s.endorsement.chain.clear());
    check("the root as signer", |s| s.endorsement.chain = vec![UVM_ROOT.der()]);
    check("not a certificate", |s| s.endorsement.chain[1].truncate(100));
    check("too many", |s| s.endorsement.chain = vec![UVM_ROOT.der(); 7]);
}

#[test]
fn step_28_endorsement_chain() {
    let check =
        |what, change: fn(&mut Sample)| endorsement_refused(Step::EndorsementChain, what, change);
    check("signer not signed by the authority", |s| {
        *s.endorsement.chain[0].last_mut().unwrap() ^= 1;
    });
    check("authority not signed by the root", |s| *s.endorsement.chain[1].last_mut().unwrap() ^= 1);
    check("authority left out", |s| drop(s.endorsement.chain.remove(1)));
    check("an end entity as authority", |s| s.endorsement.chain.insert(0, UVM_LEAF.der()));
    check("twice the authority", |s| s.endorsement.chain.insert(1, UVM_INTERMEDIATE.der()));
    check("signed before the signer's certificate", |s| {
        s.endorsement.signing_time = "2023-12-31T23:59:59Z".parse().unwrap();
    });
    check("signed after the signer's certificate", |s| {
        let at = s.endorsement.signing_time.as_second();
        s.endorsement.chain[0] = leaf(&[forged_root::UVM_EKU], at - 2, at - 1);
    });
}

#[test]
fn steps_29_and_30_endorsement_usage_and_signature() {
    let check =
        |what, change: fn(&mut Sample)| endorsement_refused(Step::EndorsementUsage, what, change);
    check("for another use", |s| {
        s.endorsement.chain[0] = leaf(&["1.3.6.1.4.1.311.76.59.1.1"], 1_704_067_200, 3_000_000_000);
    });
    check("another use is demanded", |s| s.policy.uvm.eku = "1.3.6.1.4.1.311.76.59.1.5".to_owned());
    let check = |what, change: fn(&mut Sample)| {
        endorsement_refused(Step::EndorsementSignature, what, change);
    };
    check("signature", |s| s.spoil = |e| *e.uvm_endorsement.last_mut().unwrap() ^= 1);
}

#[test]
fn steps_31_to_34_what_is_endorsed() {
    let check = |step, what, change: fn(&mut Sample)| endorsement_refused(step, what, change);
    check(Step::EndorsementIssuer, "another issuer", |s| {
        s.endorsement.issuer = "did:x509:0:sha256:AA".to_owned();
    });
    check(Step::EndorsementIssuer, "another use", |s| s.endorsement.issuer.push('3'));
    check(Step::EndorsementFeed, "another feed", |s| {
        s.endorsement.feed = "ConfAKS-AMD-UVM".to_owned();
    });
    check(Step::EndorsementFeed, "another feed is demanded", |s| s.policy.uvm.feed.push('2'));
    check(Step::EndorsementSvn, "an old vm", |s| s.endorsement.svn = forged_root::UVM_SVN - 1);
    check(Step::EndorsementSvn, "a newer vm is demanded", |s| {
        s.policy.uvm.min_svn = forged_root::UVM_SVN + 1;
    });
    check(Step::EndorsedMeasurement, "another vm is endorsed", |s| {
        s.endorsement.measurement[47] ^= 1;
    });
    check(Step::EndorsedMeasurement, "another vm is measured", |s| s.fields.measurement[0] ^= 1);
}

/// Flips a bit of the certificate number `which`, at a distance from its end.
pub(super) fn flip_der(evidence: &mut RawEvidence, which: usize, from_end: isize) {
    let mut blocks: Vec<_> =
        x509_parser::pem::Pem::iter_from_buffer(evidence.certificates.as_bytes())
            .map(|pem| pem.unwrap().contents)
            .collect();
    let at = blocks[which].len().checked_add_signed(from_end).unwrap();
    blocks[which][at] ^= 1;
    evidence.certificates = blocks.iter().map(|der| to_pem(der)).collect();
}
