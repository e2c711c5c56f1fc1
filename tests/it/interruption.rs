//! Every byte that reached the server survives: each way in which a PATCH can be cut, on each
//! storage, in each framing; and the rest is sent from exactly where the server stands.
//!
//! A cell of the matrix runs twice: with all that was sent known to have arrived before the cut,
//! where not a byte may be missing; and with the cut right behind the sending, where some may.

use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, SendStream, client::SendRequest};
use tokio::net::TcpStream;
use tower_tus::{TusService, protocol::Limits};

use crate::support::{
    Client, Connection, Front, Kind, OCTETS, Place, Request, Site, content, wait,
};

/// What happens to the PATCH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// The client says that it sends no more, and reads on.
    Fin,
    /// The connection breaks.
    Rst,
    /// The client cancels the stream and keeps the connection.
    Http2Reset,
    /// Nothing comes any more.
    Idle,
    /// The server ends.
    Shutdown,
    /// Another PATCH goes on.
    Takeover,
}

/// Whether the request tells how long its body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Sized,
    Chunked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// When HEAD has told that everything sent is stored.
    Arrived,
    /// Right behind the last byte.
    AtOnce,
}

macro_rules! matrix {
    ($($module:ident: $cut:ident,)*) => { $(
        mod $module {
            use super::{Cut::$cut, Framing::{Chunked, Sized}, Kind::{File, Memory, Object}};
            use super::{Moment::{Arrived, AtOnce}, survives};

            #[tokio::test]
            async fn keeps_all_that_arrived_on_file_with_content_length() {
                survives($cut, File, Sized, Arrived).await;
            }

            #[tokio::test]
            async fn keeps_all_that_arrived_on_file_without_length() {
                survives($cut, File, Chunked, Arrived).await;
            }

            #[tokio::test]
            async fn keeps_all_that_arrived_in_memory_with_content_length() {
                survives($cut, Memory, Sized, Arrived).await;
            }

            #[tokio::test]
            async fn keeps_all_that_arrived_in_memory_without_length() {
                survives($cut, Memory, Chunked, Arrived).await;
            }

            #[tokio::test]
            async fn keeps_all_that_arrived_in_a_bucket_with_content_length() {
                survives($cut, Object, Sized, Arrived).await;
            }

            #[tokio::test]
            async fn keeps_all_that_arrived_in_a_bucket_without_length() {
                survives($cut, Object, Chunked, Arrived).await;
            }

            #[tokio::test]
            async fn at_once_can_be_resumed_on_file_with_content_length() {
                survives($cut, File, Sized, AtOnce).await;
            }

            #[tokio::test]
            async fn at_once_can_be_resumed_on_file_without_length() {
                survives($cut, File, Chunked, AtOnce).await;
            }

            #[tokio::test]
            async fn at_once_can_be_resumed_in_memory_with_content_length() {
                survives($cut, Memory, Sized, AtOnce).await;
            }

            #[tokio::test]
            async fn at_once_can_be_resumed_in_memory_without_length() {
                survives($cut, Memory, Chunked, AtOnce).await;
            }

            #[tokio::test]
            async fn at_once_can_be_resumed_in_a_bucket_with_content_length() {
                survives($cut, Object, Sized, AtOnce).await;
            }

            #[tokio::test]
            async fn at_once_can_be_resumed_in_a_bucket_without_length() {
                survives($cut, Object, Chunked, AtOnce).await;
            }
        }
    )* };
}

matrix! {
    fin: Fin,
    rst: Rst,
    http2_reset: Http2Reset,
    idle: Idle,
    shutdown: Shutdown,
    takeover: Takeover,
}

