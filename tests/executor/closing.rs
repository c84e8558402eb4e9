//! A log that is let go of while it is being closed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use groupwal::Wal;

use crate::executors::{Shelf, on};
use crate::support::mem::MemStorage;
use crate::support::tiny::{DIR, contents, open};

/// Polls a future once.
fn poll<F: Future + ?Sized>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
}

/// Brings a future to its end, and what it hands to the executor.
fn complete<F: Future>(shelf: &Shelf, future: F) -> F::Output {
    let mut future = Box::pin(future);
    loop {
        if let Poll::Ready(output) = poll(&mut future) {
            return output;
        }
        shelf.run();
    }
}

/// The seal is handed to the executor, the handle and its `close` are dropped, and the write of the seal is
/// still to come. An opening that were let in now would go on where the seal is about to be written.
#[test]
fn a_log_whose_seal_is_on_its_way_is_still_owned() {
    let (shelf, storage) = (Arc::new(Shelf::default()), MemStorage::new(1));
    let opening = Wal::open_with(Arc::new(storage.clone()), DIR, on(&shelf));
    let wal = complete(&shelf, opening).unwrap();
    complete(&shelf, wal.append(b"one")).unwrap();

    let mut closing = Box::pin(async move { wal.close().await });
    // The barrier before the seal.
    assert!(poll(&mut closing).is_pending());
    shelf.run();
    assert!(poll(&mut closing).is_pending());
    drop(closing);
    let error = open(&storage).unwrap_err();
    assert!(error.is_locked(), "{error}");

    shelf.run();
    let wal = open(&storage).unwrap();
    assert!(wal.recovery().sealed);
    assert_eq!(contents(&wal), [(0, b"one".to_vec())]);
}
