//! A command in a copy of the tree: bounded in time, ended with all it started.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use crate::process::{COMMAND, CommandTask, Launcher, Order, quoted, start};
use crate::stop::Stop;

/// How often a running command is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// `cd` first: the keeper starts a command where the harness is.
const IN_DIRECTORY: &str = r#"sh -c 'cd "$1" && shift && exec "$@"' sh"#;

/// A program, its arguments, and the environment that it needs beside ours.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) words: Vec<String>,
    pub(super) environment: Vec<(&'static str, String)>,
}

impl Program {
    /// A program and its arguments, as a text without quotes.
    pub(super) fn new(words: &str) -> Self {
        Self {
            words: words.split_whitespace().map(str::to_owned).collect(),
            environment: Vec::new(),
        }
    }

    /// A command line for the shell.
    pub(super) fn shell(line: String) -> Self {
        Self {
            words: vec!["sh".to_owned(), "-c".to_owned(), line],
            environment: Vec::new(),
        }
    }

    pub(super) fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    fn line(&self, dir: &Path) -> String {
        let mut line = format!("{IN_DIRECTORY} {} env", quoted(&dir.to_string_lossy()));
        let environment = self.environment.iter();
        let environment = environment.map(|(name, value)| format!("{name}={value}"));
        for word in environment.chain(self.words.iter().cloned()) {
            line.push(' ');
            line.push_str(&quoted(&word));
        }
        line
    }

    /// Runs it in `dir` until it ends, or `enough` says of a line of its standard output that all is
    /// known, or the time is up, or `stop` is set. In each case nothing of it goes on.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(super) fn run(
        &self,
        dir: &Path,
        limit: Duration,
        stop: &Stop,
        enough: impl Fn(&str) -> bool,
    ) -> io::Result<Ended> {
        let output = tempfile::NamedTempFile::new()?;
        let started = Instant::now();
        let task = CommandTask {
            command: self.line(dir),
            output: output.path().to_owned(),
            descriptor: None,
            environment: Vec::new(),
        };
        let order = Order::new(&COMMAND, &task)?;
        let mut kept = start(&Launcher::binary(), &order, limit)?;
        let mut tail = Tail::new(output.reopen()?);
        let early = loop {
            let over = kept.is_over()?;
            if tail.read()?.any(&enough) {
                break Some(How::Enough);
            }
            if over {
                break None;
            }
            if stop.is_set() {
                break Some(How::Stopped);
            }
            if started.elapsed() > limit {
                break Some(How::TimedOut);
            }
            std::thread::sleep(LOOK_EVERY);
        };
        let outcome = kept.end()?;
        tail.read()?.for_each(drop);
        Ok(Ended {
            how: early.unwrap_or(How::ByItself(outcome.status)),
            stdout: tail.text,
            stderr: outcome.output,
        })
    }
}

/// How a program came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    ByItself(ExitStatus),
    /// One of its lines said all that was to be known.
    Enough,
    TimedOut,
    Stopped,
}

#[derive(Debug)]
pub(super) struct Ended {
    pub(super) how: How,
    pub(super) stdout: String,
    /// The last of it.
    pub(super) stderr: String,
}

/// A file that grows, line by line.
struct Tail {
    file: File,
    /// Bytes of it that are no whole character yet.
    rest: Vec<u8>,
    text: String,
    /// Where the lines begin that nobody has seen.
    seen: usize,
}

impl Tail {
    fn new(file: File) -> Self {
        Self {
            file,
            rest: Vec::new(),
            text: String::new(),
            seen: 0,
        }
    }

    /// The whole lines that have come since.
    fn read(&mut self) -> io::Result<impl Iterator<Item = &str>> {
        self.file.read_to_end(&mut self.rest)?;
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n');
        let whole: Vec<u8> = self.rest.drain(..whole.map_or(0, |at| at + 1)).collect();
        self.text.push_str(&String::from_utf8_lossy(&whole));
        let new = self.seen..self.text.len();
        self.seen = self.text.len();
        Ok(self.text[new].lines())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn lines_are_seen_once_and_whole() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        let mut tail = Tail::new(file.reopen().expect("the same"));
        let mut step = |bytes: &[u8]| {
            file.write_all(bytes).expect("written");
            let lines = tail.read().expect("read");
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert!(step(b"on").is_empty());
        assert_eq!(step("e\ntwo\nthr\u{e9}".as_bytes()), ["one", "two"]);
        assert_eq!(step(b"e\n"), ["thr\u{e9}e"]);
        assert!(step(b"").is_empty());
    }

    #[test]
    fn words_reach_the_program_as_they_are() {
        let program = Program::new("printf %s").env("A", "it's");
        assert_eq!(
            program.line(Path::new("/a b")),
            format!(r"{IN_DIRECTORY} '/a b' env 'A=it'\''s' 'printf' '%s'")
        );
    }
}
