//! OWN: what each owner may have.

use std::sync::Arc;

use tempfile::TempDir;
use tower_tus::{
    TusService,
    service::OwnerLimits,
    storage::{FileStorage, MemoryStorage, Storage},
};

use crate::{
    owners::{by, by_header, create},
    support::{Client, Faults, Faulty, OCTETS, Request, Site, on_each_storage_with, wait},
};

/// A server on a storage that fails on demand, with these limits, once on files and once in memory.
async fn on_each_faulty_storage(own: OwnerLimits, test: impl AsyncFn(Client, Arc<Faults>)) {
    let directory = TempDir::new().unwrap();
    faulty(FileStorage::open(directory.path()).unwrap(), own, &test).await;
    faulty(MemoryStorage::new(), own, &test).await;
}

async fn faulty(storage: impl Storage, own: OwnerLimits, test: impl AsyncFn(Client, Arc<Faults>)) {
    let (storage, faults) = Faulty::new(storage);
    let tus = by_header(TusService::new(storage)).owner_limits(own);
    let site = Site::tus(tus.base_path("/files"));
    test(site.client(), faults).await;
}

/// Makes an upload of ann's, whole.
async fn upload(client: Client, data: &str) -> String {
    let create = create("ann", data.len() as u64).header("Content-Type", OCTETS);
    client.create_with(create.body(data)).await
}

async fn delete(client: Client, url: &str) {
    let delete = Request::new("DELETE", url);
    client.send(by("ann", delete)).await.expect(204);
}

#[tokio::test]
async fn an_owner_has_as_many_uploads_as_allowed_however_they_race() {
    let configure = |tus| by_header(tus).owner_limits(OwnerLimits::default().max_uploads(3));
    on_each_storage_with(configure, async |mut server, client| {
        let requests = (0..12).map(|_| client.send(create("ann", 2)));
        let answers = futures::future::join_all(requests).await;
        let (made, refused): (Vec<_>, Vec<_>) =
            answers.into_iter().partition(|answer| answer.status == 201);
        assert_eq!(made.len(), 3);
        for answer in refused {
            assert_eq!(answer.expect(429).header("Retry-After"), Some("60"));
        }
        client.send(create("bob", 2)).await.expect(201);
        server.restart().await;
        client.send(create("ann", 2)).await.expect(429);

        let urls: Vec<_> = made
            .iter()
            .map(|made| made.header("Location").unwrap())
            .collect();
        let patch = Request::patch(urls[0], 0).body("ab");
        client.send(by("ann", patch)).await.expect(204);
        client.send(create("ann", 2)).await.expect(201);
        client.send(create("ann", 2)).await.expect(429);
        client
            .send(by("ann", Request::new("DELETE", urls[1])))
            .await
            .expect(204);
        client.send(create("ann", 2)).await.expect(201);
        client.send(create("ann", 2)).await.expect(429);
    })
    .await;
}

