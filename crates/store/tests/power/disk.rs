//! A disk with a cache, as a file system promises it and no better: what was not synchronised is there, or not, or in part, each thing for itself.
//!
//! A file's bytes are kept by fsync of the file, its name by fsync of the folder that the name is in.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use super::{Dice, trace::Event};

/// Which calls are taken for nothing, to see that the test would notice.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Deaf {
    No,
    /// To fsync of files.
    Files,
    /// To fsync of folders.
    Folders,
}

/// The objects of a process, and what it said.
pub(super) struct Disk {
    deaf: Deaf,
    files: Vec<File>,
    folders: BTreeMap<PathBuf, Folder>,
    /// The files beside the objects, which are elsewhere and never lost.
    beside: BTreeMap<PathBuf, Vec<u8>>,
    /// The last number that was acknowledged.
    pub(super) said: Option<u32>,
}

#[derive(Default)]
struct File {
    now: Vec<u8>,
    kept: Vec<u8>,
}

#[derive(Default)]
struct Folder {
    now: BTreeMap<PathBuf, Node>,
    kept: BTreeMap<PathBuf, Node>,
    /// What each name stood for since the folder was synchronised.
    since: BTreeMap<PathBuf, Vec<Option<Node>>>,
}

#[derive(Clone, Copy)]
enum Node {
    File(usize),
    Folder,
}

/// What is left.
#[derive(Clone, Copy)]
pub(super) enum Loss {
    /// Everything that was not synchronised is lost.
    All,
    /// Each thing by a roll of the dice.
    Some,
    /// Nothing: only the process died.
    None,
}

impl Folder {
    fn set(&mut self, name: &Path, node: Option<Node>) {
        match node {
            Some(node) => drop(self.now.insert(name.to_owned(), node)),
            None => drop(self.now.remove(name)),
        }
        self.since.entry(name.to_owned()).or_default().push(node);
    }
}

impl Disk {
    pub(super) fn new(deaf: Deaf) -> Self {
        let folders = BTreeMap::from([(PathBuf::new(), Folder::default())]);
        Self { deaf, files: Vec::new(), folders, beside: BTreeMap::new(), said: None }
    }

    /// Does what one call did. Paths are relative to the folder of the process.
    pub(super) fn apply(&mut self, event: &Event) {
        match event {
            Event::Said(n) => self.said = Some(*n),
            Event::Create(path) if beside(path) => {
                drop(self.beside.insert(path.clone(), Vec::new()));
            }
            Event::Create(path) => {
                self.files.push(File::default());
                self.set(path, Some(Node::File(self.files.len() - 1)));
            }
            Event::Write(path, bytes) if beside(path) => {
                self.beside.get_mut(path).unwrap().extend(bytes);
            }
            Event::Write(path, bytes) => {
                let Node::File(file) = self.node(path) else { panic!("{path:?} is a folder") };
                self.files[file].now.extend(bytes);
            }
            Event::Sync(path) => self.sync(path),
            Event::Link(from, to) => self.set(to, Some(self.node(from))),
            Event::Rename(from, to) if beside(from) => {
                let bytes = self.beside.remove(from).unwrap();
                drop(self.beside.insert(to.clone(), bytes));
            }
            Event::Rename(from, to) => {
                self.set(to, Some(self.node(from)));
                self.set(from, None);
            }
            Event::Unlink(path) => self.set(path, None),
            Event::Mkdir(path) => {
                self.set(path, Some(Node::Folder));
                drop(self.folders.insert(path.clone(), Folder::default()));
            }
        }
    }

    fn sync(&mut self, path: &Path) {
        if let Some(folder) = self.folders.get_mut(path) {
            if self.deaf != Deaf::Folders {
                folder.kept = folder.now.clone();
                folder.since.clear();
            }
        } else if self.deaf != Deaf::Files && !beside(path) {
            let Node::File(file) = self.node(path) else { return };
            self.files[file].kept = self.files[file].now.clone();
        }
    }

    fn node(&self, path: &Path) -> Node {
        self.folders[path.parent().unwrap()].now[Path::new(path.file_name().unwrap())]
    }

    fn set(&mut self, path: &Path, node: Option<Node>) {
        let folder = self.folders.get_mut(path.parent().unwrap()).unwrap();
        folder.set(Path::new(path.file_name().unwrap()), node);
    }

    /// Writes what a machine finds when it has power again below `to`.
    pub(super) fn after(&self, loss: Loss, dice: &mut Dice, to: &Path) {
        for (path, bytes) in &self.beside {
            fs::write(to.join(path), bytes).unwrap();
        }
        self.folder_after(Path::new(""), loss, dice, to, &mut BTreeMap::new());
    }

    /// `written` is where each file was written first; another name of it is a link to that.
    fn folder_after(
        &self,
        path: &Path,
        loss: Loss,
        dice: &mut Dice,
        to: &Path,
        written: &mut BTreeMap<usize, PathBuf>,
    ) {
        let folder = &self.folders[path];
        let names: Vec<_> = folder.kept.keys().chain(folder.since.keys()).collect();
        let mut done = std::collections::BTreeSet::new();
        for name in names.into_iter().filter(|name| done.insert(*name)) {
            let kept = folder.kept.get(name).copied();
            let since = folder.since.get(name).map_or(&[][..], Vec::as_slice);
            let chosen = match loss {
                Loss::All => kept,
                Loss::None => folder.now.get(name).copied(),
                Loss::Some => match dice.roll(since.len() + 1) {
                    0 => kept,
                    n => since[n - 1],
                },
            };
            let path = path.join(name);
            match chosen {
                None => {}
                Some(Node::Folder) => {
                    fs::create_dir(to.join(&path)).unwrap();
                    self.folder_after(&path, loss, dice, to, written);
                }
                Some(Node::File(file)) => match written.get(&file) {
                    Some(first) => fs::hard_link(first, to.join(path)).unwrap(),
                    None => {
                        let path = to.join(path);
                        fs::write(&path, self.files[file].after(loss, dice)).unwrap();
                        written.insert(file, path);
                    }
                },
            }
        }
    }
}

impl File {
    fn after(&self, loss: Loss, dice: &mut Dice) -> Vec<u8> {
        if self.now == self.kept {
            return self.now.clone();
        }
        match (loss, dice.roll(4)) {
            (Loss::All, _) | (Loss::Some, 0) => self.kept.clone(),
            (Loss::None, _) | (Loss::Some, 1) => self.now.clone(),
            (Loss::Some, torn) => {
                let mut bytes = self.now.clone();
                let from = dice.roll(bytes.len());
                if torn == 2 {
                    bytes.truncate(from);
                } else {
                    bytes[from..].fill(0);
                }
                bytes
            }
        }
    }
}

/// Whether a path is beside the objects.
fn beside(path: &Path) -> bool {
    !path.starts_with("objects")
}
