//! Work in tasks of one thread: the same run twice does the same.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use groupwal::{Entry, Options, SyncPolicy, Wal};
use tokio::time::sleep;

use crate::executors::{InTasks, on, policies, soon};
use crate::support::fault::{Event, Plan};
use crate::support::mem::MemStorage;
use crate::support::tiny::DIR;

/// Appends of eight tasks, of all lengths, one in four of them given up after a few polls.
struct Scene {
    policy: SyncPolicy,
    seed: usize,
    plan: Plan,
    wal: Wal,
}

impl Scene {
    fn entry(&self, task: u8, step: u8) -> Vec<u8> {
        let len = (usize::from(task) * 131 + usize::from(step) * 37 + self.seed * 17) % 900;
        [vec![task, step], vec![0; len]].concat()
    }

    /// Steps of one task: what was acknowledged.
    async fn append(self: Arc<Self>, task: u8) -> Vec<(u64, Vec<u8>)> {
        let mut acknowledged = Vec::new();
        for step in 0..8 {
            let entry = self.entry(task, step);
            let mut append = pin!(self.wal.append(&entry));
            let draw = usize::from(task) * 3 + usize::from(step) + self.seed;
            let mut polls = if draw.is_multiple_of(4) {
                draw % 9
            } else {
                usize::MAX
            };
            let ended = poll_fn(|cx| {
                if polls == 0 {
                    return Poll::Ready(None);
                }
                polls -= 1;
                let poll = append.as_mut().poll(cx).map(Some);
                if polls < 9 {
                    // Polled again at once, woken or not.
                    cx.waker().wake_by_ref();
                }
                poll
            });
            if let Some(seq) = soon(ended).await {
                acknowledged.push((seq.unwrap(), entry.clone()));
            }
        }
        acknowledged
    }

    async fn trim(self: Arc<Self>) {
        for round in 0..10 {
            sleep(Duration::from_millis(2)).await;
            let below = self.wal.durable_seq() / 2;
            if round % 3 == 0 {
                let mut trim = pin!(self.wal.trim(below));
                let begun = poll_fn(|cx| Poll::Ready(trim.as_mut().poll(cx))).await;
                assert!(begun.is_pending());
            } else {
                soon(self.wal.trim(below)).await.unwrap();
            }
        }
    }

    /// Replays what is there, in order, whatever is trimmed meanwhile.
    async fn replay(wal: &Wal) -> BTreeMap<u64, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut replay = wal.replay(wal.trim_seq());
        loop {
            match soon(replay.next()).await {
                Ok(Some(record)) => {
                    let Entry::Bytes(bytes) = record.entry else {
                        panic!("not bytes: {record:?}")
                    };
                    found.insert(record.seq, bytes.to_vec());
                }
                Ok(None) => return found,
                Err(error) if error.is_trimmed() => replay = wal.replay(wal.trim_seq()),
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Plays it, checks what came of it, and returns all that was asked of the disk.
    async fn play(policy: SyncPolicy, seed: usize) -> Vec<Event> {
        let (plan, storage) = (Plan::default(), MemStorage::new(1));
        let options = on(&Arc::new(InTasks)).policy(policy);
        let opening = Wal::open_with(plan.over(storage.clone()), DIR, options.clone());
        let wal = soon(opening).await.unwrap();
        let scene = Arc::new(Self {
            policy,
            seed,
            plan,
            wal,
        });
        let tasks: Vec<_> = (0..8)
            .map(|task| tokio::spawn(scene.clone().append(task)))
            .collect();
        let trimming = tokio::spawn(scene.clone().trim());
        let mut acknowledged = BTreeMap::new();
        let mut shown = BTreeMap::new();
        for task in tasks {
            shown.extend(Self::replay(&scene.wal).await);
            for (seq, entry) in soon(task).await.unwrap() {
                assert_eq!(acknowledged.insert(seq, entry), None, "a number twice");
            }
        }
        soon(trimming).await.unwrap();
        assert!(acknowledged.len() >= 8 * 6);
        assert!(scene.wal.trim_seq() > 0);
        soon(scene.wal.close()).await.unwrap();
        scene.check(&storage, options, &acknowledged, &shown).await
    }

    async fn check(
        self: Arc<Self>,
        storage: &MemStorage,
        options: Options,
        acknowledged: &BTreeMap<u64, Vec<u8>>,
        shown: &BTreeMap<u64, Vec<u8>>,
    ) -> Vec<Event> {
        let (seed, plan, policy) = (self.seed, self.plan.clone(), self.policy);
        let (first, end) = (self.wal.trim_seq(), self.wal.durable_seq());
        let scene = Arc::into_inner(self).expect("all tasks have ended");
        drop(scene.wal);
        let again = soon(Wal::open_with(plan.over(storage.clone()), DIR, options)).await;
        let wal = again.unwrap();
        assert!(wal.recovery().sealed);
        let found = Self::replay(&wal).await;
        assert!(found.keys().copied().eq(first..end), "{policy:?}, {seed}");
        for (seq, entry) in acknowledged.iter().chain(shown) {
            assert!(*seq < first || found[seq] == *entry, "{policy:?}, {seed}");
        }
        let distinct: BTreeSet<_> = found.values().map(|entry| &entry[..2]).collect();
        assert_eq!(distinct.len(), found.len(), "an entry is there twice");
        plan.take_events()
    }
}

/// A simulation: the same run twice does the same to the disk, and on no other thread.
#[test]
fn work_in_tasks_of_one_thread_is_a_simulation() {
    let play = |policy, seed| {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(Scene::play(policy, seed))
    };
    for policy in policies() {
        for seed in 0..20 {
            let events = play(policy, seed);
            let here = thread::current().id();
            assert!(events.iter().all(|event| event.thread == here));
            assert_eq!(events, play(policy, seed), "{policy:?}, {seed}");
        }
    }
}
