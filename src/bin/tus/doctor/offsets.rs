//! Bytes in two requests, and whether the offsets add up.

use anyhow::Result;
use http::Uri;
use tower_tus::client::{Chunk, UploadInfo};

use super::{
    creation::LENGTH,
    offer::advice,
    probe::{Probe, reason},
    report::Report,
};

const CONTENT: &[u8; LENGTH as usize] = b"tus doctor\n";
const FIRST: usize = 4;

/// Whether content can be uploaded.
pub(super) async fn check(probe: &Probe, url: &Uri, report: &mut Report) -> Result<bool> {
    if !stands(probe, url, 0, report).await? || !caches(probe, report)? {
        return Ok(false);
    }
    let chunk = Chunk::new(0, &CONTENT[..FIRST]);
    let appended = probe.client.append(url, chunk.clone()).await;
    let answer = probe.last();
    let offset = match appended {
        Ok(appended) => appended.offset,
        Err(error) => {
            let overridden = probe.client.clone().method_override();
            let passes = overridden.append(url, chunk).await.is_ok();
            probe.answers();
            let advice = match passes {
                true => "something refuses PATCH: allow it, or upload with --method-override",
                false => advice(&error),
            };
            report.fail("patch", &reason(error), advice)?;
            return Ok(false);
        }
    };
    if offset != Some(FIRST as u64) {
        let offset = offset.map_or_else(|| "no offset".to_owned(), |offset| offset.to_string());
        report.fail(
            "offset",
            &format!("after {FIRST} bytes PATCH tells {offset}"),
            "clients cannot know what is stored: is another upload or a cache in between?",
        )?;
        return Ok(false);
    }
    report.ok("patch", "PATCH stores bytes")?;
    if answer.is_some_and(|answer| answer.header("tus-resumable").is_empty()) {
        report.warn(
            "headers",
            "the answer to PATCH has no Tus-Resumable",
            "does something before the server drop headers?",
        )?;
    }
    if !stands(probe, url, FIRST as u64, report).await? {
        return Ok(false);
    }
    wrong_offset(probe, url, report).await?;
    let rest = Chunk::new(FIRST as u64, &CONTENT[FIRST..]);
    let appended = probe.client.append(url, rest).await;
    probe.answers();
    match appended {
        Ok(_) => Ok(stands(probe, url, LENGTH, report).await? && told(report)?),
        Err(error) => {
            let advice = advice(&error);
            report.fail("offset", &reason(error), advice)?;
            Ok(false)
        }
    }
}

fn told(report: &mut Report) -> Result<bool> {
    report.ok("offset", "HEAD and PATCH agree on what is stored")?;
    Ok(true)
}

/// Whether HEAD tells what is stored. The last answer stays for who looks at its headers.
async fn stands(probe: &Probe, url: &Uri, offset: u64, report: &mut Report) -> Result<bool> {
    match probe.client.inspect(url).await {
        Ok(UploadInfo {
            offset: told,
            length,
            ..
        }) if told == Some(offset) && length.known() == Some(LENGTH) => Ok(true),
        Ok(info) => {
            let told = info
                .offset
                .map_or_else(|| "none".into(), |told| told.to_string());
            let length = info
                .length
                .known()
                .map_or_else(|| "none".into(), |told| told.to_string());
            report.fail(
                "offset",
                &format!(
                    "{offset} of {LENGTH} bytes are stored, and HEAD tells offset {told} and \
                     length {length}"
                ),
                "is there a cache (HEAD must not be cached), or are there several servers without a \
                 common storage?",
            )?;
            Ok(false)
        }
        Err(error) => {
            let advice = advice(&error);
            report.fail("offset", &reason(error), advice)?;
            Ok(false)
        }
    }
}

/// tus 1.0.0, "HEAD": `Cache-Control: no-store`.
fn caches(probe: &Probe, report: &mut Report) -> Result<bool> {
    let answer = probe.last();
    let is_fresh = answer.is_some_and(|answer| answer.header("cache-control").contains("no-store"));
    if !is_fresh {
        report.warn(
            "cache",
            "the answer to HEAD has no Cache-Control: no-store",
            "a cache on the way may tell old offsets: does a proxy drop the header?",
        )?;
    }
    Ok(true)
}

/// Bytes at an offset where the upload does not stand have to be refused.
async fn wrong_offset(probe: &Probe, url: &Uri, report: &mut Report) -> Result<()> {
    let chunk = Chunk::new(0, &CONTENT[..1]);
    let appended = probe.client.append(url, chunk).await;
    probe.answers();
    match appended {
        Err(error) if error.status().is_some_and(|status| status.as_u16() == 409) => Ok(()),
        Err(error) => report.warn(
            "conflict",
            &format!("a wrong offset is not answered by 409: {}", reason(error)),
            "clients take 409 for the sign to ask again where the upload stands",
        ),
        Ok(_) => report.fail(
            "conflict",
            "bytes at a wrong offset are taken",
            "uploads break without a sign: the server has to answer 409",
        ),
    }
}
