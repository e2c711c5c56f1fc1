use std::time::SystemTime;

use http::HeaderMap;

use super::{
    Algorithm, Checksum, Error, Kind, Length, Limits, Offer, Oversized, Upload, UploadId,
    create::check_size, header,
};

/// Sends bytes to an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Append {
    /// The upload.
    pub id: UploadId,
    /// Where the client believes the upload to stand.
    pub offset: u64,
    /// The upload's size, where the client tells it with this request.
    pub declared: Option<u64>,
    /// The bytes.
    pub content: Content,
}

impl Append {
    /// What may be done with the body.
    ///
    /// # Errors
    /// The refusal, by tus 1.0.0 "PATCH" and the creation-defer-length and concatenation extensions.
    pub fn decide(&self, upload: &Upload, offer: &Offer, now: SystemTime) -> Result<Plan, Error> {
        if upload.is_expired(now) {
            return Err(Error::Gone);
        }
        if matches!(upload.kind, Kind::Final(_)) {
            return Err(Error::FinalUpload);
        }
        if self.offset != upload.offset {
            return Err(Error::OffsetMismatch);
        }
        let length = match (upload.length, self.declared) {
            (length, None) => length,
            (Length::Known(known), Some(declared)) if known != declared => {
                return Err(Error::LengthMismatch);
            }
            (Length::Deferred, Some(declared)) if declared < upload.offset => {
                return Err(Error::LengthBelowOffset);
            }
            (_, Some(declared)) => Length::Known(declared),
        };
        let limits = offer.limits.of(upload);
        check_size(length, &limits)?;
        let room = self.content.room(upload.offset, length, &limits)?;
        let declare = match upload.length {
            Length::Known(_) => None,
            Length::Deferred => self.declared,
        };
        Ok(Plan { room, declare })
    }
}

/// What may be done with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// How much of it may be stored.
    pub room: Room,
    /// The length that becomes known before it is stored.
    pub declare: Option<u64>,
}

/// The body of a request that carries bytes of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Content {
    /// Its size in bytes, where the head tells it.
    pub length: Option<u64>,
    /// What has to hold before any of it is stored for good.
    pub verify: Verify,
}

impl Content {
    /// How many of its bytes an upload of `length` that stands at `offset` may take.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if it announces more.
    pub fn room(&self, offset: u64, length: Length, limits: &Limits) -> Result<Room, Error> {
        let (end, beyond) = match (length, limits.max_size) {
            (Length::Known(length), _) => (length, Oversized::Body),
            (Length::Deferred, Some(max)) => (max, Oversized::Upload),
            (Length::Deferred, None) => (u64::MAX, Oversized::Upload),
        };
        let left = Room {
            bytes: end.saturating_sub(offset),
            beyond,
        };
        let room = match limits.max_body {
            Some(max) if max < left.bytes => Room {
                bytes: max,
                beyond: Oversized::Request,
            },
            _ => left,
        };
        match self.length {
            Some(length) if length > left.bytes => Err(Error::TooLarge(left.beyond)),
            Some(length) if length > room.bytes => Err(Error::TooLarge(room.beyond)),
            _ => Ok(room),
        }
    }
}

/// How many bytes may come, and what is too large if more do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes.
    pub bytes: u64,
    /// What more would exceed.
    pub beyond: Oversized,
}

/// What has to hold before a body is stored for good.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verify {
    /// Nothing: each byte counts as soon as it is there, and stays if the rest never comes.
    Nothing,
    /// The body has this checksum. It is taken whole or not at all.
    Header(Checksum),
    /// The body has the checksum that follows it, by one of these algorithms. It is taken whole or
    /// not at all.
    Trailer(Vec<Algorithm>),
}

