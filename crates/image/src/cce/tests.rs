use super::*;

pub(super) fn spec() -> ContainerSpec {
    ContainerSpec {
        name: "server".to_owned(),
        image: "registry.example/vouchsafe@sha256:00".to_owned(),
        layers: vec![[1; 32].into(), [2; 32].into()],
        command: vec!["/vouchsafe-server".to_owned(), "run".to_owned()],
        environment: vec![
            EnvironmentRule::exactly("VOUCHSAFE_TRUST_ROOT", "{\"version\":1}\n", Required::Yes),
            EnvironmentRule::literal("PATH=/bin", Required::No),
        ],
        volumes: vec![Volume::Secret {
            destination: "/secrets".to_owned(),
            access: VolumeAccess::ReadOnly,
        }],
        user: UserRule::ids(65_532, 65_532),
        working_dir: "/".to_owned(),
        privileges: Privileges::Dropped,
        exec_processes: Vec::new(),
        signals: Vec::new(),
    }
}

fn policy() -> GroupPolicy {
    GroupPolicy::new(Mode::Production, vec![spec()]).unwrap()
}

fn started() -> Started {
    let identity = Identity { id: 65_532, name: String::new() };
    Started {
        layers: spec().layers,
        command: spec().command,
        environment: vec![
            "VOUCHSAFE_TRUST_ROOT={\"version\":1}\n".to_owned(),
            "HOSTNAME=h".to_owned(),
            "Fabric_NodeIPOrFQDN=10.0.0.1".to_owned(),
        ],
        mounts: vec![Mount {
            destination: "/etc/resolv.conf".to_owned(),
            options: ["rshared", "rbind", "rw"].map(str::to_owned).to_vec(),
            source: "sandbox:///tmp/atlas/resolvconf/x".to_owned(),
            r#type: "bind".to_owned(),
        }],
        working_dir: "/".to_owned(),
        user: identity.clone(),
        groups: vec![identity],
        umask: "0022".to_owned(),
        capabilities: Capabilities::default_sorted(),
        no_new_privileges: true,
        insecure_elevated: false,
        seccomp_profile_sha256: String::new(),
    }
}

#[track_caller]
fn refuses(change: impl FnOnce(&mut Started), expected: &str) {
    let mut changed = started();
    change(&mut changed);
    assert_eq!(policy().enforce(&changed).unwrap_err().to_string(), expected);
}

#[test]
fn renders_a_group_with_server_and_pause_container() {
    insta::assert_snapshot!(policy().render());
}

