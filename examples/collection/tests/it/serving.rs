//! Who may connect, and how a server ends.

use std::sync::Arc;

use collection::server::ServeOptions;
use tonic::Code;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::gate::Gate;
use crate::stage::{Stage, USER, documents, runtime, vector};

#[test]
fn outside_this_machine_only_with_a_token() {
    let open = ServeOptions::default();
    let with_token = ServeOptions {
        token: Some("secret".into()),
        ..ServeOptions::default()
    };
    for address in ["127.0.0.1:7450", "127.8.9.1:1", "[::1]:7450"] {
        open.check_address(address.parse().unwrap()).unwrap();
    }
    for address in ["0.0.0.0:7450", "192.168.1.2:7450", "[::]:7450"] {
        let refused = open.check_address(address.parse().unwrap()).unwrap_err();
        assert!(refused.contains("--token-file"), "{refused}");
        with_token.check_address(address.parse().unwrap()).unwrap();
    }
}

#[test]
fn a_server_with_a_token_answers_only_to_it() {
    let stage = Stage::new();
    runtime().block_on(async {
        let options = ServeOptions {
            token: Some("secret".into()),
            ..ServeOptions::default()
        };
        let server = stage.serve(options).await;
        for token in [None, Some("Secret"), Some("secret "), Some("secretsecret")] {
            let mut client = server.client_with(token).await;
            let refused = client.insert(&[1], &[USER], vector(1.0).to_vec()).await;
            assert_eq!(
                refused.unwrap_err().code(),
                Code::Unauthenticated,
                "{token:?}"
            );
        }
        let mut client = server.client_with(Some("secret")).await;
        client
            .insert(&[1], &[USER], vector(1.0).to_vec())
            .await
            .unwrap();
        server.stop().await;
    });
}

#[test]
fn a_request_in_progress_ends_before_the_server_does() {
    let gate = Arc::new(Gate::default());
    let mut stage = Stage::new();
    stage.options.log = stage.options.log.executor(gate.clone());
    runtime().block_on(async {
        let server = stage.serve(ServeOptions::default()).await;
        let mut client = server.client().await;
        gate.shut();
        let insert = tokio::spawn(async move {
            let inserted = client.insert(&[1], &[USER], vector(1.0).to_vec()).await;
            inserted.expect("it was let in")
        });
        // Its group is on the way to the disk.
        gate.arrived.notified().await;
        let ending = server.begin_to_stop();
        assert!(!ending.is_finished());
        gate.open();
        ending.await.unwrap().expect("an orderly end");
        assert_eq!(insert.await.unwrap(), 0);
        assert_eq!(documents(&stage.open().await, USER).await, [1]);
    });
}

#[test]
fn a_second_server_of_the_same_directory_is_refused() {
    let stage = Stage::new();
    runtime().block_on(async {
        let collection = stage.open().await;
        assert!(stage.try_open().await.unwrap_err().is_locked());
        collection.close().await.unwrap();
    });
}

#[test]
fn reflection_names_the_service() {
    let stage = Stage::new();
    runtime().block_on(async {
        let server = stage.serve(ServeOptions::default()).await;
        let mut client = ServerReflectionClient::new(server.channel().await);
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let answers = client
            .server_reflection_info(tokio_stream::once(request))
            .await;
        let answer = answers
            .unwrap()
            .into_inner()
            .message()
            .await
            .unwrap()
            .unwrap();
        let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
            panic!("{answer:?}");
        };
        let names: Vec<&str> = list
            .service
            .iter()
            .map(|service| service.name.as_str())
            .collect();
        assert!(names.contains(&"collection.v1.Collection"), "{names:?}");
        server.stop().await;
    });
}
