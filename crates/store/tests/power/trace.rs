//! What a process did to its folder: its system calls, as Debian's `strace` tells them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use crate::process;

/// One call that changes or keeps something. Paths are relative to the folder of the process.
pub(super) enum Event {
    Create(PathBuf),
    Write(PathBuf, Vec<u8>),
    Sync(PathBuf),
    Link(PathBuf, PathBuf),
    Rename(PathBuf, PathBuf),
    Unlink(PathBuf),
    Mkdir(PathBuf),
    /// It told its caller that this transaction is durable.
    Said(u32),
}

/// Runs this test binary again as the test `child`, and answers what it did below `folder`.
pub(super) fn record(folder: &Path, child: &str, environment: &[(&str, &str)]) -> Vec<Event> {
    let log = folder.with_extension("strace");
    let mut command = Command::new("strace");
    command
        .args(["-f", "-y", "-xx", "--seccomp-bpf", "--signal=none", "-s", "33554432"])
        .arg(format!("--trace={CALLS}"))
        .arg("-o")
        .arg(&log)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", child, "--nocapture"])
        .env("VOUCHSAFE_POWER_CHILD", folder)
        .envs(environment.iter().copied());
    let output = command.output().unwrap_or_else(|fault| panic!("strace: {fault}; install strace"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::remove_file(log).unwrap();
    events(&text, folder)
}

/// Everything that could change a file. What is not understood below is a fault of this test, and not passed over.
const CALLS: &str = "open,openat,creat,write,writev,pwrite64,pwritev,pwritev2,truncate,ftruncate,\
    fallocate,copy_file_range,sendfile,splice,fsync,fdatasync,sync,syncfs,sync_file_range,link,\
    linkat,symlink,symlinkat,rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,mknod";

fn events(text: &str, folder: &Path) -> Vec<Event> {
    let mut events = Vec::new();
    // Of each thread, what it has begun.
    let mut begun: BTreeMap<&str, String> = BTreeMap::new();
    for line in text.lines() {
        let (thread, line) = line.split_once(' ').unwrap();
        let line = line.trim_start();
        if line.starts_with("+++") || line.starts_with("---") {
            continue;
        }
        if let Some(start) = line.strip_suffix("<unfinished ...>") {
            begun.insert(thread, start.to_owned());
            continue;
        }
        let whole = match line.split_once(" resumed>") {
            Some((_, end)) if line.starts_with("<...") => {
                format!("{}{end}", begun.remove(thread).unwrap())
            }
            _ => line.to_owned(),
        };
        // What happens while a call is under way is taken to come before it.
        events.extend(event(&whole, folder));
    }
    events
}

fn event(line: &str, folder: &Path) -> Vec<Event> {
    let (call, result) = line.rsplit_once(" = ").unwrap_or_else(|| panic!("{line}"));
    let (name, arguments) = call.split_once('(').unwrap_or_else(|| panic!("{line}"));
    if result.starts_with(['-', '?']) {
        return Vec::new();
    }
    let strings = between(arguments, '"', '"');
    let path = |bytes: &[u8]| -> Option<PathBuf> {
        let path = PathBuf::from(std::str::from_utf8(bytes).ok()?);
        path.strip_prefix(folder).ok().map(Path::to_owned)
    };
    let named = |i: usize| strings.get(i).and_then(|bytes| path(bytes));
    let opened = || between(arguments, '<', '>').first().and_then(|bytes| path(bytes));
    let events = match name {
        "open" | "openat" => {
            let made = named(0).filter(|_| arguments.contains("O_CREAT"));
            let whole = arguments.contains("O_EXCL") || arguments.contains("O_TRUNC");
            assert!(made.is_none() || whole, "a file that may have been there: {line}");
            made.map(Event::Create)
        }
        "write" if arguments.starts_with("1<") => {
            let text = String::from_utf8(strings[0].clone()).unwrap();
            return text.lines().filter_map(process::said).map(Event::Said).collect();
        }
        "write" => opened().map(|path| {
            assert_eq!(result, strings[0].len().to_string(), "a part was written");
            Event::Write(path, strings[0].clone())
        }),
        "fsync" => opened().map(Event::Sync),
        "link" | "linkat" => named(0).zip(named(1)).map(|(from, to)| Event::Link(from, to)),
        "rename" | "renameat" | "renameat2" => {
            named(0).zip(named(1)).map(|(from, to)| Event::Rename(from, to))
        }
        "unlink" | "unlinkat" => named(0).map(Event::Unlink),
        "mkdir" | "mkdirat" => named(0).map(Event::Mkdir),
        // On something else, it is none of our business.
        _ => {
            let ours = named(0).or_else(|| named(1)).or_else(opened);
            assert!(ours.is_none(), "a call that is not known here: {line}");
            None
        }
    };
    events.into_iter().collect()
}

/// What stands between these marks, decoded. Everything is in hexadecimal, so no mark stands in it.
fn between(text: &str, open: char, close: char) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(open) {
        let Some((inside, after)) = after.split_once(close) else { break };
        found.push(hex::decode(inside.replace("\\x", "")).unwrap_or_default());
        rest = after;
    }
    found
}
