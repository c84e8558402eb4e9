//! The one place where a manifest is put in force while the collection is open.

use std::sync::Arc;

use crate::error::{Error, Kind, Result};
use crate::manifest::{Manifest, PublishError};
use crate::view::{Shared, View};

/// The manifest in force. The ingestion's own: nothing else publishes.
pub(crate) struct Publisher {
    shared: Arc<Shared>,
    manifest: Manifest,
    /// A publication failed half-way: nothing can be published any more.
    unknown: Option<Error>,
}

impl Publisher {
    pub(crate) fn new(shared: Arc<Shared>, manifest: Manifest) -> Self {
        Self {
            shared,
            manifest,
            unknown: None,
        }
    }

    /// The manifest in force.
    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Whether nothing can be published any more.
    pub(crate) fn has_stopped(&self) -> bool {
        self.unknown.is_some()
    }

    /// # Errors
    /// If nothing can be published any more.
    pub(crate) fn check(&self) -> Result<()> {
        self.unknown.clone().map_or(Ok(()), Err)
    }

    /// Puts a manifest in force, then shows searches what it says.
    pub(crate) async fn publish(
        &mut self,
        manifest: Manifest,
        show: impl FnOnce(&mut View),
    ) -> Result<()> {
        self.check()?;
        let durable = self.shared.wal.durable_seq();
        assert!(
            manifest.position <= durable,
            "position {} is ahead of the log, which is durable up to {durable}",
            manifest.position
        );
        match self.write(&manifest).await? {
            Ok(()) => {}
            Err(PublishError::NotPublished(error)) => return Err(error),
            Err(PublishError::Unknown(error)) => {
                // Neither the old segments nor the new ones are removed, nor is the log trimmed: both
                // manifests go on to be true.
                let error = Error::new(Kind::FlushStopped(error));
                self.unknown = Some(error.clone());
                return Err(error);
            }
        }
        self.manifest = manifest;
        show(&mut *self.shared.view.write().await);
        Ok(())
    }

    /// Reserves an id for a segment that is to be written, durably: a file with an id that was never
    /// reserved is not the collection's.
    pub(crate) async fn reserve_segment(&mut self) -> Result<u64> {
        self.check()?;
        let (dir, mut manifest) = (Arc::clone(&self.shared.dir), self.manifest.clone());
        let take = move || {
            let id = manifest.take_segment_id(&*dir)?;
            Ok((id, manifest))
        };
        let (id, manifest) = self.shared.options.blocking.run(take).await?;
        // If it fails half-way, nothing stops: the manifests before and after name the same segments and
        // the same position, so that both are true. The id is taken again.
        self.write(&manifest).await??;
        self.manifest = manifest;
        Ok(id)
    }

    /// The writing of a segment has failed; if its name was taken meanwhile, the file that has it is left
    /// alone for ever.
    pub(crate) fn note_failed(&mut self, id: u64, error: &Error) {
        if error.is_name_taken() {
            self.manifest.skip_segment_id(&*self.shared.dir, id);
        }
    }

    async fn write(&self, manifest: &Manifest) -> Result<Result<(), PublishError>> {
        let (dir, manifest) = (Arc::clone(&self.shared.dir), manifest.clone());
        let publish = move || Ok(manifest.publish(&*dir));
        self.shared.options.blocking.run(publish).await
    }
}
