//! Two commands as a store.
//!
//! What a writer says is heard a moment after it was said. On a device, an acknowledgement that is
//! stamped late is asked for a little later than it could be: that errs towards losing less. An attempt
//! that is stamped late would make its entry a phantom, so attempts count from the beginning of their
//! generation.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::black_box::BlackBox;
use super::channel::Channel;
use super::given::Endpoints;
use super::length::Length;
use super::oracle::BlackBoxOracle;
use super::protocol::Names;
use super::record::{Record, record_of};
use super::trouble::{has_crashed, trouble};
use crate::crash_kind::CrashKind;
use crate::disk::Clock;
use crate::finding::{Finding, Head};
use crate::history::Event;
use crate::oracle::{Oracle, Stage, Violation};
use crate::owner::Owner;
use crate::plan::Plan;
use crate::process::{COMMAND, CommandTask, Launcher, Order, Unanswered};
use crate::store::{
    Announced, Assignment, Calls, Damaged, Life, NextBase, Preparations, Recovered, Stop, Store,
    Until, Watched, Work, Written, run,
};
use crate::survivor::Survivor;

/// Instants for a kill that are spread over time lie no later than this after the first word.
const SPREAD: Duration = Duration::from_millis(40);
/// How long a writer is watched whose own failure is checked again.
const WATCH: Duration = Duration::from_secs(2);

/// Two commands, and what is known of their store.
pub(crate) struct CommandStore<'a> {
    store: &'a BlackBox,
    seed: u64,
    launcher: Launcher,
    limit: Duration,
    oracle: BlackBoxOracle,
    length: Length,
    endpoints: Endpoints,
    clock: Arc<AtomicU64>,
    /// `PLUGPULL_SEED` of the last writer.
    writer_seed: u64,
    /// Of the process that runs, or ran last.
    channel: Option<Arc<Channel>>,
    /// How long the last writer took to its first word, and the last checker in all: programs differ
    /// by orders of magnitude.
    first_word: Duration,
    check_time: Duration,
    preparations: Preparations,
}

impl<'a> CommandStore<'a> {
    pub(crate) fn new(store: &'a BlackBox, plan: &Plan) -> Self {
        Self {
            store,
            seed: plan.seed,
            launcher: plan.launcher.clone(),
            limit: plan.hang_limit,
            oracle: BlackBoxOracle::default(),
            length: Length::new(plan.lifespan),
            endpoints: Endpoints::of(&store.commands()),
            clock: Arc::default(),
            writer_seed: 0,
            channel: None,
            first_word: Duration::ZERO,
            check_time: Duration::ZERO,
            preparations: Preparations::new(plan.image.as_deref()),
        }
    }

    /// A process for one of the commands.
    fn assignment(&mut self, command: &str, dir: &Path, until: Until) -> io::Result<Assignment> {
        let is_writer = command == self.store.cmd;
        let owner = self.store.owner.as_ref();
        owner.map_or(Ok(()), |owner| owner.take(dir))?;
        let given = self.endpoints.renew(owner)?;
        let channel = Arc::new(Channel::open()?);
        let [output, descriptor] = channel.paths();
        let mut environment = given.environment();
        if is_writer {
            let generation = self.oracle.generation.to_string();
            environment.push(("PLUGPULL_GENERATION".to_owned(), generation));
            let seed = self.writer_seed.to_string();
            environment.push(("PLUGPULL_SEED".to_owned(), seed));
        }
        let task = CommandTask {
            command: given.command(command, dir),
            output,
            descriptor: is_writer.then_some(descriptor),
            environment,
        };
        self.channel = Some(Arc::clone(&channel));
        Ok(Assignment {
            order: Order::new(&COMMAND, &task)?,
            announcer: channel,
            until,
            ring_waits: false,
        })
    }

    /// Ends a writer after this many lines, or when it has lived long enough.
    fn after_lines(&self, lines: u64, look: Duration) -> Until {
        Until {
            announcements: self.length.lines(lines),
            life: Life::FromFirstWord(self.length.life()),
            looks: (look, look),
            ..Until::END
        }
    }

    /// Whether a writer was ended because it had lived long enough, not because of what it had said.
    fn was_used_up(&self, watched: &Watched) -> bool {
        let life = |first_word| first_word + self.length.life();
        match watched.stop {
            Stop::Killed => true,
            Stop::Enough => watched
                .first_word
                .is_some_and(|first| watched.lasted > life(first)),
            Stop::Ended | Stop::Full | Stop::Hangs(_) => false,
        }
    }

