use std::{
    fmt, io,
    sync::{Arc, Mutex},
    thread,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime,
    sync::{mpsc, oneshot},
};

use crate::support::listen::bind;

/// Between a server and its store: counts the requests, and can stop at one of them.
///
/// Each request has a connection of its own.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) address: String,
    state: Arc<State>,
    /// Its thread ends when this is dropped.
    _stop: oneshot::Sender<()>,
}

#[derive(Debug)]
struct State {
    store: String,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    seen: Vec<Seen>,
    stop: Option<Stop>,
}

/// A request that came by.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// With its query.
    pub(crate) target: String,
    /// Size of its body, in bytes.
    pub(crate) length: u64,
}

/// Nothing of or after this request reaches the other side.
#[derive(Clone, Debug)]
struct Stop {
    /// Counted from 1 on.
    request: usize,
    moment: Moment,
    reached: mpsc::UnboundedSender<Seen>,
}

/// When a request is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The store never gets it.
    Before,
    /// The store has done what it asks, and the answer is lost.
    After,
}

impl Proxy {
    /// A proxy to the store at this address, on a thread of its own.
    pub(crate) fn start(store: &str) -> Self {
        let (listener, address) = bind();
        let state = Arc::new(State {
            store: store.to_owned(),
            inner: Mutex::default(),
        });
        let (stop, stopped) = oneshot::channel();
        let accepting = Arc::clone(&state);
        thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                tokio::select! {
                    () = accepting.accept(listener) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            address: address.to_string(),
            state,
            _stop: stop,
        }
    }

    /// What came by since the last call.
    pub(crate) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state.inner.lock().unwrap().seen)
    }

    /// Stops everything at the request of this number, from now on and counted from 1; what is
    /// received tells that it has come so far. Later requests are stopped before the store.
    pub(crate) fn stop_at(&self, request: usize, moment: Moment) -> mpsc::UnboundedReceiver<Seen> {
        let (reached, receiver) = mpsc::unbounded_channel();
        let mut inner = self.state.inner.lock().unwrap();
        inner.seen.clear();
        inner.stop = Some(Stop {
            request,
            moment,
            reached,
        });
        receiver
    }
}

impl State {
    async fn accept(self: &Arc<Self>, listener: std::net::TcpListener) {
        let listener = TcpListener::from_std(listener).expect("a listener for tokio");
        loop {
            let (stream, _) = listener.accept().await.expect("accept");
            let state = Arc::clone(self);
            // An error is one side's going away.
            tokio::spawn(async move { state.carry(stream).await });
        }
    }

    async fn carry(&self, mut client: TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        let (head, mut body) = read_head(&mut client).await?;
        let seen = Seen::read(&head);
        let (stop, is_last) = {
            let mut inner = self.inner.lock().unwrap();
            inner.seen.push(seen.clone());
            let count = inner.seen.len();
            let stop = inner.stop.clone().filter(|stop| count >= stop.request);
            let is_last = stop.as_ref().is_some_and(|stop| count == stop.request);
            (stop, is_last)
        };
        let lost = match &stop {
            Some(stop) if !is_last => return held(client).await,
            Some(stop) if stop.moment == Moment::Before => {
                let _ = stop.reached.send(seen);
                return held(client).await;
            }
            other => other.as_ref(),
        };

        let mut store = TcpStream::connect(&self.store).await?;
        store.set_nodelay(true)?;
        store.write_all(&closing(&head)).await?;
        let mut left = seen.length;
        while left > 0 {
            if body.is_empty() {
                body.resize(PIECE, 0);
                let read = client.read(&mut body).await?;
                if read == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                body.truncate(read);
            }
            store.write_all(&body).await?;
            left = left.saturating_sub(body.len() as u64);
            body.clear();
        }

        let (head, begin) = read_head(&mut store).await?;
        if let Some(stop) = lost {
            while store.read(&mut vec![0; PIECE]).await? > 0 {}
            let _ = stop.reached.send(seen);
            return held(client).await;
        }
        client.write_all(&closing(&head)).await?;
        client.write_all(&begin).await?;
        tokio::io::copy(&mut store, &mut client).await?;
        client.shutdown().await
    }
}

impl Seen {
    fn read(head: &[u8]) -> Self {
        let head = std::str::from_utf8(head).expect("a head is text");
        let mut lines = head.lines();
        let mut first = lines.next().unwrap_or_default().split(' ');
        let mut word = || first.next().expect("a request line").to_owned();
        let (method, target) = (word(), word());
        let length = lines
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map_or(0, |(_, value)| value.trim().parse().expect("a number"));
        Self {
            method,
            target,
            length,
        }
    }
}

/// In one line, without signatures.
impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = self.target.split("X-Amz-").next().unwrap_or_default();
        write!(f, "{} {target} ({} bytes)", self.method, self.length)
    }
}

/// Keeps a connection until the other side lets go of it.
async fn held(mut client: TcpStream) -> io::Result<()> {
    while client.read(&mut vec![0; PIECE]).await? > 0 {}
    Ok(())
}

/// Head, and what was read behind it.
async fn read_head(stream: &mut TcpStream) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = bytes.split_off(at + 4);
            return Ok((bytes, rest));
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// A head that says that its connection ends with it.
fn closing(head: &[u8]) -> Vec<u8> {
    let head = std::str::from_utf8(head).expect("a head is text");
    let (first, fields) = head.split_once("\r\n").expect("a first line");
    let mut closing = format!("{first}\r\nConnection: close\r\n");
    for field in fields.split_inclusive("\r\n") {
        if !field.to_ascii_lowercase().starts_with("connection:") {
            closing += field;
        }
    }
    closing.into_bytes()
}

const PIECE: usize = 64 << 10;
