//! `backup` and `restore`: copies of the store's objects, all of them sealed. No key is needed, and none is seen: whoever
//! may read the container may make a copy.
//!
//! A store that ends before its anchor is refused at boot, because an attacker who put an old copy back looks the same. So
//! a restore says where the anchor is. A quorum of the holders of recovery shares can make an anchor for the restored end;
//! this program only puts it into its place.

use std::path::Path;
use std::str::FromStr as _;
use std::sync::Arc;

use azure::Name;
use azure::anchor::TagStore;
use azure::secrets::SecretError;
use evidence::Sha256;
use jiff::Timestamp;
use object_store::ObjectStore;
use protocol::bundle::{ANCHOR_TAG, anchor_name};
use serde_json::json;
use store::{BackupError, Copied, SealedAnchor, read_first};

use super::{Scene, print};
use crate::cli::{Backup, Restore};
use crate::cloud::Cloud;
use crate::deployment::Deployment;
use crate::failure::{Exit, Failure, While as _};
use crate::inventory::reading::fetch;
use crate::progress::Progress;

pub(super) async fn backup(options: &Backup) -> Result<Exit, Failure> {
    let deployment = Deployment::read(&options.target)?;
    let cloud = Cloud::open(&deployment)?;
    let to = folder(&options.folder)?;
    let step = Progress::new().step(format!("copy the store to {}", options.folder.display()));
    let copied =
        store::backup(&cloud.objects, &to).await.map_err(|error| failed("backup", error))?;
    step.done();
    let Copied { last, objects } = copied;
    if options.target.json {
        let folder = options.folder.display().to_string();
        print(&format!("{}\n", json!({ "folder": folder, "last": last, "copied": objects })))?;
    } else {
        print(&format!("the copy ends at commit {last}; {objects} objects were copied now\n"))?;
    }
    Ok(Exit::Done)
}

pub(super) async fn restore(options: &Restore, clock: fn() -> Timestamp) -> Result<Exit, Failure> {
    let scene = Scene::set(&options.target, clock).await?;
    let _held = scene.deployment.state.hold()?;
    let group = &scene.rendered.resources.group;
    if fetch(&scene.cloud, group).await?.is_some() {
        return Err(Failure::refused(
            "the server runs",
            format!("stop it first: cargo xtask stop {}", scene.deployment.shown_path()),
        ));
    }
    let from = folder(&options.folder)?;
    let identity = identity(&from).await?;
    if let Some(lock) = scene.deployment.lock()?
        && lock.store.identity != identity
    {
        return Err(Failure::refused(
            format!(
                "the copy is of the store {identity}, the deployment's is {}",
                lock.store.identity
            ),
            "give a copy of this deployment's store",
        ));
    }
    let objects = &scene.cloud.objects;
    let until = options.until.unwrap_or(u64::MAX);
    let step = Progress::new().step(format!("restore the store from {}", options.folder.display()));
    let copied = match store::restore(&from, objects, until).await {
        // Only the anchor is left to do.
        Err(BackupError::NotEmpty) if options.anchor.is_some() => None,
        done => Some(done.map_err(|error| failed("restore", error))?),
    };
    step.done();
    if let Some(anchor) = &options.anchor {
        let step = Progress::new().step(format!("anchor the store at commit {}", anchor.n()));
        put_anchor(&scene.cloud, identity, anchor).await?;
        step.done();
    }
    tell(options, &scene, copied, anchored(&scene.cloud, identity).await?)
}

