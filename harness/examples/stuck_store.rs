//! Stores that never come back: what a harness does with them, and with a user who has waited long
//! enough.
//!
//! ```sh
//! cargo run -p plugpull --example stuck_store -- run stuck --crash power --hang-limit 10s
//! ```

use std::process::ExitCode;

use plugpull::{
    RecoverRun, SimRecoverRun, SimWriteRun, Simulated, Subject, SubjectError, Survivors, WriteRun,
};

fn main() -> ExitCode {
    plugpull::cli::main(&[Box::new(Stuck)])
}

/// Its recovery waits for ever, in a process of its own and in the harness's.
struct Stuck;

fn wait_for_ever() -> ! {
    eprintln!("the store waits for ever");
    loop {
        std::thread::park();
    }
}

impl Subject for Stuck {
    fn name(&self) -> &'static str {
        "stuck"
    }

    fn write(&self, run: &WriteRun) -> Result<(), SubjectError> {
        Ok(std::fs::write(run.dir.join("file"), b"bytes")?)
    }

    fn recover(&self, _: &RecoverRun, _: &mut Survivors) -> Result<(), SubjectError> {
        wait_for_ever()
    }

    fn simulated(&self) -> Option<&dyn Simulated> {
        Some(self)
    }
}

impl Simulated for Stuck {
    fn write(&self, run: &SimWriteRun) -> Result<(), SubjectError> {
        Ok(run.fs.create_dir_all(run.dir)?)
    }

    fn recover(&self, _: &SimRecoverRun, _: &mut Survivors) -> Result<(), SubjectError> {
        wait_for_ever()
    }
}
