//! Every state of the protocol, as far as two servers and a short log go.

use stateright::{Checker, HasDiscoveries, Model};
use vouchsafe_oracle_store::{Caution, Marks, Protocol};

fn protocol() -> Protocol {
    Protocol { servers: 2, most: 4, marks: Marks::Left, caution: Caution::Snapshots }
}

#[test]
fn the_protocol_holds_in_every_state() {
    let checked = protocol().checker().threads(2).spawn_bfs().join();
    eprintln!("{} states", checked.unique_state_count());
    checked.assert_properties();
}

#[test]
fn without_marks_a_stalled_server_takes_a_place_that_was_compacted() {
    let checked = Protocol { marks: Marks::Missing, ..protocol() }
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let found = checked.discovery("nothing acknowledged is lost");
    assert!(found.is_some(), "the model has to notice");
}

#[test]
fn compaction_beyond_the_snapshots_loses_the_store() {
    let checked = Protocol { caution: Caution::None, ..protocol() }
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let found = checked.discovery("nothing acknowledged is lost");
    assert!(found.is_some(), "the model has to notice");
}
