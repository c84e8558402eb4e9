//! Every outcome of a power cut, each in one line.
//!
//! `/d/ | /f a512 z88 | /g -` is an empty directory, a file with 512 bytes `a` and then 88 zeros, and
//! an empty file. `?` is garbage: more than two different bytes in a sector. Nothing at all is
//! `nothing`. Metadata that was set follows: `/f a512 600 k=v`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use plugpull::sim::{Chooser, NodeKind, OpenOptions, Profile, Question, SECTOR_BYTES, SimFs, Stat};

/// Gives every list of answers, one after another.
#[derive(Debug, Default)]
pub(crate) struct Enumerator {
    /// Answers given, and how many there were to choose from.
    digits: Vec<(u32, u32)>,
    asked: usize,
    /// Nothing but sizes is lost.
    only_sizes: bool,
}

impl Enumerator {
    /// Moves on to the next list; `false` after the last.
    fn advance(&mut self) -> bool {
        assert_eq!(
            self.asked,
            self.digits.len(),
            "the same answers, the same questions"
        );
        self.asked = 0;
        while let Some((answer, answers)) = self.digits.pop() {
            if answer + 1 < answers {
                self.digits.push((answer + 1, answers));
                return true;
            }
        }
        false
    }
}

impl Chooser for Enumerator {
    fn choose(&mut self, answers: u32, question: &Question<'_>) -> u32 {
        assert_makes_sense(answers, question);
        if self.only_sizes && !matches!(question, Question::Size { .. }) {
            return 0;
        }
        if self.asked == self.digits.len() {
            self.digits.push((0, answers));
        }
        self.asked += 1;
        let (answer, known) = self.digits[self.asked - 1];
        assert_eq!(known, answers, "the same answers, the same questions");
        answer
    }
}

/// There is something to choose, and the question says what.
fn assert_makes_sense(answers: u32, question: &Question<'_>) {
    assert!(answers > 1, "{question:?}");
    let answers = answers as usize;
    match question {
        Question::Name { .. } | Question::Metadata { .. } => assert_eq!(answers, 2),
        Question::Size { sizes, .. } => {
            let distinct: BTreeSet<_> = sizes.iter().collect();
            assert_eq!((answers, answers), (sizes.len(), distinct.len()));
        }
        Question::Bytes {
            ops,
            old,
            new_space,
            len,
            ..
        } => {
            let told = ops.len() + usize::from(*old);
            assert!(
                answers == told || *new_space && answers == told + 1,
                "{question:?}"
            );
            assert!(
                ops.windows(2).all(|pair| pair[0] > pair[1]),
                "newest first: {question:?}"
            );
            assert!(len.is_multiple_of(SECTOR_BYTES));
        }
    }
}

/// At most so many lists of answers are tried before a program counts as too large.
const LISTS_MAX: usize = 20_000;

/// Every outcome of a power cut now; `None` if there are too many.
pub(crate) fn all_outcomes(fs: &SimFs) -> Option<BTreeSet<String>> {
    let mut enumerator = Enumerator::default();
    let (mut found, mut fingerprints) = (BTreeMap::new(), BTreeMap::new());
    for _ in 0..LISTS_MAX {
        let crashed = fs.crash_clone(&mut enumerator);
        let (told, fingerprint) = (tell(&crashed), crashed.fingerprint());
        let same = fingerprints
            .entry(fingerprint)
            .or_insert_with(|| told.clone());
        assert_eq!(*same, told, "one fingerprint");
        let same = found.entry(told).or_insert(fingerprint);
        assert_eq!(*same, fingerprint, "one outcome");
        if !enumerator.advance() {
            return Some(found.into_keys().collect());
        }
    }
    None
}

/// Every outcome of a power cut now.
pub(crate) fn outcomes(fs: &SimFs) -> BTreeSet<String> {
    all_outcomes(fs).expect("a small program")
}

/// Every length that a file may have after a power cut now, if its name survives.
pub(crate) fn lengths(fs: &SimFs, path: &str) -> BTreeSet<u64> {
    let mut enumerator = Enumerator {
        only_sizes: true,
        ..Enumerator::default()
    };
    let mut found = BTreeSet::new();
    loop {
        let crashed = fs.crash_clone(&mut enumerator);
        let mut options = OpenOptions::new();
        let file = crashed.open(path, options.read(true));
        found.extend(file.map(|file| file.len().unwrap()));
        if !enumerator.advance() {
            return found;
        }
    }
}

