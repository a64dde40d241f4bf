//! `vouchsafe-agent`: starts an application with its secrets, or writes them to files.

mod offline;

use std::alloc::System;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::LazyLock;

use agent::config::{Kind, Roots, Target};
use agent::evidence_file::EvidenceVerb;
use agent::fault::{INSECURE_MACHINE, SECURITY_CONTEXT, chain};
use agent::hand_over::{self, Application};
use agent::{Config, Fault, Lists, Machine, Released, Surroundings, Trusted};
use attester::{Attester as _, Container, Vm};
use aws_lc_rs::rand::SystemRandom;
use clap::{Parser, Subcommand};
use evidence::{Binding, QuoteNonce, RevocationStatus};
use jiff::Timestamp;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use zeroizing_alloc::ZeroAlloc;

/// Proves the secret server, proves this workload to it, and hands the secrets over.
///
/// The application is started only with all its secrets. If anything is refused it is not started,
/// and standard error has the reason, or the server's code and request id.
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Fetch the secrets, then become COMMAND, with the secrets in its environment and in files.
    Run {
        #[command(flatten)]
        common: Common,
        /// The application and its arguments.
        #[arg(last = true, required = true, value_name = "COMMAND")]
        command: Vec<OsString>,
    },
    /// Fetch the secrets into files, and end.
    Fetch {
        #[command(flatten)]
        common: Common,
    },
    /// Look at a file of evidence, or verify it. Needs no configuration, and asks nobody.
    #[command(subcommand)]
    Evidence(EvidenceVerb),
    /// Verify the server and say what it proved; ask for nothing.
    Check {
        #[command(flatten)]
        common: Common,
    },
    /// Print the evidence of this container or virtual machine as JSON, bound to nothing: for `cargo xtask explain`, good for no server.
    Collect {
        #[command(flatten)]
        common: Common,
    },
    /// The exported audit log; needs no server.
    #[command(subcommand)]
    Audit(offline::AuditVerb),
    /// A copy of a store, opened by a quorum; needs no server.
    #[command(subcommand)]
    Recovery(offline::RecoveryVerb),
}

#[derive(Debug, clap::Args)]
struct Common {
    /// The agent's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// A revocation list of AMD (DER) for the server's processor, instead of asking AMD for it. May be given often.
    #[arg(long, value_name = "FILE")]
    crl: Vec<PathBuf>,
}