#[tokio::test]
async fn a_patch_that_comes_during_the_shutdown_is_told_where_its_upload_stands() {
    for kind in Kind::ALL {
        let mut rig = Rig::new(Cut::Shutdown, kind);
        let url = rig.client().create(10).await;
        rig.client().patch(&url, 0, b"01234").await.expect(204);
        rig.tus.shutdown().await;
        let refused = rig.client().patch(&url, 5, b"56789").await.expect(503);
        assert!(refused.header("Retry-After").is_some(), "{refused:?}");
        assert_eq!(refused.offset(), Some(5), "{refused:?}");
        assert_eq!(rig.client().offset(&url).await, 5);
        rig.restart();
        rig.client().patch(&url, 5, b"56789").await.expect(204);
        rig.assert_stored(&url, b"0123456789").await;
    }
}

const LENGTH: usize = 3_000_017;
const SENT: usize = 1_234_567;
const CHUNK: usize = 65_521;

async fn survives(cut: Cut, kind: Kind, framing: Framing, moment: Moment) {
    let mut rig = Rig::new(cut, kind);
    let data = content(LENGTH, 1);
    let url = rig.client().create(LENGTH as u64).await;

    let sending = Sending::start(&rig, cut, &url, &data, framing).await;
    if moment == Moment::Arrived {
        let client = rig.client();
        wait::until_true("all that was sent", async || {
            client.offset(&url).await == SENT as u64
        })
        .await;
    }
    let seen = rig.client().offset(&url).await;
    assert!(seen <= SENT as u64, "{seen} of {SENT} bytes");
    if cut != Cut::Takeover {
        sending.cut(&mut rig, cut, &url).await;
        resume(rig.client(), &url, &data, framing, (seen, moment)).await;
    } else {
        resume(rig.client(), &url, &data, framing, (seen, moment)).await;
        sending.end_superseded(moment).await;
    }
    rig.assert_stored(&url, &data).await;
}

/// Asks where to go on and does so from there, until it is taken: whoever was cut off may be about
/// to store its last bytes.
async fn resume(
    client: Client,
    url: &str,
    data: &[u8],
    framing: Framing,
    (mut seen, moment): (u64, Moment),
) {
    wait::until("the rest to be taken", async || {
        let offset = client.offset(url).await;
        assert!(
            offset >= seen,
            "the offset went back from {seen} to {offset}"
        );
        assert!(offset <= SENT as u64, "{offset} bytes of {SENT} sent");
        if moment == Moment::Arrived {
            assert_eq!(offset, SENT as u64, "bytes that had arrived are gone");
        }
        seen = offset;
        let rest = &data[usize::try_from(offset).unwrap()..];
        let patch = Request::patch(url, offset);
        let patch = match framing {
            Framing::Sized => patch.body(rest),
            Framing::Chunked => patch.chunked(rest, CHUNK),
        };
        let answer = client.send(patch).await;
        match answer.status {
            204 => {
                assert_eq!(answer.offset(), Some(LENGTH as u64));
                Some(())
            }
            409 if moment == Moment::AtOnce => None,
            _ => panic!("{answer:?}"),
        }
    })
    .await;
}

/// A PATCH of which the first [`SENT`] bytes were sent, and no end.
enum Sending {
    Http1(Connection),
    /// With what keeps the connection open.
    Http2(SendStream<Bytes>, SendRequest<Bytes>),
}

impl Sending {
    async fn start(rig: &Rig, cut: Cut, url: &str, data: &[u8], framing: Framing) -> Self {
        let data_sent = &data[..SENT];
        if cut == Cut::Http2Reset {
            let (body, requests) = http2_patch(rig, url, data_sent, framing).await;
            return Self::Http2(body, requests);
        }
        let patch = Request::patch(url, 0);
        let mut bytes = match framing {
            Framing::Sized => patch.body(data).head_bytes(),
            Framing::Chunked => patch.chunked(data, CHUNK).head_bytes(),
        };
        match framing {
            Framing::Sized => bytes.extend_from_slice(data_sent),
            Framing::Chunked => {
                // The last chunk stays short of its size.
                for chunk in data_sent.chunks(CHUNK) {
                    bytes.extend_from_slice(format!("{CHUNK:x}\r\n").as_bytes());
                    bytes.extend_from_slice(chunk);
                    if chunk.len() == CHUNK {
                        bytes.extend_from_slice(b"\r\n");
                    }
                }
            }
        }
        let mut connection = rig.client().connect().await;
        connection.write(bytes).await;
        Self::Http1(connection)
    }

