//! A traced run, followed by a simulated file system, which knows what is durable.
//!
//! What a call has done is seen in the directory after it: names, bytes, lengths, attributes. The call itself
//! says what cannot be seen there: that a name was moved and not made anew, which bytes were written again as
//! they were, and what was synced. What changed between two calls, through a mapping, counts as written
//! before the second one. All of it is pending until a sync; a sync counts for what was there when it began.
//!
//! A call has two ends, and in between it may be in flight: a crash finds what was there before its last
//! effect, with the announcements made before it began.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::changes::{changes, text};
use super::contract::{Disks, Recording};
use super::copier::Step;
use super::elsewhere::Arrival;
use super::outcome::Outcome;
use super::sync_call::SyncCall;
use super::trace::Traced;
use crate::history::Event;
use crate::image::Image;
use crate::injection::{Injected, Met};
use crate::mount::Lived;
use crate::oracle::Violation;
use crate::reached::NextCall;
use crate::sim::{Act, Bytes, Disk, Past};
use crate::store::{Announced, Span};
use crate::survivor::Survivor;
use crate::trace::{Call, Durability, Kind};
use crate::tree::Kind as NodeKind;

/// A run whose moments are disks: before each act, and after the last.
#[derive(Debug)]
pub(crate) struct Followed {
    /// What was done.
    pub(crate) past: Past,
    /// What was announced around each moment. `None`: all that was announced.
    spans: Vec<Option<Span>>,
    announced: Announced,
    /// What was announced before the run.
    known: Vec<Event>,
    /// The calls that asked for the syncs among the acts.
    pub(crate) syncs: BTreeMap<usize, SyncCall>,
    /// What the store did wrong by itself.
    pub(crate) failed: Option<Violation>,
    /// What a recovery showed.
    pub(crate) recovered: Option<Vec<Survivor>>,
    /// The first act at which the disk failed.
    pub(crate) faulted: Option<usize>,
    /// The number of calls that met a fault.
    pub(crate) injected: u32,
    /// The calls that a fault could have met.
    pub(crate) met: Met,
}

impl Disks for Followed {
    fn disk_at(&self, moment: usize) -> Cow<'_, Disk> {
        Cow::Owned(self.past.disk_before(moment))
    }

    fn is_before_sync(&self, moment: usize) -> bool {
        self.past.is_sync(moment)
    }
}

impl Recording for Followed {
    fn moments(&self) -> usize {
        self.past.acts().len() + 1
    }

    fn announced_at(&self, moment: usize) -> Vec<Event> {
        let mut events = self.known.clone();
        match &self.spans[moment] {
            Some(span) => events.extend(self.announced.during(span)),
            None => events.extend(self.announced.events()),
        }
        events
    }

    fn next_call(&self, moment: usize) -> Option<NextCall> {
        let act = self.past.acts().get(moment)?;
        Some(NextCall {
            name: act.name(),
            path: act.path().map(str::to_owned),
            is_sync: self.past.is_sync(moment),
        })
    }
}

