//! A generation: what it is to do, and what comes of it.

use std::rc::Rc;

use super::script::Generation;
use crate::finding::Finding;
use crate::history::Event;
use crate::loss::Death;
use crate::recorder::Traced;
use crate::survivor::Survivor;

/// A state that was recovered, and what it showed.
pub(super) struct Examined {
    pub(super) state: Death,
    pub(super) run: Rc<Traced>,
    pub(super) moment: usize,
    pub(super) events: Vec<Event>,
    pub(super) survivors: Vec<Survivor>,
}

/// What came of a generation.
pub(super) enum Generated {
    /// It ended the search.
    Failed(Box<Finding>),
    /// The states of the run, in order, each different one once.
    Examined(Vec<Examined>),
}

/// What a generation is to do.
pub(super) enum Plan<'p> {
    Drawn,
    Scripted(&'p Generation),
}
