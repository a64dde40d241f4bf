use std::collections::BTreeMap;

use attester::Vm;
use evidence::{
    Anchors, PcrIndex, QuoteNonce, RawVmEvidence, ReportPolicy, Requirement, Sha256, Step,
    TcbFloor, UserData, VmBinding, VmPolicy, verify_vm,
};

use super::*;
use crate::device::InsecureDebug;

fn start(change: impl FnOnce(&mut Wanted)) -> (tempfile::TempDir, VirtualMachine) {
    let state = tempfile::tempdir().unwrap();
    let mut wanted = Wanted::new(Machine::new("a machine", [0; 32]));
    change(&mut wanted);
    let vm = VirtualMachine::start(state.path(), wanted).expect("swtpm: cargo xtask setup");
    (state, vm)
}

fn nonce() -> QuoteNonce {
    QuoteNonce::sha256(b"challenge")
}

fn verify(raw: &RawVmEvidence, user_data: UserData) -> Result<evidence::VerifiedVm, Step> {
    let floors = [(evidence::Product::Milan, TcbFloor::default())];
    let policy = VmPolicy {
        report: ReportPolicy::guest(floors.into()),
        pcrs: BTreeMap::new(),
        secure_boot: Requirement::Required,
    };
    let roots = forged_root::Product::ALL.map(|p| Sha256::new(forged_root::amd_root_sha256(p)));
    let anchors = Anchors::insecure(roots, Sha256::new(forged_root::uvm_root_sha256()));
    let binding = VmBinding { nonce: nonce(), user_data };
    verify_vm(&policy, &anchors, raw, &binding, jiff::Timestamp::now()).map_err(|it| it.step)
}

/// What the paravisor has in its report after a request.
fn of_request() -> UserData {
    let mut bytes = nonce().as_bytes().to_vec();
    bytes.resize(64, 0);
    UserData::Exactly(bytes)
}

#[test]
fn peer_a_machine_with_a_real_tpm_gives_evidence_that_verifies() {
    let (_state, machine) = start(|_| {});
    let vm = Vm::insecure_simulated(machine.folder()).unwrap();
    for _ in 0..2 {
        let raw = vm.evidence(&nonce()).unwrap();
        let verified = verify(&raw, of_request()).unwrap();
        assert_eq!(verified.pcrs().len(), 24);
        let dev = include_str!("../../../../manifests/dev.toml");
        for register in [4u8, 7] {
            let value = verified.pcrs()[&PcrIndex::try_from(register).unwrap()].to_string();
            assert!(dev.contains(&format!("{register} = [\"{value}\"]")), "{register}: {value}");
        }
        assert_eq!(verified.report().measurement.as_bytes(), &forged_root::vm::VM_MEASUREMENT);
    }
    let folder = machine.folder().to_owned();
    drop(machine);
    assert!(!folder.exists());
}

#[test]
fn peer_what_a_machine_shows_otherwise_is_seen() {
    let (_state, machine) = start(|wanted| {
        wanted.machine.insecure_debug = InsecureDebug::Permitted;
    });
    let vm = Vm::insecure_simulated(machine.folder()).unwrap();
    let raw = vm.evidence(&nonce()).unwrap();
    assert_eq!(verify(&raw, UserData::Any).unwrap_err(), Step::Debug);

    let (_state, machine) = start(|wanted| {
        wanted.attestation_key = AttestationKey::AnotherMachines;
        wanted.secure_boot = false;
    });
    let vm = Vm::insecure_simulated(machine.folder()).unwrap();
    let raw = vm.evidence(&nonce()).unwrap();
    assert_eq!(verify(&raw, UserData::Any).unwrap_err(), Step::QuoteSignature);
}
