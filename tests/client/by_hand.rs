use tower_tus::{
    client::{Chunk, NewUpload, Role},
    protocol::{Algorithm, Extension, Length, Metadata},
};

use crate::support::{Instead, Server, bytes};

#[tokio::test]
async fn an_upload_by_hand() {
    let server = Server::with(|tus| tus.max_size(1000), |_, _| None).await;
    let client = server.client();
    let info = client.options().await.unwrap();
    assert_eq!(info.max_size, Some(1000));
    assert_eq!(info.versions, ["1.0.0"]);
    assert_eq!(info.checksums, Algorithm::ALL);
    assert!(info.offers(Extension::Termination));

    let metadata = Metadata::from_pairs([("k", "v")]).unwrap();
    let new = NewUpload::deferred().metadata(metadata.clone());
    let url = client.create(new).await.unwrap().url;
    let chunk = Chunk::new(0, "abc").checksum(Algorithm::Crc32c);
    assert_eq!(client.append(&url, chunk).await.unwrap().offset, Some(3));
    let info = client.inspect(&url).await.unwrap();
    assert_eq!((info.offset, info.length), (Some(3), Length::Deferred));
    assert_eq!((info.metadata, info.role), (metadata, Role::Regular));

    let wrong = client.append(&url, Chunk::new(2, "x")).await.unwrap_err();
    assert_eq!(wrong.status().unwrap(), 409);
    assert!(wrong.is_retryable());
    assert_eq!(wrong.upload_url(), Some(&url));

    client
        .append(&url, Chunk::new(3, "de").length(5))
        .await
        .unwrap();
    assert!(client.inspect(&url).await.unwrap().is_complete());
    client.terminate(&url).await.unwrap();
    assert!(client.inspect(&url).await.unwrap_err().is_not_found());
    assert!(client.terminate(&url).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn parts_by_hand() {
    let server = Server::start().await;
    let client = server.client();
    let mut parts = Vec::new();
    for content in ["abc", "de"] {
        let new = NewUpload::new(content.len() as u64)
            .partial()
            .content(content);
        let created = client.create(new).await.unwrap();
        assert_eq!(created.offset, Some(content.len() as u64));
        let role = client.inspect(&created.url).await.unwrap().role;
        assert_eq!(role, Role::Partial);
        parts.push(created.url);
    }
    let whole = client.concat(&parts, &Metadata::default()).await.unwrap();
    assert_eq!(server.content(&whole.url).await, b"abcde");
    let role = client.inspect(&whole.url).await.unwrap().role;
    assert!(matches!(role, Role::Final(urls) if urls.len() == 2));
    assert!(
        client
            .concat(&[], &Metadata::default())
            .await
            .unwrap_err()
            .is_setting()
    );
}

#[tokio::test]
async fn what_is_safe_is_tried_again() {
    let server = Server::disturbed(|_, number| match number % 3 {
        0 => Some(Instead::Status(503)),
        1 => Some(Instead::LoseAnswer),
        _ => None,
    })
    .await;
    let client = server.client();
    client.options().await.unwrap();
    let url = client.create(NewUpload::new(0)).await.unwrap().url;
    client.inspect(&url).await.unwrap();
    client.terminate(&url).await.unwrap();
    assert!(client.inspect(&url).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn a_proxy_that_knows_only_post_is_served() {
    let server = Server::start().await;
    let client = server.client().method_override().request_ids();
    let done = client.upload(bytes(100)).create_first().await.unwrap();
    client.terminate(done.url()).await.unwrap();
    assert_eq!(server.methods(), "POST POST POST");
    let seen = server.seen();
    assert_eq!(seen[1].header("x-http-method-override"), "PATCH");
    assert_eq!(seen[2].header("x-http-method-override"), "DELETE");
    assert_ne!(
        seen[1].header("x-request-id"),
        seen[2].header("x-request-id")
    );
    assert_eq!(seen[1].header("x-request-id").len(), 36);
}

#[tokio::test]
async fn a_server_that_speaks_no_tus_is_told_so() {
    let server = Server::disturbed(|_, _| Some(Instead::Status(200))).await;
    let client = server.client();
    assert!(client.options().await.unwrap_err().is_protocol());
    assert!(
        client
            .inspect(&server.endpoint())
            .await
            .unwrap_err()
            .is_protocol()
    );
    let error = client.upload(bytes(9)).await.unwrap_err();
    assert!(
        error.is_protocol() && error.to_string().contains("Location"),
        "{error}"
    );
}
