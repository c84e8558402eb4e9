//! Loss models: each says which crash states a recording has.

mod contract;
mod power_loss;
mod process_death;
mod rot;
mod unflushed;

pub(crate) use contract::LossModel;
pub(crate) use power_loss::{Outcome, PowerLoss};
pub use process_death::{Cuts, KillPoint};

pub(crate) use process_death::{Death, ProcessDeath};
pub(crate) use rot::{Rot, Rotten};
pub(crate) use unflushed::{Unflushed, UnflushedBlocks};
