//! `groupwal salvage`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use groupwal::salvage::{Salvage, SalvageReport};
use serde::Serialize;

use crate::bytes::human;
use crate::failure::Failure;
use crate::interrupts::catch_interrupts;
use crate::json;
use crate::progress::Progress;

/// Brings what is left of a damaged log into a new one
///
/// Every group whose checksums hold is copied, also behind the damage, and the losses are listed: which
/// entries, and the bytes where they should be. SRC is not changed.
///
/// The entries keep their numbers. Where entries are lost the new log says so in their place: a replay
/// that comes there gets an error instead of passing over them, and a program that accepts the loss
/// goes on behind it. No number that was acknowledged once is given again.
///
/// The log must not be in use. In a container, or on a file system that other machines use as well,
/// whether it is cannot always be known: then the salvage says so, goes on, and ends with status 2 if the
/// log changes meanwhile. DST must not exist; it appears when all of it is durable. Until then
/// it is made in DST.partial, which a crash may leave and the next attempt removes.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  groupwal salvage data/log data/log.salvaged
  groupwal verify data/log.salvaged

Exit status:
  0    there is a new log, whatever was lost
  1    there was nothing to bring back
  2    the log is in use, or the new one cannot be made
  130  interrupted; nothing was made")]
pub(crate) struct Arguments {
    /// The damaged log's directory
    src: PathBuf,
    /// The new log's directory; it must not exist
    dst: PathBuf,
    /// The report as one JSON object
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
pub(crate) struct Report {
    groups: u64,
    entries: u64,
    first_seq: u64,
    next_seq: u64,
    lost_entries: u64,
    losses: Vec<Loss>,
    lost_before: u64,
    torn_entries: u64,
    trimmed_groups: u64,
    misplaced_groups: u64,
    unreadable_bytes: u64,
    mended_headers: Vec<PathBuf>,
    unusable_files: Vec<Unusable>,
    #[serde(skip)]
    src: PathBuf,
}

#[derive(Serialize)]
struct Loss {
    /// Half-open: `first` is lost, `end` is not.
    first: u64,
    end: u64,
    from: Position,
    to: Position,
}

#[derive(Serialize)]
struct Position {
    path: PathBuf,
    offset: u64,
}

#[derive(Serialize)]
struct Unusable {
    path: PathBuf,
    why: String,
}

impl Report {
    pub(crate) fn new(src: &Path, report: &SalvageReport) -> Self {
        let position = |(path, offset): &(PathBuf, u64)| Position {
            path: path.clone(),
            offset: *offset,
        };
        let losses = report.losses.iter().map(|loss| Loss {
            first: loss.first,
            end: loss.end,
            from: position(&loss.from),
            to: position(&loss.to),
        });
        let unusable = report.unusable_files.iter().map(|(path, why)| Unusable {
            path: path.clone(),
            why: why.clone(),
        });
        Self {
            groups: report.groups,
            entries: report.entries,
            first_seq: report.first_seq,
            next_seq: report.next_seq,
            lost_entries: report.lost_entries(),
            losses: losses.collect(),
            lost_before: report.lost_before,
            torn_entries: report.torn_entries,
            trimmed_groups: report.trimmed_groups,
            misplaced_groups: report.misplaced_groups,
            unreadable_bytes: report.unreadable_bytes,
            mended_headers: report.mended_headers.clone(),
            unusable_files: unusable.collect(),
            src: src.to_owned(),
        }
    }

    pub(crate) fn write_text(&self, out: &mut Vec<u8>) -> io::Result<()> {
        writeln!(
            out,
            "salvage of {}: {} entries in {} undamaged groups, numbered from {} to below {}; {} entries are lost",
            self.src.display(),
            self.entries,
            self.groups,
            self.first_seq,
            self.next_seq,
            self.lost_entries
        )?;
        for loss in &self.losses {
            let (from, to) = (&loss.from, &loss.to);
            let what = match loss.end - loss.first {
                0 => "groups without entries".to_owned(),
                1 => format!("entry {}", loss.first),
                _ => format!("entries {} to {}", loss.first, loss.end - 1),
            };
            writeln!(
                out,
                "  lost: {what}, from byte {} of {} to byte {} of {}",
                from.offset,
                from.path.display(),
                to.offset,
                to.path.display()
            )?;
        }
        for path in &self.mended_headers {
            let path = path.display();
            writeln!(
                out,
                "  mended: the header of {path}, worked out from its frames"
            )?;
        }
        for Unusable { path, why } in &self.unusable_files {
            writeln!(out, "  not used: {}: {why}", path.display())?;
        }
        let counts = [
            (self.lost_before, "entries lost by an earlier salvage"),
            (
                self.torn_entries,
                "entries of a torn tail left behind: nothing says they were durable",
            ),
            (
                self.trimmed_groups,
                "groups left behind that a trim had given up",
            ),
            (
                self.misplaced_groups,
                "groups left behind that do not fit where they stand",
            ),
            (
                self.unreadable_bytes,
                "bytes that the disk did not give back",
            ),
        ];
        for (count, what) in counts.iter().filter(|(count, _)| *count > 0) {
            writeln!(out, "  {count} {what}")?;
        }
        Ok(())
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let interrupted = catch_interrupts()?;
    let bytes = segment_bytes(&arguments.src)?;
    let mut progress = Progress::new("survey", bytes);
    let mut go_on = |done| {
        progress.set(done);
        !interrupted.load(Ordering::Relaxed)
    };
    let salvage = Salvage::survey(&arguments.src, &mut go_on)?;
    drop(progress);
    if salvage.is_in_use().is_none() {
        eprintln!(
            "groupwal: whether a process has {} open is not known here: make sure that none has",
            arguments.src.display()
        );
    }
    let mut progress = Progress::new("copy", bytes);
    let mut go_on = |done| {
        progress.set(done);
        !interrupted.load(Ordering::Relaxed)
    };
    let written = salvage.write(&arguments.dst, &mut go_on)?;
    drop(progress);
    let report = Report::new(&arguments.src, salvage.report());
    let mut out = Vec::new();
    if arguments.json {
        json::push(&mut out, &report)?;
    } else {
        report.write_text(&mut out)?;
        let (dst, written) = (arguments.dst.display(), human(written));
        writeln!(out, "  the new log is {dst} ({written})")?;
    }
    Ok(io::stdout().write_all(&out)?)
}

/// How long the log's files are, for the progress.
fn segment_bytes(dir: &Path) -> Result<u64, Failure> {
    let refused = |error| Failure::Refused(format!("cannot read {}: {error}", dir.display()));
    let mut sum = 0;
    for entry in std::fs::read_dir(dir).map_err(refused)? {
        let entry = entry.map_err(refused)?;
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "seg") {
            continue;
        }
        match entry.metadata() {
            Ok(about) => sum += about.len(),
            // The log is in use: the survey says so.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(refused(error)),
        }
    }
    Ok(sum)
}
