//! What a store is to its callers: a few registers, written together, compared and set, and read together.

use todc_utils::{
    linearizability::{
        WGLChecker,
        history::{Action, History},
    },
    specifications::Specification,
};

/// As many registers.
pub(super) const KEYS: usize = 3;

/// An operation with its answer. No two write the same value; 0 is no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Write {
        keys: Vec<usize>,
        value: u32,
    },
    /// The register had the value that was expected, and has the new one.
    Set {
        key: usize,
        expected: u32,
        value: u32,
    },
    /// The register had another value.
    Refused {
        key: usize,
        expected: u32,
    },
    /// Nobody knows whether it was done; if it was, then at some moment after its call.
    Doubted {
        keys: Vec<usize>,
        expected: Option<u32>,
        value: u32,
    },
    Read {
        seen: [u32; KEYS],
    },
}

#[derive(Clone, Debug)]
pub(super) enum Event {
    Call(Operation),
    Return(Operation),
}

/// Is there an order of these operations, each at one moment between its call and its return, that explains every answer?
pub(super) fn linearizable(events: Vec<(usize, Event)>) -> bool {
    let actions = events.into_iter().map(|(id, event)| match event {
        Event::Call(operation) => (id, Action::Call(operation)),
        Event::Return(operation) => (id, Action::Response(operation)),
    });
    WGLChecker::<Registers>::is_linearizable(History::from_actions(actions.collect()))
}

struct Registers;

impl Specification for Registers {
    type State = [u32; KEYS];
    type Operation = Operation;

    fn init() -> Self::State {
        [0; KEYS]
    }

    fn apply(operation: &Operation, state: &Self::State) -> (bool, Self::State) {
        let with = |keys: &[usize], value: u32| {
            let mut next = *state;
            keys.iter().for_each(|key| next[*key] = value);
            next
        };
        match operation {
            Operation::Write { keys, value } => (true, with(keys, *value)),
            Operation::Set { key, expected, value } => {
                (state[*key] == *expected, with(&[*key], *value))
            }
            Operation::Refused { key, expected } => (state[*key] != *expected, *state),
            // Its return is at the end of the history, where having been done changes nothing for anybody.
            Operation::Doubted { keys, expected, value } => match expected {
                Some(expected) if state[keys[0]] != *expected => (true, *state),
                Some(_) | None => (true, with(keys, *value)),
            },
            Operation::Read { seen } => (seen == state, *state),
        }
    }
}
