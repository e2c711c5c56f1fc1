use std::collections::BTreeMap;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName,
    header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION},
    request,
};
use serde::Serialize;

use super::storage_info::StorageInfo;
use crate::{
    hooks::{Hook, RemoteAddr},
    protocol::{Kind, Length, Upload, UploadId},
};

/// What a hook server is told: one message, however often it is sent.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) hook: Hook,
    /// Names it, without a dot.
    pub(super) id: String,
    pub(super) body: Bytes,
    /// Fields of the client's request that go along as they are.
    pub(super) forwarded: HeaderMap,
}

impl Message {
    pub(super) fn new(hook: Hook, id: String, event: &Event<'_>, forwarded: &[HeaderName]) -> Self {
        let body = serde_json::to_vec(&HookRequest::new(hook, event, forwarded));
        let mut headers = HeaderMap::new();
        if let Some(request) = event.request {
            for name in forwarded {
                for value in request.headers.get_all(name) {
                    headers.append(name, value.clone());
                }
            }
        }
        Self {
            hook,
            id,
            body: body.expect("texts and numbers are JSON").into(),
            forwarded: headers,
        }
    }
}

/// What happens to an upload.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event<'a> {
    pub(super) upload: &'a Upload,
    pub(super) request: Option<&'a request::Parts>,
    pub(super) storage: &'a StorageInfo,
}

/// tusd's `hooks.HookRequest`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct HookRequest<'a> {
    r#type: &'static str,
    event: HookEvent<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct HookEvent<'a> {
    upload: FileInfo<'a>,
    #[serde(rename = "HTTPRequest")]
    http_request: HttpRequest<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct FileInfo<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    size: u64,
    size_is_deferred: bool,
    offset: u64,
    meta_data: BTreeMap<&'a str, String>,
    is_partial: bool,
    is_final: bool,
    partial_uploads: Option<Vec<&'a str>>,
    storage: Option<BTreeMap<&'static str, String>>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct HttpRequest<'a> {
    method: &'a str,
    #[serde(rename = "URI")]
    uri: &'a str,
    remote_addr: String,
    header: BTreeMap<String, Vec<String>>,
}

impl<'a> HookRequest<'a> {
    fn new(hook: Hook, event: &Event<'a>, forwarded: &[HeaderName]) -> Self {
        let request = event.request;
        Self {
            r#type: hook.name(),
            event: HookEvent {
                upload: FileInfo::new(hook, event.upload, event.storage),
                http_request: request
                    .map(|request| HttpRequest::new(request, forwarded))
                    .unwrap_or_default(),
            },
        }
    }
}

impl<'a> FileInfo<'a> {
    fn new(hook: Hook, upload: &'a Upload, storage: &StorageInfo) -> Self {
        // What is only a draft has neither name nor place.
        let is_draft = hook == Hook::PreCreate;
        let metadata = upload.metadata.iter();
        let text = |value: Vec<u8>| String::from_utf8_lossy(&value).into_owned();
        Self {
            id: match is_draft {
                true => "",
                false => upload.id.as_str(),
            },
            size: upload.length.known().unwrap_or_default(),
            size_is_deferred: upload.length == Length::Deferred,
            offset: upload.offset,
            meta_data: metadata.map(|(key, value)| (key, text(value))).collect(),
            is_partial: upload.kind == Kind::Partial,
            is_final: matches!(upload.kind, Kind::Final(_)),
            partial_uploads: match &upload.kind {
                Kind::Final(concat) => Some(concat.parts().iter().map(UploadId::as_str).collect()),
                Kind::Regular | Kind::Partial => None,
            },
            storage: match &upload.kind {
                _ if is_draft => None,
                Kind::Partial => None,
                Kind::Regular | Kind::Final(_) => Some(storage.of(&upload.key)),
            },
        }
    }
}

