//! Definitions of users, and the rules that the reference tool makes of them.

use serde_json::{Value, json};

use super::tests::corpus;
use super::*;
use crate::layer::RootHash;
use crate::oci::{Config, Digest, Manifest};

/// An image's configuration, as an image has it.
fn config(config: Value, layers: usize) -> Config {
    let digest = Digest::of(b"layer").to_string();
    let document = json!({
        "architecture": "amd64", "os": "linux", "config": config,
        "rootfs": { "type": "layers", "diff_ids": vec![&digest; layers] },
    });
    let document = serde_json::to_vec(&document).unwrap();
    let layer = json!({
        "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": 5,
    });
    let manifest = json!({
        "schemaVersion": 2,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": Digest::of(&document).to_string(), "size": document.len(),
        },
        "layers": vec![layer; layers],
    });
    let manifest = Manifest::parse(&serde_json::to_vec(&manifest).unwrap(), None).unwrap();
    Config::parse(&document, &manifest).unwrap()
}

fn group(container: Value, more: Value) -> Vec<u8> {
    let mut properties = json!({
        "sku": "Confidential", "osType": "Linux",
        "confidentialComputeProperties": { "ccePolicy": "" },
        "containers": [{ "name": "web", "properties": { "image": "r.azurecr.io/web:1" } }],
    });
    let merge = |into: &mut Value, from: Value| {
        if let (Some(into), Value::Object(from)) = (into.as_object_mut(), from) {
            into.extend(from);
        }
    };
    merge(&mut properties["containers"][0]["properties"], container);
    merge(&mut properties, more);
    let resource = json!({
        "type": "Microsoft.ContainerInstance/containerGroups", "apiVersion": "2023-05-01",
        "name": "web", "location": "westeurope", "properties": properties,
    });
    serde_json::to_vec(&json!({ "resources": [resource] })).unwrap()
}

/// The rules that a group's first container gets with an image of this configuration.
fn derived(template: &[u8], image: Value) -> Value {
    let group = ArmGroup::parse(template, None).unwrap();
    let config = config(image, 1);
    let layers = vec![RootHash::from([1; 32])];
    let spec = group.containers()[0].with_image(&config, layers).unwrap();
    let policy = GroupPolicy::new(Mode::Production, vec![spec]).unwrap();
    let text = policy.render();
    assert_eq!(GroupPolicy::parse(&text).unwrap(), policy);
    serde_json::to_value(&policy.containers()[0]).unwrap()
}

fn plain(container: Value) -> Value {
    derived(&group(container, json!({})), json!({ "Cmd": ["/web"] }))
}

