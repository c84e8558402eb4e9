//! The write groups of one log, as all its members share them.

use super::host::Host;
use super::state::{Life, State};
use super::terms::{Limits, Refusal};
use super::wakes::Wakes;
use crate::sync::{Arc, Mutex, lock};

/// The write groups of one log.
pub(crate) struct Group<H: Host> {
    pub(super) host: H,
    /// Apart from the host: a turn holds the state, but not the log.
    pub(super) state: Arc<Mutex<State<H>>>,
}

impl<H: Host> Group<H> {
    /// Groups that begin at `next_seq`.
    pub(crate) fn new(host: H, limits: Limits, next_seq: u64, trim_seq: u64) -> Self {
        let state = State::new(limits, next_seq, trim_seq);
        Self {
            host,
            state: Arc::new(Mutex::new(state)),
        }
    }

    pub(crate) fn host(&self) -> &H {
        &self.host
    }

    /// Every entry below it is durable.
    pub(crate) fn durable_seq(&self) -> u64 {
        lock(&self.state).next_seq
    }

    /// Every entry below it has been trimmed, durably.
    pub(crate) fn trim_seq(&self) -> u64 {
        lock(&self.state).trim_seq
    }

    /// Poisons the log for a reason found outside of a flush. A flush that is in flight ends as it will.
    pub(crate) fn stop(&self, error: H::Error) {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        state.poison(error, &mut wakes);
        drop(state);
        wakes.wake();
    }

    /// Lets no further member in. Members that wait for room are refused; those that have joined will be
    /// written.
    pub(crate) fn begin_closing(&self) {
        let mut wakes = Wakes::default();
        let mut state = lock(&self.state);
        if matches!(state.life, Life::Open) {
            state.life = Life::Closing;
            state.turn_away(&Refusal::Closed, &mut wakes);
        }
        drop(state);
        wakes.wake();
    }
}
