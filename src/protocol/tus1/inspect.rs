use http::{HeaderValue, Response, StatusCode, header::CACHE_CONTROL};

use super::{insert_expires, insert_text, status};
use crate::protocol::{
    Kind, Length, Upload,
    header::{UPLOAD_CONCAT, UPLOAD_DEFER_LENGTH, UPLOAD_LENGTH, UPLOAD_METADATA, UPLOAD_OFFSET},
};

/// tus 1.0.0, "HEAD".
pub(super) fn render(upload: &Upload) -> Response<()> {
    let mut response = status(StatusCode::OK);
    let headers = response.headers_mut();
    // A final upload whose parts are not joined yet has no offset (concatenation-unfinished).
    if !upload.is_pending_final() {
        headers.insert(UPLOAD_OFFSET, upload.offset.into());
    }
    match (upload.length, &upload.kind) {
        (Length::Known(length), _) => {
            headers.insert(UPLOAD_LENGTH, length.into());
        }
        // Nobody will declare the length of a final: it follows from its parts.
        (Length::Deferred, Kind::Final(_)) => {}
        (Length::Deferred, Kind::Regular | Kind::Partial) => {
            headers.insert(UPLOAD_DEFER_LENGTH, HeaderValue::from_static("1"));
        }
    }
    match &upload.kind {
        Kind::Regular => {}
        Kind::Partial => {
            headers.insert(UPLOAD_CONCAT, HeaderValue::from_static("partial"));
        }
        Kind::Final(concat) => insert_text(headers, UPLOAD_CONCAT, concat.as_str()),
    }
    if !upload.metadata.is_empty() {
        insert_text(headers, UPLOAD_METADATA, upload.metadata.as_str());
    }
    insert_expires(headers, upload);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
