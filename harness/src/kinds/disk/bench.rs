//! Where stores are recorded on devices, and images of them mounted.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::disk::{Disk, Examiner, FileSystem, Image, Site};
use crate::recorder::{DeviceRecorder, STORE};
use crate::store::{Store, prepared};

/// What mounts images.
pub(super) struct Bench {
    site: Site,
    pub(super) examiner: Examiner,
    /// On which writers are recorded. None if it has failed, or something on it has.
    device: Option<Disk>,
    /// A fresh file system with an empty directory.
    fresh: Image,
    /// The same with a store that was prepared, for each engine.
    prepared: BTreeMap<String, Image>,
}

impl Bench {
    pub(super) fn recorder<'b>(&'b mut self, file_system: &'b FileSystem) -> DeviceRecorder<'b> {
        DeviceRecorder {
            site: &self.site,
            file_system,
            device: &mut self.device,
            examiner: &mut self.examiner,
        }
    }

    pub(super) fn new(scratch: &Path, file_system: &FileSystem) -> io::Result<Self> {
        let site = Site::enter(scratch)?;
        let clock = Arc::new(AtomicU64::new(0));
        let disk = Disk::new(&site, Image::zeros(file_system.bytes), clock)?;
        disk.format(file_system)?;
        let mounted = disk.mount(file_system)?;
        fs::create_dir(mounted.path().join(STORE))?;
        mounted.unmount()?;
        Ok(Self {
            examiner: Examiner::new(&site, file_system)?,
            fresh: disk.image(),
            prepared: BTreeMap::new(),
            device: Some(disk),
            site,
        })
    }

    /// What a store begins with: an empty directory, or what was prepared in `dir`.
    pub(super) fn begin(
        &mut self,
        store: &mut dyn Store,
        dir: &Path,
        file_system: &FileSystem,
    ) -> io::Result<Image> {
        let prepared = prepared(store, dir)?;
        if prepared.entries().next().is_none() {
            return Ok(self.fresh.clone());
        }
        if let Some(image) = self.prepared.get(store.engine()) {
            return Ok(image.clone());
        }
        let clock = Arc::new(AtomicU64::new(0));
        let disk = Disk::new(&self.site, self.fresh.clone(), clock)?;
        let mounted = disk.mount(file_system)?;
        prepared.write(&mounted.path().join(STORE))?;
        mounted.unmount()?;
        let image = disk.image();
        self.prepared
            .insert(store.engine().to_owned(), image.clone());
        Ok(image)
    }
}
