//! The site of a sync that was recorded: the call, and the role of the file.

use crate::ablate::site::{SyncKind, SyncSite};
use crate::file_role::role_of;
use crate::recorder::SyncCall;
use crate::sim::Act;
use crate::trace::Durability;

pub(super) fn site_of(call: &SyncCall, act: &Act) -> SyncSite {
    let file = match act {
        Act::Sync { path, .. } if path.is_empty() => ".".to_owned(),
        Act::Sync { path, .. } => role_of(path),
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