const AFTER_HELP: &str = "\
Exit status:
   0  done (`run` ends with the application's own)
   2  the command line
  10  the server is not the expected one
  11  the server refused this workload
  12  the server is unavailable, or its answer cannot be used
  13  the configuration, or the state file
  14  this machine gives no evidence
  15  a file cannot be written, or the application not started
  16  the audit log does not prove what it says
  17  the copy of the store does not open
  18  a file of evidence does not pass
  19  a file of evidence, or one beside it, is not what it should be

Environment:
  UVM_SECURITY_CONTEXT_DIR  the platform's files beside the evidence of a container
  VOUCHSAFE_INSECURE_MACHINE  a virtual machine of the local cloud; real ones need nothing
  VOUCHSAFE_LOG             what is logged to standard error, `info` for more";

/// Wipes all memory that is freed: what libraries copy on their way, too.
#[global_allocator]
static WIPING: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("VOUCHSAFE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            let remedy = fault.remedy();
            drop(writeln!(std::io::stderr(), "error: {}\ntry: {remedy}", chain(&fault)));
            ExitCode::from(fault.status().number())
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Fault> {
    // Nobody but root reads our memory, and it goes into no core file; the application's is its own affair.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|error| Fault::Start(error.into()))?;
    match arguments.verb {
        Verb::Run { common, command } => {
            let config = Config::load(&common.config).map_err(Fault::Config)?;
            let Some(application) = Application::parse(command) else { return Ok(()) };
            let released = fetch(&config, &common.crl)?;
            Err(hand_over::start(&application, config.deliveries(), released).into())
        }
        Verb::Fetch { common } => {
            let config = Config::load(&common.config).map_err(Fault::Config)?;
            for delivery in config.deliveries() {
                if let Target::Environment(variable) = &delivery.to {
                    return Err(Fault::NeedsRun { variable: variable.to_string() });
                }
            }
            hand_over::write_files(config.deliveries(), &fetch(&config, &common.crl)?)?;
            Ok(())
        }
        Verb::Evidence(verb) => {
            agent::evidence_file::run(verb, Timestamp::now(), &mut std::io::stdout().lock())?;
            Ok(())
        }
        Verb::Check { common } => {
            let config = Config::load(&common.config).map_err(Fault::Config)?;
            let lists = Lists::new(&common.crl, config.roots())?;
            let trusted = wait_for(agent::check(&config, surroundings(&lists)))?;
            describe(&config, &trusted).map_err(Fault::Start)
        }
        Verb::Collect { common } => {
            let config = Config::load(&common.config).map_err(Fault::Config)?;
            let json = collect(&config)?;
            writeln!(std::io::stdout(), "{json}").map_err(Fault::Start)
        }
        Verb::Audit(verb) => Ok(offline::audit(&verb)?),
        Verb::Recovery(verb) => wait_for(async { Ok(offline::recovery(verb).await?) }),
    }
}

fn fetch(config: &Config, crl: &[PathBuf]) -> Result<Released, Fault> {
    let lists = Lists::new(crl, config.roots())?;
    let released = match config.kind() {
        Kind::Container => {
            let container = container(config)?;
            let machine = Machine::Container(&container);
            wait_for(agent::fetch(config, machine, surroundings(&lists)))?
        }
        Kind::Vm => {
            let vm = vm(config)?;
            wait_for(agent::fetch(config, Machine::Vm(&vm), surroundings(&lists)))?
        }
    };
    tracing::info!(workload = released.workload(), "the server released the secrets");
    Ok(released)
}

fn container(config: &Config) -> Result<Container, Fault> {
    let context = std::env::var_os(SECURITY_CONTEXT).ok_or(Fault::NoSecurityContext)?;
    Container::new(Path::new(&context), config.roots().device()).map_err(Fault::Attester)
}

fn vm(config: &Config) -> Result<Vm, Fault> {
    let vm = match config.roots() {
        Roots::Real => Vm::new(),
        Roots::InsecureLocal { .. } => {
            let folder = std::env::var_os(INSECURE_MACHINE).ok_or(Fault::NoMachine)?;
            Vm::insecure_simulated(Path::new(&folder))
        }
    };
    vm.map_err(Fault::Attester)
}

/// Evidence that binds nothing, for a file.
fn collect(config: &Config) -> Result<String, Fault> {
    let json = match config.kind() {
        Kind::Vm => {
            let evidence = vm(config)?.evidence(&QuoteNonce::sha256(&[]));
            serde_json::to_string(&evidence.map_err(Fault::Attester)?)
        }
        Kind::Container => {
            let evidence = container(config)?.evidence(&Binding::new([0; 64]));
            serde_json::to_string(&evidence.map_err(Fault::Attester)?)
        }
    };
    json.map_err(|error| Fault::Start(error.into()))
}

/// The runtime is gone, with its threads and sockets, before the application starts.
fn wait_for<T>(work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Fault::Start)?
        .block_on(work)
}

fn surroundings(lists: &Lists) -> Surroundings<'_> {
    static RNG: LazyLock<SystemRandom> = LazyLock::new(SystemRandom::new);
    Surroundings { clock: &Timestamp::now, rng: &*RNG, lists }
}

fn describe(config: &Config, trusted: &Trusted) -> std::io::Result<()> {
    let server = trusted.server();
    let (report, statement) = (server.report(), server.statement());
    let mut out = std::io::stdout().lock();
    writeln!(out, "server       {}", config.server())?;
    writeln!(out, "deployment   {}", config.pins().deployment)?;
    writeln!(out, "host data    {}", report.host_data())?;
    writeln!(out, "measurement  {}", report.measurement())?;
    match report.hardware().revocation() {
        RevocationStatus::NotRevoked { until } => {
            writeln!(out, "revocation   not revoked, by a list until {until}")?;
        }
        RevocationStatus::Unknown(_) => writeln!(out, "revocation   unknown")?,
    }
    writeln!(out, "store        {}", statement.identity.id())?;
    writeln!(out, "head         {} {}", statement.head.n, statement.head.hash)?;
    writeln!(out, "serial       {}", statement.serial)?;
    writeln!(out, "revision     {}", statement.revision)
}
