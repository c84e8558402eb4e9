//! What breaks a rule is refused, by the name of its field, and never logged: what is in the log, recovery
//! has to be able to take in.

use collection::proto::collection_client::CollectionClient;
use collection::proto::{InsertRequest, RemoveRequest, SearchRequest};
use collection::server::ServeOptions;
use collection::{Metric, proto};
use tonic::{Code, Status};

use crate::stage::{DIMENSION, Stage, USER, runtime, vector};

fn ids(ids: impl IntoIterator<Item = u128>) -> Vec<proto::Id> {
    ids.into_iter().map(proto::Id::from).collect()
}

fn insert(
    docs: impl IntoIterator<Item = u128>,
    users: impl IntoIterator<Item = u128>,
    vectors: impl Into<Vec<f32>>,
) -> InsertRequest {
    InsertRequest {
        doc_ids: ids(docs),
        user_ids: ids(users),
        vectors: vectors.into(),
    }
}

fn search(user: Option<u128>, vector: impl Into<Vec<f32>>, k: u32) -> SearchRequest {
    SearchRequest {
        user_id: user.map(proto::Id::from),
        vector: vector.into(),
        k,
        seen: None,
        with_vectors: false,
    }
}

fn assert_names<T: std::fmt::Debug>(answer: Result<T, Status>, field: &str, words: &str) {
    let status = answer.expect_err(words);
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let message = status.message();
    assert!(message.starts_with(&format!("{field}: ")), "{message}");
    assert!(message.contains(words), "{message}");
}

#[test]
fn what_breaks_a_rule_is_refused_by_the_name_of_its_field_and_not_logged() {
    let stage = Stage::new();
    runtime().block_on(async {
        let server = stage.serve(ServeOptions::default()).await;
        let mut client = server.client().await;
        client
            .insert(&[1], &[USER], vector(1.0).to_vec())
            .await
            .unwrap();
        let mut grpc = CollectionClient::new(server.channel().await);

        let (nan, infinite) = ([0.0, f32::NAN, 0.0, 0.0], [f32::NEG_INFINITY; DIMENSION]);
        let long = vec![0.0; 300 * DIMENSION];
        for (request, field, words) in [
            (insert([], [USER], []), "doc_ids", "at least one"),
            (insert([1], [], vector(1.0)), "user_ids", "at least one"),
            (insert([1], [USER], [1.0; 3]), "vectors", "3 numbers"),
            (insert([1], [USER], [1.0; 8]), "vectors", "8 numbers"),
            (
                insert([1, 2], [USER], vector(1.0)),
                "vectors",
                "2 documents",
            ),
            (insert([1], [USER], []), "vectors", "0 numbers"),
            (insert([1], [USER], nan), "vectors", "NaN"),
            (insert([1], [USER], infinite), "vectors", "-inf"),
            (
                insert([1], [USER], [1e30; DIMENSION]),
                "vectors",
                "overflow",
            ),
            (
                insert([5, 5], [USER], [1.0; 8]),
                "doc_ids",
                "5 is there twice",
            ),
            (
                insert([5], [8, 8], vector(1.0)),
                "user_ids",
                "8 is there twice",
            ),
            (insert(0..300, [USER], long), "doc_ids", "limit is 200"),
            (insert(0..20, 0..20, [1.0; 80]), "user_ids", "400 rows"),
        ] {
            assert_names(grpc.insert(request).await, field, words);
        }
        for (docs, users, field, words) in [
            (vec![], vec![USER], "doc_ids", "at least one"),
            (vec![1], vec![], "user_ids", "at least one"),
            (vec![1], vec![USER, 99], "user_ids", "99 is unknown"),
            (vec![1, 1], vec![USER], "doc_ids", "twice"),
        ] {
            let (doc_ids, user_ids) = (ids(docs), ids(users));
            let removed = grpc.remove(RemoveRequest { doc_ids, user_ids }).await;
            assert_names(removed, field, words);
        }
        for (request, field, words) in [
            (search(None, vector(1.0), 1), "user_id", "missing"),
            (search(Some(99), vector(1.0), 1), "user_id", "99 is unknown"),
            (search(Some(USER), [1.0], 1), "vector", "1 numbers"),
            (search(Some(USER), nan, 1), "vector", "NaN"),
            (search(Some(USER), vector(1.0), 0), "k", "0 is not in"),
            (search(Some(USER), vector(1.0), u32::MAX), "k", "is not in"),
        ] {
            assert_names(grpc.search(request).await, field, words);
        }
        let ahead = SearchRequest {
            seen: Some(1),
            ..search(Some(USER), vector(1.0), 1)
        };
        assert_names(grpc.search(ahead).await, "seen", "1 is no operation's");

        assert_eq!(
            server.collection.stats().await.durable_seq,
            1,
            "something was logged"
        );
        server.stop().await;
    });
}

#[test]
fn an_operation_too_large_for_the_log_is_refused() {
    let mut stage = Stage::new();
    stage.options.operation_bytes_max = 128;
    runtime().block_on(async {
        let collection = stage.open().await;
        let fits = collection.insert(&[1, 2], &[USER], &[1.0; 8]).await;
        fits.expect("97 bytes");
        let refused = collection.insert(&[1, 2, 3], &[USER], &[1.0; 12]).await;
        let refused = refused.expect_err("129 bytes");
        assert_eq!(refused.invalid_field(), Some("vectors"));
        assert!(refused.to_string().contains("129 bytes"), "{refused}");
    });
}

#[test]
fn a_vector_without_direction_is_refused_where_direction_is_all() {
    let mut stage = Stage::new();
    stage.metric = Metric::Cosine;
    runtime().block_on(async {
        let collection = stage.open().await;
        let refused = collection.insert(&[1], &[USER], &[0.0; DIMENSION]).await;
        assert_eq!(refused.unwrap_err().invalid_field(), Some("vectors"));
        collection
            .insert(&[1], &[USER], &vector(1.0))
            .await
            .unwrap();
        let refused = collection
            .search(USER, &[0.0; DIMENSION], 1, Some(0), false)
            .await;
        assert_eq!(refused.unwrap_err().invalid_field(), Some("vector"));
    });
}

#[test]
fn a_user_who_was_just_named_is_known() {
    let stage = Stage::new();
    runtime().block_on(async {
        let collection = stage.open().await;
        // Acknowledged, and perhaps not visible yet.
        for user in 100..150 {
            collection
                .insert(&[1], &[user], &vector(1.0))
                .await
                .unwrap();
            collection.remove(&[1], &[user]).await.unwrap();
        }
    });
}

#[test]
fn another_dimension_or_metric_than_the_collections_is_refused() {
    let mut stage = Stage::new();
    runtime().block_on(async { stage.open().await.close().await.unwrap() });
    stage.metric = Metric::Dot;
    let refused = runtime().block_on(stage.try_open()).expect_err("it is l2");
    assert!(
        refused
            .to_string()
            .contains("has dimension 4 and l2, not dimension 4 and dot")
    );
}
