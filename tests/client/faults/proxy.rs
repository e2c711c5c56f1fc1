use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::BytesMut;
use futures::FutureExt;
use http::Uri;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest, Ready},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::sleep,
};
use tower_tus::TusService;

use super::{
    origin::stored,
    record::{Delivered, Record},
    wire::{End, Framing, Head, Reply, close},
};

/// What happens to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// Each step takes a while.
    Delay(Duration),
    /// It gets through in pieces of so many bytes.
    Slow(usize),
    /// The connection ends before anything of it gets through.
    Drop(End),
    /// The connection ends after so many bytes of its content.
    Cut(u64, End),
    /// It gets through, and the connection ends after so many bytes of the answer.
    CutAnswer(usize, End),
    /// Nothing moves any more after so many bytes of its content.
    Stall(u64, Far),
    /// It gets through, and nothing moves any more after so many bytes of the answer.
    StallAnswer(usize),
    /// The connection ends after so many bytes of its content, which get through only later.
    Late(u64, Duration),
    /// It gets through twice.
    Twice,
    /// It is refused with this status and perhaps a `Retry-After`, before its content is read or after.
    Refuse(u16, Option<&'static str>, Content),
}

/// What becomes of the server's side of a connection that stands still on the client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Far {
    Stays,
    Ends,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Read,
    Unread,
}

impl Fault {
    /// Whether it costs the client a request.
    pub(super) fn is_harm(&self) -> bool {
        !matches!(self, Self::None | Self::Delay(_) | Self::Slow(_))
    }
}

/// A line to a server.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    pub(super) record: Arc<Record>,
    line: Arc<Line>,
    task: JoinHandle<()>,
}

/// What marks a request that the line sends once more, or after its time.
pub(super) const DOUBLE: &str = "x-double";

type Fates = dyn FnMut(&Head) -> Fault + Send;

struct Line {
    server: SocketAddr,
    tus: TusService,
    record: Arc<Record>,
    fates: Mutex<Box<Fates>>,
    /// Larger requests are refused.
    limit: Option<u64>,
    /// Connections on which nothing moves any more.
    still: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// To a server, which is asked in process for what it has. `fates` says what happens to each request.
    pub(super) async fn start(
        server: SocketAddr,
        tus: TusService,
        limit: Option<u64>,
        fates: impl FnMut(&Head) -> Fault + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let record = Arc::new(Record::default());
        let line = Arc::new(Line {
            server,
            tus,
            record: record.clone(),
            fates: Mutex::new(Box::new(fates)),
            limit,
            still: Mutex::default(),
        });
        let accepting = line.clone();
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(accepting.clone().connection(client));
            }
        });
        Self {
            address,
            record,
            line,
            task,
        }
    }

    pub(super) fn endpoint(&self) -> Uri {
        format!("http://{}/files", self.address).parse().unwrap()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.line.still.lock().unwrap().clear();
    }
}

impl Line {
    async fn connection(self: Arc<Self>, mut client: TcpStream) {
        client.set_nodelay(true).unwrap();
        let mut buffer = BytesMut::new();
        let mut server = None;
        while let Ok(Some(head)) = Head::read(&mut client, &mut buffer).await {
            let fault = self.fate(&head);
            let stored = match head.method() {
                "PATCH" => stored(&self.tus, head.path()).await,
                _ => None,
            };
            let number = self.record.request(&head, &fault, stored);
            let relay = Relay {
                line: &self,
                framing: head.framing(),
                head,
                number,
                buffer: &mut buffer,
                pace: match fault {
                    Fault::Delay(pause) => Pace::Pauses(pause),
                    Fault::Slow(bytes) => Pace::Pieces(bytes),
                    _ => Pace::Free,
                },
                copy: None,
            };
            match relay.run(fault, client, server).await {
                Some((again, upstream)) => (client, server) = (again, upstream),
                None => return,
            }
        }
    }

    fn fate(&self, head: &Head) -> Fault {
        if let Some(limit) = self.limit
            && head
                .number("content-length")
                .is_some_and(|size| size > limit)
        {
            return Fault::Refuse(413, None, Content::Unread);
        }
        let mut fates = self.fates.lock().unwrap();
        fates(head)
    }

    async fn connect(&self) -> TcpStream {
        let server = TcpStream::connect(self.server).await.unwrap();
        server.set_nodelay(true).unwrap();
        server
    }
}

/// Whether the client has closed its end, whatever of its bytes was not read yet.
fn has_left(client: &TcpStream) -> bool {
    let ready = client.ready(Interest::READABLE).now_or_never();
    ready.is_some_and(|ready| ready.is_ok_and(Ready::is_read_closed))
}

