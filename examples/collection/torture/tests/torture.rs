//! A short torture in every `cargo test`: server and clients killed, and the collection on the simulated disk.

use std::time::Duration;

use collection_torture::VectorCollection;
use plugpull::{CrashKind, Torture};

#[test]
fn nothing_acknowledged_is_lost_when_server_and_clients_are_killed() {
    let torture = Torture::new(VectorCollection).crash([CrashKind::Kill]);
    let report = torture.rounds(12).seed(1).run().unwrap();
    assert!(report.rows[0].tally.acked > 0, "{report:?}");
}

#[test]
fn nothing_acknowledged_is_lost_when_the_power_goes() {
    let torture = Torture::new(VectorCollection).crash([CrashKind::Power]);
    let report = torture
        .duration(Duration::from_secs(5))
        .seed(5)
        .run()
        .unwrap();
    assert!(report.rows[0].tally.crash_states > 100, "{report:?}");
}