/// Says what the server will say to it, and what to do about that.
fn tell(
    options: &Restore,
    scene: &Scene,
    copied: Option<Copied>,
    anchored: Option<u64>,
) -> Result<Exit, Failure> {
    let last = copied.map(|copied| copied.last);
    if options.target.json {
        let copied = copied.map_or(0, |copied| copied.objects);
        print(&format!("{}\n", json!({ "last": last, "copied": copied, "anchored": anchored })))?;
        return Ok(Exit::Done);
    }
    let mut text = match (last, copied) {
        (Some(last), Some(copied)) => {
            format!("the store ends at commit {last}; {} objects were copied\n", copied.objects)
        }
        _ => "the store was there already; the anchor was set\n".to_owned(),
    };
    let path = scene.deployment.shown_path();
    let deploy = format!("start the server: cargo xtask deploy {path}\n");
    match (anchored, last) {
        (Some(anchored), Some(last)) if anchored > last => {
            let folder = options.folder.display();
            text.push_str(&format!(
                "its anchor is at commit {anchored}: the server will refuse the store as rolled back.\n\
                 Everything after commit {last} is lost, tokens that were revoked since then hold again. If that is\n\
                 meant, a quorum of the holders of recovery shares makes an anchor for this end:\n  \
                 vouchsafe-agent recovery open --objects {folder} --until {last} --identity FILE … --anchor\n\
                 and then: cargo xtask restore {path} {folder} --until {last} --anchor LINE\n"
            ));
        }
        (Some(anchored), _) => {
            text.push_str(&format!("its anchor is at commit {anchored}\n{deploy}"));
        }
        (None, _) => text.push_str(
            "it has no anchor, and a server whose bundle names the store demands one: see --anchor\n",
        ),
    }
    print(&text)?;
    Ok(Exit::Done)
}

fn folder(path: &Path) -> Result<Arc<dyn ObjectStore>, Failure> {
    store::directory(path).map_err(|error| {
        Failure::of(format!("opening {}", path.display()), error, "check the path")
    })
}

async fn identity(copy: &Arc<dyn ObjectStore>) -> Result<Sha256, Failure> {
    let header = read_first(copy).await.map_err(|error| {
        Failure::of("reading the copy", error, "give the folder of a whole copy")
    })?;
    let header = header.ok_or_else(|| {
        Failure::new("there is no store in the folder", "give the folder that `backup` wrote")
    })?;
    Ok(Sha256::new(*header.identity().id().as_bytes()))
}

async fn put_anchor(cloud: &Cloud, identity: Sha256, anchor: &SealedAnchor) -> Result<(), Failure> {
    let place = TagStore::open_or_create(
        cloud.secrets.clone(),
        name(identity)?,
        "the anchor is in the tags",
    );
    let place = place.await.during(|| "finding the anchor's place".to_owned())?;
    let tags = [(ANCHOR_TAG.to_owned(), anchor.to_string())].into();
    place.write_tags(&tags).await.during(|| "setting the anchor".to_owned())
}

/// The commit of the anchor that is in the vault, as it says.
async fn anchored(cloud: &Cloud, identity: Sha256) -> Result<Option<u64>, Failure> {
    match cloud.secrets.get(&name(identity)?, None).await {
        Ok(secret) => {
            let text = secret.about.tags.get(ANCHOR_TAG);
            Ok(text.and_then(|text| SealedAnchor::from_str(text).ok()).map(|anchor| anchor.n()))
        }
        Err(SecretError::NotFound(_)) => Ok(None),
        Err(error) => Err(error).during(|| "reading the anchor".to_owned()),
    }
}

fn name(identity: Sha256) -> Result<Name, Failure> {
    Name::from_str(&anchor_name(identity))
        .map_err(|error| Failure::of("naming the anchor", error, "this is a fault of ours"))
}

fn failed(verb: &str, error: BackupError) -> Failure {
    let remedy = match &error {
        BackupError::NoStore => "check that there is a store in the place that is copied from",
        BackupError::NotEmpty => {
            "this program never deletes a store: if the one in the container is of no use, keep a copy of it and delete the blobs below log/, snapshot/, keyring/ and recovery/"
        }
        BackupError::OtherStore => "give a folder that is empty or holds a copy of this store",
        BackupError::Torn { .. } => "run again; if it stays, the store is damaged there",
        BackupError::Unavailable(_) => "check the network and Azure's status, then run again",
    };
    Failure::of(format!("the {verb} of the store"), error, remedy)
}