impl Verify {
    /// The algorithms by which the body has to be hashed while it comes.
    pub(crate) fn algorithms(&self) -> Vec<Algorithm> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Header(checksum) => vec![checksum.algorithm()],
            Self::Trailer(algorithms) => algorithms.clone(),
        }
    }

    /// The checksum that the whole body has to have; `None` if there is nothing to verify.
    pub(crate) fn expected(&self, trailers: Option<&HeaderMap>) -> Result<Option<Checksum>, Error> {
        let trailer = trailers
            .map(|trailers| header::text(trailers, &header::UPLOAD_CHECKSUM))
            .transpose()?
            .flatten();
        match (self, trailer) {
            (Self::Nothing, None) => Ok(None),
            (Self::Nothing, Some(_)) => Err(Error::UnannouncedTrailer),
            (Self::Header(checksum), _) => Ok(Some(checksum.clone())),
            (Self::Trailer(_), None) => Err(Error::MissingTrailer),
            (Self::Trailer(algorithms), Some(value)) => {
                Checksum::parse(value, algorithms).map(Some)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::protocol::Concat;

    fn append(offset: u64, declared: Option<u64>, length: Option<u64>) -> Append {
        Append {
            id: "a".parse().unwrap(),
            offset,
            declared,
            content: Content {
                length,
                verify: Verify::Nothing,
            },
        }
    }

    #[test]
    fn every_refusal_of_an_append() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        let offer = Offer {
            limits: Limits::default().max_size(20).max_body(8),
            ..Offer::default()
        };
        let known = {
            let mut upload = Upload::new("a".parse().unwrap(), Length::Known(10), now);
            upload.offset = 4;
            upload
        };
        let deferred = Upload {
            length: Length::Deferred,
            ..known.clone()
        };
        let expired = Upload {
            lifetime: Some(Duration::from_secs(1)),
            touched: now - Duration::from_secs(1),
            ..known.clone()
        };
        let joined = Upload {
            kind: Kind::Final(Concat::new("final;/a", vec!["b".parse().unwrap()])),
            ..known.clone()
        };
        let plan = |bytes, beyond, declare| {
            Ok(Plan {
                room: Room { bytes, beyond },
                declare,
            })
        };
        let table = [
            (
                &known,
                append(4, None, Some(6)),
                plan(6, Oversized::Body, None),
            ),
            (
                &known,
                append(4, None, None),
                plan(6, Oversized::Body, None),
            ),
            (
                &known,
                append(4, Some(10), Some(0)),
                plan(6, Oversized::Body, None),
            ),
            (
                &known,
                append(4, Some(11), Some(0)),
                Err(Error::LengthMismatch),
            ),
            (
                &known,
                append(4, None, Some(7)),
                Err(Error::TooLarge(Oversized::Body)),
            ),
            (&known, append(3, None, Some(6)), Err(Error::OffsetMismatch)),
            (&known, append(5, None, Some(5)), Err(Error::OffsetMismatch)),
            (
                &known,
                append(11, None, Some(0)),
                Err(Error::OffsetMismatch),
            ),
            (
                &deferred,
                append(4, None, Some(8)),
                plan(8, Oversized::Request, None),
            ),
            (
                &deferred,
                append(4, None, Some(9)),
                Err(Error::TooLarge(Oversized::Request)),
            ),
            (
                &deferred,
                append(4, None, Some(17)),
                Err(Error::TooLarge(Oversized::Upload)),
            ),
            (
                &deferred,
                append(4, Some(4), Some(0)),
                plan(0, Oversized::Body, Some(4)),
            ),
            (
                &deferred,
                append(4, Some(9), Some(5)),
                plan(5, Oversized::Body, Some(9)),
            ),
            (
                &deferred,
                append(4, Some(9), Some(6)),
                Err(Error::TooLarge(Oversized::Body)),
            ),
            (
                &deferred,
                append(4, Some(3), Some(0)),
                Err(Error::LengthBelowOffset),
            ),
            (
                &deferred,
                append(4, Some(21), Some(0)),
                Err(Error::TooLarge(Oversized::Upload)),
            ),
            (&expired, append(4, None, Some(6)), Err(Error::Gone)),
            (&joined, append(4, None, Some(0)), Err(Error::FinalUpload)),
        ];
        for (upload, append, expected) in table {
            assert_eq!(append.decide(upload, &offer, now), expected, "{append:?}");
        }
    }

    #[test]
    fn what_a_trailer_has_to_say() {
        let checksum = Checksum::of(Algorithm::Sha1, b"x");
        let trailers =
            |value: &str| HeaderMap::from_iter([(header::UPLOAD_CHECKSUM, value.parse().unwrap())]);
        let sha1 = Verify::Trailer(vec![Algorithm::Sha1]);
        let good = trailers(&checksum.to_string());
        assert_eq!(sha1.expected(Some(&good)), Ok(Some(checksum)));
        assert_eq!(sha1.expected(None), Err(Error::MissingTrailer));
        assert_eq!(
            sha1.expected(Some(&HeaderMap::new())),
            Err(Error::MissingTrailer)
        );
        let md5 = trailers(&Checksum::of(Algorithm::Md5, b"x").to_string());
        assert_eq!(sha1.expected(Some(&md5)), Err(Error::UnsupportedAlgorithm));
        assert_eq!(
            Verify::Nothing.expected(Some(&good)),
            Err(Error::UnannouncedTrailer)
        );
        assert_eq!(Verify::Nothing.expected(None), Ok(None));
    }
}