    async fn cut(self, rig: &mut Rig, cut: Cut, url: &str) {
        let mut connection = match self {
            Self::Http1(connection) => connection,
            Self::Http2(mut body, _requests) => {
                body.send_reset(Reason::CANCEL);
                return;
            }
        };
        let status = match cut {
            Cut::Rst => {
                connection.reset();
                return;
            }
            Cut::Fin => {
                connection.finish().await;
                400
            }
            Cut::Idle => 408,
            Cut::Shutdown => {
                rig.tus.shutdown().await;
                503
            }
            Cut::Http2Reset | Cut::Takeover => unreachable!("handled by the callers"),
        };
        let answer = connection.response("PATCH").await.expect(status);
        if cut == Cut::Shutdown {
            // Which may have begun before the request was read.
            assert!(answer.header("Retry-After").is_some(), "{answer:?}");
            rig.restart();
        } else {
            // The server has read all of it: none of these cuts overtakes a byte.
            let sent = SENT as u64;
            let kept = sent - Front::current().forgets()..=sent;
            let told = answer.offset().expect("an offset");
            assert!(kept.contains(&told), "{answer:?}");
        }
        if let Some(told) = answer.offset() {
            assert_eq!(told, rig.client().offset(url).await, "{answer:?}");
        }
    }

    async fn end_superseded(self, moment: Moment) {
        let Self::Http1(mut connection) = self else {
            unreachable!("takeovers are of HTTP/1.1");
        };
        let answer = connection.response("PATCH").await.expect(409);
        if moment == Moment::Arrived {
            assert_eq!(answer.offset(), Some(SENT as u64), "{answer:?}");
        }
    }
}

async fn http2_patch(
    rig: &Rig,
    url: &str,
    sent: &[u8],
    framing: Framing,
) -> (SendStream<Bytes>, SendRequest<Bytes>) {
    let stream = TcpStream::connect(rig.site.address()).await.unwrap();
    let (mut requests, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut request = http::Request::patch(rig.client().uri(url))
        .header("Tus-Resumable", "1.0.0")
        .header("Content-Type", OCTETS)
        .header("Upload-Offset", "0");
    if framing == Framing::Sized {
        request = request.header("Content-Length", LENGTH);
    }
    let (_response, mut body) = requests
        .send_request(request.body(()).unwrap(), false)
        .unwrap();
    body.send_data(Bytes::copy_from_slice(sent), false).unwrap();
    (body, requests)
}

/// A server whose storage outlives it.
struct Rig {
    site: Site,
    tus: TusService,
    place: Place,
    limits: Limits,
}

impl Rig {
    fn new(cut: Cut, kind: Kind) -> Self {
        let place = Place::new(kind);
        let limits = match cut {
            Cut::Idle => Limits::default().idle(Duration::from_secs(1), 1),
            _ => Limits::default(),
        };
        let tus = place.service().limits(limits.clone());
        Self {
            site: Site::tus(tus.clone()),
            tus,
            place,
            limits,
        }
    }

    /// A new service over what the old one has stored.
    fn restart(&mut self) {
        self.tus = self.place.service().limits(self.limits.clone());
        self.site = Site::tus(self.tus.clone());
    }

    fn client(&self) -> Client {
        self.site.client()
    }

    async fn assert_stored(&self, url: &str, data: &[u8]) {
        let download = self.client().get(url).await.expect(200);
        assert!(download.body == data, "the download differs");
        if let Some(stored) = self.place.stored(url) {
            assert!(stored == data, "what is stored differs");
        }
    }
}
