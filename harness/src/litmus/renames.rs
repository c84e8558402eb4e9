//! Programs that ask what becomes of a file that is renamed.

use std::io;

use super::names::{UNCHANGED, WRITTEN, a_or_b, content_of_a, one_file};
use super::program::Litmus;
use super::stage::{NEW, OLD, PAGE, Stage, fill};

/// Two directories, a page in the first.
fn two_dirs(stage: &Stage<'_>) -> io::Result<()> {
    stage.mkdir("d")?;
    stage.mkdir("e")?;
    stage.create("d/a", OLD, PAGE).map(drop)
}

/// A directory with a page in it.
fn one_dir(stage: &Stage<'_>) -> io::Result<()> {
    stage.mkdir("d")?;
    stage.create("d/a", OLD, PAGE).map(drop)
}

fn across(stage: &Stage<'_>) -> io::Result<String> {
    stage.which("d/a", "e/a", &UNCHANGED)
}

/// The litmus tests of renames.
pub(super) fn litmuses() -> Vec<Litmus> {
    let mut all = renames();
    all.extend(renames_across());
    all.extend(replacements());
    all
}

fn renames() -> Vec<Litmus> {
    vec![
        Litmus {
            name: "rename",
            story: "rename `a` to `b`",
            setup: one_file,
            program: |stage| stage.rename("a", "b"),
            look: a_or_b,
        },
        Litmus {
            name: "rename-sync-dir",
            story: "rename `a` to `b`, sync the directory",
            setup: one_file,
            program: |stage| {
                stage.rename("a", "b")?;
                stage.sync_dir("")
            },
            look: a_or_b,
        },
        Litmus {
            name: "rename-fsync",
            story: "rename `a` to `b`, fsync the file",
            setup: one_file,
            program: |stage| {
                stage.rename("a", "b")?;
                stage.open("b")?.sync_all()
            },
            look: a_or_b,
        },
        Litmus {
            name: "rename-overwrite-fdatasync",
            story: "rename `a` to `b`, overwrite it, fdatasync: which name has it?",
            setup: one_file,
            program: |stage| {
                stage.rename("a", "b")?;
                let file = stage.open("b")?;
                fill(&*file, NEW, PAGE, 0)?;
                file.sync_data()
            },
            look: |stage| stage.which("a", "b", &WRITTEN),
        },
        Litmus {
            name: "rename-then-another",
            story: "rename `a` to `b`, create a new `a` and fsync it: where is the old one?",
            setup: one_file,
            program: |stage| {
                stage.rename("a", "b")?;
                stage.create("a", NEW, PAGE)?.sync_all()
            },
            look: |stage| {
                let (a, b) = (stage.content("a", PAGE)?, stage.content("b", PAGE)?);
                Ok(format!("a {a}, b {b}"))
            },
        },
    ]
}

fn renames_across() -> Vec<Litmus> {
    vec![
        Litmus {
            name: "across",
            story: "rename `d/a` to `e/a`",
            setup: two_dirs,
            program: |stage| stage.rename("d/a", "e/a"),
            look: across,
        },
        Litmus {
            name: "across-sync-target",
            story: "rename `d/a` to `e/a`, sync the directory `e`",
            setup: two_dirs,
            program: |stage| {
                stage.rename("d/a", "e/a")?;
                stage.sync_dir("e")
            },
            look: across,
        },
        Litmus {
            name: "across-sync-source",
            story: "rename `d/a` to `e/a`, sync the directory `d`",
            setup: two_dirs,
            program: |stage| {
                stage.rename("d/a", "e/a")?;
                stage.sync_dir("d")
            },
            look: across,
        },
        Litmus {
            name: "across-fsync",
            story: "rename `d/a` to `e/a`, fsync the file",
            setup: two_dirs,
            program: |stage| {
                stage.rename("d/a", "e/a")?;
                stage.open("e/a")?.sync_all()
            },
            look: across,
        },
        Litmus {
            name: "rename-dir-fsync-file",
            story: "rename the directory `d` to `e`, fsync the file in it",
            setup: one_dir,
            program: |stage| {
                stage.rename("d", "e")?;
                stage.open("e/a")?.sync_all()
            },
            look: across,
        },
    ]
}

fn replacements() -> Vec<Litmus> {
    vec![
        Litmus {
            name: "replace",
            story: "write a new file, rename it over `a`: what does `a` hold?",
            setup: one_file,
            program: |stage| {
                stage.create("new", NEW, PAGE)?;
                stage.rename("new", "a")
            },
            look: content_of_a,
        },
        Litmus {
            name: "replace-fsync",
            story: "write a new file, fsync it, rename it over `a`",
            setup: one_file,
            program: |stage| {
                stage.create("new", NEW, PAGE)?.sync_all()?;
                stage.rename("new", "a")
            },
            look: content_of_a,
        },
        Litmus {
            name: "replace-sync-dir",
            story: "write a new file, rename it over `a`, sync the directory, but not the file",
            setup: one_file,
            program: |stage| {
                stage.create("new", NEW, PAGE)?;
                stage.rename("new", "a")?;
                stage.sync_dir("")
            },
            look: content_of_a,
        },
        Litmus {
            name: "replace-fsync-sync-dir",
            story: "write a new file, fsync it, rename it over `a`, sync the directory",
            setup: one_file,
            program: |stage| {
                stage.create("new", NEW, PAGE)?.sync_all()?;
                stage.rename("new", "a")?;
                stage.sync_dir("")
            },
            look: content_of_a,
        },
    ]
}
