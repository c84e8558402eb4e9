//! `kill`: SIGKILL at a random instant, then recovery in a fresh process, generation after
//! generation on one directory.

use std::fs;
use std::io;
use std::path::PathBuf;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::contract::{
    Case, Job, Kind, NO_SCRIPT_OF_A_COMMAND, Replayed, Saved, Shrinking, Worker,
};
use super::early::Early;
use super::examine::{compare, replay_image};
use crate::crash_kind::CrashKind;
use crate::finding::{Finding, Found};
use crate::history::Event;
use crate::plan::Plan;
use crate::process;
use crate::process::Launcher;
use crate::scratch::{copy_dir, remove_dir};
use crate::shrink::Deadline;
use crate::store::{Recovered, Store, Tested, Work, run};
use crate::survivor::Survivor;
use crate::tally::Tally;
use crate::workload::stream;

/// The crash kind.
pub(super) struct Kill;

impl Kind for Kill {
    fn id(&self) -> CrashKind {
        CrashKind::Kill
    }

    fn describe(&self) -> &'static str {
        "SIGKILL at a random instant, many generations on one directory; finds torn user-space \
         state, wrong acks, bad recovery, locks left behind; cannot find a missing fsync (the \
         page cache survives)"
    }

    fn available(&self, tested: Tested<'_>, _: Case, plan: &Plan) -> Result<(), String> {
        tested.has_what_it_needs()?;
        process::available(&plan.launcher, &plan.scratch_dir(false))
    }

    fn probe(&self) -> Vec<(String, Result<(), String>)> {
        let found = process::available(&Launcher::binary(), &std::env::temp_dir());
        vec![(self.id().to_string(), found)]
    }

    fn worker<'a>(&self, job: Job<'a>) -> Box<dyn Worker + 'a> {
        let name = job.name();
        Box::new(Killer {
            store: job.tested.store(job.plan),
            dir: job.scratch.join(format!("{name}-store")),
            evidence: job.scratch.join(format!("{name}-evidence")),
            rng: stream(job.plan.seed, job.row << 32 | job.lane),
            early: Early::of(job.plan),
            begun: false,
        })
    }

    fn replay(&self, saved: Saved<'_>) -> io::Result<Replayed> {
        replay_image(saved)
    }

    fn shrink(&self, saved: Saved<'_>, _: Deadline<'_>) -> io::Result<Shrinking> {
        Ok(Shrinking::Impossible(match saved.tested {
            Tested::Command(_) => NO_SCRIPT_OF_A_COMMAND.to_owned(),
            Tested::Subject(subject) => format!(
                "a failure of {} has no script to play again; find one with `run {} --crash syscall`, \
                 or `--crash power`",
                self.id(),
                subject.name(),
            ),
        }))
    }
}

/// One directory after another, killed again and again. Its plan depends on its seed only.
struct Killer<'a> {
    store: Box<dyn Store + 'a>,
    dir: PathBuf,
    evidence: PathBuf,
    rng: ChaCha8Rng,
    early: Early,
    begun: bool,
}

impl Worker for Killer<'_> {
    fn round(&mut self, _: u64, tally: &mut Tally) -> io::Result<Vec<Found>> {
        let found = self.generation(tally)?;
        let now = |finding| Found::now(finding, tally.crash_states);
        Ok(found.into_iter().map(now).collect())
    }
}

impl Killer<'_> {
    /// One generation: write, kill, recover, check.
    fn generation(&mut self, tally: &mut Tally) -> io::Result<Option<Finding>> {
        if !self.begun || self.store.generations() >= self.store.kills_max() {
            remove_dir(&self.dir)?;
            fs::create_dir_all(&self.dir)?;
            self.store.begin(&mut self.rng);
            self.begun = true;
        }
        tally.count_engine(self.store.engine());
        let is_first = self.store.generations() == 0;
        let assignment = self
            .store
            .writer(&self.dir, Work::UntilKilled, &mut self.rng)?;
        let (launcher, limit) = self.store.launching();
        let watched = run(&assignment, launcher, limit, || 0)?;
        let written = self.store.written(&watched)?;
        let events = written.announced.events();
        if self.early.skips(is_first, &events) && written.failed.is_none() {
            self.begun = false;
            return Ok(None);
        }
        remove_dir(&self.evidence)?;
        copy_dir(&self.dir, &self.evidence)?;
        tally.count_round(&events);
        let recovered = match written.failed {
            Some(violation) => Err(violation),
            None => self.recover_and_check(&events, tally)?,
        };
        let violation = match recovered {
            Ok(survivors) => {
                self.store.advance(&events, &survivors);
                return Ok(None);
            }
            Err(violation) => violation.without_dir(&self.dir),
        };
        tally.violated(&violation);
        self.begun = false;
        let how = if watched.ended.killed {
            "SIGKILL"
        } else {
            "it ended by itself"
        };
        let point = format!("{how} after {} events", events.len());
        let finding = self.store.finding(CrashKind::Kill, violation, events);
        Ok(Some(finding.at(point).with_image(&self.evidence)))
    }

    /// Recovers, checks, and on a sample recovers again.
    fn recover_and_check(&mut self, events: &[Event], tally: &mut Tally) -> io::Result<Recovered> {
        if self.rng.random_bool(0.125) {
            self.store.recover_and_be_killed(&self.dir, &mut self.rng)?;
            tally.recoveries_killed += 1;
        }
        let close = self.rng.random_bool(0.25);
        let survivors = match self.store.recover_apart(&self.dir, close)? {
            Ok(survivors) => survivors,
            broken => return Ok(broken),
        };
        tally.crash_states += 1;
        tally.recovered += Survivor::entries(&survivors).0.len() as u64;
        if let Err(violation) = self.store.check(events, &survivors) {
            return Ok(Err(violation));
        }
        if self.rng.random_bool(0.125) {
            tally.second_recoveries += 1;
            let again = self.store.recover_apart(&self.dir, false)?;
            if let Err(violation) = compare(&survivors, again) {
                return Ok(Err(violation));
            }
        }
        Ok(Ok(survivors))
    }
}
