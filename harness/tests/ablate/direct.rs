//! A store without a seam: a log with a file for each entry, on [`SimFs`] itself.

use std::io::{self, Write};
use std::path::Path;

use plugpull::sim::SimFs;
use plugpull::{
    ActionKind, RecoverRun, SimRecoverRun, SimWriteRun, Simulated, Subject, SubjectError,
    Survivors, WriteRun,
};

pub struct Direct {
    /// It acknowledges what it could not keep.
    pub is_broken: bool,
}

impl Subject for Direct {
    fn name(&self) -> &str {
        "direct"
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

impl Simulated for Direct {
    fn write(&self, run: &SimWriteRun) -> Result<(), SubjectError> {
        let fs = run.fs;
        fs.create_dir_all(run.dir)?;
        fs.sync_dir("/")?;
        let mut next = 0;
        while fs.exists(run.dir.join(next.to_string())) {
            next += 1;
        }
        for action in run.workload.actions(0) {
            if action.kind == ActionKind::Refused {
                continue;
            }
            run.recorder.attempt(action.id);
            let payload = run.workload.payload(action.id);
            let kept = keep(fs, &run.dir.join(next.to_string()), &payload);
            if kept.is_err() && !self.is_broken {
                run.recorder.failed(action.id);
                return Ok(());
            }
            run.recorder.ack(action.id, next);
            next += 1;
        }
        Ok(())
    }

    fn recover(&self, run: &SimRecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        let path = |position: u64| run.dir.join(position.to_string());
        if run.fs.is_dir(run.dir) {
            run.fs.sync_dir(run.dir)?;
        }
        for position in (0..).take_while(|position| run.fs.exists(path(*position))) {
            survivors.push(position, &run.fs.read(path(position))?);
        }
        Ok(())
    }
}

fn keep(fs: &SimFs, path: &Path, payload: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = fs.create(&new)?;
    file.write_all(payload)?;
    file.sync_all()?;
    fs.rename(&new, path)?;
    fs.sync_dir(path.parent().unwrap_or(path))
}
