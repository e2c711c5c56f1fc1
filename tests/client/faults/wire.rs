use std::io;

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The head of a request or of an answer, as it came.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) bytes: Vec<u8>,
    first: Vec<String>,
    fields: Vec<(String, String)>,
}

impl Head {
    /// The next head of a connection; `None` if it ends before.
    pub(super) async fn read(
        from: &mut TcpStream,
        buffer: &mut BytesMut,
    ) -> io::Result<Option<Self>> {
        loop {
            if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                return Ok(Some(Self::parse(&buffer.split_to(end + 4))));
            }
            if from.read_buf(buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    fn parse(bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).unwrap();
        let mut lines = text.trim_end().split("\r\n");
        let first = lines.next().unwrap();
        let fields = lines.map(|line| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        });
        Self {
            bytes: bytes.to_vec(),
            first: first.split(' ').map(str::to_owned).collect(),
            fields: fields.collect(),
        }
    }

    pub(super) fn method(&self) -> &str {
        &self.first[0]
    }

    pub(super) fn path(&self) -> &str {
        &self.first[1]
    }

    pub(super) fn status(&self) -> u16 {
        self.first[1].parse().unwrap()
    }

    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        let field = fields.find(|(field, _)| field == name)?;
        Some(&field.1)
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.field(name).map(|value| value.parse().unwrap())
    }

    /// How the body ends.
    pub(super) fn framing(&self) -> Framing {
        match self.field("transfer-encoding") {
            Some(coding) => {
                assert_eq!(coding, "chunked");
                Framing::Size(Vec::new())
            }
            None => Framing::Counted(self.number("content-length").unwrap_or(0)),
        }
    }
}

/// Where in a body something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes are to come, and nothing else.
    Counted(u64),
    /// Within the line with a chunk's size.
    Size(Vec<u8>),
    /// So many bytes of a chunk, and its end, are to come.
    Chunk(u64, u8),
    /// Within a line of the trailer.
    Trailer(Vec<u8>),
}

impl Framing {
    pub(super) const ENDED: Self = Self::Counted(0);

    pub(super) fn has_ended(&self) -> bool {
        *self == Self::ENDED
    }

    /// How many of these bytes belong to the body, so that at most `most` of them are content; and how
    /// many are.
    pub(super) fn take(&mut self, bytes: &[u8], most: u64) -> (usize, u64) {
        let (mut taken, mut content) = (0, 0);
        while taken < bytes.len() && !self.has_ended() {
            let rest = &bytes[taken..];
            match self {
                Self::Counted(left) | Self::Chunk(left @ 1.., _) => {
                    let count = (*left).min(rest.len() as u64).min(most - content);
                    if count == 0 {
                        break;
                    }
                    *left -= count;
                    taken += count as usize;
                    content += count;
                }
                Self::Chunk(_, end) => {
                    taken += 1;
                    *end -= 1;
                    if *end == 0 {
                        *self = Self::Size(Vec::new());
                    }
                }
                Self::Size(line) => {
                    taken += 1;
                    line.push(rest[0]);
                    if line.ends_with(b"\r\n") {
                        let size = std::str::from_utf8(&line[..line.len() - 2]).unwrap();
                        *self = match u64::from_str_radix(size, 16).unwrap() {
                            0 => Self::Trailer(Vec::new()),
                            size => Self::Chunk(size, 2),
                        };
                    }
                }
                Self::Trailer(line) => {
                    taken += 1;
                    line.push(rest[0]);
                    if line.ends_with(b"\r\n") {
                        *self = match line.len() {
                            2 => Self::ENDED,
                            _ => Self::Trailer(Vec::new()),
                        };
                    }
                }
            }
        }
        (taken, content)
    }
}

/// An answer with its body.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) head: Head,
    pub(super) bytes: Vec<u8>,
}

impl Reply {
    /// The answer to `method`; `None` if the connection ends before its end.
    pub(super) async fn read(from: &mut TcpStream, method: &str) -> Option<Self> {
        let mut buffer = BytesMut::new();
        let head = loop {
            let head = Head::read(from, &mut buffer).await.ok()??;
            if head.status() >= 200 {
                break head;
            }
        };
        let length = match (method, head.status()) {
            ("HEAD", _) | (_, 204 | 304) => 0,
            _ => head.number("content-length").unwrap_or(0) as usize,
        };
        while buffer.len() < length {
            if from.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        }
        assert_eq!(buffer.len(), length, "{head:?}");
        let mut bytes = head.bytes.clone();
        bytes.extend_from_slice(buffer.chunk());
        Some(Self { head, bytes })
    }
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// What was written arrives before the end.
    Fin,
    /// At once: what is in buffers is lost.
    Rst,
}

pub(super) async fn close(mut stream: TcpStream, end: End) {
    match end {
        End::Rst => stream.set_zero_linger().unwrap(),
        // Without this, bytes that nobody has read make a reset of it.
        End::Fin => drain(&mut stream).await,
    }
}

/// Ends one direction and reads the other to its end.
async fn drain(stream: &mut TcpStream) {
    let _ = stream.shutdown().await;
    let mut rest = vec![0; 64 << 10];
    while stream.read(&mut rest).await.is_ok_and(|count| count > 0) {}
}

#[test]
fn chunks_end_where_they_end() {
    let body = b"5\r\nhello\r\nA\r\n0123456789\r\n0\r\nchecksum: a\r\n\r\nGET";
    for step in 1..body.len() {
        let mut framing = Framing::Size(Vec::new());
        let (mut at, mut content) = (0, 0);
        while !framing.has_ended() {
            let end = (at + step).min(body.len());
            let (taken, more) = framing.take(&body[at..end], 3);
            (at, content) = (at + taken, content + more);
        }
        assert_eq!((at, content), (body.len() - 3, 15));
    }
    let mut framing = Framing::Counted(7);
    assert_eq!(framing.take(b"hello", 3), (3, 3));
    assert_eq!(framing.take(b"lo, you", 9), (4, 4));
    assert!(framing.has_ended());
}
