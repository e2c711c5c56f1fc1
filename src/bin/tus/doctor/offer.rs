//! Whether there is a tus server, and what it offers.

use anyhow::Result;
use http::Uri;
use tower_tus::{client::ServerInfo, protocol::Extension};

use super::{
    probe::{Answered, Probe, reason},
    report::Report,
};
use crate::address::shown;

/// What is sent without TLS can be read on its way.
pub(super) fn scheme(probe: &Probe, report: &mut Report) -> Result<()> {
    let endpoint = probe.client.endpoint();
    match endpoint.scheme_str() {
        Some("https") => report.ok("tls", "https"),
        _ if is_local(endpoint) => report.ok("tls", "http, on this machine"),
        _ => report.warn(
            "tls",
            "http: anybody on the way can read and change what is uploaded",
            "use https; browsers refuse http from a page of https",
        ),
    }
}

/// `None` if nothing else can be checked.
pub(super) async fn ask(probe: &Probe, report: &mut Report) -> Result<Option<ServerInfo>> {
    let answer = probe.client.options().await;
    let answers = probe.answers();
    redirects(&answers, report)?;
    let info = match answer {
        Ok(info) => info,
        Err(error) => {
            let advice = advice(&error);
            report.fail("server", &reason(error), advice)?;
            return Ok(None);
        }
    };
    if !info.versions.iter().any(|version| version == "1.0.0") {
        report.fail(
            "server",
            &format!("it speaks tus {}", info.versions.join(", ")),
            "clients of tus 1.0.0 need a server of tus 1.0.0",
        )?;
        return Ok(None);
    }
    report.ok("server", "it answers OPTIONS and speaks tus 1.0.0")?;
    if answers
        .last()
        .is_some_and(|last| last.header("tus-resumable").is_empty())
    {
        report.warn(
            "headers",
            "the answer to OPTIONS has no Tus-Resumable",
            "does something before the server answer OPTIONS, or drop headers?",
        )?;
    }
    extensions(&info, report)?;
    Ok(Some(info))
}

fn redirects(answers: &[Answered], report: &mut Report) -> Result<()> {
    let Some(redirect) = answers.iter().find(|one| one.status.is_redirection()) else {
        return Ok(());
    };
    let from = redirect.uri.scheme_str() == Some("http");
    let why = match from && redirect.header("location").starts_with("https:") {
        true => "use https from the start: a POST may lose its content on the way",
        false => "use that URL: a POST may lose its content on the way, and headers stay behind",
    };
    let message = format!(
        "{} leads elsewhere: {} to {}",
        shown(&redirect.uri),
        redirect.status,
        place(redirect.header("location"))
    );
    report.warn("redirect", &message, why)
}

fn extensions(info: &ServerInfo, report: &mut Report) -> Result<()> {
    if !info.offers(Extension::Creation) {
        return report.fail(
            "extensions",
            "uploads cannot be created: the extension creation is missing",
            "switch it on, or upload to URLs that the server makes in other ways",
        );
    }
    let useful = [
        (Extension::Termination, "what was canceled stays"),
        (
            Extension::CreationDeferLength,
            "no content of unknown length",
        ),
        (Extension::Concatenation, "no parallel parts"),
        (Extension::Checksum, "bytes are not verified"),
        (
            Extension::CreationWithUpload,
            "small files take a request more",
        ),
    ];
    let missing: Vec<_> = useful
        .iter()
        .filter(|(extension, _)| !info.offers(*extension))
        .map(|(extension, loss)| format!("{} ({loss})", extension.name()))
        .collect();
    match missing.is_empty() {
        true => report.ok("extensions", &info.extension_names.join(", ")),
        false => report.warn(
            "extensions",
            &format!("missing: {}", missing.join(", ")),
            "switch them on if the server can; uploads work without",
        ),
    }
}

/// A `Location` for messages.
pub(super) fn place(location: &str) -> String {
    match location.parse::<Uri>() {
        Ok(uri) if uri.host().is_some() => shown(&uri),
        _ => location.split('?').next().unwrap_or_default().to_owned(),
    }
}

pub(super) fn is_local(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    host == "localhost" || host == "[::1]" || host.starts_with("127.")
}

pub(super) fn advice(error: &tower_tus::client::Error) -> &'static str {
    match error.status().map(|status| status.as_u16()) {
        Some(401 | 403) => "give credentials: -H 'Authorization: Bearer …'",
        Some(404) => "the URL has to be the one where uploads are created, as in …/files",
        Some(405 | 501) => "let the proxy pass OPTIONS, HEAD, POST, PATCH and DELETE",
        Some(502..=504) => "the proxy does not reach the server behind it",
        Some(_) => "the server's log says why",
        None if error.is_connect() => {
            "name, port, firewall, certificate (--cacert) or proxy (HTTPS_PROXY) are wrong"
        }
        None if error.is_timeout() => "something on the way swallows requests",
        None => "the URL has to be a tus server's, and proxies have to pass its headers",
    }
}
