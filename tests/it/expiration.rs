//! EXP: unfinished uploads end by themselves.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use tower_tus::{
    TusService,
    protocol::{Extension, Extensions, Length, Upload},
    storage::{FileStorage, Storage},
};

use crate::support::{
    Client, OCTETS, Request, Response, Server, on_each_storage, on_each_storage_with, wait,
};

#[tokio::test]
async fn exp_01_02_03_answers_say_when_an_unfinished_upload_ends() {
    on_each_storage_with(an_hour, async |_server, client| {
        let create = Request::create().header("Upload-Length", "10");
        let created = client.send(create.clone()).await.expect(201);
        assert_in_an_hour(&created);
        let url = created.header("Location").unwrap();
        assert_in_an_hour(&client.patch(url, 0, b"01234").await.expect(204));
        assert_in_an_hour(&client.patch(url, 5, b"").await.expect(204));
        assert_in_an_hour(
            &client
                .send(Request::patch(url, 5).chunked("5", 1))
                .await
                .expect(204),
        );
        assert_in_an_hour(&client.head(url).await.expect(200));

        let with_upload = create.header("Content-Type", OCTETS).body("01234");
        assert_in_an_hour(&client.send(with_upload).await.expect(201));
        let deferred = Request::deferred();
        assert_in_an_hour(&client.send(deferred).await.expect(201));
    })
    .await;
}

