//! Files of every form, forged.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use forged_root::vm::{Hcl, QuoteFields, SoftwareAk, VmClaims};
use forged_root::{Chip, Form, Product, UVM_MEASUREMENT, UVM_SVN, uvm_endorsement};
use serde_json::{Value, json};

use super::{Document, DocumentError, Format, Rcar, RcarError};

fn chip(product: Product) -> Chip {
    Chip::new(product, "document", product.tcb())
}

fn read(bytes: &[u8]) -> Document {
    Document::read(bytes).unwrap()
}

/// A report's fields as Confidential Containers write them.
pub(crate) fn rcar_report(chip: &Chip) -> (Vec<u8>, Value) {
    let bytes = chip.sign(&chip.fields());
    let report = rcar_of(&bytes, chip.product);
    (bytes, report)
}

fn rcar_of(bytes: &[u8], product: Product) -> Value {
    let tcb = |at: usize| {
        let bytes: [u8; 8] = bytes[at..at + 8].try_into().unwrap();
        match product {
            Product::Turin => json!({"fmc": bytes[0], "bootloader": bytes[1], "tee": bytes[2],
                "snp": bytes[3], "microcode": bytes[7]}),
            Product::Milan | Product::Genoa => {
                json!({"fmc": null, "bootloader": bytes[0], "tee": bytes[1], "snp": bytes[6],
                "microcode": bytes[7]})
            }
        }
    };
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let long = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let firmware =
        |at: usize| json!({"major": bytes[at + 2], "minor": bytes[at + 1], "build": bytes[at]});
    json!({
        "version": word(0), "guest_svn": word(4), "policy": long(8), "family_id": bytes[16..32],
        "image_id": bytes[32..48], "vmpl": word(48), "sig_algo": word(52), "current_tcb": tcb(56),
        "plat_info": long(64), "key_info": word(72), "report_data": bytes[80..144],
        "measurement": bytes[144..192], "host_data": bytes[192..224],
        "id_key_digest": bytes[224..272], "author_key_digest": bytes[272..320],
        "report_id": bytes[320..352], "report_id_ma": bytes[352..384], "reported_tcb": tcb(384),
        "cpuid_fam_id": bytes[392], "cpuid_mod_id": bytes[393], "cpuid_step": bytes[394],
        "chip_id": bytes[416..480], "committed_tcb": tcb(480), "current": firmware(488),
        "committed": firmware(492), "launch_tcb": tcb(496), "launch_mit_vector": long(504),
        "current_mit_vector": long(512),
        "signature": {"r": bytes[672..744], "s": bytes[744..816]},
    })
}

#[test]
fn recognises_what_firmware_and_services_write() {
    let chip = chip(Product::Milan);
    let report = chip.sign(&chip.fields());
    let document = read(&report);
    assert_eq!((document.format, document.parts.report.as_ref()), (Format::Report, Some(&report)));
    let hcl = Hcl::new(&chip, &VmClaims::new(SoftwareAk::new().public()));
    assert_eq!(read(&hcl.bytes()).format, Format::HclReport);
    assert_eq!(read(&hcl.claims).format, Format::RuntimeClaims);
    assert_eq!(read(&QuoteFields::new(b"n", &[]).attest()).format, Format::Quote);
    for form in [Form::Json, Form::Transparent] {
        let message = uvm_endorsement(&UVM_MEASUREMENT, UVM_SVN, form);
        let document = read(&message);
        assert_eq!(
            (document.format, &document.parts.endorsements),
            (Format::Endorsement, &vec![message.clone()])
        );
        assert_eq!(read(STANDARD.encode(message).as_bytes()).format, Format::Endorsement);
    }
    let thim = chip.thim_json();
    for text in [thim, chip.host_amd_cert_base64()] {
        let document = read(text.as_bytes());
        assert_eq!(document.format, Format::Thim);
        assert_eq!(document.parts.certificates.unwrap().matches("BEGIN").count(), 3);
    }
    let vek = chip.vek_der();
    assert_eq!(read(&vek).parts.certificates, Some(forged_root::certificate::to_pem(&vek)));
    assert_eq!(read(chip.vcek_pem_chain().as_bytes()).format, Format::Certificates);
}

