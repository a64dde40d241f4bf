//! The store's protocol as a model: servers that commit, follow, save snapshots, rotate keys, raise the anchor and compact, over a log whose only promise is that a place is taken
//! once. Requests may be lost on their way, or their answers on the way back. Stateright visits every state.
//!
//! It is the protocol and not the code: what is modelled is who may write what on the strength of what it has seen.

use stateright::{Model, Property};

/// How much of everything there is, and which rule is left out.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    /// Servers.
    pub servers: usize,
    /// The log ends here.
    pub most: usize,
    /// Whether a compacted commit leaves a mark in its place.
    pub marks: Marks,
    /// What compaction leaves alone.
    pub caution: Caution,
}

/// Whether a compacted commit leaves a mark in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marks {
    /// As the store does.
    Left,
    /// The place is free again.
    Missing,
}

/// What compaction leaves alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caution {
    /// Everything that a snapshot does not cover.
    Snapshots,
    /// Nothing but the last commit.
    None,
}

/// One server: what it has seen, and what it has sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    /// The commits that its state is the fold of.
    seen: Vec<Commit>,
    /// The barrier key that it seals with.
    key: u8,
    /// Sent, with an unknown fate.
    doubt: Option<(usize, Commit)>,
}

/// What a commit is, as far as the protocol looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Commit {
    id: u8,
    /// The key that it is sealed under.
    key: u8,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Write,
    /// Later commits are sealed under the next key.
    Rotate,
}

/// A place of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    Free,
    Taken(Commit),
    /// A mark.
    Forgotten,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    log: Vec<Place>,
    servers: Vec<Server>,
    /// Each is the fold up to some commit.
    snapshots: Vec<Vec<Commit>>,
    anchor: usize,
    floor: usize,
    /// What callers were told is durable.
    acknowledged: Vec<(usize, Commit)>,
    /// Every commit that was ever at a place: the true history.
    history: Vec<Commit>,
    /// Something happened that must not.
    broken: bool,
    next: u8,
}

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

/// What may happen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Write(usize, Fate),
    Rotate(usize, Fate),
    /// What is in doubt is sent again.
    Resend(usize),
    Follow(usize),
    Save(usize),
    Anchor(usize),
    Compact(usize),
    /// It dies, and opens again.
    Reopen(usize),
}

impl Protocol {
    fn send(self, world: &mut World, server: usize, n: usize, commit: Commit, fate: Fate) {
        if fate != Fate::RequestLost && matches!(world.log.get(n), None | Some(Place::Free)) {
            while world.log.len() <= n {
                world.log.push(Place::Free);
            }
            world.log[n] = Place::Taken(commit);
            match world.history.get(n) {
                None => world.history.push(commit),
                // A place of the history was taken a second time.
                Some(_) => world.broken = true,
            }
        }
        if fate != Fate::Done {
            world.servers[server].doubt = Some((n, commit));
            return;
        }
        world.servers[server].doubt = None;
        if world.log[n] == Place::Taken(commit) {
            world.acknowledged.push((n, commit));
            Self::apply(&mut world.servers[server], commit);
        }
    }

    fn apply(server: &mut Server, commit: Commit) {
        server.seen.push(commit);
        if commit.kind == Kind::Rotate {
            server.key = commit.key + 1;
        }
    }

