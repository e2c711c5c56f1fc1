//! Several requests at one upload, several uploads at once, and two servers on one directory (CCY).
//!
//! Nothing here waits for a while and hopes: whatever has to have happened is asked for by HEAD.

use std::{collections::BTreeSet, time::Duration};

use futures::future::{join, join_all};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::support::{
    Client, Connection, Process, Request, Response, Server, content, on_each_storage, wait,
};

#[tokio::test]
async fn ccy_01_13_of_two_small_patches_at_one_offset_one_wins() {
    on_each_storage(async |server, client| {
        for round in 0..40 {
            race(&server, client, 1_000, round).await;
        }
    })
    .await;
}

#[tokio::test]
async fn ccy_02_13_of_two_large_patches_at_one_offset_one_wins() {
    on_each_storage(async |server, client| {
        for round in 0..4 {
            race(&server, client, 4 << 20, round).await;
        }
    })
    .await;
}

/// Two PATCHes that would both fill the upload, on connections that are open already.
async fn race(server: &Server, client: Client, length: usize, seed: u64) {
    let url = client.create(length as u64).await;
    let bodies = [content(length, 2 * seed), content(length, 2 * seed + 1)];
    let [a, b] = bodies.each_ref().map(|body| {
        let patch = Request::patch(&url, 0).body(body);
        async move { client.connect().await.send(&patch).await }
    });
    let (a, b) = join(a, b).await;
    let winner = only_winner(&[&a, &b]);
    let won = [a, b][winner].offset();
    assert_eq!(won, Some(length as u64));
    server.assert_stored(&url, &bodies[winner]).await;
}

/// Which of these was acknowledged; all others have to be told that they were not.
#[track_caller]
fn only_winner(answers: &[&Response]) -> usize {
    let winners: Vec<_> = (0..answers.len())
        .filter(|&it| answers[it].status == 204)
        .collect();
    assert_eq!(winners.len(), 1, "not one winner: {answers:?}");
    for (at, answer) in answers.iter().enumerate() {
        assert!(at == winners[0] || answer.status == 409, "{answer:?}");
    }
    winners[0]
}

#[tokio::test]
async fn ccy_03_a_patch_at_a_wrong_offset_leaves_the_running_one_alone() {
    on_each_storage(async |server, client| {
        let data = content(200_000, 3);
        let url = client.create(200_000).await;
        let mut running = begin(client, &url, &data, 0, 100_000).await;
        for wrong in [0, 99_999, 100_001, 200_000] {
            let refused = client.patch(&url, wrong, b"x").await.expect(409);
            assert_eq!(refused.offset(), Some(100_000), "at {wrong}");
        }
        running.write(&data[100_000..]).await;
        let done = running.response("PATCH").await.expect(204);
        assert_eq!(done.offset(), Some(200_000));
        server.assert_stored(&url, &data).await;
    })
    .await;
}

#[tokio::test]
async fn ccy_03_of_many_newcomers_at_one_offset_one_wins() {
    on_each_storage(async |server, client| {
        let data = content(100_000, 4);
        let url = client.create(100_000).await;
        let mut running = begin(client, &url, &data, 0, 40_000).await;
        let bodies: Vec<_> = (0..8).map(|seed| content(60_000, 100 + seed)).collect();
        let answers = bodies.iter().map(|body| client.patch(&url, 40_000, body));
        let answers = join_all(answers).await;
        let winner = only_winner(&answers.iter().collect::<Vec<_>>());
        running.response("PATCH").await.expect(409);
        let expected = [&data[..40_000], &bodies[winner]].concat();
        server.assert_stored(&url, &expected).await;
    })
    .await;
}

#[tokio::test]
async fn ccy_04_a_delete_during_a_patch_is_final() {
    on_each_storage(async |server, client| {
        let data = content(200_000, 5);
        let url = client.create(200_000).await;
        let mut running = begin(client, &url, &data, 0, 100_000).await;
        client.delete(&url).await.expect(204);
        client.head(&url).await.expect(404);
        // The old connection may be closed, and may not be: both are fine, resurrection is not.
        let _ = running.try_write(&data[100_000..]).await;
        if let Ok(answer) = running.try_response("PATCH").await {
            answer.expect_any(&[404, 409, 410]);
        }
        client.head(&url).await.expect(404);
        client.patch(&url, 100_000, b"x").await.expect(404);
        wait::until_true("the files to be gone", async || server.files().is_empty()).await;
    })
    .await;
}

#[tokio::test]
async fn ccy_05_11_head_during_a_patch_tells_what_is_kept_and_never_less() {
    on_each_storage(async |_, client| {
        let data = content(2_000_000, 6);
        let url = client.create(2_000_000).await;
        let mut seen = vec![0];
        let mut running = begin(client, &url, &data, 0, 1).await;
        let send = async {
            for piece in data[1..1_500_000].chunks(50_000) {
                running.write(piece).await;
            }
            running
        };
        let mut send = std::pin::pin!(send);
        let running = loop {
            tokio::select! {
                running = &mut send => break running,
                offset = client.offset(&url) => seen.push(offset),
            }
        };
        wait::until_true("all that was sent", async || {
            seen.push(client.offset(&url).await);
            seen.last() == Some(&1_500_000)
        })
        .await;
        assert!(seen.is_sorted(), "offsets went back: {seen:?}");
        running.reset();
        let answer = client.patch(&url, 1_500_000, &data[1_500_000..]).await;
        answer.expect(204);
        assert!(client.get(&url).await.expect(200).body == data);
    })
    .await;
}

