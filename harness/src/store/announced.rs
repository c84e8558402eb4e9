//! What a writer announces, while it runs and afterwards.

use std::io;
use std::os::fd::RawFd;

use crate::history::{self, Event, History};

/// Hears what a running writer announces. Used from several threads.
pub(crate) trait Announcer: Send + Sync {
    /// What has been announced by now. An announcement that comes later is not part of it.
    fn mark(&self) -> io::Result<Mark>;

    /// The number of announcements so far: a sign of life.
    fn heard(&self) -> io::Result<u64>;

    /// No further announcement can be heard.
    fn is_full(&self) -> bool;

    /// The descriptors that it hears by.
    fn descriptors(&self) -> Vec<RawFd> {
        Vec::new()
    }

    /// What has been announced by now was announced when a device's clock said this, or before.
    fn note(&self, clock: u64) -> io::Result<()>;
}

/// A moment among the announcements of a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mark {
    /// Nothing had been announced.
    Nothing,
    /// A moment of a history in shared memory.
    Shared(history::Mark),
    /// How many bytes had been written to standard output, and to the descriptor of the protocol.
    Said { output: usize, descriptor: usize },
}

impl Mark {
    /// How many bytes had been said, by the pipe that counts.
    fn said(&self, by_descriptor: bool) -> usize {
        match self {
            Self::Said { descriptor, .. } if by_descriptor => *descriptor,
            Self::Said { output, .. } => *output,
            _ => 0,
        }
    }
}

/// The announcements that count for a look at a directory, which takes a moment if the store goes on
/// meanwhile: what was claimed before it began must be there, and what is there must have been attempted
/// before it ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Span {
    pub(crate) claims: Mark,
    pub(crate) attempts: Mark,
}

impl Span {
    pub(crate) const NOTHING: Self = Self {
        claims: Mark::Nothing,
        attempts: Mark::Nothing,
    };
}

/// What a run announced, from its beginning to its end.
#[derive(Clone, Debug)]
pub(crate) enum Announced {
    Nothing,
    /// In memory that is shared with the writer.
    Shared(History),
    /// In words, each event with the offset at which its line ends and with the clock of the device.
    Said {
        events: Vec<(usize, u64, Event)>,
        by_descriptor: bool,
    },
}

impl Announced {
    /// What counts for a look at the directory.
    pub(crate) fn during(&self, span: &Span) -> Vec<Event> {
        match (self, &span.claims, &span.attempts) {
            (Self::Shared(history), Mark::Shared(claims), Mark::Shared(attempts)) => {
                history.events_during(claims, attempts)
            }
            (
                Self::Said {
                    events,
                    by_descriptor,
                },
                claims,
                attempts,
            ) => {
                let [claims, attempts] = [claims, attempts].map(|mark| mark.said(*by_descriptor));
                let said = events.iter().take_while(|(end, _, _)| *end <= attempts);
                let counts =
                    |(end, _, event): &&(usize, u64, Event)| *end <= claims || event.is_beginning();
                said.filter(counts).map(|(_, _, event)| *event).collect()
            }
            _ => Vec::new(),
        }
    }

    /// All of it.
    pub(crate) fn events(&self) -> Vec<Event> {
        let timed = self.timed();
        timed.into_iter().map(|(_, event)| event).collect()
    }

    /// All of it, each event with what the clock of the device said when it was announced, or later.
    pub(crate) fn timed(&self) -> Vec<(u64, Event)> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Shared(history) => history.events_with_clock(),
            Self::Said { events, .. } => {
                let timed = events.iter().map(|(_, clock, event)| (*clock, *event));
                timed.collect()
            }
        }
    }
}

impl Announcer for History {
    fn mark(&self) -> io::Result<Mark> {
        Ok(Mark::Shared(Self::mark(self)))
    }

    fn heard(&self) -> io::Result<u64> {
        Ok(self.reserved())
    }

    fn is_full(&self) -> bool {
        Self::is_full(self)
    }

    /// Each event carries the clock.
    fn note(&self, _: u64) -> io::Result<()> {
        Ok(())
    }
}

/// For a process that announces nothing.
#[derive(Debug)]
pub(crate) struct Silent;

impl Announcer for Silent {
    fn mark(&self) -> io::Result<Mark> {
        Ok(Mark::Nothing)
    }

    fn heard(&self) -> io::Result<u64> {
        Ok(0)
    }

    fn is_full(&self) -> bool {
        false
    }

    fn note(&self, _: u64) -> io::Result<()> {
        Ok(())
    }
}
