//! [`Download`]: the bytes of a finished upload, whatever happens on the way.

mod file;
mod range;

use std::{fmt, path::Path, pin::Pin, sync::Arc};

use bytes::Bytes;
use futures::{Stream, stream};
use http::{HeaderValue, Method, StatusCode, Uri, header};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use tokio::time::timeout;
use tower::BoxError;

use self::range::{Piece, Validator};
use super::{
    Client, Error, Progress,
    error::Kind,
    exchange::{Call, Nothing},
    progress::{Callback, Meter, Share},
    retry::{RetryPolicy, dice},
};

/// A download that is yet to be started.
///
/// A connection that breaks is followed by a request for the rest, on the condition that the content is
/// still the same. Failures are counted until more bytes come.
///
/// ```
/// # use tower_tus::{TusService, client::{Client, Source}, storage::MemoryStorage};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let tus = TusService::new(MemoryStorage::new());
/// # let client = Client::with_service("http://localhost/files".parse()?, tus);
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("hello.txt");
/// let done = client.upload(Source::bytes("hello")).await?;
/// let size = client.download(done.url()).to_path(&path).await?;
/// assert_eq!(size, 5);
/// assert_eq!(client.download(done.url()).bytes(10).await?, "hello");
/// # Ok(())
/// # }
/// ```
#[must_use = "a download does nothing until it is asked for its bytes"]
pub struct Download {
    client: Client,
    url: Uri,
    retry: RetryPolicy,
    on_progress: Option<Arc<Callback>>,
}

impl Client {
    /// A download from `url`, to be started.
    pub fn download(&self, url: &Uri) -> Download {
        Download {
            client: self.clone(),
            url: url.clone(),
            retry: self.config().retry.clone(),
            on_progress: None,
        }
    }
}

impl Download {
    /// How what fails is tried again. Default: the client's.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Called at most ten times per second, and at the end. `sent` and `stored` are bytes that came.
    /// Default: nobody is told.
    pub fn on_progress(mut self, tell: impl Fn(&Progress) + Send + Sync + 'static) -> Self {
        self.on_progress = Some(Arc::new(tell));
        self
    }

    /// Writes everything to a file, which appears under its name when it is whole and replaces one that
    /// is there; how many bytes it has.
    ///
    /// Until then there is a file with the same name and a suffix beside it. The next download of the same
    /// content to the same path goes on with it, if the server names its content by an `ETag`.
    ///
    /// # Errors
    /// [`Error::is_not_found`], an error of the file system, and whatever goes wrong on the way.
    pub async fn to_path(self, path: impl AsRef<Path>) -> Result<u64, Error> {
        file::write(self, path.as_ref()).await
    }

    /// Everything, in pieces as they come.
    pub fn stream(self) -> impl Stream<Item = Result<Bytes, Error>> + Send {
        let running = self.running(0, Validator::None);
        stream::try_unfold(running, |mut running| async move {
            let piece = running.next().await?;
            Ok(piece.map(|piece| (piece, running)))
        })
    }

    /// Everything, in memory.
    ///
    /// # Errors
    /// As [`to_path`](Self::to_path), and if there is more than `most` bytes.
    pub async fn bytes(self, most: usize) -> Result<Bytes, Error> {
        let mut running = self.running(0, Validator::None);
        let mut all = bytes::BytesMut::new();
        while let Some(piece) = running.next().await? {
            if all.len() + piece.len() > most {
                return Err(Error::setting(format!("there are more than {most} bytes")));
            }
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }

    fn running(self, offset: u64, validator: Validator) -> Running {
        let meter = Meter::new(self.on_progress.clone());
        let mut share = Share::new(meter);
        share.stands(offset);
        Running {
            download: self,
            share,
            offset,
            skip: 0,
            validator,
            length: None,
            body: None,
            failures: 0,
        }
    }
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download")
            .field("url", &super::uri::Shown(&self.url))
            .finish_non_exhaustive()
    }
}

