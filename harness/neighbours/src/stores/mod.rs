//! One file a store.

mod fjall;

use plugpull::Subject;

/// All of them, each durable mode before the weaker ones of the same store.
pub(crate) fn all() -> Vec<Box<dyn Subject>> {
    let stores = [fjall::subjects()];
    let subjects = stores.into_iter().flatten();
    subjects
        .map(|subject| Box::new(subject) as Box<dyn Subject>)
        .collect()
}
