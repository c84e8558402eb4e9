//! A traced run, followed by a simulated file system, which knows what is durable.
//!
//! What a call has done is seen in the directory after it: names, bytes, lengths, attributes. The call itself
//! says what cannot be seen there: that a name was moved and not made anew, which bytes were written again as
//! they were, and what was synced. What changed between two calls, through a mapping, counts as written
//! before the second one. All of it is pending until a sync; a sync counts for what was there when it began.
//!
//! A call has two ends, and in between it may be in flight: a crash finds what was there before its last
//! effect, with the announcements made before it began.

use std::io;
use std::path::Path;

use super::changes::{changes, text};
use super::contract::Recording;
use super::copier::Step;
use super::trace::Traced;
use crate::history::Event;
use crate::image::Image;
use crate::oracle::Violation;
use crate::sim::{self, Act, Bytes, Disk, Follower};
use crate::store::{Announced, Span};
use crate::survivor::Survivor;
use crate::trace::{Durability, Kind};

/// A run whose moments are disks: before each act, and after the last.
#[derive(Debug)]
pub(crate) struct Followed {
    recording: sim::Recording,
    /// What was done.
    pub(crate) acts: Vec<Act>,
    /// The disk at the end, as durable as the run has left it.
    pub(crate) disk: Disk,
    /// What was announced around each moment. `None`: all that was announced.
    spans: Vec<Option<Span>>,
    announced: Announced,
    /// What was announced before the run.
    known: Vec<Event>,
    /// What the store did wrong by itself.
    pub(crate) failed: Option<Violation>,
    /// What a recovery showed.
    pub(crate) recovered: Option<Vec<Survivor>>,
}

impl AsRef<sim::Recording> for Followed {
    fn as_ref(&self) -> &sim::Recording {
        &self.recording
    }
}

impl Recording for Followed {
    fn moments(&self) -> usize {
        self.recording.gaps.len()
    }

    fn announced_at(&self, moment: usize) -> Vec<Event> {
        let mut events = self.known.clone();
        match &self.spans[moment] {
            Some(span) => events.extend(self.announced.during(span)),
            None => events.extend(self.announced.events()),
        }
        events
    }
}

/// Follows a run that began on a disk, which showed what the run found. `known` was announced before the
/// run.
///
/// # Errors
/// If the run did what cannot be followed; the error names it.
pub(crate) fn follow(traced: Traced, disk: Disk, known: Vec<Event>) -> io::Result<Followed> {
    let mut following = Following {
        follower: Follower::new(disk),
        image: traced.base,
        acts: Vec::new(),
        spans: Vec::new(),
        span: Some(Span::NOTHING),
    };
    let mut is_whole = true;
    for step in &traced.steps {
        following.step(step)?;
        if following.follower.is_full() {
            is_whole = false;
            break;
        }
    }
    // A run that was killed in a call, or that is not followed to its end, ends where it was known last.
    if let Some(end) = traced.end.as_ref().filter(|_| is_whole) {
        following.span = None;
        following.catch_up(end)?;
    }
    let Following {
        follower,
        acts,
        mut spans,
        span,
        ..
    } = following;
    spans.push(span);
    let (recording, disk) = follower.recorded();
    Ok(Followed {
        recording,
        acts,
        disk,
        spans,
        announced: traced.announced,
        known,
        failed: traced.failed,
        recovered: traced.recovered,
    })
}

struct Following {
    follower: Follower,
    /// What the follower's disk shows.
    image: Image,
    acts: Vec<Act>,
    /// What was announced around the moment before each act.
    spans: Vec<Option<Span>>,
    /// The same of the present.
    span: Option<Span>,
}

impl Following {
    fn act(&mut self, act: Act) -> io::Result<()> {
        let done = self.follower.act(&act);
        done.map_err(|error| differs(&act, &error))?;
        self.spans.push(self.span.clone());
        self.acts.push(act);
        Ok(())
    }

    /// Does what makes the disk show an image.
    fn catch_up(&mut self, image: &Image) -> io::Result<()> {
        for act in changes(&self.image, image)? {
            self.act(act)?;
        }
        self.image = image.clone();
        Ok(())
    }

    fn step(&mut self, step: &Step) -> io::Result<()> {
        // Done without a call: some time since the call before, so with what was announced by then.
        self.catch_up(&step.before.image)?;
        refuse(step)?;
        self.span = Some(step.before.span.clone());
        // What others do meanwhile is not told from what it does: it is seen before the next call.
        let Some(after) = step.after.as_ref().filter(|_| !step.call.overlaps_others()) else {
            return Ok(());
        };
        let is_sync = step.call.kind() == Kind::Sync;
        if step.succeeded && is_sync {
            self.sync(step)?;
        } else if step.succeeded {
            self.tell_what_cannot_be_seen(step, &after.image)?;
        }
        self.catch_up(&after.image)?;
        if step.succeeded && !is_sync {
            self.sync(step)?;
        }
        self.span = Some(after.span.clone());
        Ok(())
    }