impl<'a> HttpRequest<'a> {
    fn new(request: &'a request::Parts, forwarded: &[HeaderName]) -> Self {
        let mut header: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (name, value) in &request.headers {
            let is_secret = SECRET.contains(name) || value.is_sensitive();
            if !is_secret || forwarded.contains(name) {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                header.entry(canonical(name)).or_default().push(value);
            }
        }
        if let Some(authority) = request.uri.authority() {
            let host = || vec![authority.to_string()];
            header.entry("Host".to_owned()).or_insert_with(host);
        }
        let remote = request.extensions.get::<RemoteAddr>();
        Self {
            method: request.method.as_str(),
            uri: request
                .uri
                .path_and_query()
                .map_or("/", |target| target.as_str()),
            remote_addr: remote.map_or_else(String::new, |remote| remote.0.to_string()),
            header,
        }
    }
}

/// What opens doors, and is not told without being asked for.
const SECRET: [HeaderName; 3] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION];

/// A name as Go spells it: `Upload-Length`.
fn canonical(name: &HeaderName) -> String {
    let mut starts = true;
    let spell = |c: char| {
        let spelled = match starts {
            true => c.to_ascii_uppercase(),
            false => c,
        };
        starts = c == '-';
        spelled
    };
    name.as_str().chars().map(spell).collect()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use http::{HeaderValue, Request};
    use serde_json::{Value, json};

    use super::*;
    use crate::protocol::{Concat, Metadata};

    fn upload() -> Upload {
        let mut upload = Upload::new("a".parse().unwrap(), Length::Deferred, UNIX_EPOCH);
        upload.metadata = Metadata::from_pairs([("bytes", b"\xff".as_slice())]).unwrap();
        upload
    }

    fn told(hook: Hook, upload: &Upload, request: Option<&request::Parts>) -> Value {
        let event = Event {
            upload,
            request,
            storage: &StorageInfo::default(),
        };
        let message = Message::new(hook, "id".to_owned(), &event, &[]);
        serde_json::from_slice(&message.body).unwrap()
    }

    #[test]
    fn a_draft_has_no_name_and_a_part_no_place() {
        let mut upload = upload();
        let draft = told(Hook::PreCreate, &upload, None);
        assert_eq!(
            draft["Event"]["Upload"],
            json!({
                "ID": "", "Size": 0, "SizeIsDeferred": true, "Offset": 0, "MetaData": {"bytes": "\u{fffd}"},
                "IsPartial": false, "IsFinal": false, "PartialUploads": null, "Storage": null,
            })
        );
        let nobody = json!({"Method": "", "URI": "", "RemoteAddr": "", "Header": {}});
        assert_eq!(draft["Event"]["HTTPRequest"], nobody);

        upload.kind = Kind::Partial;
        let part = &told(Hook::PostFinish, &upload, None)["Event"]["Upload"];
        assert_eq!(part["IsPartial"], true);
        assert_eq!(part["Storage"], Value::Null);

        let parts = vec!["p".parse().unwrap(), "q".parse().unwrap()];
        upload.kind = Kind::Final(Concat::new("final;/p /q", parts));
        let joined = &told(Hook::PostFinish, &upload, None)["Event"]["Upload"];
        assert_eq!(joined["IsFinal"], true);
        assert_eq!(joined["PartialUploads"], json!(["p", "q"]));
        assert_eq!(joined["Storage"], json!({"Key": "a"}));
    }

    #[test]
    fn a_request_is_told_as_go_sees_it_and_without_secrets() {
        let mut secret = HeaderValue::from_static("s");
        secret.set_sensitive(true);
        let mut request = Request::patch("http://example.org/files/a?b")
            .header("x-forwarded-for", "1")
            .header("x-forwarded-for", "2")
            .header("authorization", "Bearer s")
            .header("cookie", "s")
            .header("proxy-authorization", "s")
            .header("x-token", secret)
            .body(())
            .unwrap();
        let peer = RemoteAddr("127.0.0.1:59395".parse().unwrap());
        request.extensions_mut().insert(peer);
        let (request, ()) = request.into_parts();
        assert_eq!(
            told(Hook::PostReceive, &upload(), Some(&request))["Event"]["HTTPRequest"],
            json!({
                "Method": "PATCH", "URI": "/files/a?b", "RemoteAddr": "127.0.0.1:59395",
                "Header": {"Host": ["example.org"], "X-Forwarded-For": ["1", "2"]},
            })
        );
    }
}