#[tokio::test]
async fn ccy_11_heads_neither_wait_for_a_patch_nor_end_it() {
    on_each_storage(async |server, client| {
        let data = content(100_000, 7);
        let url = client.create(100_000).await;
        // It stays open for longer than any answer may take.
        let mut running = begin(client, &url, &data, 0, 60_000).await;
        let heads = join_all((0..50).map(|_| client.offset(&url))).await;
        assert_eq!(heads, [60_000; 50]);
        running.write(&data[60_000..]).await;
        running.response("PATCH").await.expect(204);
        server.assert_stored(&url, &data).await;
    })
    .await;
}

#[tokio::test]
async fn ccy_07_many_uploads_at_once_do_not_mix() {
    on_each_storage(async |server, client| {
        let files: Vec<_> = (0..24)
            .map(|seed| content(150_000 + 1_001 * seed, 700 + seed as u64))
            .collect();
        let uploads = files.iter().enumerate().map(async |(at, data)| {
            let url = client.create(data.len() as u64).await;
            let mut connection = client.connect().await;
            let mut offset = 0;
            for piece in data.chunks(20_000 + 999 * at) {
                let patch = Request::patch(&url, offset);
                let patch = match at % 2 {
                    0 => patch.body(piece),
                    _ => patch.chunked(piece, 7_000),
                };
                let answer = connection.send(&patch).await.expect(204);
                offset += piece.len() as u64;
                assert_eq!(answer.offset(), Some(offset));
            }
            url
        });
        for (url, data) in join_all(uploads).await.iter().zip(&files) {
            server.assert_stored(url, data).await;
        }
    })
    .await;
}

#[tokio::test]
async fn ccy_08_a_hanging_patch_does_not_keep_its_client_from_going_on() {
    on_each_storage(async |server, client| {
        let data = content(300_000, 8);
        let url = client.create(300_000).await;
        let hanging = begin(client, &url, &data, 0, 100_000).await;
        let resumed = async {
            let offset = client.offset(&url).await;
            client.patch(&url, offset, &data[offset as usize..]).await
        };
        let answer = timeout(Duration::from_secs(20), resumed).await.unwrap();
        assert_eq!(answer.expect(204).offset(), Some(300_000));
        server.assert_stored(&url, &data).await;
        drop(hanging);
    })
    .await;
}

#[tokio::test]
async fn ccy_08_a_hanging_checksummed_patch_does_not_either() {
    on_each_storage(async |server, client| {
        let data = content(600_000, 9);
        let url = client.create(600_000).await;
        let patch = Request::patch(&url, 0)
            .header("Upload-Checksum", crate::support::sha1(&data))
            .body(&data);
        let mut hanging = client.connect().await;
        hanging.write(patch.head_bytes()).await;
        hanging.write(&data[..500_000]).await;
        // Nothing of it counts, so the next one starts where it did.
        let resumed = async {
            assert_eq!(client.offset(&url).await, 0);
            client.patch(&url, 0, &data).await
        };
        let answer = timeout(Duration::from_secs(20), resumed).await.unwrap();
        answer.expect(204);
        server.assert_stored(&url, &data).await;
        if let Ok(answer) = hanging.try_response("PATCH").await {
            answer.expect(409);
        }
    })
    .await;
}

#[tokio::test]
async fn ccy_09_late_bytes_of_a_superseded_connection_are_not_stored() {
    on_each_storage(async |server, client| {
        let old_data = content(300_000, 10);
        let new_data = content(300_000, 11);
        let url = client.create(300_000).await;
        let mut old = begin(client, &url, &old_data, 0, 100_000).await;
        let mut new = begin(client, &url, &new_data, 100_000, 150_000).await;
        let _ = old.try_write(&old_data[100_000..250_000]).await;
        new.write(&new_data[150_000..200_000]).await;
        let _ = old.try_write(&old_data[250_000..]).await;
        new.write(&new_data[200_000..]).await;
        assert_eq!(
            new.response("PATCH").await.expect(204).offset(),
            Some(300_000)
        );
        let answer = old.response("PATCH").await.expect(409);
        assert_eq!(answer.offset(), Some(100_000));
        let expected = [&old_data[..100_000], &new_data[100_000..]].concat();
        server.assert_stored(&url, &expected).await;
    })
    .await;
}

