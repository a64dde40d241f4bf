//! The hashes of blocks, made by the calling thread and, on two cores, by one beside it.
//!
//! Blocks come in pieces and their hashes go in the same order, so what is made of them does not depend on the threads.
//! The worker has a few pieces in stock; while it has, the calling thread hashes what it brings itself, so that neither
//! waits. Buffers go round: none is allocated for each piece. Without its thread everything is hashed here.

use std::collections::VecDeque;
use std::mem;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::thread::{self, JoinHandle};

use aws_lc_rs::digest::{Context, SHA256};

use super::disk::{BLOCK, CHUNK, put};

/// A hash of the tree.
pub(super) type Hash = [u8; HASH];

/// How many cores hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cores {
    /// The calling thread hashes.
    One,
    /// The calling thread reads, and hashes with the help of another.
    Two,
}

/// Hashes blocks in order.
pub(super) struct Hasher {
    salted: Salted,
    worker: Option<Worker>,
    /// What is due, in order: the hashes of a piece, or `None` while the worker has it.
    due: VecDeque<Option<Vec<Hash>>>,
    /// Buffers that came back.
    free: Vec<Vec<u8>>,
}

struct Worker {
    /// `None` once it is to end.
    pieces: Option<SyncSender<Vec<u8>>>,
    /// Pieces' hashes in order, and their buffers.
    made: Receiver<(Vec<Hash>, Vec<u8>)>,
    handle: Option<JoinHandle<()>>,
}

/// SHA-256 with the salt taken in already.
#[derive(Clone)]
pub(super) struct Salted(Context);

impl Salted {
    pub(super) fn new() -> Self {
        let mut salted = Context::new(&SHA256);
        salted.update(&[0; HASH]);
        Self(salted)
    }

    pub(super) fn hash(&self, block: &[u8]) -> Hash {
        let mut context = self.0.clone();
        context.update(block);
        let mut hash = [0; HASH];
        put(&mut hash, 0, context.finish().as_ref());
        hash
    }

    fn hashes(&self, blocks: &[u8]) -> Vec<Hash> {
        blocks.chunks_exact(BLOCK).map(|block| self.hash(block)).collect()
    }
}

impl Hasher {
    pub(super) fn new(cores: Cores) -> Self {
        let salted = Salted::new();
        let worker = match cores {
            Cores::One => None,
            Cores::Two => Worker::start(salted.clone()),
        };
        Self { salted, worker, due: VecDeque::new(), free: Vec::new() }
    }

    pub(super) fn salted(&self) -> &Salted {
        &self.salted
    }

    /// Takes whole blocks out of the buffer, and returns the hashes that are next in order, as far as they are there.
    pub(super) fn give(&mut self, piece: &mut Vec<u8>) -> Vec<Hash> {
        let Some(worker) = &self.worker else {
            let hashes = self.salted.hashes(piece);
            piece.clear();
            return hashes;
        };
        match worker.take(mem::take(piece)) {
            Ok(()) => {
                self.due.push_back(None);
                *piece = self.free.pop().unwrap_or_else(|| Vec::with_capacity(CHUNK));
            }
            Err(back) => {
                *piece = back;
                self.due.push_back(Some(self.salted.hashes(piece)));
                piece.clear();
            }
        }
        let mut hashes = Vec::new();
        while self.due.len() > DUE_MAX {
            if !self.next(&mut hashes, |made| made.recv().ok()) {
                return hashes;
            }
        }
        while self.next(&mut hashes, |made| made.try_recv().ok()) {}
        hashes
    }

    /// The hashes of everything that was given and is not back yet; fewer if the worker is gone.
    pub(super) fn finish(&mut self) -> Vec<Hash> {
        let mut hashes = Vec::new();
        while self.next(&mut hashes, |made| made.recv().ok()) {}
        hashes
    }

    /// Adds the hashes of the next piece, unless there is none.
    fn next(
        &mut self,
        hashes: &mut Vec<Hash>,
        receive: impl Fn(&Receiver<(Vec<Hash>, Vec<u8>)>) -> Option<(Vec<Hash>, Vec<u8>)>,
    ) -> bool {
        match self.due.pop_front() {
            None => return false,
            Some(Some(made)) => hashes.extend(made),
            Some(None) => match self.worker.as_ref().and_then(|worker| receive(&worker.made)) {
                Some((made, mut buffer)) => {
                    hashes.extend(made);
                    buffer.clear();
                    self.free.push(buffer);
                }
                None => {
                    self.due.push_front(None);
                    return false;
                }
            },
        }
        true
    }
}

impl Worker {
    /// `None` on a machine that starts no more threads.
    fn start(salted: Salted) -> Option<Self> {
        let (pieces, given) = sync_channel::<Vec<u8>>(STOCK);
        let (done, made) = channel();
        let work = move || {
            for piece in given {
                if done.send((salted.hashes(&piece), piece)).is_err() {
                    break;
                }
            }
        };
        let handle = thread::Builder::new().name("verity".to_owned()).spawn(work).ok()?;
        Some(Self { pieces: Some(pieces), made, handle: Some(handle) })
    }

    /// Gives the piece back if the worker has enough, or is gone.
    fn take(&self, piece: Vec<u8>) -> Result<(), Vec<u8>> {
        let Some(pieces) = &self.pieces else { return Err(piece) };
        pieces.try_send(piece).map_err(|error| match error {
            TrySendError::Full(piece) | TrySendError::Disconnected(piece) => piece,
        })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.pieces = None;
        if let Some(handle) = self.handle.take() {
            handle.join().ok();
        }
    }
}

pub(super) const HASH: usize = 32;
/// Pieces that wait for the worker: enough that it has one when the calling thread is busy with its own.
const STOCK: usize = 2;
/// Pieces whose hashes may be due, should the worker be held up: 16 MiB of blocks, 128 KiB of hashes.
const DUE_MAX: usize = 256;