    fn follow(world: &mut World, server: usize) -> Option<()> {
        let n = world.servers[server].seen.len();
        let Some(Place::Taken(commit)) = world.log.get(n).copied() else { return None };
        // It has the key, or the protocol has lost it.
        world.broken |= commit.key != world.servers[server].key;
        Self::apply(&mut world.servers[server], commit);
        Some(())
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let first = Commit { id: 0, key: 0, kind: Kind::Write };
        let server = Server { seen: vec![first], key: 0, doubt: None };
        vec![World {
            log: vec![Place::Taken(first)],
            servers: vec![server; self.servers],
            snapshots: Vec::new(),
            anchor: 1,
            floor: 1,
            acknowledged: vec![(0, first)],
            history: vec![first],
            broken: false,
            next: 1,
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        for server in 0..self.servers {
            let its = &world.servers[server];
            if its.doubt.is_some() {
                steps.push(Step::Resend(server));
            } else if its.seen.len() < self.most && usize::from(world.next) <= self.most {
                for fate in [Fate::Done, Fate::AnswerLost, Fate::RequestLost] {
                    steps.push(Step::Write(server, fate));
                    steps.push(Step::Rotate(server, fate));
                }
            }
            steps.extend([
                Step::Follow(server),
                Step::Save(server),
                Step::Anchor(server),
                Step::Compact(server),
                Step::Reopen(server),
            ]);
        }
    }

    fn next_state(&self, before: &World, step: Step) -> Option<World> {
        let mut world = before.clone();
        match step {
            Step::Write(server, fate) | Step::Rotate(server, fate) => {
                let kind =
                    if matches!(step, Step::Rotate(..)) { Kind::Rotate } else { Kind::Write };
                let (n, key) = (world.servers[server].seen.len(), world.servers[server].key);
                let commit = Commit { id: world.next, key, kind };
                world.next += 1;
                self.send(&mut world, server, n, commit, fate);
            }
            Step::Resend(server) => {
                let (n, commit) = world.servers[server].doubt?;
                self.send(&mut world, server, n, commit, Fate::Done);
            }
            Step::Follow(server) => {
                if world.servers[server].doubt.is_some() {
                    return None;
                }
                Self::follow(&mut world, server)?;
            }
            Step::Save(server) => {
                let seen = world.servers[server].seen.clone();
                if world.snapshots.contains(&seen) {
                    return None;
                }
                world.snapshots.push(seen);
                world.snapshots.sort_by_key(Vec::len);
            }
            Step::Anchor(server) => {
                let head = world.servers[server].seen.len();
                if head <= world.anchor {
                    return None;
                }
                world.anchor = head;
            }
            Step::Compact(server) => {
                let covered = match self.caution {
                    Caution::None => world.servers[server].seen.len(),
                    Caution::Snapshots => {
                        let older = world.snapshots.len().checked_sub(2)?;
                        let saved = world.snapshots[older].len();
                        saved.min(world.anchor).min(world.servers[server].seen.len())
                    }
                };
                // The covered commit itself is kept.
                let floor = covered.saturating_sub(1);
                if floor <= world.floor {
                    return None;
                }
                for n in 1..floor {
                    world.log[n] = match self.marks {
                        Marks::Left => Place::Forgotten,
                        Marks::Missing => Place::Free,
                    };
                }
                world.floor = floor;
            }
            Step::Reopen(server) => {
                let first = world.history[0];
                let saved = world.snapshots.last().cloned().unwrap_or_else(|| vec![first]);
                let key = saved.iter().filter(|one| one.kind == Kind::Rotate).count();
                let key = u8::try_from(key).ok()?;
                world.servers[server] = Server { seen: saved, key, doubt: None };
                while Self::follow(&mut world, server).is_some() {}
                // Everything that was acknowledged and everything that was anchored is there again.
                let head = world.servers[server].seen.len();
                world.broken |= head < world.anchor || head < world.history.len();
                if world.servers[server] == before.servers[server] && !world.broken {
                    return None;
                }
            }
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("nothing acknowledged is lost", |_, world: &World| {
                world.acknowledged.iter().all(|(n, one)| world.history.get(*n) == Some(one))
                    && !world.broken
            }),
            Property::always(
                "every server has a beginning of the one history",
                |_, world: &World| {
                    world.servers.iter().all(|one| world.history.starts_with(&one.seen))
                },
            ),
            Property::always("every snapshot is of the one history", |_, world: &World| {
                world.snapshots.iter().all(|one| world.history.starts_with(one))
            }),
            Property::always("the anchor is behind the log", |_, world: &World| {
                world.anchor <= world.history.len()
            }),
            Property::sometimes(
                "a server rotates and another follows",
                |model: &Self, world: &World| {
                    world.servers.iter().filter(|one| one.key > 0).count() == model.servers
                },
            ),
            Property::sometimes("the log is compacted", |_, world: &World| world.floor > 1),
            Property::sometimes("an answer is lost and the commit is kept", |_, world: &World| {
                world.servers.iter().any(|one| {
                    one.doubt.is_some_and(|(n, commit)| world.history.get(n) == Some(&commit))
                })
            }),
        ]
    }
}
