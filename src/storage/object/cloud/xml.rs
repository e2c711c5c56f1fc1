//! The bodies of requests about parts, as S3 and Google write them.

use std::time::SystemTime;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future::ready, stream, stream::BoxStream};
use object_store::{Error, Result, path::Path};
use serde::Deserialize;

use super::{
    super::{
        bucket::Part,
        scope::{Scope, Session},
    },
    tag::Tag,
};

/// A part in the request that puts parts together: its number, and what identifies its content, as
/// names and values of elements.
pub(super) struct Element {
    pub(super) number: u32,
    pub(super) content: Vec<(&'static str, String)>,
}

/// The request that puts parts together.
pub(super) fn completion(parts: impl Iterator<Item = Element>) -> String {
    let mut body = "<CompleteMultipartUpload>".to_owned();
    for part in parts {
        body.push_str("<Part>");
        for (name, value) in part.content {
            body.push_str(&format!("<{name}>"));
            escape(&mut body, &value);
            body.push_str(&format!("</{name}>"));
        }
        body.push_str(&format!("<PartNumber>{}</PartNumber></Part>", part.number));
    }
    body.push_str("</CompleteMultipartUpload>");
    body
}

/// The body of a request that makes one object of others.
pub(super) fn composition<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let mut body = "<ComposeRequest>".to_owned();
    for name in names {
        body.push_str("<Component><Name>");
        escape(&mut body, name);
        body.push_str("</Name></Component>");
    }
    body.push_str("</ComposeRequest>");
    body
}

pub(super) fn quoted(tag: &str) -> String {
    format!("\"{tag}\"")
}

/// Not the quotes of a tag: Google wants them as they are, and nobody needs them otherwise.
fn escape(body: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => body.push_str("&amp;"),
            '<' => body.push_str("&lt;"),
            '>' => body.push_str("&gt;"),
            c => body.push(c),
        }
    }
}

