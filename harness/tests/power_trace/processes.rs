//! Two processes on one log.

use crate::case::Program;

#[test]
fn two_processes_append_to_one_log_and_each_syncs() {
    let store = r#"
    my $kept = length whole_lines("$dir/log");
    sysopen(my $log, "$dir/log", O_RDWR | O_CREAT, 0644) or die "log: $!";
    truncate($log, $kept) or die "truncate: $!";
    $log->sync or die "sync: $!";
    sync_dir();
    my $other = fork;
    sysopen(my $end, "$dir/log", O_WRONLY | O_APPEND) or die "log: $!";
    for my $number (0..2) {
        my $id = "g$generation-" . ($other ? $number : 10 + $number);
        print "attempt $id\n";
        put($end, "$id whole\n");
        if ($other) { $end->sync or die "sync: $!" }
        if (!$other) { $end->sync or die "sync: $!" } # OTHER
        print "ack $id\n";
    }
    waitpid($other, 0) if $other;
"#;
    Program::new(store).passes_and_these_twins_do_not(&["# OTHER"]);
}
