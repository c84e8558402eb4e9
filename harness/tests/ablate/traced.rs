//! A program that knows nothing of it, in Perl: runs are recorded, and each of its syncs is left out of the
//! model.

use plugpull::sim::Profile;
use plugpull::{Ablation, AblationReport, BlackBox, SyncKind, SyncOutcome};

/// A log whose lines count up to the first that is not whole, a cache that is never read, and a file
/// that is never written.
const WRITER: &str = r#"
    use Fcntl;
    use IO::Handle;
    $| = 1;
    my ($dir, $generation) = ($ARGV[0], $ENV{PLUGPULL_GENERATION});
    my $flags = O_RDWR | O_CREAT | O_APPEND;
    sysopen(my $log, "$dir/log", $flags, 0644) or die "log: $!";
    sysopen(my $cache, "$dir/cache.12", $flags, 0644) or die "cache: $!";
    sysopen(my $marker, "$dir/marker", $flags, 0644) or die "marker: $!";
    open(my $lines, "<", "$dir/log") or die "log: $!";
    my $all = do { local $/; <$lines> } // "";
    my $end = 0;
    while ($all =~ /\Gg\d+-\d+ whole\n/g) { $end = pos $all }
    truncate $log, $end or die "truncate: $!";
    $log->sync or die "sync: $!";
    open(my $names, "<", $dir) or die "open: $!";
    $names->sync or die "sync: $!";
    for my $number (0..3) {
        my $id = "g$generation-$number";
        print "attempt $id\n";
        syswrite($log, "$id whole\n") or die "write: $!";
        $log->sync or die "sync: $!"; # LOG
        syswrite($cache, "something else\n") or die "write: $!";
        $cache->sync or die "sync: $!";
        $marker->sync or die "sync: $!";
        print "ack $id\n";
    }
"#;

const CHECKER: &str = r#"
    open(my $log, "<", "$ARGV[0]/log") or exit 0;
    my $all = do { local $/; <$log> } // "";
    while ($all =~ /\G(g\d+-\d+) whole\n/g) { print "survived $1\n" }
"#;

/// None if nothing can be traced here.
fn ablate(writer: &str, profiles: &[Profile]) -> Option<AblationReport> {
    plugpull::obey_orders(&[]);
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str, script: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, script).expect("written");
        format!("perl '{}' {{dir}}", path.display())
    };
    let store = BlackBox::new(at("writer", writer), at("checker", CHECKER));
    let store = store.expect("both name the directory");
    let ablation = Ablation::new(store).rounds(1).seed(1);
    match ablation.profiles(profiles.iter().copied()).run() {
        Ok(report) => Some(report),
        Err(error) if error.to_string().contains("ptrace") => {
            eprintln!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// What came of a site: its outcome, and the states that exist only without it.
fn outcome<'r>(report: &'r AblationReport, call: &str, file: &str) -> (&'r SyncOutcome, u64) {
    let is_it = |sync: &&plugpull::AblatedSync| {
        sync.site.system_call() == Some(call) && sync.site.file() == Some(file)
    };
    let sync = report.syncs.iter().find(is_it);
    let sync = sync.unwrap_or_else(|| panic!("no {call} of {file}: {report}"));
    (&sync.outcome, sync.crash_states)
}

#[test]
fn a_needed_sync_is_noticed_a_useless_one_is_missed_and_an_idle_one_is_not_exercised() {
    let Some(report) = ablate(WRITER, &[Profile::Strict, Profile::Ext4Ordered]) else {
        return;
    };
    assert_eq!(report.broken, None);
    assert_eq!(report.syncs.len(), 4, "{report}");
    let (log, _) = outcome(&report, "fsync", "log");
    assert!(
        matches!(log, SyncOutcome::Noticed(notice) if notice.violation.contains("gone")),
        "{report}"
    );
    let (cache, states) = outcome(&report, "fsync", "cache.N");
    assert_eq!(
        (cache, states > 0),
        (&SyncOutcome::Missed, true),
        "{report}"
    );
    let (marker, states) = outcome(&report, "fsync", "marker");
    assert_eq!(
        (marker, states),
        (&SyncOutcome::NotExercised, 0),
        "{report}"
    );
    // A sync of the log commits its name in the one journal that ext4 has.
    let (names, _) = outcome(&report, "fsync", ".");
    assert!(matches!(names, SyncOutcome::Noticed(_)), "{report}");
    let names = report
        .syncs
        .iter()
        .find(|sync| sync.site.kind() == SyncKind::Directory);
    let by_profile = names.map(|sync| {
        let trials = sync.profiles.iter();
        trials
            .map(|trial| (trial.profile, trial.violation.is_some()))
            .collect()
    });
    assert_eq!(
        by_profile,
        Some(vec![(Profile::Strict, true), (Profile::Ext4Ordered, false)]),
        "{report}"
    );
    assert!(!report.is_complete());
}

/// The file is open for synchronous writes: each is a write and a sync, and only the sync is left out.
#[test]
fn the_sync_of_a_synchronous_write_is_a_site() {
    let writer = WRITER.replace("O_APPEND;", "O_APPEND | Fcntl::O_DSYNC;");
    let writer = writer.replace("$log->sync or die \"sync: $!\"; # LOG", "");
    let Some(report) = ablate(&writer, &[Profile::Strict]) else {
        return;
    };
    assert_eq!(report.broken, None);
    let (log, _) = outcome(&report, "write, synchronous", "log");
    assert!(matches!(log, SyncOutcome::Noticed(_)), "{report}");
    // What the cache's writes sync is not read; the fsync behind each has nothing left to do.
    let (cache, states) = outcome(&report, "write, synchronous", "cache.N");
    assert_eq!((cache, states), (&SyncOutcome::NotExercised, 0), "{report}");
}

#[test]
fn of_a_store_that_lacks_a_sync_none_is_left_out() {
    let writer = WRITER.replace("$log->sync or die \"sync: $!\"; # LOG", "");
    let Some(report) = ablate(&writer, &[Profile::Strict]) else {
        return;
    };
    let broken = report.broken.as_deref().unwrap_or_default();
    assert!(broken.contains("gone"), "{report}");
    assert!(report.syncs.is_empty() && !report.is_complete());
}

#[test]
fn a_program_has_no_seam() {
    let store = BlackBox::new("writer {dir}", "checker {dir}").expect("both name the directory");
    let ablation = Ablation::new(store).recorder(plugpull::RecorderKind::Seam);
    let refused = ablation.run().expect_err("it has none").to_string();
    assert!(refused.contains("leave out `--recorder seam`"), "{refused}");
}
