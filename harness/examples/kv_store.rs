//! A key-value store on one file under torture: a correct one, and a naive one that is caught.
//!
//! ```sh
//! cargo run --release -p plugpull --example kv_store -- run kv-store --rounds 100
//! cargo run --release -p plugpull --example kv_store -- run kv-store/naive --rounds 100   # exit status 1
//! ```
//!
//! The whole map is one file, as many small tools keep their state. The correct store writes a new
//! file beside it, syncs it, renames it over the old one and syncs the directory. The naive one
//! overwrites the file in place: a kill in the middle of that leaves half a map.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use plugpull::oracle::{KeyValueOracle, Oracle};
use plugpull::{RecoverRun, Subject, SubjectError, Survivors, WriteRun};

fn main() -> std::process::ExitCode {
    plugpull::cli::main(&[Box::new(KvStore::CORRECT), Box::new(KvStore::NAIVE)])
}

/// The subject: which of the two stores.
pub struct KvStore {
    name: &'static str,
    in_place: bool,
}

impl KvStore {
    /// Replaces its file atomically.
    pub const CORRECT: Self = Self {
        name: "kv-store",
        in_place: false,
    };
    /// Overwrites its file in place.
    pub const NAIVE: Self = Self {
        name: "kv-store/naive",
        in_place: true,
    };
}

impl Subject for KvStore {
    fn name(&self) -> &str {
        self.name
    }

    fn constructor(&self) -> String {
        let constant = if self.in_place { "NAIVE" } else { "CORRECT" };
        format!("{}::{constant}", std::any::type_name::<Self>())
    }

    fn oracle(&self) -> Box<dyn Oracle> {
        Box::new(KeyValueOracle::default())
    }

    fn write(&self, run: &WriteRun) -> Result<(), SubjectError> {
        let mut store = Store::open(run.dir, self.in_place)?;
        for action in run.workload.actions(0) {
            let key = run.workload.key(action.id);
            if run.workload.deletes(action.id) {
                run.recorder.attempt_delete(action.id, key);
                store.delete(key)?;
            } else {
                run.recorder.attempt_put(action.id, key);
                store.put(key, run.workload.payload(action.id))?;
            }
            run.recorder.ack(action.id, key);
        }
        Ok(())
    }

    fn recover(&self, run: &RecoverRun, survivors: &mut Survivors) -> Result<(), SubjectError> {
        for (key, value) in Store::open(run.dir, self.in_place)?.map {
            survivors.push(key, &value);
        }
        Ok(())
    }
}

/// A map in memory, and the file that holds it: key, length, value, again and again.
struct Store {
    dir: PathBuf,
    in_place: bool,
    map: BTreeMap<u64, Vec<u8>>,
}

impl Store {
    fn open(dir: &Path, in_place: bool) -> io::Result<Self> {
        let bytes = match fs::read(dir.join("map")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read?,
        };
        let mut map = BTreeMap::new();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (key, value, next) = decode(rest).ok_or(io::ErrorKind::InvalidData)?;
            map.insert(key, value.to_vec());
            rest = next;
        }
        if !map.is_empty() {
            // A killed writer may have renamed the file and synced nothing: what is shown now would be gone
            // after a power cut.
            File::open(dir.join("map"))?.sync_all()?;
            File::open(dir)?.sync_all()?;
        }
        Ok(Self {
            dir: dir.to_owned(),
            in_place,
            map,
        })
    }

    fn put(&mut self, key: u64, value: Vec<u8>) -> io::Result<()> {
        self.map.insert(key, value);
        self.save()
    }

    fn delete(&mut self, key: u64) -> io::Result<()> {
        self.map.remove(&key);
        self.save()
    }

    fn save(&self) -> io::Result<()> {
        let mut bytes = Vec::new();
        for (key, value) in &self.map {
            bytes.extend(key.to_le_bytes());
            bytes.extend((value.len() as u64).to_le_bytes());
            bytes.extend(value);
        }
        let path = self.dir.join("map");
        let target = if self.in_place {
            path.clone()
        } else {
            self.dir.join("map.new")
        };
        let mut file = File::create(&target)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        if !self.in_place {
            fs::rename(target, path)?;
            File::open(&self.dir)?.sync_all()?;
        }
        Ok(())
    }
}

fn decode(bytes: &[u8]) -> Option<(u64, &[u8], &[u8])> {
    let (key, rest) = bytes.split_first_chunk::<8>()?;
    let (len, rest) = rest.split_first_chunk::<8>()?;
    let (value, rest) = rest.split_at_checked(u64::from_le_bytes(*len).try_into().ok()?)?;
    Some((u64::from_le_bytes(*key), value, rest))
}
