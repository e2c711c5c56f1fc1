//! [`Download`]: the bytes of a finished upload, whatever happens on the way.

mod file;
mod part;
mod range;

use std::{fmt, path::Path, pin::Pin, sync::Arc};

use bytes::Bytes;
use futures::{Stream, stream};
use http::{HeaderValue, Method, StatusCode, Uri, header};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use tokio::time::timeout;
use tower::BoxError;

use self::range::{Content, Piece, Same};
use super::{
    Client, Error, Progress,
    error::Kind,
    exchange::{Call, Nothing},
    progress::{Callback, Meter, Share},
    retry::{RetryPolicy, Verdict, dice},
};

/// A download that is yet to be started.
///
/// A connection that breaks is followed by a request for the rest, on the condition that the content is
/// still the same. If it is not, or nothing tells, the download begins anew where nobody has seen any of it,
/// in [`to_path`](Self::to_path) and [`bytes`](Self::bytes). Failures are counted until more bytes come than
/// ever before.
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
    /// content to the same path goes on with it, if the server names its content by an `ETag`. Links stay:
    /// the file that they name is replaced. A pipe or a device is written to as the bytes come, and the
    /// next download to it begins anew.
    ///
    /// # Errors
    /// [`Error::is_not_found`], an error of the file system, also if another download of the same content
    /// to the same path is at work, and whatever goes wrong on the way.
    pub async fn to_path(self, path: impl AsRef<Path>) -> Result<u64, Error> {
        file::write(self, path.as_ref()).await
    }

    /// Everything, in pieces as they come. They are given away: what a server sends after a connection was
    /// cut is taken for the same content if it is as long as before and no `ETag` or `Last-Modified` says
    /// otherwise, and what came is skipped if it sends everything again. Otherwise that is an error.
    pub fn stream(self) -> impl Stream<Item = Result<Bytes, Error>> + Send {
        let running = self.running(Given::Away);
        stream::try_unfold(running, |mut running| async move {
            loop {
                match running.next().await? {
                    Came::Data(piece) => return Ok(Some((piece, running))),
                    Came::End => return Ok(None),
                    Came::Anew | Came::Nothing => {}
                }
            }
        })
    }

    /// Everything, in memory.
    ///
    /// # Errors
    /// As [`to_path`](Self::to_path), and [`Error::is_over_limit`] if there are more than `most` bytes.
    pub async fn bytes(self, most: usize) -> Result<Bytes, Error> {
        let mut running = self.running(Given::Kept);
        let mut all = bytes::BytesMut::new();
        loop {
            match running.next().await? {
                Came::Data(piece) if all.len() + piece.len() > most => {
                    return Err(Error::new(Kind::OverLimit(most)));
                }
                Came::Data(piece) => all.extend_from_slice(&piece),
                Came::Anew => all.clear(),
                Came::End => return Ok(all.freeze()),
                Came::Nothing => {}
            }
        }
    }

    fn running(self, given: Given) -> Running {
        let meter = Meter::new(self.on_progress.clone());
        Running {
            download: self,
            share: Share::new(meter),
            given,
            offset: 0,
            most: 0,
            skip: 0,
            content: Content::default(),
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
    given: Given,
    /// Bytes that came.
    offset: u64,
    /// The most that ever came.
    most: u64,
    /// Bytes of the answer that came before.
    skip: u64,
    content: Content,
    body: Option<Pin<Box<UnsyncBoxBody<Bytes, BoxError>>>>,
    /// In a row, without more bytes than ever.
    failures: u32,
}

/// Whether what came can be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Given {
    /// It is in a stranger's hands.
    Away,
    Kept,
}

impl Running {
    /// What comes next.
    async fn next(&mut self) -> Result<Came, Error> {
        let came = match self.body.is_some() {
            true => self.frame().await,
            false => self.open().await,
        };
        match &came {
            Ok(Came::Data(data)) => {
                self.offset += data.len() as u64;
                self.share.sending(self.offset);
                if self.offset > self.most {
                    self.most = self.offset;
                    self.failures = 0;
                }
            }
            Ok(Came::Anew | Came::End) => self.share.stands(self.offset),
            Ok(Came::Nothing) | Err(_) => {}
        }
        match came {
            Ok(came) => Ok(came),
            Err(error) => self.again(error).await.map(|()| Came::Nothing),
        }
    }

    async fn again(&mut self, error: Error) -> Result<(), Error> {
        self.body = None;
        self.failures += 1;
        let Some(pause) =
            self.download
                .retry
                .pause(&error, Verdict::AsUsual, self.failures, dice())
        else {
            return Err(error);
        };
        tracing::info!(%error, failures = self.failures, "the download goes on");
        self.share.meter().retry();
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// Asks for what is missing.
    async fn open(&mut self) -> Result<Came, Error> {
        let condition = self.content.if_range().cloned();
        if self.offset > 0 && self.given == Given::Kept && condition.is_none() {
            return self.begin_anew(range::perhaps_changed());
        }
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
            if let Some(condition) = condition.clone() {
                call = call.with(header::IF_RANGE, condition);
            }
        }
        let opened = self.download.client.open(call, &mut Nothing).await;
        let (_, answer) = match opened {
            Err(error)
                if error.status() == Some(StatusCode::RANGE_NOT_SATISFIABLE) && self.offset > 0 =>
            {
                return self.begin_anew(range::changed());
            }
            opened => opened?,
        };
        let (head, body) = answer.into_parts();
        if range::is_coded(&head.headers) {
            return Err(range::coded());
        }
        let piece = Piece::parse(head.status, &head.headers)?;
        let content = Content::of(&head.headers, &piece);
        let same = match self.offset {
            0 => Same::Unknown,
            _ => self.content.compare(&content),
        };
        let mut came = Came::Nothing;
        self.skip = match (piece.start, same, self.given) {
            (0, _, _) if self.offset == 0 => 0,
            (start, Same::Surely | Same::Likely, _) if start == self.offset => 0,
            (start, Same::Unknown, _) if start == self.offset => match condition {
                // It was met.
                Some(_) => 0,
                None => return Err(range::perhaps_changed()),
            },
            // A server without ranges sends everything once more.
            (0, Same::Surely, _) | (0, Same::Likely, Given::Away) => self.offset,
            (0, _, Given::Kept) => {
                came = self.begin_anew(range::changed())?;
                0
            }
            (_, Same::No, _) => return self.begin_anew(range::changed()),
            (0, _, Given::Away) => return Err(range::perhaps_changed()),
            _ => return Err(Error::protocol("sends another part than it was asked for")),
        };
        self.share.meter().total(content.length);
        self.content = content;
        self.body = Some(Box::pin(body));
        Ok(came)
    }

    /// Forgets what came, or fails if it was given away.
    fn begin_anew(&mut self, error: Error) -> Result<Came, Error> {
        if self.given == Given::Away {
            return Err(error);
        }
        tracing::info!(%error, "the download begins anew");
        self.offset = 0;
        self.content = Content::default();
        Ok(Came::Anew)
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
            return match self.content.length {
                Some(length) if self.offset != length => Err(Error::new(Kind::Interrupted)),
                _ if self.skip > 0 => Err(Error::new(Kind::Interrupted)),
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
    /// What came before is void.
    Anew,
    Nothing,
    End,
}
