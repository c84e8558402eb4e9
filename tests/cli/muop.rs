//! MuopDB's files, as their layout says.

use std::path::Path;

/// An insert of one document for one user.
pub(crate) fn insert(id: u128, floats: &[f32]) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(1_u64.to_le_bytes());
    body.extend(1_u64.to_le_bytes());
    body.extend(id.to_le_bytes());
    body.extend((id + 1).to_le_bytes());
    for float in floats {
        body.extend(float.to_le_bytes());
    }
    body.push(0);
    [&u32::try_from(body.len()).unwrap().to_le_bytes()[..], &body].concat()
}

pub(crate) fn header(start: i64) -> Vec<u8> {
    [b"version1".as_slice(), &start.to_le_bytes()].concat()
}

/// Writes files `wal.{first_id}`, .. with `per_file` inserts each, the first of them numbered `first_seq`.
pub(crate) fn write_files(
    dir: &Path,
    first_id: u64,
    first_seq: u64,
    files: u64,
    per_file: u64,
    dimensions: usize,
) {
    std::fs::create_dir_all(dir).unwrap();
    for file in 0..files {
        let first = first_seq + file * per_file;
        let mut bytes = header(i64::try_from(first).unwrap() - 1);
        for seq in first..first + per_file {
            bytes.extend(insert(seq.into(), &vec![0.5; dimensions]));
        }
        std::fs::write(dir.join(format!("wal.{}", first_id + file)), bytes).unwrap();
    }
}
