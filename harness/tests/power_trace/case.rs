//! A writer in Perl, its checker, and what comes of them.

use std::path::Path;
use std::time::Duration;

use plugpull::sim::Profile;
use plugpull::{BlackBox, CrashKind, Failure, Report, Torture, UnderTest};

use crate::recorder::RECORDER;

/// Nothing here takes a tenth of this: a run that waits for ever ends as a violation.
const HANG_LIMIT: Duration = Duration::from_secs(60);

/// What the writers share. A line counts if it is whole, up to the first one that is not.
const BEGINNING: &str = r#"
    use Fcntl;
    use IO::Handle;
    $| = 1;
    my ($dir, $generation) = ($ARGV[0], $ENV{PLUGPULL_GENERATION});
    sub sync_dir {
        open(my $dir_itself, "<", $dir) or die "open: $!";
        $dir_itself->sync or die "sync: $!";
    }
    sub slurp {
        open(my $file, "<", shift) or return "";
        local $/;
        my $all = <$file>;
        return defined $all ? $all : "";
    }
    sub whole_lines {
        my $all = slurp(shift);
        my $end = 0;
        while ($all =~ /\Gg\d+-\d+ whole\n/g) { $end = pos $all }
        return substr($all, 0, $end);
    }
    sub put {
        my ($file, $bytes) = @_;
        syswrite($file, $bytes) == length $bytes or die "write: $!";
    }
"#;

/// Of a log of lines.
pub(crate) const CHECKER: &str = r#"
    open(my $log, "<", "$ARGV[0]/log") or exit 0;
    local $/;
    my $all = <$log>;
    exit 0 unless defined $all;
    while ($all =~ /\G(g\d+-\d+) whole\n/g) { print "survived $1\n" }
"#;

/// A writer, and what its twin does not do.
pub(crate) struct Program {
    pub(crate) writer: String,
    pub(crate) checker: &'static str,
}

impl Program {
    /// With the checker of a log of lines.
    pub(crate) fn new(writer: impl Into<String>) -> Self {
        Self {
            writer: writer.into(),
            checker: CHECKER,
        }
    }

    /// It passes, and none of its twins does: each lacks the line that ends with this mark.
    pub(crate) fn passes_and_these_twins_do_not(&self, marks: &[&str]) {
        passes(self.run(&self.writer, 1).1);
        for mark in marks {
            self.twin_without(mark, "was acknowledged and is gone");
        }
    }

    fn twin_without(&self, mark: &str, complaint: &str) {
        let is_kept = |line: &&str| !line.trim_end().ends_with(mark);
        let kept: Vec<&str> = self.writer.lines().filter(is_kept).collect();
        assert_eq!(kept.len() + 1, self.writer.lines().count(), "{mark}");
        is_caught(self.run(&kept.join("\n"), 4).1, complaint);
    }

    /// A folder with what was found, and the outcome.
    pub(crate) fn run(
        &self,
        writer: &str,
        rounds: u64,
    ) -> (tempfile::TempDir, Result<Report, Failure>) {
        self.run_with(writer, rounds, |torture| torture)
    }

    /// The same with other settings.
    pub(crate) fn run_with(
        &self,
        writer: &str,
        rounds: u64,
        set: impl FnOnce(Torture) -> Torture,
    ) -> (tempfile::TempDir, Result<Report, Failure>) {
        plugpull::obey_orders(&[]);
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str, script: String| {
            let path = dir.path().join(name);
            std::fs::write(&path, script).expect("written");
            format!("perl '{}' {{dir}}", path.display())
        };
        let store = BlackBox::new(
            at("writer", format!("{BEGINNING}{writer}")),
            at("checker", self.checker.to_owned()),
        );
        let store = store.expect("both name the directory");
        let outcome = set(torture(store, rounds, dir.path())).run();
        (dir, outcome)
    }
}

/// By the rules of POSIX.
pub(crate) fn torture(store: impl Into<UnderTest>, rounds: u64, dir: &Path) -> Torture {
    Torture::new(store)
        .crash([CrashKind::Power])
        .recorder(RECORDER)
        .profiles([Profile::Strict])
        .rounds(rounds)
        .seed(1)
        .artifacts(dir.join("failures"))
        .hang_limit(HANG_LIMIT)
}

/// It is examined, and nothing is found.
pub(crate) fn passes(outcome: Result<Report, Failure>) {
    match outcome {
        Ok(report) => {
            let tally = &report.rows[0].tally;
            assert!(tally.acked > 0 && tally.crash_states >= 6, "{tally:?}");
        }
        Err(failure) if is_unavailable(&failure) => {}
        Err(failure) => panic!("a correct program is accused: {failure}"),
    }
}

/// A promise is found broken, in these words.
pub(crate) fn is_caught(outcome: Result<Report, Failure>, complaint: &str) {
    match outcome {
        Err(Failure::Violation(rows)) => {
            let told = Failure::Violation(rows).to_string();
            assert!(told.contains(complaint), "'{complaint}' in: {told}");
        }
        Err(failure) if is_unavailable(&failure) => {}
        Err(failure) => panic!("no verdict: {failure}"),
        Ok(report) => panic!("a guilty program passes: {:?}", report.rows[0].tally),
    }
}

pub(crate) fn is_unavailable(failure: &Failure) -> bool {
    let told = failure.to_string();
    let is_it = told.contains("ptrace") || told.contains("be root");
    if is_it {
        eprintln!("skipped: {told}");
    }
    is_it
}
