//! Writers that take long to acknowledge something, and what happens before they do.

use plugpull::{CrashKind, Failure, Torture};

use crate::case::{CHECKER, Program, is_caught, is_unavailable, passes};

/// The log, cut behind its last whole line.
const OPENED: &str = r#"
    my $kept = length whole_lines("$dir/log");
    sysopen(my $log, "$dir/log", O_RDWR | O_CREAT, 0644) or die "log: $!";
    truncate($log, $kept) or die "truncate: $!";
    $log->sync or die "sync: $!";
    sync_dir();
    sysseek($log, $kept, 0);
"#;

/// Some hundred calls lie between an attempt and its acknowledgement.
const SLOW: &str = r#"
    for my $number (0..2) {
        my $id = "g$generation-$number";
        print "attempt $id\n";
        put($log, $_) for split //, "$id whole\n";
        for (1..20) {
            sysopen(my $other, "$dir/other", O_RDWR | O_CREAT, 0644) or die "other: $!";
            put($other, "x") for 1..9;
        }
        $log->sync or die "sync: $!";
        print "ack $id\n";
    }
"#;

fn run(set: impl FnOnce(Torture) -> Torture) -> Result<plugpull::Report, Failure> {
    let program = Program::new(format!("{OPENED}{SLOW}"));
    program.run_with(&program.writer, 6, set).1
}

#[test]
fn a_writer_that_acknowledges_nothing_in_its_time_gets_more() {
    passes(run(|torture| torture));
}

#[test]
fn calls_that_are_asked_for_are_as_many_as_there_are() {
    passes(run(|torture| torture.calls(4000).rounds(2)));
    match run(|torture| torture.calls(30).rounds(2)) {
        Err(Failure::Vacuous(rows)) => {
            assert!(rows[0].tally.attempts > 0 && rows[0].tally.acked == 0);
            let told = Failure::Vacuous(rows).to_string();
            assert!(told.contains("`calls`"), "{told}");
        }
        Err(failure) if is_unavailable(&failure) => {}
        other => panic!("something is acknowledged within 30 calls: {other:?}"),
    }
}

/// Its store comes about in several steps, and a checker that finds half of it refuses.
const HALF_MADE: &str = r#"
    sysopen(my $made, "$dir/made", O_RDWR | O_CREAT, 0644) or die "made: $!";
    $made->sync or die "sync: $!";
    sync_dir();
    for my $number (0..2) {
        my $id = "g$generation-$number";
        print "attempt $id\n";
        put($log, "$id whole\n");
        $log->sync or die "sync: $!";
        print "ack $id\n";
    }
"#;

#[test]
fn what_is_wrong_before_the_first_acknowledgement_can_be_left_aside() {
    let refuses = r#"die "half made" if -e "$ARGV[0]/log" && !-e "$ARGV[0]/made";"#;
    let program = Program {
        writer: format!("{OPENED}{HALF_MADE}"),
        checker: String::leak(format!("{refuses}\n{CHECKER}")),
    };
    for kind in [CrashKind::Power, CrashKind::Syscall] {
        let run = |set: fn(Torture) -> Torture| {
            let set = |torture: Torture| set(torture.crash([kind]));
            program.run_with(&program.writer, 2, set).1
        };
        is_caught(run(|torture| torture), "half made");
        passes(run(Torture::after_first_ack));
    }
}

#[test]
fn a_kill_before_the_first_acknowledgement_can_be_left_aside() {
    let refuses = r#"die "no entry" unless -s "$ARGV[0]/log";"#;
    let program = Program {
        writer: format!("{OPENED}{HALF_MADE}"),
        checker: String::leak(format!("{refuses}\n{CHECKER}")),
    };
    // A kill hits it while it lives.
    let lives_on = format!("{}\nsleep 1 while 1;", program.writer);
    let killed = |torture: Torture| torture.crash([CrashKind::Kill]).after_first_ack();
    passes(program.run_with(&lives_on, 12, killed).1);
}
