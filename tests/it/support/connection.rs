use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{Request, Response, wait::DEADLINE};

/// One TCP connection on which the test decides about every byte.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// What was read but belongs to no answer yet.
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self::try_open(address).await.expect("connect")
    }

    /// Opens a connection to a server that may be gone.
    pub(crate) async fn try_open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
        })
    }

    /// Sends bytes as they are.
    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_write(bytes).await.expect("the server reads");
    }

    /// Sends bytes to a server that may have closed the connection.
    pub(crate) async fn try_write(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        in_time(self.stream.write_all(bytes.as_ref())).await
    }

    /// Half-closes: FIN after everything that was written. The answer can still be read.
    pub(crate) async fn finish(&mut self) {
        self.try_finish().await.expect("shut down writing");
    }

    /// The same towards a server that may have closed the connection.
    pub(crate) async fn try_finish(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Resets: RST, and whatever the server has not read yet is lost.
    pub(crate) fn reset(self) {
        self.stream.set_zero_linger().expect("set SO_LINGER");
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn send(&mut self, request: &Request) -> Response {
        self.try_send(request).await.expect("an answer")
    }

    /// Sends a request and reads its answer, which may come (and count) before the body is sent.
    pub(crate) async fn try_send(&mut self, request: &Request) -> io::Result<Response> {
        let bytes = request.to_bytes();
        let (mut reader, mut writer) = self.stream.split();
        let buffer = &mut self.buffer;
        let answer = read_final(&mut reader, buffer, request.method());
        in_time(async {
            tokio::pin!(answer);
            tokio::select! {
                biased;
                answer = &mut answer => answer,
                // A write error means that the server answered early: read what it said.
                _ = writer.write_all(&bytes) => answer.await,
            }
        })
        .await
    }

    /// Reads the answer to a request that was written with [`write`](Self::write).
    pub(crate) async fn response(&mut self, method: &str) -> Response {
        self.try_response(method).await.expect("an answer")
    }

    /// Reads an answer from a server that may have closed the connection.
    pub(crate) async fn try_response(&mut self, method: &str) -> io::Result<Response> {
        in_time(read_final(&mut self.stream, &mut self.buffer, method)).await
    }

    /// Reads one head, also that of an interim answer.
    pub(crate) async fn head_of_response(&mut self) -> Response {
        in_time(read_head(&mut self.stream, &mut self.buffer))
            .await
            .expect("a head")
    }

    /// Reads everything until the server closes; bytes that came before a reset count.
    pub(crate) async fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.buffer);
        let read = in_time(self.stream.read_to_end(&mut bytes)).await;
        if let Err(error) = read {
            assert_ne!(
                error.kind(),
                io::ErrorKind::TimedOut,
                "the server does not close"
            );
        }
        bytes
    }

    /// Whether bytes have come that belong to no answer that was read.
    pub(crate) fn has_surplus(&mut self) -> bool {
        let mut more = [0; 1024];
        if let Ok(read) = self.stream.try_read(&mut more) {
            self.buffer.extend_from_slice(&more[..read]);
        }
        !self.buffer.is_empty()
    }
}

/// Reads heads and skips the interim ones; then the body that the last one promises.
async fn read_final(
    stream: &mut (impl AsyncReadExt + Unpin),
    buffer: &mut Vec<u8>,
    method: &str,
) -> io::Result<Response> {
    let mut interim = Vec::new();
    let mut response = loop {
        let head = read_head(stream, buffer).await?;
        if (100..200).contains(&head.status) {
            interim.push(head.status);
        } else {
            break head;
        }
    };
    response.interim = interim;
    response.body = read_body(stream, buffer, &response, method).await?;
    Ok(response)
}

async fn read_head(
    stream: &mut (impl AsyncReadExt + Unpin),
    buffer: &mut Vec<u8>,
) -> io::Result<Response> {
    let end = loop {
        match buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            Some(end) => break end,
            None => fill(stream, buffer).await?,
        }
    };
    let head: Vec<u8> = buffer.drain(..end + 4).take(end).collect();
    let mut lines = head
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii_end);
    let status = lines.next().and_then(|line| {
        let line = std::str::from_utf8(line).ok()?;
        line.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()
    });
    let status = status.unwrap_or_else(|| panic!("no status line: {:?}", head.escape_ascii()));
    let headers = lines
        .map(|line| {
            let colon = line
                .iter()
                .position(|byte| *byte == b':')
                .expect("a field has a colon");
            let name = String::from_utf8(line[..colon].to_vec()).expect("names are ASCII");
            (name, line[colon + 1..].trim_ascii().to_vec())
        })
        .collect();
    Ok(Response {
        status,
        headers,
        body: Vec::new(),
        interim: Vec::new(),
    })
}

/// The body as RFC 9112 section 6.3 frames it.
async fn read_body(
    stream: &mut (impl AsyncReadExt + Unpin),
    buffer: &mut Vec<u8>,
    head: &Response,
    method: &str,
) -> io::Result<Vec<u8>> {
    if method == "HEAD" || matches!(head.status, 204 | 304) {
        return Ok(Vec::new());
    }
    if head.header("Transfer-Encoding").is_some() {
        return read_chunks(stream, buffer).await;
    }
    if let Some(length) = head.header("Content-Length") {
        let length = length.parse().expect("Content-Length is a number");
        return take(stream, buffer, length).await;
    }
    while fill(stream, buffer).await.is_ok() {}
    Ok(std::mem::take(buffer))
}

async fn read_chunks(
    stream: &mut (impl AsyncReadExt + Unpin),
    buffer: &mut Vec<u8>,
) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(stream, buffer).await?;
        let size = line
            .split(';')
            .next()
            .expect("split gives one piece")
            .trim();
        let size = usize::from_str_radix(size, 16).expect("a chunk starts with its size");
        if size == 0 {
            while !read_line(stream, buffer).await?.is_empty() {}
            return Ok(body);
        }
        body.extend(take(stream, buffer, size).await?);
        assert_eq!(
            read_line(stream, buffer).await?,
            "",
            "a chunk ends with an empty line"
        );
    }
}

async fn read_line(
    stream: &mut (impl AsyncReadExt + Unpin),
    buffer: &mut Vec<u8>,
) -> io::Result<String> {
    loop {
        if let Some(end) = buffer.windows(2).position(|window| window == b"\r\n") {
            let line = buffer.drain(..end + 2).take(end).collect();
            return Ok(String::from_utf8(line).expect("framing is ASCII"));
        }
        fill(stream, buffer).await?;
    }
}

async fn take(
    stream: &mut (impl AsyncReadExt + Unpin),
    buffer: &mut Vec<u8>,
    length: usize,
) -> io::Result<Vec<u8>> {
    while buffer.len() < length {
        fill(stream, buffer).await?;
    }
    Ok(buffer.drain(..length).collect())
}

async fn fill(stream: &mut (impl AsyncReadExt + Unpin), buffer: &mut Vec<u8>) -> io::Result<()> {
    match stream.read_buf(buffer).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// Nothing waits for ever: a hanging server fails the test instead of stopping it.
async fn in_time<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(DEADLINE, work)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
