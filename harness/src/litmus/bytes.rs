//! Programs that ask what becomes of bytes and sizes.

use std::io;

use super::program::Litmus;
use super::stage::{Kind, NEW, OLD, PAGE, SECTOR, Stage, fill, kinds_of};

/// Enough that no file system keeps it beside the metadata, and not a whole page.
const PART: usize = 6 * SECTOR;
/// The middle of two pages.
const MIDDLE: usize = PAGE - 2 * SECTOR;

/// A page in `a`.
fn one_page(stage: &Stage<'_>) -> io::Result<()> {
    stage.create("a", OLD, PAGE).map(drop)
}

fn two_pages(stage: &Stage<'_>) -> io::Result<()> {
    stage.create("a", OLD, 2 * PAGE).map(drop)
}

/// A part of a page in `a`.
fn part_of_a_page(stage: &Stage<'_>) -> io::Result<()> {
    stage.create("a", OLD, PART).map(drop)
}

fn two_files(stage: &Stage<'_>) -> io::Result<()> {
    stage.create("a", OLD, PAGE)?;
    stage.create("b", OLD, PAGE).map(drop)
}

fn page_of_a(stage: &Stage<'_>) -> io::Result<String> {
    stage.content("a", PAGE)
}

fn second_page(stage: &Stage<'_>) -> io::Result<String> {
    stage.growth("a", PAGE, 2 * PAGE)
}

fn one_more_sector(stage: &Stage<'_>) -> io::Result<String> {
    stage.growth("a", PART, PART + SECTOR)
}

fn append(stage: &Stage<'_>, name: &str, len: usize) -> io::Result<()> {
    let file = stage.open(name)?;
    let end = file.length()?;
    fill(&*file, NEW, len, end)
}

/// Whether two pages of which the middle was overwritten are torn, and where.
fn torn(stage: &Stage<'_>) -> io::Result<String> {
    let Some(bytes) = stage.read("a")? else {
        return Ok("missing".to_owned());
    };
    let middle = bytes.get(MIDDLE..MIDDLE + 4 * SECTOR);
    let Some((first, second)) = middle.map(|middle| middle.split_at(2 * SECTOR)) else {
        return Ok(format!("length {}", bytes.len()));
    };
    let pages = [kinds_of(first), kinds_of(second)];
    let known = |kind: &Kind| matches!(kind, Kind::Old | Kind::New);
    if !pages.iter().flatten().all(known) {
        return stage.content("a", 2 * PAGE);
    }
    Ok(if pages.iter().any(|page| page.len() > 1) {
        "torn in a page".to_owned()
    } else if pages[0] != pages[1] {
        "torn between pages".to_owned()
    } else if pages[0].contains(&Kind::New) {
        "new".to_owned()
    } else {
        "old".to_owned()
    })
}

/// The first two sectors of a file: those that are overwritten.
fn start_of(stage: &Stage<'_>, name: &str) -> io::Result<String> {
    let Some(mut bytes) = stage.read(name)? else {
        return Ok("missing".to_owned());
    };
    bytes.truncate(2 * SECTOR);
    let kinds: Vec<String> = kinds_of(&bytes).iter().map(Kind::to_string).collect();
    Ok(kinds.join("+"))
}

/// The litmus tests of bytes.
pub(super) fn litmuses() -> Vec<Litmus> {
    let mut all = overwrites();
    all.extend(appends());
    all.extend(sizes());
    all
}

fn overwrites() -> Vec<Litmus> {
    vec![
        Litmus {
            name: "overwrite",
            story: "overwrite the last two sectors of a page and the first two of the next",
            setup: two_pages,
            program: |stage| {
                let file = stage.open("a")?;
                fill(&*file, NEW, 4 * SECTOR, MIDDLE as u64)
            },
            look: torn,
        },
        Litmus {
            name: "overwrite-fdatasync",
            story: "the same, then fdatasync",
            setup: two_pages,
            program: |stage| {
                let file = stage.open("a")?;
                fill(&*file, NEW, 4 * SECTOR, MIDDLE as u64)?;
                file.sync_data()
            },
            look: torn,
        },
        Litmus {
            name: "overwrite-small",
            story: "overwrite a file of 100 bytes",
            setup: |stage| stage.create("a", OLD, 100).map(drop),
            program: |stage| {
                let file = stage.open("a")?;
                fill(&*file, NEW, 100, 0)
            },
            look: |stage| stage.content("a", 100),
        },
        Litmus {
            name: "two-overwrites",
            story: "overwrite the start of `a`, then of `b`: what are `a` and `b`?",
            setup: two_files,
            program: |stage| {
                fill(&*stage.open("a")?, NEW, 2 * SECTOR, 0)?;
                fill(&*stage.open("b")?, NEW, 2 * SECTOR, 0)
            },
            look: |stage| {
                let (a, b) = (start_of(stage, "a")?, start_of(stage, "b")?);
                Ok(format!("a {a}, b {b}"))
            },
        },
        Litmus {
            name: "two-overwrites-fsync",
            story: "overwrite the start of `a`, then of `b`, fsync `b`: what is `a`?",
            setup: two_files,
            program: |stage| {
                fill(&*stage.open("a")?, NEW, 2 * SECTOR, 0)?;
                let file = stage.open("b")?;
                fill(&*file, NEW, 2 * SECTOR, 0)?;
                file.sync_all()
            },
            look: |stage| start_of(stage, "a"),
        },
        Litmus {
            name: "overwrite-rename",
            story: "overwrite the start of `a`, rename it to `b`: is what has the new name new?",
            setup: one_page,
            program: |stage| {
                fill(&*stage.open("a")?, NEW, 2 * SECTOR, 0)?;
                stage.rename("a", "b")
            },
            look: |stage| {
                let (a, b) = (start_of(stage, "a")?, start_of(stage, "b")?);
                Ok(format!("a {a}, b {b}"))
            },
        },
    ]
}

