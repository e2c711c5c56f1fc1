//! What S3 and Google say of a part.

use serde::Deserialize;

use super::xml;

/// What identifies a part: its ETag, and a checksum if the store was told to make one. Kept short, for
/// there may be ten thousand: `etag`, or `etag NAME=value`.
#[derive(Debug, Deserialize)]
pub(super) struct Tag {
    #[serde(rename = "ETag", alias = "e_tag")]
    pub(super) etag: String,
    #[serde(rename = "ChecksumSHA256", alias = "checksum_sha256", default)]
    pub(super) sha256: Option<String>,
    #[serde(rename = "ChecksumCRC64NVME", alias = "checksum_crc64nvme", default)]
    pub(super) crc64nvme: Option<String>,
}

impl Tag {
    /// From what object_store gives: an ETag, or with a checksum a piece of XML.
    pub(super) fn parse(content_id: &str) -> Self {
        let etag = |_| Self {
            etag: content_id.to_owned(),
            sha256: None,
            crc64nvme: None,
        };
        quick_xml::de::from_str(content_id).unwrap_or_else(etag)
    }

    pub(super) fn join(self) -> String {
        let mut tag = self.etag.trim_matches('"').to_owned();
        for (name, value) in [(SHA256, self.sha256), (CRC64NVME, self.crc64nvme)] {
            if let Some(value) = value {
                tag.push_str(&format!(" {name}={value}"));
            }
        }
        tag
    }
}

/// The elements of a part whose [joined](Tag::join) tag this is.
pub(super) fn content(tag: &str) -> Vec<(&'static str, String)> {
    let mut words = tag.split(' ');
    let etag = words.next().unwrap_or_default();
    let mut content = vec![("ETag", xml::quoted(etag))];
    for word in words {
        for name in [SHA256, CRC64NVME] {
            let value = word
                .strip_prefix(name)
                .and_then(|rest| rest.strip_prefix('='));
            content.extend(value.map(|value| (name, value.to_owned())));
        }
    }
    content
}

const SHA256: &str = "ChecksumSHA256";
const CRC64NVME: &str = "ChecksumCRC64NVME";

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(content_id: &str) -> String {
        Tag::parse(content_id).join()
    }

    #[test]
    fn a_tag_is_short_and_keeps_the_checksum() {
        assert_eq!(tag("\"abc\""), "abc");
        let xml = "<PartMetadata><e_tag>\"abc\"</e_tag>\
                   <checksum_crc64nvme>AAE=</checksum_crc64nvme></PartMetadata>";
        let tag = tag(xml);
        assert_eq!(tag, "abc ChecksumCRC64NVME=AAE=");
        let etag = ("ETag", "\"abc\"".to_owned());
        assert_eq!(
            content(&tag),
            [etag.clone(), (CRC64NVME, "AAE=".to_owned())]
        );
        assert_eq!(content("abc"), [etag]);
    }

    #[test]
    fn the_tag_of_a_copied_part_is_read() {
        let xml = "<?xml version=\"1.0\"?><CopyPartResult xmlns=\"x\"><LastModified>2026</LastModified>\
                   <ETag>&quot;abc&quot;</ETag></CopyPartResult>";
        assert_eq!(tag(xml), "abc");
    }
}
