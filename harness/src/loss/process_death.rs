//! Process death: everything that was written survives, but a write may be cut.
//!
//! States inside a write are made from the two around it: the old bytes with a prefix of the new
//! ones, cut at page boundaries, where real kills cut, and at a few offsets drawn from the seed.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::{ControlFlow, Range};
use std::path::PathBuf;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::contract::LossModel;
use crate::history::Event;
use crate::image::Image;
use crate::recorder::{Recording, Step, Traced};
use crate::store::Mark;
use crate::trace::{Call, Kind};

const PAGE: usize = 4096;
/// Cuts inside one write at page boundaries, at most.
const PAGE_CUTS_MAX: usize = 8;
/// Further cuts, drawn.
const DRAWN_CUTS: usize = 2;

/// Where a traced run is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillPoint {
    /// After this number of system calls on the directory.
    pub calls: u64,
    /// Inside the last of them, after this number of bytes of it were written.
    #[serde(default)]
    pub inside: Option<u64>,
}

/// What a killed process leaves.
#[derive(Clone, Debug)]
pub(crate) struct Death {
    /// The directory before the write that is cut; the whole image if none is.
    base: Image,
    cut: Option<Cut>,
    /// What had been announced.
    pub(crate) mark: Mark,
    /// Where a run has to be killed to leave it again, if a call's end or inside says so.
    pub(crate) kill: Option<KillPoint>,
    /// In words: `before fdatasync(log)`.
    pub(crate) point: String,
}

/// A write that was cut.
#[derive(Clone, Debug)]
struct Cut {
    file: PathBuf,
    /// The bytes that were written.
    written: Range<usize>,
    /// The directory after the whole write.
    after: Image,
}

impl Death {
    /// The directory. A file with a cut write is put together for each call: a run has many of them, and
    /// each is as large as its file.
    pub(crate) fn image(&self) -> Image {
        let Some(Cut {
            file,
            written,
            after,
        }) = &self.cut
        else {
            return self.base.clone();
        };
        let old = self.base.file(file).unwrap_or(&[]);
        let new = after.file(file).expect("it was written");
        let mut bytes = old.to_vec();
        bytes.resize(old.len().max(written.end), 0);
        bytes[written.clone()].copy_from_slice(&new[written.clone()]);
        self.base.with_file(file, bytes)
    }

    /// The same in a recovery of a state. What had been announced there is known still.
    pub(crate) fn in_recovery_of(self, state: &Self) -> Self {
        Self {
            mark: state.mark.clone(),
            point: format!("{}, then in recovery {}", state.point, self.point),
            ..self
        }
    }

    /// Two states with equal files and equal announcements are one.
    pub(crate) fn fingerprint(image: &Image, events: &[Event]) -> u64 {
        let mut hasher = DefaultHasher::new();
        image.fingerprint().hash(&mut hasher);
        events.hash(&mut hasher);
        hasher.finish()
    }
}

/// Draws the cuts.
pub(crate) struct ProcessDeath<'r> {
    pub(crate) rng: &'r mut ChaCha8Rng,
    /// A cut that must be among them.
    pub(crate) wanted: Option<KillPoint>,
}

impl LossModel<Traced> for ProcessDeath<'_> {
    type State<'s> = Death;

    fn crash_states<B>(
        &mut self,
        recording: &Traced,
        moments: Range<usize>,
        mut visit: impl FnMut(usize, Death) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let moments = moments.start..moments.end.min(recording.moments());
        for moment in moments {
            let Some(number) = moment.checked_sub(1) else {
                visit(
                    moment,
                    Death {
                        base: recording.base.clone(),
                        cut: None,
                        mark: Mark::Nothing,
                        kill: Some(KillPoint {
                            calls: 0,
                            inside: None,
                        }),
                        point: "before the first call".to_owned(),
                    },
                )?;
                continue;
            };
            let (number, is_after) = (number / 2, number % 2 == 1);
            let step = &recording.steps[number];
            if !is_after {
                visit(
                    moment,
                    Death {
                        base: step.before.image.clone(),
                        cut: None,
                        mark: step.before.mark.clone(),
                        kill: None,
                        point: format!("before {}", step.call),
                    },
                )?;
                continue;
            }
            for state in self.after(step, number as u64 + 1) {
                visit(moment, state)?;
            }
        }
        ControlFlow::Continue(())
    }
}

impl ProcessDeath<'_> {
    /// The states inside a call, if it is a write, and the one after it.
    fn after(&mut self, step: &Step, calls: u64) -> Vec<Death> {
        let Some(after) = &step.after else {
            return Vec::new();
        };
        let mut states = Vec::new();
        if let Some((name, range)) = written_range(&step.call, &step.base, &after.image)
            && after.image.file(&name).is_some()
        {
            for cut in self.cuts(&range, calls) {
                states.push(Death {
                    base: step.base.clone(),
                    cut: Some(Cut {
                        file: name.clone(),
                        written: range.start..cut,
                        after: after.image.clone(),
                    }),
                    mark: after.mark.clone(),
                    kill: Some(KillPoint {
                        calls,
                        inside: Some((cut - range.start) as u64),
                    }),
                    point: format!("{} bytes into {}", cut - range.start, step.call),
                });
            }
        }
        states.push(Death {
            base: after.image.clone(),
            cut: None,
            mark: after.mark.clone(),
            kill: Some(KillPoint {
                calls,
                inside: None,
            }),
            point: format!("after {}", step.call),
        });
        states
    }

    /// Where a write to these bytes of a file is cut.
    fn cuts(&mut self, range: &Range<usize>, calls: u64) -> Vec<usize> {
        let pages = (range.start / PAGE + 1..range.end.div_ceil(PAGE)).map(|page| page * PAGE);
        let mut cuts: Vec<usize> = pages.take(PAGE_CUTS_MAX).collect();
        if range.len() > 1 {
            cuts.extend((0..DRAWN_CUTS).map(|_| self.rng.random_range(range.start + 1..range.end)));
        }
        if let Some(KillPoint {
            calls: wanted_calls,
            inside: Some(bytes),
        }) = self.wanted
            && wanted_calls == calls
        {
            let wanted = usize::try_from(bytes).ok();
            let wanted = wanted.and_then(|bytes| range.start.checked_add(bytes));
            cuts.extend(wanted.filter(|cut| range.contains(cut)));
        }
        cuts
    }
}

/// Which bytes of which file a call wrote, if it is a write.
fn written_range(call: &Call, before: &Image, after: &Image) -> Option<(PathBuf, Range<usize>)> {
    if call.kind() != Kind::Write {
        return None;
    }
    let name = call.paths().first()?.clone();
    let (old, new) = (before.file(&name).unwrap_or(&[]), after.file(&name)?);
    let same = old
        .iter()
        .zip(new)
        .take_while(|(old, new)| old == new)
        .count();
    if same == new.len() {
        return None;
    }
    let len = usize::try_from(call.length()?).ok()?;
    // A file that is open to be appended to is written at its end, whatever pwrite is told.
    let start = call
        .offset()
        .and_then(|at| usize::try_from(at).ok())
        .filter(|at| *at <= same && same - at < len)
        .unwrap_or(same);
    let end = start.checked_add(len)?.min(new.len());
    (start < end).then_some((name, start..end))
}
