//! Entries that are not written but made: the call that makes one is neither a write nor a rename.
//!
//! A copy of the directory that misses such a call accuses a correct program of a loss.

use plugpull::CrashKind;

use crate::case::{Scripts, violations};

/// The entry counts from the call in `COMMIT` on.
const WRITER: &str = r#"
    use strict;
    use POSIX ();
    $| = 1;
    my $dir = $ARGV[0];
    for (my $number = 0; ; $number++) {
        my $id = "g$ENV{PLUGPULL_GENERATION}-$number";
        my $entry = "$dir/$id";
        print "attempt $id\n";
        #FIRST#
        print "ack $id\n";
        #LAST#
        # A call that is seen in any case.
        open(my $other, ">", "$dir/other") or die "other: $!";
    }
"#;

const CHECKER: &str = r#"
    use strict;
    my $dir = $ARGV[0];
    my @found;
    opendir(my $names, $dir) or die "$dir: $!";
    for my $name (readdir $names) {
        next unless $name =~ /^g(\d+)-(\d+)\z/;
        my @stat = stat "$dir/$name";
        push @found, [$1, $2, $name] if #IS_THERE#;
    }
    print "survived $_->[2]\n" for sort { $a->[0] <=> $b->[0] || $a->[1] <=> $b->[1] } @found;
"#;

/// How an entry is made.
struct Commit {
    prepare: &'static str,
    call: &'static str,
    is_there: &'static str,
}

/// A file that does not count yet.
const FILE: &str = r#"
    open(my $file, ">", $entry) or die "$entry: $!";
    close $file;
"#;

impl Commit {
    fn run(&self, first: &str, last: &str) -> Result<plugpull::Report, plugpull::Failure> {
        let writer = WRITER.replace("#FIRST#", first).replace("#LAST#", last);
        let checker = CHECKER.replace("#IS_THERE#", self.is_there);
        Scripts::new(&writer, &checker).run("perl", CrashKind::Syscall, 1)
    }

    fn passes_and_its_guilty_twin_does_not(&self) {
        let commit = format!("{}{} or die \"commit: $!\";", self.prepare, self.call);
        self.run(&commit, "")
            .unwrap_or_else(|failure| panic!("{failure}"));
        let failure = self.run("", &commit).expect_err("it acknowledges first");
        let told = violations(CrashKind::Syscall, &failure);
        assert!(told.contains("was acknowledged and is gone"), "{told}");
    }
}

#[test]
fn an_entry_is_a_fifo() {
    let fifo = Commit {
        prepare: "",
        call: "POSIX::mkfifo($entry, 0600)",
        is_there: "-p _",
    };
    fifo.passes_and_its_guilty_twin_does_not();
}

#[test]
fn an_entry_is_a_mode() {
    let mode = Commit {
        prepare: FILE,
        call: "chmod(0640, $entry)",
        is_there: "($stat[2] & 07777) == 0640",
    };
    mode.passes_and_its_guilty_twin_does_not();
}

#[test]
fn an_entry_is_a_time() {
    let time = Commit {
        prepare: FILE,
        call: "utime(5, 5, $entry)",
        is_there: "$stat[9] == 5",
    };
    time.passes_and_its_guilty_twin_does_not();
}

#[test]
fn an_entry_is_an_owner() {
    if !crate::case::is_root() {
        return crate::case::skipped("an_entry_is_an_owner", "only root can give a file away");
    }
    let owner = Commit {
        prepare: FILE,
        call: "chown(65534, 65534, $entry)",
        is_there: "$stat[4] == 65534",
    };
    owner.passes_and_its_guilty_twin_does_not();
}