#[tokio::test]
async fn an_owner_has_as_many_bytes_as_allowed_finished_or_not() {
    let configure = |tus| by_header(tus).owner_limits(OwnerLimits::default().max_stored_bytes(10));
    on_each_storage_with(configure, async |mut server, client| {
        let whole = create("ann", 6)
            .header("Content-Type", OCTETS)
            .body("abcdef");
        let url = client.create_with(whole).await;
        client.send(create("ann", 5)).await.expect(413);
        client.send(create("ann", 4)).await.expect(201);
        client.send(create("ann", 1)).await.expect(413);
        server.restart().await;
        let refused = client.send(create("ann", 1)).await.expect(413);
        assert!(!refused.body.is_empty());
        // Its length could be anything.
        client
            .send(by("ann", Request::deferred()))
            .await
            .expect(400);
        client
            .send(by("ann", Request::new("DELETE", &url)))
            .await
            .expect(204);
        client.send(create("ann", 6)).await.expect(201);
        client.send(create("ann", 1)).await.expect(413);
        // A creation that fails gives its room back.
        client.send(create("bob", 11)).await.expect(413);
        let cut = create("bob", 10).header("Content-Type", OCTETS);
        let wrong = cut.header("Upload-Checksum", "sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        client.send(wrong.body("x")).await.expect(460);
        client.send(create("bob", 10)).await.expect(201);
    })
    .await;
}

#[tokio::test]
async fn what_is_finished_on_another_node_makes_room() {
    let configure = |tus| by_header(tus).owner_limits(OwnerLimits::default().max_uploads(3));
    on_each_storage_with(configure, async |server, client| {
        let other = server.another_node();
        let mut urls = Vec::new();
        for _ in 0..3 {
            urls.push(client.create_with(create("ann", 2)).await);
        }
        for url in &urls {
            let patch = Request::patch(url, 0).body("ab");
            other.client().send(by("ann", patch)).await.expect(204);
        }
        urls.clear();
        for _ in 0..3 {
            urls.push(client.create_with(create("ann", 2)).await);
        }
        client.send(create("ann", 2)).await.expect(429);
        // It looks again after a while.
        delete(other.client(), &urls[0]).await;
        wait::until_true("room", async || {
            client.send(create("ann", 2)).await.status == 201
        })
        .await;
        client.send(create("ann", 2)).await.expect(429);
    })
    .await;
}

#[tokio::test]
async fn bytes_that_another_node_removes_make_room() {
    let configure = |tus| by_header(tus).owner_limits(OwnerLimits::default().max_stored_bytes(10));
    on_each_storage_with(configure, async |server, client| {
        let other = server.another_node();
        let url = upload(client, "abcdef").await;
        client.send(create("ann", 5)).await.expect(413);
        delete(other.client(), &url).await;
        wait::until_true("room", async || {
            client.send(create("ann", 10)).await.status == 201
        })
        .await;
        client.send(create("ann", 1)).await.expect(413);
    })
    .await;
}

#[tokio::test]
async fn bytes_that_a_node_never_counted_make_no_room_on_it() {
    let configure = |tus| by_header(tus).owner_limits(OwnerLimits::default().max_stored_bytes(10));
    on_each_storage_with(configure, async |server, client| {
        let other = server.another_node();
        upload(other.client(), "abc").await;
        let url = upload(client, "abcdef").await;
        delete(other.client(), &url).await;
        other.client().send(create("ann", 8)).await.expect(413);
        other.client().send(create("ann", 7)).await.expect(201);
    })
    .await;
}

#[tokio::test]
async fn an_id_that_is_taken_takes_no_room_and_makes_none() {
    let configure = |tus| {
        by_header(tus)
            .owner_limits(OwnerLimits::default().max_uploads(2))
            .on_create(|creation| {
                let wanted = creation.request().headers.get("x-id");
                let id = wanted.and_then(|id| id.to_str().ok()?.parse().ok());
                if let Some(id) = id {
                    creation.set_id(id);
                }
                Ok(())
            })
    };
    on_each_storage_with(configure, async |_server, client| {
        let make = |id| client.send(create("ann", 1).header("X-Id", id));
        make("one").await.expect(201);
        for _ in 0..3 {
            make("one").await.expect(409);
        }
        make("two").await.expect(201);
        make("three").await.expect(429);
    })
    .await;
}

#[tokio::test]
async fn an_unknown_length_counts_the_same_after_a_restart() {
    let configure = |tus| {
        by_header(tus)
            .max_size(4)
            .owner_limits(OwnerLimits::default().max_stored_bytes(5))
    };
    on_each_storage_with(configure, async |mut server, client| {
        let url = client.create_with(by("ann", Request::deferred())).await;
        client.send(create("ann", 2)).await.expect(413);
        server.restart().await;
        client.send(create("ann", 2)).await.expect(413);
        let patch = Request::patch(&url, 0).header("Upload-Length", "3");
        client.send(by("ann", patch.body("abc"))).await.expect(204);
        client.send(create("ann", 3)).await.expect(413);
        client.send(create("ann", 2)).await.expect(201);
    })
    .await;
}

#[tokio::test]
async fn a_final_without_room_is_not_joined_until_there_is() {
    let configure = |tus| {
        by_header(tus)
            .max_size(4)
            .owner_limits(OwnerLimits::default().max_stored_bytes(10))
    };
    on_each_storage_with(configure, async |mut server, client| {
        let head = |url| client.send(by("ann", Request::new("HEAD", url)));
        let part = Request::create().header("Upload-Defer-Length", "1");
        let part = part.header("Upload-Concat", "partial");
        let part = client.create_with(by("ann", part)).await;
        let mut finals = Vec::new();
        for _ in 0..3 {
            let join = Request::create().header("Upload-Concat", format!("final;{part}"));
            finals.push(client.create_with(by("ann", join)).await);
        }
        let patch = Request::patch(&part, 0).header("Upload-Length", "4");
        client.send(by("ann", patch.body("abcd"))).await.expect(204);
        let joined = async || {
            let mut joined = Vec::new();
            let mut refused = Vec::new();
            for url in &finals {
                match head(url).await.expect_any(&[200, 413]) {
                    head if head.status == 413 => refused.push(url.clone()),
                    head if head.offset() == Some(4) => joined.push(url.clone()),
                    _ => {}
                }
            }
            (joined, refused)
        };
        let (joined, refused) = wait::until("one to be joined", async || {
            let (joined, refused) = joined().await;
            (joined.len() + refused.len() == 3).then_some((joined, refused))
        })
        .await;
        assert_eq!((joined.len(), refused.len()), (1, 2));
        server.restart().await;
        head(&refused[0]).await.expect(413);
        delete(client, &joined[0]).await;
        // There is room for one of them; which, depends on what the recovery is at.
        let head = wait::until("another one to be joined", async || {
            for url in &refused {
                let head = head(url).await.expect_any(&[200, 413]);
                if head.status == 200 && head.offset() == Some(4) {
                    return Some(head);
                }
            }
            None
        })
        .await;
        assert_eq!(head.length(), Some(4));
    })
    .await;
}

#[tokio::test]
async fn nothing_is_let_in_while_nobody_knows_what_there_is() {
    let own = OwnerLimits::default().max_uploads(1);
    on_each_faulty_storage(own, async |client, faults| {
        faults.fail_lists();
        let answer = client.send(create("ann", 2)).await.expect(503);
        assert_eq!(answer.header("Retry-After"), Some("1"));
        client.create(2).await;
        faults.pass_lists();
        wait::until_true("the count", async || {
            client.send(create("ann", 2)).await.status == 201
        })
        .await;
        faults.fail_lists();
        client.send(create("ann", 2)).await.expect(429);
        client.send(create("bob", 2)).await.expect(201);
    })
    .await;
}

#[tokio::test]
async fn while_uploads_are_counted_nobody_else_waits() {
    let own = OwnerLimits::default().max_uploads(3);
    on_each_faulty_storage(own, async |client, faults| {
        faults.stick_lists();
        let counted = client.send(create("ann", 2));
        let others = async {
            wait::until_true("the count to stand still", async || faults.waiting() == 2).await;
            let url = client.upload(b"data").await;
            client.delete(&url).await.expect(204);
            assert_eq!(faults.waiting(), 2);
            faults.pass_lists();
        };
        let (answer, ()) = futures::join!(counted, others);
        answer.expect(201);
    })
    .await;
}

#[tokio::test]
async fn a_finish_that_fails_after_it_took_effect_makes_room() {
    let own = OwnerLimits::default().max_uploads(1);
    on_each_faulty_storage(own, async |client, faults| {
        let url = client.create_with(create("ann", 2)).await;
        faults.fail_next_finish();
        let patch = Request::patch(&url, 0).body("ab");
        client.send(by("ann", patch)).await.expect(500);
        let head = by("ann", Request::new("HEAD", &url));
        assert_eq!(client.send(head).await.expect(200).offset(), Some(2));
        client.send(create("ann", 2)).await.expect(201);
        client.send(create("ann", 2)).await.expect(429);
    })
    .await;
}
