//! The verbs that need no server.

use std::{
    io::{BufRead as _, Write as _},
    path::PathBuf,
};

use agent::{
    audit::{self, AuditError},
    recovery::{Copy, RecoveryFault, identity_file},
};
use clap::Subcommand;
use store::{IdentityId, Key, Meeting, Recipient};

#[derive(Debug, Subcommand)]
pub(crate) enum AuditVerb {
    /// Verify documents of `GET /vouchsafe/v1/audit` that follow each other, and say what they prove.
    Verify {
        /// The store's identity, as the deployment's lock has it.
        #[arg(long, value_name = "SHA256")]
        store: IdentityId,
        /// An earlier signed checkpoint that the log has to continue.
        #[arg(long, value_name = "FILE")]
        since: Option<PathBuf>,
        /// Print the records, one a line.
        #[arg(long)]
        print: bool,
        /// The documents, in order.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RecoveryVerb {
    /// Open a copy with the shares of holders who are here, and of those who seal theirs to this process.
    Open {
        /// The folder of the copy.
        #[arg(long, value_name = "FOLDER")]
        objects: PathBuf,
        /// The age identity file of a holder who is here; may be given often.
        #[arg(long, value_name = "FILE")]
        identity: Vec<PathBuf>,
        /// Show a recipient for the other holders, and read their contributions from standard input, one a line.
        #[arg(long)]
        meeting: bool,
        /// Open the copy as it was at this commit.
        #[arg(long, value_name = "N")]
        until: Option<u64>,
        /// Print an anchor for where the copy ends, and nothing else: for `cargo xtask restore --anchor`. With it a server
        /// takes this history for the newest, so be sure that no later one is at hand.
        #[arg(long, conflicts_with_all = ["list", "reveal"])]
        anchor: bool,
        /// List the keys that begin so.
        #[arg(long, value_name = "PREFIX")]
        list: Option<String>,
        /// Write the value of a key to standard output.
        #[arg(long, value_name = "KEY", conflicts_with = "list")]
        reveal: Option<String>,
    },
    /// Seal a holder's share to a meeting, for its standard input.
    Contribute {
        /// The folder of the copy.
        #[arg(long, value_name = "FOLDER")]
        objects: PathBuf,
        /// The holder's age identity file.
        #[arg(long, value_name = "FILE")]
        identity: PathBuf,
        /// The recipient that the meeting shows. Hear it from somebody whom you know.
        #[arg(long, value_name = "RECIPIENT")]
        to: String,
    },
}

pub(crate) fn audit(verb: &AuditVerb) -> Result<(), AuditError> {
    let AuditVerb::Verify { store, since, print, files } = verb;
    let mut out = std::io::stdout().lock();
    let proved = audit::verify(files, store, since.as_deref(), |record| {
        if *print {
            write!(out, "{} {} ", record.sequence, record.at)?;
            out.write_all(record.record.expose_secret())?;
            writeln!(out)?;
        }
        Ok(())
    })?;
    let audit::Proved { records, first, checkpoint } = proved;
    writeln!(out, "verified     {records} records from {first} on\ncheckpoint   {checkpoint}")
        .map_err(AuditError::Output)
}

pub(crate) async fn recovery(verb: RecoveryVerb) -> Result<(), RecoveryFault> {
    let mut out = std::io::stdout().lock();
    let console = RecoveryFault::Console;
    match verb {
        RecoveryVerb::Contribute { objects, identity, to } => {
            let meeting: Recipient = to.parse().map_err(RecoveryFault::Seal)?;
            let copy = Copy::in_folder(&objects).await?;
            for line in copy.contribute(&identity_file(&identity)?, &meeting).await? {
                writeln!(out, "{line}").map_err(console)?;
            }
        }
        RecoveryVerb::Open { objects, identity, meeting: wait, until, anchor, list, reveal } => {
            let copy = match until {
                Some(n) => Copy::until(&objects, n).await?,
                None => Copy::in_folder(&objects).await?,
            };
            let holders =
                identity.iter().map(|path| identity_file(path)).collect::<Result<Vec<_>, _>>()?;
            let meeting = Meeting::begin();
            let mut lines = Vec::new();
            if wait {
                let to = meeting.recipient();
                writeln!(std::io::stderr(), "contribute to {to}, then end the input")
                    .map_err(console)?;
                for line in std::io::stdin().lock().lines() {
                    lines.extend(Some(line.map_err(console)?).filter(|line| !line.is_empty()));
                }
            }
            let store = copy.open(&holders, &meeting, &lines).await?;
            if anchor {
                let anchor = store.danger_anchor().map_err(RecoveryFault::Anchor)?;
                return writeln!(out, "{anchor}").map_err(console);
            }
            if let Some(name) = reveal {
                let key = Key::parse(&name).map_err(|_| RecoveryFault::NoKey)?;
                let entry = store.entry(&key).ok_or(RecoveryFault::NoKey)?;
                return out.write_all(entry.value.expose_secret()).map_err(console);
            }
            let (head, header) = (store.head(), store.header());
            writeln!(out, "store        {}", store.identity().id()).map_err(console)?;
            writeln!(out, "generation   {}", header.generation()).map_err(console)?;
            writeln!(out, "head         {} {}", head.n, head.hash).map_err(console)?;
            writeln!(out, "audit        {} records", store.audited()).map_err(console)?;
            if let Some(prefix) = list {
                let mut after = None;
                loop {
                    let page = store.range(&prefix, after.as_ref(), 1000);
                    for entry in &page.entries {
                        writeln!(out, "{}", entry.key).map_err(console)?;
                    }
                    after = page.next;
                    if after.is_none() {
                        break;
                    }
                }
            }
        }
    }
    Ok(())
}
