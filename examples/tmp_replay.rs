use groupwal::{Entry, Options, Wal};
#[tokio::main]
async fn main() {
    let dir = std::env::args().nth(1).unwrap();
    for _ in 0..3 {
        let wal = Wal::open(&dir, Options::default()).await.unwrap();
        let t = std::time::Instant::now();
        let mut r = wal.replay(wal.trim_seq());
        let mut n = 0u64;
        let mut b = 0u64;
        while let Some(x) = r.next().await.unwrap() {
            n += 1;
            b += match x.entry {
                Entry::Bytes(x) => x.len() as u64,
                Entry::Documents(d) => 4 * d.vectors().len() as u64 + 49,
            };
        }
        let e = t.elapsed();
        println!(
            "replay {n} {b} bytes in {e:?}: {:.2} GB/s",
            b as f64 / e.as_secs_f64() / 1e9
        );
        let t = std::time::Instant::now();
        drop(wal);
        drop(r);
        let w = Wal::open(&dir, Options::default()).await.unwrap();
        println!("open {:?}", t.elapsed());
        drop(w);
    }
}
