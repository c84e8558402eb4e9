//! A torture on a mounted file system that is killed or interrupted leaves no mount and no process: as root, and
//! as an ordinary user with `fusermount3`.
//!
//! Needs root, FUSE and ptrace; says so and passes where one is missing.

mod wait;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

use wait::wait_until;

/// The end of the name of the directory in which a torture runs its store.
const OF_RUNS: &str = "-powered";
/// The exit status after Ctrl-C.
const INTERRUPTED: i32 = 130;
/// A user without rights that Debian has a name for: `fusermount3` asks for one.
const USER: u32 = 65534;

/// The name under which the example runs.
const PROGRAM: &str = "line_log";

/// The `line_log` example, which `cargo test` has built along with this test.
fn example() -> PathBuf {
    let test = std::env::current_exe().expect("this test has a path");
    let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/test");
    profile.join("examples/line_log")
}

/// A torture under way in a directory of a unique name. Killed when dropped.
struct Victim {
    child: Child,
    scratch: tempfile::TempDir,
}

impl Victim {
    fn start(as_user: bool) -> Self {
        let scratch = tempfile::tempdir().expect("a directory");
        let program = scratch.path().join(PROGRAM);
        fs::copy(example(), &program).expect("the example was built");
        let mut command = if as_user {
            let mode = fs::Permissions::from_mode(0o700);
            fs::set_permissions(scratch.path(), mode).expect("it is ours");
            chown(scratch.path(), Some(USER), Some(USER)).expect("this is root");
            let mut command = Command::new("setpriv");
            command.args([format!("--reuid={USER}"), format!("--regid={USER}")]);
            command.arg("--clear-groups").arg(&program);
            command
        } else {
            Command::new(&program)
        };
        let child = command
            .args(["run", "--crash", "power", "--recorder", "mount"])
            .args(["--seed", "3", "--jobs", "1", "--json", "--duration", "10m"])
            .arg("--dir")
            .arg(scratch.path())
            .current_dir(scratch.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self {
            child: child.expect("it starts"),
            scratch,
        }
    }

    fn name(&self) -> &str {
        let name = self.scratch.path().file_name().expect("named");
        name.to_str().expect("ASCII")
    }

    /// Whether one of its threads sees a file system that is mounted for a run: not one that shows that this is
    /// possible.
    fn has_mount(&self) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let threads = threads.into_iter().flatten().flatten();
        let mut mounts = threads.map(|thread| thread.path().join("mountinfo"));
        let of_run = |mount: &String| mount.contains(OF_RUNS);
        mounts.any(|mounts| self.fuse_in(&mounts).iter().any(of_run))
    }

    /// The mounts of FUSE below its directory.
    fn fuse_in(&self, mounts: &Path) -> Vec<String> {
        let mounts = fs::read_to_string(mounts).unwrap_or_default();
        let is_its = |line: &&str| line.contains(self.name()) && line.contains(" - fuse");
        mounts.lines().filter(is_its).map(str::to_owned).collect()
    }

    /// The processes that work in its directory.
    fn processes(&self) -> Vec<String> {
        let processes = fs::read_dir("/proc").expect("procfs").flatten();
        let commands = processes.filter_map(|process| {
            let path = process.path();
            let all = ["cmdline", "environ"].map(|name| fs::read(path.join(name)));
            let all = all.into_iter().flatten().flatten().collect::<Vec<u8>>();
            String::from_utf8_lossy(&all)
                .contains(self.name())
                .then(|| path.display().to_string())
        });
        commands.collect()
    }

    fn wait_for_run(&mut self) {
        wait_until("it has mounted", || {
            let has_ended = self.child.try_wait().expect("it is our child");
            assert!(has_ended.is_none(), "it has ended: {has_ended:?}");
            self.has_mount()
        });
    }

    fn send(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("process ids are small");
        kill(Pid::from_raw(id), signal).expect("it runs, or has not been waited for");
    }

