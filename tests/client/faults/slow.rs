use std::{net::SocketAddr, time::Duration};

use socket2::{Domain, Socket, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep_until},
};
use tower_tus::{
    client::{Client, HttpVersion, Proxy, RetryPolicy, Upload},
    protocol::Algorithm,
};

use crate::support::{Server, bytes};

/// A line that lets 200 KB through in a second.
async fn line(server: SocketAddr) -> SocketAddr {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // A sender's buffers are as large as its segments let it expect: as in the wide world, not as on the
    // loopback, where they would hold everything.
    socket.set_tcp_mss(1000).unwrap();
    socket.set_recv_buffer_size(8 << 10).unwrap();
    socket
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    socket.listen(16).unwrap();
    socket.set_nonblocking(true).unwrap();
    let listener = TcpListener::from_std(socket.into()).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect(server).await.unwrap();
            let (mut requests, mut to_client) = client.into_split();
            let (mut answers, mut to_server) = server.into_split();
            tokio::spawn(async move {
                let mut piece = [0; 4000];
                let mut due = Instant::now();
                while let Ok(count @ 1..) = requests.read(&mut piece).await {
                    to_server.write_all(&piece[..count]).await.unwrap();
                    // A machine that is busy for a while makes the line no slower than it is.
                    due =
                        due.max(Instant::now() - CREDIT) + Duration::from_micros(5 * count as u64);
                    sleep_until(due).await;
                }
            });
            tokio::spawn(async move { copy(&mut answers, &mut to_client).await });
        }
    });
    address
}

/// How much of its time the line may make up for.
const CREDIT: Duration = Duration::from_secs(1);

/// Bytes get through all the time, but no piece of the client's does within its limits.
async fn assert_one_request_is_enough(
    version: HttpVersion,
    answer: Duration,
    size: usize,
    configure: fn(Upload) -> Upload,
) {
    let server = Server::start().await;
    let content = bytes(size);
    let endpoint = format!("http://{}/files", line(server.address).await);
    let client = Client::new(endpoint.parse().unwrap())
        .proxy(Proxy::none())
        .version(version)
        .stall_timeout(Duration::from_secs(1))
        .answer_timeout(answer)
        .retry(RetryPolicy::never());
    let upload = client.upload(content.clone()).create_first();
    let done = configure(upload).await.unwrap();
    assert!(server.content(done.url()).await == content);
}

#[tokio::test]
async fn a_slow_line_is_not_one_that_stands_still() {
    // Nothing of this is stored before everything is there.
    let checked = |upload: Upload| upload.checksum(Algorithm::Sha1);
    let answer = Duration::from_secs(1);
    assert_one_request_is_enough(HttpVersion::Http1, answer, 600_000, checked).await;
}

#[tokio::test]
async fn a_slow_line_is_not_one_that_stands_still_over_http_2() {
    let answer = Duration::from_millis(2500);
    assert_one_request_is_enough(HttpVersion::Http2, answer, 1_200_000, |upload| upload).await;
}
