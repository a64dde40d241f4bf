//! What may happen.

use crate::{
    Commit, FORGED, Kind, Place, Protocol, Saved, Seen, Server, Stranger, Without, World, floor,
    key,
};

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It is done, and the answer comes.
    Done,
    /// It is done, and the answer is lost.
    AnswerLost,
    /// It is lost.
    RequestLost,
}

/// What may happen, most of it at one server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Write(usize, Fate),
    /// It stores what a rotation needs.
    Prepare(usize),
    Rotate(usize, Fate),
    /// It raises the floor.
    Compact(usize, Fate),
    /// It replaces commits below the floor by marks, and deletes snapshots that are no longer needed.
    Prune(usize),
    /// What is in doubt is sent again.
    Resend(usize),
    Follow(usize),
    Save(usize),
    Anchor(usize),
    /// It dies, and opens again.
    Reopen(usize),
    /// Somebody adds a commit under an old key.
    ForgeCommit,
    /// Somebody adds a snapshot of the newest commit under an old key, with other contents, which say that this key is in force.
    ForgeSnapshot(u8),
}

impl Protocol {
    pub(crate) fn steps(&self, world: &World, steps: &mut Vec<Step>) {
        for (server, its) in world.servers.iter().enumerate() {
            if its.doubt.is_some() {
                steps.extend([Step::Resend(server), Step::Reopen(server)]);
                continue;
            }
            if its.seen.len() < self.commits {
                let written = its.seen.iter().filter(|one| one.kind == Kind::Write).count();
                for fate in [Fate::Done, Fate::AnswerLost, Fate::RequestLost] {
                    if written < self.writes {
                        steps.push(Step::Write(server, fate));
                    }
                    steps.push(Step::Rotate(server, fate));
                    steps.push(Step::Compact(server, fate));
                }
            }
            steps.extend([
                Step::Prepare(server),
                Step::Prune(server),
                Step::Follow(server),
                Step::Save(server),
                Step::Anchor(server),
                Step::Reopen(server),
            ]);
        }
        // A key counts as lost once an anchor under a later one is written.
        if self.stranger == Stranger::Present && world.anchor.1 > 0 {
            steps.extend([Step::ForgeCommit, Step::ForgeSnapshot(0), Step::ForgeSnapshot(1)]);
        }
    }

    /// `None` if it cannot happen.
    pub(crate) fn take(&self, world: &mut World, step: Step) -> Option<()> {
        match step {
            Step::Write(server, fate) => self.commit(world, server, Kind::Write, fate),
            Step::Prepare(server) => self.prepare(world, server)?,
            Step::Rotate(server, fate) => {
                let its = &world.servers[server];
                let (under, saved) = its.prepared?;
                let late = floor(&its.seen) > saved.unwrap_or(1)
                    && !matches!(
                        self.without,
                        Without::FloorBelowRotation | Without::SavedBeforeRotation
                    );
                world.servers[server].prepared = None;
                if under == key(&world.servers[server].seen) && !late {
                    self.commit(world, server, Kind::Rotate, fate);
                }
            }
            Step::Compact(server, fate) => {
                let its = &world.servers[server];
                let covered = match self.without {
                    Without::Cover => its.seen.len(),
                    _ => self.covered(world, its)?,
                };
                let covered = covered.min(world.anchor.0).min(its.seen.len());
                if covered <= floor(&its.seen) {
                    return None;
                }
                self.commit(world, server, Kind::Floor(covered), fate);
            }
            Step::Prune(server) => self.prune(world, server)?,
            Step::Resend(server) => {
                let commit = world.servers[server].doubt?;
                self.send(world, server, commit, Fate::Done);
            }
            Step::Follow(server) => {
                let seen = self.follow(world, world.servers[server].seen.clone()).0;
                world.servers[server].seen = seen;
            }
            Step::Save(server) => {
                let seen = &world.servers[server].seen;
                self.save(world, seen.len(), key(seen))?;
            }
            Step::Anchor(server) => {
                let seen = &world.servers[server].seen;
                if seen.len() > world.anchor.0 {
                    world.anchor = (seen.len(), key(seen));
                }
            }
            Step::Reopen(server) => match self.opened(world) {
                Some(seen) => {
                    if seen.len() < world.history.len() {
                        world.broken = Some("a store opens without what was acknowledged");
                    }
                    world.servers[server] = Server { seen, doubt: None, prepared: None };
                }
                // Whoever writes the storage can always spoil it.
                None if spoilt(world) => {}
                None => world.broken = Some("a store does not open"),
            },
            Step::ForgeCommit => {
                if world.log.iter().any(forged) {
                    return None;
                }
                world.log.push(Place::Taken(FORGED));
            }
            Step::ForgeSnapshot(claimed) => {
                if world.snapshots.iter().any(|one| one.forged.is_some()) {
                    return None;
                }
                let n = world.history.len();
                world.snapshots.push(Saved { n, key: FORGED.key, forged: Some(claimed) });
                world.snapshots.sort();
            }
        }
        Some(())
    }

