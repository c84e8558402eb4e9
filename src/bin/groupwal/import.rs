//! `groupwal import-muopdb`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::ValueEnum;
use groupwal::muopdb::{self, Decoder, Era, HEADER_BYTES, Header, Step};
use groupwal::{Builder, Options, OsStorage, Storage, StorageDir};
use serde::Serialize;

use crate::bytes::human;
use crate::failure::Failure;
use crate::interrupts::{catch_interrupts, refuse_interrupted};
use crate::json;
use crate::progress::Progress;
use crate::window::{File, READ_BYTES, Window};

/// A segment's header, the blocks that it reserves, and a frame's header: what a segment needs besides
/// its largest entry.
const SEGMENT_OVERHEAD_BYTES: u64 = 4 * 4096;
const SEGMENT_BYTES_MIN: u64 = 1 << 16;

/// Brings a folder of MuopDB's WAL files into a new log
///
/// SRC holds files wal.0, wal.1, .. as MuopDB wrote them; trimmed ones may be missing at the beginning,
/// none in between. The entries keep their sequence numbers: the new log begins at that of the first. Stop
/// MuopDB before. SRC is not changed.
///
/// The format has no checksums, so damage shows only where an entry contradicts itself or the ones before
/// it; a flipped bit in an id or a vector cannot be seen. At damage the import stops: what came before is
/// in the new log, the report says what was left behind, and the exit status is 3. A tail that a crash cut
/// off counts as damage, too.
///
/// MuopDB's layout has changed twice under the same magic. The one that is read is that of the time from
/// May to December 2025. Files of another time are recognised by their lengths and counts, and refused, and
/// so are files that may be either, unless --era says which.
///
/// DST must not exist; it appears when all of it is durable. Until then it is made in DST.partial, which a
/// crash may leave and the next attempt removes.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  groupwal import-muopdb collection/wal data/log
  groupwal dump data/log --json | head

Exit status:
  0    every entry was imported
  2    the files were refused, or the new log cannot be made; nothing was
  3    it stopped at damage; what came before is in the new log
  130  interrupted; nothing was made")]
pub(crate) struct Arguments {
    /// The folder with MuopDB's files
    src: PathBuf,
    /// The new log's directory; it must not exist
    dst: PathBuf,
    /// Take it for granted that the files are of this era, where they could be of another one, too
    #[arg(long, value_enum)]
    era: Option<KnownEra>,
    /// Read files whose magic is damaged all the same: MuopDB never looks at it
    #[arg(long)]
    ignore_magic: bool,
    /// How large the new log's files may get, and with it the largest entry that is taken: at least 65536
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20,
          value_parser = clap::value_parser!(u64).range(SEGMENT_BYTES_MIN..=1 << 40))]
    segment_bytes: u64,
    /// The report as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum KnownEra {
    /// From May to December 2025
    Article,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    files: usize,
    entries: u64,
    /// `None` if not even the first file has a header.
    first_seq: Option<u64>,
    next_seq: Option<u64>,
    era: String,
    stopped: Option<Stop>,
    /// Files in SRC that are not called as MuopDB calls its own.
    ignored: Vec<String>,
}

/// Where an import stopped.
#[derive(Serialize)]
struct Stop {
    path: PathBuf,
    offset: u64,
    detail: String,
    /// Bytes from there on, in this file and those after it.
    bytes_left: u64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let interrupted = catch_interrupts()?;
    let (files, ignored) = list(&arguments.src)?;
    let mut import = Import {
        arguments,
        interrupted: &interrupted,
        progress: Progress::new("import", files.iter().map(|file| file.len).sum()),
        done: 0,
        builder: None,
        entries: 0,
    };
    let mut stopped = None;
    for (index, file) in files.iter().enumerate() {
        if let Some((offset, detail)) = import.file(file)? {
            let later = files[index + 1..].iter().map(|file| file.len);
            stopped = Some(Stop {
                path: file.path.clone(),
                offset,
                detail,
                bytes_left: file.len - offset + later.sum::<u64>(),
            });
            break;
        }
    }
    let Import {
        builder,
        entries,
        progress,
        ..
    } = import;
    let mut report = Report {
        files: files.len(),
        entries,
        first_seq: None,
        next_seq: None,
        era: Era::Article.to_string(),
        stopped,
        ignored,
    };
    let mut written = 0;
    if let Some(builder) = builder {
        refuse_interrupted(&interrupted)?;
        report.next_seq = Some(builder.next_seq());
        report.first_seq = Some(builder.next_seq() - entries);
        written = builder.finish()?;
    }
    drop(progress);
    let mut out = Vec::new();
    if arguments.json {
        json::push(&mut out, &report)?;
    } else {
        write_text(&mut out, &report, &arguments.dst, written)?;
    }
    io::stdout().write_all(&out)?;
    match report.stopped {
        None => Ok(()),
        Some(_) => Err(Failure::Stopped),
    }
}

