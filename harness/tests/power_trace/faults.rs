//! The disk fails under programs that know nothing of it: what stops or puts things right passes, and its
//! guilty twin, which goes on as if nothing had happened, is caught.

use plugpull::{CrashKind, Failure, PlannedFault, Report};

use crate::case::{Program, is_caught, is_unavailable, passes};
use crate::recorder::RECORDER;

/// A log that is opened, cut back to what is whole and made durable, and then appended to.
fn log_that(appends: &str) -> Program {
    Program::new(format!(
        r#"
    my $kept = length whole_lines("$dir/log");
    sysopen(my $log, "$dir/log", O_RDWR | O_CREAT, 0644) or die "log: $!";
    truncate($log, $kept) or die "truncate: $!";
    $log->sync or die "sync: $!";
    sync_dir();
    sysseek($log, $kept, 0);
    for my $number (0..3) {{
        my $id = "g$generation-$number";
        print "attempt $id\n";
        {appends}
        print "ack $id\n";
    }}
"#
    ))
}

fn run(program: &Program, fault: &str) -> (tempfile::TempDir, Result<Report, Failure>) {
    let fault: PlannedFault = fault.parse().expect("a fault");
    program.run_with(&program.writer, 2, |torture| {
        torture.crash([CrashKind::Fault]).faults([fault])
    })
}

/// It stops, or puts it right.
fn is_innocent(program: &Program, fault: &str) {
    passes(run(program, fault).1);
}

fn is_guilty(program: &Program, fault: &str) -> tempfile::TempDir {
    let (dir, outcome) = run(program, fault);
    is_caught(outcome, "was acknowledged and is gone");
    dir
}

const SYNC: &str = "fsync:+2:EIO";

/// The kernel takes what it could not write for clean: the second sync has nothing to do.
#[test]
fn a_failed_sync_that_is_tried_again_loses_what_it_acknowledges() {
    let retries = log_that(
        r#"put($log, "$id whole\n");
        until ($log->sync) { }"#,
    );
    is_guilty(&retries, SYNC);
}

#[test]
fn a_failed_sync_that_is_ignored_loses_what_it_acknowledges() {
    let ignores = log_that(
        r#"put($log, "$id whole\n");
        $log->sync;"#,
    );
    is_guilty(&ignores, SYNC);
}

#[test]
fn a_program_that_stops_at_a_failed_sync_breaks_no_promise() {
    let stops = log_that(
        r#"put($log, "$id whole\n");
        $log->sync or die "sync: $!";"#,
    );
    is_innocent(&stops, SYNC);
}

/// What is written again is dirty again.
#[test]
fn a_program_that_writes_again_before_it_syncs_again_breaks_no_promise() {
    let writes_again = log_that(
        r#"my $at = sysseek($log, 0, 1);
        do {
            sysseek($log, 0, 0);
            put($log, substr(slurp("$dir/log"), 0, $at) . "$id whole\n");
        } until ($log->sync);"#,
    );
    is_innocent(&writes_again, SYNC);
}

/// Nothing was tried: what is pending stays so, and the next sync writes it.
#[test]
fn an_interrupted_sync_can_be_tried_again() {
    let retries = log_that(
        r#"put($log, "$id whole\n");
        until ($log->sync) { }"#,
    );
    is_innocent(&retries, "fsync:+2:EINTR");
}

#[test]
fn a_short_write_is_gone_on_with_or_it_loses() {
    let write = |how: &str| log_that(&format!("{how}\n$log->sync or die \"sync: $!\";"));
    let ignores = write(r#"syswrite($log, "$id whole\n") or die "write: $!";"#);
    is_guilty(&ignores, "short-write:+2");
    let loops = write(
        r#"my $rest = "$id whole\n";
        while (length $rest) {
            my $count = syswrite($log, $rest);
            defined $count or die "write: $!";
            $rest = substr($rest, $count);
        }"#,
    );
    is_innocent(&loops, "short-write:+2");
}

#[test]
fn a_full_disk_is_noticed_or_it_loses() {
    let ignores = log_that(
        r#"syswrite($log, "$id whole\n");
        $log->sync or die "sync: $!";"#,
    );
    is_guilty(&ignores, "no-space:+2:1");
    let stops = log_that(
        r#"put($log, "$id whole\n");
        $log->sync or die "sync: $!";"#,
    );
    is_innocent(&stops, "no-space:+2:1");
}

#[test]
fn a_rename_that_fails_is_noticed_or_it_loses() {
    let renames = |how: &str| {
        Program::new(format!(
            r#"
    my $all = whole_lines("$dir/log");
    for my $number (0..3) {{
        my $id = "g$generation-$number";
        print "attempt $id\n";
        my $next = "$all$id whole\n";
        sysopen(my $new, "$dir/log.new", O_WRONLY | O_CREAT | O_TRUNC, 0644) or die "new: $!";
        put($new, $next);
        $new->sync or die "sync: $!";
        close $new;
        rename "$dir/log.new", "$dir/log"{how};
        sync_dir();
        $all = $next;
        print "ack $id\n";
    }}
"#
        ))
    };
    is_guilty(&renames(""), "rename:2");
    is_innocent(&renames(r#" or die "rename: $!""#), "rename:2");
}

#[test]
fn the_story_names_the_call_that_failed() {
    let retries = log_that(
        r#"put($log, "$id whole\n");
        until ($log->sync) { }"#,
    );
    let (dir, outcome) = run(&retries, SYNC);
    let failure = outcome.expect_err("it is guilty");
    if is_unavailable(&failure) {
        return;
    }
    let Failure::Violation(rows) = &failure else {
        panic!("no verdict: {failure}");
    };
    assert_eq!(rows[0].case(), format!("fault {RECORDER}"));
    let folder = &rows[0].failures[0].folder;
    let told = std::fs::read_to_string(folder.join("README.md")).expect("text");
    for part in [
        "Its disk fails: fsync:+2:EIO",
        "fsync log: answered with EIO",
        "a disk that did not fail broke no promise",
    ] {
        assert!(told.contains(part), "'{part}' in: {told}");
    }
    drop(dir);
}

/// A fault that no call meets shows nothing, which is no pass.
#[test]
fn a_fault_that_is_not_met_is_no_pass() {
    let stops = log_that(
        r#"put($log, "$id whole\n");
        $log->sync or die "sync: $!";"#,
    );
    match run(&stops, "rename:1").1 {
        Err(failure) if is_unavailable(&failure) => {}
        Err(Failure::Vacuous(_)) => {}
        other => panic!("it says something: {other:?}"),
    }
}
