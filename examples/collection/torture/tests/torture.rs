//! A short torture in every `cargo test`. On the simulated disk a round takes minutes without optimisation: that
//! is for `cargo torture`.

use collection_torture::VectorCollection;
use plugpull::{CrashKind, Torture};

#[test]
fn nothing_acknowledged_is_lost_when_server_and_clients_are_killed() {
    let torture = Torture::new(VectorCollection).crash([CrashKind::Kill]);
    let report = torture.rounds(12).seed(1).run().unwrap();
    assert!(report.rows[0].tally.acked > 0, "{report:?}");
}
