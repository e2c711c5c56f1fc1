//! Servers that know little: no ranges, no `ETag`, no `Content-Type`.

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use futures::TryStreamExt;
use tower_tus::client::{Client, Download, Error, NewUpload, Proxy, RetryPolicy};

use crate::support::{bytes, quick};

const SIZE: usize = 600_000;

/// Answers each request with what `answer` makes of its head and number, and closes the connection.
struct Foreign {
    url: http::Uri,
    asked: Arc<AtomicUsize>,
}

impl Foreign {
    fn start(answer: impl Fn(&str, usize) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n > 0) {
                    head.push(byte[0]);
                }
                let number = count.fetch_add(1, Ordering::Relaxed);
                let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
                // Who has heard enough goes away.
                let _ = stream.write_all(&answer(&head, number));
            }
        });
        Self {
            url: format!("http://{address}/files").parse().unwrap(),
            asked,
        }
    }

    fn client(&self) -> Client {
        quick(Client::new(self.url.clone()).proxy(Proxy::none()))
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

/// All of `content` by its head, and as much of it as `sent`.
fn answer(fields: &str, content: &[u8], sent: usize) -> Vec<u8> {
    let length = content.len();
    let mut answer =
        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n{fields}\r\n").into_bytes();
    answer.extend_from_slice(&content[..sent]);
    answer
}

/// The same without a length.
fn chunked(content: &[u8], sent: usize) -> Vec<u8> {
    let mut answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    answer.extend_from_slice(format!("{sent:x}\r\n").as_bytes());
    answer.extend_from_slice(&content[..sent]);
    answer.extend_from_slice(match sent == content.len() {
        true => b"\r\n0\r\n\r\n",
        false => b"\r\n",
    });
    answer
}

/// A way to have the bytes of a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    File,
    Memory,
    Stream,
}

const WAYS: [Way; 3] = [Way::File, Way::Memory, Way::Stream];

impl Way {
    async fn get(self, download: Download) -> Result<Vec<u8>, Error> {
        match self {
            Self::Memory => Ok(download.bytes(SIZE).await?.to_vec()),
            Self::Stream => {
                let pieces: Vec<_> = download.stream().try_collect().await?;
                Ok(pieces.concat())
            }
            Self::File => {
                let directory = tempfile::tempdir().unwrap();
                let path = directory.path().join("file");
                let size = download.to_path(&path).await?;
                let content = std::fs::read(&path).unwrap();
                assert_eq!(size, content.len() as u64);
                let files = std::fs::read_dir(directory.path()).unwrap().count();
                assert_eq!(files, 1);
                Ok(content)
            }
        }
    }
}

#[tokio::test]
async fn a_cut_download_ends_well_without_ranges_and_tags() {
    for fields in [
        "",
        "etag: W/\"weak\"\r\n",
        "etag: \"strong\"\r\n",
        "last-modified: Sun, 06 Nov 1994 08:49:47 GMT\r\n",
    ] {
        for way in WAYS {
            let server = Foreign::start(move |_, number| {
                let sent = [100_000, 50_000, 400_000, SIZE][number];
                answer(fields, &bytes(SIZE), sent)
            });
            let got = way.get(server.client().download(&server.url)).await;
            assert!(got.unwrap() == bytes(SIZE), "{fields} {way:?}");
            assert_eq!(server.asked(), 4);
        }
    }
}

