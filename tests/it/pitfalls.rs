//! What other servers do wrong, and what their users suffer from: each test is named by the issue
//! or the peer it comes from. What a requirement of the protocol says is held where that is.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use futures::future::join_all;
use tempfile::TempDir;
use tower_tus::{
    TusService,
    protocol::{KeyTemplate, Upload},
    storage::{Collision, FileStorage},
};

use crate::support::{
    OCTETS, Process, Request, Server, Site, base64, content, on_each_storage, sha1, wait,
};

#[tokio::test]
async fn tusd_1356_downloads_share_an_upload() {
    on_each_storage(async |_, client| {
        let data = content(500_000, 5);
        let url = client.upload(&data).await;
        let gets = join_all((0..20).map(|_| client.get(&url))).await;
        for get in gets {
            assert!(get.expect(200).body == data);
        }
    })
    .await;
}

#[tokio::test]
async fn tusd_1372_no_lock_outlives_its_process() {
    let root = TempDir::new().unwrap();
    let data = content(100_000, 6);
    let mut server = Process::start(root.path());
    let url = server.client().create(100_000).await;
    for step in 1..=4 {
        let client = server.client();
        let (start, end) = ((step - 1) * 20_000, step * 20_000);
        let patch = Request::patch(&url, start as u64).body(&data[start..]);
        let mut connection = client.connect().await;
        connection.write(patch.head_bytes()).await;
        connection.write(&data[start..end]).await;
        wait::until_true("what was sent", async || {
            client.offset(&url).await == end as u64
        })
        .await;
        server.kill();
        server = Process::start(root.path());
    }
    let rest = server.client().patch(&url, 80_000, &data[80_000..]).await;
    rest.expect(204);
    let download = server.client().get(&url).await.expect(200);
    assert!(download.body == data);
}

#[tokio::test]
async fn hyper_a_client_that_leaves_behind_its_last_byte_has_finished_its_upload() {
    on_each_storage(async |server, client| {
        let data = content(100_000, 7);
        for _ in 0..20 {
            let url = client.create(100_000).await;
            let mut connection = client.connect().await;
            let patch = Request::patch(&url, 0).body(&data);
            connection.write(patch.to_bytes()).await;
            drop(connection);
            wait::until_true("the upload to be finished", async || {
                let head = client.head(&url).await;
                head.expect(200).offset() == Some(100_000)
            })
            .await;
            server.assert_stored(&url, &data).await;
        }
    })
    .await;
}

#[tokio::test]
async fn tusd_1299_a_crash_before_the_last_step_is_made_good_by_recovery() {
    let (root, url) = complete_but_unfinished(b"0123456789").await;
    let service = service(&root);
    service.recover().await.unwrap();
    let id = url.rsplit('/').next().unwrap();
    assert_eq!(fs::read(root.path().join(id)).unwrap(), b"0123456789");
    assert!(!root.path().join(".tus").join(format!("{id}.data")).exists());
}

#[tokio::test]
async fn tusd_1299_a_crash_before_the_last_step_is_made_good_by_any_request() {
    for (method, status) in [("HEAD", 200), ("PATCH", 204), ("GET", 200)] {
        let (root, url) = complete_but_unfinished(b"0123456789").await;
        let site = Site::tus(service(&root));
        let request = match method {
            "PATCH" => Request::patch(&url, 10).body(b""),
            _ => Request::new(method, &url),
        };
        let answer = site.client().send(request).await.expect(status);
        // Whoever is told that all is there finds it there.
        let id = url.rsplit('/').next().unwrap();
        assert_eq!(fs::read(root.path().join(id)).unwrap(), b"0123456789");
        if method != "GET" {
            assert_eq!(answer.offset(), Some(10), "{method}");
        }
    }
}

/// What a process leaves that is killed between the last byte and the rename.
async fn complete_but_unfinished(data: &[u8]) -> (TempDir, String) {
    let root = TempDir::new().unwrap();
    let site = Site::tus(service(&root));
    let url = site.client().create(data.len() as u64).await;
    drop(site);
    let id = url.rsplit('/').next().unwrap();
    let path = root.path().join(".tus").join(format!("{id}.data"));
    assert!(path.exists(), "the layout has changed");
    fs::write(path, data).unwrap();
    (root, url)
}

