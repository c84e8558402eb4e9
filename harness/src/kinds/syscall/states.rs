//! The crash states of a run, and how many of them are examined: a server makes hundreds of calls to start.

use std::collections::HashSet;
use std::ops::ControlFlow;

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::image::{Entry, Image};
use crate::loss::{Cuts, Death, KillPoint, LossModel, ProcessDeath};
use crate::reached::{Place, Process, shape_of};
use crate::recorder::{Recording, Traced};
use crate::tally::Tally;

/// States of a run before its first announcement that are examined.
pub(super) const SILENT_STATES_MAX: usize = 96;
/// How many of a run's states are recovered under trace.
const TRACED_RECOVERIES: usize = 2;
/// States of a recovery that are examined.
pub(super) const RECOVERY_STATES_MAX: usize = 160;

/// The crash states of a run, each with its moment. A cut that is wanted is among them.
pub(super) fn states_of(
    recording: &Traced,
    cuts: Cuts,
    wanted: Option<KillPoint>,
    rng: &mut ChaCha8Rng,
) -> Vec<(usize, Death)> {
    let mut loss = ProcessDeath { rng, cuts, wanted };
    let mut states = Vec::new();
    let all = loss.crash_states(recording, 0..recording.moments(), |moment, state| {
        states.push((moment, state));
        ControlFlow::<()>::Continue(())
    });
    debug_assert!(all.is_continue(), "nothing breaks it off");
    states
}

/// Counts a state of a run.
pub(super) fn count(
    tally: &mut Tally,
    process: Process,
    recording: &Traced,
    moment: usize,
    image: &Image,
) {
    let place = Place::of(process, recording.next_call(moment).as_ref());
    let is_empty = |entry: &Entry<'_>| entry.content().is_some_and(|content| content.len() == 0);
    let names = image
        .entries()
        .filter_map(|entry| Some((entry.name.to_str()?, is_empty(&entry))));
    tally.reached.count(&place, shape_of(names));
}

/// Leaves at most this number of the states whose moments are meant, drawn, and all others.
pub(super) fn thin_out<S>(
    states: &mut Vec<(usize, S)>,
    max: usize,
    is_meant: impl Fn(usize) -> bool,
    rng: &mut ChaCha8Rng,
) {
    let meant = |(place, (moment, _)): (usize, &(usize, S))| is_meant(*moment).then_some(place);
    let mut meant: Vec<usize> = states.iter().enumerate().filter_map(meant).collect();
    if meant.len() <= max {
        return;
    }
    let (_, dropped) = meant.partial_shuffle(rng, max);
    let dropped: HashSet<usize> = dropped.iter().copied().collect();
    let mut place = 0..;
    states.retain(|_| place.next().is_some_and(|place| !dropped.contains(&place)));
}

/// Which of the states are recovered under trace.
pub(super) fn draw_traced(states: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    if states == 0 {
        return Vec::new();
    }
    let draw = |_| rng.random_range(0..states);
    (0..TRACED_RECOVERIES).map(draw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::stream;

    #[test]
    fn only_the_meant_are_thinned_out_and_the_order_stays() {
        let mut states: Vec<(usize, usize)> = (0..100).map(|moment| (moment, moment * 2)).collect();
        thin_out(&mut states, 10, |moment| moment < 60, &mut stream(1, 0));
        assert_eq!(states.len(), 50);
        assert!(states.is_sorted());
        assert!(states.iter().all(|(moment, state)| moment * 2 == *state));
        assert_eq!(
            states.iter().filter(|(moment, _)| *moment >= 60).count(),
            40
        );
        let before = states.clone();
        thin_out(&mut states, 10, |moment| moment < 60, &mut stream(2, 0));
        assert_eq!(states, before);
    }
}