/// MuopDB's files in the order of their numbers, and the names of what else there is. None of them stays
/// open: there may be more of them than a process may have open files.
fn list(src: &Path) -> Result<(Vec<File>, Vec<String>), Failure> {
    let refused = |path: &Path, error: io::Error| {
        Failure::Refused(format!("cannot read {}: {error}", path.display()))
    };
    let dir = OsStorage
        .open_dir(src)
        .map_err(|error| refused(src, error))?;
    let names = dir.list().map_err(|error| refused(src, error))?;
    let mut ids = Vec::new();
    let mut ignored = Vec::new();
    for name in names {
        match muopdb::file_id(&name) {
            Some(id) => ids.push(id),
            None => ignored.push(name),
        }
    }
    ids.sort_unstable();
    ignored.sort_unstable();
    if ids.is_empty() {
        let src = src.display();
        return Err(Failure::Refused(format!(
            "no file in {src} is called wal.0, wal.1, .."
        )));
    }
    if let Some(gap) = ids.windows(2).find(|pair| pair[1] - pair[0] > 1) {
        return Err(Failure::Refused(format!(
            "{} is missing: what was in it is unknown, so its neighbours are not one log. Nothing was made",
            src.join(format!("wal.{}", gap[0] + 1)).display()
        )));
    }
    let files = ids.into_iter().map(|id| {
        let name = format!("wal.{id}");
        let path = src.join(&name);
        let content = dir.open_read_only(&name);
        let len = content.and_then(|content| content.length());
        let len = len.map_err(|error| refused(&path, error))?;
        let dir: Arc<dyn StorageDir> = Arc::clone(&dir);
        Ok::<_, Failure>(File {
            dir,
            name,
            path,
            len,
        })
    });
    Ok((files.collect::<Result<_, _>>()?, ignored))
}

struct Import<'a> {
    arguments: &'a Arguments,
    interrupted: &'a AtomicBool,
    progress: Progress,
    /// Bytes of the files before the one at hand.
    done: u64,
    /// Made when the first file has said where the log begins.
    builder: Option<Builder>,
    entries: u64,
}

