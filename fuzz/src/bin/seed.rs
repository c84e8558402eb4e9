//! Writes a corpus for each target to begin with: `cargo run --manifest-path fuzz/Cargo.toml --bin
//! seed`. The files come out the same each time.

use std::fs;
use std::path::Path;

use groupwal_fuzz::recover::script::{
    append, batch, close, copy, crash, cut, flip, frame, header, raw, remove, trim, zero,
};
use groupwal_fuzz::{differential, entry, frame as frames, muopdb, recover};

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    write(
        &corpus.join("differential"),
        differential_seeds(),
        differential::run,
    )?;
    write(&corpus.join("entry"), entry_seeds(), entry::run)?;
    write(&corpus.join("frame"), frame_seeds(), frames::run)?;
    write(&corpus.join("muopdb"), muopdb_seeds(), muopdb::run)?;
    write(&corpus.join("recover"), recover_seeds(), recover::run)
}

/// Writes the seeds, each tried once before.
fn write(dir: &Path, seeds: Vec<Vec<u8>>, run: fn(&[u8])) -> std::io::Result<()> {
    fs::create_dir_all(dir)?;
    for (number, seed) in seeds.iter().enumerate() {
        run(seed);
        fs::write(dir.join(format!("seed-{number:02}")), seed)?;
    }
    println!("{}: {} seeds", dir.display(), seeds.len());
    Ok(())
}

fn with_len(kind: u8, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap();
    [&[kind], &len.to_le_bytes()[..], body].concat()
}

fn documents(docs: u64, users: u64, floats: u64, op: u8) -> Vec<u8> {
    let mut body = [docs.to_le_bytes(), users.to_le_bytes()].concat();
    (0..docs + users).for_each(|id| body.extend(u128::from(id).to_le_bytes()));
    (0..floats).for_each(|_| body.extend(1.5_f32.to_le_bytes()));
    body.push(op);
    with_len(1, &body)
}

/// Seeds behind the byte that tells how they are read.
fn as_mode(mode: u8, seeds: Vec<Vec<u8>>) -> impl Iterator<Item = Vec<u8>> {
    seeds
        .into_iter()
        .map(move |seed| [&[mode][..], &seed].concat())
}

/// The other targets' seeds, behind the byte that tells which way they are read.
fn differential_seeds() -> Vec<Vec<u8>> {
    let raw = as_mode(0, plain_entries());
    raw.chain(as_mode(1, entry_scripts()))
        .chain(as_mode(2, recover_seeds()))
        .collect()
}

/// A byte that tells which way they are read, then entries or a script that builds some.
fn entry_seeds() -> Vec<Vec<u8>> {
    let parts = [
        [0, 2, 1, 4],
        [0, 2, 1, 3],
        [0, 0, 1, 1],
        [1, 1, 2, 0],
        [2, 0, 0, 0],
    ];
    let parts = parts.map(|parts| [&parts[..], &[9; 80]].concat());
    as_mode(2, plain_entries())
        .chain(as_mode(0, entry_scripts()))
        .chain(as_mode(1, parts.to_vec()))
        .collect()
}

/// As [`entry::script_of`] reads them: shape, parts, lies, damage.
fn entry_scripts() -> Vec<Vec<u8>> {
    vec![
        [&[0, 3][..], b"abc"].concat(),
        [&[1, 2, 1, 3, 0][..], &[0, 4], b"more"].concat(),
        vec![1, 1, 1, 0, 1],
        [&[3, 1, 1, 1, 0][..], &[255; 16]].concat(),
        [
            &[3, 1, 1, 1, 0][..],
            &2_u64.to_le_bytes(),
            &0_u64.to_le_bytes(),
        ]
        .concat(),
        [&[4, 1][..], b"x", &[200, 0, 0, 0]].concat(),
        vec![9, 1, 1, 1, 0, 7],
        vec![17, 1, 1, 1, 0, 21, 0, 1],
    ]
}

fn plain_entries() -> Vec<Vec<u8>> {
    let mut seeds = vec![
        with_len(2, b""),
        with_len(2, b"some bytes"),
        documents(2, 1, 6, 0),
        documents(1, 3, 0, 1),
        documents(0, 0, 0, 0),
    ];
    seeds.push(seeds.concat());
    seeds
}