fn patterns(container: &Value) -> Vec<String> {
    let rules = container["env_rules"].as_array().unwrap().iter();
    rules.map(|rule| rule["pattern"].as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn refuses(template: &[u8], expected: &str) {
    let error = ArmGroup::parse(template, None).unwrap_err();
    let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
    assert_eq!(error.to_string() + &source.unwrap_or_default(), expected);
}

#[test]
fn takes_from_the_image_what_the_definition_leaves_open() {
    let image = json!({
        "Entrypoint": ["/bin/web"], "Cmd": ["--serve"], "WorkingDir": "/srv",
        "Env": ["PATH=/bin", "COLOUR=red"], "User": "web:1000", "StopSignal": "SIGQUIT",
    });
    let found = derived(&group(json!({}), json!({})), image.clone());
    assert_eq!(found["command"], json!(["/bin/web", "--serve"]));
    assert_eq!(found["working_dir"], "/srv");
    assert_eq!(found["signals"], json!([3]));
    assert_eq!(found["user"]["user_idname"], json!({ "pattern": "web", "strategy": "name" }));
    assert_eq!(found["user"]["group_idnames"], json!([{ "pattern": "1000", "strategy": "id" }]));
    assert_eq!(patterns(&found)[..3], ["PATH=/bin", "COLOUR=red", "TERM=xterm"]);

    let own = json!({
        "command": ["/bin/sh"],
        "environmentVariables": [
            { "name": "COLOUR", "value": "blue" }, { "name": "TERM", "value": "vt100" },
            { "name": "HOSTNAME", "value": "h" },
        ],
        "securityContext": { "runAsUser": 7 },
    });
    let found = derived(&group(own, json!({})), image);
    assert_eq!(found["command"], json!(["/bin/sh"]));
    assert_eq!(found["user"]["user_idname"], json!({ "pattern": "7", "strategy": "id" }));
    assert_eq!(found["user"]["group_idnames"], json!([{ "pattern": "", "strategy": "any" }]));
    let patterns = patterns(&found);
    let start = ["COLOUR=blue", "TERM=vt100", "HOSTNAME=h", "PATH=/bin", "(?i)(FABRIC)_.+=.+"];
    assert_eq!(patterns[..5], start);
    assert!(!patterns.contains(&"HOSTNAME=.+".to_owned()), "set by the container itself");
}

#[test]
fn mounts_are_in_order_and_the_resolver_is_last() {
    let mounts = json!({ "volumeMounts": [
        { "name": "s", "mountPath": "/s", "readOnly": true }, { "name": "e", "mountPath": "/e" },
        { "name": "f", "mountPath": "/f" },
    ] });
    let volumes = json!({ "volumes": [
        { "name": "e", "emptyDir": {} }, { "name": "s", "secret": { "k": "dg==" } },
        { "name": "f", "azureFile": { "shareName": "x", "storageAccountName": "y" } },
    ] });
    let found = derived(&group(mounts, volumes), json!({ "Cmd": ["/web"] }));
    let mount = |kind: &str, destination: &str, access: &str| {
        json!({
            "destination": destination, "options": ["rbind", "rshared", access], "type": "bind",
            "source": format!("sandbox:///tmp/atlas/{kind}/.+"),
        })
    };
    let expected = json!([
        mount("secretsVolume", "/s", "ro"),
        mount("emptydir", "/e", "rw"),
        mount("azureFileVolume", "/f", "rw"),
        mount("resolvconf", "/etc/resolv.conf", "rw"),
    ]);
    assert_eq!(found["mounts"], expected);
}

#[test]
fn capabilities_are_added_and_dropped_by_name() {
    let with = |capabilities: Value| {
        let found = plain(json!({ "securityContext": { "capabilities": capabilities } }));
        let names = |set: &str| found["capabilities"][set].as_array().unwrap().clone();
        assert_eq!((names("ambient"), names("inheritable")), (vec![], vec![]));
        assert_eq!(names("bounding"), names("effective"));
        assert_eq!(names("bounding"), names("permitted"));
        names("bounding")
    };
    let added = with(json!({ "add": ["CAP_SYS_TIME", "CAP_CHOWN"], "drop": ["CAP_KILL"] }));
    assert_eq!((added.len(), &added[0]), (14, &json!("CAP_AUDIT_WRITE")));
    assert!(added.contains(&json!("CAP_SYS_TIME")) && !added.contains(&json!("CAP_KILL")));
    assert!(with(json!({ "drop": ["ALL"] })).is_empty());
    let found = plain(json!({ "securityContext": { "allowPrivilegeEscalation": false } }));
    assert_eq!(found["no_new_privileges"], true);
    assert_eq!(plain(json!({}))["no_new_privileges"], false);
}

#[test]
fn a_privileged_container_has_every_capability() {
    let found = plain(json!({ "securityContext": {
        "privileged": true, "capabilities": { "add": ["CAP_OTHER"], "drop": ["CAP_BPF"] },
    } }));
    assert_eq!(found["allow_elevated"], true);
    let sets = &found["capabilities"];
    assert_eq!(sets["ambient"], json!([]));
    for set in ["effective", "inheritable", "permitted"] {
        assert_eq!(sets["bounding"], sets[set]);
    }
    let names = sets["bounding"].as_array().unwrap();
    assert_eq!((names.len(), &names[0]), (41, &json!("CAP_AUDIT_CONTROL")));
    assert!(names.contains(&json!("CAP_OTHER")) && !names.contains(&json!("CAP_BPF")));
    assert_eq!(plain(json!({}))["allow_elevated"], false);
}

/// The hashes are of the reference tool's way: Python's `json.dumps` with the known keys in their order.
#[test]
fn a_seccomp_profile_is_hashed_in_the_guests_form() {
    for (profile, expected) in [
        ("{}", "2bad373cb24c8e2f0bc6583803b0ef677d1cbfb077fc0aeaf64bd483fbcde626"),
        (
            r#"{"comment": "x", "archMap": [{"a": 1}], "syscalls": [
                {"action": "SCMP_ACT_ALLOW", "comment": "", "names": ["read", "write"], "errnoRet": 1,
                 "args": [{"op": "SCMP_CMP_MASKED_EQ", "valueTwo": 0, "value": 2114060288, "index": 0}, {}]},
                {"includes": {}}], "architectures": ["SCMP_ARCH_X86_64"], "defaultErrnoRet": 38,
                "defaultAction": "SCMP_ACT_ERRNO"}"#,
            "977032b76bec10177929236758d05fddbb20777fbeba1ceebefc292033e4866e",
        ),
        (
            "{\"listenerMetadata\": \"a\\\"\\\\\\n\\u0001\\u007f\u{e9}\u{1f600}\"}",
            "b74a6b962ff8d8f5c68e2deecbb4a8688b18403ae3c48349eee10bd7d94e9abc",
        ),
    ] {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(profile);
        let found = plain(json!({ "securityContext": { "seccompProfile": text } }));
        assert_eq!(found["seccomp_profile_sha256"], expected, "{profile}");
    }
    for (profile, expected) in [
        ("[]", "the profile does not parse"),
        (r#"{"defaultErrnoRet":1.5}"#, "the profile's \"defaultErrnoRet\" is not supported"),
        (r#"{"flags":{"a":1}}"#, "the profile's \"flags\" is not supported"),
        (r#"{"syscalls":["read"]}"#, "the profile's \"syscalls\" is not supported"),
    ] {
        let error = SeccompProfile::parse(profile.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn a_secure_value_is_fixed_like_any_other() {
    let secure = json!({ "environmentVariables": [{ "name": "X", "secureValue": "s" }] });
    assert_eq!(patterns(&plain(secure))[0], "X=s");
}

#[test]
fn who_mounts_a_resolvers_file_has_no_other() {
    let mounts = json!({ "volumeMounts": [{ "name": "g", "mountPath": "/etc/resolv.conf" }] });
    let volumes = json!({ "volumes": [{ "name": "g", "gitRepo": { "repository": "x" } }] });
    let found = derived(&group(mounts, volumes), json!({ "Cmd": ["/web"] }));
    assert_eq!(found["mounts"][0]["source"], "sandbox:///tmp/atlas/gitRepoVolume/.+");
    assert_eq!(found["mounts"].as_array().unwrap().len(), 1);
}

#[test]
fn images_of_the_services_registry_are_a_users_unless_they_are_its_own() {
    let image = "mcr.microsoft.com/aci/skr:2.9";
    assert_eq!(plain(json!({ "image": image }))["id"], image);
}

#[test]
fn a_tag_leaves_the_services_sidecars_out() {
    let with = |tags: Value| {
        let mut template: Value = serde_json::from_slice(&group(json!({}), json!({}))).unwrap();
        template["resources"][0]["tags"] = tags;
        let template = serde_json::to_vec(&template).unwrap();
        ArmGroup::parse(&template, None).map(|group| group.sidecars()).map_err(|e| e.to_string())
    };
    assert_eq!(with(json!({ "annotate-zero-sidecar": "True" })), Ok(Sidecars::None));
    let other = "resources[0].tags.Annotate-zero-sidecar: \"false\" is not supported";
    assert_eq!(with(json!({ "Annotate-zero-sidecar": "false" })), Err(other.to_owned()));
    assert_eq!(with(json!({ "team": "x" })), Ok(Sidecars::OfTheService));
    let policy =
        GroupPolicy::with_fragments(Mode::Production, vec![tests::spec()], Vec::new()).unwrap();
    assert!(policy.render().contains("\nfragments := []\n"));
    assert_eq!(GroupPolicy::parse(&policy.render()).unwrap(), policy);
}

#[test]
fn a_probes_command_may_be_run_once() {
    let probe = |command: Value| json!({ "exec": { "command": command }, "periodSeconds": 5 });
    let http = json!({ "httpGet": { "path": "/", "port": 80 } });
    let found = plain(json!({ "livenessProbe": probe(json!(["/live"])), "readinessProbe": http }));
    assert_eq!(found["exec_processes"], json!([{ "command": ["/live"], "signals": [] }]));
    let both = json!({
        "livenessProbe": probe(json!(["/ok"])), "readinessProbe": probe(json!(["/ok"])),
    });
    assert_eq!(plain(both)["exec_processes"].as_array().unwrap().len(), 1);
}

#[test]
fn init_containers_follow_in_any_case_and_a_resource_needs_no_template() {
    let init = json!([{ "name": "init", "properties": { "image": "r.azurecr.io/init" } }]);
    let template: Value =
        serde_json::from_slice(&group(json!({}), json!({ "INITCONTAINERS": init }))).unwrap();
    let resource = serde_json::to_vec(&template["resources"][0]).unwrap();
    let group = ArmGroup::parse(&resource, None).unwrap();
    let names: Vec<_> = group.containers().iter().map(|found| found.name.as_str()).collect();
    assert_eq!(names, ["web", "init"]);
}

#[test]
fn resolves_parameters_and_variables_and_nothing_else() {
    let with = |value: &str| {
        let variable = json!({ "environmentVariables": [{ "name": "X", "value": value }] });
        let mut template: Value = serde_json::from_slice(&group(variable, json!({}))).unwrap();
        template["parameters"] = json!({
            "Given": { "type": "string" }, "default": { "type": "string", "defaultValue": "d" },
            "number": { "type": "int", "defaultValue": 7 },
        });
        template["variables"] =
            json!({ "v": "w", "indirect": "[parameters('default')]", "again": "[variables('v')]" });
        serde_json::to_vec(&template).unwrap()
    };
    let file = br#"{"parameters":{"given":{"value":"g"}}}"#;
    for (text, expected) in [
        ("[parameters('given')]", "g"),
        ("[ parameters( 'DEFAULT' ) ]", "d"),
        ("[variables('v')]", "w"),
        ("[variables('indirect')]", "d"),
        ("plain]", "plain]"),
    ] {
        let group = ArmGroup::parse(&with(text), Some(file)).unwrap();
        assert_eq!(group.containers()[0].environment, [("X".to_owned(), expected.to_owned())]);
    }
    let at = "resources[0].properties.containers[0].properties.environmentVariables[0].value";
    for (text, expected) in [
        (
            "[parameters('given')]",
            ": parameter \"given\" has no value; give it in a parameters file",
        ),
        ("[variables('again')]", ": expression \"[variables('v')]\" is not supported"),
        ("[concat('a', 'b')]", ": expression \"[concat('a', 'b')]\" is not supported"),
        ("x[parameters('default')]", ": expression \"x[parameters('default')]\" is not supported"),
        ("[[x]", ": expression \"[[x]\" is not supported"),
        ("[parameters('number')]", ": expected a text"),
    ] {
        refuses(&with(text), &format!("{at}{expected}"));
    }
    let error = ArmGroup::parse(&with("x"), Some(br#"{"parameters":{"else":{"value":1}}}"#));
    assert!(error.is_err(), "a value for what is not declared");
}

#[test]
fn refuses_what_it_cannot_derive() {
    let web = "resources[0].properties.containers[0].properties";
    for (container, expected) in [
        (json!({ "configMap": { "keyValuePairs": {} } }), ".configMap: this is not supported"),
        (
            json!({ "environmentVariables": [{ "name": "X", "secureValue": "s", "value": "v" }] }),
            ".environmentVariables[0].value: expected one of value and secureValue",
        ),
        (
            json!({ "environmentVariables": [{ "name": "X", "secureValueReference": "s" }] }),
            ".environmentVariables[0].secureValueReference: this is not supported",
        ),
        (
            json!({ "volumeMounts": [{ "name": "x", "mountPath": "/x" }] }),
            ".volumeMounts[0].name: expected the name of a volume of the group",
        ),
        (
            json!({ "securityContext": { "privileged": "yes" } }),
            ".securityContext.privileged: expected true or false",
        ),
        (
            json!({ "securityContext": { "seccompProfile": "{}" } }),
            ".securityContext.seccompProfile: expected a profile in base64",
        ),
        (
            json!({ "securityContext": { "seccompProfile": "eyJzeXNjYWxscyI6bnVsbH0=" } }),
            ".securityContext.seccompProfile: the profile's \"syscalls\" is not supported",
        ),
        (
            json!({ "securityContext": { "capabilities": { "add": ["ALL"] } } }),
            ".securityContext.capabilities.add: \"ALL\" is not supported",
        ),
        (
            json!({ "securityContext": { "runAsUser": -1 } }),
            ".securityContext.runAsUser: expected a number from 0 to 4294967295",
        ),
        (
            json!({ "image": "mcr.microsoft.com/aci/sc-proxy:1.0" }),
            ".image: a sidecar of the service is not supported",
        ),
        (json!({ "IMAGE": "twice" }), ".image: a key twice is not supported"),
        (json!({ "command": "sh" }), ".command: expected a list"),
        (
            json!({ "livenessProbe": { "exec": { "command": [] } } }),
            ".livenessProbe.exec.command: expected a command",
        ),
    ] {
        refuses(&group(container, json!({})), &format!("{web}{expected}"));
    }
    let properties = "resources[0].properties";
    for (more, expected) in [
        (json!({ "osType": "Windows" }), ".osType: \"Windows\" is not supported"),
        (json!({ "sku": "Standard" }), ".sku: \"Standard\" is not supported"),
        (json!({ "extensions": [] }), ".extensions: this is not supported"),
        (json!({ "containers": [] }), ".containers: expected at least one container"),
        (
            json!({ "confidentialComputeProperties": { "standaloneFragments": [] } }),
            ".confidentialComputeProperties.standaloneFragments: this is not supported",
        ),
    ] {
        refuses(&group(json!({}), more), &format!("{properties}{expected}"));
    }
    refuses(
        b"{\"resources\":[]}",
        "resources: a template with 0 container groups is not supported",
    );
}

#[test]
fn refuses_images_that_say_too_little_or_too_much() {
    let group = ArmGroup::parse(&group(json!({}), json!({})), None).unwrap();
    for (image, expected) in [
        (
            json!({}),
            "container \"web\" has no command, and neither has its image; that is not supported",
        ),
        (
            json!({ "Cmd": ["/x"], "Env": ["X"] }),
            "container \"web\": the image's variable \"X\" has no equals sign",
        ),
        (
            json!({ "Cmd": ["/x"], "StopSignal": "SIGRTMIN+3" }),
            "container \"web\": the image's stop signal \"SIGRTMIN+3\" is not supported",
        ),
        (
            json!({ "Cmd": ["/x"], "User": "u:" }),
            "container \"web\": the image's user \"u:\" is not supported",
        ),
    ] {
        let error = group.containers()[0].with_image(&config(image, 1), Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn fragments_are_read_in_the_reference_tools_format() {
    let list = |issuer: &str, feed: &str, svn: &str, include: &str| {
        let fragment = json!({
            "issuer": issuer, "feed": feed, "minimum_svn": svn, "includes": [include],
            "path": "./f.cose",
        });
        Fragment::parse_list(&serde_json::to_vec(&json!({ "fragments": [fragment] })).unwrap())
    };
    let issuer = "did:x509:0:sha256:abc::eku:1.2";
    let found = list(issuer, "r.azurecr.io/feed", "7", "containers").unwrap();
    let spec = tests::spec();
    let fragments = [vec![Fragment::infrastructure()], found.clone()].concat();
    let policy = GroupPolicy::with_fragments(Mode::Production, vec![spec], fragments).unwrap();
    assert_eq!(policy.fragments()[1], found[0]);
    assert_eq!(GroupPolicy::parse(&policy.render()).unwrap(), policy);
    assert!(policy.render().contains("\"feed\": \"r.azurecr.io/feed\""));
    for (result, expected) in [
        (list("abc", "f", "1", "containers"), "fragment \"f\": issuer \"abc\" is not a did:x509"),
        (list(issuer, "f", "x", "containers"), "fragment \"f\": minimum_svn \"x\" is not a number"),
        (list(issuer, "f", "1", "all"), "fragment \"f\": includes \"all\", which is not supported"),
        (list(issuer, "", "1", "containers"), "a fragment has no feed"),
    ] {
        assert_eq!(result.unwrap_err().to_string(), expected);
    }
}

/// The whole text, from a template and what an image of that configuration would say.
#[test]
fn corpus_derives_the_reference_tools_policy_from_a_template() {
    let name = "confidential-aci-examples/policy_attestation.rego";
    let test = "corpus_derives_the_reference_tools_policy_from_a_template";
    let Some(expected) = corpus(name, test) else { return };
    let reference = GroupPolicy::parse(&(expected.trim_end().to_owned() + "\n")).unwrap();
    let primary = &reference.containers()[0];
    let variables = primary.environment().iter().map(EnvironmentRule::pattern);
    let variables: Vec<_> = variables.take_while(|pattern| *pattern != "TERM=xterm").collect();
    assert_eq!(variables.len(), 7);
    let image = json!({
        "Cmd": ["python", "payload.py"], "WorkingDir": "/app", "Env": variables,
    });
    let name = "caciexamples.azurecr.io/attestation/primary:777f7003-b022-4057-bbb9-e821049af792";
    let mut template: Value =
        serde_json::from_slice(&group(json!({ "image": name }), json!({}))).unwrap();
    template["resources"][0]["properties"]["containers"][0]["name"] = json!("primary");
    let group = ArmGroup::parse(&serde_json::to_vec(&template).unwrap(), None).unwrap();
    let config = config(image, primary.layers().len());
    let spec = group.containers()[0].with_image(&config, primary.layers().to_vec()).unwrap();
    // The example is of a time when the tool asked for version 1 of the infrastructure.
    let fragment = Fragment { minimum_svn: "1".to_owned(), ..Fragment::infrastructure() };
    let policy = GroupPolicy::with_fragments(Mode::Production, vec![spec], vec![fragment]).unwrap();
    assert_eq!(policy.render().trim_end(), expected.trim_end());
}

#[test]
fn corpus_reads_a_users_template() {
    let name = "confidential-aci-examples/fragment-deployment.arm.json";
    let Some(template) = corpus(name, "corpus_reads_a_users_template") else { return };
    refuses(
        template.as_bytes(),
        "resources[0].properties.containers[0].properties.image: \
         parameter \"image\" has no value; give it in a parameters file",
    );
    let file = br#"{"parameters":{"image":{"value":"r.azurecr.io/payload@sha256:00"}}}"#;
    let group = ArmGroup::parse(template.as_bytes(), Some(file)).unwrap();
    let expected = Definition::new("workloadcontainer", "r.azurecr.io/payload@sha256:00");
    assert_eq!(group.containers(), [expected]);
}
