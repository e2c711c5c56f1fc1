//! Hostile and odd requests: nothing outside of the root, no 5xx, nothing told that is not the
//! client's business (ROB).

use std::{collections::BTreeSet, fs, path::PathBuf};

use tempfile::TempDir;
use tower_tus::{
    TusService,
    storage::{FileStorage, MemoryStorage},
};

use crate::support::{Client, Request, Server, Site, base64, content, on_each_storage};

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

#[tokio::test]
async fn rob_01_02_31_hostile_ids_are_refused_and_reach_nothing_outside() {
    let outer = TempDir::new().unwrap();
    let root = outer.path().join("a/root");
    fs::write(outer.path().join("secret"), "outside").unwrap();
    fs::create_dir_all(&root).unwrap();
    fs::write(root.join("../secret"), "outside").unwrap();
    let storage = FileStorage::open(&root).unwrap();
    let site = Site::serve(TusService::new(storage).base_path("/files"));
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
fn tree(directory: &std::path::Path) -> BTreeSet<(PathBuf, Vec<u8>)> {
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
async fn rob_04_odd_methods_are_405_with_the_methods_that_are_not() {
    on_each_storage(async |_, client| {
        let url = client.create(10).await;
        for method in ["PUT", "TRACE", "PROPFIND", "LOCK", "FOO", "patch"] {
            for target in [url.as_str(), "/files"] {
                let answer = client.send(Request::new(method, target)).await.expect(405);
                let allowed = answer.list("Allow");
                assert!(
                    allowed.contains(&"OPTIONS"),
                    "{method} {target}: {answer:?}"
                );
                assert!(!allowed.contains(&method), "{method} {target}: {answer:?}");
            }
        }
        let on_upload = client.send(Request::new("PUT", &url)).await;
        for method in ["HEAD", "PATCH", "DELETE", "GET"] {
            assert!(on_upload.list("Allow").contains(&method), "{on_upload:?}");
        }
        let on_files = client.send(Request::new("PUT", "/files")).await;
        assert!(on_files.list("Allow").contains(&"POST"), "{on_files:?}");
        assert_eq!(client.offset(&url).await, 0);
    })
    .await;
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

#[tokio::test]
async fn rob_06_contradicting_offsets_are_refused() {
    on_each_storage(async |_, client| {
        let url = client.create(10).await;
        for (first, second) in [("0", "5"), ("0", "0"), ("5", "0"), ("0", "x")] {
            let patch = Request::patch(&url, 0)
                .set("Upload-Offset", first)
                .header("Upload-Offset", second)
                .body(b"12345");
            client.send(patch).await.expect(400);
            assert_eq!(client.offset(&url).await, 0, "{first} and {second}");
        }
    })
    .await;
}

#[tokio::test]
async fn rob_07_metadata_never_becomes_structure_of_an_answer() {
    on_each_storage(async |_, client| {
        for value in [
            "x\r\nX-Evil: 1",
            "x\nX-Evil: 1",
            "x\rX-Evil: 1",
            "\"; filename=\"evil.html",
            "a\"b\\c",
            "\0\u{1}\u{7f}",
            "\u{85}\u{2028}x",
            "x\r\n\r\n<script>alert(1)</script>",
        ] {
            for key in ["filename", "filetype", "name", "type"] {
                let metadata = format!("{key} {}", base64(value));
                let create = Request::create()
                    .header("Upload-Length", "4")
                    .header("Upload-Metadata", &metadata);
                let url = client.create_with(create).await;
                client.patch(&url, 0, b"data").await.expect(204);
                let head = client.head(&url).await.expect(200);
                assert_eq!(head.header("Upload-Metadata"), Some(metadata.as_str()));
                let get = client.get(&url).await.expect(200);
                assert_eq!(get.body, b"data", "{key}: {value:?}");
                for answer in [head, get] {
                    assert_eq!(answer.header("X-Evil"), None, "{answer:?}");
                    for (_, field) in &answer.headers {
                        assert!(!field.iter().any(u8::is_ascii_control), "{answer:?}");
                    }
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn rob_27_ids_cannot_be_guessed() {
    on_each_storage(async |_, client| {
        let mut ids = BTreeSet::new();
        let mut nibbles = BTreeSet::new();
        for _ in 0..64 {
            let url = client.create(1).await;
            let id = url.rsplit('/').next().unwrap().to_owned();
            // 128 bits in whatever spelling take at least that many characters of 6 bits.
            assert!(id.len() >= 22, "{id}");
            nibbles.extend(id.chars().enumerate());
            ids.insert(id);
        }
        assert_eq!(ids.len(), 64);
        // No position is fixed, as those of a clock or a counter would be.
        let length = ids.first().unwrap().len();
        let constant = (0..length).find(|at| nibbles.iter().filter(|(it, _)| it == at).count() < 3);
        assert_eq!(constant, None, "{ids:?}");
    })
    .await;
}

#[tokio::test]
async fn rob_28_30_errors_are_short_text_without_markup_or_paths() {
    let server = Server::with(|tus| tus.max_size(1000));
    let client = server.client();
    let url = client.create(10).await;
    let root = server.root().to_str().unwrap().to_owned();
    let markup = "<script>alert(1)</script>";
    let refused = [
        Request::new("GET", &format!("/files/{markup}")),
        Request::new("GET", &format!("/files/x?{markup}")),
        Request::new(markup.trim_matches(['<', '>', '/']), &url).target("/files/%3Cscript%3E"),
        Request::patch(&url, 0)
            .set("Upload-Offset", markup)
            .body(b"x"),
        Request::patch(&url, 7).body(b"x"),
        Request::patch(&url, 0)
            .set("Content-Type", "text/html")
            .body(markup),
        Request::patch(&url, 0)
            .header("Upload-Checksum", format!("{markup} YQ=="))
            .body(b"x"),
        Request::create().header("Upload-Length", markup),
        Request::create().header("Upload-Length", "1001"),
        Request::create()
            .header("Upload-Length", "1")
            .header("Upload-Metadata", markup),
        Request::create().header("Upload-Concat", format!("final;{markup}")),
        Request::create().header("Upload-Concat", "final;/files/../../etc/passwd"),
        Request::new("DELETE", &format!("/files/{}", "a".repeat(300))),
        Request::new("PUT", &url),
        Request::create().set("Tus-Resumable", markup),
    ];
    for request in refused {
        let method = request.method().to_owned();
        let mut connection = client.connect().await;
        connection.write(request.to_bytes()).await;
        let answer = connection.response(&method).await.expect_refused();
        let text = String::from_utf8(answer.body.clone()).unwrap();
        assert!(text.len() < 200, "{answer:?}");
        for leak in [
            "<",
            "script",
            "alert",
            "os error",
            ".tus",
            root.as_str(),
            "src/",
        ] {
            assert!(!text.contains(leak), "{leak:?} in {answer:?}");
        }
        if !text.is_empty() {
            let kind = answer.header("Content-Type").unwrap();
            assert!(kind.starts_with("text/plain"), "{answer:?}");
        }
    }
}

#[cfg(unix)]
#[tokio::test]
async fn rob_30_a_failing_disk_is_a_5xx_that_tells_nothing() {
    let server = Server::file();
    let client = server.client();
    let url = client.create(10).await;
    let id = url.rsplit('/').next().unwrap();
    // A directory in the place of the record: no reading of it succeeds, for nobody.
    let record = server.root().join(".tus").join(format!("{id}.info"));
    fs::remove_file(&record).unwrap();
    fs::create_dir(&record).unwrap();
    for request in [
        Request::new("GET", &url),
        Request::patch(&url, 0).body(b"x"),
        Request::new("DELETE", &url),
    ] {
        let answer = client.send(request).await.expect(500);
        assert_eq!(answer.body, b"internal error\n", "{answer:?}");
    }
    client.upload(b"others are well").await;
}

#[tokio::test]
async fn rob_31_the_memory_storage_refuses_hostile_ids_as_well() {
    let site = Site::serve(TusService::new(MemoryStorage::new()).base_path("/files"));
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
async fn rob_11_a_huge_header_is_431_and_others_are_served() {
    on_each_storage(async |server, client| {
        let data = content(10, 11);
        let url = client.create(10).await;
        let patch = Request::patch(&url, 0)
            .header("X-Filler", "a".repeat(1 << 20))
            .body(&data);
        let mut connection = client.connect().await;
        // hyper stops reading after some 400 KiB, and says so.
        let _ = connection.try_write(patch.to_bytes()).await;
        if let Ok(answer) = connection.try_response("PATCH").await {
            answer.expect(431);
        }
        assert_eq!(client.offset(&url).await, 0);
        client.patch(&url, 0, &data).await.expect(204);
        server.assert_stored(&url, &data).await;
    })
    .await;
}
