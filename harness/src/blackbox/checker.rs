//! Runs the checker: recovery, as a black box does it.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::BlackBox;
use super::channel::Channel;
use super::keeper::{Kept, Order};
use super::protocol::Names;
use crate::child::Launcher;
use crate::oracle::Violation;
use crate::subject::Survivor;

/// Recovers by a command.
#[derive(Clone, Debug)]
pub(super) struct Checker<'a> {
    pub(super) store: &'a BlackBox,
    pub(super) launcher: Launcher,
    pub(super) hang_limit: Duration,
}

impl Checker<'_> {
    /// Recovers the store in `dir`. The inner error is what the checker did wrong.
    pub(super) fn recover(
        &self,
        dir: &Path,
        names: &mut Names,
    ) -> io::Result<Result<Vec<Survivor>, Violation>> {
        let channel = Channel::open()?;
        let order = Order::check(self.store, dir, &channel);
        let mut process = Kept::start(&self.launcher, &order)?;
        let started = Instant::now();
        let mut nap = Duration::from_micros(200);
        let mut trouble = None;
        while !process.is_over()? {
            channel.hear()?;
            if channel.is_flooded() {
                trouble = Some("it prints without end".to_owned());
            } else if started.elapsed() > self.hang_limit {
                trouble = Some(format!("no end after {} s", self.hang_limit.as_secs_f32()));
            }
            if trouble.is_some() {
                break;
            }
            std::thread::sleep(nap);
            nap = (nap * 5 / 4).min(Duration::from_millis(5));
        }
        let outcome = process.end()?;
        if let Some(trouble) = trouble {
            return Ok(Err(failed(&trouble)));
        }
        if let Some(trouble) = outcome.trouble()? {
            return Ok(Err(failed(&trouble)));
        }
        let said = channel.said()?;
        Ok(names
            .survivors_of(&said.bytes)
            .map_err(|line| failed(&format!("it does not keep to the protocol: {line}"))))
    }

    /// Begins to recover and is killed after a while.
    pub(super) fn be_killed(&self, dir: &Path, after: Duration) -> io::Result<()> {
        let channel = Channel::open()?;
        let order = Order::check(self.store, dir, &channel);
        let process = Kept::start(&self.launcher, &order)?;
        std::thread::sleep(after);
        process.end().map(drop)
    }

    /// Recovers once more; the same must come of it.
    pub(super) fn recover_again(
        &self,
        dir: &Path,
        names: &mut Names,
        first: &[Survivor],
    ) -> io::Result<Result<(), Violation>> {
        let again = match self.recover(dir, names)? {
            Ok(again) => again,
            Err(violation) => return Ok(Err(violation)),
        };
        if again == first {
            return Ok(Ok(()));
        }
        let (first, second) = (first.len(), again.len());
        let detail = format!("{first} entries first, {second} the second time");
        Ok(Err(Violation::NotIdempotent { detail }))
    }
}

pub(super) fn failed(detail: &str) -> Violation {
    broken("the checker failed", detail)
}

pub(super) fn broken(stage: &str, detail: &str) -> Violation {
    Violation::Broken {
        stage: stage.to_owned(),
        detail: detail.to_owned(),
    }
}
