/// The media type of a PATCH.
pub(crate) const OCTETS: &str = "application/offset+octet-stream";

/// The authority that requests name in `Host`.
const HOST: &str = "tus.test";

/// A request as it goes over the wire: what is not said here is not sent.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: String,
    target: String,
    version: &'static str,
    headers: Vec<(String, Vec<u8>)>,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    None,
    Sized(Vec<u8>),
    Chunked {
        data: Vec<u8>,
        chunk: usize,
        trailers: Vec<(String, Vec<u8>)>,
    },
}

impl Request {
    /// A request with `Host` and, where clients of tus have to send it, `Tus-Resumable`.
    pub(crate) fn new(method: &str, target: &str) -> Self {
        let request = Self {
            method: method.to_owned(),
            target: target.to_owned(),
            version: "HTTP/1.1",
            headers: Vec::new(),
            body: Body::None,
        }
        .header("Host", HOST);
        match method {
            "OPTIONS" | "GET" => request,
            _ => request.header("Tus-Resumable", "1.0.0"),
        }
    }

    /// A POST to the creation URL; the length is still to be said.
    pub(crate) fn create() -> Self {
        Self::new("POST", "/files")
    }

    /// A POST for an upload whose length follows later.
    pub(crate) fn deferred() -> Self {
        Self::create().header("Upload-Defer-Length", "1")
    }

    /// A POST for a part of another upload.
    pub(crate) fn partial(length: u64) -> Self {
        Self::create()
            .header("Upload-Length", length.to_string())
            .header("Upload-Concat", "partial")
    }

    /// A PATCH at `offset`; the body is still to be said.
    pub(crate) fn patch(url: &str, offset: u64) -> Self {
        Self::new("PATCH", url)
            .header("Content-Type", OCTETS)
            .header("Upload-Offset", offset.to_string())
    }

    /// Adds a header field, also beside one of the same name.
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers
            .push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Puts `value` in the place of whatever the field said.
    pub(crate) fn set(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.without(name).header(name, value)
    }

    /// Takes a header field away.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers
            .retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self
    }

    /// Aims the same request at something else.
    pub(crate) fn target(mut self, target: &str) -> Self {
        target.clone_into(&mut self.target);
        self
    }

    /// `HTTP/1.0`, for instance.
    pub(crate) fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    /// A body with `Content-Length`.
    pub(crate) fn body(mut self, data: impl AsRef<[u8]>) -> Self {
        self.body = Body::Sized(data.as_ref().to_owned());
        self
    }

    /// A chunked body in chunks of `chunk` bytes.
    pub(crate) fn chunked(mut self, data: impl AsRef<[u8]>, chunk: usize) -> Self {
        assert!(chunk > 0, "a chunk of no bytes ends the body");
        self.body = Body::Chunked {
            data: data.as_ref().to_owned(),
            chunk,
            trailers: Vec::new(),
        };
        self
    }

    /// Adds a field after the last chunk; announcing it in `Trailer` is the caller's choice.
    pub(crate) fn trailer(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        match &mut self.body {
            Body::Chunked { trailers, .. } => {
                trailers.push((name.to_owned(), value.as_ref().to_owned()));
            }
            Body::None | Body::Sized(_) => panic!("only a chunked body has trailers"),
        }
        self
    }

    /// The request's method, which decides whether the answer has a body.
    pub(crate) fn method(&self) -> &str {
        &self.method
    }

    /// Request line and header fields with the empty line after them.
    pub(crate) fn head_bytes(&self) -> Vec<u8> {
        let mut bytes =
            format!("{} {} {}\r\n", self.method, self.target, self.version).into_bytes();
        for (name, value) in &self.headers {
            push_field(&mut bytes, name, value);
        }
        match &self.body {
            Body::None => {}
            Body::Sized(data) => {
                push_field(
                    &mut bytes,
                    "Content-Length",
                    data.len().to_string().as_bytes(),
                );
            }
            Body::Chunked { .. } => push_field(&mut bytes, "Transfer-Encoding", b"chunked"),
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }

    /// The body as it stands on the wire, chunk framing included.
    pub(crate) fn body_bytes(&self) -> Vec<u8> {
        match &self.body {
            Body::None => Vec::new(),
            Body::Sized(data) => data.clone(),
            Body::Chunked {
                data,
                chunk,
                trailers,
            } => {
                let mut bytes = Vec::with_capacity(data.len() + data.len() / chunk * 8 + 16);
                for piece in data.chunks(*chunk) {
                    bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                    bytes.extend_from_slice(piece);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0\r\n");
                for (name, value) in trailers {
                    push_field(&mut bytes, name, value);
                }
                bytes.extend_from_slice(b"\r\n");
                bytes
            }
        }
    }

    /// Everything that goes over the wire.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.head_bytes();
        bytes.extend_from_slice(&self.body_bytes());
        bytes
    }
}

fn push_field(bytes: &mut Vec<u8>, name: &str, value: &[u8]) {
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(b": ");
    bytes.extend_from_slice(value);
    bytes.extend_from_slice(b"\r\n");
}
