//! A store is not blamed for time that it did not have: the harness was stopped, or others had the CPU. The
//! same store that really hangs is found all the same.

use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Far beyond what any of this takes.
const DEADLINE: Duration = Duration::from_secs(300);
const LIMIT: Duration = Duration::from_secs(1);

const WRITER: &str = r#"
    i=100000
    while :; do
        id="g$PLUGPULL_GENERATION-$i"
        echo "attempt $id"
        echo "$id" > "$1/$id"
        echo "ack $id"
        i=$((i + 1))
    done
"#;

/// It says that it has begun, and goes on when it is let.
const CHECKER: &str = r#"
    PREPARE
    if [ ! -e go ]; then
        echo $$ > begun.new && mv begun.new begun
        while [ ! -e go ]; do WAIT; done
    fi
    for entry in "$1"/*; do
        [ -s "$entry" ] && echo "survived ${entry##*/}"
    done
    exit 0
"#;

const ASLEEP: &str = "sleep 0.02";
const BUSY: &str = ":";

/// A torture of these two programs, in a directory of its own.
struct Torture {
    dir: tempfile::TempDir,
    harness: Option<Child>,
}

impl Torture {
    fn begin(crash: &str, prepare: &str, wait: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let checker = CHECKER.replace("PREPARE", prepare).replace("WAIT", wait);
        std::fs::write(dir.path().join("writer.sh"), WRITER).expect("written");
        std::fs::write(dir.path().join("checker.sh"), checker).expect("written");
        let test = std::env::current_exe().expect("this test has a path");
        let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/test");
        let harness = Command::new(profile.join("examples/line_log"))
            .args([
                "run",
                "--cmd",
                "sh writer.sh {dir}",
                "--check",
                "sh checker.sh {dir}",
            ])
            .args([
                "--crash", crash, "--seed", "1", "--jobs", "1", "--rounds", "1",
            ])
            .args(["--hang-limit", "1s", "--json"])
            .current_dir(dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        Self {
            dir,
            harness: Some(harness.expect("the example was built")),
        }
    }

    fn harness(&self) -> Pid {
        let harness = self.harness.as_ref().expect("it runs");
        Pid::from_raw(i32::try_from(harness.id()).expect("small"))
    }

    /// The checker's process, once it has begun.
    fn checker(&mut self) -> i32 {
        let begun = self.dir.path().join("begun");
        until(|| {
            begun.exists()
                || self
                    .harness
                    .as_mut()
                    .expect("there")
                    .try_wait()
                    .expect("ours")
                    .is_some()
        });
        let begun = std::fs::read_to_string(begun).expect("the checker has begun");
        begun.trim().parse().expect("a process")
    }

    fn stop_for_longer_than_the_limit(&self) {
        kill(self.harness(), Signal::SIGSTOP).expect("ours");
        let stopped = Instant::now();
        until(|| stopped.elapsed() > LIMIT + LIMIT / 4);
        kill(self.harness(), Signal::SIGCONT).expect("ours");
        // It has looked at the store since.
        let before = switches(self.harness());
        until(|| switches(self.harness()) >= before + 10);
    }

    fn let_go_on(&self) {
        std::fs::write(self.dir.path().join("go"), "").expect("written");
    }

    fn end(mut self) -> Output {
        let harness = self.harness.take().expect("it runs");
        harness.wait_with_output().expect("it ends")
    }
}

impl Drop for Torture {
    fn drop(&mut self) {
        if let Some(harness) = &mut self.harness {
            harness.kill().and_then(|()| harness.wait()).expect("ours");
        }
    }
}

fn until(mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < DEADLINE, "it does not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How often the threads of a process have given up the CPU by themselves.
fn switches(process: Pid) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
    let of_task = |status: String| -> u64 {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.map_or(0, |count| count.trim().parse().expect("a number"))
    };
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("status")).ok())
        .map(of_task)
        .sum()
}

