use super::{Content, Error, Extension, Kind, Length, Limits, Metadata, Offer, Oversized};

/// Makes a new upload.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Create {
    /// Its size. Of a final upload it is [`Length::Deferred`]: its parts tell.
    pub length: Length,
    /// What the client attaches.
    pub metadata: Metadata,
    /// What it is to other uploads.
    pub kind: Kind,
    /// The first bytes, if the request carries any.
    pub content: Option<Content>,
}

impl Create {
    /// Whether the upload may be made.
    ///
    /// # Errors
    /// The refusal, by tus 1.0.0 "POST" of the creation, creation-with-upload,
    /// creation-defer-length and concatenation extensions.
    pub fn decide(&self, offer: &Offer) -> Result<(), Error> {
        let limits = &offer.limits;
        let requires = |extension, needed: bool| match needed && !offer.offers(extension) {
            true => Err(Error::NotOffered(extension)),
            false => Ok(()),
        };
        requires(Extension::Creation, true)?;
        requires(Extension::CreationWithUpload, self.content.is_some())?;
        requires(Extension::Concatenation, self.kind != Kind::Regular)?;
        if self.metadata.as_str().len() > limits.max_metadata {
            return Err(Error::MetadataTooLarge);
        }
        if let Kind::Final(concat) = &self.kind {
            if self.content.is_some() {
                return Err(Error::FinalUpload);
            }
            return match concat.parts().len() > limits.max_parts {
                true => Err(Error::TooLarge(Oversized::Parts)),
                false => Ok(()),
            };
        }
        requires(
            Extension::CreationDeferLength,
            self.length == Length::Deferred,
        )?;
        check_size(self.length, limits)?;
        if let Some(content) = &self.content {
            content.room(0, self.length, limits)?;
        }
        Ok(())
    }
}

/// Whether an upload may be that large.
///
/// # Errors
/// [`Error::TooLarge`] beyond the largest size.
pub fn check_size(length: Length, limits: &Limits) -> Result<(), Error> {
    match (length, limits.max_size) {
        (Length::Known(length), Some(max)) if length > max => {
            Err(Error::TooLarge(Oversized::Upload))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Concat, Extensions, Verify};

    fn create(length: Length) -> Create {
        Create {
            length,
            metadata: Metadata::default(),
            kind: Kind::Regular,
            content: None,
        }
    }

    fn body(length: u64) -> Option<Content> {
        Some(Content {
            length: Some(length),
            verify: Verify::Nothing,
        })
    }

    fn joined(parts: usize) -> Kind {
        Kind::Final(Concat::new("final;…", vec!["a".parse().unwrap(); parts]))
    }

    #[test]
    fn every_refusal_of_a_creation() {
        let offer = Offer {
            limits: Limits::default()
                .max_size(10)
                .max_metadata(8)
                .max_parts(2)
                .max_body(7),
            ..Offer::default()
        };
        let without = |extension| Offer {
            extensions: Extensions::all().without(extension),
            ..offer.clone()
        };
        let known = create(Length::Known(10));
        let table = [
            (known.clone(), offer.clone(), Ok(())),
            (
                create(Length::Known(11)),
                offer.clone(),
                Err(Error::TooLarge(Oversized::Upload)),
            ),
            (create(Length::Deferred), offer.clone(), Ok(())),
            (
                Create {
                    metadata: "abcdefghi".parse().unwrap(),
                    ..known.clone()
                },
                offer.clone(),
                Err(Error::MetadataTooLarge),
            ),
            (
                Create {
                    content: body(7),
                    ..known.clone()
                },
                offer.clone(),
                Ok(()),
            ),
            (
                Create {
                    content: body(8),
                    ..known.clone()
                },
                offer.clone(),
                Err(Error::TooLarge(Oversized::Request)),
            ),
            (
                Create {
                    content: body(3),
                    ..create(Length::Known(2))
                },
                offer.clone(),
                Err(Error::TooLarge(Oversized::Body)),
            ),
            (
                Create {
                    kind: joined(2),
                    ..create(Length::Deferred)
                },
                offer.clone(),
                Ok(()),
            ),
            (
                Create {
                    kind: joined(3),
                    ..create(Length::Deferred)
                },
                offer.clone(),
                Err(Error::TooLarge(Oversized::Parts)),
            ),
            (
                Create {
                    kind: joined(1),
                    content: body(1),
                    ..create(Length::Deferred)
                },
                offer.clone(),
                Err(Error::FinalUpload),
            ),
            (
                known.clone(),
                without(Extension::Creation),
                Err(Error::NotOffered(Extension::Creation)),
            ),
            (
                Create {
                    content: body(1),
                    ..known.clone()
                },
                without(Extension::CreationWithUpload),
                Err(Error::NotOffered(Extension::CreationWithUpload)),
            ),
            (
                create(Length::Deferred),
                without(Extension::CreationDeferLength),
                Err(Error::NotOffered(Extension::CreationDeferLength)),
            ),
            (
                Create {
                    kind: Kind::Partial,
                    ..known
                },
                without(Extension::Concatenation),
                Err(Error::NotOffered(Extension::Concatenation)),
            ),
        ];
        for (create, offer, expected) in table {
            assert_eq!(create.decide(&offer), expected, "{create:?}");
        }
    }
}
