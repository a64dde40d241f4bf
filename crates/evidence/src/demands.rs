//! What a policy demands of a genuine report: steps 11 to 24 of [`crate::verify()`].

use std::fmt;

use crate::{
    Allowed, Binding, CxlPolicy, DebugPolicy, FirmwarePolicy, KeyDigest, KeyPolicy,
    MigrationPolicy, ProvisionalPolicy, Refusal, ReportPolicy, Requirement, SigningKey, SmtPolicy,
    SocketPolicy, Step, TcbFloor, VerifiedHardware,
};

/// Performs the steps in order.
pub(crate) fn check(
    policy: &ReportPolicy,
    hardware: &VerifiedHardware,
    binding: &Binding,
) -> Result<(), Refusal> {
    let report = hardware.report();
    signing_key(policy, hardware)?;
    if report.vmpl != u32::from(policy.vmpl) {
        return Err(Step::Vmpl
            .refuse(format_args!("vmpl {}", policy.vmpl), format_args!("vmpl {}", report.vmpl)));
    }
    if policy.debug == DebugPolicy::Refuse && report.policy.allows_debug() {
        return Err(Step::Debug
            .refuse("a guest that the host cannot debug", "a policy that allows debugging"));
    }
    if policy.migration == MigrationPolicy::Refuse && report.policy.allows_migration() {
        return Err(Step::Migration
            .refuse("a guest without migration agent", "a policy that allows migration"));
    }
    guest_policy(policy, hardware)?;
    platform(policy, hardware)?;
    tcb_order(hardware)?;
    tcb_floor(policy, hardware)?;
    if report.report_data != *binding {
        return Err(Step::Binding.refuse(binding, report.report_data));
    }
    policy.host_data.admit(Step::HostData, &report.host_data)?;
    policy.measurements.admit(Step::Measurement, &report.measurement)?;
    policy.family_ids.admit(Step::Image, &report.family_id)?;
    policy.image_ids.admit(Step::Image, &report.image_id)?;
    if report.guest_svn < policy.min_guest_svn {
        return Err(Step::Image.refuse(
            format_args!("guest svn {} or later", policy.min_guest_svn),
            format_args!("guest svn {}", report.guest_svn),
        ));
    }
    policy.report_ids.admit(Step::Image, &report.report_id)?;
    policy.migration_agents.admit(Step::Image, &report.report_id_ma)?;
    policy.id_keys.admit(Step::IdKeys, &report.id_key_digest)?;
    policy.author_keys.admit(Step::IdKeys, &report.author_key_digest)?;
    let author = report.author_key_digest != KeyDigest::new([0; KeyDigest::LEN]);
    if author && matches!(policy.author_keys, Allowed::Only(_)) && !report.flags.author_key() {
        return Err(Step::IdKeys.refuse("an author key in use", "a digest without one"));
    }
    policy.chips.admit(Step::Chip, &report.chip_id)
}

fn signing_key(policy: &ReportPolicy, hardware: &VerifiedHardware) -> Result<(), Refusal> {
    match (policy.keys, hardware.signing_key()) {
        (_, SigningKey::Vcek) | (KeyPolicy::VcekOrVlek, SigningKey::Vlek) => Ok(()),
        (KeyPolicy::Vcek, found @ SigningKey::Vlek)
        | (
            KeyPolicy::Vcek | KeyPolicy::VcekOrVlek,
            found @ (SigningKey::None | SigningKey::Other(_)),
        ) => Err(Step::SigningKey.refuse("signing key vcek", found)),
    }
}

fn guest_policy(policy: &ReportPolicy, hardware: &VerifiedHardware) -> Result<(), Refusal> {
    let found = hardware.report().policy;
    let refuse = |expected: &str, found: &str| Err(Step::GuestPolicy.refuse(expected, found));
    if !found.has_reserved_one() {
        return refuse("one in the reserved bit 17", "zero");
    }
    if policy.smt == SmtPolicy::Refuse && found.allows_smt() {
        return refuse("a guest that refuses multithreading", "a policy that allows it");
    }
    if policy.sockets == SocketPolicy::Single && !found.requires_single_socket() {
        return refuse("a guest that refuses several sockets", "a policy that allows them");
    }
    if policy.cxl == CxlPolicy::Refuse && found.allows_cxl() {
        return refuse("a guest that refuses cxl", "a policy that allows it");
    }
    let demands = [
        (policy.guest.aes_256_xts, found.requires_aes_256_xts(), "aes-256-xts"),
        (policy.guest.rapl_disabled, found.requires_rapl_disabled(), "power measurement off"),
        (policy.guest.ciphertext_hiding, found.requires_ciphertext_hiding(), "ciphertext hiding"),
        (policy.guest.page_swap_disabled, found.disables_page_swap(), "no swapping of pages"),
    ];
    for (demand, demanded, what) in demands {
        if demand == Requirement::Required && !demanded {
            let expected = format!("a guest that demands {what}");
            return refuse(&expected, "a policy that does without");
        }
    }
    let (major, minor) = found.abi();
    let abi = crate::AbiVersion { major, minor };
    if abi < policy.min_abi {
        return Err(Step::GuestPolicy.refuse(format_args!("abi {} or later", policy.min_abi), abi));
    }
    Ok(())
}