fn muopdb_seeds() -> Vec<Vec<u8>> {
    use muopdb::file::{entry, header};
    let entries = |attributes: Option<&[u8]>| {
        [
            entry(&[1], &[9], &[1.0, 2.0], 0, attributes),
            entry(&[1], &[9], &[], 1, attributes),
            entry(&[2, 3], &[9, 8], &[5.0, 6.0, 7.0, -0.0], 0, attributes),
        ]
        .concat()
    };
    let whole = [header(-1), entries(None)].concat();
    let torn = [&whole[..whole.len() - 20], &entries(None)].concat();
    vec![
        header(41),
        [header(-1), 3_u32.to_le_bytes().to_vec(), entries(None)].concat(),
        [header(-1), entries(Some(b""))].concat(),
        [header(-1), entries(Some(b"a colour"))].concat(),
        [header(-1), entry(&[1], &[9], &[1.5, 0.0], 0, None)].concat(),
        [whole.clone(), vec![0; 40]].concat(),
        whole,
        torn,
    ]
}

/// Log id, salt, block, header fields, number of damages, then the payload; as `frame::run` reads
/// it.
fn frame_seeds() -> Vec<Vec<u8>> {
    let seed = |count: u32, fields: [u64; 4], damages: &[(u16, u8)], payload: &[u8]| {
        let mut bytes = vec![1; 16 + 8];
        bytes.push(0);
        bytes.extend(count.to_le_bytes());
        fields
            .iter()
            .for_each(|field| bytes.extend(field.to_le_bytes()));
        bytes.extend([0, 0]);
        bytes.push(u8::try_from(damages.len()).unwrap());
        for (at, mask) in damages {
            bytes.extend(at.to_le_bytes());
            bytes.push(*mask);
        }
        bytes.extend(payload);
        bytes
    };
    let payload = plain_entries().pop().unwrap();
    vec![
        seed(6, [3, 10, 10, 2], &[], &payload),
        seed(6, [3, 10, 10, 2], &[(9, 1)], &payload),
        seed(6, [3, 10, 10, 2], &[(80, 1)], &payload),
        seed(0, [0, 0, 0, 0], &[], &[]),
        seed(1, [u64::MAX, u64::MAX, 0, 0], &[], &payload),
    ]
}

fn recover_seeds() -> Vec<Vec<u8>> {
    let log: Vec<u8> = (0..12).flat_map(|i| append(20 * i + 1)).collect();
    let on = |steps: &[Vec<u8>]| [&log[..], &steps.concat()].concat();
    let opaque = with_len(2, b"forged");
    vec![
        Vec::new(),
        on(&[]),
        on(&[close()]),
        on(&[crash(), append(3), close(), append(900), trim(200)]),
        on(&[batch(5, 200), crash(), flip(1, 600, 1)]),
        on(&[
            trim(255),
            append(100),
            crash(),
            append(10),
            trim(255),
            remove(0),
        ]),
        on(&[flip(0, 1030, 4)]),
        on(&[zero(1, 1024, 4096)]),
        on(&[cut(1, 4095)]),
        on(&[cut(0, 10)]),
        on(&[remove(0)]),
        on(&[copy(1, 2)]),
        on(&[copy(0, 3), remove(1)]),
        on(&[frame(1, 5, 1, [12, 12, 12, 0], 0, &opaque)]),
        on(&[frame(1, 5, 1, [12, 12, 12, 12], 1, &opaque)]),
        on(&[frame(1, 5, 2, [12, 12, 12, 0], 0, &opaque)]),
        on(&[frame(1, 6, 1, [13, 13, 13, 0], 0, &opaque)]),
        on(&[
            remove(0),
            zero(0, 512, 4000),
            frame(0, 0, 1, [7, 7, 7, 7], 0, &opaque),
        ]),
        [
            header(5, 1, 512, 4096, 5, 4096),
            frame(0, 0, 1, [1 << 40, 1 << 41, 1 << 41, 1 << 41], 0, &opaque),
        ]
        .concat(),
        [
            header(u64::MAX, 1, 512, 1024, u64::MAX, 1024),
            frame(0, 0, 1, [9, 9, 9, 9], 0, &opaque),
        ]
        .concat(),
        [
            header(5, 1, 512, 4096, 5, 4096),
            frame(
                0,
                0,
                1,
                [7, u64::MAX - 1, u64::MAX - 1, u64::MAX - 1],
                0,
                &opaque,
            ),
        ]
        .concat(),
        [
            header(5, 1, 512, 4096, 5, 4096),
            frame(0, 0, 1, [u64::MAX - 1, 9, 9, 9], 0, &opaque),
        ]
        .concat(),
        header(0, 2, 512, 4096, 0, 4096),
        header(0, 1, 65_536, 0, 0, 64),
        raw(0, false, b"groupwal"),
        [raw(7, true, &[1; 200]), log.clone()].concat(),
    ]
}
