//! Operations, flushes, merges and crashes in any order, against a map and a sort.

use std::collections::BTreeMap;

use collection::{Collection, Metric};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::stage::{DIMENSION, Stage};

const USERS: u128 = 3;
const DOCS: u128 = 150;
const STEPS: usize = 160;

type Model = BTreeMap<(u128, u128), Vec<f32>>;

fn distance(metric: Metric, a: &[f32], b: &[f32]) -> f64 {
    let pairs = || a.iter().zip(b).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    let dot: f64 = pairs().map(|(a, b)| a * b).sum();
    let norm = |v: &[f32]| v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    match metric {
        Metric::L2 => pairs().map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt(),
        Metric::Dot => -dot,
        Metric::Cosine => 1.0 - dot / (norm(a) * norm(b)),
    }
}

fn some_of(rng: &mut ChaCha8Rng, below: u128, most: usize) -> Vec<u128> {
    let count = rng.random_range(1..=most);
    let mut ids: Vec<u128> = (0..count).map(|_| rng.random_range(0..below)).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Small whole numbers: distances are exact, and ties are many.
fn vector(rng: &mut ChaCha8Rng) -> Vec<f32> {
    let mut vector: Vec<f32> = (0..DIMENSION)
        .map(|_| rng.random_range(-2_i8..=2).into())
        .collect();
    vector[0] = 3.0;
    vector
}

async fn step(collection: &Collection, model: &mut Model, rng: &mut ChaCha8Rng) {
    let users = some_of(rng, USERS, 2);
    let docs = some_of(rng, DOCS, 40);
    match rng.random_range(0..10) {
        0..5 => {
            let vectors: Vec<Vec<f32>> = docs.iter().map(|_| vector(rng)).collect();
            collection
                .insert(&docs, &users, &vectors.concat())
                .await
                .unwrap();
            for user in users {
                let rows = docs.iter().zip(&vectors);
                model.extend(rows.map(|(doc, vector)| ((user, *doc), vector.clone())));
            }
        }
        5..8 => {
            // A user whom nobody has named is refused; whom the collection has forgotten, too.
            if collection.remove(&docs, &users).await.is_ok() {
                model.retain(|(user, doc), _| !(users.contains(user) && docs.contains(doc)));
            } else {
                let none = |user| model.keys().all(|(other, _)| *other != user);
                assert!(users.into_iter().any(none));
            }
        }
        _ => drop(collection.flush().await.unwrap()),
    }
}

async fn compare(collection: &Collection, model: &Model, metric: Metric, rng: &mut ChaCha8Rng) {
    let seen = collection.stats().await.durable_seq.checked_sub(1);
    for user in 0..USERS {
        let (query, k) = (vector(rng), rng.random_range(1..15));
        let of_user = model.iter().filter(|((other, _), _)| *other == user);
        let mut expected: Vec<(f64, u128, Vec<f32>)> = of_user
            .map(|((_, doc), vector)| (distance(metric, &query, vector), *doc, vector.clone()))
            .collect();
        #[expect(clippy::cast_possible_truncation, reason = "distances are short")]
        let rounded = |distance: f64| (distance * 1e4).round() as i64;
        expected.sort_by_key(|(distance, doc, _)| (rounded(*distance), *doc));
        expected.truncate(k);
        let hits = match collection.search(user, &query, k, seen, true).await {
            Ok(found) => found.hits,
            Err(error) if error.invalid_field() == Some("user_id") => Vec::new(),
            Err(error) => panic!("{error}"),
        };
        let mut found: Vec<_> = hits
            .into_iter()
            .map(|hit| (hit.distance, hit.doc, hit.vector.unwrap()))
            .collect();
        assert!(found.is_sorted_by(|a, b| a.0 <= b.0));
        // Ties that rounding makes or unmakes are put in one order.
        found.sort_by_key(|(distance, doc, _)| (rounded(*distance), *doc));
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert!(
                (found.0 - expected.0).abs() < 1e-4,
                "{found:?} {expected:?}"
            );
            if metric != Metric::Cosine {
                assert_eq!((found.1, &found.2), (expected.1, &expected.2));
            }
        }
    }
}

#[test]
fn searches_find_what_a_map_and_a_sort_find_whatever_happened_before() {
    for (seed, (_, metric)) in (1..).zip(Metric::ALL).take(3) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut stage = Stage::new();
        stage.metric = metric;
        // The flushes are those that the steps ask for.
        stage.options.memory_bytes_max = 1 << 20;
        let mut model = Model::new();
        // An old segment that is larger than those to come: they are merged without it.
        stage.crash_after(async |collection| {
            let docs: Vec<u128> = (0..DOCS).collect();
            let vectors: Vec<Vec<f32>> = docs.iter().map(|_| vector(&mut rng)).collect();
            for user in [0, 1] {
                collection
                    .insert(&docs, &[user], &vectors.concat())
                    .await
                    .unwrap();
                let rows = docs.iter().zip(&vectors);
                model.extend(rows.map(|(doc, vector)| ((user, *doc), vector.clone())));
            }
            collection.flush().await.unwrap();
        });
        for _ in 0..8 {
            stage.crash_after(async |collection| {
                compare(&collection, &model, metric, &mut rng).await;
                for _ in 0..STEPS / 8 {
                    step(&collection, &mut model, &mut rng).await;
                    compare(&collection, &model, metric, &mut rng).await;
                }
            });
        }
        assert!(!model.is_empty());
    }
}
