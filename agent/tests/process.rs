//! The program as its caller sees it: exit status, and what it says where.

use std::path::Path;
use std::process::{Command, Output};

const CONFIG: &str = r#"
version = 1
server = "https://127.0.0.1:1"
deployment = "dev"
signers = ["0101010101010101010101010101010101010101010101010101010101010101"]
minimum_revision = 1
minimum_serial = 1
wait_seconds = 0
"#;

/// Runs the agent with this configuration and a security context without a device.
fn agent(config: &str, words: &[&str]) -> std::io::Result<(Output, String)> {
    let scratch = tempfile::tempdir()?;
    let file = scratch.path().join("agent.toml");
    std::fs::write(&file, config)?;
    let (verb, rest) = words.split_at(1);
    let output = Command::new(env!("CARGO_BIN_EXE_vouchsafe-agent"))
        .args(verb)
        .arg("--config")
        .arg(&file)
        .args(rest)
        .env("UVM_SECURITY_CONTEXT_DIR", scratch.path())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((output, said))
}

#[test]
fn a_fault_of_the_configuration_is_13_and_says_where() {
    let (output, said) = agent("version = 1\nservr = 1\n", &["check"]).unwrap();
    assert_eq!(output.status.code(), Some(13), "{said}");
    assert!(said.contains("agent.toml: ") && said.contains("line 2: servr: unknown key"), "{said}");
    assert!(said.contains("\ntry: "), "{said}");
}

#[test]
fn a_variable_without_a_program_is_13() {
    let config = format!("{CONFIG}[[secret]]\npath = \"demo/db\"\nenv = \"DB\"\n");
    let (output, said) = agent(&config, &["fetch"]).unwrap();
    assert_eq!(output.status.code(), Some(13), "{said}");
    assert!(said.contains("DB"), "{said}");
}

#[test]
fn nobody_there_is_12_and_the_application_is_not_started() {
    let local = "[insecure_local]\namd_root_sha256 = [\"0202020202020202020202020202020202020202020202020202020202020202\"]\n\
                 uvm_root_sha256 = \"0303030303030303030303030303030303030303030303030303030303030303\"\n";
    let started = tempfile::tempdir().unwrap();
    let mark = started.path().join("started");
    let words = ["run", "--", "touch", mark.to_str().unwrap()];
    let (output, said) = agent(&format!("{CONFIG}{local}"), &words).unwrap();
    assert_eq!(output.status.code(), Some(12), "{said}");
    assert!(output.stdout.is_empty() && said.contains("connecting to the server"), "{said}");
    assert!(!mark.exists());
}

#[test]
fn a_machine_without_silicon_is_14() {
    if Path::new("/dev/sev-guest").exists() || Path::new("/dev/sev").exists() {
        return;
    }
    let (output, said) = agent(CONFIG, &["run", "--", "true"]).unwrap();
    assert_eq!(output.status.code(), Some(14), "{said}");
}

#[test]
fn the_help_lists_every_status() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_vouchsafe-agent")).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    for status in ["   0  ", "   2  ", "  10  ", "  11  ", "  12  ", "  13  ", "  14  ", "  15  "] {
        assert!(help.contains(status), "{help}");
    }
}
