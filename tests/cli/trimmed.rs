//! A log that its owner trims while it is read: the reader is told so, and nothing else. (`dump` used to
//! say "unexpected end of file": a trimmed file is cut before it is closed.)

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Stdio;

use groupwal::inspect::Reader;
use groupwal::{EngineKind, Options, Wal};

use super::program::groupwal;
use crate::support::tiny::ready;

const ENTRY_BYTES: usize = 24 << 10;

/// How the owner trims.
#[derive(Clone, Copy, Debug)]
struct Case {
    /// Two entries each. At most 16 files are open at once in a reader.
    segments: u64,
    /// Whether the files are made into new segments, and written again.
    recycles: bool,
}

const CASES: [Case; 4] = [
    Case {
        segments: 12,
        recycles: false,
    },
    Case {
        segments: 12,
        recycles: true,
    },
    Case {
        segments: 40,
        recycles: false,
    },
    Case {
        segments: 40,
        recycles: true,
    },
];

struct Owner {
    wal: Wal,
    next: u64,
    case: Case,
}

impl Owner {
    fn new(log: &Path, case: Case) -> Self {
        let spares = if case.recycles { 64 } else { 0 };
        let options = Options::default()
            .engine(EngineKind::Inline)
            .block_bytes(512)
            .segment_bytes(64 << 10)
            .entry_bytes_max(32 << 10)
            .group_bytes_max(48 << 10)
            .spare_segments_max(spares);
        let mut owner = Self {
            wal: ready(Wal::open(log, options)).unwrap(),
            next: 0,
            case,
        };
        owner.append(2 * case.segments);
        owner
    }

    fn append(&mut self, entries: u64) {
        for _ in 0..entries {
            let entry = vec![u8::try_from(self.next % 251).unwrap(); ENTRY_BYTES];
            assert_eq!(ready(self.wal.append(&entry)).unwrap(), self.next);
            self.next += 1;
        }
    }

    fn trim(&mut self) {
        ready(self.wal.trim(self.next - 1)).unwrap();
        if self.case.recycles {
            self.append(2 * self.case.segments);
        }
    }
}

/// Reads to the end, and returns the error there.
fn error_of(reader: &mut Reader) -> groupwal::Error {
    loop {
        match reader.next_group() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it is taken for the whole log: {:?}", reader.report()),
            Err(error) => return error,
        }
    }
}

#[test]
fn a_reader_is_told_that_the_owner_has_trimmed_what_comes_next() {
    for case in CASES {
        for strict in [false, true] {
            let tmp = tempfile::tempdir().unwrap();
            let log = tmp.path().join("log");
            let mut owner = Owner::new(&log, case);
            let mut reader = Reader::open(&log).unwrap();
            if strict {
                reader = reader.strict();
            }
            reader.next_group().unwrap().unwrap();
            owner.trim();
            let error = error_of(&mut reader);
            assert!(error.is_trimmed(), "{case:?}: {error}");
            // The entry that is said to be the oldest can be read.
            let mut again = Reader::open(&log).unwrap();
            let oldest = again.next_group().unwrap().unwrap().header.first_seq;
            let said = format!("the oldest entry that can be replayed is {oldest}");
            assert!(error.to_string().ends_with(&said), "{case:?}: {error}");
        }
    }
}

/// What pads a frame that is longer than a read at once is read by itself.
#[test]
fn a_strict_reader_is_told_so_when_it_comes_to_padding() {
    let tmp = tempfile::tempdir().unwrap();
    let log = tmp.path().join("log");
    let options = Options::default()
        .engine(EngineKind::Inline)
        .segment_bytes(1 << 20)
        .entry_bytes_max(512 << 10)
        .group_bytes_max(600 << 10)
        .spare_segments_max(0);
    let wal = ready(Wal::open(&log, options)).unwrap();
    for _ in 0..4 {
        ready(wal.append(&vec![7_u8; 300_001])).unwrap();
    }
    let mut reader = Reader::open(&log).unwrap().strict();
    reader.next_group().unwrap().unwrap();
    ready(wal.trim(4)).unwrap();
    let error = reader.next_group().unwrap_err();
    assert!(error.is_trimmed(), "{error}");
}

/// The program has printed something and waits for more room in the pipe while the owner trims.
#[test]
fn a_dump_says_that_the_owner_has_trimmed_what_comes_next() {
    for case in CASES {
        let tmp = tempfile::tempdir().unwrap();
        let log = tmp.path().join("log");
        let mut owner = Owner::new(&log, case);
        let mut dump = groupwal(&[&"dump", &log])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(dump.stdout.take().unwrap());
        let mut printed = String::new();
        stdout.read_line(&mut printed).unwrap();
        owner.trim();
        stdout.read_to_string(&mut printed).unwrap();
        let mut said = String::new();
        let mut stderr = dump.stderr.take().unwrap();
        stderr.read_to_string(&mut said).unwrap();
        assert_eq!(dump.wait().unwrap().code(), Some(2), "{case:?}: {said}");
        for words in [
            "its owner trimmed what was about to be read",
            "Run it again",
        ] {
            assert!(said.contains(words), "{case:?}: {said}");
        }
        // Whole entries, as far as they go.
        let lines: Vec<&str> = printed.lines().collect();
        assert!(lines.len() < usize::try_from(2 * case.segments).unwrap());
        for (seq, line) in lines.iter().enumerate() {
            assert!(line.starts_with(&format!("{seq} bytes ")));
            assert_eq!(line.len(), format!("{seq} bytes ").len() + 2 * ENTRY_BYTES);
        }
    }
}
