//! Every state of the protocol, as far as two servers and a short log go.

use stateright::{Checker, HasDiscoveries, Model};
use vouchsafe_oracle_protocol::{Protocol, Stranger, Without};

/// Compaction and rotation cross.
fn alone(without: Without) -> Protocol {
    Protocol {
        servers: 2,
        commits: 5,
        writes: 2,
        snapshots: 4,
        stranger: Stranger::Absent,
        without,
    }
}

/// A rotation, and somebody who holds the key from before.
fn beset(without: Without) -> Protocol {
    Protocol {
        servers: 2,
        commits: 4,
        writes: 2,
        snapshots: 2,
        stranger: Stranger::Present,
        without,
    }
}

fn holds(protocol: Protocol) {
    let checked = protocol.checker().threads(2).spawn_bfs().join();
    println!("{} states", checked.unique_state_count());
    checked.assert_properties();
}

/// Without its rule something acknowledged is lost, or something forged is believed.
fn fails(protocol: Protocol) {
    let any = HasDiscoveries::AnyFailures;
    let checked = protocol.checker().finish_when(any).threads(2).spawn_bfs().join();
    let lost = checked.discovery("nothing acknowledged is lost");
    let believed = checked.discovery("every server has a beginning of the one history");
    let what = format!("{:?}: {} states", protocol.without, checked.unique_state_count());
    let path = lost.or(believed).unwrap_or_else(|| panic!("nobody misses it: {what}"));
    println!("{what}: {:?}", path.into_actions());
}

#[test]
fn the_protocol_holds_in_every_state() {
    holds(alone(Without::Nothing));
}

#[test]
fn it_holds_against_an_old_key() {
    holds(beset(Without::Nothing));
}

#[test]
fn no_rule_of_compaction_is_superfluous() {
    fails(alone(Without::Marks));
    fails(alone(Without::Cover));
    fails(alone(Without::SavedBeforeRotation));
    fails(alone(Without::FloorBelowRotation));
    fails(alone(Without::PruneSpares));
}

#[test]
fn no_rule_about_keys_is_superfluous() {
    fails(beset(Without::KeyOfCommits));
    fails(beset(Without::KeyOfSnapshots));
    fails(beset(Without::KeyOfAnchor));
}
