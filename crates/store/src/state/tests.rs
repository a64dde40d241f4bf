use super::*;
use crate::{Hash, Value};

fn key(name: &str) -> Key {
    Key::parse(name).unwrap()
}

fn put(name: &str, value: &str) -> Transaction {
    Transaction::new(Timestamp::UNIX_EPOCH).put(key(name), Value::copied(value.as_bytes()).unwrap())
}

fn delete(name: &str) -> Transaction {
    Transaction::new(Timestamp::UNIX_EPOCH).delete(key(name))
}

fn apply(state: &mut State, transactions: &[Transaction]) -> Vec<Applied> {
    let n = state.head().n + 1;
    state.apply(Head { n, hash: Hash::of(&n.to_be_bytes()) }, transactions)
}

fn text(entry: Option<Entry>) -> Option<String> {
    entry.map(|entry| String::from_utf8(entry.value.expose_secret().to_vec()).unwrap())
}

#[test]
fn a_held_version_keeps_seeing_what_it_saw() {
    let mut state = State::new();
    apply(&mut state, &[put("a", "1"), put("b", "1")]);
    let first = state.hold();
    apply(&mut state, &[put("a", "2"), delete("b"), put("c", "2")]);
    let second = state.hold();
    apply(&mut state, &[put("a", "3"), put("b", "3")]);

    let seen = |state: &State, at| ["a", "b", "c"].map(|name| text(state.get_at(&key(name), at)));
    let some = |value: &str| Some(value.to_owned());
    assert_eq!(seen(&state, first), [some("1"), some("1"), None]);
    assert_eq!(seen(&state, second), [some("2"), None, some("2")]);
    assert_eq!(seen(&state, state.version()), [some("3"), some("3"), some("2")]);
    assert_eq!(state.range("", None, 9, first).entries.len(), 2);

    state.release(first);
    assert_eq!(seen(&state, second), [some("2"), None, some("2")]);
    state.release(second);
    assert_eq!(seen(&state, state.version()), [some("3"), some("3"), some("2")]);
    assert!(state.many.is_empty());
    assert!(state.keys.range(Bound::Unbounded).all(|(_, slot)| !slot.has_older()));
}

#[test]
fn a_deleted_key_leaves_nothing_behind() {
    let mut state = State::new();
    apply(&mut state, &[put("a", "1"), delete("a"), delete("never")]);
    assert_eq!(state.slots(), 0);
    apply(&mut state, &[put("a", "1")]);
    let held = state.hold();
    apply(&mut state, &[delete("a")]);
    assert_eq!(text(state.get_at(&key("a"), held)).unwrap(), "1");
    assert!(state.get(&key("a")).is_none());
    state.release(held);
    assert_eq!(state.slots(), 0);
}

#[test]
fn pages_join_to_the_whole_range_in_order() {
    let mut state = State::new();
    let names = ["a", "b/", "b/1", "b/2", "b/3", "b/4", "b0", "c"];
    apply(&mut state, &names.map(|name| put(name, name)));
    for limit in 1..9 {
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let page = state.range("b/", after.as_ref(), limit, state.version());
            assert!(page.entries.len() <= limit);
            seen.extend(page.entries.iter().map(|entry| entry.key.as_str().to_owned()));
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, ["b/", "b/1", "b/2", "b/3", "b/4"], "{limit}");
    }
}

#[test]
fn preconditions_see_the_transactions_before_them_in_the_same_commit() {
    let mut state = State::new();
    let applied = apply(&mut state, &[put("a", "1")]);
    let version = applied[0].version;
    let mut pending = Pending::after(&state);

    let update = put("a", "2").require(key("a"), version);
    state.check(&update, &pending).unwrap();
    pending.add(&update);
    // The same condition again: the first one has used it up.
    assert_eq!(state.check(&update, &pending).unwrap_err(), key("a"));

    let create = put("b", "1").require_absent(key("b"));
    state.check(&create, &pending).unwrap();
    pending.add(&create);
    assert!(state.check(&create, &pending).is_err());
    pending.add(&delete("b"));
    state.check(&create, &pending).unwrap();

    // What the commit then gives are the versions that were foreseen.
    let applied = apply(&mut state, &[update, create]);
    assert_eq!(applied[0].version.number(), version.number() + 1);
    assert_eq!(applied[1].version.number(), version.number() + 2);
}

#[test]
fn deleting_and_writing_again_gives_another_version() {
    let mut state = State::new();
    let first = apply(&mut state, &[put("a", "1")])[0].version;
    apply(&mut state, &[delete("a"), put("a", "1")]);
    let stale = put("a", "2").require(key("a"), first);
    assert!(state.check(&stale, &Pending::after(&state)).is_err());
}

#[test]
fn audit_records_are_numbered_and_found_by_commit() {
    let record = |text: &str| {
        Transaction::new(Timestamp::UNIX_EPOCH).audit(Value::copied(text.as_bytes()).unwrap())
    };
    let mut state = State::new();
    let applied = apply(&mut state, &[record("1"), put("a", "1"), record("2")]);
    assert_eq!(applied.iter().map(|one| one.audited).collect::<Vec<_>>(), [1, 1, 2]);
    apply(&mut state, &[put("a", "2")]);
    apply(&mut state, &[record("3")]);
    let places = |from| {
        state
            .audit_places(from, 99)
            .iter()
            .map(|place| (place.first, place.head.n))
            .collect::<Vec<_>>()
    };
    assert_eq!(places(0), [(1, 1), (3, 3)]);
    assert_eq!(places(2), [(1, 1), (3, 3)]);
    assert_eq!(places(3), [(3, 3)]);
    assert_eq!(places(4), []);
}
