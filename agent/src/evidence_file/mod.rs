//! Evidence in files, for people: what it says, and which step of a verification it passes.
//!
//! `evidence show` verifies nothing and says so; `evidence verify` performs the verification that a server performs, and
//! tells of each step whether it passed, was not demanded, refused, or was not reached.
//! Files may come from anybody: they are read up to a bound, and what is printed of them has no control characters.

mod show;
mod tree;
mod verify;

use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use evidence::document::{Document, DocumentError};
use evidence::inspect::Unreadable;
use evidence::{HclError, Step};
use jiff::Timestamp;
use tree::Node;

/// What to do with a file of evidence.
#[derive(Debug, Subcommand)]
pub enum EvidenceVerb {
    /// Print what a file of evidence says. Nothing is verified.
    Show {
        /// A report, an HCL report, a request to /attest/SevSnpVm, RCAR evidence, platform certificates (THIM),
        /// certificates, a revocation list, an endorsement, a quote, or our own evidence.
        file: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Verify a file of evidence and print each step with its outcome.
    Verify(VerifyArguments),
}

/// What a verification is made of.
#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// The evidence.
    file: PathBuf,
    /// Demand what the manifest's workloads demand, and say which of them this is.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Trust these root certificates (PEM) instead of AMD's and Microsoft's.
    #[arg(long, value_name = "FILE")]
    roots: Option<PathBuf>,
    /// Certificates that the evidence lacks: PEM, DER, or the answer of the certificate service.
    #[arg(long, value_name = "FILE")]
    certificates: Vec<PathBuf>,
    /// The endorsement that the evidence lacks.
    #[arg(long, value_name = "FILE")]
    endorsement: Option<PathBuf>,
    /// A revocation list of AMD (DER), which is then demanded.
    #[arg(long, value_name = "FILE")]
    crl: Vec<PathBuf>,
    /// What REPORT_DATA must be the SHA-256 of.
    #[arg(long, value_name = "FILE")]
    runtime_data: Option<PathBuf>,
    /// The nonce that a quote must carry, in hex.
    #[arg(long, value_name = "HEX")]
    nonce: Option<String>,
    /// When to verify, instead of now.
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Why a file of evidence was not shown or did not pass.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceFault {
    /// A file cannot be read.
    #[error("reading {}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is larger than any evidence.
    #[error("{}: expected at most {MAX_FILE} bytes", file.display())]
    TooLarge {
        /// Which.
        file: PathBuf,
    },
    /// A file holds nothing that we know.
    #[error("{}", file.display())]
    Document {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: DocumentError,
    },
    /// A part of the evidence cannot be read.
    #[error("{part}")]
    Part {
        /// Which.
        part: &'static str,
        /// Why.
        #[source]
        source: PartError,
    },
    /// The evidence lacks a part.
    #[error("the file has no {0}")]
    Lacks(&'static str),
    /// An argument that is not what it should be.
    #[error("{argument}: expected {expected}")]
    Argument {
        /// Which.
        argument: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// The manifest has faults.
    #[error("the manifest")]
    Manifest(#[source] manifest::Faults),
    /// The evidence was refused; the outcome is printed.
    #[error("the evidence is refused by step {} ({step})", step.number())]
    Refused {
        /// The step.
        step: Step,
    },
    /// The evidence passed, and belongs to no workload of the manifest; the reason is printed.
    #[error("the evidence belongs to no workload of the manifest")]
    NoWorkload,
    /// The outcome cannot be printed.
    #[error("printing")]
    Print(#[source] io::Error),
}

/// Why a part cannot be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is the error of the part that it names")]
pub enum PartError {
    #[error(transparent)]
    Report(#[from] evidence::ReportError),
    #[error(transparent)]
    Hcl(#[from] HclError),
    #[error(transparent)]
    Quote(#[from] evidence::QuoteError),
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

impl EvidenceFault {
    /// Whether it is the evidence's fault, and not that of the command or its files.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::NoWorkload)
    }

    /// What to try.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Lacks("report") => "name a file with a report, and this one with --certificates",
            Self::Lacks(_) => "give it with --certificates or --endorsement",
            Self::Refused { .. } => "see what the step expected and found, above",
            Self::NoWorkload => "see what kept each workload from fitting, above",
            Self::Manifest(_) => "correct the manifest",
            Self::Argument { .. } => "see `vouchsafe-agent evidence verify --help`",
            Self::File { .. }
            | Self::TooLarge { .. }
            | Self::Document { .. }
            | Self::Part { .. }
            | Self::Print(_) => "see `vouchsafe-agent evidence show --help` for what is recognised",
        }
    }
}

/// Does it, and prints to `out`.
///
/// # Errors
/// When a file is not what it should be, or the evidence is refused.
pub fn run(verb: EvidenceVerb, now: Timestamp, out: &mut dyn Write) -> Result<(), EvidenceFault> {
    match verb {
        EvidenceVerb::Show { file, json } => print(&show::document(&document(&file)?)?, json, out),
        EvidenceVerb::Verify(arguments) => {
            let json = arguments.json;
            let outcome = verify::run(arguments, now)?;
            print(&outcome.node(), json, out)?;
            outcome.end()
        }
    }
}

fn print(node: &Node, json: bool, out: &mut dyn Write) -> Result<(), EvidenceFault> {
    let text = if json {
        serde_json::to_string_pretty(node).map_err(|error| EvidenceFault::Print(error.into()))?
    } else {
        node.to_string()
    };
    match writeln!(out, "{}", text.trim_end()) {
        // Whoever reads has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed.map_err(EvidenceFault::Print),
    }
}

fn document(file: &Path) -> Result<Document, EvidenceFault> {
    Document::read(&read(file)?)
        .map_err(|source| EvidenceFault::Document { file: file.to_owned(), source })
}

fn read(file: &Path) -> Result<Vec<u8>, EvidenceFault> {
    let fault = |source| EvidenceFault::File { file: file.to_owned(), source };
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).map_err(fault)?;
    opened.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(fault)?;
    match u64::try_from(bytes.len()) {
        Ok(..=MAX_FILE) => Ok(bytes),
        _ => Err(EvidenceFault::TooLarge { file: file.to_owned() }),
    }
}

const MAX_FILE: u64 = 512 << 10;

#[cfg(test)]
mod tests;
