//! A log in one file under torture: a correct one, and a naive one that is caught.
//!
//! ```sh
//! cargo run --release -p plugpull --example line_log -- run line-log --rounds 100
//! cargo run --release -p plugpull --example line_log -- run naive --rounds 100    # exit status 1
//! ```
//!
//! Each record is a length, a checksum and the payload. The correct log acknowledges after the sync
//! and cuts a torn tail when it opens. The naive one collects records in a buffer, as `BufWriter`
//! does, and acknowledges at once.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::ExitCode;

use plugpull::{RecoverRun, Subject, SubjectError, Survivors, WriteRun};

fn main() -> ExitCode {
    plugpull::cli::main(&[
        Box::new(LineLog {
            name: "line-log",
            ack_early: false,
        }),
        Box::new(LineLog {
            name: "naive",
            ack_early: true,
        }),
    ])
}

struct LineLog {
    name: &'static str,
    ack_early: bool,
}

impl Subject for LineLog {
    fn name(&self) -> &str {
        self.name
    }

    fn write(&self, run: &WriteRun) -> Result<(), SubjectError> {
        let (mut file, records) = open(run.dir)?;
        let mut pending = Vec::new();
        // It has no limit to break and no future to drop: every action is an append.
        for (action, position) in run.workload.actions(0).zip(records.len() as u64..) {
            run.recorder.attempt(action.id);
            let payload = run.workload.payload(action.id);
            pending.extend(u32::try_from(payload.len())?.to_le_bytes());
            pending.extend(checksum(&payload).to_le_bytes());
            pending.extend(payload);
            if self.ack_early && pending.len() < 8192 {
                run.recorder.ack(action.id, position);
                continue;
            }
            file.write_all(&pending)?;
            file.sync_data()?;
            pending.clear();
            run.recorder.ack(action.id, position);
        }
        Ok(())
    }

    fn recover(&self, run: &RecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        let (_, records) = open(run.dir)?;
        for (position, record) in records.iter().enumerate() {
            survivors.push(position as u64, record);
        }
        Ok(())
    }
}

/// Opens the log, reads its records, and cuts what is not a whole record.
fn open(dir: &Path) -> Result<(File, Vec<Vec<u8>>), SubjectError> {
    let path = dir.join("log");
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let mut records = Vec::new();
    let mut rest = bytes.as_slice();
    while let Some((record, next)) = decode(rest) {
        records.push(record.to_vec());
        rest = next;
    }
    let end = (bytes.len() - rest.len()) as u64;
    file.set_len(end)?;
    file.sync_all()?;
    file.seek(SeekFrom::Start(end))?;
    Ok((file, records))
}

fn decode(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let (payload, rest) = rest.split_at_checked(u32::from_le_bytes(*len).try_into().ok()?)?;
    (u32::from_le_bytes(*sum) == checksum(payload)).then_some((payload, rest))
}

/// FNV-1a: enough for an example.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| {
        (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}
