//! Groups whose image is pushed, permitted and made through the real doors. The program is a script: this kernel runs it.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use evidence::Report;
use image::cce::{
    ContainerSpec, EnvironmentRule, GroupPolicy, Mode, Privileges, Required, UserRule,
};
use image::oci::{File, Image, Manifest, Spec, build};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::core::encoding::b64;
use crate::testing::Bench;

const SCRIPT: &str = "#!/bin/sh\necho \"hello $GREETING\"\necho \"context $UVM_SECURITY_CONTEXT_DIR\"\necho \"home ${HOME-unset}\"\n[ \"$1\" = wait ] && exec /bin/sleep 600\nexit 3\n";
const API: &str = "api-version=2025-09-01";

struct World {
    bench: Bench,
    reference: String,
    policy: String,
    identity: String,
}

fn image() -> Image {
    let file = File {
        path: "app",
        mode: 0o755,
        size: u64::try_from(SCRIPT.len()).unwrap(),
        contents: Box::new(SCRIPT.as_bytes()),
    };
    let spec = Spec {
        entrypoint: vec!["/app".to_owned()],
        environment: vec!["PATH=/".to_owned()],
        user: None,
        working_dir: "/".to_owned(),
        created: "2026-11-22T00:00:00Z".parse().unwrap(),
    };
    build(vec![file], &spec).unwrap()
}

/// A registry with the image, and an identity.
async fn world() -> World {
    let bench = Bench::new();
    let group = format!("{}/resourceGroups/g", bench.subscription());
    bench
        .arm("PUT", &format!("{group}?api-version=2021-04-01"), json!({ "location": "westeurope" }))
        .await;
    let registry = format!(
        "{group}/providers/Microsoft.ContainerRegistry/registries/images?api-version=2023-07-01"
    );
    bench
        .arm("PUT", &registry, json!({ "location": "westeurope", "sku": { "name": "Basic" } }))
        .await;
    let identity =
        format!("{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/server");
    bench
        .arm(
            "PUT",
            &format!("{identity}?api-version=2023-01-31"),
            json!({ "location": "westeurope" }),
        )
        .await;
    let image = image();
    let reference = bench.push("images", "app/server", &image).await;
    let pulled = crate::registry::pull(&bench.cloud, &reference, Some(bench.admin)).unwrap();
    let measured =
        image::oci::measure(Manifest::parse(pulled.manifest(), None).unwrap(), &pulled).unwrap();
    let container = ContainerSpec {
        name: "server".to_owned(),
        image: reference.clone(),
        layers: measured.root_hashes(),
        command: vec!["/app".to_owned(), "wait".to_owned()],
        environment: vec![
            EnvironmentRule::literal("PATH=/", Required::Yes),
            EnvironmentRule::exactly("GREETING", "world", Required::Yes),
        ],
        volumes: Vec::new(),
        user: UserRule::any(),
        working_dir: "/".to_owned(),
        privileges: Privileges::Default,
        exec_processes: Vec::new(),
        signals: Vec::new(),
    };
    let policy = GroupPolicy::new(Mode::Production, vec![container]).unwrap().render();
    World { bench, reference, policy, identity }
}

impl World {
    fn url(&self, rest: &str) -> String {
        format!(
            "{}/resourceGroups/g/providers/Microsoft.ContainerInstance/containerGroups/server{rest}?{API}",
            self.bench.subscription()
        )
    }

    fn key(&self) -> String {
        self.url("").split('?').next().unwrap().to_ascii_lowercase()
    }

    async fn permit(&self) {
        let principal = self
            .bench
            .cloud
            .inventory
            .read(|facts| facts.identities[&self.identity.to_ascii_lowercase()].principal_id);
        self.bench.give(principal, "7f951dda-4ed3-4680-a7ca-43fe172d538d").await;
    }

