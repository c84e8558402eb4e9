//! A child that is traced, and notes of what it does.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStringExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use plugpull::trace::{Call, Decision, Kind, Observer, Run, Tracer, enter_child};
use tempfile::TempDir;

const STORE: &str = "PLUGPULL_TRACE_TEST_STORE";
/// Far beyond what any of these children takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A watched directory, and a child that is to work in it.
pub(crate) struct Traced {
    pub(crate) store: TempDir,
    pub(crate) test: &'static str,
    pub(crate) patience: Duration,
}

impl Traced {
    /// The name of the test that calls it, and what its child does. In the child it does not
    /// return.
    pub(crate) fn new(test: &'static str, script: fn(&Path)) -> Self {
        Self::prepared(test, || (), |store, ()| script(store))
    }

    /// The child prepares something before it is traced.
    pub(crate) fn prepared<T>(
        test: &'static str,
        prepare: impl FnOnce() -> T,
        script: impl FnOnce(&Path, T),
    ) -> Self {
        if let Some(store) = std::env::var_os(STORE) {
            let prepared = prepare();
            enter_child().expect("the tracer waits for us");
            script(Path::new(&store), prepared);
            std::process::exit(0);
        }
        Self {
            store: tempfile::tempdir().expect("a temporary directory"),
            test,
            patience: PATIENCE,
        }
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.store.path().join("store")
    }

    /// On an empty store. `None` where ptrace is not permitted.
    pub(crate) fn run(&self, observer: &mut (impl Observer + Send)) -> Option<Run> {
        match self.try_run(observer) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                eprintln!("skipped: {error}");
                None
            }
            run => Some(run.expect("the run ends")),
        }
    }

    pub(crate) fn try_run(&self, observer: &mut (impl Observer + Send)) -> io::Result<Run> {
        let (tracer, root) = self.start()?;
        let run = catch_unwind(AssertUnwindSafe(|| tracer.run(observer)));
        assert_eq!(kill(root, None), Err(Errno::ESRCH), "the child is alive");
        run.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    pub(crate) fn start(&self) -> io::Result<(Tracer, Pid)> {
        if self.dir().exists() {
            fs::remove_dir_all(self.dir())?;
        }
        fs::create_dir(self.dir())?;
        let child = Command::new(std::env::current_exe()?)
            .args([self.test, "--exact", "--nocapture", "--test-threads=1"])
            .env(STORE, self.dir())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        let root = Pid::from_raw(i32::try_from(child.id()).expect("process ids are small"));
        let tracer = Tracer::new(child, &self.dir())?.time_limit(self.patience);
        Ok((tracer, root))
    }
}

/// The whole directory; `None` is a directory.
pub(crate) type Snapshot = BTreeMap<PathBuf, Option<Vec<u8>>>;

pub(crate) fn snapshot(dir: &Path) -> Snapshot {
    fn visit(root: &Path, dir: &Path, into: &mut Snapshot) {
        for entry in fs::read_dir(dir).expect("it is stopped") {
            let path = entry.expect("it is stopped").path();
            let name = path.strip_prefix(root).expect("in it").to_owned();
            if let Ok(target) = path.read_link() {
                into.insert(name, Some(target.into_os_string().into_vec()));
            } else if path.is_dir() {
                visit(root, &path, into);
                into.insert(name, None);
            } else if path.is_file() {
                into.insert(name, Some(fs::read(&path).expect("it is stopped")));
            } else {
                // To read a FIFO would wait for its writer.
                into.insert(name, Some(b"no file".to_vec()));
            }
        }
    }
    let mut all = Snapshot::new();
    visit(dir, dir, &mut all);
    all
}

/// Writes down what happens; decides by the number of the stop.
pub(crate) struct Notes<F> {
    pub(crate) dir: PathBuf,
    pub(crate) lines: Vec<String>,
    /// At each stop, before and after.
    pub(crate) snapshots: Vec<Snapshot>,
    pub(crate) calls: Vec<Call>,
    pub(crate) decide: F,
}

impl<F: FnMut(usize, &Call) -> Decision> Notes<F> {
    pub(crate) fn new(traced: &Traced, decide: F) -> Self {
        Self {
            dir: traced.dir(),
            lines: Vec::new(),
            snapshots: Vec::new(),
            calls: Vec::new(),
            decide,
        }
    }
}

impl<F: FnMut(usize, &Call) -> Decision> Observer for Notes<F> {
    fn before(&mut self, call: &Call) -> Decision {
        let stop = self.snapshots.len();
        self.snapshots.push(snapshot(&self.dir));
        self.lines.push(format!("{call}"));
        self.calls.push(call.clone());
        (self.decide)(stop, call)
    }

    fn after(&mut self, call: &Call, result: io::Result<u64>) -> ControlFlow<()> {
        let stop = self.snapshots.len();
        self.snapshots.push(snapshot(&self.dir));
        let line = self.lines.last_mut().expect("it began");
        assert!(line.starts_with(&format!("{call}")), "{call} after {line}");
        match result {
            // Descriptors are numbered as the test runner pleases.
            Ok(_) if call.kind() == Kind::Create => line.push_str(" = fd"),
            Ok(value) => write!(line, " = {value}").expect("memory"),
            Err(error) => write!(line, " = {:?}", error.kind()).expect("memory"),
        }
        match (self.decide)(stop, call) {
            Decision::Kill => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

pub(crate) fn go_on(_: usize, _: &Call) -> Decision {
    Decision::Continue
}

/// Some libraries and architectures know the `at` forms only.
pub(crate) fn without_at(line: &str) -> String {
    line.replace("at2(", "(").replace("at(", "(")
}

/// How the child ended, if it could be traced.
pub(crate) fn end_of(traced: &Traced) -> Option<Run> {
    traced.run(&mut Notes::new(traced, go_on))
}
