//! The load generator's HTTP/1.1: pre-built requests on blocking sockets, answers read as cheaply as possible.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// No server may keep a scenario waiting longer; also what bounds the run.
const PATIENCE: Duration = Duration::from_secs(30);
const ANSWER: usize = 16 << 10;
const BLOCK: usize = 1 << 20;

pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    answer: Box<[u8]>,
    /// Whether the request on its way is a HEAD, whose answer has no body.
    head: bool,
}

/// The head of an answer.
pub(crate) struct Response<'a> {
    pub(crate) status: u16,
    head: &'a [u8],
}

/// What uploads are made of; the same bytes again and again, so that the client costs little.
pub(crate) struct Block(Vec<u8>);

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            answer: vec![0; ANSWER].into(),
            head: false,
        })
    }

    pub(crate) fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.head = request.starts_with(b"HEAD ");
        self.stream.write_all(request)
    }

    /// Reads the answer to the request sent last, with its body.
    pub(crate) fn receive(&mut self) -> io::Result<Response<'_>> {
        let mut filled = 0;
        let (status, end) = loop {
            let Some(end) = end_of_head(&self.answer[..filled]) else {
                filled += self.read(filled)?;
                continue;
            };
            match status(&self.answer)? {
                // An interim answer; the real one follows.
                100..=199 => {
                    self.answer.copy_within(end..filled, 0);
                    filled -= end;
                }
                status => break (status, end),
            }
        };
        if !self.head && status != 204 {
            self.skip_body(end, filled)?;
        }
        Ok(Response {
            status,
            head: &self.answer[..end],
        })
    }

    pub(crate) fn exchange(&mut self, request: &[u8]) -> io::Result<Response<'_>> {
        self.send(request)?;
        self.receive()
    }

    /// Creates an upload; its path.
    pub(crate) fn create(&mut self, length: u64) -> io::Result<String> {
        self.exchange(&post(length, "", &[]))?
            .expect(201)?
            .location()
    }

    /// Appends `count` bytes at `offset` in one PATCH, with more header lines.
    pub(crate) fn append(
        &mut self,
        path: &str,
        offset: u64,
        count: u64,
        more: &str,
        block: &Block,
    ) -> io::Result<Response<'_>> {
        let mut request = Vec::new();
        patch(&mut request, path, offset, count, more);
        self.send(&request)?;
        block.send(&mut self.stream, count)?;
        self.receive()
    }

    /// What the server says it has of the upload.
    pub(crate) fn offset(&mut self, path: &str) -> io::Result<Option<u64>> {
        let response = self.exchange(&head(path))?;
        Ok(response.expect(200)?.offset())
    }

    fn skip_body(&mut self, end: usize, mut filled: usize) -> io::Result<()> {
        let response = Response {
            status: 0,
            head: &self.answer[..end],
        };
        if let Some(length) = response.header("content-length") {
            let length: usize = length.parse().map_err(io::Error::other)?;
            while filled < end + length {
                filled += self.read(filled)?;
            }
        } else if response.header("transfer-encoding").is_some() {
            while !self.answer[end..filled].ends_with(b"0\r\n\r\n") {
                filled += self.read(filled)?;
            }
        }
        Ok(())
    }

    fn read(&mut self, filled: usize) -> io::Result<usize> {
        match self.stream.read(&mut self.answer[filled..])? {
            0 => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the server closed the connection",
            )),
            count => Ok(count),
        }
    }
}

impl Response<'_> {
    pub(crate) fn expect(&self, status: u16) -> io::Result<&Self> {
        if self.status == status {
            return Ok(self);
        }
        let answer = String::from_utf8_lossy(self.head);
        let line = answer.lines().next().unwrap_or_default();
        Err(io::Error::other(format!("{line} instead of {status}")))
    }

    pub(crate) fn offset(&self) -> Option<u64> {
        self.header("upload-offset")?.parse().ok()
    }

    /// The path in `Location`, which some servers send with scheme and host.
    pub(crate) fn location(&self) -> io::Result<String> {
        let location = self
            .header("location")
            .ok_or_else(|| io::Error::other("an answer without Location"))?;
        let path = match location.split_once("://") {
            Some((_, rest)) => &rest[rest.find('/').unwrap_or(rest.len())..],
            None => location,
        };
        Ok(path.to_owned())
    }

    fn header(&self, wanted: &str) -> Option<&str> {
        str::from_utf8(self.head)
            .ok()?
            .split("\r\n")
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value.trim())
    }
}

