//! An examiner shows each image as it is, and goes on.

use std::fs::{self, File};
use std::io::{self};
use std::path::Path;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plugpull::disk::{Crashes, Examiner, FileSystem, Image, Method, Sampling, is_mount_refused};

use crate::machine::{can, possible, site};
use crate::program::{content, record};

#[test]
fn an_examiner_shows_each_image_as_it_is_whatever_was_written_to_the_last() {
    for file_system in possible("an examiner shows each image as it is") {
        let site = site();
        let run = record(&site, &file_system);
        let full = run.recording.image_at(run.recording.end);
        for method in [Method::Fuse, Method::best()] {
            let examiner = Examiner::with_method(&site, &file_system, method);
            let mut examiner = examiner.expect("an examiner");
            for image in [&full, &run.recording.base, &full] {
                let before = image.fingerprint();
                let looked = examiner.with_mounted(image, |dir| -> io::Result<bool> {
                    assert!(!dir.join("new").exists(), "from the last image");
                    fs::write(dir.join("new"), vec![1; 100_000])?;
                    File::open(dir)?.sync_all()?;
                    Ok(dir.join("log").exists())
                });
                let has_log = looked.expect("mounted").expect("written");
                assert_eq!(
                    has_log,
                    *image == full,
                    "{} on {method:?}",
                    file_system.kind
                );
                assert_eq!(image.fingerprint(), before, "the image stays as it is");
            }
        }
    }
}

#[test]
fn an_image_without_a_file_system_is_refused_and_the_examiner_goes_on() {
    for file_system in possible("an image without a file system") {
        let site = site();
        let run = record(&site, &file_system);
        for method in [Method::Fuse, Method::best()] {
            let examiner = Examiner::with_method(&site, &file_system, method);
            let mut examiner = examiner.expect("an examiner");
            let nothing = Image::zeros(file_system.bytes);
            let error = examiner
                .with_mounted(&nothing, |_| ())
                .expect_err("it cannot be mounted");
            assert!(is_mount_refused(&error), "{error}");
            examiner
                .with_mounted(&run.recording.base, |_| ())
                .expect("mounted");
        }
    }
}

#[test]
fn a_file_left_open_is_an_error_and_the_examiner_goes_on() {
    let ext4 = FileSystem::ext4();
    if !can("a file left open", &ext4) {
        return;
    }
    let site = site();
    let run = record(&site, &ext4);
    let full = run.recording.image_at(run.recording.end);
    for method in [Method::Fuse, Method::best()] {
        let mut examiner = Examiner::with_method(&site, &ext4, method).expect("an examiner");
        let mut open = None;
        let looked = examiner.with_mounted(&full, |dir| open = File::open(dir.join("log")).ok());
        let error = looked.expect_err("the file is open");
        assert!(
            !is_mount_refused(&error) && error.to_string().contains("unmount"),
            "{error}"
        );
        let this = format!("process {} (", std::process::id());
        assert!(error.to_string().contains(&this), "{error}");
        let looked = examiner.with_mounted(&run.recording.base, |dir| dir.join("log").exists());
        assert!(
            !looked.expect("mounted"),
            "another image, while the first is in use"
        );
        drop(open);
    }
}

#[test]
fn several_examiners_work_at_once() {
    for file_system in possible("several examiners") {
        let recording = record(&site(), &file_system).recording;
        std::thread::scope(|scope| {
            for worker in 0..2 {
                let (recording, file_system) = (&recording, &file_system);
                scope.spawn(move || {
                    let site = site();
                    let mut examiner = Examiner::new(&site, file_system).expect("an examiner");
                    let crashes = Crashes::new(recording, &Sampling::prefixes());
                    for state in crashes.states().iter().skip(worker).step_by(2) {
                        let image = crashes.image(&state.outcome).expect("of this recording");
                        let looked = examiner.with_mounted(&image, |dir| content(dir, "log"));
                        looked.expect("mounted").expect("readable");
                    }
                });
            }
        });
    }
}

/// A process that no run has started. Killed when dropped.
struct Stranger(Pid);

impl Stranger {
    /// Starts one that has a file open, and whose parent has ended.
    fn with_open(file: &Path) -> Self {
        let script = "sleep 3600 < \"$1\" > /dev/null 2>&1 & echo $!";
        let mut shell = Command::new("sh");
        let said = shell.args(["-c", script, "sh"]).arg(file).output();
        let said = said.expect("there is a shell").stdout;
        let id = String::from_utf8_lossy(&said).trim().parse();
        Self(Pid::from_raw(id.expect("a process id")))
    }

    fn is_alive(&self) -> bool {
        kill(self.0, None).is_ok()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        kill(self.0, Signal::SIGKILL).ok();
    }
}

#[test]
fn a_process_that_no_run_has_started_is_named_and_left_alone() {
    let ext4 = FileSystem::ext4();
    if !can("a process of another origin", &ext4) {
        return;
    }
    let site = site();
    let run = record(&site, &ext4);
    let full = run.recording.image_at(run.recording.end);
    for method in [Method::Fuse, Method::best()] {
        let mut examiner = Examiner::with_method(&site, &ext4, method).expect("an examiner");
        let mut stranger = None;
        let looked = examiner.with_mounted(&full, |dir| {
            stranger = Some(Stranger::with_open(&dir.join("log")));
        });
        let error = looked.expect_err("the file is open").to_string();
        let stranger = stranger.expect("it was mounted");
        let named = format!("process {} (sleep) by its descriptor 0", stranger.0);
        assert!(error.contains(&named), "{error}");
        assert!(error.contains("image-"), "no path in: {error}");
        assert!(stranger.is_alive(), "it is not ours to kill");
        let looked = examiner.with_mounted(&run.recording.base, |dir| dir.join("log").exists());
        assert!(
            !looked.expect("mounted"),
            "another image, on another device"
        );
    }
}
