//! A process that answers one question after another, so that a question costs no start of a process.
//!
//! A store that panics, dies or hangs while it recovers takes the process with it; that is the
//! answer, and the next question goes to a new process.
//!
//! ```text
//! harness                                      child
//!   a question, as a line of JSON   -- stdin ->
//!                                   <- a pipe -  u64 0 (answered) or 1 (failed) | u64 length | bytes
//! ```

use std::fs::File;
use std::io::{self, BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ending::Process;
use super::launcher::Launcher;
use super::order::Order;
use super::patience::Patience;
use super::running::Running;
use crate::subject::SubjectError;

/// Asks a child process.
#[derive(Debug)]
pub(crate) struct Checker {
    launcher: Launcher,
    /// A child that has to answer is given this long.
    limit: Duration,
    process: Option<Asked>,
}

/// Why a question has no answer, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// The process says that it cannot.
    Refused(String),
    /// The process died, or hangs.
    Broken(String),
}

impl Unanswered {
    pub(crate) fn words(self) -> String {
        match self {
            Self::Refused(words) | Self::Broken(words) => words,
        }
    }
}

#[derive(Debug)]
struct Asked {
    child: Running,
    answers: PipeReader,
    /// Held until the child has opened it.
    answering: Option<PipeWriter>,
    limit: Duration,
    /// Says when nothing waits for an answer any more.
    launcher: Launcher,
    /// It hangs: what it was seen to do.
    hangs: Option<String>,
}

impl Checker {
    pub(crate) fn new(launcher: &Launcher, limit: Duration) -> Self {
        Self {
            launcher: launcher.clone(),
            limit,
            process: None,
        }
    }

    /// Ends the process.
    pub(crate) fn release(&mut self) {
        self.process = None;
    }

    /// Asks. The inner error says why there is no answer. Where no process runs, `order` makes the
    /// order for one, given the path at which it writes its answers.
    pub(crate) fn ask(
        &mut self,
        question: &impl Serialize,
        order: impl FnOnce(PathBuf) -> io::Result<Order>,
    ) -> io::Result<Result<Vec<u8>, Unanswered>> {
        let mut process = match self.process.take() {
            Some(process) => process,
            None => Asked::start(&self.launcher, self.limit, order)?,
        };
        match process.ask(question)? {
            Some(answer) => {
                self.process = Some(process);
                Ok(answer.map_err(Unanswered::Refused))
            }
            None => Ok(Err(Unanswered::Broken(process.last_words()?))),
        }
    }
}

impl Asked {
    fn start(
        launcher: &Launcher,
        limit: Duration,
        order: impl FnOnce(PathBuf) -> io::Result<Order>,
    ) -> io::Result<Self> {
        let (answers, answering) = io::pipe()?;
        let path = format!("/proc/{}/fd/{}", std::process::id(), answering.as_raw_fd());
        let child = Running::start(launcher, &order(path.into())?, limit)?;
        Ok(Self {
            child,
            answers,
            answering: Some(answering),
            limit,
            launcher: launcher.clone(),
            hangs: None,
        })
    }

    /// `None` if the process died or hangs.
    fn ask(&mut self, question: &impl Serialize) -> io::Result<Option<Result<Vec<u8>, String>>> {
        let mut line = serde_json::to_vec(question)?;
        line.push(b'\n');
        if self.child.stdin().write_all(&line).is_err() {
            return Ok(None);
        }
        let (Some(failed), Some(len)) = (self.read_word()?, self.read_word()?) else {
            return Ok(None);
        };
        let answer = self.read(usize::try_from(len).map_err(io::Error::other)?)?;
        Ok(answer.map(|answer| match failed {
            0 => Ok(answer),
            _ => Err(String::from_utf8_lossy(&answer).into_owned()),
        }))
    }

    fn read_word(&mut self) -> io::Result<Option<u64>> {
        let word = self.read(8)?;
        Ok(word.map(|word| u64::from_le_bytes(word.try_into().expect("8 bytes were read"))))
    }

    /// Any part of an answer may be long in coming, or never come: the store's own threads can end
    /// the process, or stop it, at any moment.
    fn read(&mut self, len: usize) -> io::Result<Option<Vec<u8>>> {
        let mut patience = Patience::with_process(self.child.id(), self.limit);
        let mut bytes = Vec::with_capacity(len.min(1 << 20));
        while bytes.len() < len {
            self.launcher.check_stop()?;
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
            } else if self.child.is_over()? {
                return Ok(None);
            } else {
                self.hangs = patience.look()?;
                if self.hangs.is_some() {
                    return Ok(None);
                }
            }
        }
        Ok(Some(bytes))
    }

    /// Why no answer came.
    fn last_words(mut self) -> io::Result<String> {
        self.launcher.check_stop()?;
        let told = match self.hangs.take() {
            Some(told) => format!("\n{told}"),
            // It may have been seen to close its end just before it is gone.
            None => match self.child.wait()? {
                Some(ended) => {
                    ended.check_environment()?;
                    return Ok(ended.words());
                }
                None => String::new(),
            },
        };
        Ok(format!("it hangs: no answer after {:?}{told}", self.limit))
    }
}

/// The child's side: answers until the harness closes the questions.
pub(crate) fn answer<Q: DeserializeOwned>(
    answers: &Path,
    mut reply: impl FnMut(Q) -> Result<Vec<u8>, SubjectError>,
) -> Result<(), SubjectError> {
    let mut answers = File::options().write(true).open(answers)?;
    for line in BufReader::new(io::stdin()).lines() {
        let (failed, text) = match reply(serde_json::from_str(&line?)?) {
            Ok(answer) => (0_u64, answer),
            Err(error) => (1, error.to_string().into_bytes()),
        };
        let mut answer = failed.to_le_bytes().to_vec();
        answer.extend((text.len() as u64).to_le_bytes());
        answer.extend(text);
        answers.write_all(&answer)?;
    }
    Ok(())
}
