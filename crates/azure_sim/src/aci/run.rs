//! The life of a group: prepared once, its processes watched and started again as its restart policy says, until it is told to stop.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::Child;

use super::group::{Group, Restart};
use super::prepare::{self, Ready, Unfit};
use super::process::{Signal, Start, signal, spawn};
use super::slot::Slot;
use super::view::{Event, Phase, Provisioning};
use crate::core::Cloud;
use crate::device::{Machine, folder, plug_in};

/// Run a group to its end. What ran under its name before ends first.
pub(super) async fn run(
    cloud: Arc<Cloud>,
    group: Group,
    slot: Arc<Slot>,
    before: Option<Arc<Slot>>,
) {
    if let Some(before) = before {
        before.ended().await;
    }
    if !slot.stopping() {
        tracing::info!(group = group.name, "container group: starting");
        match start(&cloud, &group, &slot).await {
            Ok((root, device, ready)) => {
                slot.change(|status| status.provisioning = Provisioning::Succeeded);
                let watched = ready.iter().map(|container| watch(&cloud, &group, container, &slot));
                futures::future::join_all(watched).await;
                drop(device);
                if let Err(error) = std::fs::remove_dir_all(&root) {
                    tracing::warn!(group = group.name, %error, "removing a group's folder");
                }
            }
            Err(unfit) => {
                tracing::warn!(
                    group = group.name,
                    code = unfit.code,
                    message = unfit.message,
                    "container group: refused"
                );
                slot.change(|status| status.fail(cloud.now(), &unfit));
            }
        }
    }
    slot.end();
}

/// 1. policy; 2. pause container; 3. of each container image, layers, policy; 4. device and security context.
async fn start(
    cloud: &Arc<Cloud>,
    group: &Group,
    slot: &Arc<Slot>,
) -> Result<(PathBuf, crate::device::Device, Vec<Ready>), Unfit> {
    slot.change(|status| status.provisioning = Provisioning::Creating);
    let unfit = |cause: std::io::Error| {
        Unfit::new(
            "InternalError",
            format!("the local cloud could not make the group's folder: {cause}"),
        )
    };
    let root = folder(cloud.directory(), &group.key).map_err(unfit)?;
    let context = root.join("security-context");
    let outcome = {
        let (cloud, group, slot, root, context) =
            (Arc::clone(cloud), group.clone(), Arc::clone(slot), root.clone(), context.clone());
        let prepared = tokio::task::spawn_blocking(move || {
            prepare_all(&cloud, &group, &slot, &root, &context)
        })
        .await;
        prepared
            .unwrap_or_else(|_| Err(Unfit::new("InternalError", "preparing the group ended early")))
    };
    let plugged = outcome.and_then(|(host_data, ready)| {
        let machine = Machine::new("local cloud", host_data);
        plug_in(&context, machine, Some(&group.policy_base64), Some(Arc::clone(cloud)))
            .map_err(unfit)
            .map(|device| (device, ready))
    });
    match plugged {
        Ok((device, ready)) => Ok((root, device, ready)),
        Err(unfit) => {
            if let Err(error) = std::fs::remove_dir_all(&root) {
                tracing::warn!(group = group.name, %error, "removing a group's folder");
            }
            Err(unfit)
        }
    }
}

fn prepare_all(
    cloud: &Cloud,
    group: &Group,
    slot: &Slot,
    root: &std::path::Path,
    context: &std::path::Path,
) -> Result<([u8; 32], Vec<Ready>), Unfit> {
    let (policy, host_data) = prepare::policy(group)?;
    prepare::pause(&policy)?;
    let mut all = Vec::new();
    for container in &group.containers {
        let tell = |event: Event| slot.record(&container.name, |record| record.events.push(event));
        tell(Event::normal(
            cloud.now(),
            "Pulling",
            format!("pulling image \"{}\"", container.image),
        ));
        let pulled = prepare::pull(cloud, group, container)?;
        let image =
            cloud.aci.measured(pulled.digest(), || prepare::measured(container, &pulled))?;
        tell(Event::normal(
            cloud.now(),
            "Pulled",
            format!("Successfully pulled image \"{}\"", container.image),
        ));
        let started = prepare::enforce(&policy, container, &image)?;
        let mut ready =
            prepare::place(container, &pulled, &image, &started, &root.join(&container.name))?;
        // The guest sets it after the policy was asked (azure.md D.1).
        ready
            .environment
            .push(("UVM_SECURITY_CONTEXT_DIR".to_owned(), context.display().to_string()));
        all.push(ready);
    }
    Ok((host_data, all))
}

