//! Leaving out syncs: what is needed is noticed, what is not is missed or explained, and each is told
//! from the others by the way to it.

#![allow(unreachable_pub, reason = "modules of a test")]

mod adapter;
mod command_line;
mod direct;
mod store;
mod traced;

use std::sync::Arc;

use plugpull::sim::Profile;
use plugpull::{
    Ablation, AblationReport, ActionKind, RecoverRun, SimRecoverRun, SimWriteRun, Simulated,
    Subject, SubjectError, Survivors, SyncKind, SyncOutcome, SyncSite, WriteRun,
};

use adapter::OnSimFs;
use direct::Direct;
use store::Store;

/// What the store's author says of its syncs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Author {
    SaysNothing,
    KnowsBetter,
    IsWrong,
}

struct Lines(Author);

impl Subject for Lines {
    fn name(&self) -> &'static str {
        "lines"
    }

    fn write(&self, _: &WriteRun) -> Result<(), SubjectError> {
        Err("on the simulated file system only".into())
    }

    fn recover(&self, _: &RecoverRun, _: &mut Survivors) -> Result<(), SubjectError> {
        Err("on the simulated file system only".into())
    }

    fn simulated(&self) -> Option<&dyn Simulated> {
        Some(self)
    }
}

impl Simulated for Lines {
    fn write(&self, run: &SimWriteRun) -> Result<(), SubjectError> {
        let mut store = Store::open(Arc::new(OnSimFs(run.fs.clone())), run.dir)?;
        for action in (0..run.workload.writers).flat_map(|writer| run.workload.actions(writer)) {
            run.recorder.attempt(action.id);
            if action.kind == ActionKind::Refused {
                run.recorder.refused(action.id);
                continue;
            }
            let Ok(position) = store.append(&run.workload.payload(action.id)) else {
                // Nobody knows what the disk holds.
                run.recorder.failed(action.id);
                return Ok(());
            };
            run.recorder.ack(action.id, position);
        }
        Ok(())
    }

    fn recover(&self, run: &SimRecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        let store = Store::open(Arc::new(OnSimFs(run.fs.clone())), run.dir)?;
        for (position, payload) in store.entries()?.iter().enumerate() {
            survivors.push(position as u64, payload);
        }
        Ok(())
    }

    fn redundant_sync(&self, site: &SyncSite) -> Option<&'static str> {
        let is_append = site.is_called_by(&["store::append"]);
        match (self.0, site.kind()) {
            (Author::KnowsBetter, SyncKind::Data) if is_append => Some("there is nothing to sync"),
            (Author::IsWrong, SyncKind::All) if is_append => Some("who needs it"),
            _ => None,
        }
    }
}

fn ablate(author: Author) -> AblationReport {
    let ablation = Ablation::new(Lines(author)).rounds(2).seed(1);
    // What is not synced is lost: each crash has one outcome.
    let report = ablation.profiles([Profile::SyncedOnly]).run();
    report.expect("it runs on the simulated file system")
}

/// Each site: its kind, the two nearest functions, what came of it in a word.
fn told(report: &AblationReport) -> Vec<(SyncKind, String, &'static str)> {
    let told = report.syncs.iter().map(|sync| {
        let calls = sync.site.calls().iter().take(2);
        let calls: Vec<&str> = calls.map(|call| call.function.as_str()).collect();
        let outcome = match sync.outcome {
            SyncOutcome::Noticed(_) => "noticed",
            SyncOutcome::Missed => "missed",
            SyncOutcome::Redundant(_) => "redundant",
            SyncOutcome::NotExercised => "not exercised",
            SyncOutcome::Untried => "untried",
        };
        (sync.site.kind(), calls.join(" < "), outcome)
    });
    told.collect()
}

