//! What was announced, in words: the same in the story of every crash kind.

use super::event::Event;

impl Event {
    /// In words. `entry` names an entry; `has_keys` says whether attempts have keys.
    pub(crate) fn in_words(self, entry: &dyn Fn(u64) -> String, has_keys: bool) -> String {
        let of = |key: u64| {
            if has_keys {
                format!(", key {key}")
            } else {
                String::new()
            }
        };
        match self {
            Self::Attempt { id, key } => format!("attempted: entry {}{}", entry(id), of(key)),
            Self::AttemptDelete { id, key } => {
                format!("attempted: delete {}{}", entry(id), of(key))
            }
            Self::Ack { id, .. } => {
                let position = self.ack().and_then(|(_, position)| position);
                let at = |position| format!(" at position {position}");
                let position = position.map(at).unwrap_or_default();
                format!("acknowledged: entry {}{position}", entry(id))
            }
            Self::Failed { id } => format!("failed, outcome unknown: entry {}", entry(id)),
            Self::Refused { id } => format!("refused: entry {}", entry(id)),
            Self::TrimBegin { below } => format!("begins to trim below position {below}"),
            Self::TrimEnd { below } => format!("has trimmed below position {below}"),
            Self::Durable { below } => {
                format!("said: everything below position {below} is durable")
            }
            Self::Closed => "said: closed".to_owned(),
            Self::Together { id, after } => {
                format!(
                    "in one batch: entry {} behind entry {}",
                    entry(id),
                    entry(after)
                )
            }
            Self::Shown { id, position } => {
                format!(
                    "shown to a reader: entry {} at position {position}",
                    entry(id)
                )
            }
        }
    }

    /// In words, if it says what has become of something. An attempt is about to begin; what a reader is
    /// shown is too much for a line each.
    pub(crate) fn outcome_in_words(self, entry: &dyn Fn(u64) -> String) -> Option<String> {
        match self {
            Self::Attempt { .. } | Self::AttemptDelete { .. } | Self::Shown { .. } => None,
            outcome => Some(outcome.in_words(entry, false)),
        }
    }

    /// Whether these are the events of a store with keys. An attempt in a log has key 0.
    pub(crate) fn have_keys(events: &[Self]) -> bool {
        events.iter().any(|event| match event {
            Self::Attempt { key, .. } => *key != 0,
            Self::AttemptDelete { .. } => true,
            _ => false,
        })
    }
}
