use std::{fmt, str::FromStr, sync::Arc, time::SystemTime};

use super::{Upload, UploadId};

/// Where a finished upload appears, below the root of its storage: names joined by `/`.
///
/// A key never leads out of the root: no name is empty, `.`, `..`, longer than 255 bytes, or has a
/// control character, `\` or `:`; the first one does not begin with `.tus`, which is the storage's
/// own.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// The longest key, in bytes.
    pub const MAX_LEN: usize = 1_024;

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names, outermost first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

impl FromStr for Key {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let own = text.len() >= 4 && text.as_bytes()[..4].eq_ignore_ascii_case(b".tus");
        if own || text.len() > Self::MAX_LEN || !text.split('/').all(is_name) {
            return Err(InvalidKey);
        }
        Ok(Self(text.into()))
    }
}

fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && name.len() <= 255 && !name.contains(is_forbidden)
}

fn is_forbidden(c: char) -> bool {
    c.is_control() || matches!(c, '/' | '\\' | ':')
}

impl From<&UploadId> for Key {
    fn from(id: &UploadId) -> Self {
        Self(id.as_str().into())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", self.as_str())
    }
}

/// The text is no [`Key`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key is a relative path without `.`, `..`, control characters, `\\` and `:`")]
pub struct InvalidKey;

/// How the key of an upload is made when it is created.
///
/// Either a template with fields in braces, or a function of the application.
///
/// | field | stands for |
/// |---|---|
/// | `{id}` | the upload's id |
/// | `{filename}` | `filename` (or `name`) of the metadata without anything a path could mean; the id where there is none |
/// | `{ext}` | the file name's extension without the dot; empty where there is none |
/// | `{year}` `{month}` `{day}` | the day of creation, in UTC |
/// | `{metadata:NAME}` | any other value of the metadata, made safe in the same way |
///
/// ```
/// use tower_tus::protocol::KeyTemplate;
///
/// let template = KeyTemplate::parse("{year}/{month}/{id}-{filename}")?;
/// # assert_eq!(template.to_string(), "{year}/{month}/{id}-{filename}");
/// # Ok::<_, tower_tus::protocol::InvalidTemplate>(())
/// ```
#[derive(Clone)]
pub struct KeyTemplate(Inner);

type Function = Arc<dyn Fn(&Upload) -> Result<Key, InvalidKey> + Send + Sync>;

#[derive(Clone)]
enum Inner {
    Pieces(Arc<[Piece]>),
    Function(Function),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Id,
    Filename,
    Extension,
    Year,
    Month,
    Day,
    Metadata(String),
}

impl KeyTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// [`InvalidTemplate`] for an unknown field, an open brace, or a text that could never be a key.
    pub fn parse(template: &str) -> Result<Self, InvalidTemplate> {
        let mut pieces = Vec::new();
        let mut rest = template;
        while let Some(open) = rest.find('{') {
            let (text, tail) = rest.split_at(open);
            let close = tail.find('}').ok_or(InvalidTemplate)?;
            if !text.is_empty() {
                pieces.push(Piece::Text(text.to_owned()));
            }
            pieces.push(field(&tail[1..close])?);
            rest = &tail[close + 1..];
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        let template = Self(Inner::Pieces(pieces.into()));
        let sample = Upload::new(
            UploadId::from_random(0),
            super::Length::Known(0),
            SystemTime::UNIX_EPOCH,
        );
        template.key(&sample).map_err(|_| InvalidTemplate)?;
        Ok(template)
    }

    /// The application's own way from a new upload to its key.
    ///
    /// An error refuses the creation with 400.
    #[must_use]
    pub fn from_fn(
        function: impl Fn(&Upload) -> Result<Key, InvalidKey> + Send + Sync + 'static,
    ) -> Self {
        Self(Inner::Function(Arc::new(function)))
    }

    /// The key of `upload`.
    ///
    /// # Errors
    /// [`InvalidKey`] if what comes out is none.
    pub fn key(&self, upload: &Upload) -> Result<Key, InvalidKey> {
        match &self.0 {
            Inner::Function(function) => function(upload),
            Inner::Pieces(pieces) if **pieces == [Piece::Id] => Ok(Key::from(&upload.id)),
            Inner::Pieces(pieces) => {
                let mut text = String::new();
                for piece in pieces.iter() {
                    piece.render(upload, &mut text);
                }
                text.parse()
            }
        }
    }
}

impl Default for KeyTemplate {
    /// `{id}`.
    fn default() -> Self {
        Self(Inner::Pieces([Piece::Id].into()))
    }
}

impl fmt::Display for KeyTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pieces = match &self.0 {
            Inner::Function(_) => return f.write_str("<function>"),
            Inner::Pieces(pieces) => pieces,
        };
        pieces.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(text),
            Piece::Id => f.write_str("{id}"),
            Piece::Filename => f.write_str("{filename}"),
            Piece::Extension => f.write_str("{ext}"),
            Piece::Year => f.write_str("{year}"),
            Piece::Month => f.write_str("{month}"),
            Piece::Day => f.write_str("{day}"),
            Piece::Metadata(name) => write!(f, "{{metadata:{name}}}"),
        })
    }
}

impl fmt::Debug for KeyTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyTemplate({self})")
    }
}

impl FromStr for KeyTemplate {
    type Err = InvalidTemplate;

