//! What a server says about a refusal, as far as it can be shown.

use http::{HeaderMap, header::CONTENT_TYPE};
use serde_json::Value;

/// One line of the text that came with a status; empty if there is none. Of JSON its message, or all of it.
pub(crate) fn reason(headers: &HeaderMap, body: &[u8]) -> String {
    let kind = headers.get(CONTENT_TYPE).map(|kind| {
        let kind = kind.to_str().unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default();
        kind.trim().to_ascii_lowercase()
    });
    match kind.as_deref() {
        Some("text/plain") => first_line(&String::from_utf8_lossy(body)),
        Some(kind) if kind == "application/json" || kind.ends_with("+json") => {
            let value = serde_json::from_slice(body);
            let message = value.ok().and_then(|value| message(&value).map(first_line));
            message.unwrap_or_else(|| shown(&String::from_utf8_lossy(body)))
        }
        // Go's and Node's servers leave it out of a text.
        None => match std::str::from_utf8(body) {
            Ok(text) if !text.trim_start().starts_with('<') => first_line(text),
            _ => String::new(),
        },
        Some(_) => String::new(),
    }
}

/// Where it is by the habits of those who answer with JSON, and by RFC 9457.
fn message(value: &Value) -> Option<&str> {
    ["message", "detail", "error", "title"]
        .iter()
        .filter_map(|field| value.get(field))
        .find_map(|found| found.as_str().or_else(|| message(found)))
        .filter(|text| !text.trim().is_empty())
}

fn first_line(text: &str) -> String {
    shown(text.trim_start().lines().next().unwrap_or_default())
}

/// A stranger's text in one line, without what a terminal would obey.
fn shown(text: &str) -> String {
    let mut shown = String::new();
    for word in text.split_whitespace() {
        let space = if shown.is_empty() { "" } else { " " };
        let word = word.chars().filter(|c| !is_obeyed(*c));
        for c in space.chars().chain(word) {
            if shown.len() + c.len_utf8() > SHOWN {
                return shown;
            }
            shown.push(c);
        }
    }
    shown
}

/// Control characters, and those that turn the direction of what follows.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Bytes at most.
const SHOWN: usize = 200;

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(kind: &'static str, body: &str) -> String {
        let mut headers = HeaderMap::new();
        if !kind.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        reason(&headers, body.as_bytes())
    }

    #[test]
    fn one_line_of_a_text_is_shown() {
        for (kind, body, expected) in [
            ("text/plain", "no\x1b[31m\nmore", "no[31m"),
            (
                "Text/Plain; charset=utf-8",
                "\r\n too  late\r\n",
                "too late",
            ),
            ("", "no space\n", "no space"),
            ("", "<html>no</html>", ""),
            ("text/html", "no", ""),
            ("application/octet-stream", "no", ""),
            ("text/plain", "a\u{202e}b\u{61c}", "ab"),
        ] {
            assert_eq!(of(kind, body), expected, "{kind} {body:?}");
        }
        assert_eq!(of("", &"ä".repeat(5000)), "ä".repeat(100));
        assert_eq!(reason(&HeaderMap::new(), b"\xff\xfe"), "");
    }

    #[test]
    fn of_json_the_message_is_shown() {
        for (body, expected) in [
            (r#"{"message": "too late\u001b[1m"}"#, "too late[1m"),
            (r#"{"error": {"code": 7, "message": "no"}}"#, "no"),
            (
                r#"{"title": "Forbidden", "detail": "not on Sundays"}"#,
                "not on Sundays",
            ),
            ("{\n  \"code\": 7\n}\n", r#"{ "code": 7 }"#),
            ("{\"message", "{\"message"),
        ] {
            assert_eq!(of("application/problem+json", body), expected);
        }
    }
}