fn platform(policy: &ReportPolicy, hardware: &VerifiedHardware) -> Result<(), Refusal> {
    let found = hardware.report().platform;
    let demands = [
        (policy.platform.alias_check, found.alias_check_complete(), "a completed alias check"),
        (policy.platform.ciphertext_hiding, found.ciphertext_hiding(), "ciphertext hiding"),
        (policy.platform.rapl_disabled, found.rapl_disabled(), "power measurement switched off"),
        (policy.platform.smt_disabled, !found.smt_enabled(), "multithreading switched off"),
        (policy.platform.tsme_disabled, !found.tsme_enabled(), "tsme switched off"),
        (policy.platform.ecc, found.ecc_enabled(), "memory with error correction"),
    ];
    match demands.into_iter().find(|(demand, on, _)| *demand == Requirement::Required && !on) {
        None => {}
        Some((_, _, expected)) => {
            return Err(
                Step::Platform.refuse(expected, format_args!("platform info {:#x}", found.0))
            );
        }
    }
    // The firmware runs no guest on a machine that its policy does not permit.
    let guest = hardware.report().policy;
    let consistent = [
        (guest.allows_smt() || !found.smt_enabled(), "multithreading off"),
        (!guest.requires_rapl_disabled() || found.rapl_disabled(), "power measurement off"),
        (!guest.requires_ciphertext_hiding() || found.ciphertext_hiding(), "ciphertext hiding"),
    ];
    if let Some((_, what)) = consistent.into_iter().find(|(holds, _)| !holds) {
        return Err(Step::Platform.refuse(
            format_args!("{what}, as the guest's policy demands"),
            format_args!("platform info {:#x}", found.0),
        ));
    }
    firmware(policy, hardware)?;
    let report = hardware.report();
    let vectors = [("launch", report.launch_mitigations), ("current", report.current_mitigations)];
    for (name, vector) in vectors {
        let vector = vector.unwrap_or(0);
        if vector & policy.mitigations != policy.mitigations {
            return Err(Step::Platform.refuse(
                format_args!("{name} mitigations with all of {:#x}", policy.mitigations),
                format_args!("{vector:#x}"),
            ));
        }
    }
    Ok(())
}

fn firmware(policy: &ReportPolicy, hardware: &VerifiedHardware) -> Result<(), Refusal> {
    let FirmwarePolicy { least, provisional } = policy.firmware;
    let (current, committed) =
        (hardware.report().current_firmware, hardware.report().committed_firmware);
    if committed > current {
        return Err(Step::Platform.refuse(
            format_args!("committed firmware not above the current {current}"),
            committed,
        ));
    }
    if current < least {
        return Err(Step::Platform.refuse(format_args!("firmware {least} or later"), current));
    }
    let (current_tcb, committed_tcb) = (hardware.current_tcb(), hardware.committed_tcb());
    match provisional {
        ProvisionalPolicy::Refuse if current != committed => Err(Step::Platform
            .refuse(format_args!("the committed firmware {committed} to run"), current)),
        ProvisionalPolicy::Refuse if current_tcb != committed_tcb => Err(Step::Platform
            .refuse(format_args!("the committed tcb to run ({committed_tcb})"), current_tcb)),
        ProvisionalPolicy::Refuse | ProvisionalPolicy::Allow => Ok(()),
    }
}

fn tcb_order(hardware: &VerifiedHardware) -> Result<(), Refusal> {
    let current = hardware.current_tcb();
    let others = [
        ("reported", hardware.reported_tcb()),
        ("committed", hardware.committed_tcb()),
        ("launch", hardware.launch_tcb()),
    ];
    for (name, tcb) in others {
        current.at_least(&TcbFloor::from(tcb)).map_err(|above| {
            Step::TcbOrder.refuse(
                format_args!("{name} tcb not above the current one ({current})"),
                format_args!("{} {}", above.component, above.floor),
            )
        })?;
    }
    Ok(())
}

fn tcb_floor(policy: &ReportPolicy, hardware: &VerifiedHardware) -> Result<(), Refusal> {
    let product = hardware.product();
    let Some(floor) = policy.floors.get(&product) else {
        return Err(Step::TcbFloor.refuse("a product with a floor", product));
    };
    let versions = [
        ("reported", hardware.reported_tcb()),
        ("committed", hardware.committed_tcb()),
        ("launch", hardware.launch_tcb()),
    ];
    for (name, tcb) in versions {
        tcb.at_least(floor).map_err(|below| {
            Step::TcbFloor.refuse(
                format_args!(
                    "{name} tcb of {product} with {} {} or later",
                    below.component, below.floor
                ),
                below.found.map_or("none".to_owned(), |found| found.to_string()),
            )
        })?;
    }
    Ok(())
}

impl<T: Ord + fmt::Display> Allowed<T> {
    fn admit(&self, step: Step, found: &T) -> Result<(), Refusal> {
        match self {
            Self::Any => Ok(()),
            Self::Only(values) if values.contains(found) => Ok(()),
            Self::Only(_) => Err(step.refuse(self, found)),
        }
    }
}
