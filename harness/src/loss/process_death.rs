//! Process death: everything that was written survives, but a write may be cut.
//!
//! States inside a write are made from the two around it: the old bytes with a prefix of the new ones.
//!
//! A kill cuts a write between two pages of the file, if at all: the kernel looks for a fatal signal
//! there. Measured on Linux 6.18 with writes of 8 KiB that began on a page: 487 of 3,000 kills cut one on
//! a tmpfs, none on ext4, and none cut one inside a page. Other cuts are made where they are asked for.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::{ControlFlow, Range};
use std::path::PathBuf;
use std::str::FromStr;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::contract::LossModel;
use crate::history::Event;
use crate::image::Image;
use crate::recorder::{Recording, Step, Traced, Written};

const PAGE: u64 = crate::pages::PAGE_BYTES as u64;
/// Cuts inside one write at page boundaries, at most.
const PAGE_CUTS_MAX: usize = 8;
/// Further cuts, drawn.
const DRAWN_CUTS: usize = 2;

/// Where a write is cut by the death of the process that makes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cuts {
    /// Between two pages of the file, as a kill does it.
    #[default]
    Pages,
    /// Between any two bytes as well. No kill on Linux leaves such a state; a store that withstands it
    /// depends on less.
    Anywhere,
}

impl Cuts {
    const ALL: [(Self, &str); 2] = [(Self::Pages, "pages"), (Self::Anywhere, "anywhere")];
}

impl fmt::Display for Cuts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(cuts, _)| cuts == self);
        f.pad(name.expect("all are there").1)
    }
}

impl FromStr for Cuts {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(_, known)| *known == name);
        let found = found.map(|(cuts, _)| *cuts);
        found.ok_or_else(|| format!("writes are cut at `pages` or `anywhere`, not '{name}'"))
    }
}

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
    /// The directory, if no write is cut; else after the whole write.
    image: Image,
    cut: Option<Cut>,
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
    written: Range<u64>,
    /// The directory before the write.
    before: Image,
}

impl Death {
    /// The directory. A file with a cut write is put together for each call.
    pub(crate) fn image(&self) -> Image {
        let cut = self.cut.as_ref().and_then(|cut| {
            let Cut {
                file,
                written,
                before,
            } = cut;
            self.image.with_part_written(file, before, written.clone())
        });
        cut.unwrap_or_else(|| self.image.clone())
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
    pub(crate) cuts: Cuts,
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
                let kill = KillPoint {
                    calls: 0,
                    inside: None,
                };
                let point = "before the first call".to_owned();
                visit(moment, Death::whole(&recording.base, Some(kill), point))?;
                continue;
            };
            let Some(step) = recording.steps.get(number / 2) else {
                let end = recording.end.as_ref().expect("the last moment is the end");
                visit(moment, Death::whole(end, None, "at its end".to_owned()))?;
                continue;
            };
            if number % 2 == 0 {
                let point = format!("before {}", step.call);
                visit(moment, Death::whole(&step.before.image, None, point))?;
                continue;
            }
            for state in self.after(step, number as u64 / 2 + 1) {
                visit(moment, state)?;
            }
        }
        ControlFlow::Continue(())
    }
}

impl Death {
    fn whole(image: &Image, kill: Option<KillPoint>, point: String) -> Self {
        Self {
            image: image.clone(),
            cut: None,
            kill,
            point,
        }
    }
}

impl ProcessDeath<'_> {
    /// The states inside a call, if it is a write, and the one after it.
    fn after(&mut self, step: &Step, calls: u64) -> Vec<Death> {
        let Some(after) = &step.after else {
            return Vec::new();
        };
        let mut states = Vec::new();
        if let Some(Written { file, range }) = &step.written {
            for cut in self.cuts(range, calls) {
                let inside = cut - range.start;
                let kill = KillPoint {
                    calls,
                    inside: Some(inside),
                };
                let point = format!("{inside} bytes into {}", step.call);
                states.push(Death {
                    cut: Some(Cut {
                        file: file.clone(),
                        written: range.start..cut,
                        before: step.base.clone(),
                    }),
                    ..Death::whole(&after.image, Some(kill), point)
                });
            }
        }
        let kill = KillPoint {
            calls,
            inside: None,
        };
        let point = format!("after {}", step.call);
        states.push(Death::whole(&after.image, Some(kill), point));
        states
    }

    /// Where a write to these bytes of a file is cut.
    fn cuts(&mut self, range: &Range<u64>, calls: u64) -> Vec<u64> {
        let pages = (range.start / PAGE + 1..range.end.div_ceil(PAGE)).map(|page| page * PAGE);
        let mut cuts: Vec<u64> = pages.take(PAGE_CUTS_MAX).collect();
        let bytes = range.end - range.start;
        if self.cuts == Cuts::Anywhere && bytes > 1 {
            cuts.extend((0..DRAWN_CUTS).map(|_| self.rng.random_range(range.start + 1..range.end)));
        }
        if let Some(KillPoint {
            calls: wanted_calls,
            inside: Some(bytes),
        }) = self.wanted
            && wanted_calls == calls
        {
            let wanted = range.start.checked_add(bytes);
            cuts.extend(wanted.filter(|cut| range.contains(cut)));
        }
        cuts
    }
}
