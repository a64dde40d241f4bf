//! What evidence says.

use evidence::document::{Document, Parts};
use evidence::inspect::{self, CertificateView, RevocationListView};
use evidence::{
    Binding, EndorsementForm, HclReport, HclReportKind, Product, RawQuote, Report, RuntimeClaims,
    TcbBytes, TpmQuote,
};

use super::tree::Node;
use super::{EvidenceFault, PartError};

pub(super) fn document(document: &Document) -> Result<Node, EvidenceFault> {
    let Parts {
        report,
        hcl_report,
        runtime_claims,
        certificates,
        revocation_list,
        endorsements,
        quote,
        runtime_data,
        nonce,
    } = &document.parts;
    let mut out =
        vec![("format", Node::text(document.format.name())), ("verified", Node::Switch(false))];
    if let Some(bytes) = report {
        out.push(("report", part("the report", self::report(bytes))?));
    }
    if let Some(data) = runtime_data {
        let digest = Node::text(Binding::sha256(data));
        out.push(("runtime_data_binding", digest));
        out.push(("runtime_data", Node::text(String::from_utf8_lossy(data))));
    }
    if let Some(bytes) = hcl_report {
        out.push(("hcl_report", part("the hcl report", self::hcl_report(bytes))?));
    }
    if let Some(bytes) = runtime_claims {
        let claims = RuntimeClaims::parse(bytes).map_err(PartError::from);
        out.push(("runtime_claims", self::claims(&part("the runtime claims", claims)?)));
    }
    if let Some(nonce) = nonce {
        out.push(("nonce", Node::hex(nonce)));
    }
    if let Some(quote) = quote {
        out.push(("quote", part("the quote", self::quote(quote))?));
    }
    if let Some(pem) = certificates {
        let views = inspect::certificates(pem).map_err(PartError::from);
        let views = part("the certificates", views)?;
        out.push(("certificates", Node::List(views.iter().map(certificate).collect())));
    }
    if let Some(der) = revocation_list {
        let view = inspect::revocation_list(der).map_err(PartError::from);
        out.push(("revocation_list", self::revocation_list(part("the revocation list", view)?)));
    }
    if !endorsements.is_empty() {
        let shown: Result<_, _> = endorsements.iter().map(|message| endorsement(message)).collect();
        out.push(("endorsements", Node::List(part("the endorsement", shown)?)));
    }
    Ok(Node::Map(out))
}

fn part<T>(part: &'static str, result: Result<T, PartError>) -> Result<T, EvidenceFault> {
    result.map_err(|source| EvidenceFault::Part { part, source })
}

fn report(bytes: &[u8]) -> Result<Node, PartError> {
    let report = Report::parse(bytes)?;
    // A report of version 2 names no processor, and is older than Turin.
    let product = match report.version {
        2 => Some(Product::Milan),
        _ => report.product(),
    };
    let tcb = |bytes: TcbBytes| match product {
        Some(product) => Node::text(format_args!("{} ({bytes})", bytes.decode(product))),
        None => Node::text(bytes),
    };
    let named = match (report.cpuid, report.product()) {
        (_, Some(product)) => Node::text(product),
        (Some(cpuid), None) => Node::text(format_args!(
            "unknown: family {:#04x}, model {:#04x}",
            cpuid.family, cpuid.model
        )),
        (None, None) => Node::text("not said: milan or genoa"),
    };
    let (policy, platform, flags) = (report.policy, report.platform, report.flags);
    let (major, minor) = policy.abi();
    let mut out = vec![
        ("version", Node::Number(report.version.into())),
        ("product", named),
        ("vmpl", Node::Number(report.vmpl.into())),
        ("measurement", Node::text(report.measurement)),
        ("host_data", Node::text(report.host_data)),
        ("report_data", Node::text(report.report_data)),
        (
            "policy",
            Node::Map(vec![
                ("value", Node::text(format_args!("{:#x}", policy.0))),
                ("debug", Node::Switch(policy.allows_debug())),
                ("migration_agent", Node::Switch(policy.allows_migration())),
                ("multithreading", Node::Switch(policy.allows_smt())),
                ("single_socket", Node::Switch(policy.requires_single_socket())),
                ("cxl", Node::Switch(policy.allows_cxl())),
                ("demands_aes_256_xts", Node::Switch(policy.requires_aes_256_xts())),
                ("demands_power_measurement_off", Node::Switch(policy.requires_rapl_disabled())),
                ("demands_ciphertext_hiding", Node::Switch(policy.requires_ciphertext_hiding())),
                ("demands_no_page_swap", Node::Switch(policy.disables_page_swap())),
                ("least_abi", Node::text(format_args!("{major}.{minor}"))),
            ]),
        ),
        ("current_tcb", tcb(report.current_tcb)),
        ("reported_tcb", tcb(report.reported_tcb)),
        ("committed_tcb", tcb(report.committed_tcb)),
        ("launch_tcb", tcb(report.launch_tcb)),
        ("current_firmware", Node::text(report.current_firmware)),
        ("committed_firmware", Node::text(report.committed_firmware)),
        (
            "platform",
            Node::Map(vec![
                ("value", Node::text(format_args!("{:#x}", platform.0))),
                ("multithreading", Node::Switch(platform.smt_enabled())),
                ("tsme", Node::Switch(platform.tsme_enabled())),
                ("error_correction", Node::Switch(platform.ecc_enabled())),
                ("power_measurement_off", Node::Switch(platform.rapl_disabled())),
                ("ciphertext_hiding", Node::Switch(platform.ciphertext_hiding())),
                ("alias_check_complete", Node::Switch(platform.alias_check_complete())),
            ]),
        ),
        ("chip_id", Node::text(report.chip_id)),
        ("signing_key", Node::text(flags.signing_key())),
        ("masked_chip_key", Node::Switch(flags.mask_chip_key())),
        ("guest_svn", Node::Number(report.guest_svn.into())),
        ("family_id", Node::text(report.family_id)),
        ("image_id", Node::text(report.image_id)),
        ("id_key_digest", Node::text(report.id_key_digest)),
        ("author_key", Node::Switch(flags.author_key())),
        ("author_key_digest", Node::text(report.author_key_digest)),
        ("report_id", Node::text(report.report_id)),
        ("report_id_ma", Node::text(report.report_id_ma)),
    ];
    for (name, vector) in [
        ("launch_mitigations", report.launch_mitigations),
        ("current_mitigations", report.current_mitigations),
    ] {
        if let Some(vector) = vector {
            out.push((name, Node::text(format_args!("{vector:#x}"))));
        }
    }
    Ok(Node::Map(out))
}

