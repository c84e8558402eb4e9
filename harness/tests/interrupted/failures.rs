//! Where failures are saved, if nothing is said: by two users of one machine.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output};

use nix::unistd::geteuid;

use super::victim::{Place, example};

/// Two users that own nothing.
const USERS: [u32; 2] = [0x7711_0001, 0x7711_0002];

/// A torture that finds something, by a user, with a program that no crate has built.
fn torture(program: &Path, place: &Place, user: u32) -> Output {
    let mut command = Command::new("setpriv");
    let user = user.to_string();
    command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]);
    command.arg(program).args([
        "run", "naive", "--crash", "kill", "--rounds", "200", "--seed", "7",
    ]);
    command
        .current_dir("/")
        .env("TMPDIR", place.scratch())
        .env_remove("CARGO_MANIFEST_DIR");
    command.output().expect("setpriv is there")
}

#[test]
fn two_users_of_one_temporary_directory_both_keep_their_failures() {
    let can = Command::new("setpriv")
        .args(["--reuid", "1", "--regid", "1", "--clear-groups", "true"])
        .output();
    if !geteuid().is_root() || !can.is_ok_and(|output| output.status.success()) {
        eprintln!("two users: skipped: only root can be several users, by setpriv");
        return;
    }
    let place = Place::new();
    let open = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode));
    open(place.path(), 0o755).expect("ours");
    open(&place.scratch(), 0o1777).expect("ours");
    let program = place.path().join("torture");
    fs::copy(example("line_log"), &program).expect("copied");
    for user in USERS {
        let output = torture(&program, &place, user);
        let text = String::from_utf8_lossy(&output.stdout);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}{error}");
        assert!(!text.contains("ENVIRONMENT"), "{text}");
        let folder = place.scratch().join(format!("plugpull-failures-{user}"));
        let found = fs::metadata(&folder).expect("failures were saved");
        assert_eq!((found.uid(), found.mode() & 0o777), (user, 0o700));
        assert!(
            fs::read_dir(&folder)
                .expect("root reads all")
                .next()
                .is_some()
        );
    }
    // A third user's folder was made by another one: the failure is told, and why it was not saved.
    let third = USERS[1] + 1;
    let taken = place.scratch().join(format!("plugpull-failures-{third}"));
    fs::create_dir(&taken).expect("a new directory");
    let output = torture(&program, &place, third);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("it is not a directory of this user's alone"),
        "{text}"
    );
    assert!(text.contains("lost: "), "{text}");
}

/// A dead run of another user's is not ours to remove, and keeps us from nothing.
#[test]
fn directories_of_others_are_left_alone() {
    let place = Place::new();
    let dead = place.scratch().join("plugpull-run-dead");
    fs::create_dir(&dead).expect("a new directory");
    fs::write(dead.join(".plugpull-lock"), "").expect("written");
    // Nor does a FIFO of that name keep us waiting.
    let odd = place.scratch().join("plugpull-run-odd");
    fs::create_dir(&odd).expect("a new directory");
    let fifo = nix::unistd::mkfifo(&odd.join(".plugpull-lock"), nix::sys::stat::Mode::S_IRWXU);
    fifo.expect("made");
    let is_root = geteuid().is_root();
    if is_root {
        std::os::unix::fs::chown(&dead, Some(USERS[0]), None).expect("we are root");
    } else {
        eprintln!("directories of others: skipped in part: only root can make them");
    }
    let args = [
        "run", "line-log", "--crash", "kill", "--rounds", "40", "--seed", "7", "--out", "failures",
    ];
    let ended = place.start(&example("line_log"), &args).end();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert_eq!(dead.exists(), is_root, "a dead run of our own is removed");
}
