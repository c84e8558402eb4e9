//! The end control: what breaks without a crash is no matter of power, nor of rot.

use super::scene::Halt;
use super::worker::OnTrace;
use crate::finding::Found;
use crate::oracle::{Stage, Violation};
use crate::store::{self, Work, run};
use crate::tally::Tally;

impl OnTrace<'_> {
    /// Runs the store once as it is, in a fresh directory, without a tracer and without a crash.
    pub(super) fn end_control(&mut self, tally: &mut Tally) -> Result<(), Halt> {
        self.bench.lay_out(&self.disk)?;
        let assignment =
            self.bench
                .store
                .writer(&self.bench.dir, Work::OnDevice, &mut self.bench.rng)?;
        let (launcher, limit) = self.bench.store.launching();
        let watched = run(&assignment, launcher, limit, || 0)?;
        let written = self.bench.store.written(&watched)?;
        let events = written.announced.events();
        let violation = match (written.failed, watched.stop) {
            // Whatever becomes of its entries: it has failed by itself.
            (Some(violation), _) => violation.without_dir(&self.bench.dir),
            (None, stop) => match self.bench.recovered(&events, tally)? {
                Ok(_) => return Ok(()),
                Err(violation) => Violation::Broken {
                    stage: match stop {
                        store::Stop::Ended => Stage::EndControl,
                        _ => Stage::KillControl,
                    },
                    detail: violation.to_string(),
                },
            },
        };
        let lives = self.lives.take().expect("begun");
        tally.violated(&violation);
        let finding = self.bench.store.finding(self.crash, violation, events);
        let finding = finding
            .at("no crash at all: a control")
            .with_image(&self.bench.dir)
            .with_evidence(&lives);
        let found = Found::now(finding, tally.crash_states);
        self.found.insert(found.finding.violation.class(), found);
        Err(Halt::Found)
    }
}
