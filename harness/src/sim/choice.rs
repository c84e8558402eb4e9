//! What a crash decides, and who decides it.
//!
//! Building a crash state asks one question after another: is this name kept, which version of this
//! sector survives. The first answer, 0, always loses nothing. So a list of answers *is* a crash
//! state: it can be enumerated, drawn from a seed, saved, and shrunk towards zeros.

use std::fmt;

use rand::{Rng, RngExt};

/// A question.
#[derive(Clone, Copy, Debug)]
pub enum Question<'a> {
    /// Is this change of names kept (0) or lost (1)?
    Name {
        /// The operation that changed it.
        op: u64,
        /// What changed, in words.
        change: fmt::Arguments<'a>,
    },
    /// Is this change of metadata kept (0) or lost (1)?
    Metadata {
        /// The operation that changed it.
        op: u64,
        /// The file.
        path: &'a str,
        /// What it was changed to, in words.
        change: fmt::Arguments<'a>,
    },
    /// Which of the file's sizes survives, the newest first?
    Size {
        /// The file.
        path: &'a str,
        /// The sizes.
        sizes: &'a [u64],
    },
    /// Which version of these bytes survives? The versions that were written come first, newest
    /// first; then the durable one (zeros in new space) and, in new space, garbage.
    Bytes {
        /// The file.
        path: &'a str,
        /// Where.
        offset: u64,
        /// How many.
        len: usize,
        /// The operations that wrote the versions, newest first.
        ops: &'a [u64],
        /// The durable version is among the answers.
        old: bool,
        /// New space: beyond the end of the durable file.
        new_space: bool,
    },
}

/// Answers questions.
pub trait Chooser {
    /// One of `0..answers`; 0 loses nothing.
    fn choose(&mut self, answers: u32, question: &Question<'_>) -> u32;
}

/// Answers as they were given once; 0 when they run out.
#[derive(Clone, Debug, Default)]
pub struct Replayed<'a> {
    answers: &'a [u32],
    asked: usize,
}

impl<'a> Replayed<'a> {
    /// These answers.
    pub fn new(answers: &'a [u32]) -> Self {
        Self { answers, asked: 0 }
    }
}

impl Chooser for Replayed<'_> {
    fn choose(&mut self, answers: u32, _: &Question<'_>) -> u32 {
        let answer = self.answers.get(self.asked).copied().unwrap_or(0);
        self.asked += 1;
        answer.min(answers - 1)
    }
}

/// Enumerates every list of answers, first the one that loses nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Odometer {
    /// Answers given, and how many there were to choose from.
    digits: Vec<(u32, u32)>,
    asked: usize,
}

impl Odometer {
    /// Moves on to the next list; `false` after the last.
    pub(crate) fn advance(&mut self) -> bool {
        self.digits.truncate(self.asked);
        self.asked = 0;
        while let Some((answer, answers)) = self.digits.pop() {
            if answer + 1 < answers {
                self.digits.push((answer + 1, answers));
                return true;
            }
        }
        false
    }

    pub(crate) fn answers(&self) -> Vec<u32> {
        self.digits.iter().map(|(answer, _)| *answer).collect()
    }
}

impl Chooser for Odometer {
    fn choose(&mut self, answers: u32, _: &Question<'_>) -> u32 {
        if self.asked == self.digits.len() {
            self.digits.push((0, answers));
        }
        self.asked += 1;
        self.digits[self.asked - 1].0
    }
}

/// Draws answers. Each list has a temper of its own, from losing nearly nothing to losing nearly
/// everything, for names, sizes and bytes apart: uniform answers would hardly ever keep, or lose, all
/// of a large write.
#[derive(Clone, Debug)]
pub(crate) struct Sampler<R> {
    rng: R,
    names_lost: f64,
    sizes_lost: f64,
    bytes_lost: f64,
    answers: Vec<u32>,
}

const TEMPERS: [f64; 5] = [0.0, 0.1, 0.5, 0.9, 1.0];

