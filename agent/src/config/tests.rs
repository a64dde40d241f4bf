use super::*;

/// The faults of the minimal configuration with `more` behind it.
fn faults(more: &str) -> Vec<String> {
    match Config::parse(&format!("{}{more}", MINIMAL.trim_start()), Path::new("/etc/agent")) {
        Ok(_) => Vec::new(),
        Err(Faults(faults)) => faults.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn reads_a_whole_configuration() {
    let text = MINIMAL.to_owned()
        + r#"
state = "agent.state"
wait_seconds = 5
insecure_allow_env = ["PATH"]

[insecure_local]
amd_root_sha256 = ["0202020202020202020202020202020202020202020202020202020202020202"]
uvm_root_sha256 = "0303030303030303030303030303030303030303030303030303030303030303"

[[secret]]
path = "demo/db-password"
env = "DB_PASSWORD"

[[secret]]
path = "demo/db-password"
env = "PATH"

[[secret]]
path = "demo/tls-key"
file = "/run/secrets/tls.pem"
mode = "0440"
"#;
    let config = Config::parse(&text, Path::new("/etc/agent")).unwrap();
    assert_eq!(config.server().to_string(), "https://127.0.0.1:8200");
    assert_eq!(config.state(), Some(Path::new("/etc/agent/agent.state")));
    assert_eq!(config.wait(), Duration::from_secs(5));
    assert_eq!(config.roots().device(), Device::InsecureSimulated);
    assert_eq!(config.paths().len(), 2);
    let Target::File(file) = &config.deliveries()[2].to else { panic!("not a file") };
    assert_eq!((file.path(), file.mode().bits()), ("/run/secrets/tls.pem".into(), 0o440));
}

#[test]
fn real_silicon_is_the_default() {
    let config = Config::parse(MINIMAL, Path::new("")).unwrap();
    assert_eq!(config.roots().device(), Device::Silicon);
    assert_eq!(config.wait(), Duration::from_secs(60));
    assert_eq!(config.state(), None);
}

#[test]
fn reports_every_fault_with_its_place() {
    let text = r#"version = 2
server = "http://127.0.0.1"
deployment = "Dev"
singers = []
signers = ["01", "zz"]
minimum_revision = 0
[[secret]]
path = "demo//db"
env = "1X"
[insecure_local]
amd_root_sha256 = []
uvm = "x"
"#;
    let Err(faults) = Config::parse(text, Path::new("")) else { panic!("accepted") };
    let text = faults.to_string();
    let expected = [
        "line 1: version: expected a number from 1 to 1",
        "line 1: the key `minimum_serial` is missing",
        "line 2: server: expected https://HOST or https://HOST:PORT, and nothing after it",
        "line 3: deployment: expected a name",
        "line 4: singers: unknown key, try `signers`",
        "line 5: signers[0]: ",
        "line 5: signers[1]: ",
        "line 6: minimum_revision: expected a number from 1 to",
        "line 8: secret[0].path: expected a path",
        "line 9: secret[0].env: expected a variable's name",
        "line 10: insecure_local: the key `uvm_root_sha256` is missing",
        "line 11: insecure_local.amd_root_sha256: expected at least one",
        "line 12: insecure_local.uvm: unknown key",
    ];
    assert!(text.starts_with(&format!("{} faults", expected.len())), "{text}");
    for fault in expected {
        assert!(text.contains(fault), "{fault}\nis not in\n{text}");
    }
}

#[test]
fn says_where_the_syntax_is_wrong() {
    let faults = faults("state = \n");
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].starts_with("line 7: "), "{faults:?}");
}

#[test]
fn a_secret_goes_to_one_place_of_its_own() {
    for (more, expected) in [
        ("[[secret]]\npath = \"a/b\"\n", "line 7: secret[0]: expected either `env` or `file`"),
        (
            "[[secret]]\npath = \"a/b\"\nenv = \"A\"\nfile = \"/x/a\"\n",
            "line 7: secret[0]: expected either `env` or `file`",
        ),
        (
            "[[secret]]\npath = \"a/b\"\nenv = \"A\"\n[[secret]]\npath = \"a/c\"\nenv = \"A\"\n",
            "line 10: secret[1]: another secret goes to the same place",
        ),
        (
            "[[secret]]\npath = \"a/b\"\nenv = \"A\"\nmode = \"0400\"\n",
            "line 10: secret[0].mode: only a file has a mode",
        ),
    ] {
        assert_eq!(faults(more), [expected], "{more}");
    }
}

#[test]
fn a_file_is_named_from_the_root_and_never_for_others() {
    for path in ["key", "./key", "/a/../key", "/", "/a/", "/a/.."] {
        let faults = faults(&format!("[[secret]]\npath = \"a/b\"\nfile = \"{path}\"\n"));
        let expected = "expected an absolute path without `..` that names a file";
        assert_eq!(faults, [format!("line 9: secret[0].file: {expected}")], "{path}");
    }
    for mode in ["0404", "0444", "0777", "400", "", "4400"] {
        let more = format!("[[secret]]\npath = \"a/b\"\nfile = \"/a/b\"\nmode = \"{mode}\"\n");
        let expected = r#"line 10: secret[0].mode: expected "0400", "0440", "0600" or "0640""#;
        assert_eq!(faults(&more), [expected], "{mode}");
    }
}

#[test]
fn a_variable_that_programs_obey_needs_to_be_allowed() {
    let secret = "[[secret]]\npath = \"a/b\"\nenv = \"LD_PRELOAD\"\n";
    let refused = faults(secret);
    assert_eq!(refused.len(), 1);
    assert!(refused[0].starts_with("line 9: secret[0].env: programs take code"), "{refused:?}");
    assert_eq!(faults(&format!("insecure_allow_env = [\"LD_PRELOAD\"]\n{secret}")), [""; 0]);
    assert_eq!(faults(&format!("insecure_allow_env = [\"PATH\"]\n{secret}")).len(), 1);
}

#[test]
fn a_missing_file_is_said() {
    let e = Config::load(Path::new("/nonexistent/agent.toml")).unwrap_err();
    assert_eq!(e.to_string(), "reading /nonexistent/agent.toml");
}
