//! Random programs on a mounted file system: what they see is what its disk holds.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use memmap2::MmapMut;
use rustix::fs::{Advice, fadvise};

use super::calls::Program;
use super::child::{self, is_child, seeds};
use crate::image::Image;
use crate::mount::Mounted;
use crate::recorder::mount::Unasked;
use crate::sim::{Act, Disk, Profile};
use crate::store::Silent;
use crate::trace::End;

/// Lays a disk out, and compares.
fn is_laid_out(disk: &Disk, shown: &Image, laid_out: &Path) {
    disk.lay_out(laid_out).expect("laid out");
    let holds = Image::read(laid_out, &Image::default()).expect("read");
    let mut differs = holds.differences(shown);
    // The mode of the directory itself is that of a new one, until it is set.
    differs.retain(|name| name != Path::new("."));
    assert!(differs.is_empty(), "{differs:?} differ");
}

/// Runs a random program, and compares what the kernel shows afterwards with the disk, laid out.
fn compare(test: &str, seed: u64, threads: usize) {
    let scratch = std::env::temp_dir();
    let site = if is_child() {
        None
    } else if let Err(why) = crate::mount::available(&scratch) {
        eprintln!("{test}: SKIPPED: {why}");
        return;
    } else {
        crate::mount::site(&scratch).expect("it was possible just now")
    };
    let test = format!("recorder::tests::mounted::{test}");
    let run = |store: &Path, seed: &str| {
        Program::run(store, seed.parse().expect("a number"), threads, true);
    };
    child::traced(&test, &scratch, &seed.to_string(), run, |tracer, store| {
        let disk = Disk::new(Profile::Strict);
        let mounted = Mounted::new(site.as_ref(), store, disk, Arc::new(Silent), None)?;
        let shared = Arc::clone(mounted.shared());
        let mut unasked = Unasked::new(&shared);
        let run = tracer.run(&mut unasked)?;
        if let Some(error) = unasked.error.take() {
            return Err(error);
        }
        assert_eq!(run.end, End::Exited(0));
        let shown = Image::read(store, &Image::default())?;
        drop(shared);
        let lived = mounted.end()?;
        assert!(lived.past.acts().len() > 20, "{:?}", lived.past.acts());
        println!("seed {seed}");
        is_laid_out(lived.past.disk(), &shown, &store.with_file_name("laid-out"));
        Ok(())
    });
}

#[test]
fn what_a_program_sees_is_what_the_disk_holds() {
    for seed in 0..seeds(6) {
        compare("what_a_program_sees_is_what_the_disk_holds", seed, 1);
    }
}

#[test]
fn what_threads_see_is_what_the_disk_holds() {
    for seed in 0..seeds(4) {
        compare("what_threads_see_is_what_the_disk_holds", seed, 3);
    }
}

/// What is done to a file without a name is no act, as nothing of it survives a crash.
#[test]
fn a_file_that_has_lost_its_name_is_read_as_it_was_written() {
    let scratch = tempfile::tempdir().expect("a directory");
    if let Err(why) = crate::mount::available(scratch.path()) {
        return eprintln!("SKIPPED: {why}");
    }
    let site = crate::mount::site(scratch.path()).expect("it was possible just now");
    let dir = scratch.path().join("mounted");
    std::fs::create_dir(&dir).expect("made");
    let disk = Disk::new(Profile::Strict);
    let mounted = Mounted::new(site.as_ref(), &dir, disk, Arc::new(Silent), None).expect("mounted");
    let path = dir.join("file");
    let mut options = File::options();
    options.read(true).write(true).create_new(true);
    let nameless = options.open(&path).expect("made");
    nameless.write_all_at(b"first", 0).expect("written");
    std::fs::remove_file(&path).expect("removed");
    std::fs::write(&path, "another").expect("written");
    nameless.write_all_at(b", then", 5).expect("written");
    // Pages that the kernel keeps are not asked for.
    fadvise(&nameless, 0, None, Advice::DontNeed).expect("let go of");
    let mut bytes = [0; 11];
    nameless.read_exact_at(&mut bytes, 0).expect("read");
    assert_eq!(&bytes, b"first, then");
    nameless.set_len(3).expect("cut");
    assert_eq!(nameless.metadata().expect("of an open file").len(), 3);
    assert_eq!(std::fs::read(&path).expect("read"), b"another");
    drop(nameless);
    let lived = mounted.end().expect("nothing was refused");
    let is_of_nameless = |act: &&Act| match act {
        Act::Write { bytes, .. } => *bytes.0 == *b", then",
        Act::SetLen { len, .. } => *len == 3,
        _ => false,
    };
    let told: Vec<_> = lived.past.acts().iter().filter(is_of_nameless).collect();
    assert!(told.is_empty(), "{told:?}");
}

