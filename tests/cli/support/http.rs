use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
};

use super::{PATIENCE, eventually};

/// A request over a connection of its own.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    head: String,
    body: Option<Vec<u8>>,
}

impl Request {
    /// A request with `Tus-Resumable`.
    pub(crate) fn new(method: &str, target: &str) -> Self {
        let head =
            format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\n");
        Self { head, body: None }
    }

    /// Creation of an upload of `length` bytes below `/files`.
    pub(crate) fn create(length: usize) -> Self {
        Self::new("POST", "/files").header("Upload-Length", length)
    }

    /// More bytes for an upload.
    pub(crate) fn patch(target: &str, offset: usize, body: &[u8]) -> Self {
        Self::new("PATCH", target)
            .header("Upload-Offset", offset)
            .body(body)
    }

    pub(crate) fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.head += &format!("{name}: {}\r\n", value.to_string());
        self
    }

    /// Bytes of an upload.
    pub(crate) fn body(mut self, body: &[u8]) -> Self {
        self.body = Some(body.to_vec());
        self.header("Content-Type", "application/offset+octet-stream")
    }

    /// Sends everything and waits for the answer.
    #[track_caller]
    pub(crate) fn send(self, address: SocketAddr) -> Answer {
        let body = self.body.clone().unwrap_or_default();
        let mut stream = self.announce(address, body.len());
        stream.write_all(&body).unwrap();
        Answer::read(stream)
    }

    /// Sends the head, for a body of `length` bytes that the caller brings.
    #[track_caller]
    pub(crate) fn announce(self, address: SocketAddr, length: usize) -> TcpStream {
        let mut stream = connect(address);
        self.announce_over(&mut stream, length);
        stream
    }

    /// The same over a connection of any kind.
    #[track_caller]
    pub(crate) fn announce_over(self, mut stream: impl Write, length: usize) {
        stream.write_all(self.head(length).as_bytes()).unwrap();
    }

    /// Sends everything over a connection of any kind, which should have a limit of its own for reads.
    #[track_caller]
    pub(crate) fn send_over(self, mut stream: impl Read + Write) -> Answer {
        let body = self.body.clone().unwrap_or_default();
        self.announce_over(&mut stream, body.len());
        stream.write_all(&body).unwrap();
        Answer::read(stream)
    }

    fn head(mut self, length: usize) -> String {
        if self.body.is_some() {
            self = self.header("Content-Length", length);
        }
        self.header("Connection", "close").head + "\r\n"
    }
}

/// A connection of which no read waits for ever.
#[track_caller]
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Waits for somebody to come, but not for ever. No read waits for ever either.
#[track_caller]
pub(crate) fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    let stream = eventually("a connection", || match listener.accept() {
        Ok((stream, _)) => Some(stream),
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => panic!("{error}"),
    });
    // Elsewhere than on Linux it is as its listener.
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Reads until the answer is complete, or the server closes.
    #[track_caller]
    pub(crate) fn read(mut stream: impl Read) -> Self {
        let mut bytes = Vec::new();
        let mut piece = vec![0; 64 << 10];
        let mut expected = None;
        let end = loop {
            let read = stream.read(&mut piece);
            if matches!(&read, Err(error) if error.kind() == ErrorKind::Interrupted) {
                continue;
            }
            let len = *read.as_ref().unwrap_or(&0);
            bytes.extend_from_slice(&piece[..len]);
            expected = expected.or_else(|| Self::parse(&bytes)?.expected_len());
            if len == 0 || expected == Some(bytes.len()) {
                break read;
            }
        };
        Self::parse(&bytes)
            .unwrap_or_else(|| panic!("no answer: {end:?}, {}", bytes.escape_ascii()))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let at = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8(bytes[..at].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let body = bytes[at + 4..].to_vec();
        Some(Self { status, head, body })
    }

    /// Head and body, where the head tells.
    fn expected_len(&self) -> Option<usize> {
        let body = match (self.status, self.header("Content-Length")) {
            (204, _) => 0,
            (_, length) => length?.parse().unwrap(),
        };
        Some(self.head.len() + 4 + body)
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then(|| value.trim()))
    }

    /// `Upload-Offset`.
    #[track_caller]
    pub(crate) fn offset(&self) -> usize {
        let offset = self.header("Upload-Offset");
        offset
            .unwrap_or_else(|| panic!("no Upload-Offset: {self:?}"))
            .parse()
            .unwrap()
    }

    /// `Location`.
    #[track_caller]
    pub(crate) fn location(&self) -> String {
        assert_eq!(self.status, 201, "{self:?}");
        self.header("Location").unwrap().to_owned()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}
