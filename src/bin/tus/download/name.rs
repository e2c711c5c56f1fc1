//! A file's name as a server tells it (RFC 6266), made harmless.

use crate::address::is_obeyed;

/// The name in a `Content-Disposition`; `filename*` is above `filename`.
pub(super) fn of(value: &[u8]) -> Option<String> {
    let value = String::from_utf8_lossy(value);
    let parameters = parameters(&value);
    let find = |name: &str| {
        let mut found = parameters.iter().filter(|(key, _)| key == name);
        found.next().map(|(_, value)| value.as_str())
    };
    let extended = find("filename*").and_then(extended);
    safe(&extended.or_else(|| find("filename").map(str::to_owned))?)
}

/// A name without directories and whatever else a file system or a shell takes amiss.
pub(super) fn safe(name: &str) -> Option<String> {
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = name
        .chars()
        .filter(|c| !is_obeyed(*c))
        .map(|c| if "<>:\"|?*".contains(c) { '_' } else { c })
        .collect();
    // A name that begins with a dot is hidden, and one that ends so is another one elsewhere.
    let name = name.trim().trim_matches('.').trim();
    let mut name = name.to_owned();
    while name.len() > LONGEST {
        name.pop();
    }
    // Devices, on Windows, with any ending.
    let stem = name
        .split('.')
        .next()
        .unwrap_or_default()
        .to_ascii_uppercase();
    let is_device = ["CON", "PRN", "AUX", "NUL"].contains(&stem.as_str())
        || (stem.len() == 4 && (stem.starts_with("COM") || stem.starts_with("LPT")));
    match name.as_str() {
        "" => None,
        _ if is_device => Some(format!("_{name}")),
        name if name.starts_with('-') => Some(format!("_{name}")),
        _ => Some(name),
    }
}

/// `type; name=value; name="quoted \" value"`.
fn parameters(value: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = value.split_once(';').map_or("", |(_, rest)| rest);
    while let Some((name, after)) = rest.split_once('=') {
        let name = name
            .trim()
            .trim_start_matches(';')
            .trim()
            .to_ascii_lowercase();
        let after = after.trim_start();
        let (text, behind) = match after.strip_prefix('"') {
            Some(quoted) => unquoted(quoted),
            None => {
                let end = after.find(';').unwrap_or(after.len());
                (after[..end].trim().to_owned(), &after[end..])
            }
        };
        found.push((name, text));
        rest = behind.trim_start().trim_start_matches(';');
    }
    found
}

/// The text up to the closing quote, and what is behind it.
fn unquoted(text: &str) -> (String, &str) {
    let mut plain = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (plain, &text[at + 1..]),
            '\\' => plain.extend(characters.next().map(|(_, escaped)| escaped)),
            other => plain.push(other),
        }
    }
    (plain, "")
}

/// RFC 8187: `UTF-8''na%C3%AFve`.
fn extended(value: &str) -> Option<String> {
    let (charset, rest) = value.split_once('\'')?;
    let (_, encoded) = rest.split_once('\'')?;
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    let mut bytes = Vec::new();
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                bytes.push((high * 16 + low) as u8);
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).ok()
}

/// In bytes: less than every file system takes, with room for a number.
const LONGEST: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_the_rfc_says() {
        for (value, expected) in [
            ("attachment; filename=\"a b.txt\"", Some("a b.txt")),
            ("attachment; filename=a.txt", Some("a.txt")),
            ("attachment;FileName = a.txt ; x=y", Some("a.txt")),
            ("attachment; filename=\"a\\\"b;c.txt\"", Some("a_b;c.txt")),
            (
                "attachment; filename=\"n.txt\"; filename*=UTF-8''na%C3%AFve.txt",
                Some("naïve.txt"),
            ),
            ("attachment; filename*=latin1''x; filename=y", Some("y")),
            ("attachment; filename*=UTF-8''%zz; filename=y", Some("y")),
            ("attachment", None),
            ("attachment; filename=\"\"", None),
            ("", None),
        ] {
            assert_eq!(of(value.as_bytes()).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn no_name_leaves_its_directory() {
        for (name, expected) in [
            ("../../etc/passwd", Some("passwd")),
            ("..\\..\\boot.ini", Some("boot.ini")),
            ("/etc/passwd", Some("passwd")),
            ("..", None),
            (".bashrc", Some("bashrc")),
            ("a\x1b[2J\n.txt", Some("a[2J.txt")),
            ("photo\u{202e}gpj.exe", Some("photogpj.exe")),
            ("-rf", Some("_-rf")),
            ("nul.txt", Some("_nul.txt")),
            ("C:x", Some("C_x")),
            ("dir/", None),
        ] {
            assert_eq!(safe(name).as_deref(), expected, "{name:?}");
        }
        assert!(safe(&"ü".repeat(500)).unwrap().len() <= LONGEST);
    }
}