    fn commit(&self, world: &mut World, server: usize, kind: Kind, fate: Fate) {
        let by = u8::try_from(server).unwrap_or(u8::MAX);
        let commit = Commit { by, key: key(&world.servers[server].seen), kind };
        self.send(world, server, commit, fate);
    }

    fn send(&self, world: &mut World, server: usize, commit: Commit, fate: Fate) {
        let n = world.servers[server].seen.len();
        if fate != Fate::RequestLost {
            let free = match world.log.get(n) {
                None => {
                    world.log.push(Place::Taken(commit));
                    world.history.push(commit);
                    false
                }
                Some(place) => *place == Place::Freed,
            };
            if free {
                world.broken = Some("a place of the history was taken a second time");
            }
        }
        let its = &mut world.servers[server];
        its.doubt = (fate != Fate::Done).then_some(commit);
        if fate == Fate::Done && world.log.get(n) == Some(&Place::Taken(commit)) {
            its.seen.push(commit);
        }
    }

    /// Reads on as far as every commit is in its place and under the key in force, and says whether that is the end.
    fn follow(&self, world: &World, mut seen: Seen) -> (Seen, bool) {
        while let Some(Place::Taken(commit)) = world.log.get(seen.len()) {
            if commit.key != key(&seen) && self.without != Without::KeyOfCommits {
                return (seen, false);
            }
            seen.push(*commit);
        }
        let end = seen.len() == world.log.len();
        (seen, end)
    }

    /// What a server finds that opens the store; `None` if it refuses all of it.
    pub(crate) fn opened(&self, world: &World) -> Option<Seen> {
        let first = Saved { n: 1, key: u8::MAX, forged: None };
        for saved in world.snapshots.iter().rev().chain([&first]) {
            // The log has the commit that it is of.
            let Some(Place::Taken(_)) = world.log.get(saved.n - 1) else { continue };
            // Without a rule there may be snapshots of what never was.
            let mut held = world.history.get(..saved.n)?.to_vec();
            if let Some(claimed) = saved.forged {
                held.fill(FORGED);
                held[..usize::from(claimed)].fill(Commit { kind: Kind::Rotate, ..FORGED });
            }
            let (seen, end) = self.follow(world, held);
            if !end || (saved.key < key(&seen) && self.without != Without::KeyOfSnapshots) {
                continue;
            }
            // What the anchor says refuses all, and not this snapshot alone.
            let (anchored, under) = world.anchor;
            let agrees = seen.len() >= anchored && key(&seen[..anchored]) == under;
            return (agrees || self.without == Without::KeyOfAnchor).then_some(seen);
        }
        None
    }

    /// The older one of the two newest snapshots that are of this history, under the key in force or a later one.
    fn covered(&self, world: &World, server: &Server) -> Option<usize> {
        let counts = |saved: &&Saved| {
            saved.forged.is_none() && saved.n <= server.seen.len() && saved.key >= key(&server.seen)
        };
        world.snapshots.iter().rev().filter(counts).nth(1).map(|saved| saved.n)
    }

    fn save(&self, world: &mut World, n: usize, key: u8) -> Option<()> {
        let ours = world.snapshots.iter().filter(|saved| saved.forged.is_none()).count();
        if ours >= self.snapshots || n == 1 {
            return None;
        }
        world.snapshots.push(Saved { n, key, forged: None });
        world.snapshots.sort();
        Some(())
    }

    fn prepare(&self, world: &mut World, server: usize) -> Option<()> {
        let seen = world.servers[server].seen.clone();
        let under = key(&seen);
        if under >= ROTATIONS || world.servers[server].prepared.is_some() {
            return None;
        }
        let mut saved = None;
        if floor(&seen) > 1 && self.without != Without::SavedBeforeRotation {
            self.save(world, seen.len(), under + 1)?;
            self.save(world, seen.len(), under + 1)?;
            saved = Some(seen.len());
        }
        world.servers[server].prepared = Some((under, saved));
        Some(())
    }

    fn prune(&self, world: &mut World, server: usize) -> Option<()> {
        let its = world.servers[server].clone();
        let (floor, key) = (floor(&its.seen), key(&its.seen));
        for n in 2..floor {
            let mark = if self.without == Without::Marks { Place::Freed } else { Place::Forgotten };
            world.log[n - 1] = mark;
        }
        let older = self.covered(world, &its)?;
        world.snapshots.retain(|saved| {
            let spared = floor > 1 && saved.n >= floor && saved.key > key;
            saved.n >= older || (spared && self.without != Without::PruneSpares)
        });
        Some(())
    }
}

fn spoilt(world: &World) -> bool {
    world.log.iter().any(forged) || world.snapshots.iter().any(|one| one.forged.is_some())
}

fn forged(place: &Place) -> bool {
    *place == Place::Taken(FORGED)
}

const ROTATIONS: u8 = 1;
