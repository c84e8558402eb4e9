//! What a torture is given to test.

use std::io;
use std::sync::Arc;

use super::command::{BlackBox, CommandStore};
use super::contract::Store;
use super::subject::SubjectStore;
use crate::finding::Finding;
use crate::plan::Plan;
use crate::process::commands_can_run;
use crate::subject::{Simulated, Subject};

/// What a [`Torture`](crate::Torture) is given to test: a [`Subject`], or the two commands of a
/// [`BlackBox`]. Both turn into it by themselves.
#[derive(Clone)]
pub struct UnderTest(Owned);

#[derive(Clone)]
enum Owned {
    Subject(Arc<dyn Subject>),
    Command(BlackBox),
}

impl<S: Subject + 'static> From<S> for UnderTest {
    fn from(subject: S) -> Self {
        Self(Owned::Subject(Arc::new(subject)))
    }
}

impl From<BlackBox> for UnderTest {
    fn from(store: BlackBox) -> Self {
        Self(Owned::Command(store))
    }
}

impl UnderTest {
    pub(crate) fn tested(&self) -> Tested<'_> {
        match &self.0 {
            Owned::Subject(subject) => Tested::Subject(&**subject),
            Owned::Command(store) => Tested::Command(store),
        }
    }

    /// The subject, if it is one: for its roles in child processes.
    pub(crate) fn subject(&self) -> Option<&dyn Subject> {
        match &self.0 {
            Owned::Subject(subject) => Some(&**subject),
            Owned::Command(_) => None,
        }
    }
}

/// What is under test, borrowed.
#[derive(Clone, Copy)]
pub(crate) enum Tested<'a> {
    Subject(&'a dyn Subject),
    Command(&'a BlackBox),
}

impl<'a> Tested<'a> {
    pub(crate) fn name(self) -> &'a str {
        match self {
            Self::Subject(subject) => subject.name(),
            Self::Command(_) => BlackBox::NAME,
        }
    }

    /// Why it is known to break promises, if it is.
    pub(crate) fn exhibit(self) -> Option<&'a str> {
        match self {
            Self::Subject(subject) => subject.exhibit(),
            Self::Command(_) => None,
        }
    }

    pub(crate) fn engines(self) -> &'a [&'static str] {
        match self {
            Self::Subject(subject) => subject.engines(),
            Self::Command(_) => &[BlackBox::ENGINE],
        }
    }

    /// The subject and how it runs on the simulated file system, if it does.
    pub(crate) fn simulated(self) -> Option<(&'a dyn Subject, &'a dyn Simulated)> {
        match self {
            Self::Subject(subject) => Some((subject, subject.simulated()?)),
            Self::Command(_) => None,
        }
    }

    /// Whether this machine has what every such store needs, whatever crashes it.
    ///
    /// # Errors
    /// What is missing.
    pub(crate) fn has_what_it_needs(self) -> Result<(), String> {
        match self {
            Self::Subject(_) => Ok(()),
            Self::Command(_) => commands_can_run().map(drop),
        }
    }

    /// The store, as crash kinds that work in a directory see it.
    pub(crate) fn store(self, plan: &Plan) -> Box<dyn Store + 'a> {
        match self {
            Self::Subject(subject) => Box::new(SubjectStore::new(subject, plan)),
            Self::Command(store) => Box::new(CommandStore::new(store, plan)),
        }
    }

    /// The store as it was when a failure was found.
    pub(crate) fn resumed(self, finding: &Finding, plan: &Plan) -> io::Result<Box<dyn Store + 'a>> {
        let mut store = self.store(plan);
        store.resume(finding)?;
        Ok(store)
    }
}
