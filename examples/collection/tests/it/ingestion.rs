//! From the log into memory: what can be seen, and when.

use std::sync::Arc;

use crate::gate::Gate;
use crate::stage::{Stage, USER, documents, runtime, vector};

/// A reader that is shown what is not durable yet is shown what a crash takes back.
#[test]
fn an_operation_is_not_visible_before_it_is_durable() {
    let gate = Arc::new(Gate::default());
    let mut stage = Stage::new();
    stage.options.log = stage.options.log.executor(gate.clone());
    runtime().block_on(async {
        let collection = Arc::new(stage.open().await);
        collection
            .insert(&[1], &[USER], &vector(1.0))
            .await
            .unwrap();
        assert_eq!(documents(&collection, USER).await, [1]);
        gate.shut();
        let inserting = Arc::clone(&collection);
        let insert =
            tokio::spawn(
                async move { inserting.insert(&[2], &[USER], &vector(2.0)).await.unwrap() },
            );
        // Its group is on the way to the disk, and not there.
        gate.arrived.notified().await;
        assert_eq!(documents(&collection, USER).await, [1]);
        let stats = collection.stats().await;
        assert_eq!(
            (stats.durable_seq, stats.visible_seq, stats.memory_rows),
            (1, 1, 1)
        );
        gate.open();
        assert_eq!(insert.await.unwrap(), 1);
        assert_eq!(documents(&collection, USER).await, [1, 2]);
    });
}

/// A request that is given up may leave its entry in the log: what comes after it is visible all the same.
#[test]
fn requests_that_are_given_up_hold_nobody_up() {
    let gate = Arc::new(Gate::default());
    let mut stage = Stage::new();
    stage.options.log = stage.options.log.executor(gate.clone());
    runtime().block_on(async {
        let collection = stage.open().await;
        gate.shut();
        {
            let query = vector(1.0);
            let insert = collection.insert(&[1], &[USER], &query);
            tokio::pin!(insert);
            tokio::select! {
                biased;
                _ = &mut insert => panic!("the gate is shut"),
                () = gate.arrived.notified() => {}
            }
        }
        gate.open();
        let seq = collection
            .insert(&[2], &[USER], &vector(2.0))
            .await
            .unwrap();
        assert_eq!(seq, 1, "the one that was given up is in the log");
        assert_eq!(documents(&collection, USER).await, [1, 2]);
        assert_eq!(collection.flush().await.unwrap(), 2);
    });
}
