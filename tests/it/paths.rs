//! Targets that name no upload, or name it oddly: nothing outside of the root is ever reached (ROB).

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use tower_tus::{
    TusService,
    storage::{FileStorage, MemoryStorage},
};

use crate::support::{Client, Request, Server, Site, on_each_storage};

#[tokio::test]
async fn rob_01_02_31_hostile_ids_are_refused_and_reach_nothing_outside() {
    let outer = TempDir::new().unwrap();
    let root = outer.path().join("a/root");
    fs::write(outer.path().join("secret"), "outside").unwrap();
    fs::create_dir_all(&root).unwrap();
    fs::write(root.join("../secret"), "outside").unwrap();
    let storage = FileStorage::open(&root).unwrap();
    let site = Site::tus(TusService::new(storage).base_path("/files"));
    let before = tree(outer.path());

    for id in hostile_ids() {
        for method in ["HEAD", "GET", "PATCH", "DELETE", "POST"] {
            let request = match method {
                "PATCH" => Request::patch("/files/x", 0).body(b"intruder"),
                _ => Request::new(method, "/files/x").header("Upload-Length", "4"),
            };
            let bytes = aimed_at(request, &id);
            let mut connection = site.client().connect().await;
            let _ = connection.try_write(bytes).await;
            // Long lines end the connection at hyper, some of them without an answer.
            if let Ok(answer) = connection.try_response(method).await {
                let shown = id[..id.len().min(40)].escape_ascii();
                assert!(
                    (400..500).contains(&answer.status),
                    "{method} {shown}: {answer:?}"
                );
                assert!(answer.offset().is_none(), "{method} {shown}: {answer:?}");
            }
        }
        assert_eq!(tree(outer.path()), before, "{}", id.escape_ascii());
    }
    // Still alive, and still working.
    site.client().upload(b"fine").await;
}

#[tokio::test]
async fn rob_03_side_files_are_no_uploads() {
    let server = Server::file();
    let client = server.client();
    let url = client.create(10).await;
    client.patch(&url, 0, b"12345").await.expect(204);
    let finished = client.upload(b"finished").await;
    let part = client.part(b"part").await;
    let before = tree(server.root());
    for url in [&url, &finished, &part] {
        let id = url.rsplit('/').next().unwrap();
        for name in [
            format!("{id}.info"),
            format!("{id}.data"),
            format!("{id}.json"),
            format!("{id}.part"),
            format!("{id}.lock"),
            format!("{id}.tmp"),
            format!(".tus/{id}"),
            format!(".tus/{id}.info"),
            format!("%2etus%2f{id}.data"),
        ] {
            let target = format!("/files/{name}");
            for method in ["HEAD", "GET", "DELETE"] {
                let answer = client.send(Request::new(method, &target)).await;
                answer.expect(404);
            }
            client.patch(&target, 5, b"67890").await.expect(404);
        }
    }
    assert_eq!(tree(server.root()), before);
}

#[tokio::test]
async fn rob_31_the_memory_storage_refuses_hostile_ids_as_well() {
    let site = Site::tus(TusService::new(MemoryStorage::new()).base_path("/files"));
    for id in hostile_ids() {
        refuses(site.client(), &id).await;
    }
}

async fn refuses(client: Client, id: &[u8]) {
    let mut connection = client.connect().await;
    let request = aimed_at(Request::new("GET", "/files/x"), id);
    let _ = connection.try_write(request).await;
    if let Ok(answer) = connection.try_response("GET").await {
        answer.expect_refused();
    }
}

#[tokio::test]
async fn rob_05_a_trailing_slash_means_the_same_upload_or_none() {
    on_each_storage(async |server, client| {
        let url = client.create(5).await;
        let slash = format!("{url}/");
        let head = client.head(&slash).await.expect_any(&[200, 404]);
        if head.status == 200 {
            assert_eq!(head.offset(), Some(0));
            client.patch(&slash, 0, b"12345").await.expect(204);
        } else {
            client.patch(&slash, 0, b"12345").await.expect(404);
            client.patch(&url, 0, b"12345").await.expect(204);
        }
        server.assert_stored(&url, b"12345").await;
    })
    .await;
}

#[tokio::test]
async fn rob_16_a_query_string_does_not_name_another_upload() {
    on_each_storage(async |server, client| {
        let url = client.create(5).await;
        for query in ["?", "?a=b", "?../../x", "?id=other#"] {
            let head = client.head(&format!("{url}{query}")).await;
            assert_eq!(head.expect(200).offset(), Some(0), "{query}");
        }
        let patch = client.patch(&format!("{url}?x=y"), 0, b"12345").await;
        patch.expect(204);
        server.assert_stored(&url, b"12345").await;
        let create = Request::create()
            .target("/files?x=y")
            .header("Upload-Length", "1");
        let created = client.create_with(create).await;
        assert!(!created.contains('?'), "{created}");
    })
    .await;
}

/// Ids that are none, each as it stands on the request line below `/files/`.
fn hostile_ids() -> Vec<Vec<u8>> {
    let mut ids: Vec<Vec<u8>> = [
        "..",
        "../",
        "../secret",
        "../../secret",
        "../../../../../../../../etc/passwd",
        "..%2fsecret",
        "%2e%2e%2fsecret",
        "%2e%2e/secret",
        "%252e%252e%252fsecret",
        "..%5csecret",
        "..\\secret",
        "....//secret",
        "./secret",
        "/secret",
        "//secret",
        "%2fetc%2fpasswd",
        ".",
        ".tus",
        ".tus/",
        "%2etus",
        "x%00",
        "%00",
        "%ff%fe",
        "%c0%ae%c0%ae%c0%afsecret",
        "%",
        "%zz",
        "a%20b",
        "a+b",
        "a;b",
        "a:b",
        "a*b",
        "a|b",
        "~root",
        "$HOME",
        "CON",
        "NUL.txt",
        "-",
        "%0d%0aX-Evil:%201",
        "<script>",
        "\u{e4}",
    ]
    .into_iter()
    .map(|id| id.as_bytes().to_vec())
    .collect();
    ids.push(b"\xff\xfe".to_vec());
    ids.extend([300, 5_000, 100_000].map(|length| vec![b'a'; length]));
    ids
}

/// The request, with its target replaced by bytes that need be no text.
fn aimed_at(request: Request, id: &[u8]) -> Vec<u8> {
    let bytes = request.to_bytes();
    let marker = b"/files/x ";
    let at = bytes
        .windows(marker.len())
        .position(|window| window == marker)
        .unwrap();
    let [start, end] = [at + b"/files/".len(), at + marker.len() - 1];
    [&bytes[..start], id, &bytes[end..]].concat()
}

/// Every file and its content.
fn tree(directory: &Path) -> BTreeSet<(PathBuf, Vec<u8>)> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.insert((path.clone(), Vec::new()));
            found.extend(tree(&path));
        } else {
            let content = fs::read(&path).unwrap();
            found.insert((path, content));
        }
    }
    found
}
