//! What children do: writers, and programs that know nothing of a tracer.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Barrier, mpsc};
use std::thread;

pub(crate) const WRITERS: u8 = 4;
pub(crate) const RECORDS: usize = 12;
pub(crate) const RECORD_BYTES: usize = 256 << 10;

/// Writers that fill a file each with records as large as tear when they are caught in the middle.
pub(crate) fn many_writers(store: &Path) {
    let start = Barrier::new(WRITERS.into());
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let start = &start;
            scope.spawn(move || {
                start.wait();
                let file = File::create(store.join(writer.to_string())).expect("create");
                for record in 0..RECORDS {
                    let bytes = vec![writer + 1; RECORD_BYTES];
                    let offset = record * RECORD_BYTES;
                    file.write_all_at(&bytes, offset as u64).expect("pwrite");
                }
            });
        }
    });
}

/// Threads that write for ever, and have all begun.
pub(crate) fn endless_writers(store: &Path) {
    let (begun, all) = mpsc::channel();
    for writer in 0..WRITERS {
        let (file, begun) = (File::create(store.join(writer.to_string())), begun.clone());
        thread::spawn(move || {
            let file = file.expect("create");
            loop {
                file.write_all_at(b"again", 0).expect("pwrite");
                begun.send(()).expect("the main thread listens");
            }
        });
    }
    assert_eq!(all.iter().take(100).count(), 100);
    std::mem::forget(all);
}

/// A shell is a program that knows nothing of all this.
pub(crate) fn shell(store: &Path, script: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(script).current_dir(store);
    shell
}
