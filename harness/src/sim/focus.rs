//! Draws what a power cut takes of a disk, and most of all what only this disk may lose.

use std::collections::BTreeSet;

use rand::{Rng, RngExt};

use super::choice::{Chooser, Question};

/// Answers that were given, and what they lose.
pub(crate) struct Noted<'c> {
    chooser: &'c mut dyn Chooser,
    pub(crate) answers: Vec<u32>,
    /// The changes of names and metadata that are lost.
    pub(crate) lost: BTreeSet<u64>,
}

impl<'c> Noted<'c> {
    pub(crate) fn new(chooser: &'c mut dyn Chooser) -> Self {
        Self {
            chooser,
            answers: Vec::new(),
            lost: BTreeSet::new(),
        }
    }
}

impl Chooser for Noted<'_> {
    fn choose(&mut self, answers: u32, question: &Question<'_>) -> u32 {
        let answer = self.chooser.choose(answers, question);
        self.answers.push(answer);
        if let (Question::Name { op, .. } | Question::Metadata { op, .. }, 1) = (question, answer) {
            self.lost.insert(*op);
        }
        answer
    }
}

/// Draws answers for a disk, given what may be lost on another one, on which less may be.
pub(crate) struct Focus<'d, R> {
    rng: R,
    /// What may be lost on both.
    pending: &'d BTreeSet<u64>,
    /// How much is lost of what only this disk may lose: of names, of sizes, of bytes.
    own: [f64; 3],
    /// How much is lost of the rest.
    rest: f64,
}

impl<'d, R: Rng> Focus<'d, R> {
    /// In its first draw, all that is lost is what only this disk may lose.
    pub(crate) fn new(mut rng: R, pending: &'d BTreeSet<u64>, is_first: bool) -> Self {
        let (own, rest) = if is_first {
            ([1.0; 3], 0.0)
        } else {
            let mut draw = |from: &[f64]| from[rng.random_range(0..from.len())];
            let own = [(); 3].map(|()| draw(&[0.0, 0.3, 1.0, 1.0]));
            (own, draw(&[0.0, 0.0, 0.1, 0.5, 1.0]))
        };
        Self {
            rng,
            pending,
            own,
            rest,
        }
    }
}

impl<R: Rng> Chooser for Focus<'_, R> {
    fn choose(&mut self, answers: u32, question: &Question<'_>) -> u32 {
        let [names, sizes, bytes] = self.own;
        let (op, own) = match question {
            Question::Name { op, .. } | Question::Metadata { op, .. } => (Some(op), names),
            Question::Size { .. } => (None, sizes),
            Question::Bytes { ops, .. } => (ops.first(), bytes),
        };
        let is_shared = op.is_some_and(|op| self.pending.contains(op));
        let chance = if is_shared { self.rest } else { own };
        if answers < 2 || !self.rng.random_bool(chance) {
            return 0;
        }
        // The last answer is the oldest version, which is the durable one.
        if self.rng.random_bool(0.5) {
            answers - 1
        } else {
            self.rng.random_range(1..answers)
        }
    }
}