#[tokio::test]
async fn ccy_10_many_creations_at_once_are_many_uploads() {
    on_each_storage(async |_, client| {
        let urls = join_all((0..60).map(|length| client.create(length))).await;
        for (length, url) in (0..).zip(&urls) {
            let head = client.head(url).await.expect(200);
            assert_eq!((head.offset(), head.length()), (Some(0), Some(length)));
        }
        assert_eq!(urls.iter().collect::<BTreeSet<_>>().len(), 60);
    })
    .await;
}

#[tokio::test]
async fn ccy_12_two_finals_of_the_same_parts_at_once_are_both_whole() {
    on_each_storage(async |server, client| {
        let (a, b) = (content(300_000, 12), content(200_001, 13));
        let parts = [client.part(&a).await, client.part(&b).await];
        let back = [&parts[1], &parts[0]];
        let (there, back) = join(client.join(&parts), client.join(&back)).await;
        assert_ne!(there, back);
        server
            .assert_stored(&there, &[a.clone(), b.clone()].concat())
            .await;
        server.assert_stored(&back, &[b, a].concat()).await;
    })
    .await;
}

#[tokio::test]
async fn ccy_12_two_finals_that_wait_for_one_part_are_both_made() {
    on_each_storage(async |server, client| {
        let data = content(100_000, 14);
        let part = client.create_with(Request::partial(100_000)).await;
        let (one, two) = join(client.join(&[&part]), client.join(&[&part, &part])).await;
        client.patch(&part, 0, &data).await.expect(204);
        for (url, times) in [(one, 1), (two, 2)] {
            wait::until_true("the final upload", async || {
                client.head(&url).await.expect(200).offset().is_some()
            })
            .await;
            server.assert_stored(&url, &data.repeat(times)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn ccy_01_a_second_process_is_kept_out_until_the_first_is_gone() {
    let root = TempDir::new().unwrap();
    let mut first = Process::start(root.path());
    let second = Process::start(root.path());
    let data = content(300_000, 15);
    let url = first.client().create(300_000).await;
    let _running = begin(first.client(), &url, &data, 0, 100_000).await;

    let client = second.client();
    assert_eq!(client.offset(&url).await, 100_000);
    let refused = client.patch(&url, 100_000, b"another").await.expect(423);
    assert_eq!(refused.offset(), Some(100_000));
    assert_eq!(client.offset(&url).await, 100_000);

    first.kill();
    let answer = client.patch(&url, 100_000, &data[100_000..]).await;
    assert_eq!(answer.expect(204).offset(), Some(300_000));
    let id = url.rsplit('/').next().unwrap();
    assert!(std::fs::read(root.path().join(id)).unwrap() == data);
}

#[tokio::test]
async fn ccy_02_two_processes_never_mix_their_bytes() {
    let root = TempDir::new().unwrap();
    let servers = [Process::start(root.path()), Process::start(root.path())];
    for round in 0..30 {
        let length = if round % 3 == 0 { 1_000_000 } else { 500 };
        let url = servers[0].client().create(length as u64).await;
        let bodies = [content(length, 2 * round), content(length, 2 * round + 1)];
        let patches = servers.iter().zip(&bodies);
        let patches = patches.map(|(server, body)| server.client().patch(&url, 0, body));
        let answers = join_all(patches).await;
        let winners: Vec<_> = (0..2).filter(|&it| answers[it].status == 204).collect();
        assert_eq!(winners.len(), 1, "{answers:?}");
        let loser = &answers[1 - winners[0]];
        assert!(matches!(loser.status, 409 | 423), "{loser:?}");
        let id = url.rsplit('/').next().unwrap();
        let stored = std::fs::read(root.path().join(id)).unwrap();
        assert!(stored == bodies[winners[0]], "round {round} is mixed");
    }
}

#[tokio::test]
async fn ccy_04_a_delete_in_another_process_is_final() {
    let root = TempDir::new().unwrap();
    let first = Process::start(root.path());
    let second = Process::start(root.path());
    let data = content(200_000, 16);
    let url = first.client().create(200_000).await;
    let mut running = begin(first.client(), &url, &data, 0, 100_000).await;
    second.client().delete(&url).await.expect_any(&[204, 423]);
    let is_gone = second.client().head(&url).await.status == 404;
    let _ = running.try_write(&data[100_000..]).await;
    let status = running.response("PATCH").await.status;
    match is_gone {
        true => {
            assert_eq!(status, 404, "bytes of a deleted upload are acknowledged");
            first.client().head(&url).await.expect(404);
            let files: Vec<_> = std::fs::read_dir(root.path().join(".tus"))
                .unwrap()
                .collect();
            assert!(files.is_empty(), "{files:?}");
        }
        false => assert_eq!(status, 204),
    }
}

/// A PATCH of all of `data` from `start` on, of which what stands before `end` has been stored.
async fn begin(client: Client, url: &str, data: &[u8], start: usize, end: usize) -> Connection {
    let patch = Request::patch(url, start as u64).body(&data[start..]);
    let mut connection = client.connect().await;
    connection.write(patch.head_bytes()).await;
    connection.write(&data[start..end]).await;
    wait::until_true("what was sent", async || {
        client.offset(url).await == end as u64
    })
    .await;
    connection
}
