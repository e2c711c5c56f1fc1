use super::{Error, Mount, PartError, UploadId, header::UPLOAD_CONCAT};

/// The parts a final upload is joined from: the value of `Upload-Concat`, kept as it was received,
/// and the uploads it names, in its order. The same part may stand several times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concat {
    header: String,
    parts: Vec<UploadId>,
}

impl Concat {
    /// What a storage has kept of a final upload.
    #[must_use]
    pub fn new(header: impl Into<String>, parts: Vec<UploadId>) -> Self {
        Self {
            header: header.into(),
            parts,
        }
    }

    /// The header's value, as it came.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.header
    }

    /// The parts, in their order.
    #[must_use]
    pub fn parts(&self) -> &[UploadId] {
        &self.parts
    }
}

/// What `Upload-Concat` says of a new upload.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum UploadConcat {
    Partial,
    Final(Concat),
}

impl UploadConcat {
    pub(crate) fn parse(value: &str, mount: &Mount) -> Result<Self, Error> {
        if value == "partial" {
            return Ok(Self::Partial);
        }
        let urls = value
            .strip_prefix("final;")
            .ok_or_else(|| Error::invalid(&UPLOAD_CONCAT, "is neither partial nor final"))?;
        let parts = urls
            .split(' ')
            .filter(|url| !url.is_empty())
            .map(|url| mount.resolve(url).ok_or(Error::Part(PartError::Foreign)))
            .collect::<Result<Vec<_>, _>>()?;
        if parts.is_empty() {
            return Err(Error::invalid(&UPLOAD_CONCAT, "names no parts"));
        }
        Ok(Self::Final(Concat::new(value, parts)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conc_14_15_only_two_forms_are_read() {
        let mount = Mount::new("/files");
        assert_eq!(
            UploadConcat::parse("partial", &mount),
            Ok(UploadConcat::Partial)
        );
        let value = "final;/files/a /files/b /files/a";
        match UploadConcat::parse(value, &mount).unwrap() {
            UploadConcat::Final(concat) => {
                let ids: Vec<_> = concat.parts().iter().map(UploadId::as_str).collect();
                assert_eq!(ids, ["a", "b", "a"]);
                assert_eq!(concat.as_str(), value);
            }
            UploadConcat::Partial => panic!("a final"),
        }
        for bad in [
            "",
            "final",
            "final;",
            "final; ",
            "Partial",
            "partial;",
            "finally;/files/a",
            "final /files/a",
            "final;/files/a,/files/b",
        ] {
            assert!(UploadConcat::parse(bad, &mount).is_err(), "{bad:?}");
        }
        assert_eq!(
            UploadConcat::parse("final;/files/a http://other/files/b", &mount),
            Err(Error::Part(PartError::Foreign))
        );
    }
}
