//! A process that recovers one crash state after the other, so that a state costs no start of a
//! process.
//!
//! A store that panics, dies or hangs in recovery takes the process with it; that is the state's
//! verdict, and the next state gets a new process.

use std::fs::File;
use std::io::{self, BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize};

use crate::child::{Role, Running, Target};
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
    /// Held until the child has opened it.
    answering: Option<PipeWriter>,
    hang_limit: Duration,
    hangs: bool,
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
            answering: Some(answering),
            hang_limit: target.hang_limit,
            hangs: false,
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
            let text = self.read(usize::try_from(len).map_err(io::Error::other)?)?;
            return Ok(text.map(|text| Err(String::from_utf8_lossy(&text).into_owned())));
        }
        let count = usize::try_from(count).map_err(io::Error::other)?;
        let bytes = self.read(count * 24)?;
        Ok(bytes.map(|bytes| Ok(Survivor::decode_all(&bytes))))
    }

    fn read_word(&mut self) -> io::Result<Option<u64>> {
        let word = self.read(8)?;
        Ok(word.map(|word| u64::from_le_bytes(word.try_into().expect("8 bytes were read"))))
    }

    /// Any part of an answer may be long in coming, or never come: the store's own threads can end
    /// the process, or stop it, at any moment.
    fn read(&mut self, len: usize) -> io::Result<Option<Vec<u8>>> {
        let deadline = Instant::now() + self.hang_limit;
        let mut bytes = Vec::with_capacity(len.min(1 << 20));
        while bytes.len() < len {
            let mut fds = [PollFd::new(self.answers.as_fd(), PollFlags::POLLIN)];
            if poll(&mut fds, PollTimeout::from(50_u8))? > 0 {
                let mut part = [0; 4096];
                let wanted = (len - bytes.len()).min(part.len());
                let read = self.answers.read(&mut part[..wanted])?;
                if read == 0 {
                    return Ok(None);
                }
                bytes.extend(&part[..read]);
                // The child holds the other end now; without ours, its death shows as the end.
                self.answering = None;
            } else if !self.child.is_alive()? {
                return Ok(None);
            } else if Instant::now() > deadline {
                self.hangs = true;
                return Ok(None);
            }
        }
        Ok(Some(bytes))
    }

    /// Why no answer came.
    fn last_words(mut self) -> io::Result<String> {
        // It may have been seen to close its end just before it is gone.
        if !self.hangs && self.child.wait()?.is_some() {
            return Ok(self.child.output());
        }
        Ok(format!("it hangs: no answer after {:?}", self.hang_limit))
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
