//! What a finished object looks like to those who read the bucket, and downloads from there.

use crate::{
    node::Node,
    store::{AZURE, Area, GCS, MINIO, MOTO, Store, get, get_range},
    support::{Request, Response, base64, content, key_of, wait},
};

#[tokio::test]
async fn an_object_says_what_its_client_said_on_moto() {
    says_what_its_client_said(MOTO, "x-amz-meta-").await;
}

#[tokio::test]
async fn an_object_says_what_its_client_said_on_minio() {
    says_what_its_client_said(MINIO, "x-amz-meta-").await;
}

#[tokio::test]
async fn an_object_says_what_its_client_said_on_azurite() {
    says_what_its_client_said(AZURE, "x-ms-meta-").await;
}

#[tokio::test]
async fn an_object_says_what_its_client_said_on_the_double_of_gcs() {
    says_what_its_client_said(GCS, "x-goog-meta-").await;
}

/// Of one piece, of several parts, and joined of others.
async fn says_what_its_client_said(store: &'static str, prefix: &str) {
    let Some(store) = Store::find(store) else {
        return;
    };
    let area = store.area();
    let node = Node::with(&area, &["--part-size", "5MiB"]);
    let client = node.client();
    for length in [0, 1_000, 12_000_000] {
        let data = content(length, 3);
        let create = Request::create().header("Upload-Length", length.to_string());
        let url = client.create_with(described(create)).await;
        client.patch(&url, 0, &data).await.expect(204);
        expect_described(&area, prefix, &url, &data).await;
    }
    let data = content(7_000_000, 4);
    let (first, second) = data.split_at(6_000_000);
    let parts = [client.part(first).await, client.part(second).await];
    let concat = format!("final;{} {}", parts[0], parts[1]);
    let create = Request::create().header("Upload-Concat", concat);
    let url = client.create_with(described(create)).await;
    wait::until_true("the parts to be joined", async || {
        client.head(&url).await.expect(200).offset() == Some(data.len() as u64)
    })
    .await;
    expect_described(&area, prefix, &url, &data).await;
}

fn described(create: Request) -> Request {
    let pairs = [
        ("filename", "Grüße, \"heute\".png"),
        ("filetype", "image/png"),
        ("project", "Tower of 2026"),
    ];
    let metadata = pairs.map(|(key, value)| format!("{key} {}", base64(value)));
    create.header("Upload-Metadata", metadata.join(","))
}

async fn expect_described(area: &Area, prefix: &str, url: &str, data: &[u8]) {
    let object = area.fetch(key_of(url)).await.expect(200);
    assert!(object.body == data, "the object of {} bytes", data.len());
    assert_eq!(object.header("Content-Type"), Some("image/png"));
    let disposition = object.header("Content-Disposition").unwrap();
    assert!(disposition.starts_with("inline"), "{disposition}");
    assert!(
        disposition.contains("filename*=UTF-8''Gr%C3%BC%C3%9Fe"),
        "{disposition}"
    );
    let metadata = |name: &str| object.header(&format!("{prefix}{name}"));
    assert_eq!(metadata("project"), Some("Tower of 2026"), "{object:?}");
    assert_eq!(metadata("tusid"), Some(key_of(url)), "{object:?}");
}

#[tokio::test]
async fn downloads_can_go_to_the_bucket_on_moto() {
    go_to_the_bucket(MOTO).await;
}

#[tokio::test]
async fn downloads_can_go_to_the_bucket_on_minio() {
    go_to_the_bucket(MINIO).await;
}

#[tokio::test]
async fn downloads_can_go_to_the_bucket_on_azurite() {
    go_to_the_bucket(AZURE).await;
}

async fn go_to_the_bucket(store: &'static str) {
    let Some(store) = Store::find(store) else {
        return;
    };
    let area = store.area();
    let node = Node::with(&area, &["--download-redirect", "5m"]);
    let data = content(100_000, 5);
    let url = node.client().upload(&data).await;
    let answer = node.client().get(&url).await.expect(307);
    let signed = answer.header("Location").expect("a 307 says where");
    assert!(
        signed.contains(&store.address()),
        "{signed} is not at the store"
    );
    assert!(get(signed).await.expect(200).body == data);
    let some = get_range(signed, Some("bytes=1000-1999")).await;
    assert!(some.expect(206).body == data[1_000..2_000]);
    // And not without the signature.
    if store.name == MINIO {
        let (bare, _) = signed.split_once('?').expect("a signed URL has a query");
        get(bare).await.expect(403);
    }
    let head = node.client().head(&url).await.expect(200);
    assert_eq!(head.offset(), Some(100_000));
}

#[tokio::test]
async fn downloads_come_from_the_bucket_in_ranges() {
    for store in [MOTO, MINIO, AZURE, GCS] {
        let Some(store) = Store::find(store) else {
            continue;
        };
        let node = Node::with(&store.area(), &["--part-size", "5MiB"]);
        let data = content(11_000_000, 6);
        let url = node.client().upload(&data).await;
        let ask = async |range: &str| -> Response {
            let request = Request::new("GET", &url).header("Range", range);
            node.client().send(request).await
        };
        for (range, bytes) in [
            ("bytes=0-0", 0..1),
            ("bytes=5242879-5242880", 5_242_879..5_242_881),
            ("bytes=4000000-", 4_000_000..11_000_000),
            ("bytes=-17", 10_999_983..11_000_000),
        ] {
            let answer = ask(range).await.expect(206);
            assert!(
                answer.body == data[bytes],
                "{range} of {}: {answer:?}",
                store.name
            );
        }
        ask("bytes=11000000-").await.expect(416);
        assert!(node.client().get(&url).await.expect(200).body == data);
    }
}
