//! The example's log on the simulated file system and on the real one: the correct one passes, every
//! mistake is caught by a power loss, and none of them by a kill.

#[path = "../examples/sim_store.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the example's main is not used here"
)]
mod sim_store;

use plugpull::history::Event;
use plugpull::oracle::{LogOracle, Oracle, Violation};
use plugpull::sim::Profile;
use plugpull::{
    CrashKind, Failure, Finding, Reached, RecorderKind, RecoverRun, Simulated, Subject,
    SubjectError, Survivor, Survivors, Torture, WriteRun,
};
use sim_store::{Mistake, SimStore};

#[test]
fn the_correct_store_survives_power_loss_disk_faults_and_rot() {
    let report = Torture::new(SimStore::new(Mistake::None))
        .crash([CrashKind::Power, CrashKind::Fault, CrashKind::Rot])
        .rounds(4)
        .seed(1)
        .run()
        .unwrap();
    let [power, fault, rot] = report.rows.as_slice() else {
        panic!("{report:?}")
    };
    assert!(power.tally.crash_states > 1000, "{power:?}");
    assert!(fault.tally.faults > 0, "{fault:?}");
    assert!(rot.tally.detected > 0, "{rot:?}");
}

/// A store may be stricter than it has to be: to accuse it of anything would be a false alarm.
#[test]
fn a_store_that_syncs_more_than_it_has_to_is_accused_of_nothing() {
    // Not `kill`: a writer that lives for milliseconds does not get through so many real syncs.
    let simulated = [CrashKind::Power, CrashKind::Fault, CrashKind::Rot];
    let report = Torture::new(SimStore::oversyncing())
        .crash(simulated)
        .rounds(4)
        .seed(1)
        .run()
        .unwrap();
    for row in &report.rows {
        assert!(row.tally.acked > 0, "{row:?}");
        assert!(row.tally.crash_states > 0, "{row:?}");
    }
}

/// The first broken promise that a power loss brings to light, where each change of a name needs a
/// sync of its own.
fn found_by_power(mistake: Mistake) -> Violation {
    let artifacts = tempfile::tempdir().expect("a directory");
    let torture = Torture::new(SimStore::new(mistake))
        .crash([CrashKind::Power])
        .profiles([Profile::Strict])
        .rounds(3)
        .seed(1)
        .artifacts(artifacts.path());
    match torture.run() {
        Err(Failure::Violation(rows)) => {
            let finding = Finding::load(&rows[0].failures[0].folder);
            finding.expect("it was saved").violation
        }
        other => panic!("{mistake:?} is not caught: {other:?}"),
    }
}

#[test]
fn an_acknowledgement_without_a_sync_is_lost_with_the_power() {
    let violation = found_by_power(Mistake::NoSync);
    assert!(
        matches!(violation, Violation::LostAck { .. }),
        "{violation}"
    );
}

#[test]
fn without_a_sync_of_the_directory_the_whole_file_is_lost_with_the_power() {
    let violation = found_by_power(Mistake::NoDirectorySync);
    assert!(
        matches!(violation, Violation::LostAck { position: 0, .. }),
        "{violation}"
    );
}

#[test]
fn a_name_that_is_durable_before_its_bytes_loses_them_with_the_power() {
    // Acknowledged by an earlier process, or shown by it.
    let violation = found_by_power(Mistake::RenameBeforeSync);
    assert!(
        matches!(
            violation,
            Violation::LostAck { .. } | Violation::Unshown { found: None, .. }
        ),
        "{violation}"
    );
}

/// What was written outlives the process, synced or not: a kill finds no missing sync.
fn survives_a_kill(mistake: Mistake) {
    let report = Torture::new(SimStore::new(mistake))
        .crash([CrashKind::Kill])
        .rounds(15)
        .seed(1)
        .run()
        .unwrap();
    assert!(report.rows[0].tally.killed_mid_work > 0);
}

#[test]
fn a_kill_does_not_find_the_missing_sync() {
    survives_a_kill(Mistake::NoSync);
}

#[test]
fn a_kill_does_not_find_the_missing_sync_of_the_directory() {
    survives_a_kill(Mistake::NoDirectorySync);
}

#[test]
fn a_kill_does_not_find_the_rename_that_comes_too_early() {
    survives_a_kill(Mistake::RenameBeforeSync);
}

/// What an oracle of one's own makes of a loss: its promise, and the detail.
type Loss = fn(String, String) -> Violation;

/// The rules of a log, as an oracle of one's own, which cannot be cloned.
struct OwnOracle {
    log: LogOracle,
    loss: Loss,
}

impl Oracle for OwnOracle {
    fn check(&self, events: &[Event], survivors: &[Survivor]) -> Result<(), Violation> {
        let checked = self.log.check(events, survivors);
        checked.map_err(|violation| match violation {
            Violation::LostAck { .. }
            | Violation::LostBeginning { .. }
            | Violation::Unshown { found: None, .. } => {
                (self.loss)("gone".into(), violation.to_string())
            }
            other => other,
        })
    }

    fn advance(&mut self, events: &[Event], survivors: &[Survivor]) {
        self.log.advance(events, survivors);
    }

    fn excuse(&mut self, from: u64) {
        self.log.excuse(from);
    }

    fn save(&self) -> serde_json::Value {
        self.log.save()
    }

    fn restore(&mut self, saved: serde_json::Value) -> serde_json::Result<()> {
        self.log.restore(saved)
    }
}

struct WithOwnOracle {
    store: SimStore,
    loss: Loss,
}

impl Subject for WithOwnOracle {
    fn name(&self) -> &str {
        self.store.name()
    }

    fn oracle(&self) -> Box<dyn Oracle> {
        Box::new(OwnOracle {
            log: LogOracle::default(),
            loss: self.loss,
        })
    }

