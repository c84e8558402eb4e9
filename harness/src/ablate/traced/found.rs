//! What is known of each site, shared by all threads.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::sync::Arc;

use crate::ablate::filter::Hits;
use crate::ablate::report::{AblatedSync, Notice, ProfileTrial, SyncOutcome};
use crate::ablate::site::SyncSite;
use crate::sim::Profile;
use crate::tally::Tally;

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) sites: BTreeMap<Arc<SyncSite>, Site>,
    /// A promise that is broken with every sync in place.
    pub(super) broken: Option<String>,
    pub(super) error: Option<io::Error>,
    pub(super) census_rounds: u64,
    pub(super) rounds: u64,
    pub(super) total: Tally,
}

/// What came of leaving out one site.
#[derive(Debug, Default)]
pub(super) struct Site {
    pub(super) hits: Hits,
    /// Runs that came to it.
    pub(super) runs: u64,
    pub(super) left_out: u64,
    pub(super) trials: BTreeMap<Profile, Trial>,
}

/// The same by the rules of one profile.
#[derive(Debug, Default)]
pub(super) struct Trial {
    /// The states that were met and exist only without the site's syncs.
    pub(super) states: HashSet<u64>,
    /// States of which that could not be told.
    pub(super) undecided: HashSet<u64>,
    pub(super) notice: Option<Notice>,
}

impl Found {
    /// Nothing more is worth a look.
    pub(super) fn is_over(&self) -> bool {
        self.broken.is_some() || self.error.is_some()
    }

    /// The number of sites that every profile has noticed.
    pub(super) fn noticed(&self) -> usize {
        let is_noticed = |site: &&Site| {
            !site.trials.is_empty() && site.trials.values().all(|trial| trial.notice.is_some())
        };
        self.sites.values().filter(is_noticed).count()
    }

    pub(super) fn trial(&mut self, site: &Arc<SyncSite>, profile: Profile) -> &mut Trial {
        let site = self.sites.entry(Arc::clone(site)).or_default();
        site.trials.entry(profile).or_default()
    }

    /// Adds what one look without a site has shown.
    pub(super) fn note(
        &mut self,
        site: &Arc<SyncSite>,
        profile: Profile,
        seen: Trial,
        left_out: u64,
    ) {
        let trial = self.trial(site, profile);
        trial.states.extend(seen.states);
        trial.undecided.extend(seen.undecided);
        if trial.notice.is_none() {
            trial.notice = seen.notice;
        }
        self.sites.entry(Arc::clone(site)).or_default().left_out += left_out;
    }

    /// A row for each site.
    pub(super) fn syncs(self) -> Vec<AblatedSync> {
        let sites = self.sites.into_iter();
        sites.map(|(site, found)| found.verdict(&site)).collect()
    }
}

impl Trial {
    /// The states that need not be looked at again.
    pub(super) fn known(&self) -> Self {
        Self {
            states: self.states.clone(),
            undecided: self.undecided.clone(),
            notice: None,
        }
    }
}

impl Site {
    fn verdict(self, site: &SyncSite) -> AblatedSync {
        let states = |trial: &Trial| trial.states.len() as u64;
        let crash_states = self.trials.values().map(states).sum();
        let noticed = self.trials.values().find_map(|trial| trial.notice.clone());
        let profiles = self.trials.iter().map(|(profile, trial)| ProfileTrial {
            profile: *profile,
            states: states(trial),
            undecided: trial.undecided.len() as u64,
            violation: trial.notice.as_ref().map(|notice| notice.violation.clone()),
        });
        AblatedSync {
            site: site.clone(),
            hits: self.hits,
            rounds: self.runs,
            crash_states,
            left_out: self.left_out,
            profiles: profiles.collect(),
            outcome: match (noticed, crash_states) {
                (Some(notice), _) => SyncOutcome::Noticed(notice),
                (None, _) if self.left_out == 0 => SyncOutcome::Untried,
                (None, 0) => SyncOutcome::NotExercised,
                (None, _) => SyncOutcome::Missed,
            },
            explanation: None,
        }
    }
}
