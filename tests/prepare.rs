//! Segments made ready before they are needed: when nobody needs them yet, when somebody cannot wait,
//! when it fails, and when the log is gone before they are.

mod support;

use std::mem;
use std::sync::{Arc, Mutex};

use groupwal::{EngineKind, Executor, Options, Storage, Wal};
use support::fault::{EIO, ENOSPC, Op, Plan};
use support::image::{segment_name, segment_names, spare_names};
use support::mem::MemStorage;
use support::tiny::{contents, open, open_image, open_with, options, payload, payloads, ready};

/// Frames of one block that fit a segment.
const FRAMES: u64 = 7;

type Work = Box<dyn FnOnce() + Send>;

/// Runs the log's work in place, but keeps what a test wants kept.
#[derive(Default)]
struct Bench {
    keep: Mutex<bool>,
    kept: Mutex<Vec<Work>>,
}

impl Bench {
    /// From now on, work is kept instead of being run, or not any more.
    fn keep(&self, keep: bool) {
        *self.keep.lock().unwrap() = keep;
    }

    fn kept(&self) -> Vec<Work> {
        mem::take(&mut self.kept.lock().unwrap())
    }

    /// Runs what was kept, and what comes of it.
    fn run_kept(&self) {
        self.keep(false);
        for work in self.kept() {
            work();
        }
    }
}

impl Executor for Bench {
    fn execute(&self, work: Work) {
        if *self.keep.lock().unwrap() {
            self.kept.lock().unwrap().push(work);
        } else {
            work();
        }
    }
}

/// A log whose blocking work the bench runs.
struct Log {
    bench: Arc<Bench>,
    plan: Plan,
    storage: MemStorage,
    wal: Wal,
}

impl Log {
    fn new() -> Self {
        Self::on(&MemStorage::new(1))
    }

    fn on(storage: &MemStorage) -> Self {
        let (bench, plan) = (Arc::new(Bench::default()), Plan::default());
        let wal = open_with(plan.over(storage.clone()), on(&bench)).unwrap();
        Self {
            bench,
            plan,
            storage: storage.clone(),
            wal,
        }
    }

    fn append(&self, seqs: std::ops::Range<u64>) {
        support::tiny::append_all(&self.wal, seqs);
    }

    /// Appends, and keeps the piece of work with which the next segment begins.
    fn append_and_keep_piece(&self, seqs: std::ops::Range<u64>) {
        for seq in seqs {
            // The flush itself is to be run.
            let mut append = Box::pin(async { self.wal.append(&payload(seq)).await });
            self.bench.keep(true);
            let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
            assert!(append.as_mut().poll(cx).is_pending());
            for flush in self.bench.kept() {
                flush();
            }
            self.bench.keep(false);
            assert_eq!(ready(append).unwrap(), seq);
        }
    }

    /// The kinds of operation since the last time.
    fn ops(&self) -> Vec<Op> {
        let events = self.plan.take_events();
        events.into_iter().map(|event| event.op).collect()
    }
}

use std::future::Future;

fn on(bench: &Arc<Bench>) -> Options {
    options()
        .engine(EngineKind::Blocking)
        .executor(bench.clone())
}

#[test]
fn rotation_to_a_segment_that_is_ready_does_no_io_of_its_own() {
    let log = Log::new();
    log.append(0..FRAMES);
    assert_eq!(segment_names(&log.storage.snapshot()).len(), 2);
    log.ops();
    log.append(FRAMES..FRAMES + 1);
    assert_eq!(log.wal.segment_count(), 2);
    assert_eq!(log.ops(), [Op::Write, Op::Sync]);
    assert_eq!(contents(&log.wal), payloads(0..FRAMES + 1));
}

#[test]
fn a_log_that_stays_small_has_no_second_segment() {
    let log = Log::new();
    log.append(0..1);
    assert_eq!(segment_names(&log.storage.snapshot()).len(), 1);
    assert_eq!(spare_names(&log.storage.snapshot()), [""; 0]);
}

/// Whoever needs the segment goes on where the last piece ended.
#[test]
fn a_group_that_cannot_wait_finishes_what_was_begun() {
    let log = Log::new();
    log.append_and_keep_piece(0..2);
    let begin = log.bench.kept().pop().expect("it is time");
    log.bench.keep(true);
    begin();
    log.bench.keep(false);
    assert_eq!(spare_names(&log.storage.snapshot()).len(), 1);
    let rest = log.bench.kept();
    assert_eq!(rest.len(), 1, "pieces come one after another");
    log.append(2..FRAMES + 1);
    assert_eq!(spare_names(&log.storage.snapshot()), [""; 0]);
    assert_eq!(log.wal.segment_count(), 2);
    let before = log.storage.snapshot();
    for piece in rest {
        piece();
    }
    assert_eq!(log.storage.snapshot(), before, "it came too late");
    drop(log.wal);
    assert_eq!(
        contents(&open(&log.storage).unwrap()),
        payloads(0..FRAMES + 1)
    );
}

