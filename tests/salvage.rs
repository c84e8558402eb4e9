//! What is left of a damaged log: every undamaged group comes back under its own numbers, whatever the
//! damage, and what is lost is said to be lost.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use groupwal::salvage::{Salvage, SalvageReport};
use groupwal::{EngineKind, Entry, Options, Wal};
use proptest::prelude::*;
use support::image::{FrameAt, frames, segment_names};
use support::mem::Image;
use support::tiny::{append_all, payload, ready};

fn small() -> Options {
    support::tiny::options()
        .segment_bytes(3072)
        .group_bytes_max(1400)
}

fn open(path: &Path) -> groupwal::Result<Wal> {
    ready(Wal::open(path, small().engine(EngineKind::Inline)))
}

fn image_of(dir: &Path) -> Image {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect()
}

/// A log on disk, as it was and with its frames.
struct Subject {
    tmp: tempfile::TempDir,
    image: Image,
    frames: Vec<FrameAt>,
    end: u64,
    trim: u64,
}

impl Subject {
    /// Single entries and batches in several segments; with `trim`, the first ones are gone.
    fn new(trim: u64, sealed: bool) -> Self {
        let tmp = tempfile::tempdir().unwrap();
        let wal = open(&tmp.path().join("log")).unwrap();
        append_all(&wal, 0..6);
        let batch: Vec<_> = (6..9).map(payload).collect();
        ready(wal.append_batch(&batch)).unwrap();
        append_all(&wal, 9..12);
        if trim > 0 {
            ready(wal.trim(trim)).unwrap();
        }
        append_all(&wal, 12..16);
        if sealed {
            ready(wal.close()).unwrap();
        }
        drop(wal);
        let image = image_of(&tmp.path().join("log"));
        let frames = frames(&image);
        Self {
            tmp,
            image,
            frames,
            end: 16,
            trim,
        }
    }

    fn src(&self) -> PathBuf {
        self.tmp.path().join("damaged")
    }

    fn dst(&self) -> PathBuf {
        self.tmp.path().join("salvaged")
    }

    /// Puts a damaged log in place.
    fn lay_down(&self, damaged: &Image) {
        for dir in [self.src(), self.dst()] {
            if dir.exists() {
                std::fs::remove_dir_all(&dir).unwrap();
            }
        }
        std::fs::create_dir(self.src()).unwrap();
        for (name, bytes) in damaged {
            std::fs::write(self.src().join(name), bytes).unwrap();
        }
    }

    /// Salvages a damaged log and returns the report and the entries of the new one.
    fn salvage(&self, damaged: &Image) -> (SalvageReport, BTreeMap<u64, Vec<u8>>) {
        self.lay_down(damaged);
        let salvage = Salvage::survey(self.src(), &mut |_| true).unwrap();
        salvage.write(self.dst(), &mut |_| true).unwrap();
        assert_eq!(&image_of(&self.src()), damaged, "the old log was touched");
        let report = salvage.report().clone();
        let found = replay(&open(&self.dst()).unwrap(), &report);
        (report, found)
    }

    /// Every group of which no byte was touched is in the new log, nothing else is, and what is
    /// missing is said to be.
    fn check(&self, damaged: &Image, touched: impl Fn(&FrameAt) -> bool) -> SalvageReport {
        let (report, found) = self.salvage(damaged);
        let whole = self.frames.iter().filter(|frame| !touched(frame));
        let expected: BTreeMap<_, _> = whole
            .flat_map(|frame| frame.header.first_seq..frame.header.end_seq())
            // No replay gets to what was trimmed.
            .filter(|seq| *seq >= self.trim)
            .map(|seq| (seq, payload(seq)))
            .collect();
        let keys = |of: &BTreeMap<u64, Vec<u8>>| of.keys().copied().collect::<Vec<_>>();
        assert_eq!(keys(&found), keys(&expected));
        assert!(found == expected, "an entry came back changed");
        let lost = report.losses.iter().flat_map(|loss| loss.first..loss.end);
        for seq in lost {
            assert!(
                !expected.contains_key(&seq),
                "entry {seq} is there and lost"
            );
        }
        assert!(report.entries >= expected.len() as u64);
        report
    }
}

