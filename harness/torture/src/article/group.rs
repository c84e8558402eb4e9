//! The write group.
//!
//! An append that finds the forming group full leads it: it writes every follower's entry and its own,
//! syncs once, and answers each follower on its channel. The others are followers. If no answer comes
//! in time, the first of a group leads whatever group is forming by then.

use std::io;
use std::mem;
use std::time::Duration;

use tokio::sync::{Mutex, RwLock, oneshot};

use super::entry::Entry;
use super::log::Log;

/// The log and who is waiting to write to it.
pub(super) struct WriteGroups {
    forming: Mutex<Vec<Follower>>,
    log: RwLock<Log>,
    followers_max: usize,
    timeout: Duration,
}

struct Follower {
    entry: Entry,
    answer: oneshot::Sender<i64>,
}

impl WriteGroups {
    pub(super) fn new(log: Log, followers_max: usize, timeout: Duration) -> Self {
        Self {
            forming: Mutex::new(Vec::new()),
            log: RwLock::new(log),
            followers_max,
            timeout,
        }
    }

    /// Appends an entry and returns its number when it is durable.
    ///
    /// # Panics
    /// In a follower, if its leader fails. In a leader, if one of its followers has been dropped.
    pub(super) async fn append(&self, entry: Entry) -> io::Result<i64> {
        let mut forming = self.forming.lock().await;
        if forming.len() >= self.followers_max {
            let group = mem::take(&mut *forming);
            drop(forming);
            let own = self.lead(group, Some(entry)).await?;
            return Ok(own.expect("it has written its own entry"));
        }
        let is_first = forming.is_empty();
        let (answer, mut answered) = oneshot::channel();
        forming.push(Follower { entry, answer });
        drop(forming);
        tokio::select! {
            number = &mut answered => return Ok(number.expect("a follower's leader is gone")),
            // Every follower arms a timer, though only the first acts on it.
            () = tokio::time::sleep(self.timeout) => {}
        }
        if is_first {
            let group = mem::take(&mut *self.forming.lock().await);
            self.lead(group, None).await?;
        }
        Ok(answered.await.expect("a follower's leader is gone"))
    }

    /// Writes and syncs a group and the leader's own entry, and answers the followers. Returns the
    /// number of the leader's own.
    async fn lead(&self, group: Vec<Follower>, own: Option<Entry>) -> io::Result<Option<i64>> {
        let mut answers = Vec::new();
        for Follower { entry, answer } in group {
            let number = self.log.write().await.append(&entry)?;
            answers.push((number, answer));
        }
        let own = match own {
            Some(entry) => Some(self.log.write().await.append(&entry)?),
            None => None,
        };
        self.log.read().await.sync()?;
        for (number, answer) in answers {
            answer.send(number).expect("a leader's follower is gone");
        }
        Ok(own)
    }

    pub(super) async fn trim(&self, up_to: i64) -> io::Result<()> {
        self.log.write().await.trim(up_to)
    }
}
