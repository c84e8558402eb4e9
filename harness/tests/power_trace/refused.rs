//! What cannot be followed is refused by name, and never judged. What was only tried does no harm.

use plugpull::Failure;

use crate::case::{Program, is_unavailable, passes};

/// A correct log that does something else as well.
fn log_that(does: &str) -> Program {
    Program::new(format!(
        r#"
    my $kept = length whole_lines("$dir/log");
    sysopen(my $log, "$dir/log", O_RDWR | O_CREAT, 0644) or die "log: $!";
    truncate($log, $kept) or die "truncate: $!";
    $log->sync or die "sync: $!";
    sync_dir();
    {does}
    sysseek($log, $kept, 0);
    for my $number (0..2) {{
        my $id = "g$generation-$number";
        print "attempt $id\n";
        put($log, "$id whole\n");
        $log->sync or die "sync: $!";
        print "ack $id\n";
    }}
"#
    ))
}

fn is_refused(does: &str, by: &str) {
    let program = log_that(does);
    match program.run(&program.writer, 1).1 {
        Err(failure) if is_unavailable(&failure) => {}
        Err(Failure::Environment(why)) => assert!(why.contains(by), "'{by}' in: {why}"),
        Err(failure) => panic!("it is judged: {failure}"),
        Ok(_) => panic!("it passes"),
    }
}

#[test]
fn requests_to_io_uring_are_refused_by_name() {
    let (setup, enter) = (libc::SYS_io_uring_setup, libc::SYS_io_uring_enter);
    let does = format!(
        r#"
    my $parameters = "\0" x 120;
    my $ring = syscall({setup}, 4, $parameters);
    syscall({enter}, $ring, 1, 0, 0, 0, 0);
"#
    );
    is_refused(&does, "io_uring");
}

#[test]
fn requests_to_io_submit_are_refused_by_name() {
    let (setup, submit) = (libc::SYS_io_setup, libc::SYS_io_submit);
    // Opcode IOCB_CMD_PWRITE and descriptor share the third word; then buffer, length and offset.
    let does = format!(
        r#"
    my ($context, $text) = (pack("Q", 0), "entry");
    syscall({setup}, 1, $context);
    my $third = 1 | fileno($log) << 32;
    my $request = pack("Q Q Q p Q q Q Q", 0, 0, $third, $text, 5, 9000, 0, 0);
    my $requests = pack("P", $request);
    syscall({submit}, unpack("Q", $context), 1, $requests);
    truncate($log, $kept) or die "truncate: $!";
    $log->sync or die "sync: $!";
"#
    );
    is_refused(&does, "log through io_submit");
}

/// A file system that cannot do it says so, and the program does without.
#[test]
fn what_is_tried_in_vain_does_no_harm() {
    let allocate = libc::SYS_fallocate;
    let (collapse, insert) = (libc::FALLOC_FL_COLLAPSE_RANGE, libc::FALLOC_FL_INSERT_RANGE);
    let unnamed = libc::O_TMPFILE;
    let does = format!(
        r#"
    for my $mode ({collapse}, {insert}) {{
        syscall({allocate}, fileno($log), $mode, 1, 1);
    }}
    sysopen(my $none, "$dir/none", {unnamed} | O_RDWR, 0600);
"#
    );
    let program = log_that(&does);
    passes(program.run(&program.writer, 1).1);
}
