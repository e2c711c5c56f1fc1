//! Whether a page of another origin may upload, and see what it needs.

use anyhow::Result;
use http::{
    HeaderMap, HeaderValue, Uri,
    header::{ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN},
};

use super::{
    probe::{Answered, Probe},
    report::Report,
};

/// What a browser asks before the first request.
pub(super) async fn preflight(probe: &Probe, origin: &str, report: &mut Report) -> Result<()> {
    probe.as_browser(HeaderMap::from_iter([
        (ORIGIN, HeaderValue::try_from(origin)?),
        (
            ACCESS_CONTROL_REQUEST_METHOD,
            HeaderValue::from_static("PATCH"),
        ),
        (
            ACCESS_CONTROL_REQUEST_HEADERS,
            HeaderValue::try_from(SENT.join(", "))?,
        ),
    ]));
    // An answer to a preflight need not be one of tus.
    let _ = probe.client.options().await;
    probe.as_browser(HeaderMap::new());
    let Some(answer) = probe.last() else {
        return Ok(());
    };
    if !admits(&answer, origin) {
        return report.warn(
            "cors",
            &format!("web pages of {origin} may not upload"),
            "no harm if no page of another origin does; else allow it (`tus serve --cors`), and let \
             the proxy pass OPTIONS and Access-Control-*",
        );
    }
    let mut missing = answer.lacks("access-control-allow-methods", &["PATCH", "DELETE"]);
    missing.extend(answer.lacks("access-control-allow-headers", &SENT));
    if !answer.status.is_success() {
        missing.push("a status of 2xx");
    }
    match missing.is_empty() {
        true => report.ok("cors", &format!("web pages of {origin} may upload")),
        false => report.fail(
            "cors",
            &format!("the preflight does not allow {}", missing.join(", ")),
            "browsers cannot upload: complete Access-Control-Allow-Methods and -Headers",
        ),
    }
}

/// What a browser lets a page see of an answer.
pub(super) async fn exposed(
    probe: &Probe,
    url: &Uri,
    origin: &str,
    report: &mut Report,
) -> Result<()> {
    probe.as_browser(HeaderMap::from_iter([(
        ORIGIN,
        HeaderValue::try_from(origin)?,
    )]));
    let _ = probe.client.inspect(url).await;
    probe.as_browser(HeaderMap::new());
    let Some(answer) = probe.last().filter(|answer| admits(answer, origin)) else {
        // Whether that is meant was told by the preflight.
        return Ok(());
    };
    let missing = answer.lacks("access-control-expose-headers", &SEEN);
    match missing.is_empty() {
        true => report.ok("exposed", "web pages see Location and Upload-Offset"),
        false => report.fail(
            "exposed",
            &format!("web pages do not see {}", missing.join(", ")),
            "browsers cannot upload: complete Access-Control-Expose-Headers, and set it once only",
        ),
    }
}

fn admits(answer: &Answered, origin: &str) -> bool {
    let allowed = answer.header("access-control-allow-origin");
    allowed == "*" || allowed == origin
}

/// What every client sends.
const SENT: [&str; 5] = [
    "tus-resumable",
    "upload-length",
    "upload-metadata",
    "upload-offset",
    "content-type",
];

/// What no client can do without.
const SEEN: [&str; 3] = ["Location", "Upload-Offset", "Upload-Length"];
