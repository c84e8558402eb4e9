//! A torture whose program is built again while it runs.

use std::fs;

use super::victim::{Place, example};
use super::wait::wait_until;

#[test]
fn a_program_that_is_replaced_or_removed_while_it_runs_goes_on_to_the_end() {
    for is_replaced in [false, true] {
        let place = Place::new();
        let program = place.path().join("torture");
        fs::copy(example("line_log"), &program).expect("copied");
        let args = [
            "run", "line-log", "--crash", "kill", "--rounds", "200", "--seed", "1", "--jobs", "1",
            "--out", "failures",
        ];
        let mut victim = place.start(&program, &args);
        wait_until("it has begun", || victim.stderr().contains(": begins"));
        fs::remove_file(&program).expect("it is there");
        if is_replaced {
            fs::write(&program, "not this one").expect("written");
        }
        assert!(!victim.is_over(), "it had hardly begun");
        let ended = victim.end();
        assert_eq!(ended.status, Some(0), "{ended:?}");
        assert!(ended.stdout.contains("No promise was broken."), "{ended:?}");
        place.is_clean();
    }
}