/// Keep one container's process as the restart policy says.
async fn watch(cloud: &Arc<Cloud>, group: &Group, container: &Ready, slot: &Arc<Slot>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let began = std::time::Instant::now();
        let succeeded = match one_life(cloud, group, container, slot).await {
            Ok(status) => status.success(),
            Err(error) => {
                let message = format!("the command could not be started: {error}");
                tracing::warn!(group = group.name, container = container.name, %error, "container: not started");
                slot.record(&container.name, |record| {
                    record.events.push(Event::warning(cloud.now(), "Failed", message));
                    let now = cloud.now();
                    record.phase = Phase::Terminated { since: now, until: now, exit_code: 128 };
                });
                false
            }
        };
        let again = match group.restart {
            Restart::Always => true,
            Restart::OnFailure => !succeeded,
            Restart::Never => false,
        };
        if !again || slot.stopping() {
            return;
        }
        if began.elapsed() > SETTLED {
            pause = FIRST_PAUSE;
        }
        tokio::select! {
            () = slot.stop_asked() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        slot.record(&container.name, |record| {
            record.previous =
                Some(std::mem::replace(&mut record.phase, Phase::Waiting("CrashLoopBackOff")));
            record.restarts = record.restarts.saturating_add(1);
        });
    }
}

async fn one_life(
    cloud: &Arc<Cloud>,
    group: &Group,
    container: &Ready,
    slot: &Arc<Slot>,
) -> std::io::Result<ExitStatus> {
    let start = Start {
        program: &container.program,
        arguments: &container.arguments,
        environment: &container.environment,
        directory: &container.directory,
    };
    let mut child = spawn(&start).await?;
    let process = child.id().unwrap_or_default();
    let since = cloud.now();
    slot.record(&container.name, |record| {
        record.events.push(Event::normal(since, "Started", "Started container"));
        record.phase = Phase::Running { since, process };
    });
    let written = (
        follow(cloud, slot, group, &container.name, child.stdout.take()),
        follow(cloud, slot, group, &container.name, child.stderr.take()),
    );
    let (status, (), ()) = tokio::join!(end(&mut child, process, slot), written.0, written.1);
    let status = status?;
    // Whatever the container left running goes with it.
    signal(process, Signal::Kill);
    let exit_code = status.code().unwrap_or_else(|| {
        128_i32.saturating_add(std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or(0))
    });
    tracing::info!(group = group.name, container = container.name, exit_code, "container: ended");
    slot.record(&container.name, |record| {
        record.phase = Phase::Terminated { since, until: cloud.now(), exit_code };
    });
    Ok(status)
}

/// Wait for the end; when the group is to stop, ask for it and then force it.
async fn end(child: &mut Child, process: u32, slot: &Slot) -> std::io::Result<ExitStatus> {
    tokio::select! {
        status = child.wait() => return status,
        () = slot.stop_asked() => {}
    }
    signal(process, Signal::Terminate);
    if let Ok(status) = tokio::time::timeout(GRACE, child.wait()).await {
        return status;
    }
    signal(process, Signal::Kill);
    child.wait().await
}

/// Copy what a process writes into its log, line by line.
async fn follow(
    cloud: &Arc<Cloud>,
    slot: &Slot,
    group: &Group,
    container: &str,
    pipe: Option<impl AsyncRead + Unpin>,
) {
    let Some(pipe) = pipe else { return };
    let mut reader = BufReader::new(pipe);
    loop {
        let mut line = Vec::new();
        match (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let line = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned();
                tracing::info!(target: "container", group = group.name, container, "{line}");
                slot.record(container, |record| record.log.add(cloud.now(), line));
            }
        }
    }
}

/// How long a process has between being asked and being forced to end; the service gives 30 seconds.
const GRACE: Duration = Duration::from_secs(5);
/// Pauses before a restart, doubled each time; the service's go up to five minutes.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const SETTLED: Duration = Duration::from_secs(30);
const LONGEST_LINE: u64 = 64 << 10;
