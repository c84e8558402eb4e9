//! Directories and devices that are not there, or of little use.

use crate::place::Outcome::{Told, Works};
use crate::place::{Place, Store, is_root};

/// A `/dev` of its own, with these nodes.
fn devices(nodes: &str) -> String {
    let mut prepare =
        "mount -t tmpfs tmpfs \"$1/at\"; mkdir \"$1/at/shm\" \"$1/at/pts\"".to_owned();
    for (name, number) in [
        ("null", "1 3"),
        ("zero", "1 5"),
        ("urandom", "1 9"),
        ("fuse", "10 229"),
        ("loop-control", "10 237"),
    ] {
        if nodes.contains(name) {
            prepare.push_str(&["; mknod -m 666 \"$1/at/", name, "\" c ", number].concat());
        }
    }
    prepare + "; mount -t tmpfs tmpfs \"$1/at/shm\"; mount --rbind \"$1/at\" /dev"
}

#[test]
fn without_dev_null() {
    if !is_root() {
        return;
    }
    let nodes = devices("zero urandom");
    Place::mounts("no /dev/null", &nodes).comes_to(Works, &["/dev/null"]);
    let commands = Place::mounts("no /dev/null, two commands", &nodes).torturing(Store::Commands);
    let words = ["/dev/null", "mknod -m 666 /dev/null c 1 3"];
    commands.comes_to(Told(&words), &words);
}

#[test]
fn without_devices_for_disks() {
    if !is_root() {
        return;
    }
    let nodes = devices("null zero urandom");
    // The kernel has the devices, and each run makes nodes of its own.
    Place::mounts("no /dev/fuse", &nodes).comes_to(Works, &["/dev/fuse is missing"]);
    let disk = Place::mounts("no /dev/fuse, disk", &nodes).by("disk");
    let disk = disk.with(&["--fs", "ext4"]);
    disk.comes_to(Works, &["makes a node of its own"]);
}

#[test]
fn with_little_memory_to_share() {
    if !is_root() {
        return;
    }
    let nodes = "null zero urandom";
    let without =
        devices(nodes).replace("mount -t tmpfs tmpfs \"$1/at/shm\"", "rmdir \"$1/at/shm\"");
    let place = Place::mounts("no /dev/shm", &without);
    place.comes_to_for_both(Works, &["No such file or directory", "--shm-size"]);
    let place = Place::mounts("/dev/shm that is no tmpfs", "mount -t ramfs ramfs /dev/shm");
    place.comes_to_for_both(Works, &["it is no tmpfs"]);
    let small = "mount -t tmpfs -o size=64k tmpfs /dev/shm";
    let place = Place::mounts("/dev/shm of 64 KiB", small);
    place.comes_to_for_both(Works, &["64 KiB free", "--dir"]);
    let place = Place::mounts("/dev/shm of 64 KiB, by name", small);
    let place = place.with(&["--dir", "/dev/shm"]);
    place.comes_to_for_both(Told(&["/dev/shm", "--dir"]), &[]);
}

#[test]
fn without_a_temporary_directory() {
    if !is_root() {
        return;
    }
    let prepare = "mount -t tmpfs tmpfs /mnt; mount -o remount,ro /mnt; export TMPDIR=/mnt/tmp";
    let place = Place::mounts("TMPDIR that cannot be written", prepare);
    let words = ["/mnt/tmp", "--dir", "TMPDIR"];
    place.comes_to_for_both(Told(&words), &words);
    let place = Place::mounts("the same, with --dir", prepare).with(&["--dir", "/dev/shm"]);
    place.comes_to_for_both(Works, &["/mnt/tmp"]);
}