    fn body(&self) -> Value {
        json!({
            "location": "westeurope",
            "identity": { "type": "UserAssigned", "userAssignedIdentities": { &self.identity: {} } },
            "properties": {
                "sku": "Confidential", "osType": "Linux", "restartPolicy": "Never",
                "confidentialComputeProperties": { "ccePolicy": b64(&self.policy) },
                "imageRegistryCredentials": [{ "server": "images.azurecr.io", "identity": self.identity }],
                "ipAddress": { "type": "Public", "ports": [{ "protocol": "TCP", "port": 8200 }] },
                "containers": [{ "name": "server", "properties": {
                    "image": self.reference, "command": ["/app", "wait"],
                    "environmentVariables": [{ "name": "GREETING", "secureValue": "world" }],
                    "resources": { "requests": { "cpu": 1, "memoryInGB": 1.5 } },
                } }],
            },
        })
    }

    async fn put(&self, body: Value) -> (u16, Value) {
        self.bench.arm("PUT", &self.url(""), body).await
    }

    async fn logs(&self) -> String {
        let (_, logs) =
            self.bench.arm("GET", &self.url("/containers/server/logs"), Value::Null).await;
        logs["content"].as_str().unwrap_or_default().to_owned()
    }

    /// The process of the container, as soon as it has said its three lines.
    async fn process(&self) -> u32 {
        for _ in 0..500 {
            let process = self.bench.cloud.aci.slot(&self.key()).and_then(|slot| {
                slot.look(|status| match status.containers["server"].phase {
                    view::Phase::Running { process, .. } => Some(process),
                    view::Phase::Waiting(_) | view::Phase::Terminated { .. } => None,
                })
            });
            if let (Some(process), 3) = (process, self.logs().await.lines().count()) {
                return process;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the container does not run: {:?}", view(&self.bench.cloud, &self.key()));
    }

    async fn gone(&self, process: u32) {
        self.bench.cloud.aci.slot(&self.key()).unwrap().ended().await;
        assert!(
            !Path::new(&format!("/proc/{process}")).exists(),
            "process {process} is still there"
        );
    }
}

#[tokio::test]
async fn runs_what_the_policy_permits_with_a_device_that_says_so() {
    let world = world().await;
    world.permit().await;
    let (status, shown) = world.put(world.body()).await;
    assert_eq!(
        (status, &shown["properties"]["provisioningState"]),
        (200, &json!("Succeeded")),
        "{shown}"
    );
    let text = shown.to_string();
    assert!(!text.contains("secureValue") && !text.contains("world"), "{text}");
    assert_eq!(
        shown["properties"]["confidentialComputeProperties"]["ccePolicy"],
        b64(&world.policy)
    );
    let process = world.process().await;
    let logs = world.logs().await;
    assert!(logs.contains("hello world\n") && logs.contains("home unset\n"), "{logs}");
    assert_eq!(world.bench.cloud.inventory.read(|facts| facts.running_identities().len()), 1);
    let context =
        logs.lines().find_map(|line| line.strip_prefix("context ")).map(PathBuf::from).unwrap();
    assert_eq!(
        std::fs::read_to_string(context.join("security-policy-base64")).unwrap(),
        b64(&world.policy)
    );
    let report = crate::device::ask(&context, [9; 64]).await;
    let report = Report::parse(&report).unwrap();
    assert_eq!(&report.host_data.as_bytes()[..], digest(&SHA256, world.policy.as_bytes()).as_ref());

    let (_, shown) = world.bench.arm("GET", &world.url(""), Value::Null).await;
    assert_eq!(shown["properties"]["instanceView"]["state"], "Running");
    assert_eq!(
        shown["properties"]["containers"][0]["properties"]["instanceView"]["currentState"]["state"],
        "Running"
    );
    assert_eq!(world.bench.arm("POST", &world.url("/stop"), Value::Null).await.0, 204);
    world.gone(process).await;
    assert!(!context.exists(), "the security context goes with the group");
    assert_eq!(world.bench.cloud.inventory.read(|facts| facts.running_identities().len()), 0);
    assert_eq!(world.bench.arm("POST", &world.url("/start"), Value::Null).await.0, 204);
    let process = world.process().await;
    assert_eq!(world.bench.arm("DELETE", &world.url(""), Value::Null).await.0, 204);
    world.gone(process).await;
    assert_eq!(world.bench.arm("GET", &world.url(""), Value::Null).await.0, 404);
}

#[tokio::test]
async fn runs_again_when_the_cloud_is_started_again() {
    let mut world = world().await;
    world.permit().await;
    world.put(world.body()).await;
    let process = world.process().await;
    stop_all(&world.bench.cloud).await;
    world.gone(process).await;
    world.bench = world.bench.reopen();
    resume(&world.bench.cloud).await;
    let process = world.process().await;
    let (status, _) = world.put(world.body()).await;
    assert_eq!((status, world.process().await), (200, process), "the same body changes nothing");
    stop_all(&world.bench.cloud).await;
}

#[tokio::test]
async fn refuses_to_start_what_the_policy_or_the_registry_does_not_permit() {
    let world = world().await;
    let failed = async |body: Value| {
        let (_, shown) = world.put(body).await;
        let found = shown["error"]["code"].as_str().unwrap_or("none").to_owned();
        let message = shown["error"]["message"].as_str().unwrap_or_default().to_owned();
        world.bench.arm("DELETE", &world.url(""), Value::Null).await;
        (found, message)
    };
    assert_eq!(failed(world.body()).await.0, "InaccessibleImage", "no AcrPull");
    world.permit().await;
    let mut body = world.body();
    body["properties"]["containers"][0]["properties"]["command"] = json!(["/app", "other"]);
    let (code, message) = failed(body).await;
    assert_eq!(code, "ContainerStartFailure");
    assert!(
        message.contains("command differs") && message.contains("policyDecision< "),
        "{message}"
    );
    let mut body = world.body();
    body["properties"]["containers"][0]["properties"]["environmentVariables"][0]["secureValue"] =
        json!("moon");
    let (code, message) = failed(body).await;
    assert!(
        code == "ContainerStartFailure"
            && message.contains("environment differs")
            && !message.contains("moon"),
        "{message}"
    );
    let mut body = world.body();
    body["properties"]["confidentialComputeProperties"]["ccePolicy"] =
        json!(b64("package policy\nallow := true\n"));
    assert_eq!(failed(body).await.0, "UnsupportedCcePolicy");
    let mut body = world.body();
    body["properties"]["imageRegistryCredentials"] = json!([]);
    assert_eq!(failed(body).await.0, "InaccessibleImage", "no identity for the registry");
}

#[tokio::test]
async fn another_image_has_other_layers() {
    let mut world = world().await;
    world.permit().await;
    let script = "#!/bin/sh\necho other\n";
    let file = File {
        path: "app",
        mode: 0o755,
        size: u64::try_from(script.len()).unwrap(),
        contents: Box::new(script.as_bytes()),
    };
    let spec = Spec {
        entrypoint: vec!["/app".to_owned()],
        environment: vec!["PATH=/".to_owned()],
        user: None,
        working_dir: "/".to_owned(),
        created: "2026-11-22T00:00:00Z".parse().unwrap(),
    };
    world.reference =
        world.bench.push("images", "app/server", &build(vec![file], &spec).unwrap()).await;
    let (_, shown) = world.put(world.body()).await;
    assert!(shown["error"]["message"].as_str().unwrap().contains("layers differ"), "{shown}");
}

#[tokio::test]
async fn the_body_is_judged_before_anything_is_made() {
    let world = world().await;
    let refused = async |path: &str, value: Value| {
        let mut body = world.body();
        *body.pointer_mut(path).unwrap() = value;
        let (status, shown) = world.put(body).await;
        assert!(status == 400 || status == 403, "{path}: {shown}");
    };
    refused("/properties/sku", json!("Standard")).await;
    refused("/properties/osType", json!("Windows")).await;
    refused("/properties/confidentialComputeProperties/ccePolicy", json!("%")).await;
    refused("/properties/imageRegistryCredentials/0/identity", json!("/other")).await;
    refused("/identity/userAssignedIdentities", json!({ "/other": {} })).await;
    refused(
        "/properties/containers/0/properties/resources/requests",
        json!({ "cpu": 0, "memoryInGB": 1 }),
    )
    .await;
    refused("/properties/containers/0/name", json!("Server")).await;
    refused("/properties/containers", json!([])).await;
    assert_eq!(world.bench.arm("GET", &world.url(""), Value::Null).await.0, 404);
    let contributor = Uuid::from_u128(4);
    let url = world.url("");
    let body = world.body();
    let (status, shown, _) = world.bench.arm_as(contributor, "PUT", &url, body).await;
    assert_eq!((status, shown["error"]["code"].as_str()), (403, Some("AuthorizationFailed")));
}

#[tokio::test]
async fn ended_containers_are_started_again_as_the_policy_of_the_group_says() {
    let mut world = world().await;
    world.permit().await;
    world.policy = world.policy.replace("\"wait\"", "\"leave\"");
    let mut body = world.body();
    body["properties"]["containers"][0]["properties"]["command"] = json!(["/app", "leave"]);
    world.put(body.clone()).await;
    world.bench.cloud.aci.slot(&world.key()).unwrap().ended().await;
    let (_, shown) = world.bench.arm("GET", &world.url(""), Value::Null).await;
    let view = &shown["properties"]["containers"][0]["properties"]["instanceView"];
    assert_eq!((&view["currentState"]["exitCode"], &view["restartCount"]), (&json!(3), &json!(0)));
    assert_eq!(shown["properties"]["instanceView"]["state"], "Failed");
    body["properties"]["restartPolicy"] = json!("OnFailure");
    assert_eq!(world.put(body.clone()).await.1["error"]["code"], "InvalidContainerGroupUpdate");
    world.bench.arm("DELETE", &world.url(""), Value::Null).await;
    world.put(body).await;
    for _ in 0..500 {
        let (_, shown) = world.bench.arm("GET", &world.url(""), Value::Null).await;
        let restarts =
            shown["properties"]["containers"][0]["properties"]["instanceView"]["restartCount"]
                .as_u64();
        if restarts.is_some_and(|restarts| restarts >= 2) {
            stop_all(&world.bench.cloud).await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not started again");
}

#[tokio::test]
async fn an_enclave_has_the_device_that_was_asked_for() {
    let bench = Bench::new();
    let wanted = enclave::Wanted { vmpl: 2, ..enclave::Wanted::new([5; 32]) };
    let (id, directory) = enclave::create(&bench.cloud, wanted.machine().unwrap()).unwrap();
    assert!(directory.as_os_str().len() < 80, "a socket's name has 108 bytes at most");
    let report = Report::parse(&crate::device::ask(&directory, [1; 64]).await).unwrap();
    assert_eq!((report.host_data.as_bytes(), report.vmpl), (&[5; 32], 2));
    assert_eq!(bench.cloud.faults.counts()["device.report"].ok, 1);
    assert!(!directory.join("security-policy-base64").exists());
    enclave::remove(&bench.cloud, id).unwrap();
    assert!(!directory.exists());
    assert!(enclave::remove(&bench.cloud, id).is_err());
}

#[tokio::test]
async fn the_control_host_makes_and_removes_enclaves() {
    let bench = Bench::new();
    let bearer = format!("Bearer {}", bench.cloud.control_token);
    let auth = [("authorization", bearer.as_str())];
    let body =
        json!({ "host_data": "05".repeat(32), "debug": true, "tcb": { "snp": 1 } }).to_string();
    let made = bench.send("POST", "https://control.local/enclaves", &auth, body).await;
    assert_eq!(made.status, 201);
    let made: Value = serde_json::from_slice(&made.body).unwrap();
    let directory = PathBuf::from(made["directory"].as_str().unwrap());
    let report = Report::parse(&crate::device::ask(&directory, [1; 64]).await).unwrap();
    assert!(report.policy.allows_debug());
    let url = format!("https://control.local/enclaves/{}", made["id"].as_str().unwrap());
    assert_eq!(bench.send("DELETE", &url, &auth, "").await.status, 204);
    assert_eq!(bench.send("DELETE", &url, &auth, "").await.status, 404);
    let bad =
        bench.send("POST", "https://control.local/enclaves", &auth, "{\"host_data\":\"00\"}").await;
    assert_eq!(bad.status, 400);
}
