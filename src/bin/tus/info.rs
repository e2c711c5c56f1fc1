//! `tus info`, `tus metadata` and `tus options`: what a server says, on lines.

use std::time::{Duration, SystemTime};

use anyhow::Result;
use base64::{Engine, prelude::BASE64_STANDARD};
use clap::Args;
use serde_json::{Map, Value, json};
use tower_tus::{
    client::{Role, ServerInfo, UploadInfo},
    protocol::Metadata,
};

use crate::{
    address::{Address, printable},
    connection::Connection,
    exit::Exit,
    screen::Output,
    session,
};

/// A command that asks about one URL.
#[derive(Debug, Args)]
pub(crate) struct Ask {
    /// What is asked about
    #[arg(value_name = "URL")]
    url: Address,

    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    output: Output,
}

/// Where an upload stands.
pub(crate) fn info(args: &Ask) -> Result<Exit> {
    session::run_until_signal(&args.output, |screen| async move {
        let client = args.connection.client(&args.url).await?;
        // Without its password: that is in a header by now.
        let url = client.endpoint();
        let info = client.inspect(url).await?;
        screen.result(|| text(&info), || json(&url.to_string(), &info))?;
        Ok(Exit::Success)
    })
}

/// What is attached to an upload.
pub(crate) fn metadata(args: &Ask) -> Result<Exit> {
    session::run_until_signal(&args.output, |screen| async move {
        let client = args.connection.client(&args.url).await?;
        let info = client.inspect(client.endpoint()).await?;
        let lines = pairs(&info.metadata, "");
        if !lines.is_empty() || args.output.json {
            screen.result(|| lines.join("\n"), || values(&info.metadata))?;
        }
        Ok(Exit::Success)
    })
}

/// What a server can do.
pub(crate) fn options(args: &Ask) -> Result<Exit> {
    session::run_until_signal(&args.output, |screen| async move {
        let info = args.connection.client(&args.url).await?.options().await?;
        screen.result(|| offer(&info), || offer_json(&info))?;
        Ok(Exit::Success)
    })
}

fn text(info: &UploadInfo) -> String {
    let number = |number: Option<u64>| number.map_or_else(|| "unknown".into(), |n| n.to_string());
    let mut lines = vec![
        format!("offset: {}", number(info.offset)),
        format!("length: {}", number(info.length.known())),
        format!(
            "complete: {}",
            if info.is_complete() { "yes" } else { "no" }
        ),
    ];
    match &info.role {
        Role::Partial => lines.push("concat: partial".into()),
        Role::Final(parts) => {
            lines.push("concat: final".into());
            lines.extend(
                parts
                    .iter()
                    .map(|part| format!("part: {}", printable(part))),
            );
        }
        _ => {}
    }
    if let Some(expires) = info.expires {
        lines.push(format!("expires: {}", time(expires)));
    }
    lines.extend(pairs(&info.metadata, "metadata."));
    lines.join("\n")
}

fn json(url: &str, info: &UploadInfo) -> Value {
    let (concat, parts) = match &info.role {
        Role::Partial => (Some("partial"), None),
        Role::Final(parts) => (Some("final"), Some(parts)),
        _ => (None, None),
    };
    json!({
        "url": url,
        "offset": info.offset,
        "length": info.length.known(),
        "complete": info.is_complete(),
        "concat": concat,
        "parts": parts,
        "expires": info.expires.map(time),
        "metadata": values(&info.metadata),
    })
}

/// A line for each; a key alone where there is no value.
fn pairs(metadata: &Metadata, prefix: &str) -> Vec<String> {
    metadata
        .iter()
        .map(|(key, value)| match value.is_empty() {
            true => format!("{prefix}{key}"),
            false => {
                let value = String::from_utf8_lossy(&value);
                format!("{prefix}{key}: {}", printable(&value))
            }
        })
        .collect()
}

/// Text as it is; other bytes as `{"base64": …}`.
fn values(metadata: &Metadata) -> Value {
    let values = metadata.iter().map(|(key, value)| {
        let value = match String::from_utf8(value) {
            Ok(text) => Value::String(text),
            Err(bytes) => json!({ "base64": BASE64_STANDARD.encode(bytes.as_bytes()) }),
        };
        (key.to_owned(), value)
    });
    Value::Object(values.collect::<Map<_, _>>())
}

fn offer(info: &ServerInfo) -> String {
    let mut lines = vec![
        format!("versions: {}", printable(&info.versions.join(", "))),
        format!(
            "extensions: {}",
            printable(&info.extension_names.join(", "))
        ),
    ];
    if let Some(bytes) = info.max_size {
        lines.push(format!("max-size: {bytes}"));
    }
    if !info.checksum_names.is_empty() {
        lines.push(format!(
            "checksums: {}",
            printable(&info.checksum_names.join(", "))
        ));
    }
    lines.join("\n")
}

fn offer_json(info: &ServerInfo) -> Value {
    json!({
        "versions": info.versions,
        "extensions": info.extension_names,
        "max_size": info.max_size,
        "checksums": info.checksum_names,
    })
}

/// RFC 3339, to the second.
/// What has no such spelling is told as the nearest that has.
pub(crate) fn time(time: SystemTime) -> String {
    let end = SystemTime::UNIX_EPOCH + LAST;
    humantime::format_rfc3339_seconds(time.clamp(SystemTime::UNIX_EPOCH, end)).to_string()
}

/// The last second of the year 9999.
const LAST: Duration = Duration::from_secs(253_402_300_799);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_told_as_it_can_be_read() {
        let metadata: Metadata = "name w7x4, raw /w==, flag, ctrl G1syShs="
            .replace(", ", ",")
            .parse()
            .unwrap();
        assert_eq!(
            pairs(&metadata, "")[..3],
            ["name: üx", "raw: \u{fffd}", "flag"]
        );
        assert!(!pairs(&metadata, "")[3].contains('\x1b'));
        let values = values(&metadata);
        assert_eq!(values["name"], "üx");
        assert_eq!(values["raw"]["base64"], "/w==");
        assert_eq!(values["flag"], "");
    }
}