/// The time for which a process was ready and had no CPU.
fn delay(process: i32) -> Duration {
    let schedstat =
        std::fs::read_to_string(format!("/proc/{process}/schedstat")).unwrap_or_default();
    let nanos = schedstat
        .split(' ')
        .nth(1)
        .and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn is_no_violation(output: &Output) {
    let (told, rows) = (stderr(output), String::from_utf8_lossy(&output.stdout));
    assert!(
        !rows.contains("hangs") && !told.contains("no end after"),
        "{rows} {told}"
    );
    assert_ne!(output.status.code(), Some(1), "{rows} {told}");
}

fn is_found(output: &Output, how: &str) {
    let told = stderr(output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    for words in ["no end after 1s", "of its own in", how] {
        assert!(told.contains(words), "'{words}' in: {told}");
    }
}

#[test]
fn a_harness_that_was_stopped_blames_no_store() {
    for crash in ["kill", "syscall"] {
        let mut torture = Torture::begin(crash, "", ASLEEP);
        torture.checker();
        torture.stop_for_longer_than_the_limit();
        torture.let_go_on();
        is_no_violation(&torture.end());
    }
}

#[test]
fn a_store_that_hangs_is_found_after_the_harness_was_stopped() {
    for crash in ["kill", "syscall"] {
        let mut torture = Torture::begin(crash, "", "sleep 98764");
        torture.checker();
        torture.stop_for_longer_than_the_limit();
        is_found(&torture.end(), "sleeps");
    }
}

#[test]
fn a_store_that_is_busy_for_ever_is_found() {
    for crash in ["kill", "syscall"] {
        let mut torture = Torture::begin(crash, "", BUSY);
        torture.checker();
        is_found(&torture.end(), "on a CPU");
    }
}

/// Two crowds at once would leave nothing at all to a store.
static ONE_CROWD: Mutex<()> = Mutex::new(());

/// Busy on the first CPU of this process until they are dropped.
struct Crowd(
    Vec<Child>,
    #[expect(dead_code, reason = "held")] MutexGuard<'static, ()>,
);

impl Crowd {
    fn on(cpu: usize) -> Self {
        let alone = ONE_CROWD.lock().unwrap_or_else(PoisonError::into_inner);
        let busy = || {
            let mut command = Command::new("taskset");
            command.args(["-c", &cpu.to_string(), "sh", "-c", "while :; do :; done"]);
            command.spawn().expect("util-linux has it")
        };
        Self((0..3).map(|_| busy()).collect(), alone)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for child in &mut self.0 {
            child.kill().and_then(|()| child.wait()).expect("ours");
        }
    }
}

/// On one CPU, at the lowest priority, which is what it shares with the crowd.
fn starving(cpu: usize) -> String {
    format!("taskset -p -c {cpu} $$ >/dev/null; renice -n 19 -p $$ >/dev/null")
}

fn first_cpu() -> usize {
    let allowed = nix::sched::sched_getaffinity(Pid::from_raw(0)).expect("it may be known");
    let mut cpus = 0..nix::sched::CpuSet::count();
    let cpu = cpus.find(|cpu| allowed.is_set(*cpu).expect("in range"));
    cpu.expect("this test runs on one")
}

#[test]
fn a_store_that_gets_no_cpu_is_not_blamed() {
    let cpu = first_cpu();
    for crash in ["kill", "syscall"] {
        let crowd = Crowd::on(cpu);
        let mut torture = Torture::begin(crash, &starving(cpu), BUSY);
        let checker = torture.checker();
        let began = Instant::now();
        // The kernel adds the delay up when the process gets its CPU.
        until(|| {
            let alive = torture
                .harness
                .as_mut()
                .expect("there")
                .try_wait()
                .expect("ours")
                .is_none();
            !alive
                || began.elapsed() > LIMIT * 3 / 2 && delay(checker) > LIMIT
                || began.elapsed() > 20 * LIMIT
        });
        if began.elapsed() > 20 * LIMIT {
            eprintln!("skipped: nothing takes the CPU from a process here");
            return;
        }
        drop(crowd);
        torture.let_go_on();
        is_no_violation(&torture.end());
    }
}

#[test]
fn a_store_that_hangs_in_a_crowd_is_found() {
    let cpu = first_cpu();
    let _crowd = Crowd::on(cpu);
    let mut torture = Torture::begin("kill", &starving(cpu), "sleep 98764");
    torture.checker();
    is_found(&torture.end(), "sleeps");
}
