//! Just enough of S3: conditional puts, multipart uploads, and the bytes of what is small. Large bodies are forgotten.

mod answers;
mod objects;

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use self::{
    answers::{Answer, answer},
    objects::Objects,
};

/// How fast a sink is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// From the last byte of a request to its answer.
    delay: Duration,
    /// Bytes per second that it takes on each connection.
    rate: Option<u64>,
}

impl Pace {
    pub(crate) const FULL: Self = Self {
        delay: Duration::ZERO,
        rate: None,
    };
    /// About what a store in the same region does.
    pub(crate) const DISTANT: Self = Self {
        delay: Duration::from_millis(25),
        rate: Some(80 << 20),
    };
    /// So slow that everything piles up before it.
    pub(crate) const SLOW: Self = Self {
        delay: Duration::from_millis(25),
        rate: Some(4 << 20),
    };
}

/// A request, without the bytes of its body if there are many.
struct Request {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    /// Of the body.
    size: u64,
    body: Vec<u8>,
}

impl Request {
    fn header(&self, wanted: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(name, _)| name == wanted)?;
        Some(value)
    }
}

/// A server that lives as long as this process.
pub(crate) struct Sink;

impl Sink {
    pub(crate) fn start(pace: Pace) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let objects = Arc::<Objects>::default();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let objects = Arc::clone(&objects);
                // An error is the end of a connection.
                thread::spawn(move || Connection::new(stream, pace)?.serve(&objects));
            }
        });
        Ok(address)
    }
}

struct Connection {
    stream: TcpStream,
    pace: Pace,
    buffer: Vec<u8>,
    /// Of the buffer.
    filled: usize,
}

/// What is read at a time; fits into the cache.
const BUFFER: usize = 256 << 10;

/// The largest body that is kept.
const KEPT: u64 = 16 << 20;

impl Connection {
    fn new(stream: TcpStream, pace: Pace) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            pace,
            buffer: vec![0; BUFFER],
            filled: 0,
        })
    }

    fn serve(mut self, objects: &Objects) -> io::Result<()> {
        while let Some(mut request) = self.head()? {
            let keep =
                request.path.contains("/.tus/") && request.size <= KEPT || request.method == "POST";
            self.body(&mut request, keep)?;
            thread::sleep(self.pace.delay);
            let Answer { mut head, body } = answer(&request, objects);
            head.extend_from_slice(&body);
            self.stream.write_all(&head)?;
        }
        Ok(())
    }

    /// The next request, up to its body.
    fn head(&mut self) -> io::Result<Option<Request>> {
        let mut searched: usize = 0;
        let end = loop {
            let unseen = &self.buffer[searched..self.filled];
            if let Some(at) = unseen.windows(4).position(|four| four == b"\r\n\r\n") {
                break searched + at + 4;
            }
            searched = self.filled.saturating_sub(3);
            match self.stream.read(&mut self.buffer[self.filled..])? {
                0 => return Ok(None),
                count => self.filled += count,
            }
        };
        let request = parse(&self.buffer[..end]).ok_or(io::ErrorKind::InvalidData)?;
        self.buffer.copy_within(end..self.filled, 0);
        self.filled -= end;
        Ok(Some(request))
    }

    fn body(&mut self, request: &mut Request, keep: bool) -> io::Result<()> {
        let began = Instant::now();
        let mut left = usize::try_from(request.size).map_err(io::Error::other)?;
        let there = left.min(self.filled);
        if keep {
            request.body.extend_from_slice(&self.buffer[..there]);
        }
        self.buffer.copy_within(there..self.filled, 0);
        self.filled -= there;
        left -= there;
        while left > 0 {
            // Nothing of the next request: it is only sent after the answer.
            let end = left.min(BUFFER);
            let count = self.stream.read(&mut self.buffer[..end])?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if keep {
                request.body.extend_from_slice(&self.buffer[..count]);
            }
            left -= count;
            if let Some(rate) = self.pace.rate {
                let taken = request.size - left as u64;
                let due = began + Duration::from_secs_f64(taken as f64 / rate as f64);
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        }
        Ok(())
    }
}

fn parse(head: &[u8]) -> Option<Request> {
    let mut lines = str::from_utf8(head).ok()?.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        size: 0,
        body: Vec::new(),
    };
    if let Some(size) = request.header("content-length") {
        request.size = size.parse().ok()?;
    }
    Some(request)
}