#[tokio::test]
async fn exp_10_progress_moves_the_date() {
    on_each_storage_with(an_hour, async |_server, client| {
        let url = client.create(1_000_000).await;
        let first = expires(&client.patch(&url, 0, b"x").await.expect(204));
        let mut offset = 1;
        wait::until_true("a later date", async || {
            let response = client.patch(&url, offset, b"x").await.expect(204);
            offset += 1;
            expires(&response) > first
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn exp_08_no_date_without_the_extension() {
    let off =
        |tus: TusService| an_hour(tus).extensions(Extensions::all().without(Extension::Expiration));
    for server in [Server::file(), Server::memory(), Server::with(off)] {
        let client = server.client();
        let options = client.options("/files").await.expect(204);
        let announced = options.list("Tus-Extension").contains(&"expiration");
        let created = client
            .send(Request::create().header("Upload-Length", "4"))
            .await
            .expect(201);
        let url = created.header("Location").unwrap();
        let patched = client.patch(url, 0, b"da").await.expect(204);
        let head = client.head(url).await.expect(200);
        for response in [&created, &patched, &head] {
            // Announced or not: these servers keep everything for ever.
            assert_eq!(
                response.header("Upload-Expires"),
                None,
                "announced: {announced}"
            );
        }
    }
    let server = Server::with(an_hour);
    let options = server.client().options("/files").await.expect(204);
    assert!(options.list("Tus-Extension").contains(&"expiration"));
}

#[tokio::test]
async fn exp_04_05_11_an_upload_without_progress_ends() {
    on_each_storage_with(soon, async |server, client| {
        let touched = client.create(4).await;
        client.patch(&touched, 0, b"da").await;
        let never_touched = client.create(4).await;
        let deferred = client.create_with(Request::deferred()).await;
        for url in [&touched, &never_touched, &deferred] {
            let response = gone(client, url).await;
            assert_eq!(response.offset(), None);
            let patch = client.patch(url, 0, b"data").await.expect_any(&[404, 410]);
            assert_eq!(patch.offset(), None);
            let patch = client.patch(url, 2, b"ta").await.expect_any(&[404, 410]);
            assert_eq!(patch.offset(), None);
            client.get(url).await.expect_any(&[404, 410]);
        }
        wait::until_true("the files to go", async || {
            !server
                .files()
                .iter()
                .any(|file| file.extension().is_some_and(|e| e == "data"))
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn exp_09_a_finished_upload_does_not_end() {
    on_each_storage_with(soon, async |server, client| {
        let create = Request::create().header("Content-Type", OCTETS);
        let whole = create.clone().header("Upload-Length", "4").body("data");
        let whole = client.create_with(whole).await;
        let empty = client
            .create_with(create.header("Upload-Length", "0").body(""))
            .await;
        for _ in 0..2 {
            // Sweeps went by: unfinished uploads, begun after it, are gone.
            let other = client.create(4).await;
            gone(client, &other).await;
            server.tus().sweep().await.unwrap();
            assert_eq!(client.offset(&whole).await, 4);
            server.assert_stored(&whole, b"data").await;
            server.assert_stored(&empty, b"").await;
            assert_eq!(
                client.patch(&whole, 4, b"").await.expect(204).offset(),
                Some(4)
            );
        }
    })
    .await;
}

#[tokio::test]
async fn exp_06_deleting_an_expired_upload_is_no_error_of_the_server() {
    on_each_storage_with(soon, async |_server, client| {
        let url = client.create(4).await;
        gone(client, &url).await;
        client.delete(&url).await.expect_any(&[204, 404, 410]);
        client.delete(&url).await.expect_any(&[404, 410]);
    })
    .await;
}

#[tokio::test]
async fn exp_07_an_expired_part_cannot_be_concatenated() {
    on_each_storage_with(soon, async |_server, client| {
        let partial = Request::partial(4);
        let part = client.create_with(partial).await;
        gone(client, &part).await;
        let whole = Request::create().header("Upload-Concat", format!("final;{part}"));
        let response = client.send(whole).await.expect_refused();
        assert_eq!(response.header("Location"), None);
    })
    .await;
}

#[tokio::test]
async fn exp_05_a_sweep_tells_what_it_would_remove_before_it_does() {
    // No request is sent before the sweeps, so the service does not sweep by itself meanwhile.
    let server = Server::with(|tus| tus.expires_after(Duration::from_secs(1)));
    let storage = FileStorage::open(server.root()).unwrap();
    let make = async |id: &str, length| {
        let id = id.parse().unwrap();
        let mut upload = Upload::new(id, Length::Known(length), SystemTime::now());
        upload.lifetime = Some(Duration::from_millis(1));
        storage.create(&upload).await.unwrap();
        storage.load(&upload.id).await.unwrap()
    };
    let finished = make("finished", 0).await;
    storage.finish(&finished).await.unwrap();
    let upload = make("unfinished", 4).await;
    wait::until("the upload to expire", async || {
        upload.is_expired(SystemTime::now()).then_some(())
    })
    .await;

    let files = server.files();
    let told = server.tus().sweep_dry_run().await.unwrap();
    assert_eq!((told.uploads, server.files()), (1, files));
    assert_eq!(server.tus().sweep().await.unwrap(), told);
    let left = server.files();
    let of_it = |file: &PathBuf| file.to_string_lossy().contains("unfinished");
    assert!(!left.iter().any(of_it), "{left:?}");
    server.assert_stored("/files/finished", b"").await;
}

#[tokio::test]
async fn exp_09_without_expiry_nothing_is_swept() {
    on_each_storage(async |server, client| {
        let url = client.create(4).await;
        client.patch(&url, 0, b"da").await.expect(204);
        server.tus().sweep().await.unwrap();
        client.patch(&url, 2, b"ta").await.expect(204);
        server.assert_stored(&url, b"data").await;
    })
    .await;
}

fn an_hour(tus: TusService) -> TusService {
    tus.expires_after(Duration::from_secs(3600))
}

fn soon(tus: TusService) -> TusService {
    tus.expires_after(Duration::from_millis(300))
        .sweep_every(Duration::from_millis(50))
}

/// Waits until the upload has expired, and gives the answer that says so.
async fn gone(client: Client, url: &str) -> Response {
    wait::until("the upload to expire", async || {
        let head = client.head(url).await;
        (head.status != 200).then_some(head)
    })
    .await
    .expect_any(&[404, 410])
}

/// The date of `Upload-Expires`, which has to be an IMF-fixdate with the right day of the week.
#[track_caller]
fn expires(response: &Response) -> SystemTime {
    let text = response.header("Upload-Expires").expect("Upload-Expires");
    let date = httpdate::parse_http_date(text).expect("a date");
    assert_eq!(httpdate::fmt_http_date(date), text);
    date
}

#[track_caller]
fn assert_in_an_hour(response: &Response) {
    let left = expires(response)
        .duration_since(SystemTime::now())
        .expect("a date to come");
    let hour = Duration::from_secs(3600);
    assert!(
        left <= hour + Duration::from_secs(1) && left > hour / 2,
        "{left:?}"
    );
}
