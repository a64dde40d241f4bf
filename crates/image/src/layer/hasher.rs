//! The hashes of blocks, made here or by two threads beside.
//!
//! Blocks are handed over in pieces and come back as hashes in the same order, so what is made of them does not depend
//! on the threads. A few pieces are under way at a time, so memory stays small.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use aws_lc_rs::digest::{Context, SHA256};

use super::disk::{BLOCK, put};

/// A hash of the tree.
pub(super) type Hash = [u8; HASH];

/// How many cores hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cores {
    /// The calling thread hashes.
    One,
    /// Two threads hash, while the calling one reads.
    Two,
}

/// Hashes blocks in order.
pub(super) struct Hasher {
    salted: Salted,
    threads: Vec<Thread>,
    /// Which thread has each piece that is under way, in order.
    under_way: VecDeque<usize>,
    next: usize,
}

struct Thread {
    /// `None` once it is to end.
    pieces: Option<SyncSender<Vec<u8>>>,
    hashes: Receiver<Vec<Hash>>,
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
        let threads = match cores {
            Cores::One => Vec::new(),
            Cores::Two => (0..2).map(|_| Thread::start(salted.clone())).collect(),
        };
        Self { salted, threads, under_way: VecDeque::new(), next: 0 }
    }

    pub(super) fn salted(&self) -> &Salted {
        &self.salted
    }

    /// Takes whole blocks, and returns hashes of earlier ones, or of these, if any are due.
    pub(super) fn give(&mut self, blocks: &[u8]) -> Vec<Hash> {
        let Some(thread) = self.threads.get(self.next) else { return self.salted.hashes(blocks) };
        let given = thread.pieces.as_ref().map(|pieces| pieces.send(blocks.to_vec()));
        if !matches!(given, Some(Ok(()))) {
            // Without its thread a piece is hashed here, after those before it.
            let mut hashes = self.finish();
            hashes.extend(self.salted.hashes(blocks));
            return hashes;
        }
        self.under_way.push_back(self.next);
        self.next = (self.next + 1) % self.threads.len();
        if self.under_way.len() > UNDER_WAY { self.take() } else { Vec::new() }
    }

    /// The hashes of everything that was given and is not back yet.
    pub(super) fn finish(&mut self) -> Vec<Hash> {
        let mut hashes = Vec::new();
        while !self.under_way.is_empty() {
            hashes.extend(self.take());
        }
        hashes
    }

    fn take(&mut self) -> Vec<Hash> {
        let thread = self.under_way.pop_front().and_then(|thread| self.threads.get(thread));
        thread.and_then(|thread| thread.hashes.recv().ok()).unwrap_or_default()
    }
}

impl Thread {
    fn start(salted: Salted) -> Self {
        let (pieces, given) = sync_channel::<Vec<u8>>(UNDER_WAY);
        let (made, hashes) = sync_channel(UNDER_WAY + 1);
        let work = move || {
            for piece in given {
                if made.send(salted.hashes(&piece)).is_err() {
                    break;
                }
            }
        };
        // A machine that starts no more threads hashes where it is called: the channel is closed then.
        let handle = thread::Builder::new().name("verity".to_owned()).spawn(work).ok();
        Self { pieces: Some(pieces), hashes, handle }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.pieces = None;
        // A piece that waits to be taken must not keep the thread.
        while self.hashes.recv().is_ok() {}
        if let Some(handle) = self.handle.take() {
            handle.join().ok();
        }
    }
}

pub(super) const HASH: usize = 32;
/// Pieces that are given and not back yet.
const UNDER_WAY: usize = 4;
