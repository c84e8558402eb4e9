//! A process that recovers one crash state after the other, so that a state costs no start of a
//! process.
//!
//! A store that panics, dies or hangs in recovery takes the process with it; that is the state's
//! verdict, and the next state gets a new process.

use std::fs::File;
use std::io::{self, BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize};

use crate::child::{HANG_LIMIT, Role, Running, Target};
use crate::subject::{RecoverRun, Subject, SubjectError, Survivor, Survivors};
use crate::workload::Workload;

/// In an answer, instead of the number of survivors: an error's text follows.
const FAILED: u64 = u64::MAX;

#[derive(Debug, Serialize, Deserialize)]
struct Question {
    dir: PathBuf,
    workloads: Vec<Workload>,
    close: bool,
}

/// Recovers crash states, one at a time.
#[derive(Debug)]
pub(crate) struct Checker {
    target: Target,
    process: Option<Process>,
}

#[derive(Debug)]
struct Process {
    child: Running,
    answers: PipeReader,
    /// Held so that the child can open it.
    _answering: PipeWriter,
}

impl Checker {
    pub(crate) fn new(target: Target) -> Self {
        Self {
            target,
            process: None,
        }
    }

    /// Recovers the store in `dir`. The inner error is what the store did wrong.
    pub(crate) fn recover(
        &mut self,
        dir: &Path,
        workloads: &[Workload],
        close: bool,
    ) -> io::Result<Result<Vec<Survivor>, String>> {
        let mut process = match self.process.take() {
            Some(process) => process,
            None => Process::start(&self.target)?,
        };
        let question = Question {
            dir: dir.into(),
            workloads: workloads.to_vec(),
            close,
        };
        let answer = process.ask(&question)?;
        if answer.is_some() {
            self.process = Some(process);
        } else {
            return Ok(Err(process.last_words()?));
        }
        Ok(answer.expect("just checked"))
    }
}

impl Process {
    fn start(target: &Target) -> io::Result<Self> {
        let (answers, answering) = io::pipe()?;
        let path = format!("/proc/{}/fd/{}", std::process::id(), answering.as_raw_fd());
        let child = Running::start(
            target,
            Role::Check {
                answers: path.into(),
            },
        )?;
        Ok(Self {
            child,
            answers,
            _answering: answering,
        })
    }

    /// `None` if the process died or hangs.
    fn ask(&mut self, question: &Question) -> io::Result<Option<Result<Vec<Survivor>, String>>> {
        let mut line = serde_json::to_vec(question)?;
        line.push(b'\n');
        if self.child.stdin().write_all(&line).is_err() {
            return Ok(None);
        }
        let Some(count) = self.read_word()? else {
            return Ok(None);
        };
        if count == FAILED {
            let Some(len) = self.read_word()? else {
                return Ok(None);
            };
            let mut text = vec![0; usize::try_from(len).map_err(io::Error::other)?];
            self.answers.read_exact(&mut text)?;
            return Ok(Some(Err(String::from_utf8_lossy(&text).into_owned())));
        }
        let count = usize::try_from(count).map_err(io::Error::other)?;
        let mut bytes = vec![0; count * 24];
        self.answers.read_exact(&mut bytes)?;
        Ok(Some(Ok(Survivor::decode_all(&bytes))))
    }

    /// The first word of an answer may be long in coming, or never come.
    fn read_word(&mut self) -> io::Result<Option<u64>> {
        let deadline = Instant::now() + HANG_LIMIT;
        loop {
            let mut fds = [PollFd::new(self.answers.as_fd(), PollFlags::POLLIN)];
            if poll(&mut fds, PollTimeout::from(50_u8))? > 0 {
                let mut word = [0; 8];
                self.answers.read_exact(&mut word)?;
                return Ok(Some(u64::from_le_bytes(word)));
            }
            if !self.child.is_alive()? || Instant::now() > deadline {
                return Ok(None);
            }
        }
    }

    fn last_words(mut self) -> io::Result<String> {
        if self.child.is_alive()? {
            return Ok(format!("no end after {} s", HANG_LIMIT.as_secs()));
        }
        Ok(self.child.output())
    }
}

/// The child's side: answers until the harness closes the questions.
pub(crate) fn answer(
    subject: &dyn Subject,
    engine: &str,
    answers: &Path,
) -> Result<(), SubjectError> {
    let mut answers = File::options().write(true).open(answers)?;
    for line in BufReader::new(io::stdin()).lines() {
        let Question {
            dir,
            workloads,
            close,
        } = serde_json::from_str(&line?)?;
        let mut survivors = Survivors::new(&workloads);
        let run = RecoverRun {
            dir: &dir,
            engine,
            close,
        };
        let recovered = subject.recover(&run, &mut survivors);
        let mut answer = Vec::new();
        match recovered {
            Ok(()) => {
                answer.extend((survivors.entries.len() as u64).to_le_bytes());
                answer.extend(Survivor::encode_all(&survivors.entries));
            }
            Err(error) => {
                let text = error.to_string();
                answer.extend(FAILED.to_le_bytes());
                answer.extend((text.len() as u64).to_le_bytes());
                answer.extend(text.as_bytes());
            }
        }
        answers.write_all(&answer)?;
    }
    Ok(())
}