#[test]
fn the_needed_syncs_are_noticed_and_the_redundant_one_is_missed() {
    let report = ablate(Author::SaysNothing);
    let expected = [
        (SyncKind::Directory, "store::open", "noticed"),
        (SyncKind::Data, "store::append", "missed"),
        (SyncKind::All, "store::append", "noticed"),
        // One line in one helper, and two purposes.
        (
            SyncKind::Directory,
            "store::sync_names < store::open",
            "noticed",
        ),
        (
            SyncKind::Directory,
            "store::sync_names < store::append",
            "noticed",
        ),
    ];
    let expected = expected.map(|(kind, calls, outcome)| (kind, calls.to_owned(), outcome));
    assert_eq!(told(&report), expected, "{report}");
    assert!(!report.is_complete());
    let missed: Vec<_> = report.missed().collect();
    assert!(
        missed[0].left_out > 100 && missed[0].rounds == 4,
        "{missed:?}"
    );
    let all_hit = |sync: &plugpull::AblatedSync| sync.hits.writers > 0;
    assert!(report.syncs.iter().all(all_hit), "{report}");
    let table = report.to_string();
    assert!(table.contains("MISSED in"), "{table}");
    assert!(table.contains("1 OF 5 SYNCS ARE MISSED."), "{table}");
    assert!(table.contains("harness/tests/ablate/store.rs:"), "{table}");
    assert!(!table.contains("adapter.rs"), "{table}");
}

#[test]
fn a_missed_sync_whose_redundancy_is_explained_is_none() {
    let report = ablate(Author::KnowsBetter);
    assert!(report.is_complete(), "{report}");
    let outcome = SyncOutcome::Redundant("there is nothing to sync".into());
    assert!(
        report.syncs.iter().any(|sync| sync.outcome == outcome),
        "{report}"
    );
}

#[test]
fn an_explanation_does_not_hide_that_a_sync_is_noticed() {
    let report = ablate(Author::IsWrong);
    let wrong = report.syncs.iter().find(|sync| sync.explanation.is_some());
    let wrong = wrong.expect("the sync is still met");
    assert!(matches!(wrong.outcome, SyncOutcome::Noticed(_)), "{report}");
    let table = report.to_string();
    assert!(table.contains("though it is called redundant"), "{table}");
}

#[test]
fn the_same_seed_gives_the_same_report_on_any_number_of_threads() {
    let ablate = |jobs: usize| {
        let ablation = Ablation::new(Lines(Author::SaysNothing)).rounds(2).seed(7);
        let ablation = ablation.profiles([Profile::SyncedOnly]).jobs(jobs);
        let mut report = ablation.run().expect("it runs");
        report.elapsed_s = 0.0;
        format!("{report:?}")
    };
    assert_eq!(ablate(1), ablate(3));
}

#[test]
fn a_store_without_an_adapter_has_sites_too() {
    let ablation = Ablation::new(Direct { is_broken: false }).rounds(2).seed(1);
    let ablation = ablation.profiles([Profile::SyncedOnly]);
    let report = ablation.run().expect("it runs");
    let places: Vec<String> = told(&report)
        .into_iter()
        .map(|(_, calls, _)| calls)
        .collect();
    // What we call is a place only where nothing else of the store asks for the sync.
    let expected = [
        "direct::write",
        "direct::recover",
        "direct::keep",
        "direct::keep",
    ];
    assert_eq!(places, expected, "{report}");
    assert!(report.is_complete(), "{report}");
}

#[test]
fn what_is_broken_anyway_is_told_and_no_sync_is_left_out() {
    let ablation = Ablation::new(Direct { is_broken: true }).rounds(3).seed(1);
    let report = ablation.run().expect("it runs");
    let broken = report.broken.as_deref().unwrap_or_default();
    assert!(!broken.is_empty(), "{report}");
    assert!(report.syncs.is_empty() && !report.is_complete());
}

#[test]
fn an_unknown_engine_is_an_error() {
    let ablation = Ablation::new(Lines(Author::SaysNothing)).engine("steam");
    let error = ablation.run().expect_err("there is none");
    assert_eq!(error.to_string(), "lines has no such engine");
}
