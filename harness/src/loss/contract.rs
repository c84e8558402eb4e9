//! What every loss model can do.

use std::ops::{ControlFlow, Range};

use crate::recorder::Recording;

/// What a crash takes of a recorded run.
pub(crate) trait LossModel<R: Recording> {
    /// A crash state, and what it takes to come to it again.
    type State<'s>;

    /// Hands the crash states of these moments to `visit`, each with its moment, until it breaks off. A
    /// state that can come about at several moments is handed over once.
    fn crash_states<B>(
        &mut self,
        recording: &R,
        moments: Range<usize>,
        visit: impl FnMut(usize, Self::State<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B>;
}
