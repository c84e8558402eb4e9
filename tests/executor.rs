//! The blocking engine on an executor of the user's: whatever becomes of the work, at once, later,
//! elsewhere or never, nobody hangs and the log says what happened.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use std::{io, mem, path::Path, thread};

use groupwal::{
    EngineKind, Entry, Executor, Options, Result, Storage, StorageDir, SyncPolicy, Wal,
};
use support::fault::{Event, Plan};
use support::mem::MemStorage;
use support::tiny::{
    DIR, append_all, contents, open, open_with, options, payload, payloads, ready,
};
use tokio::time::{Instant, sleep, timeout};

/// Longer than anything here takes in paused time.
const HANG: Duration = Duration::from_secs(3600);

type Work = Box<dyn FnOnce() + Send>;

/// Runs so many pieces of work in place, and drops the others.
struct InPlace(AtomicUsize);

impl InPlace {
    fn new(runs: usize) -> Arc<Self> {
        Arc::new(Self(AtomicUsize::new(runs)))
    }

    /// From now on it runs so many more.
    fn allow(&self, runs: usize) {
        self.0.store(runs, Ordering::SeqCst);
    }

    fn left(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Executor for InPlace {
    fn execute(&self, work: Work) {
        match self.left() {
            0 => drop(work),
            left => {
                self.allow(left - 1);
                work();
            }
        }
    }
}

/// Runs work in tasks of the runtime that it is called on.
struct InTasks;

impl Executor for InTasks {
    fn execute(&self, work: Work) {
        tokio::spawn(async move {
            tokio::task::yield_now().await;
            work();
        });
    }
}

/// Keeps work until a test says what becomes of it.
#[derive(Default)]
struct Shelf(Mutex<Vec<Work>>);

impl Shelf {
    fn take(&self) -> Vec<Work> {
        mem::take(&mut self.0.lock().unwrap())
    }

    /// Runs all there is, on another thread.
    fn run(&self) {
        let works = self.take();
        assert!(!works.is_empty(), "there is no work");
        let elsewhere = thread::spawn(move || works.into_iter().for_each(|work| work()));
        elsewhere.join().unwrap();
    }
}

impl Executor for Shelf {
    fn execute(&self, work: Work) {
        self.0.lock().unwrap().push(work);
    }
}

fn on(executor: &Arc<impl Executor>) -> Options {
    let options = options().engine(EngineKind::Blocking);
    options.executor(executor.clone())
}

fn policies() -> [SyncPolicy; 4] {
    [
        SyncPolicy::EveryWrite,
        SyncPolicy::Background {
            interval: Duration::from_millis(10),
        },
        SyncPolicy::Batch {
            max_entries: 3,
            max_delay: Duration::from_millis(5),
        },
        SyncPolicy::Adaptive,
    ]
}

async fn soon<F: Future>(future: F) -> F::Output {
    let start = Instant::now();
    let output = timeout(HANG, future).await.expect("it hangs");
    // A timeout polls the future once more when it fires: only the clock tells.
    assert!(start.elapsed() < HANG, "it was not woken");
    output
}

/// On a runtime: work that went to the pool instead would have to be waited for.
#[tokio::test]
async fn work_that_is_run_in_place_leaves_nothing_to_wait_for() {
    for engine in [EngineKind::Blocking, EngineKind::Auto] {
        let (executor, storage) = (InPlace::new(100), MemStorage::new(1));
        let options = on(&executor).engine(engine);
        // So large that no other one is made ready meanwhile.
        let large = options.clone().segment_bytes(64 << 10);
        let wal = open_with(Arc::new(storage.clone()), large).unwrap();
        assert_eq!(executor.left(), 99);
        append_all(&wal, 0..20);
        assert_eq!(executor.left(), 79);
        assert_eq!(contents(&wal), payloads(0..20));
        ready(wal.trim(15)).unwrap();
        ready(wal.close()).unwrap();
        drop(wal);
        let wal = open_with(Arc::new(storage), options).unwrap();
        assert!(wal.recovery().sealed);
        assert_eq!(contents(&wal), payloads(15..20));
    }
}

#[tokio::test]
async fn the_inline_engine_has_no_use_for_an_executor() {
    let executor = InPlace::new(0);
    let options = on(&executor).engine(EngineKind::Inline);
    assert!(format!("{options:?}").contains("executor: Some(Executor)"));
    let wal = open_with(Arc::new(MemStorage::new(1)), options).unwrap();
    append_all(&wal, 0..20);
    assert_eq!(contents(&wal), payloads(0..20));
    ready(wal.close()).unwrap();
}

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

#[test]
fn an_open_whose_work_is_dropped_is_an_error_and_can_be_repeated() {
    let (executor, storage) = (InPlace::new(0), MemStorage::new(1));
    let options = on(&executor);
    let error = open_with(Arc::new(storage.clone()), options.clone()).unwrap_err();
    let dropped = "the executor dropped work of the log unrun (Options::executor)";
    assert_eq!(error.to_string(), dropped);
    assert!(storage.snapshot().is_empty(), "something was created");
    executor.allow(1);
    open_with(Arc::new(storage), options).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_is_dropped_unrun_writes_nothing_and_the_log_goes_on() {
    for policy in policies() {
        let (executor, storage) = (InPlace::new(1), MemStorage::new(1));
        let options = on(&executor).policy(policy);
        let wal = open_with(Arc::new(storage.clone()), options).unwrap();
        let fresh = storage.snapshot();
        let append_five = || {
            [0_u8, 1, 2, 3, 4].map(|number| {
                let wal = wal.clone();
                tokio::spawn(async move { wal.append(&[number; 900]).await })
            })
        };
        for append in append_five() {
            let error = soon(append).await.unwrap().unwrap_err();
            assert!(error.is_not_written() && !error.is_poisoned(), "{error}");
            assert!(error.to_string().ends_with("(Options::executor)"));
        }
        assert!(soon(wal.trim(0)).await.unwrap_err().is_not_written());
        assert_eq!(storage.snapshot(), fresh);

        executor.allow(usize::MAX);
        let mut seqs = Vec::new();
        for append in append_five() {
            seqs.push(soon(append).await.unwrap().unwrap());
        }
        seqs.sort_unstable();
        assert_eq!(seqs, [0, 1, 2, 3, 4]);

        executor.allow(0);
        assert!(soon(wal.close()).await.unwrap_err().is_not_written());
        executor.allow(usize::MAX);
        soon(wal.close()).await.unwrap();
        drop(wal);
        let wal = open(&storage).unwrap();
        assert!(wal.recovery().sealed);
        assert_eq!(contents(&wal).len(), 5);
    }
}

#[test]
fn a_trim_or_replay_whose_work_is_dropped_can_be_repeated() {
    let (executor, storage) = (InPlace::new(usize::MAX), MemStorage::new(1));
    let wal = open_with(Arc::new(storage.clone()), on(&executor)).unwrap();
    append_all(&wal, 0..20);
    let segments = wal.segment_count();
    // The flush that makes the position durable runs, what removes the files does not.
    executor.allow(1);
    ready(wal.trim(15)).unwrap_err();
    assert_eq!((wal.trim_seq(), wal.segment_count()), (15, segments));
    let mut replay = wal.replay(15);
    ready(replay.next()).unwrap_err();
    executor.allow(usize::MAX);
    assert_eq!(ready(replay.next()).unwrap().unwrap().seq, 15);
    ready(wal.trim(15)).unwrap();
    assert!(wal.segment_count() < segments);
    assert_eq!(contents(&wal), payloads(15..20));
}

type Waiting<T> = Pin<Box<dyn Future<Output = T> + Send>>;

fn poll<T>(future: &mut Waiting<T>) -> Poll<T> {
    let cx = &mut Context::from_waker(Waker::noop());
    future.as_mut().poll(cx)
}

fn open_on(shelf: &Arc<Shelf>, storage: impl Storage) -> Wal {
    let opening = Wal::open_with(Arc::new(storage), DIR, on(shelf));
    let mut opening: Waiting<_> = Box::pin(opening);
    assert!(poll(&mut opening).is_pending());
    shelf.run();
    ready(opening).unwrap()
}

/// The work of a busy period, held back and then run on another thread: the appends that arrived
/// meanwhile are in it. Dropped instead, they lead themselves.
#[test]
fn work_may_wait_and_be_run_or_dropped_later() {
    for run in [true, false] {
        let (shelf, storage) = (Arc::new(Shelf::default()), MemStorage::new(1));
        let wal = open_on(&shelf, storage.clone());
        let append = |seq| -> Waiting<Result<u64>> {
            let wal = wal.clone();
            Box::pin(async move { wal.append(&payload(seq)).await })
        };
        let (mut first, mut second) = (append(0), append(1));
        assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
        if run {
            shelf.run();
            assert_eq!(ready(first).unwrap(), 0);
        } else {
            drop(shelf.take());
            assert!(ready(first).unwrap_err().is_not_written());
            assert!(poll(&mut second).is_pending());
            shelf.run();
        }
        assert_eq!(ready(second).unwrap(), u64::from(run));
        // Two blocks are a quarter of the segment: the next one may be made ready now.
        assert_eq!(shelf.take().len(), usize::from(run));
    }
}

/// A task that is polled the moment it is woken, by whoever wakes it, and then opens the log.
struct Impatient {
    task: Mutex<Option<Waiting<()>>>,
    storage: MemStorage,
    opened: Mutex<Option<Result<Wal>>>,
}

impl Wake for Impatient {
    fn wake(self: Arc<Self>) {
        let mut task = self.task.lock().unwrap().take().expect("woken once");
        assert!(poll(&mut task).is_ready(), "woken too early");
        drop(task);
        *self.opened.lock().unwrap() = Some(open(&self.storage));
    }
}

/// What the work held, such as the log's lock, was let go only after whoever waited had been woken.
#[test]
fn whoever_waits_for_work_can_open_the_log_as_soon_as_he_is_woken() {
    for run in [true, false] {
        let (shelf, storage) = (Arc::new(Shelf::default()), MemStorage::new(1));
        let wal = open_on(&shelf, storage.clone());
        let mut task: Waiting<()> = Box::pin(async move { drop(wal.trim(0).await) });
        assert!(poll(&mut task).is_pending());
        // The flush; then what removes files.
        shelf.run();
        let impatient = Arc::new(Impatient {
            task: Mutex::default(),
            storage,
            opened: Mutex::default(),
        });
        let waker = Waker::from(impatient.clone());
        // The task has moved: only the last waker counts.
        assert!(poll(&mut task).is_pending());
        let cx = &mut Context::from_waker(&waker);
        assert!(task.as_mut().poll(cx).is_pending());
        *impatient.task.lock().unwrap() = Some(task);
        if run {
            shelf.run();
        } else {
            drop(shelf.take());
        }
        let opened = impatient.opened.lock().unwrap().take();
        opened.expect("nobody was woken").unwrap();
    }
}

/// A storage that panics, once armed, when it is asked for entropy: whenever a segment is made.
#[derive(Clone)]
struct Tripwire(MemStorage, Arc<AtomicBool>);

impl Storage for Tripwire {
    fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn StorageDir>> {
        Storage::open_dir(&self.0, path)
    }
    fn fill_random(&self, bytes: &mut [u8]) -> io::Result<()> {
        assert!(!self.1.load(Ordering::SeqCst), "tripped");
        self.0.fill_random(bytes)
    }
}

/// The executor sees no panic: one in a flush poisons the log, any other goes to whoever waits.
#[test]
fn a_panic_in_work_goes_to_whoever_waits_for_it() {
    let (shelf, storage) = (Arc::new(Shelf::default()), MemStorage::new(1));
    let armed = Arc::new(AtomicBool::new(true));
    let tripwire = Tripwire(storage.clone(), armed.clone());
    let opening = || open_on(&shelf, tripwire.clone());
    let panic = catch_unwind(AssertUnwindSafe(opening)).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"tripped"));

    armed.store(false, Ordering::SeqCst);
    let wal = opening();
    let append_two = || {
        let appends = [(); 2].map(|()| -> Waiting<Result<u64>> {
            let wal = wal.clone();
            Box::pin(async move { wal.append(&[1; 1000]).await })
        });
        appends.map(|mut append| {
            assert!(poll(&mut append).is_pending());
            append
        })
    };
    // Two groups, which fill the segment.
    let two = append_two();
    shelf.run();
    assert_eq!(two.map(|append| ready(append).unwrap()), [0, 1]);
    armed.store(true, Ordering::SeqCst);
    let [first, next] = append_two();
    shelf.run();
    let error = ready(first).unwrap_err();
    assert!(error.is_outcome_unknown(), "{error}");
    assert!(error.to_string().ends_with("a flush panicked half-way"));
    assert!(ready(next).unwrap_err().is_not_written());
    assert!(ready(wal.append(b"late")).unwrap_err().is_poisoned());
    assert!(ready(wal.close()).unwrap_err().is_poisoned());
    drop(wal);
    assert_eq!(contents(&open(&storage).unwrap()).len(), 2);
}
