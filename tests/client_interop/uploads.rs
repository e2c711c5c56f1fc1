use futures::stream;
use tower_tus::{
    client::{Cancel, Chunk, NewUpload, Source},
    protocol::{Algorithm, Extension, Metadata},
};

use crate::server::{MIB, Server, content, file, on_each_server};

on_each_server!(
    what_is_offered,
    a_file,
    contents_of_all_sizes,
    requests_of_a_limited_size,
    what_was_left_goes_on,
    each_checksum,
    a_stream,
    parts,
    several_files,
    by_hand,
    termination,
    cancelling_removes_the_upload,
);

/// The other tests leave out what is not offered: here it says which.
async fn what_is_offered(server: Server) {
    let offered = server.client().options().await.unwrap();
    let expected = match server.name {
        "TUSD" => "concatenation creation creation-defer-length creation-with-upload termination",
        "NODE" => "creation creation-defer-length creation-with-upload expiration termination",
        _ => {
            "checksum checksum-trailer concatenation concatenation-unfinished creation \
             creation-defer-length creation-with-upload expiration termination"
        }
    };
    let mut names = offered.extension_names.clone();
    names.sort();
    assert_eq!(names.join(" "), expected);
    assert_eq!(offered.versions, ["1.0.0"]);
}

async fn a_file(server: Server) {
    let content = content(8 * MIB + 123);
    let file = file(&content);
    let upload = server.client().upload(Source::path(file.path()));
    let upload = upload
        .metadata("filename", "größer.bin")
        .metadata("empty", "");
    let done = upload.await.unwrap();
    server.has(&done, &content).await;
    let info = server.client().inspect(done.url()).await.unwrap();
    let name = info.metadata.get_str("filename");
    assert_eq!(name.as_deref(), Some("größer.bin"), "{info:?}");
    assert_eq!(info.metadata.get("empty"), Some(Vec::new()), "{info:?}");
}

/// Small ones go with the creation, where the server takes that.
async fn contents_of_all_sizes(server: Server) {
    for size in [0, 1, 1000, MIB, MIB + 1] {
        let content = content(size);
        let upload = server.client().upload(content.clone());
        server.has(&upload.await.unwrap(), &content).await;
        let upload = server.client().upload(content.clone()).create_first();
        server.has(&upload.await.unwrap(), &content).await;
    }
}

async fn requests_of_a_limited_size(server: Server) {
    let content = content(3 * MIB + 1);
    let upload = server
        .client()
        .upload(content.clone())
        .chunk_size(MIB as u64);
    server.has(&upload.await.unwrap(), &content).await;
}

async fn what_was_left_goes_on(server: Server) {
    let content = content(3 * MIB);
    let part = server.client().upload(content.clone()).stop_at(MIB as u64);
    let part = part.await.unwrap();
    let info = server.client().inspect(part.url()).await.unwrap();
    assert_eq!(info.offset, Some(MIB as u64));
    let rest = server.client().upload(content.clone());
    let done = rest.resume_at(part.url().clone()).await.unwrap();
    assert_eq!(done.resumed_from(), MIB as u64);
    server.has(&done, &content).await;
}

async fn each_checksum(server: Server) {
    let content = content(3 * MIB);
    let offered = server.client().options().await.unwrap();
    for algorithm in Algorithm::ALL {
        let upload = server.client().upload(content.clone());
        let upload = upload.checksum(algorithm).chunk_size(2 * MIB as u64);
        match upload.await {
            Ok(done) => server.has(&done, &content).await,
            Err(error) => {
                assert!(error.is_not_offered() || error.is_setting(), "{error:?}");
                assert!(!offered.checksums.contains(&algorithm), "{algorithm}");
            }
        }
    }
}

