use http::{Response, StatusCode, header::LOCATION};

use super::{content, insert_expires, insert_text, is_octet_stream, status};
use crate::protocol::{
    Content, Create, Error, Head, Kind, Length, Metadata, Offer, Upload,
    concat::UploadConcat,
    header::{
        self, UPLOAD_CONCAT, UPLOAD_DEFER_LENGTH, UPLOAD_LENGTH, UPLOAD_METADATA, UPLOAD_OFFSET,
    },
};

/// tus 1.0.0, "POST".
pub(super) fn parse(head: &Head<'_>, offer: &Offer) -> Result<Create, Error> {
    let kind = match header::text(head.headers, &UPLOAD_CONCAT)? {
        None => Kind::Regular,
        Some(value) => match UploadConcat::parse(value, head.mount)? {
            UploadConcat::Partial => Kind::Partial,
            UploadConcat::Final(concat) => Kind::Final(concat),
        },
    };
    let length = parse_length(head, &kind)?;
    let metadata = match header::text(head.headers, &UPLOAD_METADATA)? {
        None => Metadata::default(),
        // Not worth reading, and refused by its size later on.
        Some(value) if value.len() > offer.limits.max_metadata => {
            return Err(Error::MetadataTooLarge);
        }
        Some(value) => value.parse()?,
    };
    Ok(Create {
        length,
        metadata,
        kind,
        content: parse_content(head, offer)?,
    })
}

fn parse_length(head: &Head<'_>, kind: &Kind) -> Result<Length, Error> {
    let length = header::integer(head.headers, &UPLOAD_LENGTH)?;
    let deferred = match header::single(head.headers, &UPLOAD_DEFER_LENGTH)? {
        None => false,
        Some(value) if value == "1" => true,
        Some(_) => return Err(Error::invalid(&UPLOAD_DEFER_LENGTH, "has to be 1")),
    };
    match (kind, length, deferred) {
        (_, Some(_), true) => Err(Error::ContradictingHeaders(
            UPLOAD_LENGTH,
            UPLOAD_DEFER_LENGTH,
        )),
        (Kind::Final(_), Some(_), _) => {
            Err(Error::ContradictingHeaders(UPLOAD_CONCAT, UPLOAD_LENGTH))
        }
        (Kind::Final(_), None, true) => Err(Error::ContradictingHeaders(
            UPLOAD_CONCAT,
            UPLOAD_DEFER_LENGTH,
        )),
        (Kind::Final(_), None, false) | (_, None, true) => Ok(Length::Deferred),
        (_, Some(length), false) => Ok(Length::Known(length)),
        (_, None, false) => Err(Error::MissingHeader(UPLOAD_LENGTH)),
    }
}

/// The first bytes, if the body is declared as such. A body of another type is refused rather than
/// thrown away silently; one that is declared as nothing is ignored.
fn parse_content(head: &Head<'_>, offer: &Offer) -> Result<Option<Content>, Error> {
    let content = content(head.headers, offer)?;
    let chunked = head.headers.contains_key(http::header::TRANSFER_ENCODING);
    let empty = content.length.unwrap_or(0) == 0 && !chunked;
    match is_octet_stream(head.headers)? {
        Some(true) => Ok(Some(content)),
        Some(false) if !empty => Err(Error::ContentType),
        Some(false) | None => Ok(None),
    }
}

pub(super) fn render(upload: &Upload, location: &str, offset: Option<u64>) -> Response<()> {
    let mut response = status(StatusCode::CREATED);
    let headers = response.headers_mut();
    insert_text(headers, LOCATION, location);
    if let Some(offset) = offset {
        headers.insert(UPLOAD_OFFSET, offset.into());
    }
    insert_expires(headers, upload);
    response
}
