//! What is asked before every sync: which site it is, and whether that one is left out.

use std::collections::{BTreeMap, HashMap};
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::site::{SyncKind, SyncSite};
use super::stack;
use crate::sim::{Call, Role, SyncFilter};

/// How often a sync was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Hits {
    /// In the lives of writers, the recovery that they begin with included.
    pub writers: u64,
    /// In the lives of those who recover and read.
    pub recoveries: u64,
}

impl Hits {
    pub(super) fn add(&mut self, other: Self) {
        self.writers += other.writers;
        self.recoveries += other.recoveries;
    }
}

/// What is asked for, and the addresses of the calls that lead to it.
type Stack = (SyncKind, Vec<usize>);

/// Every stack that has been seen, and the site that it belongs to.
#[derive(Debug, Default)]
pub(super) struct Sites {
    known: Mutex<HashMap<Stack, Arc<SyncSite>>>,
}

impl Sites {
    /// The site that asks for the sync on whose stack we are; the file system is called at `place`.
    fn here(&self, kind: SyncKind, place: &Location<'_>) -> Arc<SyncSite> {
        let key = (kind, stack::capture());
        let mut known = lock(&self.known);
        if let Some(site) = known.get(&key) {
            return Arc::clone(site);
        }
        let site = Arc::new(stack::site(kind, &key.1, place.file()));
        known.insert(key, Arc::clone(&site));
        site
    }
}

/// Leaves nothing out and counts.
#[derive(Debug)]
pub(super) struct Census {
    sites: Arc<Sites>,
    hits: Mutex<BTreeMap<Arc<SyncSite>, Hits>>,
}

impl Census {
    pub(super) fn new(sites: &Arc<Sites>) -> Self {
        Self {
            sites: Arc::clone(sites),
            hits: Mutex::default(),
        }
    }

    /// Every site that was hit.
    pub(super) fn hits(&self) -> BTreeMap<Arc<SyncSite>, Hits> {
        lock(&self.hits).clone()
    }
}

impl SyncFilter for Census {
    fn leaves_out(&self, call: &Call, role: Role, place: &'static Location<'static>) -> bool {
        if let Some(kind) = SyncKind::of(call) {
            let site = self.sites.here(kind, place);
            let mut hits = lock(&self.hits);
            let hits = hits.entry(site).or_default();
            match role {
                Role::Writer => hits.writers += 1,
                Role::Recovery => hits.recoveries += 1,
            }
        }
        false
    }
}

/// Leaves out the syncs of one site.
#[derive(Debug)]
pub(super) struct LeaveOut {
    sites: Arc<Sites>,
    site: Arc<SyncSite>,
    left_out: AtomicU64,
}

impl LeaveOut {
    pub(super) fn new(sites: &Arc<Sites>, site: Arc<SyncSite>) -> Self {
        Self {
            sites: Arc::clone(sites),
            site,
            left_out: AtomicU64::new(0),
        }
    }

    /// The site.
    pub(super) fn site(&self) -> &SyncSite {
        &self.site
    }

    /// How many syncs were left out.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }
}

impl SyncFilter for LeaveOut {
    fn leaves_out(&self, call: &Call, _: Role, place: &'static Location<'static>) -> bool {
        let kind = SyncKind::of(call).filter(|kind| *kind == self.site.kind());
        let is_it = kind.is_some_and(|kind| self.sites.here(kind, place) == self.site);
        self.left_out.fetch_add(u64::from(is_it), Ordering::Relaxed);
        is_it
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
