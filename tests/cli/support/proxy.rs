//! A proxy that misbehaves as it is told, and counts what passes.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// Between a client and a server.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    bytes: Arc<AtomicU64>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// The head of a request.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    head: String,
}

/// What happens to a request.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// It passes.
    Pass,
    /// It passes, and the answer's headers are changed: `None` drops one.
    Edit(Vec<(&'static str, Option<String>)>),
    /// It passes when it is there to its last byte.
    Buffer,
    /// It is answered here.
    Answer(u16, Vec<(&'static str, String)>),
    /// It goes to another path.
    Path(String),
    /// So many bytes of its content pass, then the connection ends.
    Cut(u64),
    /// It passes, and so many bytes of the answer come back.
    CutAnswer(u64),
    /// It passes, so many bytes of the answer come back, and nothing more.
    HoldAnswer(u64),
    /// It passes, and the path in `Location` is put behind this.
    Base(String),
}

impl Proxy {
    /// For requests to `server`; `act` sees each.
    pub(crate) fn start(
        server: SocketAddr,
        act: impl Fn(&Seen) -> Act + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let bytes: Arc<AtomicU64> = Arc::default();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let act = Arc::new(act);
        let (counted, remembered) = (bytes.clone(), seen.clone());
        // It ends with the test's process.
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (act, bytes) = (act.clone(), counted.clone());
                let remembered = remembered.clone();
                thread::spawn(move || {
                    // Whoever goes away is part of the test.
                    let _ = Self::serve(
                        client,
                        server,
                        |seen| {
                            remembered.lock().unwrap().push(seen.clone());
                            act(seen)
                        },
                        &bytes,
                    );
                });
            }
        });
        Self {
            address,
            bytes,
            seen,
        }
    }

    /// Where uploads are created.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/files", self.address)
    }

    /// Bytes of content that clients sent so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::SeqCst)
    }

    /// All requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    fn serve(
        mut client: TcpStream,
        server: SocketAddr,
        act: impl Fn(&Seen) -> Act,
        bytes: &AtomicU64,
    ) -> io::Result<()> {
        client.set_nodelay(true)?;
        let (head, mut early) = read_head(&mut client)?;
        let seen = Seen::parse(&head);
        bytes.fetch_add(early.len() as u64, Ordering::SeqCst);
        let length = seen.length();
        let mut most = u64::MAX;
        let mut edits = Vec::new();
        let mut shown = u64::MAX;
        let mut held = false;
        let mut before = String::new();
        let mut path = seen.path.clone();
        match act(&seen) {
            Act::Pass => {}
            Act::Edit(changes) => edits = changes,
            Act::Path(other) => path = other,
            Act::Cut(at) => most = at,
            Act::CutAnswer(at) => shown = at,
            Act::HoldAnswer(at) => {
                shown = at;
                held = true;
            }
            Act::Base(base) => before = base,
            Act::Buffer => {
                while (early.len() as u64) < length {
                    let mut piece = vec![0; 64 << 10];
                    let count = client.read(&mut piece)?;
                    if count == 0 {
                        return Ok(());
                    }
                    bytes.fetch_add(count as u64, Ordering::SeqCst);
                    early.extend_from_slice(&piece[..count]);
                }
            }
            Act::Answer(status, headers) => {
                let mut answer = format!("HTTP/1.1 {status} Here\r\nConnection: close\r\n");
                for (name, value) in headers {
                    answer += &format!("{name}: {value}\r\n");
                }
                answer += "Content-Length: 0\r\n\r\n";
                client.write_all(answer.as_bytes())?;
                client.shutdown(Shutdown::Write)?;
                client.set_read_timeout(Some(Duration::from_secs(1)))?;
                io::copy(&mut client, &mut io::sink())?;
                return Ok(());
            }
        }
        let mut upstream = TcpStream::connect(server)?;
        upstream.set_nodelay(true)?;
        upstream.write_all(seen.forwarded(&path).as_bytes())?;
        let passed = early.len() as u64;
        upstream.write_all(&early[..passed.min(most) as usize])?;
        let mut left = length.min(most).saturating_sub(passed);
        let is_cut = most < length;

        let mut from = client.try_clone()?;
        let mut to = upstream.try_clone()?;
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut piece = vec![0; 64 << 10];
                while left > 0 {
                    let most = piece.len().min(left as usize);
                    let Ok(count @ 1..) = from.read(&mut piece[..most]) else {
                        // The client is gone: so are we.
                        let _ = to.shutdown(Shutdown::Write);
                        return;
                    };
                    bytes.fetch_add(count as u64, Ordering::SeqCst);
                    if to.write_all(&piece[..count]).is_err() {
                        return;
                    }
                    left -= count as u64;
                }
                if is_cut {
                    let _ = to.shutdown(Shutdown::Write);
                    let _ = from.shutdown(Shutdown::Both);
                }
            });
            let answered = answer(&mut upstream, &mut client, &edits, &before, shown);
            if held {
                // Until the client has enough of it.
                io::copy(&mut client, &mut io::sink())?;
            }
            let _ = client.shutdown(Shutdown::Both);
            answered
        })
    }
}

impl Seen {
    fn parse(head: &str) -> Self {
        let mut words = head.split(' ');
        Self {
            method: words.next().unwrap_or_default().to_owned(),
            path: words.next().unwrap_or_default().to_owned(),
            head: head.to_owned(),
        }
    }

    /// A header's value, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        header(&self.head, name).unwrap_or("")
    }

    /// `Content-Length`.
    pub(crate) fn length(&self) -> u64 {
        self.header("content-length").parse().unwrap_or(0)
    }

    fn forwarded(&self, path: &str) -> String {
        let mut text = format!("{} {path} HTTP/1.1\r\nConnection: close\r\n", self.method);
        for line in self.head.lines().skip(1).filter(|line| !line.is_empty()) {
            if !line.to_ascii_lowercase().starts_with("connection:") {
                text += &format!("{line}\r\n");
            }
        }
        text + "\r\n"
    }
}

/// Passes the answer on, its head changed.
fn answer(
    upstream: &mut TcpStream,
    client: &mut TcpStream,
    edits: &[(&'static str, Option<String>)],
    base: &str,
    most: u64,
) -> io::Result<()> {
    let (head, rest) = read_head(upstream)?;
    let mut text = String::new();
    for line in head.lines().filter(|line| !line.is_empty()) {
        let name = line.split(':').next().unwrap_or_default();
        let is_edited = edits
            .iter()
            .any(|(edited, _)| edited.eq_ignore_ascii_case(name));
        match line.split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("location") && !is_edited => {
                text += &format!("{name}: {base}{value}\r\n");
            }
            _ if is_edited => {}
            _ => text += &format!("{line}\r\n"),
        }
    }
    for (name, value) in edits {
        if let Some(value) = value {
            text += &format!("{name}: {value}\r\n");
        }
    }
    client.write_all((text + "\r\n").as_bytes())?;
    let count = (rest.len() as u64).min(most);
    client.write_all(&rest[..count as usize])?;
    io::copy(&mut upstream.take(most - count), client)?;
    Ok(())
}

/// Up to the empty line, and what came with it.
fn read_head(stream: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = bytes.split_off(at + 4);
            return Ok((String::from_utf8_lossy(&bytes).into_owned(), rest));
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => bytes.extend_from_slice(&piece[..count]),
        }
    }
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.find_map(|(key, value)| key.eq_ignore_ascii_case(name).then(|| value.trim()))
}
