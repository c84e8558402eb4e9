//! The site of a sync that was recorded: the call, and the role of the file.

use crate::ablate::site::{SyncKind, SyncSite};
use crate::recorder::SyncCall;
use crate::sim::Act;
use crate::trace::Durability;

pub(super) fn site_of(call: &SyncCall, act: &Act) -> SyncSite {
    let file = match act {
        Act::Sync { path, .. } if path.is_empty() => ".".to_owned(),
        Act::Sync { path, .. } => without_digits(path),
        _ => "everything".to_owned(),
    };
    let kind = match call.durability {
        Durability::FileSystem => SyncKind::Everything,
        _ if call.of_directory => SyncKind::Directory,
        Durability::Data => SyncKind::Data,
        Durability::File => SyncKind::All,
    };
    let synchronous = if call.writes { ", synchronous" } else { "" };
    SyncSite::of_system_call(kind, format!("{}{synchronous}", call.name), file)
}

/// Files that differ in their numbers alone have one role.
fn without_digits(path: &str) -> String {
    let mut pattern = String::new();
    let mut was_digit = false;
    for char in path.chars() {
        let is_digit = char.is_ascii_digit();
        if !is_digit {
            pattern.push(char);
        } else if !was_digit {
            pattern.push('N');
        }
        was_digit = is_digit;
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::without_digits;

    #[test]
    fn a_run_of_digits_is_one_letter() {
        for (path, pattern) in [
            ("000123.log", "N.log"),
            ("MANIFEST-000004", "MANIFEST-N"),
            ("base/16384/2608", "base/N/N"),
            ("N1", "NN"),
            ("store.db-wal", "store.db-wal"),
        ] {
            assert_eq!(without_digits(path), pattern);
        }
    }
}
