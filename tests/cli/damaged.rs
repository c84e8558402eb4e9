//! A log damaged at a random byte below its watermark, a hundred times: verify says that it is corrupt
//! and where, every time, and salvage brings back every group that was not hit.

use std::path::Path;

use support::image::{FrameAt, frames};
use support::mem::Image;
use support::tiny::{append_all, payload, ready};

use super::program::{open, run};
use super::support;

fn image_of(dir: &Path) -> Image {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect()
}

/// A pseudo-random number generator: the same places each time. (Vigna's splitmix64.)
fn random(state: &mut u64, below: usize) -> usize {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut word = *state;
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    usize::try_from((word ^ (word >> 31)) % below as u64).unwrap()
}

fn unhex(digits: &serde_json::Value) -> Vec<u8> {
    let pairs = digits.as_str().unwrap().as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn random_damage_below_the_watermark_is_always_found_and_costs_one_group() {
    let tmp = tempfile::tempdir().unwrap();
    let log = tmp.path().join("log");
    let wal = open(&log);
    for round in 0..6 {
        append_all(&wal, round * 9..round * 9 + 6);
        let batch: Vec<_> = (round * 9 + 6..round * 9 + 9).map(payload).collect();
        ready(wal.append_batch(&batch)).unwrap();
    }
    drop(wal);
    let image = image_of(&log);
    let frames = frames(&image);
    let newest = frames.last().unwrap().header.group;
    let vouched: Vec<&FrameAt> = frames.iter().filter(|f| f.header.group < newest).collect();
    let mut state = 1;
    for round in 0..100 {
        let frame = vouched[random(&mut state, vouched.len())];
        // Header, entries, or what pads them.
        let end = frame.range().end.next_multiple_of(512);
        let at = frame.offset + random(&mut state, end - frame.offset);
        let damaged = tmp.path().join(format!("damaged-{round}"));
        std::fs::create_dir(&damaged).unwrap();
        for (name, bytes) in &image {
            let mut bytes = bytes.clone();
            if *name == frame.file {
                bytes[at] ^= 1 << random(&mut state, 8);
            }
            std::fs::write(damaged.join(name), bytes).unwrap();
        }
        let is_padding = at >= frame.range().end;
        let said = run(&[&"verify", &damaged, &"--json"]).ends(1).json();
        let damage = &said["damage"][0];
        let file = damaged.join(&frame.file);
        assert_eq!(damage["path"], file.to_str().unwrap());
        if is_padding {
            assert_eq!(damage["offset"], at, "{damage}");
        } else {
            assert_eq!(said["tail"], "corrupt");
            assert_eq!(damage["offset"], frame.offset, "{damage}");
        }
        let text = run(&[&"verify", &damaged]).ends(1).stdout;
        assert!(text.contains(file.to_str().unwrap()), "{text}");

        let salvaged = tmp.path().join(format!("salvaged-{round}"));
        let said = run(&[&"salvage", &damaged, &salvaged, &"--json"])
            .ends(0)
            .json();
        let lost = if is_padding {
            0..0
        } else {
            frame.header.first_seq..frame.header.end_seq()
        };
        assert_eq!(said["lost_entries"], lost.end - lost.start);
        if !is_padding {
            let first = &said["losses"][0];
            assert_eq!(
                (&first["first"], &first["end"]),
                (&lost.start.into(), &lost.end.into())
            );
            let place = |of: &serde_json::Value| {
                let path = of["path"].as_str().unwrap().to_owned();
                (path, of["offset"].as_u64().unwrap())
            };
            let hit = (file.to_str().unwrap().to_owned(), at as u64);
            assert!(
                place(&first["from"]) <= hit && hit < place(&first["to"]),
                "{first}"
            );
        }
        run(&[&"verify", &salvaged]).ends(0);
        let lines = run(&[&"dump", &salvaged, &"--json"]).ends(0).json_lines();
        let entries = lines.iter().filter(|line| line["kind"] == "bytes");
        let found: Vec<(u64, Vec<u8>)> = entries
            .map(|line| (line["seq"].as_u64().unwrap(), unhex(&line["bytes"])))
            .collect();
        let whole = (0..54).filter(|seq| !lost.contains(seq));
        assert!(found == whole.map(|seq| (seq, payload(seq))).collect::<Vec<_>>());
        let gaps: Vec<_> = lines.iter().filter(|line| line["kind"] == "lost").collect();
        assert_eq!(gaps.len(), usize::from(!is_padding));
    }
}

#[test]
fn a_damaged_log_is_dumped_up_to_the_damage() {
    let tmp = tempfile::tempdir().unwrap();
    let log = tmp.path().join("log");
    append_all(&open(&log), 0..5);
    let segment = log.join("00000000000000000000.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[512 * 3 + 5] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let dump = run(&[&"dump", &log]).ends(1);
    assert_eq!(dump.stdout.lines().count(), 2);
    assert!(
        dump.stderr.contains("corrupt at byte 1536"),
        "{}",
        dump.stderr
    );
    assert!(dump.stderr.contains("groupwal salvage"), "{}", dump.stderr);
    // The header of the segment itself.
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[512 * 3 + 5] ^= 1;
    bytes[50] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    run(&[&"dump", &log]).ends(1);
    let said = run(&[&"verify", &log, &"--json"]).ends(1).json();
    assert_eq!(
        (&said["tail"], &said["damage"][0]["offset"]),
        (&"corrupt".into(), &0.into())
    );
    assert_eq!(said["salvage"]["entries"], 5, "and yet nothing is lost");
    let salvaged = tmp.path().join("salvaged");
    let said = run(&[&"salvage", &log, &salvaged]).ends(0).stdout;
    assert!(said.contains("mended"), "{said}");
    assert_eq!(run(&[&"dump", &salvaged]).ends(0).stdout.lines().count(), 5);
}

#[test]
fn a_salvage_is_refused_where_it_could_do_harm() {
    let tmp = tempfile::tempdir().unwrap();
    let log = tmp.path().join("log");
    let wal = open(&log);
    append_all(&wal, 0..5);
    let new = tmp.path().join("new");
    if cfg!(target_os = "linux") {
        let said = run(&[&"salvage", &log, &new]).ends(2).stderr;
        assert!(said.contains("in use"), "{said}");
    }
    drop(wal);
    let said = run(&[&"salvage", &log, &log]).ends(2).stderr;
    assert!(said.contains("is there already"), "{said}");
    let nowhere = tmp.path().join("nowhere/new");
    run(&[&"salvage", &log, &nowhere]).ends(2);
    run(&[&"salvage", &tmp.path().join("missing"), &new]).ends(2);
    assert!(!new.exists());
    run(&[&"salvage", &log, &new]).ends(0);
    assert_eq!(
        run(&[&"dump", &new]).ends(0).stdout,
        run(&[&"dump", &log]).ends(0).stdout
    );
}
