//! A recording on disk: what a failure keeps to be mounted again.
//!
//! ```text
//! base.bin        what the disk held when the recording began: for each page that is not zeros, its
//!                 number (u64, little-endian) and its bytes
//! writes.bin      the bytes of all writes, one after another
//! recording.json  what was asked and answered, in order, and when
//! ```

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::at_path;
use super::image::{Image, PAGE_BYTES, index};
use super::record::{Entry, Recording, Request};

const BASE: &str = "base.bin";
const WRITES: &str = "writes.bin";
const INDEX: &str = "recording.json";
/// A loop device asks for no more in one piece; a file that says so was damaged.
const WRITE_BYTES_MAX: u64 = 64 << 20;
/// Larger disks are not recorded in memory.
const BYTES_MAX: u64 = 1 << 40;

#[derive(Debug, Serialize, Deserialize)]
struct Index {
    /// How large the disk is.
    bytes: u64,
    start: u64,
    end: u64,
    entries: Vec<IndexEntry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct IndexEntry {
    arrived: u64,
    answered: u64,
    #[serde(flatten)]
    asked: Asked,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    failed: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "asked", rename_all = "kebab-case")]
enum Asked {
    Write {
        offset: u64,
        bytes: u64,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        fua: bool,
    },
    Zero {
        offset: u64,
        bytes: u64,
    },
    Flush,
}

impl Recording {
    /// Writes the recording into a new folder.
    ///
    /// # Errors
    /// If the folder exists, or cannot be written.
    pub fn save(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir(dir).map_err(at_path("make", dir))?;
        let path = dir.join(BASE);
        let failed = at_path("write", &path);
        let mut base = BufWriter::new(File::create(&path).map_err(&failed)?);
        for (number, page) in self.base.pages() {
            base.write_all(&number.to_le_bytes()).map_err(&failed)?;
            base.write_all(page).map_err(&failed)?;
        }
        base.flush().map_err(&failed)?;
        let path = dir.join(WRITES);
        let failed = at_path("write", &path);
        let mut writes = BufWriter::new(File::create(&path).map_err(&failed)?);
        let mut entries = Vec::new();
        for entry in &self.entries {
            let asked = match (entry.request.range(), entry.request.content()) {
                (None, _) => Asked::Flush,
                (Some((offset, bytes)), None) => Asked::Zero { offset, bytes },
                (Some((offset, bytes)), Some(content)) => {
                    writes.write_all(&content).map_err(&failed)?;
                    let fua = entry.request.is_fua();
                    Asked::Write { offset, bytes, fua }
                }
            };
            entries.push(IndexEntry {
                arrived: entry.arrived,
                answered: entry.answered,
                asked,
                failed: entry.failed,
            });
        }
        writes.flush().map_err(&failed)?;
        let index = Index {
            bytes: self.base.bytes(),
            start: self.start,
            end: self.end,
            entries,
        };
        let path = dir.join(INDEX);
        fs::write(&path, serde_json::to_vec(&index)?).map_err(at_path("write", &path))
    }

    /// Reads what [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// If it is not there, or not whole.
    pub fn load(dir: &Path) -> io::Result<Self> {
        let path = dir.join(INDEX);
        let text = fs::read(&path).map_err(at_path("read", &path))?;
        let index_read: Index = serde_json::from_slice(&text)
            .map_err(|error| at_path("understand", &path)(io::Error::from(error)))?;
        let base = load_base(&dir.join(BASE), index_read.bytes)?;
        let path = dir.join(WRITES);
        let failed = at_path("read", &path);
        let mut writes = BufReader::new(File::open(&path).map_err(&failed)?);
        let mut entries = Vec::new();
        for entry in index_read.entries {
            let fits = |offset: u64, bytes: u64| {
                let ends = offset
                    .checked_add(bytes)
                    .is_some_and(|end| end <= base.bytes());
                let why = || io::Error::other(format!("a request ends behind the disk: {offset}"));
                ends.then_some(())
                    .ok_or_else(why)
                    .map_err(at_path("understand", dir))
            };
            let request = match entry.asked {
                Asked::Flush => Request::flush(),
                Asked::Zero { offset, bytes } => {
                    fits(offset, bytes)?;
                    Request::zero(offset, bytes)
                }
                Asked::Write { offset, bytes, fua } => {
                    fits(offset, bytes)?;
                    let mut content = vec![0; index(bytes.min(WRITE_BYTES_MAX))];
                    writes.read_exact(&mut content).map_err(&failed)?;
                    Request::write(offset, &content, fua)
                }
            };
            entries.push(Entry {
                arrived: entry.arrived,
                answered: entry.answered,
                request,
                failed: entry.failed,
            });
        }
        Ok(Self {
            start: index_read.start,
            end: index_read.end,
            base,
            entries,
        })
    }
}

fn load_base(path: &Path, bytes: u64) -> io::Result<Image> {
    let failed = at_path("read", path);
    let stored = fs::read(path).map_err(&failed)?;
    let (pages, rest) = stored.as_chunks::<{ 8 + PAGE_BYTES }>();
    if !rest.is_empty() || bytes > BYTES_MAX {
        return Err(failed(io::Error::other(
            "it does not hold whole pages of a disk",
        )));
    }
    let mut base = Image::zeros(bytes);
    for page in pages {
        let (number, page) = page.split_first_chunk().expect("longer than that");
        let offset = u64::from_le_bytes(*number).checked_mul(PAGE_BYTES as u64);
        let offset = offset.filter(|offset| *offset < base.bytes());
        let outside = || failed(io::Error::other("a page lies behind the end of the disk"));
        base.write(offset.ok_or_else(outside)?, page);
    }
    Ok(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_recording_comes_back() {
        let tmp = tempfile::tempdir().expect("a directory");
        let mut base = Image::zeros(1 << 20);
        base.write(5000, b"base");
        let entry = |answered, request, failed| Entry {
            arrived: answered - 1,
            answered,
            request,
            failed,
        };
        let recording = Recording {
            start: 3,
            end: 9,
            base,
            entries: vec![
                entry(4, Request::write(512, &[7; 9000], false), false),
                entry(5, Request::flush(), false),
                entry(6, Request::zero(4096, 8192), false),
                entry(7, Request::write(0, &[0; 4096], true), true),
                entry(8, Request::write(4096, &[1; 512], true), false),
            ],
        };
        let dir = tmp.path().join("recording");
        recording.save(&dir).expect("saved");
        let loaded = Recording::load(&dir).expect("loaded");
        for index in 3..=9 {
            assert_eq!(loaded.image_at(index), recording.image_at(index), "{index}");
        }
        let told = |recording: &Recording| {
            let told = recording.entries.iter().map(|entry| {
                let request = &entry.request;
                let range = (request.range(), request.is_flush(), request.is_fua());
                (entry.arrived, entry.answered, entry.failed, range)
            });
            told.collect::<Vec<_>>()
        };
        assert_eq!(told(&loaded), told(&recording));
        let again = recording.save(&dir).expect_err("it exists");
        assert!(again.to_string().contains("recording"), "{again}");
        File::create(dir.join(WRITES)).expect("made empty");
        let cut = Recording::load(&dir).expect_err("its bytes are gone");
        assert!(cut.to_string().contains(WRITES), "{cut}");
    }
}
