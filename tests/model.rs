//! A log against a model of it: appends, batches, dropped appends, trims, kills and closes in any
//! order, over tiny segments, under every policy.
//!
//! Time is Tokio's paused clock and the engine is the inline one, so a failure repeats from its
//! seed alone.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use groupwal::{Entry, Options, SyncPolicy, Wal};
use proptest::collection::vec;
use proptest::prelude::*;
use support::mem::MemStorage;
use support::tiny::{DIR, options};

#[derive(Clone, Debug)]
enum Step {
    /// Several appends at once, of so many bytes each; those with an odd number are dropped after
    /// one poll.
    Append(Vec<(usize, bool)>),
    Batch(Vec<usize>),
    /// Trims below this share of what is durable.
    Trim(f64),
    /// The process is killed and another one opens the log.
    Kill,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let len = || prop_oneof![0..60_usize, 0..900_usize];
    let append = (len(), prop::bool::weighted(0.25));
    prop_oneof![
        6 => vec(append, 1..6).prop_map(Step::Append),
        2 => vec(0..400_usize, 1..5).prop_map(Step::Batch),
        1 => (0.0..=1.0).prop_map(Step::Trim),
        1 => Just(Step::Trim(1.0)),
        2 => Just(Step::Kill),
        1 => Just(Step::Close),
    ]
}

fn policy() -> impl Strategy<Value = SyncPolicy> {
    prop_oneof![
        Just(SyncPolicy::Adaptive),
        Just(SyncPolicy::EveryWrite),
        Just(SyncPolicy::Background {
            interval: Duration::from_millis(10)
        }),
        (1..6_u32).prop_map(|max_entries| SyncPolicy::Batch {
            max_entries,
            max_delay: Duration::from_millis(5),
        }),
    ]
}

/// What must be in the log, and what may be.
#[derive(Default)]
struct Model {
    /// Acknowledged, or shown by a recovery.
    known: BTreeMap<u64, Vec<u8>>,
    /// Appends that were dropped: each is in the log once, or not at all.
    dropped: BTreeSet<Vec<u8>>,
    trim_seq: u64,
    /// For entries that differ from all others.
    count: u32,
}

impl Model {
    fn entry(&mut self, len: usize) -> Vec<u8> {
        self.count += 1;
        let mut entry = self.count.to_le_bytes().to_vec();
        entry.resize(4 + len, 0xcd);
        entry
    }

    /// Compares with all that can be replayed, which is known from then on.
    async fn check(&mut self, wal: &Wal) {
        assert_eq!(wal.trim_seq(), self.trim_seq);
        let mut replay = wal.replay(self.trim_seq);
        let mut seq = self.trim_seq;
        while let Some(record) = replay.next().await.unwrap() {
            assert_eq!(record.seq, seq, "a hole");
            let Entry::Bytes(bytes) = record.entry else {
                panic!("{record:?}")
            };
            if let Some(known) = self.known.get(&seq) {
                assert_eq!(known, bytes);
            } else {
                assert!(self.dropped.remove(bytes), "entry {seq} was never appended");
                self.known.insert(seq, bytes.to_vec());
            }
            seq += 1;
        }
        assert_eq!(wal.durable_seq(), seq);
        let newest = self.known.keys().next_back();
        assert!(
            newest.is_none_or(|newest| *newest < seq),
            "{newest:?} is lost"
        );
    }

    fn acknowledge(&mut self, seq: u64, bytes: Vec<u8>) {
        assert_eq!(self.known.insert(seq, bytes), None, "{seq} is taken twice");
    }
}

async fn append(wal: &Wal, model: &mut Model, lens: &[(usize, bool)]) {
    let entries: Vec<_> = lens.iter().map(|(len, _)| model.entry(*len)).collect();
    let tasks: Vec<_> = entries
        .iter()
        .zip(lens)
        .map(|(entry, (_, dropped))| {
            let (wal, entry, dropped) = (wal.clone(), entry.clone(), *dropped);
            tokio::spawn(async move {
                let mut append = pin!(wal.append(&entry));
                if dropped {
                    let once = std::future::poll_fn(|cx| Poll::Ready(append.as_mut().poll(cx)));
                    match once.await {
                        Poll::Ready(output) => Some(output),
                        Poll::Pending => None,
                    }
                } else {
                    Some(append.await)
                }
            })
        })
        .collect();
    for (entry, task) in entries.into_iter().zip(tasks) {
        match task.await.unwrap().transpose().unwrap() {
            Some(seq) => model.acknowledge(seq, entry),
            None => assert!(model.dropped.insert(entry)),
        }
    }
}

async fn run(options: Options, steps: &[Step]) {
    let storage = MemStorage::new(1);
    let open = || Wal::open_with(Arc::new(storage.clone()), DIR, options.clone());
    let mut model = Model::default();
    let mut wal = open().await.unwrap();
    for step in steps {
        match step {
            Step::Append(lens) => append(&wal, &mut model, lens).await,
            Step::Batch(lens) => {
                let batch: Vec<_> = lens.iter().map(|len| model.entry(*len)).collect();
                let seqs = wal.append_batch(&batch).await.unwrap();
                assert_eq!(seqs.end - seqs.start, batch.len() as u64);
                for (seq, entry) in seqs.zip(batch) {
                    model.acknowledge(seq, entry);
                }
            }
            Step::Trim(share) => {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let below = (wal.durable_seq() as f64 * share) as u64;
                wal.trim(below).await.unwrap();
                model.trim_seq = model.trim_seq.max(below);
                // Nothing is given up that is not there yet.
                assert!(wal.trim(wal.durable_seq() + 1).await.is_err());
            }
            Step::Kill => {
                drop(wal);
                wal = open().await.unwrap();
                assert_eq!(wal.recovery().discarded, None);
            }
            Step::Close => {
                wal.close().await.unwrap();
                drop(wal);
                wal = open().await.unwrap();
                assert!(wal.recovery().sealed);
            }
        }
        model.check(&wal).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_log_holds_what_it_acknowledged_whatever_happens_to_it(
        policy in policy(),
        spares in 0..3_usize,
        few in prop::bool::ANY,
        steps in vec(step(), 1..30),
    ) {
        let options = options().policy(policy).spare_segments_max(spares);
        let options = if few { options.group_entries_max(2) } else { options };
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(run(options, &steps));
    }
}
