//! `groupwal verify`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use groupwal::inspect::Reader;
use groupwal::salvage::{Salvage, SalvageReport};
use groupwal::{Error, RecoveryReport};
use serde::Serialize;

use crate::bytes::human;
use crate::failure::Failure;
use crate::histogram::{Bucket, Histogram};
use crate::progress::Progress;
use crate::{json, salvage};

/// Reads all of a log and says whether it is whole
///
/// Every checksum is computed, and every byte that pads a frame is looked at.
/// What is said:
///
///   trim position  the oldest entry that counts: those below were given up
///   next entry     the number that the next append gets
///   durable        every entry below it is vouched for: a later header says
///                  that it was durable
///   tail           clean      the log ends behind a whole group
///                  sealed     it was closed
///                  torn       a crash left a group half written, which was never
///                             said to be durable
///                  in flight  the log is in use, and a group is being written
///                  torn or in flight
///                             one of the two: whether the log is in use is not
///                             known here
///                  corrupt    acknowledged entries are damaged or missing
///
/// Only "corrupt" is damage, and bytes of padding that are no longer zeros.
/// Damage to the very last group of a log that was not closed looks like a torn
/// tail: nothing vouches for it.
///
/// The log may be in use. Whether it is, is known on Linux, outside of containers
/// (of PID namespaces, in general) and on a local file system; elsewhere it is
/// "not known", null in JSON, unless the owner's lock is seen all the same.
#[derive(clap::Args)]
#[command(
    verbatim_doc_comment,
    after_long_help = "\
Examples:
  groupwal verify data/log
  groupwal verify data/log --json | jq -r .tail

Exit status:
  0  all is well
  1  the log is damaged, or files of it are missing
  2  it cannot be read, or its owner changed it meanwhile: run it again"
)]
pub(crate) struct Arguments {
    /// The log's directory
    dir: PathBuf,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    path: &'a Path,
    segments: usize,
    bytes: u64,
    groups: u64,
    entries: u64,
    /// Missing since an earlier salvage.
    lost: u64,
    trim_seq: u64,
    next_seq: u64,
    durable_seq: u64,
    tail: &'static str,
    torn: Option<Torn>,
    in_use: Option<bool>,
    group_entries: Vec<Bucket>,
    damage: Vec<Damage>,
    /// What `groupwal salvage` would bring back, if anything is damaged.
    salvage: Option<salvage::Report>,
}

#[derive(Serialize)]
struct Torn {
    path: PathBuf,
    offset: u64,
    entries: u64,
}

#[derive(Serialize)]
struct Damage {
    path: PathBuf,
    offset: u64,
    detail: String,
}

impl Damage {
    fn of(error: &Error) -> Option<Self> {
        let (path, offset) = error.corrupt_at()?;
        Some(Self {
            path: path.to_owned(),
            offset,
            detail: error.to_string(),
        })
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let dir = &arguments.dir;
    let report = match Reader::open(dir) {
        Ok(reader) => verify(dir, reader.strict())?,
        Err(error) => unreadable(dir, &error).ok_or(error)?,
    };
    let mut out = Vec::new();
    if arguments.json {
        json::push(&mut out, &report)?;
    } else {
        write_text(&mut out, &report)?;
    }
    io::stdout().write_all(&out)?;
    if report.damage.is_empty() {
        Ok(())
    } else {
        Err(Failure::Damage(None))
    }
}

fn verify(dir: &Path, mut reader: Reader) -> Result<Report<'_>, Failure> {
    let mut histogram = Histogram::new();
    let mut progress = Progress::new("verify", reader.bytes());
    let mut done = 0;
    let corrupt = loop {
        match reader.next_group() {
            Ok(Some(group)) => {
                histogram.add(group.header.entry_count);
                done += group.header.frame_bytes();
                progress.set(done);
            }
            Ok(None) => break None,
            Err(error) if error.is_corruption() => break Some(error),
            Err(error) => return Err(error.into()),
        }
    };
    drop(progress);
    let found = reader.report();
    let mut damage: Vec<Damage> = corrupt.iter().filter_map(Damage::of).collect();
    damage.extend(reader.stray().iter().map(|stray| Damage {
        path: stray.path.clone(),
        offset: stray.offset,
        detail: format!(
            "{} has a byte at {} that pads and is not zero any more: no entry is hurt, but the disk has \
             changed what was written",
            stray.path.display(),
            stray.offset
        ),
    }));
    Ok(Report {
        path: dir,
        segments: found.segments,
        bytes: reader.bytes(),
        groups: found.groups,
        entries: found.entries,
        lost: found.lost,
        trim_seq: found.trim_seq,
        next_seq: found.next_seq,
        durable_seq: reader.durable_seq(),
        tail: tail(&found, corrupt.is_some(), reader.is_in_use()),
        torn: found
            .discarded
            .filter(|_| corrupt.is_none())
            .map(|torn| Torn {
                path: torn.path,
                offset: torn.offset,
                entries: torn.entries,
            }),
        in_use: reader.is_in_use(),
        group_entries: histogram.buckets(),
        salvage: corrupt.is_some().then(|| survey(dir)).flatten(),
        damage,
    })
}

