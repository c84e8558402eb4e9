//! What the writers do: which payloads, how many at once, with which pauses, cancellations and
//! trims.
//!
//! Everything derives from a seed, so that a payload can be checked byte for byte without being
//! stored.

use std::time::Duration;

use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

/// Smallest payload: the id that it begins with.
pub const PAYLOAD_BYTES_MIN: usize = 8;

/// How the writers behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Style {
    /// Every writer appends as fast as it can.
    Steady,
    /// Writers pause now and then, so that the store falls idle and wakes up again.
    Bursty,
    /// As `Steady`, but one append in four is dropped before it has returned.
    Cancelling,
}

/// One generation's work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// Payloads and decisions derive from it.
    pub seed: u64,
    /// Which generation of its directory this is; part of every id.
    pub generation: u32,
    /// How many writers append at once.
    pub writers: u32,
    /// How many actions each of them carries out; without end if not given.
    #[serde(default)]
    pub actions_max: Option<u32>,
    /// How they behave.
    pub style: Style,
    /// Payloads are up to this long, in bytes.
    pub payload_bytes_max: usize,
    /// Trim after about so many acknowledgements, if at all.
    pub trim_every: Option<u32>,
    /// Replay the log while it is being written.
    pub replays: bool,
    /// One append in so many is one that the store must refuse.
    pub refuse_every: u32,
    /// Keep the store's files small where there is a choice: they are copied at every step.
    pub small_files: bool,
}

/// What a writer does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// Names the attempt: unique over all generations of a directory.
    pub id: u64,
    /// How to append.
    pub kind: ActionKind,
    /// Wait so long first.
    pub pause: Option<Duration>,
}

/// How to append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionKind {
    /// Append and wait for the answer.
    Append,
    /// Append, and drop the append after its future was polled so many times.
    Cancel {
        /// Polls before the drop.
        polls: u32,
    },
    /// Append something that the store must refuse.
    Refused,
}

impl Workload {
    /// A workload drawn from a seed.
    pub fn draw(rng: &mut impl Rng, generation: u32) -> Self {
        let style = match rng.random_range(0..3) {
            0 => Style::Steady,
            1 => Style::Bursty,
            _ => Style::Cancelling,
        };
        Self {
            seed: rng.random_range(0..u64::MAX),
            generation,
            actions_max: None,
            writers: [1, 16, 64, 128][rng.random_range(0..4)],
            style,
            payload_bytes_max: [64, 600, 3000][rng.random_range(0..3)],
            trim_every: rng.random_bool(0.7).then(|| rng.random_range(50..400)),
            replays: rng.random_bool(0.25),
            refuse_every: 50,
            small_files: false,
        }
    }

    /// A workload for runs that are copied at every step: few writers, small files.
    pub(crate) fn draw_small(rng: &mut impl Rng, generation: u32) -> Self {
        Self {
            writers: [1, 3, 8][rng.random_range(0..3)],
            payload_bytes_max: [64, 600, 5000][rng.random_range(0..3)],
            trim_every: rng.random_bool(0.7).then(|| rng.random_range(5..40)),
            replays: rng.random_bool(0.25),
            refuse_every: 20,
            small_files: true,
            ..Self::draw(rng, generation)
        }
    }

    /// A workload for runs of which every outcome is looked at: a handful of actions.
    pub(crate) fn draw_tiny(rng: &mut impl Rng, generation: u32) -> Self {
        Self {
            writers: [1, 2, 4][rng.random_range(0..3)],
            actions_max: Some(rng.random_range(2..12)),
            payload_bytes_max: [16, 120, 500, 1400][rng.random_range(0..4)],
            trim_every: rng.random_bool(0.7).then(|| rng.random_range(2..10)),
            replays: rng.random_bool(0.25),
            refuse_every: 20,
            small_files: true,
            ..Self::draw(rng, generation)
        }
    }

    /// The actions of one writer. A writer that has carried them out may return.
    pub fn actions(&self, writer: u32) -> impl Iterator<Item = Action> + Send + use<> {
        let workload = self.clone();
        let mut rng = stream(self.seed, u64::from(writer));
        (0..self.actions_max.unwrap_or(u32::MAX)).map(move |count| {
            let id = id(workload.generation, writer, count);
            let pause = (workload.style == Style::Bursty && rng.random_bool(0.05))
                .then(|| Duration::from_micros(rng.random_range(50..2000)));
            let kind = if rng.random_range(0..workload.refuse_every) == 0 {
                ActionKind::Refused
            } else if workload.style == Style::Cancelling && rng.random_bool(0.25) {
                ActionKind::Cancel {
                    polls: rng.random_range(1..4),
                }
            } else {
                ActionKind::Append
            };
            Action { id, kind, pause }
        })
    }

    /// The key that an attempt writes to, in a key-value store. Each writer has 16 of its own.
    pub fn key(&self, id: u64) -> u64 {
        writer_of(id) << 4 | stream(self.seed, id.wrapping_add(1 << 62)).random_range(0..16)
    }

    /// Whether an attempt is a delete, in a key-value store: one in eight is.
    pub fn deletes(&self, id: u64) -> bool {
        stream(self.seed, id.wrapping_add(3 << 61)).random_range(0..8) == 0
    }

    /// The payload of an attempt: its id, then bytes that derive from seed and id.
    pub fn payload(&self, id: u64) -> Vec<u8> {
        let mut rng = stream(self.seed, id.wrapping_add(1 << 63));
        let len = rng.random_range(PAYLOAD_BYTES_MIN..=self.payload_bytes_max);
        let mut payload = vec![0; len];
        rng.fill_bytes(&mut payload[PAYLOAD_BYTES_MIN..]);
        payload[..PAYLOAD_BYTES_MIN].copy_from_slice(&id.to_le_bytes());
        payload
    }
}

/// The writer of the attempt with this id.
fn writer_of(id: u64) -> u64 {
    id >> 32 & 0xfff
}

/// The generation of the attempt with this id.
pub fn generation_of(id: u64) -> u32 {
    u32::try_from(id >> 44).expect("20 bits")
}

/// The id that a payload begins with.
pub fn id_of(payload: &[u8]) -> Option<u64> {
    payload.first_chunk().map(|id| u64::from_le_bytes(*id))
}

/// 20 bits of generation, 12 of writer, 32 of count.
fn id(generation: u32, writer: u32, count: u32) -> u64 {
    u64::from(generation) << 44 | u64::from(writer & 0xfff) << 32 | u64::from(count)
}

/// An independent stream of randomness.
pub(crate) fn stream(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}
