use std::io::Write;
use std::os::unix::net::UnixListener;

use super::*;

/// A security context with a device that answers as `answer` says.
fn context(answer: fn([u8; 64]) -> Vec<u8>) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(directory.path().join(simulated::SOCKET)).unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut data = [0; 64];
            if stream.read_exact(&mut data).is_ok() {
                stream.write_all(&answer(data)).unwrap();
            }
        }
    });
    // {"vcekCert":"V\n","certificateChain":"C\n"}
    let certificates = "eyJ2Y2VrQ2VydCI6IlZcbiIsImNlcnRpZmljYXRlQ2hhaW4iOiJDXG4ifQ==";
    std::fs::write(directory.path().join(CERTIFICATES), certificates).unwrap();
    std::fs::write(directory.path().join(ENDORSEMENT), "AQID\n").unwrap();
    directory
}

fn report(data: [u8; 64]) -> Vec<u8> {
    let mut report = vec![0; REPORT];
    report[0x50..0x90].copy_from_slice(&data);
    report
}

fn evidence(directory: &Path) -> Result<RawEvidence, AttesterError> {
    Container::new(directory, Device::InsecureSimulated)?.evidence(&Binding::sha256(b"data"))
}

#[test]
fn collects_report_certificates_and_endorsement() {
    let directory = context(report);
    let found = evidence(directory.path()).unwrap();
    assert_eq!(found.report.len(), REPORT);
    assert_eq!(found.certificates, "V\nC\n");
    assert_eq!(found.uvm_endorsement, [1, 2, 3]);
}

#[test]
fn takes_the_newer_endorsement_when_there_is_no_older() {
    let directory = context(report);
    std::fs::remove_file(directory.path().join(ENDORSEMENT)).unwrap();
    assert!(matches!(evidence(directory.path()), Err(AttesterError::Read(..))));
    std::fs::write(directory.path().join(TRANSPARENT_ENDORSEMENT), "BAUG").unwrap();
    assert_eq!(evidence(directory.path()).unwrap().uvm_endorsement, [4, 5, 6]);
}

#[test]
fn refuses_a_report_for_another_request_and_one_of_another_size() {
    let another = context(|_| report([9; 64]));
    let short = context(|data| report(data)[..1183].to_vec());
    let long = context(|data| [report(data), vec![0]].concat());
    let none = context(|_| Vec::new());
    for (directory, lacks) in [
        (another, "the REPORT_DATA that was asked for"),
        (short, "1184 bytes"),
        (long, "1184 bytes"),
        (none, "1184 bytes"),
    ] {
        let error = evidence(directory.path()).unwrap_err();
        assert!(matches!(error, AttesterError::Answer(what) if what == lacks), "{error:?}");
    }
}

#[test]
fn refuses_without_device_files_or_sense() {
    let directory = context(report);
    std::fs::write(directory.path().join(ENDORSEMENT), "#").unwrap();
    assert!(matches!(evidence(directory.path()), Err(AttesterError::SecurityContext(_))));
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(evidence(empty.path()), Err(AttesterError::Read(..))));
    let directory = context(report);
    std::fs::remove_file(directory.path().join(simulated::SOCKET)).unwrap();
    assert!(matches!(evidence(directory.path()), Err(AttesterError::Device(..))));
}

#[test]
fn never_falls_back_from_silicon_to_the_simulated_device() {
    if Path::new(sev_guest::DEVICE).exists() || Path::new(sev_legacy::DEVICE).exists() {
        return;
    }
    let directory = context(report);
    let error = Container::new(directory.path(), Device::Silicon).unwrap_err();
    assert!(matches!(error, AttesterError::NoDevice));
}