/// Longer than what is kept of it, so that its length is told last. resumable-upload wants to be told with
/// the first bytes, whatever it announces: to it only what is shorter can be uploaded.
async fn a_stream(server: Server) {
    let content = content(3 * MIB + 7);
    let pieces: Vec<_> = content
        .chunks(100_000)
        .map(|piece| Ok(piece.to_vec().into()))
        .collect();
    let replay = if server.name == "PYTHON" {
        4 * MIB
    } else {
        MIB
    };
    let source = Source::stream(stream::iter(pieces)).replay(replay);
    match server.client().upload(source).await {
        Ok(done) => server.has(&done, &content).await,
        Err(error) => {
            assert!(error.is_not_offered(), "{error:?}");
            assert!(!server.offers(Extension::CreationDeferLength).await);
        }
    }
}

async fn parts(server: Server) {
    let content = content(8 * MIB + 3);
    let file = file(&content);
    let upload = server.client().upload(Source::path(file.path()));
    let upload = upload.parallel(3).metadata("filename", "whole");
    match upload.await {
        Ok(done) => {
            server.has(&done, &content).await;
            let info = server.client().inspect(done.url()).await.unwrap();
            let name = info.metadata.get_str("filename");
            assert_eq!(name.as_deref(), Some("whole"), "{info:?}");
        }
        Err(error) => {
            assert!(error.is_not_offered(), "{error:?}");
            assert!(!server.offers(Extension::Concatenation).await);
        }
    }
}

async fn several_files(server: Server) {
    if !server.offers(Extension::Concatenation).await {
        return;
    }
    let content = content(2 * MIB);
    let files = [&content[..1000], &content[1000..1001], &content[1001..]];
    let files = files.map(|content| Source::bytes(content.to_vec()));
    let upload = server.client().upload(Source::concat(files)).parallel(2);
    server.has(&upload.await.unwrap(), &content).await;
}

async fn by_hand(server: Server) {
    let client = server.client();
    let metadata = Metadata::from_pairs([("filename", "x")]).unwrap();
    let created = client.create(NewUpload::new(10).metadata(metadata)).await;
    let url = created.unwrap().url;
    let stands = client.append(&url, Chunk::new(0, "hello")).await.unwrap();
    assert_eq!(stands.offset, Some(5));
    let conflict = client
        .append(&url, Chunk::new(0, "hello"))
        .await
        .unwrap_err();
    assert_eq!(conflict.status().unwrap(), 409);
    let stands = client.append(&url, Chunk::new(5, "world")).await.unwrap();
    assert_eq!(stands.offset, Some(10));
    server.has_at(&url, b"helloworld").await;
}

async fn termination(server: Server) {
    if !server.offers(Extension::Termination).await {
        return;
    }
    let client = server.client();
    for stop_at in [10, 1000] {
        let upload = client.upload(content(1000)).stop_at(stop_at);
        let url = upload.await.unwrap().url().clone();
        client.terminate(&url).await.unwrap();
        assert!(client.inspect(&url).await.unwrap_err().is_not_found());
    }
}

async fn cancelling_removes_the_upload(server: Server) {
    if !server.offers(Extension::Termination).await {
        return;
    }
    let (tell, told) = tokio::sync::oneshot::channel();
    let tell = std::sync::Mutex::new(Some(tell));
    let endless = stream::repeat_with(|| Ok(vec![7; 10_000].into()));
    let source = Source::stream(endless).length(1 << 40);
    let upload = server.client().upload(source).chunk_size(MIB as u64);
    let upload = upload.on_progress(move |progress| {
        if progress.stored > MIB as u64
            && let Some(tell) = tell.lock().unwrap().take()
        {
            tell.send(()).unwrap();
        }
    });
    let upload = upload.start();
    told.await.unwrap();
    upload.cancel(Cancel::Terminate);
    let error = upload.await.unwrap_err();
    assert!(error.is_canceled(), "{error:?}");
    let url = error.upload_url().unwrap();
    let gone = server.client().inspect(url).await.unwrap_err();
    assert!(gone.is_not_found(), "{gone:?}");
}