    fn from_str(template: &str) -> Result<Self, InvalidTemplate> {
        Self::parse(template)
    }
}

/// The text is no [`KeyTemplate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a key template has the fields {{id}} {{filename}} {{ext}} {{year}} {{month}} {{day}} {{metadata:NAME}} and stays below the root"
)]
pub struct InvalidTemplate;

fn field(name: &str) -> Result<Piece, InvalidTemplate> {
    Ok(match name {
        "id" => Piece::Id,
        "filename" => Piece::Filename,
        "ext" => Piece::Extension,
        "year" => Piece::Year,
        "month" => Piece::Month,
        "day" => Piece::Day,
        _ => match name.strip_prefix("metadata:") {
            Some(name) if !name.is_empty() => Piece::Metadata(name.to_owned()),
            _ => return Err(InvalidTemplate),
        },
    })
}

impl Piece {
    fn render(&self, upload: &Upload, text: &mut String) {
        match self {
            Self::Text(literal) => text.push_str(literal),
            Self::Id => text.push_str(upload.id.as_str()),
            Self::Filename => match filename(upload) {
                Some(name) => text.push_str(&name),
                None => text.push_str(upload.id.as_str()),
            },
            Self::Extension => {
                if let Some((_, extension)) = filename(upload)
                    .as_deref()
                    .and_then(|name| name.rsplit_once('.'))
                {
                    text.push_str(extension);
                }
            }
            Self::Year => text.push_str(&date(upload.created)[0..4]),
            Self::Month => text.push_str(&date(upload.created)[4..6]),
            Self::Day => text.push_str(&date(upload.created)[6..8]),
            Self::Metadata(name) => {
                let value = upload.metadata.get_str(name).as_deref().and_then(safe_name);
                text.push_str(value.as_deref().unwrap_or("_"));
            }
        }
    }
}

fn filename(upload: &Upload) -> Option<String> {
    let name = upload
        .metadata
        .get_str("filename")
        .or_else(|| upload.metadata.get_str("name"))?;
    safe_name(&name)
}

/// One name of a path, whatever the client wrote: the last segment without what a key forbids, at
/// most 200 bytes, and not hidden.
fn safe_name(text: &str) -> Option<String> {
    let last = text.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut name = last.replace(is_forbidden, "_");
    let mut cut = name.len().min(200);
    while !name.is_char_boundary(cut) {
        cut -= 1;
    }
    name.truncate(cut);
    let name = name.trim_matches([' ', '.']);
    (!name.is_empty()).then(|| name.to_owned())
}

/// `yyyymmdd` in UTC, by the civil calendar.
fn date(time: SystemTime) -> String {
    let days = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
        / 86_400;
    // The days of an era of 400 years, counted from 1 March 0000 (Hinnant, "civil_from_days").
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::protocol::{Length, Metadata};

    fn upload(filename: &str) -> Upload {
        let created = SystemTime::UNIX_EPOCH + Duration::from_secs(1_709_251_199);
        let mut upload = Upload::new("id1".parse().unwrap(), Length::Known(0), created);
        upload.metadata =
            Metadata::from_pairs([("filename", filename), ("tenant", "../x")]).unwrap();
        upload
    }

    #[test]
    fn keys_stay_below_the_root() {
        for good in ["a", "a/b c/d.txt", "ü", ".hidden"] {
            assert_eq!(good.parse::<Key>().unwrap().as_str(), good);
        }
        for bad in [
            "", "/a", "a/", "a//b", ".", "..", "a/../b", "../a", ".tus", ".tus/x", ".TUS/x",
            "a\\b", "a\0", "a\nb", "c:x",
        ] {
            assert_eq!(bad.parse::<Key>(), Err(InvalidKey), "{bad:?}");
        }
    }

    #[test]
    fn templates_render() {
        let table = [
            ("{id}", "x.txt", "id1"),
            ("{filename}", "x.txt", "x.txt"),
            ("{filename}", "../../etc/passwd", "passwd"),
            ("{filename}", "..", "id1"),
            ("{filename}", "C:\\a\\b.doc", "b.doc"),
            ("{filename}", "a:b\n.txt", "a_b_.txt"),
            (
                "{year}/{month}/{day}/{id}.{ext}",
                "x.tar.gz",
                "2024/02/29/id1.gz",
            ),
            ("{metadata:tenant}/{id}", "", "x/id1"),
            ("{metadata:other}/{id}", "", "_/id1"),
        ];
        for (template, filename, key) in table {
            let rendered = KeyTemplate::parse(template)
                .unwrap()
                .key(&upload(filename))
                .unwrap();
            assert_eq!(rendered.as_str(), key, "{template} {filename}");
        }
    }

    #[test]
    fn broken_templates_are_refused() {
        for template in [
            "",
            "{",
            "{id",
            "{ID}",
            "{metadata:}",
            "../{id}",
            "/{id}",
            "a//{id}",
            ".tus/{id}",
        ] {
            assert!(KeyTemplate::parse(template).is_err(), "{template:?}");
        }
    }

    proptest! {
        #[test]
        fn no_file_name_leads_out_of_the_root(name in "\\PC{0,300}|[./\\\\a]{0,20}") {
            let key = KeyTemplate::parse("{filename}/{metadata:tenant}").unwrap().key(&upload(&name)).unwrap();
            prop_assert_eq!(key.names().count(), 2);
        }
    }
}