/// The parts of a session. `fetch` gives the answer to a listing with these parameters.
pub(super) async fn parts<F, A>(store: &'static str, session: &str, fetch: F) -> Result<Vec<Part>>
where
    F: Fn(Vec<(String, String)>) -> A,
    A: Future<Output = Result<Bytes>>,
{
    let mut parts: Vec<Part> = Vec::new();
    loop {
        let last = parts.last().map_or(0, |part| part.number);
        let mut query = vec![("uploadId".to_owned(), session.to_owned())];
        if last > 0 {
            query.push(("part-number-marker".to_owned(), last.to_string()));
        }
        let page = Parts::parse(store, &fetch(query).await?)?;
        parts.extend(page.part.into_iter().map(Part::from));
        if !page.is_truncated {
            return Ok(parts);
        }
        if parts.last().map_or(0, |part| part.number) <= last {
            return Err(generic(store, "the listing of parts does not end"));
        }
    }
}

/// A page of the listing of parts.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parts {
    #[serde(default)]
    part: Vec<ListedPart>,
    #[serde(default)]
    is_truncated: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedPart {
    part_number: u32,
    size: u64,
    #[serde(rename = "ETag")]
    etag: String,
    #[serde(rename = "ChecksumSHA256")]
    sha256: Option<String>,
    #[serde(rename = "ChecksumCRC64NVME")]
    crc64nvme: Option<String>,
}

impl From<ListedPart> for Part {
    fn from(listed: ListedPart) -> Self {
        let tag = Tag {
            etag: listed.etag,
            sha256: listed.sha256,
            crc64nvme: listed.crc64nvme,
        };
        Self::new(listed.part_number, tag.join(), listed.size)
    }
}

impl Parts {
    fn parse(store: &'static str, body: &[u8]) -> Result<Self> {
        quick_xml::de::from_reader(body).map_err(|error| generic(store, error))
    }
}

/// The open sessions. `fetch` gives the answer to a listing with these parameters.
pub(super) fn sessions<F, A>(
    store: &'static str,
    scope: &Scope,
    fetch: F,
) -> BoxStream<'static, Result<Session>>
where
    F: Fn(Vec<(String, String)>) -> A + Send + Sync + 'static,
    A: Future<Output = Result<Bytes>> + Send + 'static,
{
    let mut query = vec![("uploads".to_owned(), String::new())];
    // Otherwise without a prefix: MinIO takes it for the whole key.
    if let Scope::At(path) = scope {
        query.push(("prefix".to_owned(), path.to_string()));
    }
    let scope = scope.clone();
    let pages = stream::try_unfold(Some(Vec::new()), move |marker| {
        let asked = marker.as_ref().map(|marker: &Vec<_>| {
            let query = [&query[..], marker].concat();
            fetch(query)
        });
        async move {
            let Some(asked) = asked else {
                return Ok(None);
            };
            let page = Uploads::parse(store, &asked.await?)?;
            let next = page.next();
            if next.is_some() && next == marker {
                return Err(generic(store, "the listing of uploads does not end"));
            }
            Ok(Some((stream::iter(page.upload.into_iter().map(Ok)), next)))
        }
    });
    pages
        .try_flatten()
        .try_filter_map(move |upload| ready(upload.session(store)))
        .try_filter(move |session| ready(scope.contains(&session.path)))
        .boxed()
}

/// A page of the listing of uploads.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Uploads {
    #[serde(default)]
    upload: Vec<Upload>,
    #[serde(default)]
    is_truncated: bool,
    #[serde(default)]
    next_key_marker: String,
    #[serde(default)]
    next_upload_id_marker: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Upload {
    key: String,
    upload_id: String,
    initiated: String,
}

impl Uploads {
    fn parse(store: &'static str, body: &[u8]) -> Result<Self> {
        quick_xml::de::from_reader(body).map_err(|error| generic(store, error))
    }

    /// Parameters of the next page.
    fn next(&self) -> Option<Vec<(String, String)>> {
        self.is_truncated.then(|| {
            vec![
                ("key-marker".to_owned(), self.next_key_marker.clone()),
                (
                    "upload-id-marker".to_owned(),
                    self.next_upload_id_marker.clone(),
                ),
            ]
        })
    }
}

impl Upload {
    /// `None` for a key that no path can be.
    fn session(self, store: &'static str) -> Result<Option<Session>> {
        let Ok(path) = Path::parse(&self.key) else {
            return Ok(None);
        };
        let started = timestamp(&self.initiated)
            .ok_or_else(|| generic(store, format!("an upload began at {:?}", self.initiated)))?;
        Ok(Some(Session::new(path, self.upload_id, started)))
    }
}

fn timestamp(text: &str) -> Option<SystemTime> {
    humantime::parse_rfc3339(text).ok()
}

pub(super) fn generic(
    store: &'static str,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::Generic {
        store,
        source: error.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_completion_names_numbers_and_tags() {
        let part = |number, tag| Element {
            number,
            content: vec![("ETag", tag)],
        };
        let parts = [part(1, quoted("a")), part(7, "<&>".to_owned())];
        assert_eq!(
            completion(parts.into_iter()),
            "<CompleteMultipartUpload>\
             <Part><ETag>\"a\"</ETag><PartNumber>1</PartNumber></Part>\
             <Part><ETag>&lt;&amp;&gt;</ETag><PartNumber>7</PartNumber></Part>\
             </CompleteMultipartUpload>"
        );
    }

    #[tokio::test]
    async fn pages_are_fetched_until_the_last() {
        let page = |key: &str, more: bool| {
            Bytes::from(format!(
                "<?xml version=\"1.0\"?><ListMultipartUploadsResult xmlns=\"x\"><Bucket>b</Bucket>\
                 <NextKeyMarker>{key}</NextKeyMarker><NextUploadIdMarker>i</NextUploadIdMarker>\
                 <IsTruncated>{more}</IsTruncated><Upload><Key>{key}</Key><UploadId>i</UploadId>\
                 <Initiated>1970-01-01T00:00:09.000Z</Initiated></Upload>\
                 <Upload><Key>p/other</Key><UploadId>i</UploadId>\
                 <Initiated>1970-01-01T00:00:09.000Z</Initiated></Upload>\
                 <Upload><Key>a//b</Key><UploadId>i</UploadId><Initiated></Initiated></Upload>\
                 </ListMultipartUploadsResult>"
            ))
        };
        let fetch = move |query: Vec<(String, String)>| async move {
            assert_eq!(query[0], ("uploads".to_owned(), String::new()));
            Ok(match query.get(1) {
                None => page("p/q/1", true),
                Some((_, marker)) if marker == "p/q/1" => page("p/q/2", false),
                Some(other) => panic!("{other:?}"),
            })
        };
        let sessions: Vec<_> = sessions("S3", &Scope::Below(Path::from("p/q")), fetch)
            .try_collect()
            .await
            .unwrap();
        let started = SystemTime::UNIX_EPOCH + Duration::from_secs(9);
        let session = |path| Session::new(Path::from(path), "i", started);
        assert_eq!(sessions, [session("p/q/1"), session("p/q/2")]);
    }

    #[tokio::test]
    async fn parts_are_listed_page_by_page() {
        let fetch = |query: Vec<(String, String)>| async move {
            assert_eq!(query[0], ("uploadId".to_owned(), "s".to_owned()));
            let (first, more) = match query.get(1) {
                None => (1, true),
                Some((_, marker)) if marker == "2" => (7, false),
                other => panic!("{other:?}"),
            };
            let part = |number| {
                format!(
                    "<Part><PartNumber>{number}</PartNumber><LastModified>2026</LastModified>\
                     <ETag>&quot;{number}a&quot;</ETag><Size>5</Size>\
                     <ChecksumCRC64NVME>AAE=</ChecksumCRC64NVME></Part>"
                )
            };
            Ok(Bytes::from(format!(
                "<ListPartsResult><Bucket>b</Bucket><IsTruncated>{more}</IsTruncated>{}{}\
                 <StorageClass>STANDARD</StorageClass></ListPartsResult>",
                part(first),
                part(first + 1),
            )))
        };
        let parts = parts("S3", "s", fetch).await.unwrap();
        let part = |number| Part::new(number, format!("{number}a ChecksumCRC64NVME=AAE="), 5);
        assert_eq!(parts, [part(1), part(2), part(7), part(8)]);
        let circle = |_| async {
            Ok(Bytes::from_static(
                b"<R><IsTruncated>true</IsTruncated></R>",
            ))
        };
        assert!(super::parts("S3", "s", circle).await.is_err());
    }

    #[tokio::test]
    async fn a_listing_that_goes_in_circles_is_an_error() {
        let fetch = |_| async {
            Ok(Bytes::from_static(
                b"<R><IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker></R>",
            ))
        };
        let sessions = sessions("S3", &Scope::Below(Path::default()), fetch);
        assert!(sessions.try_collect::<Vec<_>>().await.is_err());
    }
}
