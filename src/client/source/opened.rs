use std::{
    io,
    ops::Range,
    path::{Path, PathBuf},
    time::SystemTime,
};

use bytes::Bytes;

use super::{
    PIECE,
    file::FileReader,
    reader::{Reader, Seekable},
    stream::Replay,
};
use crate::client::{Error, error::Kind};

/// A source that is being read.
///
/// Reads name their place, so nothing has to be put back after a request that failed.
pub(crate) struct Opened {
    data: Data,
    /// Where it begins in `data`, and how long it is.
    start: u64,
    length: Option<u64>,
    /// The most that is read at once.
    piece: usize,
}

enum Data {
    File(FileReader),
    Bytes(Bytes),
    Reader(Reader),
    Stream(Replay),
    Concat(Vec<Opened>),
}

/// Whether the number of bytes is that of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Whole {
    /// Bytes that can be read from the offset on.
    pub(crate) available: u64,
    /// Size of everything, where it is known.
    pub(crate) length: Option<u64>,
}

impl Opened {
    pub(super) async fn file(path: PathBuf) -> io::Result<Self> {
        let file = FileReader::open(path).await?;
        Ok(Self::known(file.length, Data::File(file)))
    }

    pub(super) fn bytes(bytes: Bytes) -> Self {
        Self::known(bytes.len() as u64, Data::Bytes(bytes))
    }

    pub(super) async fn reader(reader: Box<dyn Seekable>) -> io::Result<Self> {
        let reader = Reader::open(reader).await?;
        Ok(Self::known(reader.length, Data::Reader(reader)))
    }

    pub(super) fn stream(replay: Replay) -> Self {
        Self {
            data: Data::Stream(replay),
            start: 0,
            length: None,
            piece: PIECE,
        }
    }

    pub(super) fn concat(sources: Vec<Self>) -> Result<Self, Error> {
        let lengths = sources.iter().map(Self::length);
        let Some(length) = lengths.sum::<Option<u64>>() else {
            return Err(Error::setting(
                "Source::concat takes no streams: their lengths are not known",
            ));
        };
        Ok(Self::known(length, Data::Concat(sources)))
    }

    fn known(length: u64, data: Data) -> Self {
        Self {
            data,
            start: 0,
            length: Some(length),
            piece: PIECE,
        }
    }

    /// How many bytes there are, where that is known by now.
    pub(crate) fn length(&self) -> Option<u64> {
        match &self.data {
            Data::Stream(replay) => replay.length(),
            _ => self.length,
        }
    }

    /// Only a part of it.
    pub(super) fn narrow(mut self, range: &Range<u64>) -> Result<Self, Error> {
        let (Data::File(_) | Data::Bytes(_) | Data::Reader(_), Some(length)) =
            (&self.data, self.length)
        else {
            return Err(Error::setting(
                "only files, bytes and readers have ranges: of a concatenation, its sources do",
            ));
        };
        if range.start > range.end || range.end > length {
            return Err(Error::new(Kind::Source(format!(
                "has {length} bytes, and not the range {range:?}"
            ))));
        }
        if let Data::File(file) = &mut self.data {
            file.may_change();
        }
        self.start += range.start;
        self.length = Some(range.end - range.start);
        Ok(self)
    }

