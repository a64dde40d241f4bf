//! `vouchsafe-azure-sim run`: runs the local cloud in the foreground until it is told to stop.
//! `vouchsafe-azure-sim enclave`: runs a command as a simulated workload.
//!
//! When every listener is up, standard output carries one line and the state directory has the file `pid`; the log goes to standard error.

use std::io::{IsTerminal as _, Write as _};
use std::net::IpAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use azure_sim::core::cloud::{SUBSCRIPTION, TENANT};
use azure_sim::core::store::write_atomically;
use azure_sim::core::{Cloud, Settings, server};
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

/// The Azure services that Vouchsafe uses, on loopback, over a forged root. For tests and laptops; nothing here is secret.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until told to stop.
    Run(Run),
    /// Run a command as a simulated workload, with a device of its own.
    Enclave(azure_sim::aci::command::Workload),
}

#[derive(clap::Args)]
struct Run {
    /// Loopback address to listen on (ports 8443, 8444 and 8480).
    #[arg(long, default_value = "127.0.0.1")]
    address: IpAddr,
    /// Directory that keeps the state; made if absent.
    #[arg(long)]
    state: PathBuf,
    /// The tenant's id.
    #[arg(long, default_value_t = TENANT)]
    tenant: Uuid,
    /// The subscription's id.
    #[arg(long, default_value_t = SUBSCRIPTION)]
    subscription: Uuid,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("VOUCHSAFE_LOG")
                .unwrap_or_else(|_| "info".into()),
        )
        // A log that goes to a file has no colours.
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    match Arguments::parse().command {
        Command::Run(arguments) => run(arguments).await.map(|()| ExitCode::SUCCESS),
        Command::Enclave(workload) => {
            let status = azure_sim::aci::command::run(workload).await?;
            // As a shell has it: 128 and the signal's number.
            let code = status.code().or_else(|| Some(128_i32.saturating_add(status.signal()?)));
            Ok(code
                .and_then(|code| u8::try_from(code).ok())
                .map_or(ExitCode::FAILURE, ExitCode::from))
        }
    }
}

async fn run(arguments: Run) -> anyhow::Result<()> {
    anyhow::ensure!(
        arguments.address.is_loopback(),
        "{} is not a loopback address",
        arguments.address
    );
    let mut settings = Settings::new(arguments.address, arguments.state);
    settings.tenant = arguments.tenant;
    settings.subscription = arguments.subscription;
    let cloud = Cloud::open(settings).context("opening the local cloud")?;
    let addresses = server::start(&cloud).await.context("listening")?;
    azure_sim::aci::resume(&cloud).await;
    let pid_file = cloud.directory().join("pid");
    write_atomically(&pid_file, std::process::id().to_string().as_bytes())
        .with_context(|| format!("writing {}", pid_file.display()))?;
    let ready = serde_json::json!({
        "ready": true,
        "cloud": addresses.cloud.to_string(),
        "imds": addresses.imds.to_string(),
        "proxy": addresses.proxy.to_string(),
        "pid": std::process::id(),
    });
    // Whoever started us may have gone; the cloud serves all the same.
    let _ = writeln!(std::io::stdout(), "{ready}").is_ok();
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        () = cloud.stopped() => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    cloud.shut_down();
    azure_sim::aci::stop_all(&cloud).await;
    tokio::time::sleep(server::LINGER).await;
    Ok(())
}
