//! Creating an upload, finding it where `Location` says, and removing it.

use anyhow::Result;
use http::{Method, Uri};
use tower_tus::{
    client::{NewUpload, ServerInfo},
    protocol::{Extension, Metadata},
};

use super::{
    offer::{advice, is_local, place},
    probe::{Answered, Probe, reason},
    report::Report,
};
use crate::address::{is_same_origin, shown};

/// How long the first upload is.
pub(super) const LENGTH: u64 = 11;

/// The upload's URL, if it can be used.
pub(super) async fn create(probe: &Probe, report: &mut Report) -> Result<Option<Uri>> {
    let metadata = Metadata::from_pairs([("filename", "tus-doctor.txt")])?;
    let created = probe
        .client
        .create(NewUpload::new(LENGTH).metadata(metadata))
        .await;
    let answers = probe.answers();
    let post = answers.iter().rfind(|answer| answer.method == Method::POST);
    let location = post
        .map_or("", |answer| answer.header("location"))
        .to_owned();
    match created {
        Ok(created) => {
            probe.on_created()(&created.url);
            report.ok("creation", &format!("201 Created, {}", place(&location)))?;
            let url = created.url;
            let found = find(probe, &url, &location, report).await?;
            Ok(found.then_some(url))
        }
        Err(error) if is_created(post) => {
            let real = elsewhere(probe, &location).await;
            report.fail("location", &reason(error), &public_url(real.as_ref()))?;
            clean(probe, real).await;
            Ok(None)
        }
        Err(error) if post.is_some_and(|answer| answer.status.is_redirection()) => {
            report.fail(
                "creation",
                &reason(error),
                &format!("upload to {} itself", place(&location)),
            )?;
            Ok(None)
        }
        Err(error) => {
            let advice = advice(&error);
            report.fail("creation", &reason(error), advice)?;
            Ok(None)
        }
    }
}

/// Whether the upload is where the server said.
async fn find(probe: &Probe, url: &Uri, location: &str, report: &mut Report) -> Result<bool> {
    let endpoint = probe.client.endpoint();
    let inspected = probe.client.inspect(url).await;
    probe.answers();
    if let Err(error) = inspected {
        if error.is_protocol() && is_same_origin(url, endpoint) {
            let advice = "have the proxy pass all headers of answers: Upload-*, Tus-*, Location";
            report.fail("offset", &reason(error), advice)?;
            clean(probe, Some(url.clone())).await;
            return Ok(false);
        }
        let real = elsewhere(probe, location).await;
        let message = format!("the upload is not at {}: {}", shown(url), reason(error));
        report.fail("location", &message, &public_url(real.as_ref()))?;
        clean(probe, real).await;
        return Ok(false);
    }
    if is_same_origin(url, endpoint) {
        report.ok("location", &shown(url))?;
    } else if is_local(url) && !is_local(endpoint) {
        // It answers by chance: this machine is the server's.
        let message = format!("Location is {}: nobody else gets there", shown(url));
        report.fail("location", &message, &public_url(None))?;
    } else {
        report.warn(
            "location",
            &format!("Location is on another origin: {}", shown(url)),
            "headers such as Authorization are not sent there; if it is the same server, have it \
             tell its public URL",
        )?;
    }
    Ok(true)
}

/// Where the upload is, if the server does not know its own public URL.
async fn elsewhere(probe: &Probe, location: &str) -> Option<Uri> {
    let endpoint = probe.client.endpoint();
    let path = match location.parse::<Uri>() {
        Ok(uri) => uri.path().to_owned(),
        Err(_) => location.to_owned(),
    };
    let last = path.trim_end_matches('/').rsplit('/').next()?.to_owned();
    let below = format!("{}/{last}", endpoint.path().trim_end_matches('/'));
    for path in [path, below] {
        let mut parts = endpoint.clone().into_parts();
        parts.path_and_query = path.parse().ok();
        let Ok(candidate) = Uri::from_parts(parts) else {
            continue;
        };
        let found = probe.client.inspect(&candidate).await.is_ok();
        probe.answers();
        if found {
            return Some(candidate);
        }
    }
    None
}

fn public_url(real: Option<&Uri>) -> String {
    let real = real.map_or_else(String::new, |url| format!("it is at {}; ", shown(url)));
    format!(
        "{real}have the server tell its public URL (`tus serve --base-url`), or pass \
         X-Forwarded-Host and X-Forwarded-Proto and have it trust them"
    )
}

/// Removes the upload, which says whether that works.
pub(super) async fn remove(
    probe: &Probe,
    offer: &ServerInfo,
    url: &Uri,
    report: &mut Report,
) -> Result<()> {
    if !offer.offers(Extension::Termination) {
        return report.warn(
            "termination",
            &format!("an upload of {LENGTH} bytes stays at {}", shown(url)),
            "the server offers no termination: remove it there",
        );
    }
    let removed = probe.client.terminate(url).await;
    probe.answers();
    if let Err(error) = removed {
        let advice = advice(&error);
        return report.fail("termination", &reason(error), advice);
    }
    let gone = probe.client.inspect(url).await;
    probe.answers();
    match gone {
        Err(error) if error.is_not_found() => report.ok("termination", "DELETE removes uploads"),
        Err(error) => report.warn(
            "termination",
            &format!("after DELETE: {}", reason(error)),
            "an upload that was removed has to be 404 or 410",
        ),
        Ok(_) => report.warn(
            "termination",
            "the upload is still there after DELETE",
            "does a cache answer HEAD?",
        ),
    }
}

/// Removes what nobody needs; whether it works is checked elsewhere.
pub(super) async fn clean(probe: &Probe, url: Option<Uri>) {
    if let Some(url) = url {
        let _ = probe.client.terminate(&url).await;
        probe.answers();
    }
}

fn is_created(post: Option<&Answered>) -> bool {
    post.is_some_and(|answer| answer.status.is_success())
}
