//! What can be seen without a TPM; with one, in the local cloud's tests.

use super::*;

#[test]
fn a_machine_without_its_files_or_its_tpm_gives_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let none = Vm::insecure_simulated(folder.path()).unwrap_err();
    assert!(matches!(none, AttesterError::Read(..)));
    let file = folder.path().join(CERTIFICATION);
    std::fs::write(&file, "{}").unwrap();
    let other = Vm::insecure_simulated(folder.path()).unwrap_err();
    assert!(matches!(other, AttesterError::SecurityContext(_)));
    std::fs::write(&file, r#"{"vcekCert":"V","certificateChain":"C"}"#).unwrap();
    let vm = Vm::insecure_simulated(folder.path()).unwrap();
    let silent = vm.evidence(&QuoteNonce::sha256(b"challenge")).unwrap_err();
    assert!(matches!(silent, AttesterError::Tpm(_)));
    assert!(silent.remedy().contains("/dev/tpmrm0"));
}
