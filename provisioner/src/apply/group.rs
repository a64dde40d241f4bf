//! Waiting for the server, which is believed only once it has proved itself; and the lock, which is written from that.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use azure::arm::ApiVersion;
use evidence::Sha256;
use infra::{Kind, Rendered, ServerGroup};
use jiff::Timestamp;
use manifest::Place;
use protocol::server_evidence::{Expectation, ServerRefused, VerifiedServer};
use serde_json::Value;

use super::{Applying, is_confirmed};
use crate::cloud::Cloud;
use crate::deployment::Deployment;
use crate::failure::Failure;
use crate::inventory::reading::{fetch, id};
use crate::lock::{self, Lock};
use crate::progress::Step;
use crate::record::Record;
use crate::revocation::Lists;
use crate::server::{self, Health, Proven, ServerError};
use crate::{state, tls};

impl Applying<'_> {
    /// Waits until a server proves itself under the bundle and manifest in force, and is as is asked.
    pub(super) async fn wait_for(
        &self,
        step: &Step,
        good: impl Fn(&VerifiedServer) -> bool,
    ) -> Result<Proven, Failure> {
        let serial = self.bundle.as_ref().map_or(0, |bundle| bundle.serial);
        let expect = expectation(self.deployment, self.intent.rendered, serial);
        wait(self.deployment, self.cloud, self.intent.rendered, &expect, self.clock, step, good)
            .await
    }

    /// Waits until the server has proved itself and serves.
    pub(super) async fn await_serving(&self) -> Result<(), Failure> {
        let step = self.progress.step("verify the server");
        let mut proven = self.wait_for(&step, is_confirmed).await?;
        serving(&mut proven, &step).await?;
        step.done();
        Ok(())
    }

    pub(super) async fn write_lock(&mut self, step: &Step) -> Result<(), Failure> {
        let mut proven = self.wait_for(step, is_confirmed).await?;
        serving(&mut proven, step).await?;
        let certificate = proven.chain().first().map(|der| Sha256::of(der));
        let certificate = certificate.unwrap_or_else(|| Sha256::of(b""));
        let chain = tls::chain_pem(&proven.chain());
        let server = proven.server.into_server();
        let body = server.bundle().body();
        let rendered = self.intent.rendered;
        let written = Lock {
            version: 1,
            deployment: self.deployment.name().to_owned(),
            revision: server.statement().revision,
            manifest_sha256: server.manifest().digest(),
            serial: body.serial,
            server: lock::Server {
                image: rendered.group.image().to_owned(),
                host_data: *server.report().host_data(),
                attestation_policy: rendered.attestation.hash().as_str().to_owned(),
            },
            master_key: lock::MasterKey {
                name: body.master_key.name.clone(),
                version: body.master_key.version.clone(),
                public_key_sha256: body.master_key.public_key.sha256(),
            },
            store: lock::Store {
                identity: server.statement().identity.id(),
                public_key: server.statement().identity.public_key.clone(),
            },
            tls: lock::Tls { certificate_sha256: certificate },
        };
        state::write(&self.deployment.tls_chain_path(), &chain, 0o644)?;
        written.write(&self.deployment.lock_path())?;
        // The signed bundle and the lock say everything now.
        self.record.key = None;
        self.record.artefacts = None;
        Record::remove(&self.deployment.state)
    }
}

/// What the server must prove, at least.
pub(crate) fn expectation(
    deployment: &Deployment,
    rendered: &Rendered,
    serial: u64,
) -> Expectation {
    Expectation {
        deployment: deployment.name().to_owned(),
        signers: rendered.trust_root.signers().clone(),
        anchors: deployment.manifest.anchors(),
        // Whose list is needed is known once the server has shown its certificates.
        revocation_lists: Vec::new(),
        minimum_revision: deployment.manifest.deployment().revision,
        minimum_serial: serial,
    }
}

/// Connects to the server and makes it prove itself.
///
/// # Errors
/// It does not answer, or is another.
pub(crate) async fn prove(
    address: SocketAddr,
    expect: &Expectation,
    lists: &Lists,
    now: Timestamp,
) -> Result<Proven, ServerError> {
    server::prove(address, expect, lists, now, &SystemRandom::new()).await
}