    /// An instant for a kill. Some hit the start, some are spread over time, the others lie a little
    /// after some line, so that work is hit.
    fn kill_instant(&self, rng: &mut ChaCha8Rng) -> Until {
        let (lines, spread) = match rng.random_range(0..8) {
            0 => (0, self.first_word),
            1..=3 => (1, SPREAD),
            _ => {
                let magnitude = rng.random_range(0..10);
                let lines = rng.random_range(1..2_u64 << magnitude);
                (lines, Duration::from_micros(300))
            }
        };
        Until {
            wait: spread.mul_f64(rng.random()),
            ..self.after_lines(lines, Duration::from_micros(100))
        }
    }

    /// What a checker showed. To end with an error, or with words of its own, is to refuse.
    fn answer(&mut self, watched: &Watched) -> io::Result<Result<Vec<Survivor>, Unanswered>> {
        self.check_time = watched.lasted;
        self.endpoints.check()?;
        let channel = self.channel.take().expect("a checker was started");
        let trouble = trouble(&watched.ended)?;
        Ok(Err(match (&watched.stop, trouble) {
            (Stop::Full, _) => Unanswered::Broken("it prints without end".to_owned()),
            (Stop::Hangs(how), _) => Unanswered::Broken(how.clone()),
            (_, Some(trouble)) if has_crashed(&watched.ended) => Unanswered::Broken(trouble),
            (_, Some(trouble)) => Unanswered::Refused(trouble),
            _ => match self.oracle.names.survivors_of(&channel.said()?.bytes) {
                Ok(survivors) => return Ok(Ok(survivors)),
                Err(garbage) => {
                    let told = format!("it does not keep to the protocol: {}", garbage.told);
                    if garbage.is_of_survivor {
                        Unanswered::Broken(told)
                    } else {
                        Unanswered::Refused(told)
                    }
                }
            },
        }))
    }

    /// The events in what a writer said, with what the clock said.
    fn parse(&mut self, channel: &Channel) -> io::Result<Result<Announced, String>> {
        let said = channel.said()?;
        let end = self.clock.load(Ordering::SeqCst);
        let generation = self.oracle.generation;
        let parsed = self.oracle.names.events_of(generation, &said.bytes);
        Ok(match parsed {
            Ok(events) => {
                let stamp = |(line_end, event)| match event {
                    Event::Attempt { .. } => (line_end, 0, event),
                    _ => (line_end, said.clock_at(line_end).unwrap_or(end), event),
                };
                Ok(Announced::Said {
                    events: events.into_iter().map(stamp).collect(),
                    by_descriptor: said.by_descriptor,
                })
            }
            Err(line) => Err(format!("{}: {line}", said.place())),
        })
    }
}

