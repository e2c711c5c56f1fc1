//! What a sink does about a request.

use std::fmt::Write;

use super::{
    Request,
    objects::{Condition, Object, Objects},
};

pub(super) struct Answer {
    pub(super) head: Vec<u8>,
    pub(super) body: Vec<u8>,
}

pub(super) fn answer(request: &Request, objects: &Objects) -> Answer {
    let session = parameter(request, "uploadId");
    let answered = match (request.method.as_str(), session) {
        ("PUT", Some(session)) => parameter(request, "partNumber")
            .and_then(|number| objects.put_part(session, number.parse().ok()?, request.size))
            .map(|tag| tagged(&tag)),
        ("PUT", None) => return put(request, objects),
        ("POST", Some(session)) => complete(request, session, objects),
        ("POST", None) => Some(begin(request, objects)),
        ("GET", None) if request.query.contains("list-type=2") => Some(empty("ListBucketResult")),
        ("GET", None) if request.query.contains("uploads=") => {
            Some(empty("ListMultipartUploadsResult"))
        }
        ("GET" | "HEAD", _) => objects
            .get(&request.path)
            .map(|object| found(request, &object)),
        ("DELETE", Some(session)) => {
            objects.end(session);
            Some(Answer::new("204 No Content", "", Vec::new()))
        }
        ("DELETE", None) => {
            objects.delete(&request.path);
            Some(Answer::new("204 No Content", "", Vec::new()))
        }
        _ => Some(Answer::new("501 Not Implemented", "", Vec::new())),
    };
    answered.unwrap_or_else(|| refused("404 Not Found", "NoSuchKey"))
}

fn put(request: &Request, objects: &Objects) -> Answer {
    let object = Object {
        size: request.size,
        owner: owner(request),
        bytes: request.body.as_slice().into(),
        ..Object::default()
    };
    let put = objects.put(&request.path, object, &condition(request));
    put.map_or_else(failed, |tag| tagged(&tag))
}

fn begin(request: &Request, objects: &Objects) -> Answer {
    let session = objects.begin(owner(request));
    let body = format!(
        "<InitiateMultipartUploadResult><UploadId>{session}</UploadId></InitiateMultipartUploadResult>"
    );
    Answer::new("200 OK", "", body.into_bytes())
}

/// `None` if a part is missing.
fn complete(request: &Request, session: &str, objects: &Objects) -> Option<Answer> {
    let numbers = numbers(&request.body)?;
    let object = objects.assembled(session, &numbers)?;
    let Some(tag) = objects.put(&request.path, object, &condition(request)) else {
        return Some(failed());
    };
    objects.end(session);
    let body = format!(
        "<CompleteMultipartUploadResult><ETag>&quot;{tag}&quot;</ETag></CompleteMultipartUploadResult>"
    );
    Some(Answer::new("200 OK", "", body.into_bytes()))
}

fn found(request: &Request, object: &Object) -> Answer {
    let mut headers = format!("ETag: \"{}\"\r\nLast-Modified: {DATE}\r\n", object.tag);
    if let Some(owner) = &object.owner {
        let _ = write!(headers, "{OWNER}: {owner}\r\n");
    }
    if request.method == "HEAD" {
        let _ = write!(headers, "Content-Length: {}\r\n", object.size);
        return Answer::of_length("200 OK", &headers, Vec::new());
    }
    let Some(end) = request.header("range").and_then(end_of_range) else {
        return Answer::new("200 OK", &headers, object.bytes.to_vec());
    };
    let end = end.min(object.bytes.len());
    let last = end.saturating_sub(1);
    let _ = write!(headers, "Content-Range: bytes 0-{last}/{}\r\n", object.size);
    Answer::new(
        "206 Partial Content",
        &headers,
        object.bytes[..end].to_vec(),
    )
}

/// Only ranges from the start on are ever asked for.
fn end_of_range(range: &str) -> Option<usize> {
    let last: usize = range.strip_prefix("bytes=0-")?.parse().ok()?;
    Some(last + 1)
}

/// A listing: nothing that a sweep should care for is ever there.
fn empty(listing: &str) -> Answer {
    let body = format!("<{listing}><IsTruncated>false</IsTruncated></{listing}>");
    Answer::new("200 OK", "", body.into_bytes())
}

fn tagged(tag: &str) -> Answer {
    Answer::new("200 OK", &format!("ETag: \"{tag}\"\r\n"), Vec::new())
}

fn failed() -> Answer {
    refused("412 Precondition Failed", "PreconditionFailed")
}

fn refused(status: &str, code: &str) -> Answer {
    let body = format!("<Error><Code>{code}</Code></Error>");
    Answer::new(status, "", body.into_bytes())
}

impl Answer {
    fn new(status: &str, headers: &str, body: Vec<u8>) -> Self {
        let headers = format!("{headers}Content-Length: {}\r\n", body.len());
        Self::of_length(status, &headers, body)
    }

    /// `headers` tell the length.
    fn of_length(status: &str, headers: &str, body: Vec<u8>) -> Self {
        let head = format!("HTTP/1.1 {status}\r\n{headers}\r\n");
        Self {
            head: head.into_bytes(),
            body,
        }
    }
}

fn condition(request: &Request) -> Condition {
    match (request.header("if-none-match"), request.header("if-match")) {
        (Some(_), _) => Condition::Absent,
        (None, Some(tag)) => Condition::Is(tag.trim_matches('"').to_owned()),
        (None, None) => Condition::None,
    }
}

fn owner(request: &Request) -> Option<String> {
    request.header(OWNER).map(str::to_owned)
}

fn parameter<'r>(request: &'r Request, wanted: &str) -> Option<&'r str> {
    let mut pairs = request.query.split('&');
    pairs.find_map(|pair| pair.strip_prefix(wanted)?.strip_prefix('='))
}

/// The parts that make an object.
fn numbers(body: &[u8]) -> Option<Vec<u32>> {
    let text = str::from_utf8(body).ok()?;
    let parts = text.split("<PartNumber>").skip(1);
    parts
        .map(|part| part.split('<').next()?.parse().ok())
        .collect()
}

const OWNER: &str = "x-amz-meta-tusid";

/// When everything was written.
const DATE: &str = "Sat, 01 Jan 2000 00:00:00 GMT";
