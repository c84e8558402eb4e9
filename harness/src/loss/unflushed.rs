//! Unflushed blocks: every prefix of a device's writes, and subsets of those that no flush covered.

use std::ops::{ControlFlow, Range};

use super::contract::LossModel;
use crate::disk::{CrashState, Crashes, Image, Sampling};
use crate::recorder::OnDevice;

/// The states that a sampling draws of a recording, near flushes first.
pub(crate) struct UnflushedBlocks<'r> {
    crashes: Crashes<'r>,
    /// At most this many are handed over.
    states_max: usize,
}

/// A state of the device.
#[derive(Clone, Copy)]
pub(crate) struct Unflushed<'s> {
    pub(crate) state: &'s CrashState,
    crashes: &'s Crashes<'s>,
}

impl<'r> UnflushedBlocks<'r> {
    pub(crate) fn of(recording: &'r OnDevice, sampling: &Sampling, states_max: usize) -> Self {
        Self {
            crashes: Crashes::new(&recording.recording, sampling),
            states_max,
        }
    }

    /// All states that were drawn.
    pub(crate) fn states(&self) -> Vec<Unflushed<'_>> {
        let states = self.crashes.states().iter();
        let states = states.map(|state| Unflushed {
            state,
            crashes: &self.crashes,
        });
        states.collect()
    }
}

impl Unflushed<'_> {
    /// The device, as the crash leaves it.
    pub(crate) fn image(&self) -> Image {
        let image = self.crashes.image(&self.state.outcome);
        image.expect("the state is of this recording")
    }
}

impl LossModel<OnDevice> for UnflushedBlocks<'_> {
    type State<'s> = Unflushed<'s>;

    fn crash_states<B>(
        &mut self,
        _: &OnDevice,
        moments: Range<usize>,
        mut visit: impl FnMut(usize, Unflushed<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        for unflushed in self.states().into_iter().take(self.states_max) {
            let moment = usize::try_from(unflushed.state.index()).expect("in memory");
            if moments.contains(&moment) {
                visit(moment, unflushed)?;
            }
        }
        ControlFlow::Continue(())
    }
}