    /// What a call has done that two looks do not show.
    fn tell_what_cannot_be_seen(&mut self, step: &Step, after: &Image) -> io::Result<()> {
        match (step.call.kind(), step.call.paths(), &step.written) {
            (Kind::Rename | Kind::Link, [from, to], _)
                if !step.brings_unsynced && self.image.entry(from).is_none() =>
            {
                self.adopt(to, after)
            }
            (Kind::Rename, [from, to], _) => self.rename(from, to, after),
            (Kind::Write, _, Some(written)) => {
                let range = written.range.clone();
                let image = self.image.with_written(&written.file, after, range.clone());
                let (Some(image), Some(content)) = (
                    image,
                    after.entry(&written.file).and_then(|entry| entry.content()),
                ) else {
                    return Ok(());
                };
                self.act(Act::Write {
                    path: text(&written.file)?,
                    offset: range.start,
                    bytes: Bytes(content.range(range).into()),
                })?;
                self.image = image;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn rename(&mut self, from: &Path, to: &Path, after: &Image) -> io::Result<()> {
        // To elsewhere, it goes.
        let is_here = |path: &Path| self.image.entry(path).is_some();
        if !is_here(from) || to.is_absolute() {
            return Ok(());
        }
        let [from_text, to_text] = [text(from)?, text(to)?];
        if after.entry(from).is_none() {
            self.act(Act::Rename {
                from: from_text,
                to: to_text,
            })?;
            self.image = self.image.with_moved(from, to);
        } else if is_here(to) && !is_one_file(&self.image, from, to) {
            self.act(Act::Exchange {
                one: from_text,
                two: to_text,
            })?;
            // By a name that is nowhere: no path in a directory is absolute.
            let aside = Path::new("/aside");
            let moved = self.image.with_moved(from, aside).with_moved(to, from);
            self.image = moved.with_moved(aside, to);
        }
        Ok(())
    }

    /// A file that had no name here gets one, by a rename or a link. It was synced, or comes from elsewhere and
    /// may have been: its bytes are durable, its name is not.
    fn adopt(&mut self, path: &Path, after: &Image) -> io::Result<()> {
        let Some(entry) = after.entry(path) else {
            return Ok(());
        };
        let Some(content) = entry.content() else {
            return Ok(());
        };
        self.act(Act::Adopt {
            path: text(path)?,
            metadata: entry.metadata().clone(),
            bytes: Bytes(content.range(0..content.len()).into()),
        })?;
        self.image = self.image.with_taken_over(path, after);
        Ok(())
    }

    fn sync(&mut self, step: &Step) -> io::Result<()> {
        let data_only = match step.call.syncs() {
            None => return Ok(()),
            Some(Durability::FileSystem) => return self.act(Act::SyncEverything),
            Some(durability) => durability == Durability::Data,
        };
        // A file by its name of now; a directory has one name. What has none is of no use after a crash.
        let first = step.call.paths().first();
        let name = match (&step.name, step.call.file()) {
            (Some(name), _) => Some(name),
            // A mapping is known by the name of its file.
            (None, None) => first,
            (None, Some(_)) => first.filter(|name| {
                let entry = self.image.entry(name);
                name.as_os_str().is_empty() || entry.is_some_and(|entry| entry.content().is_none())
            }),
        };
        let is_here = |name: &&std::path::PathBuf| {
            name.as_os_str().is_empty() || self.image.entry(name).is_some()
        };
        match name.filter(is_here) {
            Some(name) => self.act(Act::Sync {
                path: text(name)?,
                data_only,
            }),
            None => Ok(()),
        }
    }
}

fn is_one_file(image: &Image, one: &Path, two: &Path) -> bool {
    let first = |path| Some(image.entry(path)?.first_name().to_owned());
    first(one) == first(two)
}

/// Calls whose effects would be told wrongly.
///
/// # Errors
/// If it is one.
fn refuse(step: &Step) -> io::Result<()> {
    let call = &step.call;
    if call.kind() != Kind::IoUring || call.length().is_none_or(|requests| requests == 0) {
        return Ok(());
    }
    let what = "writes through io_uring, whose requests are no calls";
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        format!("the store {what}: `power` under trace cannot follow it, use `disk` or `kill`"),
    ))
}

fn differs(act: &Act, error: &io::Error) -> io::Error {
    io::Error::other(format!(
        "the simulated file system cannot follow the store's directory: {error}, in {act:?}"
    ))
}
