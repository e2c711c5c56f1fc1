//! Servers that answer before they have read everything.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
};

use tower_tus::client::{Client, Proxy, RetryPolicy};

use crate::support::bytes;

/// Answers each request once its head is there, and closes the connection.
fn hasty(end: fn(TcpStream)) -> http::Uri {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n > 0) {
                head.push(byte[0]);
            }
            let answer = match head.starts_with(b"PATCH") {
                true => {
                    "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nearly"
                }
                false => {
                    "HTTP/1.1 201 Created\r\nlocation: /files/a\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                }
            };
            stream.write_all(answer.as_bytes()).unwrap();
            end(stream);
        }
    });
    format!("http://{address}/files").parse().unwrap()
}

async fn assert_answer_is_read(endpoint: http::Uri) {
    let client = Client::new(endpoint)
        .proxy(Proxy::none())
        .retry(RetryPolicy::never());
    for _ in 0..50 {
        let error = client.upload(bytes(5_000_000)).await.unwrap_err();
        assert_eq!(error.status().unwrap(), 400, "{error:?}");
        assert!(error.to_string().contains("early"), "{error}");
    }
}

#[tokio::test]
async fn an_answer_is_read_although_nobody_reads_the_body() {
    // The connection stays open until the other side closes it.
    assert_answer_is_read(hasty(|mut stream| {
        stream.shutdown(Shutdown::Write).unwrap();
        let mut rest = [0; 1024];
        while stream.read(&mut rest).is_ok_and(|count| count > 0) {
            thread::yield_now();
        }
    }))
    .await;
}

#[tokio::test]
async fn an_answer_is_read_although_the_connection_is_reset() {
    // Closing with bytes unread resets the connection: writes fail from then on.
    assert_answer_is_read(hasty(drop)).await;
}
