//! Namespaces, and a root directory with little in it.

use std::path::Path;
use std::process::Command;

use crate::place::Outcome::{Told, Works};
use crate::place::{Place, Store, is_root};

#[test]
fn where_nothing_is_strange() {
    Place::new("nothing strange", &["env"]).comes_to_for_both(Works, &["syscall    works"]);
}

#[test]
fn in_a_user_namespace() {
    Place::new("unshare -U", &["unshare", "-U"]).comes_to_for_both(Works, &["not root"]);
    let root = Place::new("unshare -Ur", &["unshare", "-U", "-r"]);
    root.comes_to_for_both(Works, &["root of a user namespace only"]);
}

#[test]
fn in_a_pid_namespace() {
    let own = Place::new(
        "unshare -pf --mount-proc",
        &["unshare", "-pf", "--mount-proc"],
    );
    own.comes_to_for_both(Works, &["syscall    works"]);
    let old = Place::new("unshare -pf, /proc of outside", &["unshare", "-pf"]);
    let words = ["/proc is of another pid namespace", "--mount-proc"];
    old.comes_to_for_both(Told(&words), &words);
}

#[test]
fn in_a_root_directory_with_little_in_it() {
    if !is_root() {
        return;
    }
    let place = chrooted("chroot: the program alone", "");
    let mount = "mount -t proc proc /proc";
    place.comes_to(Told(&["/proc", mount]), &[mount]);
    // Of two things that are missing, the first is told.
    let place = chrooted("chroot: the program alone, two commands", "");
    let place = place.torturing(Store::Commands);
    place.comes_to(
        Told(&["/dev/null", "mknod -m 666 /dev/null c 1 3"]),
        &[mount],
    );
    let place = chrooted("chroot: the program alone, power", "");
    place.by("power").comes_to(Works, &[]);

    let prepare = "mkdir -p \"$1/proc\"; mount -t proc proc \"$1/proc\"";
    let place = chrooted("chroot: and /proc", prepare);
    place.comes_to(Works, &["/dev/null"]);

    let place = chrooted("chroot: and /proc, two commands", prepare);
    let place = place.torturing(Store::Commands);
    place.comes_to(
        Told(&["/dev/null", "mknod -m 666 /dev/null c 1 3"]),
        &["mknod -m 666 /dev/null c 1 3"],
    );

    let prepare = format!(
        "{prepare}; mkdir -p \"$1/dev\"; [ -e \"$1/dev/null\" ] || mknod -m 666 \"$1/dev/null\" c 1 3"
    );
    chrooted("chroot: and /dev/null", &prepare).comes_to(Works, &[]);
    let place = chrooted("chroot: and /dev/null, two commands", &prepare);
    let place = place.torturing(Store::Commands);
    place.comes_to(Told(&["no program sh in PATH"]), &["no program sh in PATH"]);
}

/// A root directory with the program, and the libraries that it is linked to.
fn chrooted(name: &'static str, prepare: &str) -> Place {
    let mut place = Place::new(name, &[]);
    let root = place.dir().to_owned();
    let program = place.program().to_owned();
    std::fs::copy(&program, root.join("torture")).expect("copied");
    let ldd = Command::new("ldd")
        .arg(&program)
        .output()
        .expect("it is part of the C library");
    let lines = String::from_utf8_lossy(&ldd.stdout).into_owned();
    let words = lines.split_whitespace();
    for library in words.filter(|word| word.starts_with('/')).map(Path::new) {
        let copy = root.join(library.strip_prefix("/").expect("it is absolute"));
        std::fs::create_dir_all(copy.parent().expect("it has one")).expect("made");
        std::fs::copy(library, copy).expect("copied");
    }
    let prepare = if prepare.is_empty() { "true" } else { prepare };
    let script = format!("set -e; {prepare}; root=\"$1\"; shift; exec chroot \"$root\" \"$@\"");
    let at = root.to_string_lossy().into_owned();
    place.enter_by(&["unshare", "-m", "sh", "-c", &script, "sh", &at]);
    place.at("/torture")
}
