//! The store's protocol as a model: servers that commit, follow, save snapshots, rotate keys, raise the anchor, compact and prune, over a log whose only promise is that a
//! place is taken once. Requests may be lost on their way, or their answers on the way back. Somebody who writes the storage and holds an old key adds commits and
//! snapshots. Stateright visits every state.
//!
//! It is the protocol and not the code: what is modelled is who may write what on the strength of what it has seen.

mod step;

use stateright::{Model, Property};
pub use step::{Fate, Step};

/// How much of everything there is, and which rule is left out.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    /// Servers.
    pub servers: usize,
    /// The log ends here.
    pub commits: usize,
    /// So many of them are writes.
    pub writes: usize,
    /// So many snapshots lie there at once.
    pub snapshots: usize,
    /// Whether somebody writes the storage who holds an old key.
    pub stranger: Stranger,
    /// What is left out, to see that the model notices.
    pub without: Without,
}

/// Somebody who writes the storage and holds every key from before the one that the anchor is under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stranger {
    /// There is nobody.
    Absent,
    /// It adds a commit, a snapshot, or both.
    Present,
}

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Without {
    /// Every rule holds, as in the store.
    Nothing,
    /// A compacted commit leaves a mark in its place.
    Marks,
    /// Compaction leaves alone what two snapshots under the key in force do not cover.
    Cover,
    /// Where the log is compacted, two snapshots under the new key are stored before a commit names it.
    SavedBeforeRotation,
    /// A rotation is refused if the floor has passed the snapshots that it relies on.
    FloorBelowRotation,
    /// Pruning leaves alone what another server may be preparing a rotation with.
    PruneSpares,
    /// A commit counts only under the key in force.
    KeyOfCommits,
    /// A snapshot counts only under the key in force at the log's end, or a later one.
    KeyOfSnapshots,
    /// The anchor's key was in force at the commit that it names.
    KeyOfAnchor,
}

/// A commit, as far as the protocol looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Commit {
    /// Who made it. A server makes no second one for a place, unless it has opened again and the first is lost for good.
    by: u8,
    /// The key that it is sealed under.
    key: u8,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Kind {
    Write,
    /// Later commits are sealed under the next key.
    Rotate,
    /// Commits between the first and this number are kept no longer.
    Floor(usize),
    /// By somebody who holds an old key.
    Forged,
}

/// What somebody makes who holds an old key.
const FORGED: Commit = Commit { by: u8::MAX, key: 0, kind: Kind::Forged };

/// A place of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    Taken(Commit),
    /// A mark.
    Forgotten,
    /// Compacted without a mark.
    Freed,
}

/// The fold of the log up to some commit.
type Seen = Vec<Commit>;

/// One server: what it has seen, what it has sent and what it has prepared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Server {
    seen: Seen,
    /// Sent to the place after those, with an unknown fate.
    doubt: Option<Commit>,
    /// A rotation: the key that it follows, and the snapshots that it relies on.
    prepared: Option<(u8, Option<usize>)>,
}

/// A stored snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Saved {
    /// The newest commit in it; that commit's hash is its true one even where the rest is forged.
    n: usize,
    key: u8,
    /// The key that is in force after it, as its contents say, if they are not those of the history. A server stores none of that kind.
    forged: Option<u8>,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    log: Vec<Place>,
    servers: Vec<Server>,
    /// In order.
    snapshots: Vec<Saved>,
    /// The commit that is anchored, and the key in force there, under which the anchor is.
    anchor: (usize, u8),
    /// Every commit that was ever made: the true history.
    history: Seen,
    /// What happened that must not.
    broken: Option<&'static str>,
}

/// The key in force after these commits.
fn key(seen: &[Commit]) -> u8 {
    let rotations = seen.iter().filter(|one| one.kind == Kind::Rotate).count();
    u8::try_from(rotations).unwrap_or(u8::MAX)
}

/// The first commit that is kept besides the first, after these commits.
fn floor(seen: &[Commit]) -> usize {
    let floors = seen.iter().filter_map(|one| match one.kind {
        Kind::Floor(floor) => Some(floor),
        Kind::Write | Kind::Rotate | Kind::Forged => None,
    });
    floors.max().unwrap_or(1)
}

impl Model for Protocol {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let first = Commit { by: 0, key: 0, kind: Kind::Write };
        let server = Server { seen: vec![first], doubt: None, prepared: None };
        vec![World {
            log: vec![Place::Taken(first)],
            servers: vec![server; self.servers],
            snapshots: Vec::new(),
            anchor: (1, 0),
            history: vec![first],
            broken: None,
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        self.steps(world, steps);
    }

    fn next_state(&self, before: &World, step: Step) -> Option<World> {
        let mut world = before.clone();
        self.take(&mut world, step)?;
        (world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("nothing acknowledged is lost", |_, world: &World| {
                world.broken.is_none()
            }),
            Property::always(
                "every server has a beginning of the one history",
                |_, world: &World| {
                    world.servers.iter().all(|one| world.history.starts_with(&one.seen))
                },
            ),
            Property::always("the anchor is behind the log", |_, world: &World| {
                world.anchor.0 <= world.history.len()
            }),
            Property::sometimes("all servers are under a new key", |_, world: &World| {
                world.servers.iter().all(|one| key(&one.seen) > 0)
            }),
            Property::sometimes("an answer is lost and the commit is kept", |_, world: &World| {
                world.servers.iter().any(|one| {
                    one.doubt.is_some_and(|sent| world.history.get(one.seen.len()) == Some(&sent))
                })
            }),
        ];
        if self.stranger == Stranger::Absent {
            properties.extend([
                Property::sometimes("a rotation follows a compaction", |_, world: &World| {
                    let rotated = world.history.iter().rposition(|one| one.kind == Kind::Rotate);
                    rotated.is_some_and(|at| floor(&world.history[..at]) > 1)
                }),
                Property::sometimes("a compacted log is opened", |model: &Self, world: &World| {
                    world.log.contains(&Place::Forgotten) && model.opened(world).is_some()
                }),
            ]);
        } else {
            properties.push(Property::sometimes("all is forged", |_, world: &World| {
                world.log.contains(&Place::Taken(FORGED))
                    && world.snapshots.iter().any(|saved| saved.forged.is_some())
            }));
        }
        properties
    }
}