fn appends() -> Vec<Litmus> {
    vec![
        Litmus {
            name: "append",
            story: "append a page to a page",
            setup: one_page,
            program: |stage| append(stage, "a", PAGE),
            look: second_page,
        },
        Litmus {
            name: "append-fdatasync",
            story: "append a page to a page, fdatasync",
            setup: one_page,
            program: |stage| {
                append(stage, "a", PAGE)?;
                stage.open("a")?.sync_data()
            },
            look: second_page,
        },
        Litmus {
            name: "append-in-block",
            story: "append a sector inside the last block",
            setup: part_of_a_page,
            program: |stage| append(stage, "a", SECTOR),
            look: one_more_sector,
        },
        Litmus {
            name: "append-in-block-sync-dir",
            story: "append a sector inside the last block, create `b`, sync the directory",
            setup: part_of_a_page,
            program: |stage| {
                append(stage, "a", SECTOR)?;
                stage.create("b", NEW, 0)?;
                stage.sync_dir("")
            },
            look: one_more_sector,
        },
        Litmus {
            name: "append-small",
            story: "append 100 bytes to a file of 100 bytes",
            setup: |stage| stage.create("a", OLD, 100).map(drop),
            program: |stage| append(stage, "a", 100),
            look: |stage| stage.growth("a", 100, 200),
        },
        Litmus {
            name: "append-two-pages",
            story: "append a sector behind a page, then another one page further",
            setup: one_page,
            program: |stage| {
                let file = stage.open("a")?;
                fill(&*file, NEW, SECTOR, PAGE as u64)?;
                fill(&*file, NEW, SECTOR, 2 * PAGE as u64)
            },
            look: |stage| stage.growth("a", PAGE, 2 * PAGE + SECTOR),
        },
        Litmus {
            name: "two-appends-fsync",
            story: "append a page to `a`, append to `b`, fsync `b`: what is `a`?",
            setup: two_files,
            program: |stage| {
                append(stage, "a", PAGE)?;
                append(stage, "b", PAGE)?;
                stage.open("b")?.sync_all()
            },
            look: second_page,
        },
    ]
}

fn sizes() -> Vec<Litmus> {
    vec![
        Litmus {
            name: "truncate-write",
            story: "empty a page by opening the file, write it again",
            setup: one_page,
            program: |stage| fill(&*stage.open_emptied("a")?, NEW, PAGE, 0),
            look: page_of_a,
        },
        Litmus {
            name: "truncate-write-fsync",
            story: "empty a page by opening the file, write it again, fsync",
            setup: one_page,
            program: |stage| {
                let file = stage.open_emptied("a")?;
                fill(&*file, NEW, PAGE, 0)?;
                file.sync_all()
            },
            look: page_of_a,
        },
        Litmus {
            name: "shrink",
            story: "cut a file of two pages to one and a half",
            setup: two_pages,
            program: |stage| stage.open("a")?.set_len((PAGE + PAGE / 2) as u64),
            look: |stage| stage.content("a", PAGE + PAGE / 2),
        },
        Litmus {
            name: "shrink-grow",
            story: "cut a page to two sectors, grow it to a page again: do the old bytes come back?",
            setup: one_page,
            program: |stage| {
                let file = stage.open("a")?;
                file.set_len(2 * SECTOR as u64)?;
                file.set_len(PAGE as u64)
            },
            look: page_of_a,
        },
        Litmus {
            name: "shrink-grow-fsync",
            story: "the same, then fsync",
            setup: one_page,
            program: |stage| {
                let file = stage.open("a")?;
                file.set_len(2 * SECTOR as u64)?;
                file.set_len(PAGE as u64)?;
                file.sync_all()
            },
            look: page_of_a,
        },
        Litmus {
            name: "grow",
            story: "grow a page to two by setting its length",
            setup: one_page,
            program: |stage| stage.open("a")?.set_len(2 * PAGE as u64),
            look: second_page,
        },
        Litmus {
            name: "grow-write",
            story: "grow a page to two by setting its length, write the second",
            setup: one_page,
            program: |stage| {
                let file = stage.open("a")?;
                file.set_len(2 * PAGE as u64)?;
                fill(&*file, NEW, PAGE, PAGE as u64)
            },
            look: second_page,
        },
        Litmus {
            name: "grow-write-fdatasync",
            story: "grow a page to two by setting its length, write the second, fdatasync",
            setup: one_page,
            program: |stage| {
                let file = stage.open("a")?;
                file.set_len(2 * PAGE as u64)?;
                fill(&*file, NEW, PAGE, PAGE as u64)?;
                file.sync_data()
            },
            look: second_page,
        },
    ]
}
