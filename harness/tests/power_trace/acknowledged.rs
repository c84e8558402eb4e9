//! A program that acknowledges before it writes loses entries to a kill already, and is told so.

use std::path::Path;

use crate::case::{Program, is_caught};

const EARLY: &str = r#"
    my $kept = length whole_lines("$dir/log");
    sysopen(my $log, "$dir/log", O_RDWR | O_CREAT, 0644) or die "log: $!";
    truncate($log, $kept) or die "truncate: $!";
    $log->sync or die "sync: $!";
    sync_dir();
    sysseek($log, $kept, 0);
    for my $number (0..2) {
        my $id = "g$generation-$number";
        print "attempt $id\n";
        #EARLY
        put($log, "$id whole\n");
        $log->sync or die "sync: $!"; # FILE
        #LATE
    }
"#;

/// What was saved, in words.
fn told(dir: &Path) -> String {
    let mut told = String::new();
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("read").path();
        if path.is_dir() {
            told += &self::told(&path);
        } else if path.extension().is_some_and(|end| end == "md") {
            told += &std::fs::read_to_string(&path).expect("text");
        }
    }
    told
}

#[test]
fn an_acknowledgement_before_the_write_is_lost_to_a_kill_already() {
    let acknowledge = "print \"ack $id\\n\";";
    let program = Program::new(EARLY);
    let (dir, outcome) = program.run(&EARLY.replace("#EARLY", acknowledge), 4);
    let is_traced = outcome
        .as_ref()
        .is_err_and(|failure| !failure.to_string().contains("ptrace"));
    is_caught(outcome, "was acknowledged and is gone");
    if is_traced {
        let told = told(dir.path());
        assert!(told.contains("LOST TO A KILL ALREADY"), "{told}");
    }
    // Where the sync is what is missing, it is said to be.
    let unsynced = EARLY.replace("#LATE", acknowledge);
    let unsynced = unsynced.replace("$log->sync or die \"sync: $!\"; # FILE", "");
    let (dir, outcome) = program.run(&unsynced, 4);
    is_caught(outcome, "was acknowledged and is gone");
    if is_traced {
        let told = told(dir.path());
        assert!(told.contains("every promise holds"), "{told}");
    }
}
