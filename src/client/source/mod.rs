//! Where the bytes of an upload come from.

mod file;
mod opened;
mod reader;
mod stream;

use std::{fmt, io, ops::Range, path::PathBuf, pin::Pin};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream::BoxStream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeek};

pub(crate) use self::opened::Opened;
use self::{reader::Seekable, stream::Replay};
use super::{Error, error::Kind};

/// What is uploaded: a file, bytes, a reader, or a stream that can be read only once.
///
/// Content is read in pieces of at most 256 KiB while it is sent, whatever the size of a request.
///
/// ```
/// use tower_tus::client::Source;
///
/// let file = Source::path("video.mp4");
/// let text = Source::bytes("hello");
/// let input = Source::read_once(tokio::io::empty()).replay(4 << 20);
/// ```
#[must_use = "a source does nothing until it is uploaded"]
pub struct Source {
    inner: Inner,
    range: Option<Range<u64>>,
    length: Option<u64>,
    replay: usize,
}

enum Inner {
    Path(PathBuf),
    Bytes(Bytes),
    Seekable(Box<dyn Seekable>),
    Stream(BoxStream<'static, io::Result<Bytes>>),
    Concat(Vec<Source>),
}

impl Source {
    /// A file. It is opened when the upload starts, and has to stay as it is until the upload ends: with
    /// another size or time of change it ends with [`Error::is_source`]. Of a file that grows, a
    /// [`range`](Self::range) can be uploaded: what is written to it meanwhile is not looked at.
    pub fn path(path: impl Into<PathBuf>) -> Self {
        Self::new(Inner::Path(path.into()))
    }

    /// Bytes in memory.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::new(Inner::Bytes(bytes.into()))
    }

    /// A reader that can seek, from its first byte to its last.
    pub fn reader(reader: impl AsyncRead + AsyncSeek + Send + Unpin + 'static) -> Self {
        Self::new(Inner::Seekable(Box::new(reader)))
    }

    /// A stream of bytes that can be read only once, of unknown length unless [`length`](Self::length)
    /// tells.
    ///
    /// What the server may not have stored is kept in memory, see [`replay`](Self::replay). An upload that
    /// was interrupted reads the stream from its first byte again and drops what is stored.
    pub fn stream(stream: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Self {
        Self::new(Inner::Stream(stream.boxed()))
    }

    /// A reader that can be read only once, as standard input. See [`stream`](Self::stream).
    pub fn read_once(reader: impl AsyncRead + Send + 'static) -> Self {
        let pieces = futures::stream::try_unfold(Box::pin(reader), |mut reader| async move {
            let mut piece = bytes::BytesMut::with_capacity(PIECE);
            let read: Pin<&mut _> = reader.as_mut();
            let count = { read }.read_buf(&mut piece).await?;
            Ok((count > 0).then(|| (piece.freeze(), reader)))
        });
        Self::stream(pieces)
    }

    /// Several sources, one after the other. They become one upload; with
    /// [`Upload::parallel`](super::Upload::parallel) each is a part of its own. None may be a stream.
    pub fn concat(sources: impl IntoIterator<Item = Self>) -> Self {
        Self::new(Inner::Concat(sources.into_iter().collect()))
    }

    /// Only these bytes of a file, of bytes or of a reader, which has to have them. Default: everything.
    ///
    /// ```
    /// # use tower_tus::{TusService, client::{Client, Source}, storage::MemoryStorage};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let tus = TusService::new(MemoryStorage::new());
    /// # let client = Client::with_service("http://localhost/files".parse()?, tus);
    /// // Two parts that meet at byte 1000.
    /// let content = vec![7; 5000];
    /// let parts = [0..1000, 1000..5000].map(|range| Source::bytes(content.clone()).range(range));
    /// let done = client.upload(Source::concat(parts)).parallel(2).await?;
    /// assert_eq!(client.download(done.url()).bytes(5000).await?, content);
    /// # Ok(())
    /// # }
    /// ```
    pub fn range(mut self, range: Range<u64>) -> Self {
        self.range = Some(range);
        self
    }

    /// How many bytes there are. More or fewer end the upload with an error: the last bytes of a stream
    /// are sent when it has ended. Default: what the source says itself; of a stream nothing is known.
    pub fn length(mut self, bytes: u64) -> Self {
        self.length = Some(bytes);
        self
    }

    /// How many bytes of a stream are kept in memory to be sent again; a request carries at most this
    /// many. Default: 8 MiB. At least 64 KiB. Of no effect on other sources.
    pub fn replay(mut self, bytes: usize) -> Self {
        self.replay = bytes.max(64 << 10);
        self
    }

    fn new(inner: Inner) -> Self {
        Self {
            inner,
            range: None,
            length: None,
            replay: 8 << 20,
        }
    }

    /// The content, ready to be read.
    pub(crate) async fn open(mut self) -> Result<Opened, Error> {
        let (range, length) = (self.range.take(), self.length);
        let opened = self.open_whole().await?;
        let opened = match range {
            Some(range) => opened.narrow(&range)?,
            None => opened,
        };
        check(opened, length)
    }

    async fn open_whole(self) -> Result<Opened, Error> {
        let opened = match self.inner {
            Inner::Path(path) => Opened::file(path).await,
            Inner::Bytes(bytes) => Ok(Opened::bytes(bytes)),
            Inner::Seekable(reader) => Opened::reader(reader).await,
            Inner::Stream(stream) => {
                return Ok(Opened::stream(Replay::new(
                    stream,
                    self.replay,
                    self.length,
                )));
            }
            Inner::Concat(sources) => {
                let mut opened = Vec::with_capacity(sources.len());
                for source in sources {
                    let mut source = Box::pin(source.open()).await?;
                    source.close();
                    opened.push(source);
                }
                return Opened::concat(opened);
            }
        };
        opened.map_err(Error::read)
    }
}

/// Refuses a source of another length than the one that was declared.
fn check(opened: Opened, declared: Option<u64>) -> Result<Opened, Error> {
    match (declared, opened.length()) {
        (Some(declared), Some(actual)) if declared != actual => Err(Error::new(Kind::Source(
            format!("is {actual} bytes long and was said to be {declared}"),
        ))),
        _ => Ok(opened),
    }
}

impl From<Bytes> for Source {
    fn from(bytes: Bytes) -> Self {
        Self::bytes(bytes)
    }
}

impl From<Vec<u8>> for Source {
    fn from(bytes: Vec<u8>) -> Self {
        Self::bytes(bytes)
    }
}

impl From<PathBuf> for Source {
    fn from(path: PathBuf) -> Self {
        Self::path(path)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.inner {
            Inner::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Inner::Bytes(bytes) => f.debug_tuple("Bytes").field(&bytes.len()).finish(),
            Inner::Seekable(_) => f.write_str("Reader"),
            Inner::Stream(_) => f.write_str("Stream"),
            Inner::Concat(sources) => f.debug_tuple("Concat").field(sources).finish(),
        }
    }
}

/// What is read at once: large enough to keep a line busy, small enough to have several in memory.
pub(crate) const PIECE: usize = 256 << 10;