/// Tries until a server proves itself and is as is asked.
///
/// # Errors
/// It is another server, or the time is over; then what the container says is shown.
pub(crate) async fn wait(
    deployment: &Deployment,
    cloud: &Cloud,
    rendered: &Rendered,
    expect: &Expectation,
    clock: fn() -> Timestamp,
    step: &Step,
    good: impl Fn(&VerifiedServer) -> bool,
) -> Result<Proven, Failure> {
    let began = tokio::time::Instant::now();
    let patience = match deployment.manifest.azure().place() {
        Place::Public => PATIENCE,
        Place::InsecureLocal(_) => LOCAL_PATIENCE,
    };
    let mut last: Option<ServerError> = None;
    while began.elapsed() < patience {
        match address(deployment, cloud, rendered).await? {
            None => step.note("waiting for an address"),
            Some(address) => {
                match prove(address, expect, &cloud.lists, clock()).await {
                    Ok(proven) if good(&proven.server) => {
                        if let Some(why) = proven.unknown_revocation() {
                            step.note(&format!("{UNKNOWN}: {why}"));
                        }
                        return Ok(proven);
                    }
                    Ok(_) => step.note("waiting until the server has read the signed bundle"),
                    // What it has yet to read is no reason to give up; anything else is another server.
                    Err(ServerError::Refused(ServerRefused::Old { what, found, minimum })) => {
                        step.note(&format!("waiting for {what} {minimum}, it has {found}"));
                        last =
                            Some(ServerError::Refused(ServerRefused::Old { what, found, minimum }));
                    }
                    Err(error @ ServerError::NoList(_)) => {
                        return Err(Failure::of(
                            "verifying the server's evidence",
                            error,
                            "permit connections to kdsintf.amd.com, or give a list with --crl",
                        ));
                    }
                    Err(error) if error.may_pass() => {
                        step.note("waiting for the server to answer");
                        last = Some(error);
                    }
                    Err(error) => {
                        return Err(Failure::of(
                            "verifying the server's evidence",
                            error,
                            "this is not the deployment's server: find out what runs in the container group",
                        ));
                    }
                }
            }
        }
        tokio::time::sleep(POLL).await;
    }
    let logs = logs(cloud, rendered).await;
    let doing = format!("waiting for the server, {} s{logs}", patience.as_secs());
    let remedy = "read the server's log above; running again goes on from here";
    Err(match last {
        Some(error) => Failure::of(doing, error, remedy),
        None => Failure::new(doing, remedy),
    })
}

/// Waits until the proven server answers that it serves.
async fn serving(proven: &mut Proven, step: &Step) -> Result<(), Failure> {
    for _ in 0..120 {
        let remedy = "run again";
        let health = proven.health().await;
        match health
            .map_err(|error| Failure::of("asking for the server's health", error, remedy))?
        {
            Health::Serving => return Ok(()),
            Health::Not { status } => {
                step.note(&format!("waiting until it serves; its health is {status}"));
            }
        }
        tokio::time::sleep(POLL).await;
    }
    Err(Failure::new(
        "the server has proved itself and does not serve",
        "read its log, then run again",
    ))
}

/// Where the server answers.
///
/// # Errors
/// Azure does not say, or says nonsense.
pub(crate) async fn address(
    deployment: &Deployment,
    cloud: &Cloud,
    rendered: &Rendered,
) -> Result<Option<SocketAddr>, Failure> {
    match deployment.manifest.azure().place() {
        Place::InsecureLocal(local) => {
            Ok(Some(SocketAddr::new(IpAddr::V4(local.address), SERVER_PORT)))
        }
        Place::Public => {
            let Some(body) = fetch(cloud, &rendered.resources.group).await? else {
                return Ok(None);
            };
            let ip = body.pointer("/properties/ipAddress/ip").and_then(Value::as_str);
            let ip = ip.and_then(|ip| ip.parse::<IpAddr>().ok());
            Ok(ip.map(|ip| SocketAddr::new(ip, SERVER_PORT)))
        }
    }
}

/// The end of the server's log, which the host sees anyway; empty if there is none.
async fn logs(cloud: &Cloud, rendered: &Rendered) -> String {
    let group = rendered.resources.group.id();
    let container = ServerGroup::CONTAINER;
    let Ok(path) = id(&format!("{group}/containers/{container}/logs")) else {
        return String::new();
    };
    let version = ApiVersion(Kind::ContainerGroup.api_version());
    let Ok(answer) = cloud.arm.get(&path, version).await else { return String::new() };
    let text = answer.get("content").and_then(Value::as_str).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(20).collect();
    let mut out = String::new();
    for line in lines.iter().rev() {
        out.push_str("\n    | ");
        out.extend(line.chars().filter(|c| !c.is_control()).take(400));
    }
    out
}

const UNKNOWN: &str = "whether the server's processor is revoked is unknown";
const SERVER_PORT: u16 = 8200;
const POLL: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(15 * 60);
const LOCAL_PATIENCE: Duration = Duration::from_secs(90);
