//! Write and sync on the worker thread itself, inside the leader's poll: the article's way.

use super::Flush;

pub(super) fn lead(mut flush: Flush) {
    let group = flush.group().clone();
    let outcome = group.host().write(&mut flush);
    // The next group is led by one of its own members: this task has its answer and must not work
    // for others for ever.
    drop(flush.finish(outcome, false));
}