/// Maps one file again and again, and files that it removes.
#[expect(unsafe_code, reason = "memory shared with files")]
fn map_often(store: &Path) {
    for number in 0..20 {
        for name in ["kept".to_owned(), format!("removed-{number}")] {
            let path = store.join(&name);
            let mut options = File::options();
            options.read(true).write(true).create(true).truncate(false);
            let file = options.open(&path).expect("opened");
            file.set_len(4096).expect("room");
            // SAFETY: no other process changes the file.
            let mut map = unsafe { MmapMut::map_mut(&file) }.expect("mapped");
            map[number] = 1;
            if name != "kept" {
                std::fs::remove_file(path).expect("removed");
            }
        }
    }
}

/// The tracer kept a descriptor of each mapping, until it had no more.
#[test]
fn a_file_that_is_mapped_often_takes_one_descriptor() {
    let scratch = std::env::temp_dir();
    let can_mount = is_child() || crate::mount::available(&scratch).is_ok();
    if !can_mount {
        return eprintln!("SKIPPED: nothing can be mounted");
    }
    let site = (!is_child()).then(|| crate::mount::site(&scratch).expect("possible just now"));
    let test = "recorder::tests::mounted::a_file_that_is_mapped_often_takes_one_descriptor";
    let run = |store: &Path, _: &str| map_often(store);
    child::traced(test, &scratch, "", run, |tracer, store| {
        let disk = Disk::new(Profile::Strict);
        let site = site.as_ref().and_then(Option::as_ref);
        let mounted = Mounted::new(site, store, disk, Arc::new(Silent), None)?;
        let shared = Arc::clone(mounted.shared());
        let run = tracer.run(&mut Unasked::new(&shared))?;
        assert_eq!(run.end, End::Exited(0));
        // The last one that was removed is let go of at the next mapping.
        assert!(
            matches!(shared.mapped_files(), 1 | 2),
            "{}",
            shared.mapped_files()
        );
        assert_eq!(std::fs::read(store.join("kept"))?[..20], [1; 20]);
        drop(shared);
        mounted.end().map(drop)
    });
}

/// A test suite for file systems, or any other command, in a directory that is mounted. `PLUGPULL_SUITE` is the
/// command; it finds the directory in `PLUGPULL_MOUNTED`.
#[test]
#[ignore = "it takes a suite that is installed, and is told by PLUGPULL_SUITE"]
fn a_suite_runs() {
    let command = std::env::var("PLUGPULL_SUITE").expect("PLUGPULL_SUITE is the command");
    let scratch = tempfile::tempdir().expect("a directory");
    let site = crate::mount::site(scratch.path()).expect("this machine mounts");
    let dir = scratch.path().join("mounted");
    std::fs::create_dir(&dir).expect("made");
    let disk = Disk::new(Profile::Strict);
    let mounted = Mounted::new(site.as_ref(), &dir, disk, Arc::new(Silent), None).expect("mounted");
    let status = Command::new("sh")
        .args(["-c", &command])
        .env("PLUGPULL_MOUNTED", &dir)
        .status()
        .expect("there is a shell");
    let shown = Image::read(&dir, &Image::default()).expect("read");
    let lived = mounted.end().expect("nothing was refused");
    println!("{} acts", lived.past.acts().len());
    is_laid_out(lived.past.disk(), &shown, &scratch.path().join("laid-out"));
    assert!(status.success(), "{status}");
}
