//! `sink-tcp`: a thread per connection, one buffer of 1 MiB, as much of HTTP as the client of this benchmark speaks.
//!
//! A PATCH is a loop of `read` and `write`: no server can do with less. With `Upload-Checksum` it hashes (sha1) what it writes.

use std::{
    fs::File,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::Arc,
    thread,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use sha1::{Digest, Sha1};

use crate::files::Files;

const BUFFER: usize = 1 << 20;

pub(crate) fn serve(listener: &TcpListener, dir: &Path) -> io::Result<()> {
    let files = Arc::new(Files::new(dir));
    for stream in listener.incoming() {
        let files = Arc::clone(&files);
        let stream = stream?;
        thread::spawn(move || {
            // Whatever a cut connection sent is in the file already.
            let _ = Connection::new(stream).run(&files);
        });
    }
    Ok(())
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

/// What the head of a request says, as far as a sink cares.
struct Head {
    method: String,
    path: String,
    length: u64,
    offset: u64,
    checksum: Option<String>,
    concat: Option<String>,
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            buffer: vec![0; BUFFER],
            filled: 0,
        }
    }

    fn run(mut self, files: &Files) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        while let Some(head) = self.head()? {
            let answer = self.answer(files, &head)?;
            self.stream.write_all(answer.as_bytes())?;
        }
        Ok(())
    }

    /// Reads the head of the next request; the body's first bytes are then at the start of the buffer.
    fn head(&mut self) -> io::Result<Option<Head>> {
        let end = loop {
            if let Some(end) = find(&self.buffer[..self.filled], b"\r\n\r\n") {
                break end + 4;
            }
            match self.stream.read(&mut self.buffer[self.filled..])? {
                0 => return Ok(None),
                count => self.filled += count,
            }
        };
        let head = Head::parse(&self.buffer[..end])?;
        self.buffer.copy_within(end..self.filled, 0);
        self.filled -= end;
        Ok(Some(head))
    }

    fn answer(&mut self, files: &Files, head: &Head) -> io::Result<String> {
        match (head.method.as_str(), head.concat.as_deref()) {
            ("HEAD", _) => Ok(format!(
                "HTTP/1.1 200 OK\r\nTus-Resumable: 1.0.0\r\nCache-Control: no-store\r\nUpload-Offset: {}\r\n\r\n",
                files.len(&head.path)?
            )),
            ("POST", Some(parts)) if parts.starts_with("final;") => {
                Ok(created(files.concat(&parts["final;".len()..])?, 0))
            }
            ("POST", _) => {
                let (id, mut file) = files.create()?;
                self.store(&mut file, head)?;
                Ok(created(id, head.length))
            }
            _ => {
                let mut file = files.open(&head.path, head.offset)?;
                Ok(if self.store(&mut file, head)? {
                    format!(
                        "HTTP/1.1 204 No Content\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: {}\r\n\r\n",
                        head.offset + head.length
                    )
                } else {
                    "HTTP/1.1 460 Checksum Mismatch\r\nTus-Resumable: 1.0.0\r\nContent-Length: 0\r\n\r\n".into()
                })
            }
        }
    }

    /// Stores the body; whether its checksum holds.
    fn store(&mut self, file: &mut File, head: &Head) -> io::Result<bool> {
        let mut digest = head.checksum.as_ref().map(|_| Sha1::new());
        let mut left = head.length;
        while left > 0 {
            if self.filled == 0 {
                let room = BUFFER.min(usize::try_from(left).unwrap_or(BUFFER));
                self.filled = self.stream.read(&mut self.buffer[..room])?;
                if self.filled == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            let piece = &self.buffer[..self.filled];
            file.write_all(piece)?;
            if let Some(digest) = &mut digest {
                digest.update(piece);
            }
            left = left
                .checked_sub(piece.len() as u64)
                .ok_or(io::ErrorKind::InvalidData)?;
            self.filled = 0;
        }
        Ok(match (digest, &head.checksum) {
            (Some(digest), Some(wanted)) => BASE64_STANDARD.encode(digest.finalize()) == *wanted,
            _ => true,
        })
    }
}

impl Head {
    fn parse(bytes: &[u8]) -> io::Result<Self> {
        let text = str::from_utf8(bytes).map_err(io::Error::other)?;
        let mut lines = text.split("\r\n");
        let mut request = lines.next().unwrap_or_default().split(' ');
        let mut head = Self {
            method: request.next().unwrap_or_default().into(),
            path: request.next().unwrap_or_default().into(),
            length: 0,
            offset: 0,
            checksum: None,
            concat: None,
        };
        for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
            if name.eq_ignore_ascii_case("content-length") {
                head.length = value.parse().map_err(io::Error::other)?;
            } else if name.eq_ignore_ascii_case("upload-offset") {
                head.offset = value.parse().map_err(io::Error::other)?;
            } else if name.eq_ignore_ascii_case("upload-checksum") {
                head.checksum = value.strip_prefix("sha1 ").map(str::to_owned);
            } else if name.eq_ignore_ascii_case("upload-concat") {
                head.concat = Some(value.to_owned());
            }
        }
        Ok(head)
    }
}

fn created(id: u64, offset: u64) -> String {
    format!(
        "HTTP/1.1 201 Created\r\nTus-Resumable: 1.0.0\r\nLocation: /files/{id}\r\nUpload-Offset: {offset}\r\nContent-Length: 0\r\n\r\n"
    )
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}