/// Every entry of a salvaged log; replay stops at what is lost, exactly where the report says.
fn replay(wal: &Wal, report: &SalvageReport) -> BTreeMap<u64, Vec<u8>> {
    assert_eq!(wal.durable_seq(), report.next_seq);
    assert!(wal.recovery().sealed);
    let mut found = BTreeMap::new();
    let mut next = wal.trim_seq();
    let mut replay = wal.replay(next);
    loop {
        match ready(replay.next()) {
            Ok(Some(record)) => {
                assert_eq!(record.seq, next);
                let Entry::Bytes(bytes) = record.entry else {
                    panic!("{record:?}")
                };
                found.insert(record.seq, bytes.to_vec());
                next += 1;
            }
            Ok(None) => break,
            Err(error) => {
                let lost = error.lost_entries().unwrap_or_else(|| panic!("{error}"));
                assert_eq!(lost.start, next);
                assert!(report.losses.iter().any(|loss| loss.end == lost.end));
                next = lost.end;
                replay = wal.replay(next);
            }
        }
    }
    assert_eq!(next, report.next_seq);
    found
}

#[test]
fn every_flipped_byte_costs_its_own_group_at_most() {
    for sealed in [false, true] {
        let subject = Subject::new(0, sealed);
        for name in segment_names(&subject.image) {
            // Something of each field of the header, and of everything else.
            for at in (0..64)
                .step_by(3)
                .chain((64..subject.image[&name].len()).step_by(97))
            {
                let mut damaged = subject.image.clone();
                damaged.get_mut(&name).unwrap()[at] ^= 0x40;
                let hit = |frame: &FrameAt| frame.file == name && frame.range().contains(&at);
                let report = subject.check(&damaged, hit);
                assert_eq!(
                    report.mended_headers.len(),
                    usize::from(at < 64),
                    "byte {at}"
                );
                // What was acknowledged is lost or there; its numbers are not given again. Only the
                // last group of a log that was not closed is vouched for by nobody.
                let last = subject
                    .frames
                    .iter()
                    .rfind(|f| f.header.entry_count > 0)
                    .unwrap();
                let unproven = !sealed && hit(last);
                assert_eq!(report.next_seq, subject.end - u64::from(unproven));
                assert_eq!(report.entries + report.lost_entries(), report.next_seq);
            }
        }
    }
}

#[test]
fn a_header_that_is_gone_altogether_is_worked_out_from_the_frames() {
    let subject = Subject::new(0, false);
    let mut damaged = subject.image.clone();
    for name in segment_names(&subject.image) {
        damaged.get_mut(&name).unwrap()[..512].fill(0);
    }
    let report = subject.check(&damaged, |_| false);
    assert_eq!(
        report.mended_headers.len(),
        segment_names(&subject.image).len()
    );
    assert_eq!(report.losses, []);
}

/// The payloads of the last two groups are damaged, their headers are not: the last one says that the
/// one before it had been durable. Its number was acknowledged, so no other entry may get it.
#[test]
fn a_number_that_only_a_torn_header_vouches_for_is_not_given_again() {
    let subject = Subject::new(0, false);
    let [.., before, last] = &subject.frames[..] else {
        panic!("there are frames")
    };
    let mut damaged = subject.image.clone();
    for frame in [before, last] {
        damaged.get_mut(&frame.file).unwrap()[frame.range().end - 1] ^= 1;
    }
    let hit = |frame: &FrameAt| frame.header.group >= before.header.group;
    let report = subject.check(&damaged, hit);
    assert_eq!(report.next_seq, last.header.first_seq);
    assert_eq!(report.lost_entries(), 1);
    assert_eq!(report.torn_entries, 1);
}

#[test]
fn a_missing_segment_is_a_loss_between_what_is_there() {
    let subject = Subject::new(0, true);
    for name in segment_names(&subject.image) {
        let mut damaged = subject.image.clone();
        damaged.remove(&name);
        let report = subject.check(&damaged, |frame| frame.file == name);
        let gone = subject.frames.iter().filter(|frame| frame.file == name);
        let entries: u64 = gone.map(|frame| u64::from(frame.header.entry_count)).sum();
        let is_last = segment_names(&subject.image).last() == Some(&name);
        assert!(report.lost_entries() == entries || is_last, "{report:?}");
    }
}

#[test]
fn a_file_that_is_cut_short_keeps_what_is_left_of_it() {
    let subject = Subject::new(0, true);
    for name in segment_names(&subject.image) {
        for len in (512..2048).step_by(128) {
            let mut damaged = subject.image.clone();
            damaged.get_mut(&name).unwrap().truncate(len);
            let cut = |frame: &FrameAt| frame.file == name && frame.range().end > len;
            if subject.frames.iter().all(&cut) {
                continue;
            }
            subject.check(&damaged, cut);
        }
    }
}

