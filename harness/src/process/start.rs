//! Starts the process that an order asks for.

use std::io;
use std::time::Duration;

use super::ending::Process;
use super::kept::Kept;
use super::launcher::Launcher;
use super::order::Order;
use super::running::Running;

/// Starts a process with an order. One that has to die is given `limit` for that.
pub(crate) fn start(
    launcher: &Launcher,
    order: &Order,
    limit: Duration,
) -> io::Result<Box<dyn Process>> {
    Ok(if order.is_of_commands() {
        Box::new(Kept::start(launcher, order.task()?)?)
    } else {
        Box::new(Running::start(launcher, order, limit)?)
    })
}
