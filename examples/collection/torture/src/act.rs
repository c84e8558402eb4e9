//! What writers and readers do, and how they tell it.

use plugpull::{Action, ActionKind, Recorder, SubjectError, Survivors, Workload};

use crate::access::{Access, Failed};
use crate::documents::{self, Layout};

/// Carries out one action and tells what comes of it; whether it was acknowledged.
pub(super) async fn act(
    access: &Access,
    layout: Layout,
    workload: &Workload,
    action: &Action,
    recorder: &Recorder,
) -> Result<bool, SubjectError> {
    let id = action.id;
    let key = match action.kind {
        // A request that was given up may still take effect, before or after those that follow: nothing
        // else writes to its key.
        ActionKind::Cancel { .. } => documents::key_of_its_own(id),
        _ => workload.key(id),
    };
    let is_remove = workload.deletes(id);
    if is_remove {
        recorder.attempt_delete(id, key);
    } else {
        recorder.attempt_put(id, key);
    }
    let attempt = async {
        if is_remove {
            access
                .remove(documents::docs(key), documents::users(key))
                .await
        } else {
            let vectors = layout.vectors(id, &workload.payload(id));
            access
                .insert(documents::docs(key), documents::users(key), vectors)
                .await
        }
    };
    let outcome = match action.kind {
        ActionKind::Append => attempt.await,
        ActionKind::Cancel { polls } => match torture::poll_at_most(polls, attempt).await {
            Some(outcome) => outcome,
            None => return Ok(false),
        },
        ActionKind::Refused => {
            drop(attempt);
            access.provoke(layout, key, id).await
        }
    };
    match outcome {
        Ok(seq) => {
            recorder.ack(id, key);
            // Now and then: one's own writes are there at once.
            if id.is_multiple_of(8) {
                let own = documents::users(key)[1];
                let seen = access.all(layout, own, Some(seq)).await?;
                let found = seen.iter().find(|whole| whole.key == key);
                let expected = (!is_remove).then_some(id);
                if found.map(|whole| whole.id) != expected {
                    return Err(format!(
                        "key {key:#x} was acknowledged as {expected:?}, and a search that waited for it \
                         shows {found:?}"
                    )
                    .into());
                }
            }
            return Ok(true);
        }
        Err(Failed::CertainlyNot(_)) => recorder.refused(id),
        Err(Failed::Unknown(_)) => recorder.failed(id),
    }
    Ok(false)
}

/// Notes what a search shows.
pub(super) async fn look(
    access: &Access,
    layout: Layout,
    recorder: &Recorder,
) -> Result<(), SubjectError> {
    for whole in access.all(layout, documents::EVERYBODY, None).await? {
        recorder.shown(whole.id, whole.key);
    }
    Ok(())
}

/// Reports what is found. What is found by its place in the order of everything must also be found as the
/// nearest to its own vector, and by the key's own user.
pub(super) async fn show_all(
    access: &Access,
    layout: Layout,
    survivors: &mut Survivors<'_>,
) -> Result<(), SubjectError> {
    let found = access.all(layout, documents::EVERYBODY, None).await?;
    let mut of_users = Vec::new();
    for user in documents::OWN_USERS {
        of_users.extend(access.all(layout, user, None).await?);
    }
    of_users.sort_by_key(|whole| whole.key);
    if of_users != found {
        return Err("the keys' own users see other documents than the one who sees all".into());
    }
    for (whole, nth) in found.iter().zip(0_u32..) {
        if nth.is_multiple_of(16) {
            access.check_nearest(whole).await?;
        }
        survivors.push(whole.key, &whole.payload);
    }
    Ok(())
}