/// A download at work.
struct Running {
    download: Download,
    share: Share,
    /// Bytes that came.
    offset: u64,
    /// Bytes of the answer that came before.
    skip: u64,
    validator: Validator,
    /// Size of the whole, once known.
    length: Option<u64>,
    body: Option<Pin<Box<UnsyncBoxBody<Bytes, BoxError>>>>,
    /// In a row, without a byte.
    failures: u32,
}

impl Running {
    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let came = match self.body.is_some() {
                true => self.frame().await,
                false => self.open().await.map(|()| Came::Nothing),
            };
            match came {
                Ok(Came::Data(data)) => {
                    self.failures = 0;
                    self.offset += data.len() as u64;
                    self.share.sending(self.offset);
                    return Ok(Some(data));
                }
                Ok(Came::Nothing) => {}
                Ok(Came::End) => {
                    self.share.stands(self.offset);
                    return Ok(None);
                }
                Err(error) => self.again(error).await?,
            }
        }
    }

    async fn again(&mut self, error: Error) -> Result<(), Error> {
        self.body = None;
        self.failures += 1;
        let Some(pause) = self.download.retry.pause(&error, self.failures, dice()) else {
            return Err(error);
        };
        tracing::info!(%error, failures = self.failures, "the download goes on");
        self.share.meter().retry();
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// Asks for what is missing.
    async fn open(&mut self) -> Result<(), Error> {
        let mut call = Call::new(Method::GET, &self.download.url);
        // What is stored is wanted, not what a server makes of it on the way.
        call = call.with(
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("identity"),
        );
        if self.offset > 0 {
            let range = HeaderValue::try_from(format!("bytes={}-", self.offset))
                .expect("digits are visible ASCII");
            call = call.with(header::RANGE, range);
            if let Some(condition) = self.validator.if_range() {
                call = call.with(header::IF_RANGE, condition);
            }
        }
        let opened = self.download.client.open(call, &mut Nothing).await;
        let (_, answer) = match opened {
            Err(error) if error.status() == Some(StatusCode::RANGE_NOT_SATISFIABLE) => {
                return Err(range::changed());
            }
            opened => opened?,
        };
        let (head, body) = answer.into_parts();
        let piece = Piece::parse(head.status, &head.headers)?;
        let validator = Validator::of(&head.headers);
        let begins = self.offset == 0;
        if !begins && !validator.agrees(&self.validator) || piece.differs(self.length) {
            return Err(range::changed());
        }
        self.skip = match piece.start {
            start if start == self.offset => 0,
            // A server without ranges sends the same once more.
            0 if validator.is_strong() => self.offset,
            _ => return Err(range::changed()),
        };
        self.validator = validator;
        self.length = piece.length;
        self.share.meter().total(self.length);
        self.body = Some(Box::pin(body));
        Ok(())
    }

    async fn frame(&mut self) -> Result<Came, Error> {
        let Some(body) = &mut self.body else {
            return Ok(Came::Nothing);
        };
        let limit = self.download.client.config().stall_timeout;
        let frame = timeout(limit, body.frame());
        let frame = frame
            .await
            .map_err(|_| Error::new(Kind::Stalled(limit)))?
            .transpose()
            .map_err(|error| Error::new(Kind::Interrupted).because(error))?;
        let Some(frame) = frame else {
            return match self.length {
                Some(length) if self.offset != length => Err(Error::new(Kind::Interrupted)),
                _ => Ok(Came::End),
            };
        };
        Ok(match frame.into_data() {
            Ok(mut data) => {
                let known = data
                    .len()
                    .min(usize::try_from(self.skip).unwrap_or(usize::MAX));
                bytes::Buf::advance(&mut data, known);
                self.skip -= known as u64;
                match data.is_empty() {
                    true => Came::Nothing,
                    false => Came::Data(data),
                }
            }
            Err(_) => Came::Nothing,
        })
    }
}

enum Came {
    Data(Bytes),
    Nothing,
    End,
}
