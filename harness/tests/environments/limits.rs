//! `ulimit`.

use crate::place::Outcome::{Told, Works};
use crate::place::{Place, is_root};

#[test]
fn with_few_open_files() {
    let place = Place::shell("ulimit -n 64", "ulimit -n 64");
    place.comes_to_for_both(Works, &["ulimit -n 64"]);
    let words = ["ulimit -n", "allows 24 open files"];
    Place::shell("ulimit -n 24", "ulimit -n 24").comes_to_for_both(Told(&words), &words);
}

#[test]
fn with_few_addresses() {
    Place::shell("ulimit -v 4 GiB", "ulimit -v 4194304")
        .comes_to_for_both(Works, &["ulimit -v 4194304"]);
    let words = ["ulimit -v", "KiB of addresses"];
    let place = Place::shell("ulimit -v 256 MiB", "ulimit -v 262144");
    place.comes_to_for_both(Told(&words), &words);
}

#[test]
fn with_short_files() {
    let words = ["ulimit -f", "KiB in a file"];
    let place = Place::shell("ulimit -f 8 KiB", "ulimit -f 16");
    place.comes_to_for_both(Told(&words), &words);
}

#[test]
fn with_few_threads() {
    if !is_root() {
        return;
    }
    let enter = |limit| {
        let user = ["--reuid", "54321", "--regid", "54321", "--clear-groups"];
        let mut words = vec!["prlimit", limit, "setpriv"];
        words.extend(user);
        words
    };
    Place::new("ulimit -u 256", &enter("--nproc=256")).comes_to_for_both(Works, &["ulimit -u 256"]);
    let words = ["ulimit -u", "threads of this user"];
    for (name, limit) in [("ulimit -u 8", "--nproc=8"), ("ulimit -u 1", "--nproc=1")] {
        Place::new(name, &enter(limit)).comes_to_for_both(Told(&words), &[]);
    }
}
