//! What nodes have besides their bytes.

use std::process::Command;

use crate::case::{is_root, skipped};
use crate::scripts::Program;

/// As the data directory of a database server.
const PRIVATE: Program = Program {
    prepare: r#"-d "$dir/private" or mkdir("$dir/private", 0700) or die "mkdir: $!";"#,
    check: r#"
        my $modes = join " ", map { sprintf "%o", (stat "$dir/$_")[2] & 07777 } "private", "log";
        $modes eq "700 600" or die "the modes are $modes";
    "#,
    begin: "",
    each: "",
};

/// The log has a second name, and both are one file.
const HARD_LINK: Program = Program {
    prepare: r#"
        unlink "$dir/twin";
        link("$dir/log.new", "$dir/twin") or die "link: $!";
    "#,
    check: r#"(stat "$dir/log")[1] == (stat "$dir/twin")[1] or die "they are two files";"#,
    begin: "",
    each: "",
};

/// Perl has no name for these calls, so they go by their numbers. On tmpfs, `trusted` attributes are
/// older than the user's own.
const ATTRIBUTE: Program = Program {
    prepare: r#"
        my $set = {x86_64 => 188, aarch64 => 5}->{(POSIX::uname())[4]};
        my ($path, $name, $value) = ("$dir/log.new", $> ? "user.kind" : "trusted.kind", "log");
        syscall($set, $path, $name, $value, 3, 0) == 0 or die "setxattr: $!";
    "#,
    check: r#"
        use POSIX ();
        my $get = {x86_64 => 191, aarch64 => 8}->{(POSIX::uname())[4]};
        my ($path, $name, $value) = ("$dir/log", $> ? "user.kind" : "trusted.kind", "\0" x 3);
        syscall($get, $path, $name, $value, 3) == 3 && $value eq "log" or die "the attribute is gone";
    "#,
    begin: "",
    each: "",
};

const OWNER: Program = Program {
    prepare: r#"chown(65534, 65533, "$dir/log.new") == 1 or die "chown: $!";"#,
    check: r#"
        my $owner = join ":", (stat "$dir/log")[4, 5];
        $owner eq "65534:65533" or die "the owner is $owner";
    "#,
    begin: "",
    each: "",
};

/// It costs what its data costs: a few bytes.
const SPARSE: Program = Program {
    prepare: r#"
        sysopen(my $sparse, "$dir/sparse", O_CREAT | O_WRONLY | O_TRUNC, 0600) or die "sparse: $!";
        truncate($sparse, 1 << 40) or die "truncate: $!";
        sysseek($sparse, (1 << 40) - 5, 0);
        syswrite($sparse, "end.\n") == 5 or die "write: $!";
        $sparse->sync or die "sync: $!";
    "#,
    check: r#"
        open(my $sparse, "<", "$dir/sparse") or die "sparse: $!";
        (stat $sparse)[7] == 1 << 40 or die "the size is another";
        (stat $sparse)[12] < 2048 or die "the holes are filled";
        seek($sparse, -5, 2);
        <$sparse> eq "end.\n" or die "the end is another";
    "#,
    begin: "",
    each: "",
};

#[test]
fn private_modes() {
    PRIVATE.passes_and_its_guilty_twin_does_not();
    // It is private only after the first acknowledgement.
    let late = Program {
        prepare: r#"mkdir "$dir/private", 0755;"#,
        each: r#"chmod 0700, "$dir/private";"#,
        ..PRIVATE
    };
    late.is_caught("the modes are 755 600");
}

#[test]
fn private_modes_on_a_disk() {
    PRIVATE.passes_on_a_disk("private_modes_on_a_disk");
}

#[test]
fn hard_links() {
    HARD_LINK.passes_and_its_guilty_twin_does_not();
    let two = Program {
        prepare: r#"system("cp", "$dir/log.new", "$dir/twin") == 0 or die "cp";"#,
        ..HARD_LINK
    };
    two.is_caught("they are two files");
}

#[test]
fn extended_attributes() {
    let test = "extended_attributes";
    if !cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
        return skipped(test, "the numbers of the calls are not known here");
    }
    plugpull::obey_orders(&[]);
    let place = tempfile::tempdir_in("/dev/shm").expect("a directory in memory");
    std::fs::write(place.path().join("log.new"), "").expect("written");
    let set = format!("use POSIX (); my $dir = $ARGV[0]; {}", ATTRIBUTE.prepare);
    let mut perl = Command::new("perl");
    let set = perl.args(["-e", &set]).arg(place.path()).output();
    if !set.is_ok_and(|output| output.status.success()) {
        return skipped(test, "there are no such attributes in /dev/shm");
    }
    ATTRIBUTE.passes_and_its_guilty_twin_does_not();
    let none = Program {
        prepare: "",
        ..ATTRIBUTE
    };
    none.is_caught("the attribute is gone");
}

#[test]
fn owners() {
    if !is_root() {
        return skipped("owners", "only root can give a file away");
    }
    OWNER.passes_and_its_guilty_twin_does_not();
    let late = Program {
        prepare: "",
        each: r#"chown 65534, 65533, "$dir/log";"#,
        ..OWNER
    };
    late.is_caught("the owner is 0:0");
}

#[test]
fn a_sparse_file_of_a_tebibyte() {
    SPARSE.passes_and_its_guilty_twin_does_not();
    let late = Program {
        prepare: r#"open(my $sparse, ">", "$dir/sparse"); truncate $sparse, 1 << 30;"#,
        each: r#"truncate "$dir/sparse", 1 << 40;"#,
        ..SPARSE
    };
    late.is_caught("the size is another");
}
