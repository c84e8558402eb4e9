//! Work that is kept, and then run elsewhere or dropped.

use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use groupwal::{Result, Storage, StorageDir, Wal};

use crate::executors::{Shelf, on};
use crate::support::mem::MemStorage;
use crate::support::tiny::{DIR, contents, open, payload, ready};

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

/// A task that is polled the moment it is woken, on the waking thread, and then opens the log.
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

/// What the work held, such as the log's lock, was let go only after the waiting task had been woken.
#[test]
fn a_task_that_waits_for_work_can_open_the_log_as_soon_as_it_is_woken() {
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
        opened.expect("no task was woken").unwrap();
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

/// The executor sees no panic: one in a flush poisons the log, any other goes to the waiting task.
#[test]
fn a_panic_in_work_goes_to_the_task_that_waits_for_it() {
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