#[test]
fn recognises_requests_to_the_attestation_service() {
    let chip = chip(Product::Milan);
    let (report, chain) = (chip.sign(&chip.fields()), chip.vcek_pem_chain());
    let endorsement = uvm_endorsement(&UVM_MEASUREMENT, UVM_SVN, Form::Json);
    let uvm = json!({"Uvm": [URL_SAFE_NO_PAD.encode(&endorsement)]}).to_string();
    let inner = json!({
        "SnpReport": URL_SAFE_NO_PAD.encode(&report),
        "VcekCertChain": URL_SAFE.encode(&chain),
        "Endorsements": URL_SAFE_NO_PAD.encode(uvm),
    });
    let request = json!({
        "report": URL_SAFE_NO_PAD.encode(inner.to_string()),
        "runtimeData": {"data": URL_SAFE.encode("data"), "dataType": "JSON"},
    });
    for (text, runtime_data) in [(inner, None), (request, Some(b"data".to_vec()))] {
        let document = read(text.to_string().as_bytes());
        assert_eq!(document.format, Format::MaaRequest);
        assert_eq!(document.parts.runtime_data, runtime_data);
        let container = document.parts.container().unwrap();
        assert_eq!((container.report, container.certificates), (report.clone(), chain.clone()));
        assert_eq!(container.uvm_endorsement, endorsement);
    }
}

#[test]
fn recognises_evidence_of_confidential_containers() {
    for product in Product::ALL {
        let chip = chip(product);
        let (bytes, report) = rcar_report(&chip);
        let evidence = json!({
            "attestation_report": report,
            "cert_chain": [{"cert_type": "ARK", "data": forged_root::ark_der(product)},
                {"cert_type": "VCEK", "data": chip.vek_der()}],
        });
        let body =
            json!({"tee-evidence": {"primary_evidence": evidence, "additional_evidence": ""}});
        for text in [evidence, body] {
            let document = read(text.to_string().as_bytes());
            assert_eq!(document.format, Format::RcarSnp);
            assert_eq!(document.parts.report.as_ref(), Some(&bytes));
            let certificates = document.parts.certificates.unwrap();
            let views = crate::inspect::certificates(&certificates).unwrap();
            assert_eq!((views.len(), views[0].vek.is_some()), (2, true));
        }
    }
    let ak = SoftwareAk::new();
    let chip = chip(Product::Genoa);
    let hcl = Hcl::new(&chip, &VmClaims::new(ak.public())).bytes();
    let registers: Vec<_> = (0..24).map(|index| (index, [index; 32])).collect();
    let message = QuoteFields::new(b"nonce", &registers).attest();
    let signature = ak.sign(&message);
    let pcrs: Vec<_> = registers.iter().map(|(_, value)| crate::PcrValue::new(*value)).collect();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let quote = json!({"signature": hex(&signature[6..]), "message": hex(&message), "pcrs": pcrs});
    let vcek = URL_SAFE.encode(chip.vek_der());
    let text = json!({"version": 2, "hcl_report": URL_SAFE.encode(&hcl), "vcek": vcek, "tpm_quote": quote});
    let raw: Vec<_> = registers.iter().map(|(_, value)| *value).collect();
    let older = json!({"report": hcl, "vcek": chip.vcek_pem_chain(),
        "quote": {"signature": signature[6..], "message": message, "pcrs": raw}});
    for text in [text, older] {
        let evidence = read(text.to_string().as_bytes()).parts.virtual_machine().unwrap();
        assert_eq!(evidence.hcl_report, hcl);
        assert_eq!((&evidence.quote.message, &evidence.quote.signature), (&message, &signature));
        assert_eq!(evidence.quote.pcrs.len(), 24);
    }
    assert_eq!(read(quote.to_string().as_bytes()).format, Format::Quote);
    // The same as the client keeps it in a file.
    let count = |len: usize| u64::try_from(len).unwrap().to_le_bytes();
    let parts: [&[u8]; 6] = [
        &count(256),
        &signature[6..],
        &count(message.len()),
        &message,
        &count(24),
        raw.as_flattened(),
    ];
    let file = parts.concat();
    let kept = read(&file).parts.quote.unwrap();
    assert_eq!((&kept.message, &kept.signature, kept.pcrs.len()), (&message, &signature, 24));
    for wrong in [&file[..file.len() - 1], &file[..300], &[file.as_slice(), &[0; 32]].concat()] {
        assert!(matches!(Document::read(wrong), Err(DocumentError::Unknown)));
    }
}

