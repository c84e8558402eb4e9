//! groupwal on the simulated disk: a few rounds of everything, and what was found there once.

use std::time::Duration;

use groupwal::SyncPolicy;
use plugpull::{CrashKind, Torture};
use torture::GroupWal;

fn adaptive() -> GroupWal {
    GroupWal::new("groupwal", SyncPolicy::Adaptive)
}

#[test]
fn no_policy_loses_anything_on_the_simulated_disk() {
    for policy in [
        SyncPolicy::Adaptive,
        SyncPolicy::EveryWrite,
        SyncPolicy::Background {
            interval: Duration::from_millis(5),
        },
        SyncPolicy::Batch {
            max_entries: 32,
            max_delay: Duration::from_millis(2),
        },
    ] {
        let torture = Torture::new(GroupWal::new("groupwal", policy))
            .crash([CrashKind::Power, CrashKind::Fault, CrashKind::Rot])
            .rounds(1);
        let report = torture.seed(3).run().unwrap();
        for row in &report.rows {
            assert!(row.tally.crash_states > 100, "{row:?}");
        }
    }
}

/// A segment that was being prepared when its sync failed: long in the page cache, short on the disk. The
/// next process took the file for a spare, made it the log's first segment, and lost its end.
#[test]
fn a_spare_that_may_be_short_on_the_disk_is_not_adopted() {
    let script = r#"{"profile":"xfs","engine":"inline","seed":1482817706323250795,"steps":[{"life":{"write":{"seed":2815945222763399310,"generation":0,"writers":1,"actions_max":1,"style":"steady","payload_bytes_max":8,"trim_every":null,"replays":false,"refuse_every":4294967295,"small_files":true}},"faults":[{"kind":"sync","after":0}],"until":7,"end":"kill"},{"life":{"write":{"seed":10375033961295690867,"generation":1,"writers":1,"actions_max":1,"style":"steady","payload_bytes_max":8,"trim_every":null,"replays":false,"refuse_every":4294967295,"small_files":true}},"until":4,"end":{"power-loss":[0]}}]}"#;
    Torture::new(adaptive()).script(script).run().unwrap();
}

/// The same with a later segment: it bore a valid header of this log.
#[test]
fn a_spare_with_the_header_of_a_segment_to_come_is_not_adopted() {
    let script = r#"{"profile":"xfs","engine":"blocking","seed":4783513682293727149,"steps":[{"life":{"write":{"seed":7847181445922508688,"generation":0,"writers":2,"actions_max":1,"style":"steady","payload_bytes_max":8,"trim_every":null,"replays":false,"refuse_every":4294967295,"small_files":true}},"until":14,"end":{"power-loss":[]}},{"life":{"write":{"seed":13091117662725400406,"generation":1,"writers":1,"actions_max":4,"style":"steady","payload_bytes_max":8,"trim_every":null,"replays":false,"refuse_every":4294967295,"small_files":true}},"faults":[{"kind":"sync","after":5}],"until":21,"end":"kill"},{"life":{"write":{"seed":4268166736062368882,"generation":2,"writers":1,"actions_max":2,"style":"steady","payload_bytes_max":8,"trim_every":4,"replays":true,"refuse_every":4294967295,"small_files":true}},"until":25,"end":{"power-loss":[0]}}]}"#;
    Torture::new(adaptive()).script(script).run().unwrap();
}

/// A frame whose write failed was on the disk, the zeros of its rollback in the page cache only. The
/// process was killed; recovery saw nothing there and left it alone; the power went, and the frame
/// came back.
#[test]
fn a_frame_that_recovery_did_not_see_never_comes_back() {
    for script in [
        r#"{"profile":"btrfs","engine":"inline","seed":2148447560664086074,"steps":[{"life":{"write":{"seed":2999156190186150627,"generation":0,"writers":1,"actions_max":1,"style":"steady","payload_bytes_max":8,"trim_every":null,"replays":false,"refuse_every":4294967295,"small_files":true}},"faults":[{"kind":"write","after":2}],"until":11,"end":"kill"},{"life":{"recover":{"close":false}},"end":{"power-loss":[1]}}]}"#,
        r#"{"profile":"ext4-ordered","engine":"inline","seed":7205450427476611370,"steps":[{"life":{"recover":{"close":false}},"end":{"power-loss":[]}},{"life":{"write":{"seed":3563061648577656954,"generation":0,"writers":1,"actions_max":1,"style":"steady","payload_bytes_max":8,"trim_every":null,"replays":false,"refuse_every":4294967295,"small_files":true}},"faults":[{"kind":"write","after":0}],"until":4,"end":"kill"},{"life":{"recover":{"close":false}},"end":{"power-loss":[1]}}]}"#,
    ] {
        Torture::new(adaptive()).script(script).run().unwrap();
    }
}
