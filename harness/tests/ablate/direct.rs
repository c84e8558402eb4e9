//! A store without a seam: one value, written again and again, through [`SimFs`] itself.

use plugpull::sim::SimFs;
use plugpull::{
    ActionKind, RecoverRun, SimRecoverRun, SimWriteRun, Simulated, Subject, SubjectError,
    Survivors, WriteRun,
};

pub struct Direct {
    /// It loses what it acknowledges even if no sync is left out.
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
        let mut next = fs.read_dir(run.dir)?.len();
        for action in run.workload.actions(0) {
            if action.kind == ActionKind::Refused {
                continue;
            }
            run.recorder.attempt(action.id);
            let path = run.dir.join(format!("{next:020}"));
            fs.write(&path, &run.workload.payload(action.id))?;
            let synced = self.is_broken || keep(fs, &path).is_ok();
            if !synced {
                run.recorder.failed(action.id);
                return Ok(());
            }
            run.recorder.ack(action.id, next as u64);
            next += 1;
        }
        Ok(())
    }

    fn recover(&self, run: &SimRecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        let fs = run.fs;
        for (position, name) in fs.read_dir(run.dir).unwrap_or_default().iter().enumerate() {
            survivors.push(position as u64, &fs.read(run.dir.join(name))?);
        }
        Ok(())
    }
}

fn keep(fs: &SimFs, path: &std::path::Path) -> std::io::Result<()> {
    let file = fs.open(path, plugpull::sim::OpenOptions::new().read(true))?;
    file.sync_all()?;
    fs.sync_dir(path.parent().unwrap_or(path))
}