fn hcl_report(bytes: &[u8]) -> Result<Node, PartError> {
    let hcl = HclReport::parse(bytes)?;
    let claims = hcl.claims()?;
    let inner = match hcl.kind() {
        HclReportKind::Snp => report(hcl.report())?,
        HclReportKind::Vbs
        | HclReportKind::TrustedLaunch
        | HclReportKind::Tdx
        | HclReportKind::Other(_) => Node::text("of another technology, and not taken apart"),
    };
    Ok(Node::Map(vec![
        ("version", Node::Number(hcl.version().into())),
        ("kind", Node::text(hcl.kind())),
        ("report", inner),
        ("claims_binding", Node::text(Binding::sha256(hcl.claims_bytes()))),
        ("runtime_claims", self::claims(&claims)),
    ]))
}

fn claims(claims: &RuntimeClaims) -> Node {
    let switch = |on: Option<bool>| on.map_or_else(|| Node::text("not said"), Node::Switch);
    let key = claims.attestation_key().map(|(modulus, _)| {
        let digest = evidence::Sha256::of(modulus);
        Node::text(format_args!("rsa-{}, sha-256 of its modulus {digest}", modulus.len() * 8))
    });
    Node::Map(vec![
        ("attestation_key", key.unwrap_or_else(|| Node::text("none, or several"))),
        ("secure_boot", switch(claims.secure_boot())),
        ("tpm_enabled", switch(claims.tpm_enabled())),
        ("console_enabled", switch(claims.console_enabled())),
        ("vm_id", Node::text(claims.vm_id().unwrap_or("not said"))),
        ("user_data", claims.user_data().map_or_else(|| Node::text("not said"), Node::hex)),
    ])
}

fn quote(raw: &RawQuote) -> Result<Node, PartError> {
    let quote = TpmQuote::parse(&raw.message)?;
    let selections = quote.selections.iter().map(Node::text).collect();
    let pcrs = raw.pcrs.iter().map(|(index, value)| Node::text(format_args!("{index}: {value}")));
    Ok(Node::Map(vec![
        ("nonce", Node::hex(&quote.extra_data)),
        ("signer", Node::hex(&quote.signer)),
        ("clock_ms", Node::Number(quote.clock)),
        ("resets", Node::Number(quote.reset_count.into())),
        ("restarts", Node::Number(quote.restart_count.into())),
        ("clock_is_safe", Node::Switch(quote.clock_is_safe)),
        ("firmware", Node::text(format_args!("{:016x}", quote.firmware_version))),
        ("selections", Node::List(selections)),
        ("pcr_digest", Node::hex(&quote.pcr_digest)),
        ("pcrs", Node::List(pcrs.collect())),
        ("signature_bytes", Node::Number(raw.signature.len().try_into().unwrap_or(u64::MAX))),
    ]))
}

fn certificate(view: &CertificateView) -> Node {
    let (from, until) = &view.valid;
    let mut out = vec![
        ("subject", Node::text(&view.subject)),
        ("issuer", Node::text(&view.issuer)),
        ("serial", Node::text(&view.serial)),
        ("valid", Node::text(format_args!("{from} to {until}"))),
        ("sha256", Node::text(view.sha256)),
    ];
    if let Some(vek) = &view.vek {
        out.push(("key", Node::text(vek.kind)));
        out.push(("product", Node::text(vek.product)));
        out.push(("tcb", Node::text(vek.tcb)));
        if let Some(chip) = &vek.chip {
            out.push(("chip_id", Node::text(chip)));
        }
    }
    Node::Map(out)
}

fn revocation_list(view: RevocationListView) -> Node {
    let revoked = view.revoked.into_iter().map(Node::text).collect();
    Node::Map(vec![
        ("issuer", Node::text(view.issuer)),
        ("number", Node::text(view.number.as_deref().unwrap_or("none"))),
        ("in_force", Node::text(format_args!("{} to {}", view.from, view.until))),
        ("revoked_serials", Node::List(revoked)),
    ])
}

fn endorsement(message: &[u8]) -> Result<Node, PartError> {
    let view = inspect::endorsement(message)?;
    let form = match view.form {
        EndorsementForm::Json => "json",
        EndorsementForm::Transparent => "transparent",
    };
    Ok(Node::Map(vec![
        ("form", Node::text(form)),
        ("issuer", Node::text(view.issuer)),
        ("feed", Node::text(view.feed)),
        ("svn", Node::Number(view.svn)),
        ("measurement", Node::text(view.measurement)),
        ("signing_time", Node::text(view.signing_time)),
        ("certificates", Node::List(view.certificates.iter().map(certificate).collect())),
    ]))
}
