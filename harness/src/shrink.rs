//! Shrinking: the smallest version of a failure.
//!
//! A smaller version that still fails in the same way ([`Violation::class`]) says more: the smallest
//! version of another failure would say nothing of this one. Each crash kind says what the smaller
//! versions are, the largest steps first, and whether one still fails.
//!
//! [`Violation::class`]: crate::oracle::Violation::class

use std::io::{self, ErrorKind};
use std::time::Instant;

use crate::finding::Finding;
use crate::shrink_progress::ShrinkProgress;
use crate::stop::Stop;
use crate::store::Tested;
use crate::workload::{PAYLOAD_BYTES_MIN, Style, Workload};

/// When a search ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline<'a> {
    pub(crate) at: Instant,
    pub(crate) stop: &'a Stop,
    /// Hears of each version that was tried.
    pub(crate) progress: &'a ShrinkProgress,
}

impl Deadline<'_> {
    pub(crate) fn is_over(&self) -> bool {
        self.stop.is_set() || Instant::now() > self.at
    }

    /// Another version was tried.
    pub(crate) fn tried(&self, fails: bool) {
        let left = self.at.saturating_duration_since(Instant::now());
        self.progress.tried(fails, left);
    }
}

/// Takes every step that leaves a failure, until no step does or the time is over.
///
/// After a step that helps, the search goes on behind it: what came before has been tried. It ends
/// when a whole pass over the candidates has not helped.
///
/// # Errors
/// If a candidate cannot be tried.
pub(crate) fn minimise<T, C>(
    mut smallest: T,
    deadline: Deadline<'_>,
    candidates: impl Fn(&T) -> Vec<C>,
    mut still_fails: impl FnMut(C) -> io::Result<Option<T>>,
) -> io::Result<T> {
    loop {
        let mut has_helped = false;
        let mut tried = 0;
        let mut left = candidates(&smallest).into_iter();
        while let Some(candidate) = left.next() {
            if deadline.is_over() {
                return Ok(smallest);
            }
            let tried_now = still_fails(candidate);
            deadline.tried(matches!(tried_now, Ok(Some(_))));
            match tried_now {
                // It was broken off: of this candidate nothing is known.
                Err(error) if deadline.stop.is_set() && error.kind() == ErrorKind::Interrupted => {
                    return Ok(smallest);
                }
                Err(error) => return Err(error),
                Ok(Some(smaller)) => {
                    smallest = smaller;
                    has_helped = true;
                    left = candidates(&smallest).into_iter();
                    left.by_ref().take(tried).for_each(drop);
                }
                Ok(None) => tried += 1,
            }
        }
        if !has_helped {
            return Ok(smallest);
        }
    }
}

/// The same answers to what a power cut takes, with less lost: halves of those that lose nothing first, then
/// smaller parts, down to one.
pub(crate) fn fewer_losses(answers: &[u32]) -> Vec<Vec<u32>> {
    let mut candidates = Vec::new();
    let mut size = answers.len();
    while size > 0 {
        for start in (0..answers.len()).step_by(size) {
            let mut fewer = answers.to_vec();
            let end = (start + size).min(fewer.len());
            fewer[start..end].fill(0);
            if fewer == answers {
                continue;
            }
            while fewer.last() == Some(&0) {
                fewer.pop();
            }
            candidates.push(fewer);
        }
        size /= 2;
    }
    candidates
}

/// Workloads that do less, or less oddly.
pub(crate) fn smaller_workloads(workload: &Workload) -> Vec<Workload> {
    let mut smaller = Vec::new();
    let mut propose = |change: &dyn Fn(&mut Workload)| {
        let mut candidate = workload.clone();
        change(&mut candidate);
        if candidate != *workload {
            smaller.push(candidate);
        }
    };
    propose(&|workload| workload.writers = 1);
    for actions in [1, 2, 3, 5, 8, 16, 64] {
        if workload.actions_max.is_none_or(|max| actions < max) {
            propose(&|workload| workload.actions_max = Some(actions));
        }
    }
    propose(&|workload| workload.writers = workload.writers.div_ceil(2));
    propose(&|workload| workload.style = Style::Steady);
    propose(&|workload| workload.trim_every = None);
    propose(&|workload| workload.replays = false);
    propose(&|workload| workload.refuse_every = u32::MAX);
    if let Some(max) = workload.actions_max {
        for actions in smaller_numbers(max.into()) {
            propose(&|workload| workload.actions_max = u32::try_from(actions).ok());
        }
    }
    for bytes in [8, 64, workload.payload_bytes_max / 2] {
        if bytes < workload.payload_bytes_max && bytes >= PAYLOAD_BYTES_MIN {
            propose(&|workload| workload.payload_bytes_max = bytes);
        }
    }
    smaller
}

/// Half, and one less; never none.
pub(crate) fn smaller_numbers(number: u64) -> impl Iterator<Item = u64> {
    [number / 2, number.saturating_sub(1)]
        .into_iter()
        .filter(move |n| *n > 0 && *n < number)
}