#[test]
fn renders_debug_as_the_reference_tool_does() {
    let debug = GroupPolicy::new(Mode::InsecureDebug, vec![spec()]).unwrap().render();
    assert!(debug.contains(r#"{"pattern":".+=.+","required":false,"strategy":"re2"}"#));
    assert!(debug.contains(r#"{"command":["/bin/sh"],"signals":[]}"#));
    assert!(debug.contains("allow_dump_stacks := true\nallow_runtime_logging := true\n"));
    assert_eq!(GroupPolicy::parse(&debug).unwrap().mode(), Mode::InsecureDebug);
}

#[test]
fn host_data_is_the_hash_of_the_text() {
    let text = policy().render();
    let expected = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    assert_eq!(policy().host_data(), expected.as_ref());
}

#[test]
fn reads_its_own_text_back() {
    assert_eq!(GroupPolicy::parse(&policy().render()).unwrap(), policy());
}

#[test]
fn reads_nothing_else() {
    let text = policy().render();
    let change = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        GroupPolicy::parse(&text.replacen(from, to, 1)).unwrap_err().to_string()
    };
    let form = |place| format!("policy is not in the form that is rendered here, at its {place}");
    assert_eq!(change("package policy", "package policy\nallow := true"), form("head"));
    assert_eq!(
        change("allow_dump_stacks := false", "allow_dump_stacks := true"),
        form("flags or rules")
    );
    assert_eq!(
        change(
            "create_container := data.framework.create_container",
            "create_container := {\"allowed\": true}"
        ),
        form("flags or rules")
    );
    assert_eq!(change("containers := [", "containers := data.x["), "policy data at containers");
    assert_eq!(
        change("\"allow_elevated\":false", "\"allow_elevated\":false,\"more\":1"),
        "policy data at containers"
    );
    assert_eq!(
        change("\"allow_elevated\":false", "\"allow_elevated\": false"),
        "policy is written differently from how it is rendered here"
    );
    assert_eq!(change("HOSTNAME=.+", "HOSTNAME=(.+"), "policy contradicts itself");
    assert_eq!(
        GroupPolicy::parse(&(text.clone() + "\n")).unwrap_err().to_string(),
        form("flags or rules")
    );
}

#[test]
fn permits_what_it_was_made_for_and_drops_what_no_rule_knows() {
    let mut started = started();
    started.environment.push("LD_PRELOAD=/x".to_owned());
    let policy = policy();
    let permitted = policy.enforce(&started).unwrap();
    assert_eq!(permitted.container().name(), Some("server"));
    assert_eq!(permitted.environment(), &started.environment[..3]);
    assert_eq!(permitted.dropped(), ["LD_PRELOAD=/x"]);
    assert_eq!(*permitted.capabilities(), Capabilities::default());
}

#[test]
fn refuses_other_layers() {
    let text = "layers differ: no container has 0202020202020202020202020202020202020202020202020202020202020202, \
                0101010101010101010101010101010101010101010101010101010101010101";
    refuses(|started| started.layers.reverse(), text);
    refuses(|started| started.layers.clear(), "layers differ: no container has ");
}

#[test]
fn refuses_another_command() {
    refuses(
        |started| started.command.push("--debug".to_owned()),
        r#"command differs: ["/vouchsafe-server", "run", "--debug"] instead of ["/vouchsafe-server", "run"]"#,
    );
}

#[test]
fn refuses_a_required_variable_that_is_missing_or_different() {
    let text = "environment differs: \"VOUCHSAFE_TRUST_ROOT\" is missing or has another value";
    refuses(|started| drop(started.environment.remove(0)), text);
    refuses(|started| started.environment[0].push(' '), text);
}

#[test]
fn refuses_another_directory_user_group_or_umask() {
    refuses(
        |started| started.working_dir.push('x'),
        "working directory differs: \"/x\" instead of \"/\"",
    );
    refuses(|started| started.user.id = 0, "user differs: \"0\"");
    refuses(
        |started| started.groups.push(Identity { id: 0, name: "root".to_owned() }),
        "group differs: \"0\"",
    );
    refuses(|started| started.umask = "0000".to_owned(), "umask differs: \"0000\"");
}

#[test]
fn refuses_mounts_that_are_not_in_the_policy() {
    let other =
        |change: fn(&mut Mount)| move |started: &mut Started| change(&mut started.mounts[0]);
    let text = r#"mount differs: "sandbox:///tmp/atlas/resolvconf/x" at "/etc/resolv.conf""#;
    refuses(other(|mount| mount.options.push("exec".to_owned())), text);
    refuses(other(|mount| drop(mount.options.pop())), text);
    refuses(other(|mount| mount.r#type = "tmpfs".to_owned()), text);
    refuses(
        other(|mount| mount.destination = "/etc/passwd".to_owned()),
        r#"mount differs: "sandbox:///tmp/atlas/resolvconf/x" at "/etc/passwd""#,
    );
    refuses(
        other(|mount| mount.source = "/etc".to_owned()),
        r#"mount differs: "/etc" at "/etc/resolv.conf""#,
    );
    refuses(
        other(|mount| mount.source.push_str("/../../x")),
        r#"mount differs: "sandbox:///tmp/atlas/resolvconf/x/../../x" at "/etc/resolv.conf""#,
    );
}

#[test]
fn refuses_less_confinement() {
    refuses(|started| started.insecure_elevated = true, "elevation differs");
    refuses(|started| started.no_new_privileges = false, "no_new_privileges differs");
    refuses(|started| started.seccomp_profile_sha256.push('0'), "seccomp profile differs");
}

#[test]
fn anchors_patterns_as_the_framework_does() {
    let rule = |pattern, text| enforce::compile(pattern).map(|pattern| pattern.is_match(text));
    for (pattern, text, expected) in [
        ("A=.+", "A=b", Some(true)),
        ("A=.+", "XA=b", Some(false)),
        ("A=b", "A=bc", Some(false)),
        ("^A=.*", "A=", Some(true)),
        ("A=.+$", "A=1", Some(true)),
        ("A=.+", "A=1\n2", Some(false)),
        ("(?i)(FABRIC)_.+=.+", "Fabric_x=1", Some(true)),
        ("A=(", "A=(", None),
        ("A=\\d", "A=1", None),
        ("A=\\.", "A=.", Some(true)),
    ] {
        assert_eq!(rule(pattern, text), expected, "{pattern} {text}");
    }
}

#[test]
fn refuses_groups_that_cannot_be() {
    let with = |change: fn(&mut ContainerSpec)| {
        let mut spec = spec();
        change(&mut spec);
        GroupPolicy::new(Mode::Production, vec![spec]).unwrap_err().to_string()
    };
    assert_eq!(GroupPolicy::new(Mode::Production, Vec::new()).unwrap_err(), PolicyError::Empty);
    let twice = GroupPolicy::new(Mode::Production, vec![spec(), spec()]).unwrap_err();
    assert_eq!(twice.to_string(), "two containers are called \"server\"");
    assert_eq!(with(|spec| spec.layers.clear()), "container \"server\": has no layers");
    assert_eq!(with(|spec| spec.command.clear()), "container \"server\": has no command");
    assert_eq!(
        with(|spec| spec.working_dir.clear()),
        "container \"server\": working directory is not absolute"
    );
    assert_eq!(
        with(|spec| spec.environment.push(EnvironmentRule::re2("("))),
        "container \"server\": pattern \"(\" is not supported"
    );
}

pub(super) fn corpus(name: &str, test: &str) -> Option<String> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpus");
    let root = std::env::var("VOUCHSAFE_CORPUS").unwrap_or_else(|_| default.to_owned());
    let text = std::fs::read_to_string(format!("{root}/{name}")).ok();
    if text.is_none() {
        // The run counts these lines.
        #[expect(clippy::print_stderr, reason = "a test says what it did not test")]
        {
            eprintln!("corpus absent: {test}");
        }
    }
    text
}

#[test]
fn corpus_reads_the_reference_tools_policy_to_the_letter() {
    let name = "confidential-aci-examples/policy_attestation.rego";
    let Some(text) = corpus(name, "corpus_reads_the_reference_tools_policy_to_the_letter") else {
        return;
    };
    let policy = GroupPolicy::parse(&(text.trim_end().to_owned() + "\n")).unwrap();
    assert_eq!(policy.containers()[1], Container::pause());
    assert_eq!(policy.containers()[0].capabilities, Capabilities::default_sorted());
    let ours = GroupPolicy::new(Mode::Production, vec![spec()]).unwrap();
    let service = |policy: &GroupPolicy| {
        let rules = policy.containers()[0].environment();
        let start = rules.iter().position(|rule| rule.pattern() == "TERM=xterm").unwrap();
        rules[start..].to_vec()
    };
    assert_eq!(service(&policy), service(&ours));
    assert_eq!(policy.containers()[0].mounts()[0], *ours.containers()[0].mounts().last().unwrap());
}

#[test]
fn corpus_does_not_read_a_policy_that_permits_everything() {
    use base64::Engine;
    let name = "confidential-sidecar-containers/security-context/security-policy-base64";
    let Some(text) = corpus(name, "corpus_does_not_read_a_policy_that_permits_everything") else {
        return;
    };
    let text = base64::engine::general_purpose::STANDARD.decode(text.trim()).unwrap();
    assert!(GroupPolicy::parse(std::str::from_utf8(&text).unwrap()).is_err());
}
