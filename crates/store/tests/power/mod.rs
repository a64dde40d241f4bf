#![expect(clippy::print_stderr, reason = "a test says what it tried")]

mod disk;
mod trace;

use std::{path::Path, path::PathBuf, sync::Arc};

use disk::{Deaf, Disk, Loss};
use object_store::{Error, ObjectStore, PutMode, local::LocalFileSystem};
use store::OpenError;
use tokio::runtime::Runtime;
use trace::Event;

use crate::{
    dice::Dice,
    process::{self, memory},
};

/// The child: is born or opens, writes so many transactions, and ends.
#[test]
fn child() {
    let Some(folder) = std::env::var_os("VOUCHSAFE_POWER_CHILD") else { return };
    let folder = PathBuf::from(folder);
    let most = std::env::var("VOUCHSAFE_POWER_MOST").unwrap().parse().unwrap();
    let synchronised = std::env::var_os("VOUCHSAFE_POWER_UNSYNCHRONISED").is_none();
    let path = process::objects(&folder);
    let objects: Arc<dyn ObjectStore> = if synchronised {
        store::directory(&path).unwrap()
    } else {
        std::fs::create_dir_all(&path).unwrap();
        Arc::new(LocalFileSystem::new_with_prefix(&path).unwrap().with_fsync(false))
    };
    runtime().block_on(async {
        if let Ok(again) = std::env::var("VOUCHSAFE_POWER_AGAIN") {
            let content = std::fs::read(path.join(&again)).unwrap();
            let name = again.into();
            let put = objects.put_opts(&name, content.into(), PutMode::Create.into()).await;
            assert!(matches!(put, Err(Error::AlreadyExists { .. })));
            // Found to be the same bytes, it is acknowledged.
            return process::say(most);
        }
        let store = if folder.join("identity").exists() {
            let store = process::open_on(&folder, &objects).await.unwrap();
            store.raise_anchor(&process::anchor(&folder)).await.unwrap();
            store
        } else {
            process::birth(&folder, &objects).await
        };
        process::say(process::last(&store));
        process::write(&folder, &store, most).await;
    });
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn record(folder: &Path, environment: &[(&str, &str)]) -> Vec<Event> {
    trace::record(folder, "power::child", environment)
}

/// Is everything there that had been acknowledged?
fn look(runtime: &Runtime, disk: &Disk, folder: &Path) -> Result<(), String> {
    let Some(said) = disk.said else {
        let identity = std::fs::read(folder.join("identity"));
        if identity.is_ok_and(|written| !written.is_empty()) {
            // A birth that was not finished counts for nothing, or is a store.
            match runtime.block_on(process::open(folder)) {
                Ok(_) | Err(OpenError::NoStore | OpenError::Unanchored { .. }) => {}
                Err(fault) => return Err(fault.to_string()),
            }
        }
        return Ok(());
    };
    let store = runtime.block_on(process::open(folder)).map_err(|fault| fault.to_string())?;
    process::check(&store, said).map(drop)
}

/// The power fails after each of these calls, so many times with other luck; every state that is not as it has to be. Answers how many states there were.
fn fail_everywhere(events: &[Event], deaf: Deaf, times: u64) -> (usize, Vec<String>) {
    let (runtime, mut disk) = (runtime(), Disk::new(deaf));
    let (mut states, mut faults) = (0, Vec::new());
    for (moment, event) in (0..).zip(events) {
        disk.apply(event);
        for luck in 0..times {
            let loss = if luck == 0 && moment % 3 == 0 { Loss::All } else { Loss::Some };
            let folder = memory();
            disk.after(loss, &mut Dice(moment << 32 | luck), folder.path());
            states += 1;
            if let Err(fault) = look(&runtime, &disk, folder.path()) {
                faults.push(format!("call {moment}, luck {luck}: {fault}"));
            }
        }
    }
    (states, faults)
}

#[test]
fn peer_nothing_acknowledged_is_lost_when_the_power_fails() {
    if without_peers() {
        return;
    }
    let exhaustive = std::env::var_os("VOUCHSAFE_EXHAUSTIVE").is_some();
    let (most, times) = if exhaustive { ("160", 20) } else { ("40", 1) };
    let folder = tempfile::tempdir().unwrap();
    let events = record(folder.path(), &[("VOUCHSAFE_POWER_MOST", most)]);
    let (states, faults) = fail_everywhere(&events, Deaf::No, times);
    eprintln!("{} calls, {states} states, {} faults", events.len(), faults.len());
    assert!(events.len() > 300, "{}", events.len());
    assert!(process::is_compacted(folder.path()), "compaction has to be among it");
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn peer_it_is_noticed_when_files_or_folders_are_not_synchronised() {
    if without_peers() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let events = record(folder.path(), &[("VOUCHSAFE_POWER_MOST", "8")]);
    for (deaf, times) in [(Deaf::No, 1), (Deaf::Files, 1), (Deaf::Folders, 1)] {
        let (states, faults) = fail_everywhere(&events, deaf, times);
        eprintln!("{} of {states}: {:?}", faults.len(), faults.last());
        assert_eq!(faults.is_empty(), deaf == Deaf::No);
    }

    // The same with a backend that does not ask for it.
    let folder = tempfile::tempdir().unwrap();
    let unsynchronised = [("VOUCHSAFE_POWER_MOST", "8"), ("VOUCHSAFE_POWER_UNSYNCHRONISED", "1")];
    let events = record(folder.path(), &unsynchronised);
    assert!(!events.iter().any(|event| matches!(event, Event::Sync(_))));
    let (states, faults) = fail_everywhere(&events, Deaf::No, 1);
    eprintln!("{} of {states}: {:?}", faults.len(), faults.last());
    assert!(!faults.is_empty());
}

/// A process dies between naming a commit and synchronising the folder. Another one opens what is visible and raises the anchor; then the power fails.
#[test]
fn peer_what_a_later_process_has_seen_is_not_lost_either() {
    if without_peers() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let events = record(folder.path(), &[("VOUCHSAFE_POWER_MOST", "5")]);
    let named =
        |event: &Event| matches!(event, Event::Link(_, to) if to.starts_with("objects/log"));
    let moments: Vec<usize> =
        (0..).zip(&events).filter(|(_, e)| named(e)).map(|(i, _)| i).collect();
    let runtime = runtime();
    for moment in moments.into_iter().skip(1).take(4) {
        let mut disk = Disk::new(Deaf::No);
        events[..=moment].iter().for_each(|event| disk.apply(event));
        let visible = tempfile::tempdir().unwrap();
        disk.after(Loss::None, &mut Dice(0), visible.path());
        for event in record(visible.path(), &[("VOUCHSAFE_POWER_MOST", "0")]) {
            disk.apply(&event);
        }
        let left = tempfile::tempdir().unwrap();
        disk.after(Loss::All, &mut Dice(0), left.path());
        look(&runtime, &disk, left.path()).unwrap_or_else(|fault| panic!("call {moment}: {fault}"));
    }
}

/// A commit was named, and synchronising its folder failed. It is put again, and found to be there; then the power fails.
#[test]
fn peer_what_is_put_again_is_synchronised_all_the_same() {
    if without_peers() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let events = record(folder.path(), &[("VOUCHSAFE_POWER_MOST", "1")]);
    let second = |event: &Event| matches!(event, Event::Link(_, to) if to.ends_with(SECOND));
    let named = events.iter().position(second).unwrap();
    let Event::Link(draft, _) = &events[named] else { unreachable!() };
    let mut disk = Disk::new(Deaf::No);
    events[..=named].iter().for_each(|event| disk.apply(event));
    // What the storage does after an error.
    disk.apply(&Event::Unlink(draft.clone()));

    let visible = tempfile::tempdir().unwrap();
    disk.after(Loss::None, &mut Dice(0), visible.path());
    let again = format!("log/{SECOND}");
    let said = [("VOUCHSAFE_POWER_MOST", "1"), ("VOUCHSAFE_POWER_AGAIN", again.as_str())];
    for event in record(visible.path(), &said) {
        disk.apply(&event);
    }
    let left = memory();
    disk.after(Loss::All, &mut Dice(0), left.path());
    look(&runtime(), &disk, left.path()).unwrap();
}

const SECOND: &str = "00000000000000000002";

fn without_peers() -> bool {
    std::env::var_os("VOUCHSAFE_WITHOUT_PEERS").is_some()
}
