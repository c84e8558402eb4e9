//! Logs that are written at their end, or in room that was made before.

use crate::case::Program;

/// Opens a log with these flags, cuts off what is not whole, and makes that durable.
fn log_with(flags: &str, append: &str) -> String {
    format!(
        r#"
    my $kept = length whole_lines("$dir/log");
    sysopen(my $log, "$dir/log", O_RDWR | O_CREAT, 0644) or die "log: $!";
    truncate($log, $kept) or die "truncate: $!";
    $log->sync or die "sync: $!";
    sync_dir(); # DIR
    sysopen(my $end, "$dir/log", O_WRONLY | O_APPEND) or die "log: $!";
    sysopen($end, "$dir/log", O_WRONLY | O_APPEND | {flags}) or die "log: $!"; # FLAGS
    for my $number (0..2) {{
        my $id = "g$generation-$number";
        print "attempt $id\n";
        put($end, "$id whole\n");
        {append}
        print "ack $id\n";
    }}
"#
    )
}

#[test]
fn an_append_is_synced_and_so_is_the_directory() {
    let log = log_with("0", "$end->sync or die \"sync: $!\"; # FILE");
    Program::new(log).passes_and_these_twins_do_not(&["# FILE", "# DIR"]);
}

#[test]
fn a_descriptor_that_syncs_by_itself_needs_no_sync() {
    for flag in [libc::O_DSYNC, libc::O_SYNC] {
        let log = Program::new(log_with(&flag.to_string(), ""));
        log.passes_and_these_twins_do_not(&["# FLAGS"]);
    }
}

/// The size and the name are durable before: the bytes alone are synced.
#[test]
fn room_that_was_made_before_is_filled_and_its_bytes_are_synced() {
    let (allocate, sync) = (libc::SYS_fallocate, libc::SYS_fdatasync);
    let log = format!(
        r#"
    my $kept = length whole_lines("$dir/log");
    sysopen(my $log, "$dir/log", O_RDWR | O_CREAT, 0644) or die "log: $!";
    syscall({allocate}, fileno($log), 0, 0, 8192) == 0 or die "fallocate: $!";
    $log->sync or die "sync: $!";
    sync_dir(); # DIR
    sysseek($log, $kept, 0);
    for my $number (0..2) {{
        my $id = "g$generation-$number";
        print "attempt $id\n";
        put($log, "$id whole\n");
        syscall({sync}, fileno($log)) == 0 or die "fdatasync: $!"; # DATA
        print "ack $id\n";
    }}
"#
    );
    Program::new(log).passes_and_these_twins_do_not(&["# DATA", "# DIR"]);
}

#[test]
fn an_append_is_durable_after_a_sync_of_everything() {
    let syncs = [
        format!("syscall({}, fileno($end)) == 0", libc::SYS_syncfs),
        format!("syscall({}) == 0", libc::SYS_sync),
    ];
    for sync in syncs {
        let log = log_with("0", &format!("{sync} or die \"sync: $!\"; # ALL"));
        Program::new(log).passes_and_these_twins_do_not(&["# ALL"]);
    }
}
