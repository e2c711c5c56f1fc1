use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE};
use serde_json::{Map, Value};

use super::failure::Failure;
use crate::{
    hooks::{Rejection, Reply},
    protocol::Metadata,
};

/// What a hook server says: tusd's hook response. All of it may be missing, and what is unknown counts for
/// nothing.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) response: Response,
    pub(super) reject_upload: bool,
    pub(super) reject_termination: bool,
    pub(super) stop_upload: bool,
    pub(super) change: Change,
}

/// `HTTPResponse`: what the client is to be told.
#[derive(Debug, Default)]
pub(super) struct Response {
    status: Option<StatusCode>,
    headers: HeaderMap,
    body: Bytes,
}

/// `ChangeFileInfo`: what is to be different about a new upload.
#[derive(Debug, Default)]
pub(super) struct Change {
    pub(super) id: Option<String>,
    pub(super) metadata: Option<Metadata>,
    /// `Path` of `Storage`.
    pub(super) path: Option<String>,
}

impl Answer {
    pub(super) fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Self, Failure> {
        if !is_json(headers) {
            return Err(Failure::NotJson);
        }
        let value: Value = serde_json::from_slice(body).map_err(Failure::Malformed)?;
        let answer = Fields::of(&value, "the whole")?;
        Ok(Self {
            response: Response::read(answer.object("HTTPResponse")?)?,
            reject_upload: answer.flag("RejectUpload")?,
            reject_termination: answer.flag("RejectTermination")?,
            stop_upload: answer.flag("StopUpload")?,
            change: Change::read(answer.object("ChangeFileInfo")?)?,
        })
    }
}

impl Response {
    fn read(fields: Fields<'_>) -> Result<Self, Failure> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields.texts("Header")?.unwrap_or_default() {
            // What cannot be sent is left out.
            if let (Ok(name), Ok(value)) =
                (name.parse::<HeaderName>(), HeaderValue::from_str(value))
            {
                headers.append(name, value);
            }
        }
        let body = fields.text("Body")?.unwrap_or_default();
        Ok(Self {
            status: fields.status("StatusCode")?,
            headers,
            body: Bytes::copy_from_slice(body.as_bytes()),
        })
    }

    /// Whether the client is told of a failure: then it is none to be told of a success.
    pub(super) fn fails(&self) -> bool {
        self.status.is_some_and(|status| !status.is_success())
    }

    /// This as a no, in these words where the hook server has none.
    pub(super) fn into_rejection(self, text: &'static str) -> Rejection {
        let status = self.status.filter(|status| !status.is_success());
        let mut rejection = Rejection::new(status.unwrap_or(StatusCode::BAD_REQUEST)).body(text);
        *rejection.headers = self.headers;
        if !self.body.is_empty() {
            rejection.body = self.body;
        }
        rejection
    }

    /// What is added to an answer.
    pub(super) fn into_reply(self) -> Reply {
        Reply {
            status: self.status,
            headers: self.headers,
            body: self.body,
        }
    }
}

impl Change {
    fn read(fields: Fields<'_>) -> Result<Self, Failure> {
        let metadata = match fields.texts("MetaData")? {
            Some(pairs) => {
                let metadata = Metadata::from_pairs(pairs);
                Some(metadata.map_err(|_| Failure::Field("MetaData"))?)
            }
            None => None,
        };
        let id = fields.text("ID")?.filter(|id| !id.is_empty());
        let path = fields.object("Storage")?.text("Path")?;
        Ok(Self {
            id: id.map(str::to_owned),
            metadata,
            path: path.filter(|path| !path.is_empty()).map(str::to_owned),
        })
    }
}

/// The fields of an object, as Go reads them: names in any case, and `null` is as good as nothing.
#[derive(Clone, Copy)]
struct Fields<'v>(Option<&'v Map<String, Value>>);

impl<'v> Fields<'v> {
    fn of(value: &'v Value, name: &'static str) -> Result<Self, Failure> {
        match value {
            Value::Object(fields) => Ok(Self(Some(fields))),
            Value::Null => Ok(Self(None)),
            _ => Err(Failure::Field(name)),
        }
    }