/// One request on its way.
struct Relay<'l> {
    line: &'l Arc<Line>,
    head: Head,
    number: usize,
    framing: Framing,
    /// What came from the client and was not looked at.
    buffer: &'l mut BytesMut,
    pace: Pace,
    /// All that was sent on, if it is needed again.
    copy: Option<Vec<u8>>,
}

#[derive(Debug, Clone, Copy)]
enum Pace {
    Free,
    Pauses(Duration),
    Pieces(usize),
}

/// How the way of some content ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// All of it, or as much as was wanted.
    Wanted,
    /// The server answers already.
    Answered,
    /// The client is gone.
    GivenUp,
}

impl Relay<'_> {
    /// The connections, if they can be used again.
    async fn run(
        mut self,
        fault: Fault,
        mut client: TcpStream,
        server: Option<TcpStream>,
    ) -> Option<(TcpStream, Option<TcpStream>)> {
        match fault {
            Fault::None | Fault::Delay(_) | Fault::Slow(_) => {
                let mut server = self.upstream(server).await;
                let sent = self.send(&mut client, &mut server, u64::MAX).await;
                if sent == Sent::GivenUp {
                    self.line.record.lock().given_up(self.number);
                    return None;
                }
                let reply = self.reply(&mut client, &mut server).await?;
                self.deliver(&mut client, &reply).await;
                if sent == Sent::Answered {
                    tokio::spawn(close(client, End::Fin));
                    return None;
                }
                Some((client, Some(server)))
            }
            Fault::Drop(end) => {
                tokio::spawn(close(client, end));
                None
            }
            Fault::Cut(bytes, end) => {
                let mut server = self.upstream(server).await;
                let _ = self.send(&mut client, &mut server, bytes).await;
                if self.framing.has_ended() {
                    // It was too short to be cut: the answer is lost instead.
                    let _ = Reply::read(&mut server, self.head.method()).await;
                }
                tokio::spawn(close(client, end));
                tokio::spawn(close(server, end));
                None
            }
            Fault::CutAnswer(bytes, end) => {
                let (_, reply) = self.served(&mut client, server).await?;
                self.part_of(&mut client, &reply, bytes).await;
                tokio::spawn(close(client, end));
                None
            }
            Fault::Stall(bytes, far) => {
                let mut server = self.upstream(server).await;
                let _ = self.send(&mut client, &mut server, bytes).await;
                let mut still = self.line.still.lock().unwrap();
                still.push(client);
                if far == Far::Stays {
                    still.push(server);
                }
                None
            }
            Fault::StallAnswer(bytes) => {
                let (server, reply) = self.served(&mut client, server).await?;
                self.part_of(&mut client, &reply, bytes).await;
                let mut still = self.line.still.lock().unwrap();
                still.extend([client, server]);
                None
            }
            Fault::Late(bytes, pause) => {
                self.copy = Some(doubled(&self.head));
                let _ = self.receive(&mut client, bytes).await;
                tokio::spawn(close(client, End::Rst));
                tokio::spawn(late(
                    self.line.clone(),
                    self.copy.take()?,
                    self.head.method().to_owned(),
                    pause,
                ));
                None
            }
            Fault::Twice => {
                self.copy = Some(doubled(&self.head));
                let (first, reply) = self.served(&mut client, server).await?;
                let mut second = self.line.connect().await;
                let copy = self.copy.take()?;
                let _ = second.write_all(&copy).await;
                let again = Reply::read(&mut second, self.head.method()).await?;
                // Of two uploads the client has to know the first, for the other is the line's.
                if reply.head.field("location").is_some() {
                    self.deliver(&mut client, &reply).await;
                } else {
                    self.deliver(&mut client, &again).await;
                }
                Some((client, Some(first)))
            }
            Fault::Refuse(status, retry_after, content) => {
                let retry =
                    retry_after.map_or(String::new(), |value| format!("retry-after: {value}\r\n"));
                let close_it = match content {
                    Content::Read => "",
                    Content::Unread => "connection: close\r\n",
                };
                let answer =
                    format!("HTTP/1.1 {status} No\r\n{retry}{close_it}content-length: 0\r\n\r\n");
                if content == Content::Read {
                    let _ = self.receive(&mut client, u64::MAX).await;
                }
                self.line.record.refused(self.number, status);
                let _ = client.write_all(answer.as_bytes()).await;
                if content == Content::Read {
                    return Some((client, server));
                }
                tokio::spawn(close(client, End::Fin));
                None
            }
        }
    }

    /// A connection on which the head was sent.
    async fn upstream(&mut self, server: Option<TcpStream>) -> TcpStream {
        let mut server = match server {
            Some(server) => server,
            None => self.line.connect().await,
        };
        if server.write_all(&self.head.bytes).await.is_err() {
            server = self.line.connect().await;
            server.write_all(&self.head.bytes).await.unwrap();
        }
        server
    }

    /// Sends all content; the answer to it.
    async fn served(
        &mut self,
        client: &mut TcpStream,
        server: Option<TcpStream>,
    ) -> Option<(TcpStream, Reply)> {
        let mut server = self.upstream(server).await;
        if self.send(client, &mut server, u64::MAX).await == Sent::GivenUp {
            return None;
        }
        let reply = Reply::read(&mut server, self.head.method()).await?;
        Some((server, reply))
    }

    /// Moves at most so many bytes of content to the server.
    async fn send(&mut self, client: &mut TcpStream, server: &mut TcpStream, most: u64) -> Sent {
        let mut left = most;
        loop {
            self.pause().await;
            let size = match self.pace {
                Pace::Pieces(bytes) => bytes.min(self.buffer.len()),
                _ => self.buffer.len(),
            };
            let (taken, content) = self.framing.take(&self.buffer[..size], left);
            left -= content;
            self.line.record.taken(self.number, content);
            let piece = self.buffer.split_to(taken);
            if let Some(copy) = &mut self.copy {
                copy.extend_from_slice(&piece);
            }
            if server.write_all(&piece).await.is_err() {
                return Sent::Answered;
            }
            if self.framing.has_ended() || left == 0 {
                return Sent::Wanted;
            }
            if matches!(self.pace, Pace::Pieces(_)) && has_left(client) {
                // What it has sent is lost on the way, and does not come in for as long as that takes.
                return Sent::GivenUp;
            }
            if !self.buffer.is_empty() {
                continue;
            }
            tokio::select! {
                read = client.read_buf(self.buffer) => {
                    if read.map_or(true, |count| count == 0) {
                        return Sent::GivenUp;
                    }
                }
                _ = server.readable() => return Sent::Answered,
            }
        }
    }

    /// Takes at most so many bytes of content, for nobody.
    async fn receive(&mut self, client: &mut TcpStream, most: u64) -> Sent {
        let mut left = most;
        loop {
            let (taken, content) = self.framing.take(self.buffer, left);
            left -= content;
            self.line.record.taken(self.number, content);
            let piece = self.buffer.split_to(taken);
            if let Some(copy) = &mut self.copy {
                copy.extend_from_slice(&piece);
            }
            if self.framing.has_ended() || left == 0 {
                return Sent::Wanted;
            }
            let read = client.read_buf(self.buffer).await;
            if read.map_or(true, |count| count == 0) {
                return Sent::GivenUp;
            }
        }
    }

    /// The server's answer, unless one of both goes away.
    async fn reply(&mut self, client: &mut TcpStream, server: &mut TcpStream) -> Option<Reply> {
        tokio::select! {
            reply = Reply::read(server, self.head.method()) => reply,
            // More of a body whose answer came early, or the end.
            () = gone(client, self.buffer) => {
                self.line.record.lock().given_up(self.number);
                None
            }
        }
    }

    async fn deliver(&mut self, client: &mut TcpStream, reply: &Reply) {
        self.pause().await;
        // Before the client can react to it.
        let record = &self.line.record;
        record.answered(self.number, reply, Delivered::Surely);
        let _ = client.write_all(&reply.bytes).await;
    }

    /// The beginning of an answer.
    async fn part_of(&mut self, client: &mut TcpStream, reply: &Reply, bytes: usize) {
        let bytes = bytes.min(reply.bytes.len());
        if bytes >= reply.head.bytes.len() {
            let record = &self.line.record;
            record.answered(self.number, reply, Delivered::Perhaps);
        }
        let _ = client.write_all(&reply.bytes[..bytes]).await;
    }

    async fn pause(&self) {
        match self.pace {
            Pace::Free => {}
            Pace::Pauses(pause) => sleep(pause).await,
            Pace::Pieces(_) => sleep(Duration::from_millis(1)).await,
        }
    }
}

/// Waits for the end of a connection.
async fn gone(client: &mut TcpStream, buffer: &mut BytesMut) {
    while client.read_buf(buffer).await.is_ok_and(|count| count > 0) {}
}

/// Brings what was held up.
async fn late(line: Arc<Line>, bytes: Vec<u8>, method: String, pause: Duration) {
    sleep(pause).await;
    let mut server = line.connect().await;
    let _ = server.write_all(&bytes).await;
    let _ = server.shutdown().await;
    let _ = Reply::read(&mut server, &method).await;
}

/// The head of a request that is sent once more.
fn doubled(head: &Head) -> Vec<u8> {
    let mut bytes = head.bytes.clone();
    let end = bytes.len() - 2;
    bytes.splice(end..end, format!("{DOUBLE}: 1\r\n").into_bytes());
    bytes
}
