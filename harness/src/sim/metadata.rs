//! Metadata: changing it, and what a node's owner sees of it.

use super::change::{MetadataChange, Setting};
use super::disk::Disk;
use super::nodes::Ino;

impl Disk {
    /// Sets a piece of a node's metadata. What changes nothing leaves nothing pending.
    pub(crate) fn set(&mut self, node: Ino, setting: Setting) {
        let op = self.tick();
        let live = self.node_mut(node).metadata_mut().live_mut();
        let before = live.clone();
        setting.apply(live);
        if *live != before || live.modified != before.modified {
            self.metadata.push(MetadataChange { op, node, setting });
        }
    }

    /// Moves changes of metadata over to the durable side.
    pub(super) fn make_metadata_durable(&mut self, is_due: impl Fn(&MetadataChange) -> bool) {
        for change in std::mem::take(&mut self.metadata) {
            if is_due(&change) {
                let sides = self.node_mut(change.node).metadata_mut();
                change.setting.apply(sides.durable_mut());
            } else {
                self.metadata.push(change);
            }
        }
    }
}