/// The same as the `sev` crate wrote it before its version 4, when it knew no Turin.
fn older_rcar_of(bytes: &[u8], product: Product) -> Value {
    let mut report = rcar_of(bytes, product);
    let members = report.as_object_mut().unwrap();
    let flags = members.remove("key_info").unwrap();
    members.insert("_author_key_en".to_owned(), flags);
    for gone in [
        "cpuid_fam_id",
        "cpuid_mod_id",
        "cpuid_step",
        "launch_mit_vector",
        "current_mit_vector",
        "current",
        "committed",
    ] {
        members.remove(gone);
    }
    for (name, at) in [("current", 488), ("committed", 492)] {
        for (part, at) in [("build", at), ("minor", at + 1), ("major", at + 2)] {
            members.insert(format!("{name}_{part}"), json!(bytes[at]));
        }
    }
    members.insert("_reserved_0".to_owned(), json!(0));
    members.insert("_reserved_1".to_owned(), json!(bytes[392..416]));
    members.insert("_reserved_4".to_owned(), json!(bytes[504..672]));
    for tcb in ["current_tcb", "reported_tcb", "committed_tcb", "launch_tcb"] {
        let tcb = members.get_mut(tcb).unwrap().as_object_mut().unwrap();
        tcb.remove("fmc");
        tcb.insert("_reserved".to_owned(), json!([0, 0, 0, 0]));
    }
    report
}

#[test]
fn reads_what_every_version_of_their_client_writes() {
    for product in Product::ALL {
        for version in 2..=5 {
            let chip = chip(product);
            let mut fields = chip.fields();
            fields.version = version;
            let signed = chip.sign(&fields);
            let mut written = vec![older_rcar_of(&signed, product)];
            // A report of version 2 has no processor, so nothing says that it is Turin's: there is none.
            match (product, version) {
                (Product::Turin, 2) => continue,
                (Product::Turin, _) => written = vec![rcar_of(&signed, product)],
                (Product::Milan | Product::Genoa, _) => written.push(rcar_of(&signed, product)),
            }
            for report in written {
                let text = json!({"attestation_report": report, "svsm_manifest": "AA", "cert_chain": [
                    {"cert_type": {"OTHER": "c476f1eb-0123-45a5-9641-b4e7dde5bfe3"}, "data": [1]},
                    {"cert_type": "CRL", "data": [2]},
                    {"cert_type": "VCEK", "data": chip.vek_der()}]});
                let Rcar::Snp { report, certificates } =
                    Rcar::parse(text.to_string().as_bytes()).unwrap()
                else {
                    panic!("another kind")
                };
                assert_eq!(report, signed, "version {version} of {product}");
                assert_eq!(certificates.unwrap().matches("BEGIN").count(), 1);
            }
        }
    }
}

#[test]
fn refuses_evidence_of_confidential_containers_that_is_out_of_shape() {
    let milan = chip(Product::Milan);
    let refused = |text: Value| Rcar::parse(text.to_string().as_bytes()).unwrap_err();
    let (_, good) = rcar_report(&milan);
    let with = |name: &str, value: Value| {
        let mut report = good.clone();
        report[name] = value;
        refused(json!({"attestation_report": report}))
    };
    let lengths = RcarError::Part("fields of a report's lengths");
    assert_eq!(with("report_data", json!([1, 2])), lengths);
    assert_eq!(with("chip_id", json!(vec![0; 65])), lengths);
    assert_eq!(with("signature", json!({"r": [], "s": []})), lengths);
    let tcb = RcarError::Part("a tcb of the report's processor");
    let turins = json!({"fmc": 1, "bootloader": 1, "tee": 1, "snp": 1, "microcode": 1});
    assert_eq!(with("current_tcb", turins), tcb);
    assert_eq!(with("cpuid_fam_id", json!(0x1a)), tcb);
    let fields = RcarError::Part("the fields of a report");
    assert_eq!(with("report_data", json!("text")), fields);
    assert_eq!(with("version", json!(-1)), fields);
    assert_eq!(refused(json!({"attestation_report": 7})), fields);
    assert_eq!(refused(json!({})), RcarError::Kind);
    assert_eq!(refused(json!({"tee-evidence": 7})), RcarError::Kind);
    let vm = |version| {
        json!({"version": version, "hcl_report": "", "vcek": "",
        "tpm_quote": {"signature": "", "message": "", "pcrs": []}})
    };
    for version in [0, 3] {
        assert_eq!(refused(vm(version)), RcarError::Version(version));
    }
    let mut odd = vm(2);
    odd["tpm_quote"]["message"] = "abc".into();
    assert_eq!(refused(odd), RcarError::Part("a quote in hex, with at most 24 registers"));
    let mut many = vm(2);
    many["tpm_quote"]["pcrs"] = vec!["00".repeat(32); 25].into();
    assert_eq!(refused(many), RcarError::Part("a quote in hex, with at most 24 registers"));
}

