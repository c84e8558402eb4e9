//! `kill`: SIGKILL at a random instant, then recovery in a fresh process, generation after
//! generation on one directory.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::contract::{
    Case, Job, Kind, NO_SCRIPT_OF_A_COMMAND, Replayed, Saved, Shrinking, Worker,
};
use super::early::Early;
use super::examine::{compare, replay_image};
use super::story::{Announcements, Broken, Past, PastLife, Promised, files_in};
use crate::crash_kind::CrashKind;
use crate::finding::{Finding, Found};
use crate::history::Event;
use crate::plan::Plan;
use crate::process;
use crate::process::Launcher;
use crate::scratch::{copy_dir, remove_dir};
use crate::shrink::Deadline;
use crate::store::{Store, Tested, Work, prepared, run};
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
            past: Past::default(),
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
    /// The generations before, as a story has them.
    past: Past,
}

/// What was done to the directory of a generation after its death.
#[derive(Clone, Copy, Default)]
struct Recoveries {
    /// One was killed, too.
    is_killed: bool,
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
            self.store.begin(&mut self.rng);
            prepared(&mut *self.store, &self.dir)?.write(&self.dir)?;
            self.past.clear();
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
        let mut recoveries = Recoveries::default();
        let recovered = match written.failed {
            Some(violation) => Err(Broken::without_survivors(violation)),
            None => self.recover_and_check(&events, &mut recoveries, tally)?,
        };
        let how = if watched.ended.killed {
            "SIGKILL"
        } else {
            "it ended by itself"
        };
        let point = format!("{how} after {} events", events.len());
        let mut broken = match recovered {
            Ok(survivors) => {
                let life = PastLife {
                    events: &events,
                    ended: format!("{}. What it wrote is there.", capitalised(how)),
                    shown: survivors,
                };
                self.store.advance(&events, &life.shown);
                self.past.push(life, &|id| self.store.entry_name(id));
                return Ok(None);
            }
            Err(broken) => broken,
        };
        broken.violation = broken.violation.without_dir(&self.dir);
        tally.violated(&broken.violation);
        self.begun = false;
        let story = self.story(&events, &point, recoveries, &broken)?;
        let finding = self
            .store
            .finding(CrashKind::Kill, broken.violation, events);
        let finding = finding.at(point).with_image(&self.evidence);
        Ok(Some(finding.and_story(&story)))
    }

    /// The lives of the directory, what recovery shows of what had been promised, and the files.
    fn story(
        &self,
        events: &[Event],
        point: &str,
        recoveries: Recoveries,
        broken: &Broken,
    ) -> io::Result<String> {
        let entry = |id| self.store.entry_name(id);
        let promised = Promised {
            past: &self.past,
            events,
            entry: &entry,
        };
        let mut told = self.past.told().to_owned();
        let number = self.past.next();
        let mut line = |text: &str| writeln!(told, "{text}").expect("a string takes everything");
        line(&format!(
            "{number}. A process opens the store and writes. Its last announcements, in their order:\n"
        ));
        for announcement in Announcements::of(events, &entry).new_in(events) {
            line(&format!("          {announcement}"));
        }
        line(&format!(
            "\n   {}. What it wrote is there.",
            capitalised(point)
        ));
        if recoveries.is_killed {
            line("   A recovery begins and is killed, before another one ends.");
        }
        line(promised.tell(broken).trim_end());
        line(&format!(
            "\nThe crash leaves, in `image/`:\n\n{}",
            files_in(&self.evidence)?
        ));
        line(
            "A kill shows no calls: `--crash syscall` shows those around the crash, `--crash power` those \
             that no sync had covered.",
        );
        Ok(told)
    }

    /// Recovers, checks, and on a sample recovers again.
    fn recover_and_check(
        &mut self,
        events: &[Event],
        recoveries: &mut Recoveries,
        tally: &mut Tally,
    ) -> io::Result<Result<Vec<Survivor>, Broken>> {
        if self.rng.random_bool(0.125) {
            self.store.recover_and_be_killed(&self.dir, &mut self.rng)?;
            tally.recoveries_killed += 1;
            recoveries.is_killed = true;
        }
        let close = self.rng.random_bool(0.25);
        let survivors = match self.store.recover_apart(&self.dir, close)? {
            Ok(survivors) => survivors,
            Err(violation) => return Ok(Err(Broken::without_survivors(violation))),
        };
        tally.crash_states += 1;
        tally.recovered += Survivor::entries(&survivors).0.len() as u64;
        if let Err(violation) = self.store.check(events, &survivors) {
            return Ok(Err(Broken::of(violation, survivors)));
        }
        if self.rng.random_bool(0.125) {
            tally.second_recoveries += 1;
            let again = self.store.recover_apart(&self.dir, false)?;
            if let Err(violation) = compare(&survivors, again) {
                return Ok(Err(Broken::of(violation, survivors)));
            }
        }
        Ok(Ok(survivors))
    }
}

/// The beginning of a sentence.
fn capitalised(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}