#[test]
fn a_trimmed_log_is_not_said_to_have_lost_what_it_gave_up() {
    let subject = Subject::new(7, true);
    let report = subject.check(&subject.image.clone(), |_| false);
    assert_eq!(report.losses, []);
    assert!(report.first_seq > 0 && report.first_seq <= 7, "{report:?}");
    // A left-over of the trim, before a gap that is as it should be.
    let all = segment_names(&subject.image);
    let mut damaged = subject.image.clone();
    damaged.remove(&all[0]);
    let (report, found) = subject.salvage(&damaged);
    assert!(
        report.losses.iter().all(|loss| loss.first >= 7),
        "{report:?}"
    );
    assert!(found.keys().all(|seq| *seq >= 7), "{found:?}");
}

#[test]
fn a_healthy_log_loses_nothing_and_a_salvaged_one_can_be_salvaged_again() {
    let subject = Subject::new(0, false);
    let name = segment_names(&subject.image)[1].clone();
    let mut damaged = subject.image.clone();
    damaged.get_mut(&name).unwrap()[600] ^= 1;
    let first = subject.check(&damaged, |frame| {
        frame.file == name && frame.range().contains(&600)
    });
    assert!(first.lost_entries() > 0);
    let again = image_of(&subject.dst());
    subject.lay_down(&again);
    let salvage = Salvage::survey(subject.src(), &mut |_| true).unwrap();
    let second = salvage.report();
    assert_eq!(second.losses, []);
    assert_eq!(second.lost_before, first.lost_entries());
    assert_eq!(
        (second.entries, second.next_seq),
        (first.entries, first.next_seq)
    );
}

#[test]
fn a_log_in_use_is_refused_where_that_can_be_known() {
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join("log");
    let wal = open(&path).unwrap();
    append_all(&wal, 0..1);
    let error = Salvage::survey(&path, &mut |_| true).map(drop);
    if cfg!(target_os = "linux") {
        assert!(error.unwrap_err().is_locked());
    }
    drop(wal);
    Salvage::survey(&path, &mut |_| true).unwrap();
}

#[test]
fn nothing_is_made_of_nothing_or_when_it_is_given_up() {
    let subject = Subject::new(0, false);
    let mut damaged = subject.image.clone();
    for (name, bytes) in &mut damaged {
        if name.contains('.') {
            bytes[512..].fill(0);
        }
    }
    subject.lay_down(&damaged);
    let salvage = Salvage::survey(subject.src(), &mut |_| true).unwrap();
    assert_eq!(salvage.report().groups, 0);
    assert!(
        salvage
            .write(subject.dst(), &mut |_| true)
            .unwrap_err()
            .is_corruption()
    );
    subject.lay_down(&subject.image);
    let error = Salvage::survey(subject.src(), &mut |_| false).unwrap_err();
    assert!(error.is_given_up(), "{error}");
    let salvage = Salvage::survey(subject.src(), &mut |_| true).unwrap();
    let mut steps = 3;
    let error = salvage.write(subject.dst(), &mut |_| {
        steps -= 1;
        steps > 0
    });
    assert!(error.unwrap_err().is_given_up());
    assert_eq!(std::fs::read_dir(subject.tmp.path()).unwrap().count(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_number_of_damaged_places_cost_the_groups_they_hit(
        sealed in any::<bool>(),
        places in prop::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 1..6),
    ) {
        let subject = Subject::new(0, sealed);
        let mut damaged = subject.image.clone();
        let hits: Vec<(String, usize)> = places
            .iter()
            .map(|(place, mask)| {
                let frame = place.get(&subject.frames);
                let at = frame.offset + place.index(frame.range().len());
                damaged.get_mut(&frame.file).unwrap()[at] ^= mask;
                (frame.file.clone(), at)
            })
            .collect();
        // Two flips may have undone each other.
        let touched = |frame: &FrameAt| hits.iter().any(|(file, at)| {
            frame.file == *file && frame.range().contains(at)
                && damaged[file][frame.range()] != subject.image[file][frame.range()]
        });
        prop_assume!(!subject.frames.iter().all(touched));
        subject.check(&damaged, touched);
    }
}
