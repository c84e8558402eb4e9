//! What a fresh directory holds before a store is tortured in it.

use std::fs;
use std::io;
use std::path::Path;

use super::contract::Store;
use super::run::{Stop, Watched, run};
use crate::image::Image;
use crate::oracle::Violation;
use crate::scratch::remove_dir;

/// Prepares a store in `dir`, once for each of its engines. `dir` is empty afterwards, or gone.
///
/// A prepared store is looked at before any crash: it has to open, and to show no entry. What it showed would be
/// taken for something that no writer has written, and where it does not open, no crash is to blame.
///
/// # Errors
/// If the store cannot be prepared, or is not fit to be tortured then.
pub(crate) fn prepared(store: &mut dyn Store, dir: &Path) -> io::Result<Image> {
    let engine = store.engine().to_owned();
    if let Some(image) = store.preparations().made(&engine, dir) {
        return Ok(image.clone());
    }
    remove_dir(dir)?;
    fs::create_dir_all(dir)?;
    match store.preparations().given().map(image_of).transpose()? {
        Some(given) => given.write(dir)?,
        None => prepare(store, dir)?,
    }
    let mut image = Image::read(dir, &Image::default())?;
    if image.entries().next().is_none() {
        image = Image::default();
    } else {
        verify(store, dir)?;
    }
    remove_dir(dir)?;
    store.preparations().keep(&engine, dir, image.clone());
    Ok(image)
}

fn prepare(store: &mut dyn Store, dir: &Path) -> io::Result<()> {
    let Some(assignment) = store.preparation(dir)? else {
        return Ok(());
    };
    let (launcher, limit) = store.launching();
    let Watched { ended, stop, .. } = run(&assignment, launcher, limit, || 0)?;
    ended.check_environment()?;
    let why = match stop {
        Stop::Hangs(how) => format!("it hangs: {how}"),
        Stop::Full => "it prints without end".to_owned(),
        _ if ended.is_clean() => return Ok(()),
        _ if ended.status.success() => "it left processes running".to_owned(),
        _ => ended.words(),
    };
    Err(io::Error::other(format!(
        "the store cannot be prepared: {why}"
    )))
}

/// The directory that a user gave to begin with.
pub(crate) fn image_of(given: &Path) -> io::Result<Image> {
    let failed = |error: io::Error| {
        let reason = format!("{}, to begin with: {error}", given.display());
        io::Error::new(error.kind(), reason)
    };
    if !given.metadata().map_err(failed)?.is_dir() {
        return Err(failed(io::ErrorKind::NotADirectory.into()));
    }
    Image::read(given, &Image::default()).map_err(failed)
}

fn verify(store: &mut dyn Store, dir: &Path) -> io::Result<()> {
    let recovered = store.recover_apart(dir, false)?;
    let verdict = recovered.and_then(|survivors| store.check(&[], &survivors));
    verdict.map_err(|violation| unfit(&violation.without_dir(dir)))
}

/// A prepared store breaks a promise before any crash.
pub(crate) fn unfit(violation: &Violation) -> io::Error {
    io::Error::other(format!(
        "the prepared store cannot be tortured: before any crash, {violation}. It has to open, and to hold no entry"
    ))
}
