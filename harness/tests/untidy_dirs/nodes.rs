//! Nodes that are no plain files.

use crate::case::{is_root, skipped};
use crate::scripts::Program;

/// Opening it would wait for ever.
const FIFO: Program = Program {
    prepare: r#"-p "$dir/fifo" or POSIX::mkfifo("$dir/fifo", 0600) or die "mkfifo: $!";"#,
    check: r#"-p "$dir/fifo" or die "the FIFO is gone";"#,
    begin: "",
    each: "",
};

const SOCKET: Program = Program {
    // By a short name: the kernel allows 107 bytes.
    begin: r#"
        use Socket;
        chdir $dir or die "chdir: $!";
        unlink "socket";
        socket(my $socket, PF_UNIX, SOCK_STREAM, 0) or die "socket: $!";
        bind($socket, sockaddr_un("socket")) or die "bind: $!";
    "#,
    prepare: "",
    each: "",
    check: "",
};

const SYMLINK: Program = Program {
    prepare: r#"-l "$dir/link" or symlink("nowhere", "$dir/link") or die "symlink: $!";"#,
    check: r#"(readlink("$dir/link") // "") eq "nowhere" or die "the link is gone";"#,
    begin: "",
    each: "",
};

/// A character device whose reads never end.
const DEVICE: Program = Program {
    prepare: r#"-c "$dir/zero" or system("mknod", "$dir/zero", "c", "1", "5") == 0 or die "mknod";"#,
    check: r#"-c "$dir/zero" or die "the device is gone";"#,
    begin: "",
    each: "",
};

/// The node is made after the first acknowledgement, and the checker wants it from the beginning.
fn late(program: Program) -> Program {
    Program {
        prepare: "",
        each: program.prepare,
        ..program
    }
}

#[test]
fn a_fifo() {
    FIFO.passes_and_its_guilty_twin_does_not();
    late(FIFO).is_caught("the FIFO is gone");
}

#[test]
fn a_fifo_on_a_disk() {
    FIFO.passes_on_a_disk("a_fifo_on_a_disk");
}

#[test]
fn a_socket() {
    SOCKET.passes_and_its_guilty_twin_does_not();
}

#[test]
fn a_dangling_symbolic_link() {
    SYMLINK.passes_and_its_guilty_twin_does_not();
    late(SYMLINK).is_caught("the link is gone");
}

#[test]
fn a_device() {
    if !is_root() {
        return skipped("a_device", "only root can make one");
    }
    plugpull::obey_orders(&[]);
    let place = tempfile::tempdir().expect("a directory");
    let mut mknod = std::process::Command::new("mknod");
    let made = mknod.arg(place.path().join("zero")).args(["c", "1", "5"]);
    if !made.status().is_ok_and(|status| status.success()) {
        return skipped("a_device", "mknod is refused here");
    }
    DEVICE.passes_and_its_guilty_twin_does_not();
    late(DEVICE).is_caught("the device is gone");
}
