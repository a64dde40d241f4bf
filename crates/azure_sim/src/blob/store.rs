//! Containers and blobs as kept: an index in memory, one file a blob.
//!
//! A blob's file is one line of JSON (what is known about it) and then its bytes, written beside its place and renamed, so that a blob is whole or absent.
//! Blocks that no list has committed are kept in memory only; a restart forgets them, as the service does after a week.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest;
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::lease::Lease;

/// Every account's containers.
#[derive(Debug)]
pub struct Blobs {
    root: PathBuf,
    pub(super) state: Mutex<Accounts>,
}

/// What is known of all accounts.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    accounts: BTreeMap<String, BTreeMap<String, Container>>,
    last_tag: i128,
}

/// A container: its own facts and its blobs.
#[derive(Debug)]
pub(super) struct Container {
    pub facts: ContainerFacts,
    pub blobs: BTreeMap<String, BlobFacts>,
    pub staged: BTreeMap<String, BTreeMap<String, Bytes>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ContainerFacts {
    pub etag: String,
    pub modified: Timestamp,
    pub metadata: BTreeMap<String, String>,
    pub lease: Option<Lease>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BlobFacts {
    pub name: String,
    pub etag: String,
    pub created: Timestamp,
    pub modified: Timestamp,
    pub length: u64,
    /// Content-Type and the like, by lower-case header name.
    pub headers: BTreeMap<String, String>,
    pub metadata: BTreeMap<String, String>,
    pub tags: BTreeMap<String, String>,
    /// Ids and sizes of the committed blocks.
    pub blocks: Vec<(String, u64)>,
    pub lease: Option<Lease>,
}

impl Blobs {
    /// Read what is under `root`; it is made if absent.
    pub fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        let mut state = Accounts::default();
        for account in folders(root)? {
            let mut containers = BTreeMap::new();
            for container in folders(&root.join(&account))? {
                let folder = root.join(&account).join(&container);
                let Ok(text) = fs::read(folder.join(CONTAINER)) else { continue };
                let facts: ContainerFacts = json(&text)?;
                state.see(&facts.etag);
                let blobs = read_blobs(&folder)?;
                blobs.values().for_each(|blob| state.see(&blob.etag));
                containers.insert(container, Container { facts, blobs, staged: BTreeMap::new() });
            }
            state.accounts.insert(account, containers);
        }
        Ok(Self { root: root.to_owned(), state: Mutex::new(state) })
    }

    /// Forget an account and delete its files.
    pub fn remove_account(&self, account: &str) -> io::Result<()> {
        self.lock().accounts.remove(account);
        match fs::remove_dir_all(self.root.join(account)) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(cause),
            _ => Ok(()),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Accounts> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn keep_container(
        &self,
        account: &str,
        name: &str,
        facts: &ContainerFacts,
    ) -> io::Result<()> {
        let folder = self.root.join(account).join(name);
        fs::create_dir_all(&folder)?;
        replace(&folder.join(CONTAINER), &[&serde_json::to_vec(facts)?])
    }

    pub(super) fn drop_container(&self, account: &str, name: &str) -> io::Result<()> {
        fs::remove_dir_all(self.root.join(account).join(name))
    }

    pub(super) fn keep_blob(
        &self,
        account: &str,
        container: &str,
        facts: &BlobFacts,
        content: &[u8],
    ) -> io::Result<()> {
        let head = serde_json::to_vec(facts)?;
        replace(&self.file(account, container, &facts.name), &[&head, b"\n", content])
    }

    pub(super) fn read_blob(
        &self,
        account: &str,
        container: &str,
        name: &str,
    ) -> io::Result<Bytes> {
        let all = Bytes::from(fs::read(self.file(account, container, name))?);
        let at = all.iter().position(|byte| *byte == b'\n').ok_or(io::ErrorKind::InvalidData)?;
        Ok(all.slice(at.saturating_add(1)..))
    }

    pub(super) fn drop_blob(&self, account: &str, container: &str, name: &str) -> io::Result<()> {
        fs::remove_file(self.file(account, container, name))
    }

    fn file(&self, account: &str, container: &str, name: &str) -> PathBuf {
        let digest = digest::digest(&digest::SHA256, name.as_bytes());
        self.root.join(account).join(container).join(format!("{}{BLOB}", hex::encode(digest)))
    }
}

impl Accounts {
    pub(super) fn containers(&self, account: &str) -> Option<&BTreeMap<String, Container>> {
        self.accounts.get(account)
    }

    pub(super) fn containers_mut(&mut self, account: &str) -> &mut BTreeMap<String, Container> {
        self.accounts.entry(account.to_owned()).or_default()
    }

    pub(super) fn container(&mut self, account: &str, name: &str) -> Option<&mut Container> {
        self.accounts.get_mut(account)?.get_mut(name)
    }

    /// A tag that no object had before: .NET ticks of now, or one more than the last.
    pub(super) fn next_tag(&mut self, now: Timestamp) -> String {
        let ticks = now.as_nanosecond().div_euclid(100).saturating_add(TICKS_AT_1970);
        self.last_tag = ticks.max(self.last_tag.saturating_add(1));
        format!("\"0x{:X}\"", self.last_tag)
    }

    fn see(&mut self, etag: &str) {
        let seen =
            i128::from_str_radix(etag.trim_matches('"').trim_start_matches("0x"), 16).unwrap_or(0);
        self.last_tag = self.last_tag.max(seen);
    }
}

fn read_blobs(folder: &Path) -> io::Result<BTreeMap<String, BlobFacts>> {
    let mut blobs = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "blob") {
            continue;
        }
        let bytes = fs::read(&path)?;
        let head = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let facts: BlobFacts = json(head)?;
        blobs.insert(facts.name.clone(), facts);
    }
    Ok(blobs)
}

fn folders(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.extend(entry.file_name().into_string().ok());
        }
    }
    Ok(names)
}

fn json<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    serde_json::from_slice(bytes).map_err(io::Error::from)
}

fn replace(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let beside = path.with_extension("new");
    fs::write(&beside, parts.concat())?;
    fs::rename(&beside, path)
}

const CONTAINER: &str = "container.json";
const BLOB: &str = ".blob";
/// 100-nanosecond intervals from 0001-01-01 to 1970-01-01.
const TICKS_AT_1970: i128 = 621_355_968_000_000_000;