/// Follows a run that began on a disk, which showed what the run found. `known` was announced before the
/// run.
///
/// # Errors
/// If the run did what cannot be followed; the error names it.
pub(crate) fn follow(traced: Traced, disk: Disk, known: Vec<Event>) -> io::Result<Followed> {
    let mut following = Following::new(disk, traced.base);
    let mut is_whole = true;
    for step in &traced.steps {
        following.step(step)?;
        if following.past.is_full() {
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
        past,
        mut spans,
        span,
        syncs,
        faulted,
        ..
    } = following;
    spans.push(span);
    let injection = traced.injection;
    Ok(Followed {
        past,
        spans,
        announced: traced.announced,
        known,
        syncs,
        failed: traced.failed,
        recovered: traced.recovered,
        faulted,
        injected: injection.as_ref().map_or(0, |faults| faults.injected),
        met: injection.map(|faults| faults.met).unwrap_or_default(),
    })
}

impl Followed {
    /// Of a run on a mounted file system.
    pub(super) fn mounted(lived: Lived, outcome: Outcome, known: Vec<Event>) -> Self {
        let mut spans: Vec<Option<Span>> = lived.spans.into_iter().map(Some).collect();
        spans.push(None);
        let acts = lived.past.acts();
        let calls = lived.syncs.iter();
        let syncs = calls.map(|(act, is_dir)| (*act, SyncCall::requested(&acts[*act], *is_dir)));
        Self {
            syncs: syncs.collect(),
            past: lived.past,
            spans,
            announced: outcome.announced,
            known,
            failed: outcome.failed,
            recovered: outcome.recovered,
            faulted: lived.faulted,
            injected: lived.injection.as_ref().map_or(0, |faults| faults.injected),
            met: lived.injection.map(|faults| faults.met).unwrap_or_default(),
        }
    }
}

/// A run that is followed, call by call.
pub(super) struct Following {
    pub(super) past: Past,
    /// What its disk shows.
    pub(super) image: Image,
    /// What was announced around the moment before each act.
    pub(super) spans: Vec<Option<Span>>,
    /// The same of the present.
    span: Option<Span>,
    /// A rename that has no end, as its process was killed in it: what comes next shows whether it was done.
    broken_off: Option<Call>,
    syncs: BTreeMap<usize, SyncCall>,
    /// The first act at which the disk failed.
    faulted: Option<usize>,
}

impl Following {
    pub(super) fn new(disk: Disk, image: Image) -> Self {
        Self {
            past: Past::new(disk),
            image,
            spans: Vec::new(),
            span: Some(Span::NOTHING),
            broken_off: None,
            syncs: BTreeMap::new(),
            faulted: None,
        }
    }

    fn act(&mut self, act: Act) -> io::Result<()> {
        let done = self.past.act(act);
        self.spans.push(self.span.clone());
        done.map_err(|error| differs(self.past.acts().last(), &error))
    }

    /// Does what makes the disk show an image.
    pub(super) fn catch_up(&mut self, image: &Image) -> io::Result<()> {
        if let Some(call) = self.broken_off.take() {
            self.rename(&call, image, false)?;
        }
        for act in changes(&self.image, image)? {
            self.act(act)?;
        }
        self.image = image.clone();
        Ok(())
    }

    pub(super) fn step(&mut self, step: &Step) -> io::Result<()> {
        let (before, call) = (&step.before, &step.call);
        // Done without a call, some time since the call before: what was claimed by then is there, and what
        // is there was attempted by now.
        if let Some(span) = &mut self.span {
            span.attempts = before.span.attempts.clone();
        }
        self.catch_up(&before.image)?;
        refuse(step)?;
        self.span = Some(before.span.clone());
        if let Some(fault) = &step.fault {
            self.fail(step, fault)?;
        }
        // What others do meanwhile is not told from what it does: it is seen before the next call.
        let Some(after) = step.after.as_ref().filter(|_| !call.overlaps_others()) else {
            let is_rename = step.after.is_none() && call.kind() == Kind::Rename;
            self.broken_off = is_rename.then(|| call.clone());
            return Ok(());
        };
        // What a mapping shows after the call may have been attempted meanwhile.
        self.span = Some(Span {
            claims: before.span.claims.clone(),
            attempts: after.span.attempts.clone(),
        });
        let is_sync = call.kind() == Kind::Sync;
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
        if let Some(arrival) = &step.arrival {
            return self.arrive(arrival, after);
        }
        match (step.call.kind(), step.call.paths(), &step.written) {
            (Kind::Rename, ..) => self.rename(&step.call, after, true),
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

    /// Takes in what comes from elsewhere, or had no name yet, with what is durable of it.
    fn arrive(&mut self, Arrival { name, unsynced }: &Arrival, after: &Image) -> io::Result<()> {
        let as_made = Path::new(Act::ARRIVING);
        let durable = after.part(name, as_made, unsynced);
        let whole = after.part(name, as_made, &[]);
        self.act(Act::Arrive {
            path: text(name)?,
            durable: changes(&Image::default(), &durable)?,
            pending: changes(&durable, &whole)?,
        })?;
        self.image = self.image.with_part(after, name);
        Ok(())
    }

    /// Moves what a rename has moved. One that has not ended may not have been carried out: what is there
    /// afterwards shows it.
    fn rename(&mut self, call: &Call, after: &Image, has_ended: bool) -> io::Result<()> {
        let [from, to] = call.paths() else {
            return Ok(());
        };
        // To elsewhere, it goes.
        let is_here = |path: &Path| self.image.entry(path).is_some();
        if !is_here(from) || to.is_absolute() {
            return Ok(());
        }
        let [from_text, to_text] = [text(from)?, text(to)?];
        if exchanges(call) {
            // By a name that is nowhere: no path in a directory is absolute.
            let aside = Path::new("/aside");
            let moved = self.image.with_moved(from, aside).with_moved(to, from);
            let moved = moved.with_moved(aside, to);
            let distance = |image: &Image| image.differences(after).len();
            let is_done = has_ended || distance(&moved) < distance(&self.image);
            if !is_done || is_one_file(&self.image, from, to) {
                return Ok(());
            }
            self.act(Act::Exchange {
                one: from_text,
                two: to_text,
            })?;
            self.image = moved;
        } else if after.entry(from).is_none() {
            self.act(Act::Rename {
                from: from_text,
                to: to_text,
            })?;
            self.image = self.image.with_moved(from, to);
        }
        Ok(())
    }

    /// The disk fails at a call: what follows is known of a sync that could not write. Of all others, nothing
    /// was carried out, or what the next looks show.
    fn fail(&mut self, step: &Step, fault: &Injected) -> io::Result<()> {
        self.faulted.get_or_insert(self.past.acts().len());
        let call = &step.call;
        let path = self.synced(step).map(text).transpose()?;
        let is_sync = call.kind() == Kind::Sync && fault.drops_pages();
        self.act(match path.filter(|_| is_sync) {
            Some(path) => Act::SyncFailed {
                path,
                data_only: call.syncs() == Some(Durability::Data),
                told: fault.told(),
                chance: fault.chance,
            },
            None => Act::Answered {
                told: format!("{call}: {}", fault.told()),
            },
        })
    }

    fn sync(&mut self, step: &Step) -> io::Result<()> {
        let Some(durability) = step.call.syncs() else {
            return Ok(());
        };
        let name = self.synced(step);
        let is_directory = |name: &Path| {
            let entry = self.image.entry(name);
            name.as_os_str().is_empty() || entry.is_some_and(|entry| *entry.kind() == NodeKind::Dir)
        };
        let of_directory = name.is_some_and(is_directory);
        let act = match (durability, name) {
            (Durability::FileSystem, _) => Act::SyncEverything,
            (_, Some(name)) => Act::Sync {
                path: text(name)?,
                data_only: durability == Durability::Data,
            },
            (_, None) => return Ok(()),
        };
        let call = SyncCall {
            name: step.call.name(),
            writes: step.call.kind() != Kind::Sync,
            durability,
            of_directory,
        };
        self.syncs.insert(self.past.acts().len(), call);
        self.act(act)
    }

    /// The name of what a call syncs, if it has one here.
    fn synced<'s>(&self, step: &'s Step) -> Option<&'s Path> {
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
        name.filter(is_here).map(std::path::PathBuf::as_path)
    }
}

fn is_one_file(image: &Image, one: &Path, two: &Path) -> bool {
    let first = |path| Some(image.entry(path)?.first_name().to_owned());
    first(one) == first(two)
}

fn exchanges(call: &Call) -> bool {
    let flags = call.flags().filter(|_| call.kind() == Kind::Rename);
    flags.unwrap_or(0) & u64::from(libc::RENAME_EXCHANGE) != 0
}

/// Calls whose effects would be told wrongly.
///
/// # Errors
/// If it is one, and was carried out.
fn refuse(step: &Step) -> io::Result<()> {
    let call = &step.call;
    let has = |flag: i32| {
        let flag = u64::from(flag.cast_unsigned());
        call.flags().unwrap_or(0) & flag == flag
    };
    let what = match call.kind() {
        Kind::IoUring if call.length() > Some(0) => {
            "writes through io_uring, whose requests are no calls"
        }
        _ if !step.succeeded => return Ok(()),
        Kind::Copy if call.name() == "ioctl" => "makes files share their bytes (FICLONE)",
        Kind::Allocate if has(libc::FALLOC_FL_COLLAPSE_RANGE) => {
            "cuts bytes out of a file (FALLOC_FL_COLLAPSE_RANGE)"
        }
        Kind::Allocate if has(libc::FALLOC_FL_INSERT_RANGE) => {
            "puts room into a file (FALLOC_FL_INSERT_RANGE)"
        }
        Kind::Rename if exchanges(call) && call.paths().iter().any(|path| path.is_absolute()) => {
            "exchanges a file with one from elsewhere"
        }
        _ => return Ok(()),
    };
    Err(refused(what))
}

fn refused(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        format!(
            "the store {what}: a run under trace cannot follow it, use --recorder mount, `disk` or `kill`"
        ),
    )
}

fn differs(act: Option<&Act>, error: &io::Error) -> io::Error {
    io::Error::other(format!(
        "the simulated file system cannot follow the store's directory: {error}, in {act:?}"
    ))
}
