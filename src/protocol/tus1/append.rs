use http::{HeaderMap, Response, StatusCode};

use super::{content, insert_expires, is_octet_stream, status};
use crate::protocol::{
    Append, Error, Offer, Upload, UploadId,
    header::{self, UPLOAD_LENGTH, UPLOAD_OFFSET},
};

/// tus 1.0.0, "PATCH".
pub(super) fn parse(id: UploadId, headers: &HeaderMap, offer: &Offer) -> Result<Append, Error> {
    if is_octet_stream(headers)? != Some(true) {
        return Err(Error::ContentType);
    }
    let offset =
        header::integer(headers, &UPLOAD_OFFSET)?.ok_or(Error::MissingHeader(UPLOAD_OFFSET))?;
    let declared = header::integer(headers, &UPLOAD_LENGTH)?;
    let content = content(headers, offer)?;
    Ok(Append {
        id,
        offset,
        declared,
        content,
    })
}

pub(super) fn render(upload: &Upload) -> Response<()> {
    let mut response = status(StatusCode::NO_CONTENT);
    response
        .headers_mut()
        .insert(UPLOAD_OFFSET, upload.offset.into());
    insert_expires(response.headers_mut(), upload);
    response
}