#[test]
fn certificates_may_be_written_in_every_usual_way() {
    let chip = chip(Product::Genoa);
    let (pem, ders) = (
        chip.vcek_pem_chain(),
        [
            chip.vek_der(),
            forged_root::ask_der(Product::Genoa),
            forged_root::ark_der(Product::Genoa),
        ],
    );
    let thim = |vcek: &str, chain: &str| {
        json!({"cacheControl": "86400", "extra": {}, "certificateChain": chain, "tcbM": "x",
            "vcekCert": vcek})
        .to_string()
    };
    let blocks: Vec<&str> = pem.split_inclusive("-----END CERTIFICATE-----\n").collect();
    let [vcek, ask, ark] = blocks.as_slice() else { panic!("{} blocks", blocks.len()) };
    let wrapped = |text: &str| {
        let text = STANDARD.encode(text).into_bytes();
        text.chunks(76).flat_map(|line| [line, b"\r\n"].concat()).collect::<Vec<u8>>()
    };
    let good = thim(vcek, &format!("{ask}{ark}"));
    for (what, bytes) in [
        ("pem", pem.clone().into_bytes()),
        ("lines of another system", pem.replace('\n', "\r\n").into_bytes()),
        (
            "words before and between",
            format!("subject=VCEK\n{vcek}\n# ask\n{ask}{ark}\n").into_bytes(),
        ),
        ("a byte order mark", format!("\u{feff}{pem}").into_bytes()),
        ("der, one after the other", ders.concat()),
        ("base64 of pem", wrapped(&pem)),
        ("the service's answer", good.clone().into_bytes()),
        ("its authorities in the other order", thim(vcek, &format!("{ark}{ask}")).into_bytes()),
        (
            "without an end of line",
            thim(vcek.trim_end(), &format!("{ask}{}", ark.trim_end())).into_bytes(),
        ),
        (
            "with the ends of line of another system",
            thim(&vcek.replace('\n', "\r\n"), &format!("{ask}{ark}").replace('\n', "\r\n"))
                .into_bytes(),
        ),
        ("in base64 with broken lines", wrapped(&good)),
    ] {
        let certificates = read(&bytes).parts.certificates.unwrap();
        let views = crate::inspect::certificates(&certificates)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!((views.len(), views[0].vek.is_some()), (3, true), "{what}");
        let anchors = crate::Anchors::insecure(
            [crate::Sha256::new(forged_root::amd_root_sha256(Product::Genoa))],
            crate::Sha256::new([0; 32]),
        );
        let report = chip.sign(&chip.fields());
        let now = jiff::Timestamp::constant(1_772_323_200, 0);
        crate::verify_hardware(&anchors, &report, &certificates, now)
            .unwrap_or_else(|refusal| panic!("{what}: {refusal}"));
    }
    // The file of a security context, too.
    let context = crate::RawEvidence::from_security_context(vec![], &wrapped(&good), b"0o\nQ=\n");
    assert_eq!(context.unwrap().uvm_endorsement, [0xd2, 0x84]);
}