    /// The absolute path of a file, if it is all of it.
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.data {
            Data::File(file) if self.length == Some(file.length) => Some(&file.path),
            _ => None,
        }
    }

    /// When a file was last changed.
    pub(crate) fn modified(&self) -> Option<SystemTime> {
        match &self.data {
            Data::File(file) => file.modified,
            _ => None,
        }
    }

    /// Fails if a file was written to since it was opened: what was sent of it may be a mixture.
    pub(crate) async fn unchanged(&mut self) -> Result<(), Error> {
        match &mut self.data {
            Data::File(file) => match file.is_unchanged().await.map_err(Error::read)? {
                true => Ok(()),
                false => Err(Error::new(Kind::Changed(file.path.display().to_string()))),
            },
            Data::Concat(sources) => {
                for source in sources {
                    Box::pin(source.unchanged()).await?;
                }
                Ok(())
            }
            Data::Bytes(_) | Data::Reader(_) | Data::Stream(_) => Ok(()),
        }
    }

    /// Whether any byte can be read at any time.
    pub(crate) fn is_seekable(&self) -> bool {
        !matches!(self.data, Data::Stream(_))
    }

    /// Makes up to `want` bytes from `offset` on readable; how many are, and how many there are in all.
    /// Cancel-safe.
    pub(crate) async fn prepare(&mut self, offset: u64, want: u64) -> Result<Whole, Error> {
        let available = match &mut self.data {
            Data::Stream(replay) => {
                replay.release(offset);
                replay.fill(offset, want).await?
            }
            _ => {
                let left = self.length.unwrap_or_default().saturating_sub(offset);
                left.min(want)
            }
        };
        Ok(Whole {
            available,
            length: self.length(),
        })
    }

    /// Bytes from `offset` on: at most `left`, of which all will be asked for, and at most one piece.
    /// None at the end. Cancel-safe.
    pub(crate) async fn read(&mut self, offset: u64, left: u64) -> io::Result<Bytes> {
        let left = match self.length {
            Some(length) => left.min(length.saturating_sub(offset)),
            None => left,
        };
        let max = left.min(self.piece as u64) as usize;
        if max == 0 {
            return Ok(Bytes::new());
        }
        let at = self.start + offset;
        match &mut self.data {
            Data::File(file) => file.read(at, self.piece, left).await,
            Data::Bytes(bytes) => {
                let from = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
                let to = from.saturating_add(max).min(bytes.len());
                Ok(bytes.slice(from..to))
            }
            Data::Reader(reader) => reader.read(at, max).await,
            Data::Stream(replay) => Ok(replay.read(at, max)),
            Data::Concat(sources) => {
                let mut first = 0;
                for source in sources {
                    let length = source.length.unwrap_or_default();
                    if at >= first + length {
                        source.close();
                    } else {
                        let left = left.min(first + length - at);
                        return Box::pin(source.read(at - first, left)).await;
                    }
                    first += length;
                }
                Ok(Bytes::new())
            }
        }
    }

    /// The same content in parts of which `parts` are read at the same time: a concatenation's sources,
    /// else at most as many ranges of about one size.
    pub(crate) fn split(self, parts: u64) -> Result<Vec<Self>, Error> {
        let length = self.length.unwrap_or_default();
        let piece = piece_of(parts);
        let whole = match self.data {
            Data::Concat(mut sources) => {
                sources.iter_mut().for_each(|source| source.read_in(piece));
                return Ok(sources);
            }
            Data::Stream(_) | Data::Reader(_) => {
                return Err(Error::new(Kind::Setting(
                    "only files, bytes and concatenations of them can be uploaded in parallel"
                        .to_owned(),
                )));
            }
            whole => whole,
        };
        let size = length.div_ceil(parts.max(1)).max(1);
        let starts = (0..length.div_ceil(size)).map(|number| number * size);
        Ok(starts
            .map(|start| Self {
                data: match &whole {
                    Data::File(file) => Data::File(file.again()),
                    Data::Bytes(bytes) => Data::Bytes(bytes.clone()),
                    _ => unreachable!("the others were returned above"),
                },
                start: self.start + start,
                length: Some(size.min(length - start)),
                piece,
            })
            .collect())
    }

    /// Gives files back until they are read: there may be more of them than a process may have open.
    pub(super) fn close(&mut self) {
        match &mut self.data {
            Data::File(file) => file.close(),
            Data::Concat(sources) => sources.iter_mut().for_each(Self::close),
            Data::Bytes(_) | Data::Reader(_) | Data::Stream(_) => {}
        }
    }

    fn read_in(&mut self, piece: usize) {
        self.piece = piece;
        if let Data::Concat(sources) = &mut self.data {
            sources.iter_mut().for_each(|source| source.read_in(piece));
        }
    }
}

/// Each part has some pieces in memory: the more parts, the smaller the pieces.
fn piece_of(parts: u64) -> usize {
    let share = ALL_PIECES / usize::try_from(parts).unwrap_or(usize::MAX).max(1);
    share.clamp(SMALLEST_PIECE, PIECE)
}

/// One piece of each part.
const ALL_PIECES: usize = 1 << 20;

/// Less is not worth the way to another thread.
const SMALLEST_PIECE: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use crate::client::Source;

    #[tokio::test]
    async fn a_range_is_a_source_of_its_own() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "0123456789").unwrap();
        let bytes = || Source::bytes("0123456789");
        let reader = || Source::reader(std::io::Cursor::new("0123456789"));
        for source in [bytes(), reader(), Source::path(file.path())] {
            let mut opened = source.range(2..9).open().await.unwrap();
            assert_eq!((opened.length(), opened.path()), (Some(7), None));
            assert_eq!(opened.read(3, 100).await.unwrap(), "5678");
        }
        let opened = Source::path(file.path()).range(4..9).open().await.unwrap();
        let mut parts = opened.split(2).unwrap();
        assert_eq!(parts[1].read(0, 100).await.unwrap(), "78");
    }

    #[tokio::test]
    async fn a_range_has_to_be_there() {
        let beyond = Source::bytes("0123").range(3..5).open().await;
        assert!(beyond.err().unwrap().is_source());
        let stream = Source::read_once(tokio::io::empty()).range(0..0);
        assert!(stream.open().await.err().unwrap().is_setting());
        let parts = [0..1, 1..4].map(|range| Source::bytes("0123").range(range));
        let mut whole = Source::concat(parts).open().await.unwrap();
        assert_eq!(whole.read(1, 100).await.unwrap(), "123");
    }
}