    fn end(&mut self) -> ExitStatus {
        self.child.wait().expect("it is our child")
    }

    fn leaves_nothing(&self) {
        wait_until("nothing of it runs", || self.processes().is_empty());
        let mounts = || self.fuse_in(Path::new("/proc/self/mountinfo"));
        wait_until("nothing of it is mounted", || mounts().is_empty());
    }

    fn leaves_nothing_when_it_is_killed(mut self) {
        self.wait_for_run();
        self.send(Signal::SIGKILL);
        self.end();
        self.leaves_nothing();
    }

    /// After Ctrl-C it ends its work, and removes its directories.
    fn ends_and_leaves_nothing(&mut self) {
        let status = self.end();
        assert_eq!(status.code(), Some(INTERRUPTED), "{status}");
        self.leaves_nothing();
        let left = fs::read_dir(self.scratch.path()).expect("readable");
        let left: Vec<_> = left.flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(left, [PROGRAM]);
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn users_open_fuse() -> bool {
    let node = fs::metadata("/dev/fuse");
    node.is_ok_and(|node| node.permissions().mode() & 0o006 == 0o006)
}

/// Whether the example can run on a mounted file system.
fn works(as_user: bool) -> bool {
    let runs = |program: &str| {
        let asked = Command::new(program).arg("--version").output();
        asked.is_ok_and(|asked| asked.status.success())
    };
    let why = if !geteuid().is_root() {
        "it takes root"
    } else if as_user && !(runs("fusermount3") && runs("setpriv")) {
        "it takes fusermount3 and setpriv"
    } else if as_user && !users_open_fuse() {
        "it takes a /dev/fuse that users may open"
    } else if !Path::new("/sys/devices/virtual/misc/fuse/dev").exists() {
        "this kernel has no FUSE"
    } else {
        return true;
    };
    eprintln!("a killed torture on a mounted file system: SKIPPED: {why}");
    false
}

#[test]
fn a_torture_of_root_that_is_killed_leaves_no_mount() {
    if works(false) {
        for _ in 0..3 {
            Victim::start(false).leaves_nothing_when_it_is_killed();
        }
    }
}

#[test]
fn a_torture_of_an_ordinary_user_that_is_killed_leaves_no_mount() {
    if works(true) {
        for _ in 0..3 {
            Victim::start(true).leaves_nothing_when_it_is_killed();
        }
    }
}

/// Whether the example runs, as root or as an ordinary user.
fn where_it_works() -> impl Iterator<Item = bool> {
    [false, true].into_iter().filter(|as_user| works(*as_user))
}

#[test]
fn an_interrupted_torture_leaves_no_mount() {
    for as_user in where_it_works() {
        let mut victim = Victim::start(as_user);
        victim.wait_for_run();
        victim.send(Signal::SIGINT);
        victim.ends_and_leaves_nothing();
    }
}

#[test]
fn a_torture_that_is_interrupted_twice_leaves_no_mount() {
    for as_user in where_it_works() {
        let mut victim = Victim::start(as_user);
        victim.wait_for_run();
        let mut ended = None;
        // A signal that comes before the one before was heard is the same one.
        wait_until("it ends", || {
            victim.send(Signal::SIGINT);
            ended = victim.child.try_wait().expect("it is our child");
            ended.is_some()
        });
        let status = ended.expect("just seen");
        assert_eq!(status.code(), Some(INTERRUPTED), "{status}");
        victim.leaves_nothing();
    }
}

#[test]
fn tortures_at_the_same_time_do_not_disturb_each_other() {
    for as_user in where_it_works() {
        let mut victims = [Victim::start(as_user), Victim::start(as_user)];
        for victim in &mut victims {
            victim.wait_for_run();
        }
        let [first, second] = &mut victims;
        first.send(Signal::SIGINT);
        first.ends_and_leaves_nothing();
        second.wait_for_run();
        second.send(Signal::SIGINT);
        second.ends_and_leaves_nothing();
    }
}