/// A test that plays a script.
pub(crate) struct Test {
    pub(crate) script: String,
    /// What the store survives, in its name.
    pub(crate) promise: &'static str,
}

impl Test {
    /// The test of a finding, ready to be pasted.
    pub(crate) fn of(&self, tested: Tested<'_>, finding: &Finding) -> String {
        let Tested::Subject(subject) = tested else {
            return String::new();
        };
        let plain = |c: char| match c {
            c if c.is_ascii_alphanumeric() => c.to_ascii_lowercase(),
            _ => '_',
        };
        let name: String = finding.subject.chars().map(plain).collect();
        format!(
            "As a test:\n\n\
             /// {violation}\n/// Found by plugpull, {point}.\n\
             #[test]\n\
             fn {name}_survives_{promise}() {{\n    \
                 let script = r#\"{script}\"#;\n    \
                 plugpull::Torture::new({constructor})\n        \
                     .engine({engine:?})\n        \
                     .script(script)\n        \
                     .run()\n        \
                     .unwrap();\n\
             }}\n",
            violation = finding.violation,
            point = finding.crash_point,
            promise = self.promise,
            script = self.script,
            constructor = subject.constructor(),
            engine = finding.engine,
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::crash_kind::CrashKind;
    use crate::finding::Head;
    use crate::oracle::Violation;
    use crate::subject::{RecoverRun, Subject, SubjectError, WriteRun};
    use crate::survivor::Survivors;

    /// Without each number in turn, until what is left does not hold 3 and 17 any more.
    fn minimised(at: Instant, stop: &Stop) -> Vec<u32> {
        let without_one = |numbers: &Vec<u32>| {
            let without = |at: usize| {
                let mut fewer = numbers.clone();
                fewer.remove(at);
                fewer
            };
            (0..numbers.len()).map(without).collect()
        };
        let fails = |numbers: Vec<u32>| {
            let holds = |number| numbers.contains(&number);
            Ok((holds(3) && holds(17)).then_some(numbers))
        };
        let progress = &ShrinkProgress::silent();
        let deadline = Deadline { at, stop, progress };
        let smallest = minimise((0..40).collect(), deadline, without_one, fails);
        smallest.expect("nothing goes wrong")
    }

    struct Unit;
    struct WithFields(#[expect(dead_code, reason = "it makes the type take bytes")] u64);

    impl Subject for Unit {
        fn name(&self) -> &'static str {
            "a-unit"
        }

        fn write(&self, _: &WriteRun) -> Result<(), SubjectError> {
            Ok(())
        }

        fn recover(&self, _: &RecoverRun, _: &mut Survivors) -> Result<(), SubjectError> {
            Ok(())
        }
    }

    impl Subject for WithFields {
        fn name(&self) -> &'static str {
            "with-fields"
        }

        fn write(&self, _: &WriteRun) -> Result<(), SubjectError> {
            Ok(())
        }

        fn recover(&self, _: &RecoverRun, _: &mut Survivors) -> Result<(), SubjectError> {
            Ok(())
        }
    }

    fn printed(subject: &dyn Subject) -> String {
        let test = Test {
            script: "[]".to_owned(),
            promise: "this_script",
        };
        let head = Head::new(
            subject.name(),
            "default",
            Violation::Mangled { position: 1 },
        );
        let finding = Finding::new(CrashKind::Syscall, 1, head).at("before fsync(log)");
        test.of(Tested::Subject(subject), &finding)
    }

    #[test]
    fn a_printed_test_has_the_constructor_or_says_which_one_has_to_be_given() {
        let unit = printed(&Unit);
        assert!(unit.contains("fn a_unit_survives_this_script()"), "{unit}");
        let made = format!(
            "plugpull::Torture::new({})\n",
            std::any::type_name::<Unit>()
        );
        assert!(unit.contains(&made), "{unit}");
        let fields = printed(&WithFields(1));
        let name = std::any::type_name::<WithFields>();
        for part in [
            &format!("let subject: {name} = todo!("),
            "`Subject::constructor`",
        ] {
            assert!(fields.contains(part), "no '{part}' in: {fields}");
        }
    }

    #[test]
    fn what_is_left_cannot_be_made_smaller() {
        let deadline = Instant::now() + Duration::from_mins(1);
        assert_eq!(minimised(deadline, &Stop::default()), [3, 17]);
    }

    #[test]
    fn when_the_time_is_over_the_smallest_so_far_is_left() {
        let smallest = minimised(Instant::now(), &Stop::default());
        assert!(smallest.contains(&3) && smallest.contains(&17));
    }

    #[test]
    fn when_the_end_is_asked_for_the_smallest_so_far_is_left() {
        let stop = Stop::default();
        stop.set();
        let deadline = Instant::now() + Duration::from_mins(1);
        assert_eq!(minimised(deadline, &stop).len(), 40);
    }
}