impl Store for CommandStore<'_> {
    fn begin(&mut self, _: &mut ChaCha8Rng) {
        self.oracle = BlackBoxOracle::default();
    }

    fn preparation(&mut self, dir: &Path) -> io::Result<Option<Assignment>> {
        let setup = self.store.setup.as_deref();
        let assignment = setup.map(|setup| self.assignment(setup, dir, Until::END));
        assignment.transpose()
    }

    fn preparations(&mut self) -> &mut Preparations {
        &mut self.preparations
    }

    fn generations(&self) -> usize {
        self.oracle.generation as usize
    }

    /// A checker may be a script: it prints a line for each entry.
    fn kills_max(&self) -> usize {
        12
    }

    fn engine(&self) -> &str {
        BlackBox::ENGINE
    }

    fn launching(&self) -> (&Launcher, Duration) {
        (&self.launcher, self.limit)
    }

    fn owner(&self) -> Option<&Owner> {
        self.store.owner.as_ref()
    }

    fn clock(&mut self) -> io::Result<Arc<dyn Clock>> {
        self.clock = Arc::default();
        Ok(Arc::new(Arc::clone(&self.clock)))
    }

    fn writer(
        &mut self,
        dir: &Path,
        work: Work<'_>,
        rng: &mut ChaCha8Rng,
    ) -> io::Result<Assignment> {
        self.writer_seed = rng.random();
        let until = match work {
            Work::UntilKilled => self.kill_instant(rng),
            Work::Traced => Until {
                calls: Calls::FromFirstWord(self.length.calls(rng)),
                life: Life::FromFirstWord(self.length.traced_life()),
                ..Until::END
            },
            Work::OnDevice => {
                let lines = self.length.lines_on_device(rng);
                self.after_lines(lines, Duration::from_micros(50))
            }
            Work::Scripted(_) => {
                let reason = "only the program itself knows what it was doing";
                return Err(io::Error::new(io::ErrorKind::Unsupported, reason));
            }
        };
        self.assignment(&self.store.cmd, dir, until)
    }

    /// Its ids may be those that the failed run had used: only its own words count here.
    fn writer_again(&mut self, dir: &Path) -> io::Result<Assignment> {
        self.oracle.names = Names::default();
        let until = Until {
            life: Life::FromStart(WATCH),
            ..Until::END
        };
        self.assignment(&self.store.cmd, dir, until)
    }

    fn take_back(&mut self) {
        self.oracle.names.take_back(self.oracle.generation);
    }

    fn written(&mut self, watched: &Watched) -> io::Result<Written> {
        if let Some(first_word) = watched.first_word {
            self.first_word = first_word;
        }
        self.endpoints.check()?;
        let channel = self.channel.take().expect("a writer was started");
        let parsed = self.parse(&channel)?;
        let trouble = trouble(&watched.ended)?;
        let broken = |stage, detail| Some(Violation::Broken { stage, detail });
        let failed = match (&parsed, trouble, &watched.stop) {
            (Err(garbage), _, _) => broken(Stage::WriterGarbage, garbage.clone()),
            (_, Some(trouble), _) => broken(Stage::WriterStopped, trouble),
            (_, _, Stop::Full) => broken(Stage::WriterGarbage, "it prints without end".to_owned()),
            (_, _, Stop::Hangs(how)) => {
                let detail = format!("{how}: {}", watched.ended.output);
                broken(Stage::WriterHangs, detail)
            }
            _ => None,
        };
        let announced = parsed.unwrap_or(Announced::Nothing);
        if self.was_used_up(watched) {
            let events = announced.events();
            let has_acknowledged = events.iter().any(|event| event.ack().is_some());
            self.length.learn(has_acknowledged);
        }
        Ok(Written { announced, failed })
    }

    fn recovery(&mut self, dir: &Path, _: bool) -> io::Result<Assignment> {
        self.assignment(&self.store.check, dir, Until::END)
    }

    fn recovered(&mut self, watched: &Watched) -> io::Result<Recovered> {
        let answer = self.answer(watched)?;
        Ok(answer.map_err(|unanswered| Violation::Broken {
            stage: Stage::CheckerFailed,
            detail: unanswered.words(),
        }))
    }

    fn recover_damaged(&mut self, dir: &Path) -> io::Result<Damaged> {
        let assignment = self.recovery(dir, false)?;
        let watched = run(&assignment, &self.launcher, self.limit, || 0)?;
        Ok(self.answer(&watched)?.into())
    }

    fn recovery_cut(&self, rng: &mut ChaCha8Rng) -> Duration {
        self.check_time.mul_f64(rng.random())
    }

    fn check(&self, events: &[Event], survivors: &[Survivor]) -> Result<(), Violation> {
        self.oracle.check(events, survivors)
    }

    fn check_damaged(&self, events: &[Event], survivors: &[Survivor]) -> Result<(), Violation> {
        self.oracle.check_damaged(events, survivors)
    }

    fn advance(&mut self, events: &[Event], survivors: &[Survivor]) {
        self.oracle.advance(events, survivors);
    }

    /// No command promises that two recoveries of two copies decide alike.
    fn next_base(&self) -> NextBase {
        NextBase::Recovered
    }

    /// The word that the commands use.
    fn entry_name(&self, id: u64) -> String {
        format!("'{}'", self.oracle.names.word(id))
    }

    fn finding(&self, crash: CrashKind, violation: Violation, events: Vec<Event>) -> Finding {
        let (generation, names) = (self.oracle.generation, &self.oracle.names);
        let record = Record::new(self.store, generation, self.writer_seed, &events, names);
        let head = Head {
            oracle: self.oracle.save(),
            store: serde_json::to_value(&record).expect("plain data"),
            about: record
                .about()
                .into_iter()
                .chain(self.preparations.about())
                .collect(),
            progress: Some(record.progress()),
            ..Head::new(BlackBox::NAME, BlackBox::ENGINE, violation)
        };
        Finding::new(crash, self.seed, head)
            .with_events(events)
            .with_story(record.story())
    }

    fn resume(&mut self, finding: &Finding) -> io::Result<()> {
        let record = record_of(finding)?;
        let record =
            record.ok_or_else(|| io::Error::other("the failure is not one of commands"))?;
        self.oracle.restore(finding.oracle.clone())?;
        self.writer_seed = record.writer_seed;
        self.oracle.generation = record.generation;
        Ok(())
    }
}