impl<R: Rng> Sampler<R> {
    pub(crate) fn new(mut rng: R) -> Self {
        let mut temper = || TEMPERS[rng.random_range(0..TEMPERS.len())];
        let (names_lost, sizes_lost, bytes_lost) = (temper(), temper(), temper());
        Self {
            rng,
            names_lost,
            sizes_lost,
            bytes_lost,
            answers: Vec::new(),
        }
    }

    pub(crate) fn answers(&self) -> Vec<u32> {
        self.answers.clone()
    }
}

impl<R: Rng> Chooser for Sampler<R> {
    fn choose(&mut self, answers: u32, question: &Question<'_>) -> u32 {
        let lost = match question {
            Question::Name { .. } | Question::Metadata { .. } => self.names_lost,
            Question::Size { .. } => self.sizes_lost,
            Question::Bytes { .. } => self.bytes_lost,
        };
        let answer = if answers > 1 && self.rng.random_bool(lost) {
            self.rng.random_range(1..answers)
        } else {
            0
        };
        self.answers.push(answer);
        answer
    }
}

/// Answers a list, and puts what it loses into words.
#[derive(Clone, Debug)]
pub(crate) struct Narrator<'a> {
    replayed: Replayed<'a>,
    pub(crate) losses: Vec<String>,
}

impl<'a> Narrator<'a> {
    pub(crate) fn new(answers: &'a [u32]) -> Self {
        Self {
            replayed: Replayed::new(answers),
            losses: Vec::new(),
        }
    }
}

impl Chooser for Narrator<'_> {
    fn choose(&mut self, answers: u32, question: &Question<'_>) -> u32 {
        let answer = self.replayed.choose(answers, question);
        if answer > 0 {
            self.losses
                .push(Loss(question, answer as usize).to_string());
        }
        answer
    }
}

/// An answer that loses something, in words.
struct Loss<'a>(&'a Question<'a>, usize);

impl fmt::Display for Loss<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(question, answer) = *self;
        match question {
            Question::Name { op, change } => {
                write!(f, "{change} (operation {op}) is lost")
            }
            Question::Metadata { op, path, change } => {
                write!(f, "the {change} of {path} (operation {op}) is lost")
            }
            Question::Size { path, sizes } => write!(
                f,
                "{path} is {} bytes long, not {}",
                sizes[answer], sizes[0]
            ),
            Question::Bytes {
                path,
                offset,
                len,
                ops,
                old,
                new_space,
            } => {
                let end = offset + *len as u64;
                write!(f, "{path}, bytes {offset}..{end}: ")?;
                match ops.get(answer) {
                    Some(op) => write!(f, "what operation {op} wrote is there")?,
                    None if !old || answer > ops.len() => f.write_str("garbage is there")?,
                    None if *new_space => f.write_str("zeros are there")?,
                    None => f.write_str("the old bytes are there")?,
                }
                write!(f, ", what operation {} wrote is lost", ops[0])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: Question<'static> = Question::Size {
        path: "/file",
        sizes: &[1, 0],
    };

    /// Asks a second question only if the first was answered with 0.
    fn ask(chooser: &mut impl Chooser) -> Vec<u32> {
        let first = chooser.choose(2, &QUESTION);
        let mut answers = vec![first];
        if first == 0 {
            answers.push(chooser.choose(3, &QUESTION));
        }
        answers
    }

    #[test]
    fn an_odometer_gives_every_list_once() {
        let mut odometer = Odometer::default();
        let mut lists = Vec::new();
        loop {
            lists.push(ask(&mut odometer));
            assert_eq!(lists.last(), Some(&odometer.answers()));
            if !odometer.advance() {
                break;
            }
        }
        assert_eq!(lists, [vec![0, 0], vec![0, 1], vec![0, 2], vec![1]]);
    }

    #[test]
    fn answers_that_were_drawn_can_be_given_again() {
        for seed in 0..50 {
            let mut sampler = Sampler::new(crate::workload::stream(seed, 0));
            let drawn = ask(&mut sampler);
            let saved = sampler.answers();
            assert_eq!(ask(&mut Replayed::new(&saved)), drawn);
        }
    }
}
