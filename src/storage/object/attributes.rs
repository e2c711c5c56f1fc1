//! What an object says of itself.

use object_store::{Attribute, Attributes};

use super::bucket::OWNER;
use crate::protocol::{Upload, content_type, disposition, is_inline};

/// The most bytes of user-defined metadata that every store takes.
const MAX_METADATA: usize = 2 << 10;

/// The attributes of a finished upload's object: the type and the name that the client declared, what
/// else can be said in a header, and which upload it is.
///
/// It is an attachment unless browsers show its type without running anything, for the bucket may be
/// read directly.
pub(super) fn attributes(upload: &Upload) -> Attributes {
    let kind = content_type(upload)
        .filter(|kind| is_header(kind))
        .unwrap_or_else(|| "application/octet-stream".to_owned());
    let mut attributes = Attributes::with_capacity(8);
    attributes.insert(
        Attribute::ContentDisposition,
        disposition(upload, is_inline(&kind)).into(),
    );
    attributes.insert(Attribute::ContentType, kind.into());
    attributes.insert(
        Attribute::Metadata(OWNER.into()),
        upload.id.to_string().into(),
    );
    let mut room = MAX_METADATA - OWNER.len() - upload.id.as_str().len();
    for (key, value) in upload.metadata.iter() {
        let name = key.to_ascii_lowercase();
        let Some(value) = String::from_utf8(value)
            .ok()
            .filter(|value| is_header(value))
        else {
            continue;
        };
        let size = name.len() + value.len();
        if !is_name(&name) || name == OWNER || size > room {
            continue;
        }
        room -= size;
        attributes.insert(Attribute::Metadata(name.into()), value.into());
    }
    attributes
}

/// Azure wants names of programs, the others names of header fields: letters, digits and `_`.
fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_lowercase())
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Visible ASCII with single spaces between: what comes back from a signed header as it was sent.
fn is_header(value: &str) -> bool {
    !value.is_empty()
        && value.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        && !value.starts_with(' ')
        && !value.ends_with(' ')
        && !value.contains("  ")
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::protocol::{Length, Metadata};

    fn of(pairs: &[(&str, &str)]) -> Attributes {
        let id = "id".parse().unwrap();
        let mut upload = Upload::new(id, Length::Known(0), SystemTime::now());
        upload.metadata = Metadata::from_pairs(pairs.iter().copied()).unwrap();
        attributes(&upload)
    }

    fn text(attributes: &Attributes, attribute: &Attribute) -> Option<String> {
        attributes.get(attribute).map(|value| value.to_string())
    }

    #[test]
    fn type_and_name_are_the_clients() {
        let told = of(&[("filename", "a b.png"), ("filetype", "image/PNG; x=1")]);
        assert_eq!(
            text(&told, &Attribute::ContentType).as_deref(),
            Some("image/png")
        );
        let disposition = text(&told, &Attribute::ContentDisposition).unwrap();
        assert!(disposition.starts_with("inline"), "{disposition}");
        assert!(disposition.contains("a b.png"), "{disposition}");
        let page = of(&[("filetype", "text/html")]);
        let disposition = text(&page, &Attribute::ContentDisposition).unwrap();
        assert!(disposition.starts_with("attachment"), "{disposition}");
    }

    #[test]
    fn only_what_a_header_can_hold_becomes_metadata() {
        let long = "x".repeat(3000);
        let told = of(&[
            ("Project", "a b"),
            ("umlaut", "ü"),
            ("line", "a\nb"),
            ("dash-ed", "x"),
            ("long", &long),
            ("TUSID", "y"),
        ]);
        let metadata = |name: &'static str| text(&told, &Attribute::Metadata(name.into()));
        assert_eq!(metadata("project").as_deref(), Some("a b"));
        assert_eq!(metadata(OWNER).as_deref(), Some("id"));
        for absent in ["umlaut", "line", "dash-ed", "long"] {
            assert_eq!(metadata(absent), None, "{absent}");
        }
    }
}