fn service(root: &TempDir) -> TusService {
    TusService::new(FileStorage::open(root.path()).unwrap()).base_path("/files")
}

#[tokio::test]
async fn tusd_1299_a_finish_that_failed_is_driven_again_by_head() {
    let server = Server::with(|tus| tus.key(KeyTemplate::parse("{filename}").unwrap()));
    let client = server.client();
    let create = Request::create()
        .header("Upload-Length", "4")
        .header("Upload-Metadata", format!("filename {}", base64("a.txt")));
    let url = client.create_with(create).await;
    let place = server.root().join("a.txt");
    fs::write(&place, "somebody else's").unwrap();
    client.patch(&url, 0, b"data").await.expect(409);
    // All bytes are there, but not in their place: the full offset is not told.
    let head = client.head(&url).await.expect(409);
    assert_eq!(head.offset(), None);
    assert_eq!(fs::read(&place).unwrap(), b"somebody else's");
    fs::remove_file(&place).unwrap();
    assert_eq!(client.offset(&url).await, 4);
    assert_eq!(fs::read(&place).unwrap(), b"data");
}

#[tokio::test]
async fn tusd_1183_a_final_upload_cut_by_a_crash_is_joined_by_recovery() {
    let root = TempDir::new().unwrap();
    let site = Site::tus(service(&root));
    let client = site.client();
    let done = client.part(b"done ").await;
    let open = client.create_with(Request::partial(4)).await;
    let joined = client.join(&[&done, &open]).await;
    drop(site);
    // The last part's bytes arrive, and the process dies with them.
    let id = open.rsplit('/').next().unwrap();
    fs::write(root.path().join(".tus").join(format!("{id}.data")), "late").unwrap();
    // So does half of the final's.
    let id = joined.rsplit('/').next().unwrap();
    fs::write(
        root.path().join(".tus").join(format!("{id}.data")),
        "done l",
    )
    .unwrap();

    let service = service(&root);
    let site = Site::tus(service.clone());
    service.recover().await.unwrap();
    wait::until_true("the final upload", async || {
        site.client().head(&joined).await.expect(200).offset() == Some(9)
    })
    .await;
    assert_eq!(fs::read(root.path().join(id)).unwrap(), b"done late");
}

#[tokio::test]
async fn tusd_1109_chosen_names_never_meet_the_files_of_the_storage() {
    // The worst application: the client's word is the key.
    let obedient = |upload: &Upload| upload.metadata.get_str("key").unwrap_or_default().parse();
    let server = Server::with(move |tus| tus.key(KeyTemplate::from_fn(obedient)));
    let client = server.client();
    let victim = client
        .create_with(keyed("victim").header("Upload-Length", "6"))
        .await;
    client.patch(&victim, 0, b"vic").await.expect(204);
    let id = victim.rsplit('/').next().unwrap();
    let before = server.files();
    for key in [
        "",
        ".",
        "..",
        "../outside",
        "a/../../outside",
        "/etc/passwd",
        "a//b",
        "a/",
        ".tus",
        ".tus/x",
        ".TUS/x",
        ".tus.info",
        "a\0b",
        "a\\b",
        "c:evil",
        "a\r\nb",
        &format!(".tus/{id}.data"),
        &format!("./.tus/{id}.info"),
        &"a".repeat(300),
        &"a/".repeat(1_000),
    ] {
        let create = keyed(key).header("Upload-Length", "0");
        client.send(create).await.expect(400);
        assert_eq!(server.files(), before, "{key:?}");
    }
    client.patch(&victim, 3, b"tim").await.expect(204);
    assert_eq!(fs::read(server.root().join("victim")).unwrap(), b"victim");
}

fn keyed(key: &str) -> Request {
    Request::create().header("Upload-Metadata", format!("key {}", base64(key)))
}