/// Runs a program on each profile, and compares what a power cut then may leave. The profiles that
/// stand together have the same outcomes; every profile is named once.
pub(crate) fn assert_outcomes(program: impl Fn(&SimFs), expected: &[(&[Profile], &[&str])]) {
    let named: Vec<Profile> = expected
        .iter()
        .flat_map(|(profiles, _)| *profiles)
        .copied()
        .collect();
    assert_eq!(
        named.len(),
        Profile::ALL.len(),
        "every profile once: {named:?}"
    );
    for (profiles, lines) in expected {
        for profile in *profiles {
            let fs = SimFs::new(*profile, 1);
            program(&fs);
            let expected: BTreeSet<String> = lines.iter().map(ToString::to_string).collect();
            assert_eq!(outcomes(&fs), expected, "{profile}");
        }
    }
}

/// What is there, in one line.
pub(crate) fn tell(fs: &SimFs) -> String {
    let mut entries = Vec::new();
    let mut open = vec!["/".to_owned()];
    while let Some(dir) = open.pop() {
        let names = fs.read_dir(&dir).unwrap();
        if names.is_empty() && dir != "/" {
            entries.push(dir.clone());
        }
        for name in names {
            let path = format!("{dir}{name}");
            let stat = fs.symlink_stat(&path).unwrap();
            let set = set(fs, &path, &stat);
            match &stat.kind {
                NodeKind::Dir => {
                    open.push(format!("{path}/"));
                    if !set.is_empty() {
                        entries.push(format!("{path}/{set}"));
                    }
                }
                NodeKind::File => {
                    let bytes = fs.read(&path).unwrap();
                    entries.push(format!("{path} {}{set}", runs(&bytes)));
                }
                NodeKind::Symlink(target) => {
                    entries.push(format!("{path} -> {}{set}", target.display()));
                }
                other => entries.push(format!("{path} {other:?}{set}")),
            }
        }
    }
    entries.sort_unstable();
    match entries.len() {
        0 => "nothing".to_owned(),
        _ => entries.join(" | "),
    }
}

/// The metadata that was set: ` 600` is a mode, ` @7:0` an owner and a group, ` k=v` an attribute.
fn set(fs: &SimFs, path: &str, stat: &Stat) -> String {
    let mut set = String::new();
    if ![0o644, 0o755, 0o777].contains(&stat.mode) {
        write!(set, " {:o}", stat.mode).unwrap();
    }
    if (stat.owner, stat.group) != (0, 0) {
        write!(set, " @{}:{}", stat.owner, stat.group).unwrap();
    }
    if matches!(stat.kind, NodeKind::File | NodeKind::Dir) {
        for name in fs.xattr_names(path).unwrap() {
            let value = fs.xattr(path, &name).unwrap();
            let name = name.display().to_string();
            let name = name.trim_start_matches("user.");
            write!(set, " {name}={}", String::from_utf8(value).unwrap()).unwrap();
        }
    }
    set
}

/// Bytes as runs of letters.
fn runs(bytes: &[u8]) -> String {
    let mut runs: Vec<(char, usize)> = Vec::new();
    for (letter, len) in bytes.chunks(SECTOR_BYTES).flat_map(letters) {
        match runs.last_mut() {
            Some((last, run)) if *last == letter => *run += len,
            _ => runs.push((letter, len)),
        }
    }
    let runs: Vec<String> = runs
        .iter()
        .map(|(letter, len)| format!("{letter}{len}"))
        .collect();
    match runs.len() {
        0 => "-".to_owned(),
        _ => runs.join(" "),
    }
}

fn letters(sector: &[u8]) -> Vec<(char, usize)> {
    let letter = |byte: &u8| match byte {
        0 => Some('z'),
        byte if byte.is_ascii_lowercase() => Some(char::from(*byte)),
        _ => None,
    };
    let is_uniform = sector[1..] == sector[..sector.len() - 1];
    let runs: Option<Vec<_>> = if is_uniform {
        letter(&sector[0]).map(|letter| vec![(letter, sector.len())])
    } else {
        sector.iter().map(|byte| Some((letter(byte)?, 1))).collect()
    };
    runs.unwrap_or_else(|| vec![('?', sector.len())])
}
