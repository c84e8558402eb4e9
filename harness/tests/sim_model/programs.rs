//! Programs of many calls, on both file systems.

use std::io;
use std::path::Path;

use plugpull::sim::{OsFs, Profile, SimFs};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::calls::{Op, PATHS, config, on_handles, on_names, open};
use crate::told::Told;
use crate::view::View;

/// The same for both. Where the real error has no number, std made it up before it asked the system;
/// a directory's length is the system's own affair.
fn assert_same(op: &Op, sim: &Told, real: &Told) {
    match (sim, real) {
        (Err((sim_kind, _)), Err((kind, None))) => assert_eq!(sim_kind, kind, "{op:?}"),
        (Err((io::ErrorKind::IsADirectory, _)), Ok(_)) if matches!(op, Op::Length(_)) => {}
        _ => assert_eq!(sim, real, "simulated, and real: {op:?}"),
    }
}

fn run_on_both(ops: &[Op]) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let sim_fs = SimFs::new(Profile::Strict, 1);
    let mut sim = View::new(&sim_fs, Path::new("/"));
    let mut real = View::new(&OsFs, dir.path());
    for op in ops {
        assert_same(op, &sim.run(op), &real.run(op));
        assert_eq!(sim.everything(), real.everything(), "after {op:?}");
    }
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn a_program_cannot_tell_it_from_a_real_one(
        ops in vec(prop_oneof![3 => open(PATHS.len()), 6 => on_handles(), 5 => on_names()], 1..60),
    ) {
        run_on_both(&ops);
    }

    #[test]
    fn names_are_those_of_a_real_one(
        ops in vec(prop_oneof![1 => open(PATHS.len()), 4 => on_names()], 1..60),
    ) {
        run_on_both(&ops);
    }

    #[test]
    fn handles_are_those_of_a_real_one(
        ops in vec(prop_oneof![1 => open(2), 3 => on_handles()], 1..60),
    ) {
        run_on_both(&ops);
    }
}
