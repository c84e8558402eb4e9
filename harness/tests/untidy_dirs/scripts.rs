//! A log of lines in Perl, and a place in its writer and in its checker for what is odd about its
//! directory.

/// Its log is there, synced, or it is not: a new one is prepared as `log.new`. `prepare` may do more
/// with that.
const OPEN: &str = r#"
    use strict;
    use Fcntl;
    use IO::Handle;
    use POSIX ();
    $| = 1;
    my $dir = $ARGV[0];
    sub prepare {
        #PREPARE#
    }
    if (!-e "$dir/log") {
        unlink "$dir/log.new";
        sysopen(my $new, "$dir/log.new", O_CREAT | O_WRONLY, 0600) or die "log.new: $!";
        close $new;
        prepare();
        # The new name of the log must not be there before what was prepared.
        system("sync", "$dir/log.new", $dir) == 0 or die "sync";
        rename "$dir/log.new", "$dir/log" or die "rename: $!";
        system("sync", $dir) == 0 or die "sync";
    }
    open(my $log, "+<", "$dir/log") or die "log: $!";
    # A line that a crash has cut is no entry.
    my $end = 0;
    while (<$log>) { $end += length if /\n\z/ }
    truncate($log, $end) or die "truncate: $!";
    seek($log, $end, 0);
    my $number = 0;
    my $held = "";
    my $generation = $ENV{PLUGPULL_GENERATION};
    sub append {
        $held .= shift;
        #HELD#
        syswrite($log, $held) == length $held or die "write: $!";
        #SYNCED#
        $held = "";
    }
    #BEGIN#
    while (1) {
        my $id = "g$generation-" . $number++;
        print "attempt $id\n";
        append("$id\n");
        print "ack $id\n";
        #EACH#
    }
"#;

const CHECK: &str = r#"
    use strict;
    my $dir = $ARGV[0];
    exit 0 unless -e "$dir/log";
    #CHECK#
    open(my $log, "<", "$dir/log") or die "log: $!";
    while (<$log>) { print "survived $_" if /\n\z/ }
"#;

/// What is odd about a program, in Perl. `$dir` is the directory.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Program {
    /// Done before the log has its name.
    pub(crate) prepare: &'static str,
    /// Done at the start of each writer.
    pub(crate) begin: &'static str,
    /// Done after each acknowledgement.
    pub(crate) each: &'static str,
    /// What the checker looks at where there is a log; it dies if it does not like that.
    pub(crate) check: &'static str,
}

/// What a log does with an entry before it acknowledges it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    /// It survives the end of the process.
    Written,
    /// It survives the end of the machine as well.
    Synced,
    /// It waits in the program until there are four: a kill takes those that were acknowledged.
    Held,
}

impl Program {
    pub(crate) fn writer(&self, log: Log) -> String {
        let (held, synced) = match log {
            Log::Written => ("", ""),
            Log::Synced => ("", r#"$log->sync or die "sync: $!";"#),
            Log::Held => ("return if $number % 4;", ""),
        };
        OPEN.replace("#PREPARE#", self.prepare)
            .replace("#HELD#", held)
            .replace("#SYNCED#", synced)
            .replace("#BEGIN#", self.begin)
            .replace("#EACH#", self.each)
    }

    pub(crate) fn checker(&self) -> String {
        CHECK.replace("#CHECK#", self.check)
    }
}