fn tail(found: &RecoveryReport, corrupt: bool, in_use: Option<bool>) -> &'static str {
    match found {
        _ if corrupt => "corrupt",
        RecoveryReport {
            discarded: Some(_), ..
        } => match in_use {
            Some(true) => "in flight",
            Some(false) => "torn",
            None => "torn or in flight",
        },
        RecoveryReport { sealed: true, .. } => "sealed",
        _ => "clean",
    }
}

/// The report of a log of which a segment's header is damaged, or of which every segment is missing:
/// what holds it together is not known, but what a salvage would find is.
fn unreadable<'a>(dir: &'a Path, error: &Error) -> Option<Report<'a>> {
    let damage = vec![Damage::of(error)?];
    let survey = Salvage::survey(dir, &mut |_| true);
    let in_use = match &survey {
        Ok(survey) => survey.is_in_use(),
        Err(error) => error.is_locked().then_some(true),
    };
    let salvage = survey.as_ref().ok();
    let salvage = salvage.map(|survey| salvage::Report::new(dir, survey.report()));
    let found = survey.map_or_else(
        |_| SalvageReport::default(),
        |survey| survey.report().clone(),
    );
    Some(Report {
        path: dir,
        segments: 0,
        bytes: found.bytes,
        groups: found.groups,
        entries: found.entries,
        lost: found.lost_before,
        trim_seq: found.first_seq,
        next_seq: found.next_seq,
        durable_seq: found.next_seq,
        tail: "corrupt",
        torn: None,
        in_use,
        group_entries: Vec::new(),
        damage,
        salvage,
    })
}

/// What a salvage would find. Without one the log is as corrupt as before.
fn survey(dir: &Path) -> Option<salvage::Report> {
    let survey = Salvage::survey(dir, &mut |_| true).ok()?;
    Some(salvage::Report::new(dir, survey.report()))
}

fn write_text(out: &mut Vec<u8>, report: &Report<'_>) -> io::Result<()> {
    writeln!(out, "{}", report.path.display())?;
    let size = human(report.bytes);
    writeln!(out, "  segments       {} ({size})", report.segments)?;
    writeln!(out, "  groups         {}", report.groups)?;
    writeln!(out, "  entries        {}", report.entries)?;
    if report.lost > 0 {
        writeln!(
            out,
            "  lost           {} (the log was salvaged once)",
            report.lost
        )?;
    }
    writeln!(out, "  trim position  {}", report.trim_seq)?;
    writeln!(out, "  next entry     {}", report.next_seq)?;
    writeln!(out, "  durable        {}", report.durable_seq)?;
    write!(out, "  tail           {}", report.tail)?;
    match &report.torn {
        Some(torn) => writeln!(
            out,
            ": {} entries at byte {} of {}",
            torn.entries,
            torn.offset,
            torn.path.display()
        )?,
        None => writeln!(out)?,
    }
    let in_use = match report.in_use {
        Some(true) => "yes",
        Some(false) => "no",
        None => "not known",
    };
    writeln!(out, "  in use         {in_use}")?;
    if !report.group_entries.is_empty() {
        writeln!(out, "  entries in a group")?;
    }
    for bucket in &report.group_entries {
        let range = if bucket.entries_min == bucket.entries_max {
            bucket.entries_min.to_string()
        } else {
            format!("{} to {}", bucket.entries_min, bucket.entries_max)
        };
        let share = bucket
            .groups
            .saturating_mul(40)
            .div_ceil(report.groups.max(1));
        let bar = "#".repeat(usize::try_from(share).unwrap_or(40));
        writeln!(out, "    {range:>16}  {:>10}  {bar}", bucket.groups)?;
    }
    for damage in &report.damage {
        writeln!(out, "damage: {}", damage.detail)?;
    }
    if let Some(salvage) = &report.salvage {
        salvage.write_text(out)?;
    }
    Ok(())
}
