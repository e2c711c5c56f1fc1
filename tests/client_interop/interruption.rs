use std::{
    env,
    path::PathBuf,
    process::{Command, Stdio},
};

use http::Uri;
use tower_tus::{
    client::{FileUrlStore, Source, UrlStore},
    protocol::{Algorithm, Extension},
};

use crate::{
    proxy::{Cut, Proxy},
    server::{MIB, Server, client, content, file, on_each_server},
};

on_each_server!(
    connections_that_end,
    connections_that_are_reset,
    cut_requests_with_checksums,
    cut_parts,
    cut_downloads,
    another_process_goes_on,
    another_process_goes_on_with_parts,
);

async fn connections_that_end(server: Server) {
    let content = content(8 * MIB);
    let proxy = Proxy::start(&server.endpoint, Cut::Fin, 3 * MIB, 2).await;
    let done = client(proxy.endpoint())
        .upload(content.clone())
        .await
        .unwrap();
    server.has(&done, &content).await;
    assert_eq!(proxy.cuts(), 2);
    let carried = proxy.carried() as usize;
    let again = match server.name {
        // Heads of requests, and nothing twice.
        "TUSD" => 64 * 1024,
        // Drops what is on its way through its streams.
        "NODE" => MIB,
        // Stores a request's bytes when it has ended, which may be after it was asked for them, and
        // then takes in all that comes before it refuses it.
        _ => return,
    };
    assert!(carried < content.len() + again, "{carried}");
}

async fn connections_that_are_reset(server: Server) {
    let content = content(8 * MIB);
    let proxy = Proxy::start(&server.endpoint, Cut::Reset, 3 * MIB, 2).await;
    let done = client(proxy.endpoint())
        .upload(content.clone())
        .await
        .unwrap();
    server.has(&done, &content).await;
    assert_eq!(proxy.cuts(), 2);
}

async fn cut_requests_with_checksums(server: Server) {
    if !server.offers(Extension::Checksum).await {
        return;
    }
    let content = content(8 * MIB);
    let proxy = Proxy::start(&server.endpoint, Cut::Fin, 3 * MIB + 5, 2).await;
    let upload = client(proxy.endpoint()).upload(content.clone());
    let done = upload
        .checksum(Algorithm::Sha1)
        .chunk_size(MIB as u64)
        .await;
    server.has(&done.unwrap(), &content).await;
    assert_eq!(proxy.cuts(), 2);
    let carried = proxy.carried() as usize;
    // What a cut request had sent is sent again.
    assert!(carried < content.len() + 3 * MIB, "{carried}");
}

async fn cut_parts(server: Server) {
    if !server.offers(Extension::Concatenation).await {
        return;
    }
    let content = content(8 * MIB);
    for cut in [Cut::Fin, Cut::Reset] {
        let proxy = Proxy::start(&server.endpoint, cut, 3 * MIB, 2).await;
        let upload = client(proxy.endpoint()).upload(content.clone()).parallel(3);
        server.has(&upload.await.unwrap(), &content).await;
        assert_eq!(proxy.cuts(), 2);
    }
}

async fn cut_downloads(server: Server) {
    let content = content(8 * MIB);
    let done = server.client().upload(content.clone()).await.unwrap();
    let proxy = Proxy::start(&server.endpoint, Cut::Answers, 3 * MIB, 2).await;
    let url = format!(
        "http://{}{}",
        proxy.endpoint().authority().unwrap(),
        done.url().path()
    );
    let client = client(proxy.endpoint());
    match client.download(&url.parse().unwrap()).bytes(1 << 30).await {
        Ok(found) => {
            assert!(found == content);
            assert_eq!(proxy.cuts(), 2);
        }
        // These two know no ranges, and nothing by which content is known to be the same.
        Err(error) => assert!(error.is_source() && server.name != "TUSD", "{error:?}"),
    }
}

async fn another_process_goes_on(server: Server) {
    killed_and_again(server, "another_process_goes_on", 1).await;
}

async fn another_process_goes_on_with_parts(server: Server) {
    if server.offers(Extension::Concatenation).await {
        killed_and_again(server, "another_process_goes_on_with_parts", 3).await;
    }
}

/// One process is killed in the middle of an upload, and another one does the rest.
async fn killed_and_again(server: Server, test: &str, parts: usize) {
    if let Ok(endpoint) = env::var(ENDPOINT) {
        return upload_of_a_process(endpoint.parse().unwrap(), parts).await;
    }
    let content = content(8 * MIB);
    let file = file(&content);
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("uploads.json");
    // So late that each of three parts has begun.
    let proxy = Proxy::start(&server.endpoint, Cut::Hold, 6 * MIB, 1).await;
    let test = format!("interruption::{}::{test}", server.name.to_lowercase());
    let process = |how: &str| {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", &test, "--nocapture"]);
        command.env(ENDPOINT, proxy.endpoint().to_string());
        command.env(FILE, file.path()).env(STORE, &store);
        command.stdout(Stdio::piped());
        command
            .spawn()
            .unwrap_or_else(|error| panic!("{how}: {error}"))
    };
    let mut first = process("first");
    proxy.cut().await;
    let meanwhile = client(proxy.endpoint()).upload(Source::path(file.path()));
    let meanwhile = meanwhile.store(FileUrlStore::open(&store).unwrap());
    let error = meanwhile.await.unwrap_err();
    assert!(error.is_claimed(), "{error:?}");
    first.kill().unwrap();
    first.wait().unwrap();
    let kept = FileUrlStore::open(&store).unwrap().list().await.unwrap();
    let [kept] = &kept[..] else {
        panic!("one upload is kept, not {kept:?}");
    };
    assert_eq!(kept.url.is_some(), parts == 1, "{kept:?}");
    assert_eq!(
        kept.parts.len(),
        if parts == 1 { 0 } else { parts },
        "{kept:?}"
    );
    let begun = proxy.carried();
    let second = process("second");
    let output = tokio::task::spawn_blocking(|| second.wait_with_output());
    let output = output.await.unwrap().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    let url = said
        .lines()
        .find_map(|line| line.split_once("uploaded to "));
    let url: Uri = url.expect("it says so").1.parse().unwrap();
    server.has_at(&url, &content).await;
    if parts == 1 {
        assert_eq!(kept.url.as_ref(), Some(&url));
    }
    let again = (proxy.carried() - begun) as usize;
    // Requests of 1 MiB: of each connection at most one was not stored.
    let most = content.len() - 6 * MIB + (parts + 1) * MIB;
    assert!(again < most, "{again} bytes were sent again");
    assert_eq!(
        FileUrlStore::open(&store).unwrap().list().await.unwrap(),
        []
    );
}

async fn upload_of_a_process(endpoint: Uri, parts: usize) {
    let file = PathBuf::from(env::var_os(FILE).unwrap());
    let store = FileUrlStore::open(env::var_os(STORE).unwrap()).unwrap();
    let mut upload = client(endpoint).upload(Source::path(file));
    upload = upload.store(store).chunk_size(MIB as u64);
    if parts > 1 {
        upload = upload.parallel(parts);
    }
    println!("\nuploaded to {}", upload.await.unwrap().url());
}

const ENDPOINT: &str = "TOWER_TUS_TEST_ENDPOINT";
const FILE: &str = "TOWER_TUS_TEST_FILE";
const STORE: &str = "TOWER_TUS_TEST_STORE";