impl Block {
    pub(crate) fn new() -> Self {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut bytes = Vec::with_capacity(BLOCK);
        while bytes.len() < BLOCK {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        Self(bytes)
    }

    /// The first `count` bytes, at most one block.
    pub(crate) fn start(&self, count: u64) -> &[u8] {
        &self.0[..usize::try_from(count).map_or(BLOCK, |count| count.min(BLOCK))]
    }

    pub(crate) fn send(&self, stream: &mut TcpStream, mut count: u64) -> io::Result<()> {
        while count > 0 {
            let piece = self.start(count);
            stream.write_all(piece)?;
            count -= piece.len() as u64;
        }
        Ok(())
    }
}

/// Keeps one request on its way on each connection, all from this thread.
///
/// `step` gets the number of a connection and the answer that came on it (none the first time), and puts the next request
/// into the buffer; `false` ends that connection's work.
pub(crate) fn drive(
    connections: &mut [Connection],
    mut step: impl FnMut(usize, Option<&Response<'_>>, &mut Vec<u8>) -> io::Result<bool>,
) -> io::Result<()> {
    let mut request = Vec::new();
    let mut busy = Vec::new();
    for (number, connection) in connections.iter_mut().enumerate() {
        request.clear();
        if step(number, None, &mut request)? {
            connection.send(&request)?;
            busy.push(number);
        }
    }
    while !busy.is_empty() {
        let mut failure = None;
        busy.retain(|&number| {
            request.clear();
            let connection = &mut connections[number];
            let more = connection
                .receive()
                .and_then(|response| step(number, Some(&response), &mut request))
                .and_then(|more| {
                    if more {
                        connection.send(&request)?;
                    }
                    Ok(more)
                });
            more.unwrap_or_else(|error| {
                failure = Some(error);
                false
            })
        });
        if let Some(error) = failure {
            return Err(error);
        }
    }
    Ok(())
}

/// A POST that creates an upload, with more header lines and the first bytes.
pub(crate) fn post(length: u64, more: &str, body: &[u8]) -> Vec<u8> {
    let content_type = if body.is_empty() { "" } else { OCTETS };
    let mut request = format!(
        "POST /files/ HTTP/1.1\r\nHost: 127.0.0.1\r\nTus-Resumable: 1.0.0\r\nUpload-Length: {length}\r\n{content_type}{more}Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// A POST that creates an upload from finished ones.
pub(crate) fn post_final(parts: &[String]) -> Vec<u8> {
    format!(
        "POST /files/ HTTP/1.1\r\nHost: 127.0.0.1\r\nTus-Resumable: 1.0.0\r\nUpload-Concat: final;{}\r\nContent-Length: 0\r\n\r\n",
        parts.join(" ")
    )
    .into_bytes()
}

/// The head of a PATCH.
pub(crate) fn patch(request: &mut Vec<u8>, path: &str, offset: u64, count: u64, more: &str) {
    write!(
        request,
        "PATCH {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nTus-Resumable: 1.0.0\r\n{OCTETS}Upload-Offset: {offset}\r\n{more}Content-Length: {count}\r\n\r\n"
    )
    .expect("a Vec takes any number of bytes");
}

pub(crate) fn head(path: &str) -> Vec<u8> {
    format!("HEAD {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nTus-Resumable: 1.0.0\r\n\r\n").into_bytes()
}

fn end_of_head(answer: &[u8]) -> Option<usize> {
    answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .map(|start| start + 4)
}

fn status(answer: &[u8]) -> io::Result<u16> {
    str::from_utf8(&answer[9..12])
        .ok()
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| io::Error::other("not an HTTP answer"))
}

const OCTETS: &str = "Content-Type: application/offset+octet-stream\r\n";
