//! `groupwal dump`.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use groupwal::inspect::Reader;

use crate::failure::Failure;
use crate::progress::Progress;
use crate::{json, text};

/// Output is written in pieces of about this size.
const CHUNK_BYTES: usize = 1 << 18;

/// Prints a log's entries, one a line
///
/// Each line has the sequence number, the kind, and what the kind has:
///
///   12 insert docs=ID,.. users=ID,.. vectors=FLOAT,..
///   13 delete docs=ID,.. users=ID,..
///   14 bytes HEX
///   15 lost entries=3
///
/// ID is an id's 32 hexadecimal digits, FLOAT the 8 digits of a float's bit
/// pattern, so that nothing is rounded. The vectors of several documents follow
/// one another. "lost" stands in a log that was salvaged: these entries are
/// missing.
///
/// The log may be in use; what is still being written is left out then. Entries
/// below the trim position are shown as long as their files are there. A damaged
/// log is shown up to the damage, which is reported on standard error.
#[derive(clap::Args)]
#[command(
    verbatim_doc_comment,
    after_long_help = "\
Examples:
  groupwal dump data/log | head
  groupwal dump data/log --from 1000 --json | jq .doc_ids

Exit status:
  0  all is well
  1  the log is damaged, or files of it are missing
  2  it cannot be read, or its owner trimmed it meanwhile: run it again"
)]
pub(crate) struct Arguments {
    /// The log's directory
    dir: PathBuf,
    /// Begin with this sequence number
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    from: u64,
    /// One JSON object a line; ids, floats and bytes are strings of hexadecimal digits
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut reader = Reader::open(&arguments.dir)?;
    let mut stdout = io::stdout().lock();
    // The lines themselves show how far it is.
    let mut progress = (!stdout.is_terminal()).then(|| Progress::new("dump", reader.bytes()));
    let mut out = Vec::with_capacity(2 * CHUNK_BYTES);
    let mut lines = text::Lines::default();
    let mut done = 0;
    let ended = loop {
        let group = match reader.next_group() {
            Ok(Some(group)) => group,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        done += group.header.frame_bytes();
        if group.header.lost && group.header.end_seq() > arguments.from {
            let (seq, entries) = (group.header.first_seq, group.header.entry_count.into());
            if arguments.json {
                json::push_lost(&mut out, seq, entries)?;
            } else {
                text::push_lost(&mut out, seq, entries);
            }
        }
        if group.header.end_seq() > arguments.from {
            for record in group.records().filter(|r| r.seq >= arguments.from) {
                if arguments.json {
                    json::push_entry(&mut out, record.seq, &record.entry)?;
                } else {
                    lines.push_entry(&mut out, record.seq, &record.entry);
                }
                if out.len() >= CHUNK_BYTES {
                    stdout.write_all(&out)?;
                    out.clear();
                }
            }
        }
        if let Some(progress) = &mut progress {
            progress.set(done);
        }
    };
    stdout.write_all(&out)?;
    stdout.flush()?;
    drop(progress);
    ended?;
    let (next, durable) = (reader.report().next_seq, reader.durable_seq());
    let in_use = match reader.is_in_use() {
        Some(true) => "the log is in use",
        None => "whether the log is in use is not known here",
        Some(false) => return Ok(()),
    };
    if durable < next {
        eprintln!(
            "groupwal: {in_use}: entries {durable} to {} are the last group so far, and nothing says yet that \
             they are durable",
            next - 1
        );
    }
    Ok(())
}
