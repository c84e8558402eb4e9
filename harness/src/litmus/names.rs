//! Programs that ask what becomes of new names, and of those that are removed.

use std::io;

use super::program::Litmus;
use super::stage::{NEW, OLD, PAGE, Stage, fill};

/// What a file holds that is not changed: a page.
pub(super) const UNCHANGED: [u8; PAGE] = [OLD; PAGE];
/// What a new file holds.
pub(super) const WRITTEN: [u8; PAGE] = [NEW; PAGE];

#[expect(clippy::unnecessary_wraps, reason = "a setup may fail")]
fn nothing(_: &Stage<'_>) -> io::Result<()> {
    Ok(())
}

/// A page under the name `a`.
pub(super) fn one_file(stage: &Stage<'_>) -> io::Result<()> {
    stage.create("a", OLD, PAGE).map(drop)
}

pub(super) fn content_of_a(stage: &Stage<'_>) -> io::Result<String> {
    stage.content("a", PAGE)
}

fn content_of_b(stage: &Stage<'_>) -> io::Result<String> {
    stage.content("b", PAGE)
}

fn content_in_dir(stage: &Stage<'_>) -> io::Result<String> {
    stage.content("d/f", PAGE)
}

pub(super) fn a_or_b(stage: &Stage<'_>) -> io::Result<String> {
    stage.which("a", "b", &UNCHANGED)
}

/// The litmus tests of new and removed names.
pub(super) fn litmuses() -> Vec<Litmus> {
    let mut all = new_names();
    all.extend(removals());
    all
}

fn new_names() -> Vec<Litmus> {
    vec![
        Litmus {
            name: "create",
            story: "create `a` and write a page",
            setup: nothing,
            program: |stage| stage.create("a", NEW, PAGE).map(drop),
            look: content_of_a,
        },
        Litmus {
            name: "create-fdatasync",
            story: "create `a`, write a page, fdatasync it",
            setup: nothing,
            program: |stage| stage.create("a", NEW, PAGE)?.sync_data(),
            look: content_of_a,
        },
        Litmus {
            name: "create-sync-dir",
            story: "create `a`, write a page, sync the directory, but not the file",
            setup: nothing,
            program: |stage| {
                stage.create("a", NEW, PAGE)?;
                stage.sync_dir("")
            },
            look: content_of_a,
        },
        Litmus {
            name: "sibling-of-new",
            story: "create `b` and write a page, then create, write and fsync `a`: what is `b`?",
            setup: nothing,
            program: |stage| {
                stage.create("b", NEW, PAGE)?;
                stage.create("a", NEW, PAGE)?.sync_all()
            },
            look: content_of_b,
        },
        Litmus {
            name: "sibling-of-old",
            story: "create `b` and write a page, then overwrite and fsync `a`: what is `b`?",
            setup: one_file,
            program: |stage| {
                stage.create("b", NEW, PAGE)?;
                let file = stage.open("a")?;
                fill(&*file, NEW, PAGE, 0)?;
                file.sync_all()
            },
            look: content_of_b,
        },
        Litmus {
            name: "mkdir-fsync-file",
            story: "create the directory `d` and `d/f`, write a page, fsync the file",
            setup: nothing,
            program: |stage| {
                stage.mkdir("d")?;
                stage.create("d/f", NEW, PAGE)?.sync_all()
            },
            look: content_in_dir,
        },
        Litmus {
            name: "mkdir-sync-parent",
            story: "create the directory `d` and `d/f`, write a page, sync the directory above `d`",
            setup: nothing,
            program: |stage| {
                stage.mkdir("d")?;
                stage.create("d/f", NEW, PAGE)?;
                stage.sync_dir("")
            },
            look: content_in_dir,
        },
        Litmus {
            name: "link",
            story: "give `a` a second name `b`",
            setup: one_file,
            program: |stage| stage.link("a", "b"),
            look: a_or_b,
        },
        Litmus {
            name: "link-fsync",
            story: "give `a` a second name `b`, fsync the file",
            setup: one_file,
            program: |stage| {
                stage.link("a", "b")?;
                stage.open("a")?.sync_all()
            },
            look: a_or_b,
        },
        Litmus {
            name: "link-overwrite-fdatasync",
            story: "give `a` a second name `b`, overwrite it, fdatasync",
            setup: one_file,
            program: |stage| {
                stage.link("a", "b")?;
                let file = stage.open("a")?;
                fill(&*file, NEW, PAGE, 0)?;
                file.sync_data()
            },
            look: |stage| stage.which("a", "b", &WRITTEN),
        },
    ]
}

fn removals() -> Vec<Litmus> {
    vec![
        Litmus {
            name: "unlink",
            story: "remove `a`",
            setup: one_file,
            program: |stage| stage.unlink("a"),
            look: content_of_a,
        },
        Litmus {
            name: "unlink-sync-dir",
            story: "remove `a`, sync the directory",
            setup: one_file,
            program: |stage| {
                stage.unlink("a")?;
                stage.sync_dir("")
            },
            look: content_of_a,
        },
        Litmus {
            name: "unlink-create",
            story: "remove `a`, create a new `a` and write a page",
            setup: one_file,
            program: |stage| {
                stage.unlink("a")?;
                stage.create("a", NEW, PAGE).map(drop)
            },
            look: content_of_a,
        },
        Litmus {
            name: "unlink-create-fsync",
            story: "remove `a`, create a new `a`, write a page, fsync it",
            setup: one_file,
            program: |stage| {
                stage.unlink("a")?;
                stage.create("a", NEW, PAGE)?.sync_all()
            },
            look: content_of_a,
        },
    ]
}
