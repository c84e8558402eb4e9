//! A [`Subject`](crate::Subject) as a store: Rust code that runs in child processes of the harness.

mod roles;
mod store;

pub(crate) use roles::subject_roles;
pub(super) use store::SubjectStore;