#[tokio::test]
async fn other_content_is_no_mixture() {
    // As long as the first, so that only the field tells.
    let other = || bytes(SIZE).into_iter().rev().collect::<Vec<_>>();
    for field in ["etag: \"{}\"", "etag: W/\"{}\"", "last-modified: {}"] {
        for way in WAYS {
            let server = Foreign::start(move |_, number| {
                let field = format!("{}\r\n", field.replace("{}", ["a", "b"][number]));
                match number {
                    0 => answer(&field, &bytes(SIZE), 400_000),
                    _ => answer(&field, &other(), SIZE),
                }
            });
            match way.get(server.client().download(&server.url)).await {
                Ok(got) => assert!(got == other() && way != Way::Stream, "{field} {way:?}"),
                Err(error) => {
                    assert_eq!(way, Way::Stream, "{error}");
                    assert!(error.is_source(), "{error}");
                    assert!(error.to_string().contains("was changed"), "{error}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_part_of_other_content_is_not_taken() {
    // A server that does not look at If-Range.
    for way in WAYS {
        let server =
            Foreign::start(
                |head, number| match (number, head.contains("range: bytes=")) {
                    (0, _) => answer("etag: \"a\"\r\n", &bytes(SIZE), 400_000),
                    (_, false) => answer("etag: \"b\"\r\n", &vec![7; SIZE], SIZE),
                    (_, true) => {
                        let fields = "content-range: bytes 400000-599999/600000\r\netag: \"b\"\r\n";
                        let part = answer(fields, &vec![7; 200_000], 200_000);
                        let text = String::from_utf8(part).unwrap();
                        text.replace("200 OK", "206 Partial Content").into_bytes()
                    }
                },
            );
        match way.get(server.client().download(&server.url)).await {
            Ok(got) => assert!(got == vec![7; SIZE] && way != Way::Stream, "{way:?}"),
            Err(error) => assert!(error.is_source() && way == Way::Stream, "{error}"),
        }
    }
}

#[tokio::test]
async fn content_of_one_tag_at_two_urls_is_no_mixture() {
    let server = Foreign::start(|head, _| match head.contains("?id=1 ") {
        true => answer("etag: \"same\"\r\n", &bytes(SIZE), 400_000),
        false => answer("etag: \"same\"\r\n", &[7; SIZE], SIZE),
    });
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let download = |id| {
        let url = format!("{}?id={id}", server.url).parse().unwrap();
        let download = server.client().download(&url).retry(RetryPolicy::never());
        download.to_path(&path)
    };
    download(1).await.unwrap_err();
    download(2).await.unwrap();
    assert!(std::fs::read(&path).unwrap() == [7; SIZE]);
}

#[tokio::test]
async fn two_downloads_without_a_tag_have_a_file_each() {
    let server =
        Foreign::start(|_, number| answer("", &bytes(SIZE), [400_000, SIZE, SIZE][number]));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let policy = RetryPolicy::default().first_pause(std::time::Duration::from_millis(500));
    let first = tokio::spawn({
        let download = server.client().download(&server.url).retry(policy);
        let path = path.clone();
        async move { download.to_path(path).await }
    });
    while server.asked() == 0 {
        tokio::task::yield_now().await;
    }
    let second = server.client().download(&server.url).to_path(&path).await;
    assert_eq!(second.unwrap(), SIZE as u64);
    assert_eq!(first.await.unwrap().unwrap(), SIZE as u64);
    assert!(std::fs::read(&path).unwrap() == bytes(SIZE));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn content_in_a_coding_is_refused() {
    for way in WAYS {
        let server = Foreign::start(|_, _| {
            let fields = "content-encoding: gzip\r\netag: \"a\"\r\n";
            answer(fields, &bytes(SIZE), SIZE)
        });
        let got = way.get(server.client().download(&server.url)).await;
        let error = got.unwrap_err().to_string();
        assert!(error.contains("Content-Encoding"), "{error}");
        assert_eq!(server.asked(), 1);
    }
}

#[tokio::test]
async fn without_a_length_a_stream_says_why_it_ends() {
    for way in WAYS {
        let server = Foreign::start(|_, number| chunked(&bytes(SIZE), [300_000, SIZE][number]));
        match way.get(server.client().download(&server.url)).await {
            Ok(got) => assert!(got == bytes(SIZE) && way != Way::Stream, "{way:?}"),
            Err(error) => {
                assert_eq!(way, Way::Stream, "{error}");
                assert!(error.to_string().contains("cannot be continued"), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn a_server_that_always_cuts_at_the_same_byte_ends_the_download() {
    for way in WAYS {
        let server = Foreign::start(|_, _| answer("", &bytes(SIZE), 300_000));
        let policy = RetryPolicy::default()
            .attempts(4)
            .first_pause(std::time::Duration::ZERO);
        let download = server.client().download(&server.url).retry(policy);
        let error = way.get(download).await.unwrap_err();
        assert!(error.is_network(), "{error}");
        assert_eq!(server.asked(), 4, "{way:?}");
    }
}

#[tokio::test]
async fn the_reason_of_a_refusal_is_shown() {
    for (fields, body, expected) in [
        ("", "not today\n", "not today"),
        ("content-type: text/plain\r\n", "no\x1b[31m\nmore", "no[31m"),
        (
            "content-type: application/json\r\n",
            "{\n  \"message\": \"not on Sundays\"\n}",
            "not on Sundays",
        ),
    ] {
        let server = Foreign::start(move |_, _| {
            let length = body.len();
            format!("HTTP/1.1 403 Forbidden\r\ncontent-length: {length}\r\n{fields}\r\n{body}")
                .into_bytes()
        });
        let error = server.client().create(NewUpload::new(5)).await.unwrap_err();
        assert_eq!(error.server_text(), Some(expected));
        assert!(
            error.to_string().contains(&format!("({expected})")),
            "{error}"
        );
    }
}