#[tokio::test]
async fn tusd_250_nothing_is_left_of_what_was_interrupted_refused_or_deleted() {
    let server = Server::file();
    let client = server.client();
    let data = content(600_000, 8);
    let deleted = client.create(600_000).await;
    let wrong = Request::patch(&deleted, 0).header("Upload-Checksum", sha1(b"other"));
    client.send(wrong.body(&data)).await.expect(460);
    let mut cut = client.connect().await;
    let patch = Request::patch(&deleted, 0).body(&data);
    cut.write(&patch.to_bytes()[..100_000]).await;
    cut.reset();
    client.delete(&deleted).await.expect(204);
    let refused = Request::create()
        .header("Upload-Length", "5")
        .header("Content-Type", OCTETS)
        .header("Upload-Checksum", sha1(b"other"));
    client.send(refused.body(b"12345")).await.expect(460);
    let finished = client.upload(&data).await;
    let part = client.part(b"part").await;
    let joined = client.join(&[&part]).await;
    for url in [&finished, &part, &joined] {
        client.delete(url).await.expect(204);
    }
    wait::until_true("the directory to be empty", async || {
        server.files().is_empty()
    })
    .await;
}

#[tokio::test]
async fn tusd_250_what_a_crash_left_behind_is_reclaimed_by_a_sweep() {
    let root = TempDir::new().unwrap();
    let site = Site::tus(service(&root));
    let open = site.client().create(10).await;
    drop(site);
    let own = root.path().join(".tus");
    let long_ago = SystemTime::now() - Duration::from_secs(48 * 60 * 60);
    let leave = |name: &str, changed| {
        let file = fs::File::create(own.join(name)).unwrap();
        file.set_len(1000).unwrap();
        file.set_modified(changed).unwrap();
    };
    leave("aaaa.data", long_ago);
    leave("bbbb.tmp", long_ago);
    leave("cccc.data", SystemTime::now());
    // No request has started the sweeper of this one.
    let swept = service(&root).sweep().await.unwrap();
    assert_eq!((swept.uploads, swept.bytes), (0, 2000));
    assert!(!own.join("aaaa.data").exists() && !own.join("bbbb.tmp").exists());
    assert!(own.join("cccc.data").exists(), "it may be in the making");
    let site = Site::tus(service(&root));
    assert_eq!(site.client().offset(&open).await, 0);
}

#[tokio::test]
async fn tus_node_expiry_by_a_stale_offset_never_removes_a_finished_file() {
    let mut server = Server::with(|tus| tus.expires_after(Duration::from_millis(1)));
    let root = server.root().to_owned();
    // A lifetime so short needs its bytes with the creation.
    let create = Request::create()
        .header("Upload-Length", "8")
        .header("Content-Type", OCTETS);
    let url = server.client().create_with(create.body(b"finished")).await;
    let id = url.rsplit('/').next().unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(48 * 60 * 60);
    for path in [root.join(id), root.join(".tus").join(format!("{id}.info"))] {
        let file = fs::File::options().append(true).open(path).unwrap();
        file.set_modified(long_ago).unwrap();
    }
    server.restart().await;
    let dry = server.tus().sweep_dry_run().await.unwrap();
    let swept = server.tus().sweep().await.unwrap();
    assert_eq!((dry.uploads, swept.uploads, swept.bytes), (0, 0, 0));
    server.assert_stored(&url, b"finished").await;
}

#[tokio::test]
async fn tusd_1003_of_two_uploads_of_one_name_neither_is_mixed_nor_lost() {
    for collision in [Collision::Refuse, Collision::Replace] {
        let root = TempDir::new().unwrap();
        let storage = FileStorage::open(root.path()).unwrap().collision(collision);
        let key = KeyTemplate::parse("{filename}").unwrap();
        let site = Site::tus(TusService::new(storage).base_path("/files").key(key));
        let client = site.client();
        let create = || {
            Request::create()
                .header("Upload-Length", "5")
                .header("Upload-Metadata", format!("filename {}", base64("same")))
        };
        let first = client.create_with(create()).await;
        let second = client.create_with(create()).await;
        client.patch(&first, 0, b"first").await.expect(204);
        let answer = client.patch(&second, 0, b"other").await;
        let stored = fs::read(root.path().join("same")).unwrap();
        // Deleting the one never deletes the other's file.
        let loser = if collision == Collision::Refuse {
            answer.expect(409);
            assert_eq!(stored, b"first");
            client.send(create()).await.expect(409);
            &second
        } else {
            answer.expect(204);
            assert_eq!(stored, b"other");
            &first
        };
        client.delete(loser).await.expect(204);
        assert_eq!(fs::read(root.path().join("same")).unwrap(), stored);
    }
}