/// A piece had been asked for when segment 0 was in use, and ran when segment 1 was: it made a second
/// segment 1 and renamed it over the first, which was full of acknowledged entries. Pieces that come
/// too late do nothing now.
#[test]
fn a_piece_that_comes_too_late_makes_no_second_segment_of_that_number() {
    let log = Log::new();
    log.append_and_keep_piece(0..2);
    let late = log.bench.kept();
    assert_eq!(late.len(), 1);
    log.bench.keep(false);
    for seq in 2..3 * FRAMES {
        log.append_and_keep_piece(seq..seq + 1);
        drop(log.bench.kept());
    }
    assert_eq!(log.wal.segment_count(), 3);
    for piece in late {
        piece();
    }
    drop(log.wal);
    assert_eq!(
        contents(&open(&log.storage).unwrap()),
        payloads(0..3 * FRAMES)
    );
}

#[test]
fn a_piece_that_outlives_the_log_touches_no_name() {
    // Dropped before the first piece, after it, after the second.
    for pieces in 0..3 {
        let log = Log::new();
        log.append_and_keep_piece(0..2);
        let mut kept = log.bench.kept();
        for _ in 0..pieces {
            log.bench.keep(true);
            kept.pop().expect("there is more to do")();
            log.bench.keep(false);
            kept = log.bench.kept();
        }
        assert_eq!(kept.len(), 1);
        drop(log.wal);
        // It is free at once.
        let wal = open(&log.storage).unwrap();
        let before = log.storage.snapshot();
        kept.pop().expect("it is one")();
        let names = |image: &support::mem::Image| image.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&log.storage.snapshot()), names(&before));
        support::tiny::append_all(&wal, 2..2 * FRAMES);
        drop(wal);
        assert_eq!(
            contents(&open(&log.storage).unwrap()),
            payloads(0..2 * FRAMES)
        );
    }
}

#[test]
fn a_segment_that_cannot_be_made_ready_is_no_error_before_it_is_needed() {
    for (op, errno) in [(Op::Create, ENOSPC), (Op::Write, ENOSPC), (Op::Sync, EIO)] {
        let log = Log::new();
        log.append_and_keep_piece(0..2);
        // What the pieces do.
        log.plan.fail(op, 0, errno);
        log.bench.run_kept();
        assert_eq!(spare_names(&log.storage.snapshot()), [""; 0]);
        log.append(2..FRAMES);
        assert_eq!(segment_names(&log.storage.snapshot()).len(), 1);
        // The disk is still full.
        log.plan.fail(op, 0, errno);
        let error = ready(log.wal.append(b"too many")).unwrap_err();
        assert!(error.is_not_written() && !error.is_poisoned(), "{error}");
        log.append(FRAMES..FRAMES + 1);
        assert_eq!(contents(&log.wal), payloads(0..FRAMES + 1));
    }
}

/// The name may be durable or not: the segment must not be used, nor made again.
#[test]
fn a_name_that_may_not_be_durable_poisons_the_log_when_it_is_needed() {
    let log = Log::new();
    log.append_and_keep_piece(0..2);
    log.plan.fail(Op::SyncDir, 0, EIO);
    log.bench.run_kept();
    log.append(2..FRAMES);
    let error = ready(log.wal.append(b"too many")).unwrap_err();
    assert!(error.is_outcome_unknown(), "{error}");
    assert!(error.to_string().contains("cannot sync /log"), "{error}");
    assert!(ready(log.wal.append(b"late")).unwrap_err().is_poisoned());
    drop(log.wal);
    assert_eq!(contents(&open(&log.storage).unwrap()), payloads(0..FRAMES));
}

#[test]
fn a_restart_goes_on_where_the_log_ended_and_keeps_what_was_ready() {
    let log = Log::new();
    log.append(0..4);
    let image = log.storage.snapshot();
    assert_eq!(segment_names(&image).len(), 2);
    let storage = MemStorage::from_snapshot(&image, 5);
    let again = Log::on(&storage);
    assert_eq!(again.wal.recovery().segments, 1);
    again.append(4..FRAMES);
    assert_eq!(again.wal.segment_count(), 1, "the first one is used up");
    again.ops();
    again.append(FRAMES..FRAMES + 1);
    assert_eq!(again.ops(), [Op::Write, Op::Sync]);
    assert_eq!(segment_names(&storage.snapshot())[1], segment_name(1));
    drop(again.wal);
    let wal = open_image(&storage.snapshot()).unwrap();
    assert_eq!(contents(&wal), payloads(0..FRAMES + 1));
}

/// It was made with smaller blocks and segments in mind than the options say now.
#[test]
fn a_ready_segment_that_is_too_small_is_passed_over() {
    let log = Log::new();
    log.append(0..4);
    let storage = log.storage.clone();
    drop(log.wal);
    let larger = options().segment_bytes(16 << 10).group_bytes_max(8 << 10);
    let larger = larger.entry_bytes_max(8000);
    let dyn_storage: Arc<dyn Storage> = Arc::new(storage.clone());
    let wal = open_with(dyn_storage, larger).unwrap();
    let entry = vec![7; 8000];
    assert_eq!(ready(wal.append(&entry)).unwrap(), 4);
    assert_eq!(wal.segment_count(), 3);
    drop(wal);
    let found = contents(&open(&storage).unwrap());
    assert_eq!(found[..4], payloads(0..4)[..]);
    assert_eq!(found[4], (4, entry));
}