    fn value(self, name: &str) -> Option<&'v Value> {
        let fields = self.0?;
        let any_case = || {
            let mut fields = fields.iter();
            fields.find(|(other, _)| other.eq_ignore_ascii_case(name))
        };
        let value = fields.get(name).or_else(|| any_case().map(|(_, v)| v));
        value.filter(|value| !value.is_null())
    }

    fn object(self, name: &'static str) -> Result<Self, Failure> {
        self.value(name)
            .map_or(Ok(Self(None)), |value| Self::of(value, name))
    }

    fn text(self, name: &'static str) -> Result<Option<&'v str>, Failure> {
        let text = |value: &'v Value| value.as_str().ok_or(Failure::Field(name));
        self.value(name).map(text).transpose()
    }

    /// An object whose values are texts; `None` if it is missing.
    fn texts(self, name: &'static str) -> Result<Option<Vec<(&'v str, &'v str)>>, Failure> {
        let Self(Some(fields)) = self.object(name)? else {
            return Ok(None);
        };
        let text = |(name_of, value): (&'v String, &'v Value)| match value {
            Value::String(text) => Ok((name_of.as_str(), text.as_str())),
            Value::Null => Ok((name_of.as_str(), "")),
            _ => Err(Failure::Field(name)),
        };
        fields.iter().map(text).collect::<Result<_, _>>().map(Some)
    }

    fn flag(self, name: &'static str) -> Result<bool, Failure> {
        self.value(name).map_or(Ok(false), |value| {
            value.as_bool().ok_or(Failure::Field(name))
        })
    }

    /// 0 is as good as nothing.
    fn status(self, name: &'static str) -> Result<Option<StatusCode>, Failure> {
        let number = match self.value(name) {
            None => return Ok(None),
            Some(value) => value.as_u64().ok_or(Failure::Field(name))?,
        };
        let status = |number| StatusCode::from_u16(number).ok();
        match number {
            0 => Ok(None),
            _ => u16::try_from(number)
                .ok()
                .and_then(status)
                .map(Some)
                .ok_or(Failure::Field(name)),
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE);
    let value = value.and_then(|value| value.to_str().ok());
    let kind = value.unwrap_or_default().split(';').next();
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Result<Answer, Failure> {
        let mut headers = HeaderMap::new();
        let json = HeaderValue::from_static("application/json; charset=utf-8");
        headers.insert(CONTENT_TYPE, json);
        Answer::parse(&headers, body.as_bytes())
    }

    #[test]
    fn an_answer_says_as_much_as_it_likes() {
        for empty in [
            "{}",
            "null",
            r#"{"HTTPResponse": {"Headers": {}}, "Unknown": [1]}"#,
            r#"{"HTTPResponse": null, "ChangeFileInfo": {"ID": "", "MetaData": null}}"#,
            r#"{"HTTPResponse": {"StatusCode": 0}}"#,
        ] {
            let answer = parse(empty).unwrap();
            assert!(answer.response.into_reply().is_empty(), "{empty}");
            assert!(!answer.reject_upload, "{empty}");
            assert!(answer.change.id.is_none() && answer.change.metadata.is_none());
        }
        let answer = parse(
            r#"{
                "httpResponse": {"statusCode": 422, "body": "no", "header": {"X-A": "b", "b a d": "c"}},
                "REJECTUPLOAD": true, "StopUpload": true, "rejectTermination": true,
                "ChangeFileInfo": {"ID": "x", "MetaData": {"a": "b", "c": null}, "Storage": {"Path": "p"}}
            }"#,
        )
        .unwrap();
        assert!(answer.reject_upload && answer.reject_termination && answer.stop_upload);
        assert_eq!(answer.change.id.as_deref(), Some("x"));
        assert_eq!(answer.change.path.as_deref(), Some("p"));
        assert_eq!(answer.change.metadata.unwrap().as_str(), "a Yg==,c");
        let rejection = answer.response.into_rejection("words");
        assert_eq!(rejection.status, 422);
        assert_eq!(rejection.body, "no");
        assert_eq!(rejection.headers.len(), 1);
    }

    #[test]
    fn what_is_not_understood_is_no_yes() {
        for bad in [
            "",
            "[]",
            "true",
            r#"{"RejectUpload": "false"}"#,
            r#"{"HTTPResponse": {"StatusCode": "400"}}"#,
            r#"{"HTTPResponse": {"StatusCode": 7}}"#,
            r#"{"HTTPResponse": {"Header": {"A": ["b"]}}}"#,
            r#"{"ChangeFileInfo": {"MetaData": {"a b": "c"}}}"#,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let html = Answer::parse(&HeaderMap::new(), b"{}");
        assert!(matches!(html, Err(Failure::NotJson)));
    }

    #[test]
    fn a_rejection_without_words_is_a_400() {
        let answer = parse(r#"{"HTTPResponse": {"StatusCode": 200}, "RejectUpload": true}"#);
        let rejection = answer.unwrap().response.into_rejection("words");
        assert_eq!(rejection.status, 400);
        assert_eq!(rejection.body, "words");
    }
}