impl Import<'_> {
    /// Imports a file. If it is damaged, returns where and how.
    fn file(&mut self, file: &File) -> Result<Option<(u64, String)>, Failure> {
        let mut window = Window::open(file)?;
        self.has_read(0)?;
        window.ensure(HEADER_BYTES)?;
        let Some(header) = Header::decode(window.bytes()) else {
            let detail = format!(
                "the file is {} bytes long, too short for a header",
                file.len
            );
            return Ok(Some((0, detail)));
        };
        self.check_header(file, header)?;
        window.take(HEADER_BYTES);
        let entry_bytes_max = self.arguments.segment_bytes - SEGMENT_OVERHEAD_BYTES;
        let entry_bytes_max = u32::try_from(entry_bytes_max).unwrap_or(u32::MAX / 2);
        let mut decoder = Decoder::new(entry_bytes_max);
        // Pushed when the entry behind it has shown that it is whole.
        let mut held: Vec<u8> = Vec::new();
        let stopped = loop {
            match decoder.next(window.bytes(), window.left()) {
                Step::Entry(_, taken) => {
                    self.push(&held)?;
                    held.clear();
                    held.extend_from_slice(&window.bytes()[..taken]);
                    window.take(taken);
                }
                Step::NeedMore(len) => {
                    window.ensure(len)?;
                    self.has_read(window.offset())?;
                }
                Step::End => {
                    self.push(&held)?;
                    break None;
                }
                Step::Damaged(muopdb::Damage::TooLarge { len, max }) => {
                    let path = file.path.display();
                    return Err(Failure::Refused(format!(
                        "the entry at byte {} of {path} is {len} bytes long, and at most {max} are taken: use \
                         a larger --segment-bytes. Nothing was made",
                        window.offset(),
                    )));
                }
                Step::Damaged(damage) => {
                    window.ensure(READ_BYTES)?;
                    if decoder.is_torn(&held, window.bytes(), window.left()) {
                        let at = window.offset() - held.len() as u64;
                        let detail = "the entry is torn: another one begins in the middle of it";
                        break Some((at, detail.to_owned()));
                    }
                    self.push(&held)?;
                    break Some((window.offset(), damage.to_string()));
                }
                Step::OtherEra(era) => {
                    return Err(Failure::Refused(format!(
                        "{} looks like a file of another era ({era}), whose layout is not read here: see byte \
                         {}. Nothing was made",
                        file.path.display(),
                        window.offset(),
                    )));
                }
            }
        };
        if decoder.is_ambiguous() && self.arguments.era.is_none() {
            return Err(Failure::Refused(format!(
                "{} may be of two eras: all its entries fit the article's, and that since December 2025, too. \
                 If you know that it is the article's, say --era article. Nothing was made",
                file.path.display()
            )));
        }
        self.done += file.len;
        Ok(stopped)
    }

    /// Shows the progress: so much of the file at hand is read.
    ///
    /// # Errors
    /// If the import is to end.
    fn has_read(&mut self, bytes: u64) -> Result<(), Failure> {
        self.progress.set(self.done + bytes);
        refuse_interrupted(self.interrupted)
    }

    /// Adds an entry, if there is one, as it stands in a file.
    fn push(&mut self, entry: &[u8]) -> Result<(), Failure> {
        if let Some(documents) = muopdb::documents(entry) {
            let builder = self.builder.as_mut().expect("made for the first header");
            builder.push(&documents)?;
            self.entries += 1;
        }
        Ok(())
    }

    /// Checks a header, and begins the log at what the first one says.
    fn check_header(&mut self, file: &File, header: Header) -> Result<(), Failure> {
        let refuse = |what: String| {
            let path = file.path.display();
            Err(Failure::Refused(format!(
                "{path}: {what}. Nothing was made"
            )))
        };
        if !header.has_magic && !self.arguments.ignore_magic {
            return refuse(
                "the file does not begin with \"version1\", so nothing says that it is MuopDB's. If it is, \
                 say --ignore-magic"
                    .into(),
            );
        }
        let Some(first) = header.first_seq() else {
            let start = header.start_seq_no;
            return refuse(format!("its start_seq_no is {start}: no log begins there"));
        };
        match &self.builder {
            None => {
                let room = self.arguments.segment_bytes - SEGMENT_OVERHEAD_BYTES;
                let group_bytes_max = usize::try_from(room.min(u64::from(u32::MAX)));
                let group_bytes_max = group_bytes_max.unwrap_or(usize::MAX);
                let options = Options::default()
                    .segment_bytes(self.arguments.segment_bytes / 4096 * 4096)
                    .group_bytes_max(group_bytes_max)
                    .entry_bytes_max(group_bytes_max - 5);
                self.builder = Some(Builder::create(&self.arguments.dst, first, &options)?);
            }
            Some(builder) if builder.next_seq() != first => {
                return refuse(format!(
                    "it goes on with entry {first}, but the files before it end with entry {}",
                    builder.next_seq().wrapping_sub(1).cast_signed()
                ));
            }
            Some(_) => {}
        }
        Ok(())
    }
}

fn write_text(out: &mut Vec<u8>, report: &Report, dst: &Path, written: u64) -> io::Result<()> {
    let dst = dst.display();
    match (report.first_seq, report.next_seq) {
        (Some(first), Some(next)) => writeln!(
            out,
            "{dst}: {} entries from {} files, numbered from {first} to below {next} ({}); era: {}",
            report.entries,
            report.files,
            human(written),
            report.era
        )?,
        _ => writeln!(
            out,
            "{dst} was not made: not even where the log begins is known"
        )?,
    }
    if let Some(stop) = &report.stopped {
        writeln!(
            out,
            "stopped at byte {} of {}: {}. {} bytes from there on were left behind",
            stop.offset,
            stop.path.display(),
            stop.detail,
            stop.bytes_left
        )?;
    }
    for name in &report.ignored {
        writeln!(out, "ignored: {name} is not called like a file of the log")?;
    }
    Ok(())
}
