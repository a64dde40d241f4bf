//! States of a cloud and of a provisioner's folder as they stood after each request of a deployment.
//!
//! To go on from one is as if every process, the server's included, had died just after that request took effect.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::cloud::Verb;
use crate::deployment::Deployment;

/// What was there after a request.
#[derive(Debug, Clone)]
pub struct Saved {
    /// Its number among the requests, from 1.
    pub number: usize,
    /// Service, method, path and status of the request.
    pub call: String,
    state: PathBuf,
}

impl Saved {
    /// The store's first commit, if a store was born.
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn first_commit(&self) -> anyhow::Result<Option<Vec<u8>>> {
        // A blob's file is a line of JSON, which names it, and then its bytes.
        let folder = self.state.join("cloud/blob/vouchsafedev/vouchsafe");
        let Ok(files) = std::fs::read_dir(&folder) else { return Ok(None) };
        for file in files {
            let bytes = std::fs::read(file?.path())?;
            let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { continue };
            let (head, content) = bytes.split_at(end);
            let head: Value = serde_json::from_slice(head)?;
            if head.get("name").and_then(Value::as_str) == Some(FIRST_COMMIT) {
                return Ok(content.get(1..).map(<[u8]>::to_vec));
            }
        }
        Ok(None)
    }
}

impl Deployment {
    /// Deploys, and keeps what was there after each request that the cloud answered, whosever it was.
    ///
    /// # Errors
    /// The deploy fails.
    pub fn deploy_saving(&self) -> anyhow::Result<Vec<Saved>> {
        let into = self.folder().join("saved");
        let action = json!({"kind": "save", "folder": self.state(), "into": into});
        let fault = json!({"nth": 1, "count": 0, "action": action});
        self.cloud().control(Verb::Put, "/faults", &json!([fault]))?;
        self.deploy()?.well()?;
        self.cloud().control(Verb::Put, "/faults", &json!([]))?;
        let mut saved = Vec::new();
        for entry in std::fs::read_dir(&into).context("nothing was saved")? {
            let place = entry?.path();
            let number = place.file_name().and_then(|name| name.to_str()?.parse().ok());
            saved.push(Saved {
                number: number.context("the name of a saved state")?,
                call: std::fs::read_to_string(place.join("call"))?,
                state: place.join("state"),
            });
        }
        saved.sort_by_key(|state| state.number);
        Ok(saved)
    }

    /// Puts everything back as it was after a request. A state is put back once.
    ///
    /// # Errors
    /// The files cannot be exchanged, or the cloud does not come up.
    pub fn go_back(&mut self, saved: &Saved) -> anyhow::Result<()> {
        let here = self.state();
        self.cloud_mut().exchange(|| {
            std::fs::remove_dir_all(&here)?;
            linked(&saved.state, &here)
        })
    }
}

/// What is written here is replaced whole, so links are as good as copies.
fn linked(from: &Path, to: &Path) -> anyhow::Result<()> {
    let copied = Command::new("cp").args(["--archive", "--link"]).arg(from).arg(to).status()?;
    ensure!(copied.success(), "copying {}", from.display());
    Ok(())
}

/// The log's first commit by its name in the container.
pub const FIRST_COMMIT: &str = "log/00000000000000000001";