#[test]
fn requests_may_lack_what_the_service_does_not_need() {
    let chip = chip(Product::Milan);
    let (report, chain) = (chip.sign(&chip.fields()), chip.vcek_pem_chain());
    let base = json!({"SnpReport": URL_SAFE_NO_PAD.encode(&report),
        "VcekCertChain": URL_SAFE_NO_PAD.encode(&chain)});
    let request = |inner: &Value, more: &Value| {
        let mut out = more.clone();
        out["report"] = URL_SAFE_NO_PAD.encode(inner.to_string()).into();
        read(out.to_string().as_bytes()).parts
    };
    let mut none = base.clone();
    none["Endorsements"] = Value::Null;
    let mut empty = base.clone();
    empty["Endorsements"] = URL_SAFE_NO_PAD.encode(r#"{"Uvm":[]}"#).into();
    for inner in [&base, &none, &empty] {
        for more in [
            json!({}),
            json!({"runtimeData": null, "nonce": "1"}),
            json!({"runtimeData": {"data": null, "dataType": "JSON"}, "initTimeData": null}),
            json!({"runtimeData": {"dataType": "Binary"}, "draftPolicyForAttestation": "x"}),
        ] {
            let parts = request(inner, &more);
            assert_eq!(
                (parts.report.as_ref(), &parts.certificates),
                (Some(&report), &Some(chain.clone()))
            );
            assert_eq!((parts.endorsements.len(), parts.runtime_data), (0, None), "{more}");
        }
    }
    let bare = json!({"SnpReport": STANDARD.encode(&report)});
    assert_eq!(request(&bare, &json!({})).certificates, None);
    assert!(request(&base, &json!({"runtimeData": {"data": ""}})).runtime_data.unwrap().is_empty());
}

#[test]
fn recognises_revocation_lists() {
    let from = jiff::Timestamp::constant(1_772_323_200, 0);
    let list = forged_root::amd_crl(
        Product::Turin,
        &[1],
        from,
        from + jiff::SignedDuration::from_hours(1),
    );
    for bytes in [list.clone(), STANDARD.encode(&list).into_bytes()] {
        let document = read(&bytes);
        assert_eq!(
            (document.format, document.parts.revocation_list.as_ref()),
            (Format::RevocationList, Some(&list))
        );
    }
}

#[test]
fn recognises_evidence_of_clean_rooms_and_of_ours() {
    let chip = chip(Product::Milan);
    let ak = SoftwareAk::new();
    let hcl = Hcl::new(&chip, &VmClaims::new(ak.public())).bytes();
    let message = QuoteFields::new(b"nonce", &[(7, [7; 32])]).attest();
    let signature = ak.sign(&message);
    let len = u16::try_from(message.len()).unwrap().to_be_bytes();
    let quote = [&len[..], &message, &signature].concat();
    let text = json!({"report": {"snpCvm": {"evidence": {"tpmQuote": STANDARD.encode(quote),
        "hclReport": STANDARD.encode(&hcl), "pcrs": {"7": STANDARD.encode([7; 32])}},
        "nonce": STANDARD.encode("nonce"), "platformCertificates": chip.vcek_pem_chain()}}});
    let document = read(text.to_string().as_bytes());
    assert_eq!(
        (document.format, document.parts.nonce.as_deref()),
        (Format::CleanRoom, Some(&b"nonce"[..]))
    );
    let evidence = document.parts.virtual_machine().unwrap();
    assert_eq!((&evidence.quote.message, &evidence.quote.signature), (&message, &signature));
    let ours = serde_json::to_value(&evidence).unwrap();
    for text in [ours.clone(), json!({"challenge": "c", "evidence": ours})] {
        let document = read(text.to_string().as_bytes());
        assert_eq!(document.format, Format::VirtualMachine);
        assert_eq!(document.parts.virtual_machine().unwrap(), evidence);
    }
    let endorsement = uvm_endorsement(&UVM_MEASUREMENT, UVM_SVN, Form::Json);
    let text = json!({"report": {"snpCACI": {"attestation": STANDARD.encode(chip.sign(&chip.fields())),
        "platformCertificates": STANDARD.encode(chip.vcek_pem_chain()),
        "uvmEndorsements": STANDARD.encode(&endorsement)}}});
    let evidence = read(text.to_string().as_bytes()).parts.container().unwrap();
    assert_eq!(evidence.uvm_endorsement, endorsement);
    let document = read(serde_json::to_string(&evidence).unwrap().as_bytes());
    assert_eq!((document.format, document.parts.container()), (Format::Container, Some(evidence)));
}

#[test]
fn refuses_what_it_does_not_know() {
    let unknown = |bytes: &[u8]| matches!(Document::read(bytes), Err(DocumentError::Unknown));
    for bytes in [
        &b""[..],
        b"{",
        b"{}",
        b"[]",
        b"hello",
        b"-----BEGIN PRIVATE KEY-----",
        b"AAAA",
        b"\xff\xfe",
    ] {
        assert!(unknown(bytes), "{bytes:?}");
    }
    assert!(unknown(&[9; 1184]) && unknown(&[0; 1183]));
    assert!(matches!(Document::read(&vec![0; 1 << 20]), Err(DocumentError::TooLarge(_))));
    for (text, name) in [
        (r#"{"report":"*"}"#, "report"),
        (r#"{"SnpReport":7}"#, "SnpReport"),
        (r#"{"vcekCert":7}"#, "vcekCert"),
        (r#"{"report":{"snpCACI":{}}}"#, "platformCertificates"),
        (r#"{"report":{"snpCvm":{"evidence":{"tpmQuote":"AP8="}}}}"#, "tpmQuote"),
        (r#"{"uvm_endorsement":""}"#, "uvm_endorsement"),
    ] {
        match Document::read(text.as_bytes()) {
            Err(DocumentError::Member { member, .. }) => assert_eq!(member, name, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    assert!(matches!(Document::read(br#"{"hcl_report":7}"#), Err(DocumentError::Rcar(_))));
}