    fn write(&self, run: &WriteRun) -> Result<(), SubjectError> {
        Subject::write(&self.store, run)
    }

    fn recover(&self, run: &RecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        Subject::recover(&self.store, run, survivors)
    }

    fn simulated(&self) -> Option<&dyn Simulated> {
        self.store.simulated()
    }
}

fn with_own_oracle(
    mistake: Mistake,
    crash: CrashKind,
    loss: Loss,
) -> Result<plugpull::Report, Failure> {
    let artifacts = tempfile::tempdir().expect("a directory");
    let store = SimStore::new(mistake);
    Torture::new(WithOwnOracle { store, loss })
        .crash([crash])
        .rounds(4)
        .seed(1)
        .artifacts(artifacts.path())
        .run()
}

#[test]
fn rot_excuses_what_an_oracle_of_ones_own_calls_a_loss() {
    let loss = |promise, detail| Violation::CustomLoss { promise, detail };
    let report = with_own_oracle(Mistake::None, CrashKind::Rot, loss).unwrap();
    assert!(report.rows[0].tally.unprovable > 0, "{report:?}");
}

#[test]
fn rot_does_not_excuse_what_it_calls_anything_else() {
    let other = |promise, detail| Violation::Custom { promise, detail };
    let Err(Failure::Violation(rows)) = with_own_oracle(Mistake::None, CrashKind::Rot, other)
    else {
        panic!("damage without a loss?")
    };
    assert_eq!(rows[0].failures[0].class, "gone");
}

/// Only damage can be an excuse: a power cut is none.
#[test]
fn a_power_cut_excuses_no_loss_whatever_an_oracle_of_ones_own_calls_it() {
    let kinds: [Loss; 2] = [
        |promise, detail| Violation::CustomLoss { promise, detail },
        |promise, detail| Violation::Custom { promise, detail },
    ];
    for loss in kinds {
        let outcome = with_own_oracle(Mistake::NoDirectorySync, CrashKind::Power, loss);
        let Err(Failure::Violation(rows)) = outcome else {
            panic!("a directory that is not synced loses entries");
        };
        assert_eq!(rows[0].failures[0].class, "gone");
    }
}

fn reached(kind: CrashKind, recorder: Option<RecorderKind>, rounds: u64) -> Reached {
    let torture = Torture::new(SimStore::new(Mistake::None)).crash([kind]);
    let torture = recorder.into_iter().fold(torture, Torture::recorder);
    let report = torture.rounds(rounds).seed(1).run().unwrap();
    report.rows[0].tally.reached.clone()
}

/// The store's syncs, as its source has them.
fn has_come_before_its_syncs(reached: &Reached, directory: &str) {
    let syncs: Vec<&str> = reached.syncs().map(|(call, _)| call).collect();
    for sync in ["fsync log.new", "fdatasync log", directory] {
        assert!(
            syncs.contains(&&*format!("writer: {sync}")),
            "{sync}: {syncs:?}"
        );
    }
    assert!(
        syncs.iter().any(|sync| sync.starts_with("recovery: ")),
        "{syncs:?}"
    );
    let before: u64 = reached.syncs().map(|(_, states)| states).sum();
    let all: u64 = reached.calls().map(|(_, states)| states).sum();
    assert!(
        before < all,
        "some states come before other calls: {reached:?}"
    );
}

#[test]
fn a_report_says_which_calls_crashes_came_before() {
    let seam = reached(CrashKind::Power, None, 6);
    has_come_before_its_syncs(&seam, "fsync directory .");
    has_come_before_its_syncs(&seam, "fsync directory ..");
    assert!(seam.recoveries() > 4, "{seam:?}");
    // What is done again and again shows less and less that is new.
    let (new, newest) = seam.newest();
    assert_eq!(newest, 1000);
    assert!(new < seam.sorts(), "{new} of {}", seam.sorts());
    assert!(seam.sorts_met(1) <= seam.sorts());
    assert_eq!(seam, reached(CrashKind::Power, None, 6));
}

#[test]
fn a_traced_torture_says_it_too() {
    let traced = reached(CrashKind::Power, Some(RecorderKind::Trace), 2);
    has_come_before_its_syncs(&traced, "fsync .");
}

#[test]
fn a_torture_of_every_call_says_it_too() {
    has_come_before_its_syncs(&reached(CrashKind::Syscall, None, 4), "fsync .");
}

#[test]
fn a_story_of_the_seam_names_the_operations_and_what_is_missing() {
    let artifacts = tempfile::tempdir().expect("a directory");
    let torture = Torture::new(SimStore::new(Mistake::NoSync)).crash([CrashKind::Power]);
    let torture = torture.rounds(1).seed(1).artifacts(artifacts.path());
    let Err(Failure::Violation(rows)) = torture.run() else {
        panic!("it acknowledges what it has not synced");
    };
    let folder = &rows[0].failures[0].folder;
    let story = std::fs::read_to_string(folder.join("README.md")).expect("it is told");
    let mut rest = story.as_str();
    for part in [
        "1. A process opens the store and writes",
        "  write /store/log, bytes ",
        "acknowledged: entry 0x",
        "The power is lost",
        "By then it had attempted ",
        "Then recovery finds: lost: entry 0x",
        "   It shows ",
        "   Promised, and not among what it shows:",
        "   - entry 0x",
        "The crash leaves, in `image/`:",
        "    store/log: ",
    ] {
        let at = rest.find(part);
        rest = &rest[at.unwrap_or_else(|| panic!("no '{part}' in: {story}"))..];
    }
    let is_wide = |line: &&str| line.chars().count() > 80 && !line.starts_with('#');
    assert_eq!(story.lines().find(is_wide), None);
}
