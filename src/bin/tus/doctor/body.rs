//! A long request that begins and stands still: how long may it be, and where do its bytes go?

use std::time::Duration;

use anyhow::Result;
use http::{StatusCode, Uri};
use tokio::time::{Instant, sleep, timeout};
use tower_tus::client::{Cancel, Handle, Source, Uploaded};

use super::{
    creation::clean,
    probe::{Held, Probe, reason},
    report::Report,
};
use crate::bars::bytes;

/// A request that nobody refused, and what was refused before.
struct Standing {
    handle: Handle,
    url: Uri,
    /// Bytes it promised.
    length: u64,
    /// The shortest that was answered by 413.
    refused: Option<u64>,
}

enum Tried {
    Standing(Standing),
    /// Not so long.
    Refused(String),
}

pub(super) async fn check(probe: &Probe, most: u64, report: &mut Report) -> Result<()> {
    let sizes = [most, 100 << 20, 8 << 20, 1 << 20, GIVEN + 1];
    let mut refusal: Option<String> = None;
    let mut sizes = sizes
        .into_iter()
        .filter(|size| (GIVEN + 1..=most).contains(size));
    let standing = loop {
        let Some(size) = sizes.next() else {
            let message = refusal.unwrap_or_else(|| "uploads have to be tiny".into());
            return report.fail(
                "body",
                &message,
                "requests with content have to pass: raise the proxy's limit",
            );
        };
        match begin(probe, size).await {
            Tried::Standing(standing) => break standing,
            Tried::Refused(why) => {
                let size = bytes(size);
                refusal.get_or_insert_with(|| format!("a request of {size} fails: {why}"));
            }
        }
    };
    limit(&standing, refusal, report)?;
    streaming(probe, standing, report).await
}

/// Starts an upload of `size` bytes that are not all there, and waits for who refuses it.
async fn begin(probe: &Probe, size: u64) -> Tried {
    probe.answers();
    probe.bodies();
    let upload = probe.client.upload(Source::reader(Held::new(size, GIVEN)));
    let upload = upload.create_first().on_url(probe.on_created());
    let mut handle = upload.start();
    let mut requests = 0;
    let mut since = Instant::now();
    // Proxies refuse by the head of a request, so at once; a new request begins the wait anew.
    while since.elapsed() < PATIENCE {
        let ended = timeout(STEP, &mut handle).await;
        if let Ok(ended) = ended {
            return Tried::Refused(why(ended));
        }
        let so_far = probe.bodies_so_far();
        if so_far != requests || so_far == 0 && since.elapsed() < SLOWEST {
            requests = so_far;
            since = Instant::now();
        }
    }
    let answers = probe.answers();
    let refused = answers
        .iter()
        .any(|answer| answer.status == StatusCode::PAYLOAD_TOO_LARGE);
    let bodies = probe.bodies();
    let (Some(url), Some(length)) = (probe.upload(), bodies.last().copied()) else {
        handle.cancel(Cancel::Terminate);
        let _ = timeout(SLOWEST, handle).await;
        return Tried::Refused("no answer".into());
    };
    Tried::Standing(Standing {
        handle,
        url,
        length,
        refused: bodies.iter().rev().nth(1).copied().filter(|_| refused),
    })
}

fn why(ended: Result<Uploaded, tower_tus::client::Error>) -> String {
    match ended {
        Ok(_) => "it was answered before its end".into(),
        Err(error) => reason(error),
    }
}

fn limit(standing: &Standing, refusal: Option<String>, report: &mut Report) -> Result<()> {
    let length = bytes(standing.length);
    let advice = format!(
        "raise the limit (nginx: client_max_body_size 0), or upload with --chunk-size {}",
        standing.length
    );
    match (standing.refused, refusal) {
        (Some(refused), _) => report.warn(
            "body",
            &format!(
                "requests of {length} pass, of {} are refused",
                bytes(refused)
            ),
            &advice,
        ),
        (None, Some(refusal)) => {
            report.warn("body", &format!("{refusal}; of {length} passes"), &advice)
        }
        (None, None) => report.ok("body", &format!("requests of {length} pass")),
    }
}

/// Whether bytes are stored as they come, and stay when the request is cut.
async fn streaming(probe: &Probe, standing: Standing, report: &mut Report) -> Result<()> {
    let Standing {
        mut handle, url, ..
    } = standing;
    let during = until_stored(probe, &url).await;
    handle.cancel(Cancel::Keep);
    let _ = timeout(SLOWEST, &mut handle).await;
    let after = until_stored(probe, &url).await;
    match (during, after) {
        (_, 0) => report.warn(
            "buffering",
            "the bytes of a request that was cut are lost: it begins anew each time",
            "have the proxy pass bodies on as they come (nginx: proxy_request_buffering off), or \
             upload with --chunk-size",
        )?,
        (0, _) => report.ok("buffering", "the bytes of a request that was cut stay")?,
        _ => report.ok("buffering", "bytes are stored while they come, and stay")?,
    }
    clean(probe, Some(url)).await;
    Ok(())
}

/// What is stored, as soon as that is something.
async fn until_stored(probe: &Probe, url: &Uri) -> u64 {
    let started = Instant::now();
    loop {
        let asked = timeout(SLOWEST, probe.client.inspect(url)).await;
        let offset = asked.ok().and_then(Result::ok).and_then(|info| info.offset);
        match offset {
            Some(offset) if offset > 0 => return offset,
            _ if started.elapsed() > PATIENCE => return 0,
            _ => sleep(STEP).await,
        }
    }
}

/// What is sent of the request before it stands still: more than a proxy's buffer.
const GIVEN: u64 = 256 << 10;

/// Between two looks.
const STEP: Duration = Duration::from_millis(100);

/// How long nothing has to happen.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a creation or a HEAD may take.
const SLOWEST: Duration = Duration::from_secs(15);
