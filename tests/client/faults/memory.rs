//! Each upload runs in a process of its own, which sends to a sink in this one: what the process takes is
//! what the client takes. 1 GiB each; `TUS_MEMORY_GIB` says otherwise.

use std::{
    env,
    fs::{self, File},
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use tower_tus::{
    client::{Client, Proxy, Source, Upload},
    protocol::Algorithm,
};

#[test]
fn one_request() {
    measure("one_request", Sink::Fast, |client, path| {
        client.upload(Source::path(path))
    });
}

#[test]
fn large_chunks() {
    measure("large_chunks", Sink::Fast, |client, path| {
        client.upload(Source::path(path)).chunk_size(1 << 30)
    });
}

#[test]
fn sixteen_parts() {
    measure("sixteen_parts", Sink::Fast, |client, path| {
        client.upload(Source::path(path)).parallel(16)
    });
}

#[test]
fn sixteen_parts_that_wait() {
    measure("sixteen_parts_that_wait", Sink::Slow, |client, path| {
        client.upload(Source::path(path)).parallel(16)
    });
}

#[test]
fn as_many_parts_as_the_command_allows() {
    measure(
        "as_many_parts_as_the_command_allows",
        Sink::Slow,
        |client, path| client.upload(Source::path(path)).parallel(64),
    );
}

#[test]
fn sixteen_parts_with_checksums() {
    measure(
        "sixteen_parts_with_checksums",
        Sink::Slow,
        |client, path| {
            client
                .upload(Source::path(path))
                .parallel(16)
                .checksum(Algorithm::Crc32c)
        },
    );
}

#[test]
fn large_chunks_with_checksums() {
    measure("large_chunks_with_checksums", Sink::Fast, |client, path| {
        client
            .upload(Source::path(path))
            .chunk_size(1 << 30)
            .checksum(Algorithm::Crc32c)
    });
}

#[test]
fn a_reader() {
    measure("a_reader", Sink::Slow, |client, path| {
        let file = tokio::fs::File::from_std(File::open(path).unwrap());
        client.upload(Source::reader(file))
    });
}

#[test]
fn a_stream() {
    measure("a_stream", Sink::Slow, |client, path| {
        let file = tokio::fs::File::from_std(File::open(path).unwrap());
        client.upload(Source::read_once(file))
    });
}

/// How soon the sink takes what it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sink {
    Fast,
    /// So late that all buffers of the client are full. It gets less.
    Slow,
}

/// Asserts that the process that sends takes no more memory than it may.
fn measure(test: &str, sink: Sink, upload: fn(&Client, &str) -> Upload) {
    if let (Ok(endpoint), Ok(path)) = (env::var(ENDPOINT), env::var(CONTENT)) {
        return send(&endpoint, &path, upload);
    }
    let gib = env::var(GIB).map_or(1, |gib| gib.parse().unwrap());
    let size: u64 = match sink {
        Sink::Fast => gib << 30,
        Sink::Slow => gib << 28,
    };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("content");
    File::create(&path).unwrap().set_len(size).unwrap();
    let taken = Arc::new(AtomicU64::new(0));
    let address = start(sink, size, taken.clone());

    let program = env::current_exe().unwrap();
    let output = Command::new(program)
        .args(["--exact", &format!("faults::memory::{test}"), "--nocapture"])
        .env(ENDPOINT, format!("http://{address}/files"))
        .env(CONTENT, &path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    let grown = said.lines().find_map(|line| line.strip_prefix(GROWN));
    let grown: u64 = grown.unwrap().parse().unwrap();
    assert_eq!(taken.load(Ordering::Relaxed), size);
    println!("{test}: {grown} KiB for {size} bytes");
    assert!(grown < MOST, "{grown} KiB");
}

/// Uploads, and tells by how much this process has grown.
fn send(endpoint: &str, path: &str, upload: fn(&Client, &str) -> Upload) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let before = memory("VmRSS:");
    runtime.block_on(async {
        let client = Client::new(endpoint.parse().unwrap()).proxy(Proxy::none());
        upload(&client, path).await.unwrap();
    });
    println!("\n{GROWN}{}", memory("VmHWM:").saturating_sub(before));
}

/// KiB of this process.
fn memory(which: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(which));
    line.unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}

fn start(sink: Sink, size: u64, taken: Arc<AtomicU64>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let taken = taken.clone();
            thread::spawn(move || serve(stream.unwrap(), sink, size, &taken));
        }
    });
    address
}

/// Answers as a server that stores everything, and whose upload of `size` is whole.
fn serve(mut stream: TcpStream, sink: Sink, size: u64, taken: &AtomicU64) {
    let mut buffer = vec![0; 256 << 10];
    while let Some(head) = head(&mut stream) {
        let field = |name| {
            let line = head.lines().find_map(|line| line.strip_prefix(name));
            line.map_or(0, |value| value.trim().parse::<u64>().unwrap())
        };
        let length = field("content-length:");
        let mut left = length;
        while left > 0 {
            let most = left.min(buffer.len() as u64) as usize;
            let count = stream.read(&mut buffer[..most]).unwrap();
            assert!(count > 0);
            left -= count as u64;
            taken.fetch_add(count as u64, Ordering::Relaxed);
            if sink == Sink::Slow {
                thread::sleep(Duration::from_millis(1));
            }
        }
        let answer = match head.split(' ').next().unwrap() {
            "options" => OFFER.to_owned(),
            "post" => "201 Created\r\nlocation: /files/a".to_owned(),
            "head" => format!("200 OK\r\nupload-offset: {size}\r\nupload-length: {size}"),
            _ => {
                let offset = field("upload-offset:") + length;
                format!("204 No Content\r\nupload-offset: {offset}")
            }
        };
        let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).unwrap();
    }
}

/// The head of a request, in small letters.
fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            return None;
        }
        head.push(byte[0].to_ascii_lowercase());
    }
    Some(String::from_utf8(head).unwrap())
}

const OFFER: &str = "204 No Content\r\ntus-version: 1.0.0\r\n\
    tus-extension: creation,creation-defer-length,checksum,concatenation\r\n\
    tus-checksum-algorithm: sha1,crc32c";

/// KiB.
const MOST: u64 = 32 << 10;

const ENDPOINT: &str = "TUS_MEMORY_ENDPOINT";
const CONTENT: &str = "TUS_MEMORY_CONTENT";
const GIB: &str = "TUS_MEMORY_GIB";
const GROWN: &str = "grown: ";
