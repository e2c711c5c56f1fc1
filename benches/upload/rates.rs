//! Many small requests: `small`, `small-post-patch`, `patch-storm`, `head`.

use std::io;

use crate::{
    client::{drive, head as head_request, patch, post},
    scenarios::{Bench, Outcome, rate},
};

/// Uploads of one request: creation-with-upload.
pub(crate) fn small(bench: &Bench<'_>) -> Outcome {
    let sizes = bench.sizes;
    let body = bench.block.start(sizes.small_upload);
    let request = post(sizes.small_upload, "", body);
    let mut left = sizes.small_uploads;
    let mut connections = bench.connections(sizes.connections)?;
    let meter = bench.server.meter();
    drive(&mut connections, |_, response, next| {
        if let Some(response) = response {
            response.expect(201)?;
        }
        if left == 0 {
            return Ok(false);
        }
        left -= 1;
        next.extend_from_slice(&request);
        Ok(true)
    })?;
    Ok(rate(&meter.stop(), sizes.small_uploads))
}

/// Uploads of two requests; what is counted are uploads.
pub(crate) fn small_post_patch(bench: &Bench<'_>) -> Outcome {
    let sizes = bench.sizes;
    let body = bench.block.start(sizes.small_upload);
    let request = post(sizes.small_upload, "", &[]);
    let mut left = sizes.small_uploads;
    let mut created = vec![false; sizes.connections];
    let mut connections = bench.connections(sizes.connections)?;
    let meter = bench.server.meter();
    drive(&mut connections, |number, response, next| {
        if let Some(response) = response {
            if std::mem::take(&mut created[number]) {
                let path = response.expect(201)?.location()?;
                patch(next, &path, 0, sizes.small_upload, "");
                next.extend_from_slice(body);
                return Ok(true);
            }
            response.expect(204)?;
        }
        if left == 0 {
            return Ok(false);
        }
        left -= 1;
        created[number] = true;
        next.extend_from_slice(&request);
        Ok(true)
    })?;
    Ok(rate(&meter.stop(), sizes.small_uploads))
}

/// Many uploads in many tiny PATCHes, each upload on a connection of its own choice; what is counted are PATCHes.
pub(crate) fn patch_storm(bench: &Bench<'_>) -> Outcome {
    let sizes = bench.sizes;
    let body = bench.block.start(sizes.storm_patch);
    let paths = create_all(
        bench,
        sizes.storm_uploads,
        sizes.storm_patches * sizes.storm_patch,
    )?;
    // The uploads of a connection in turn, one PATCH each, then all of them again at the next offset.
    let mut turns: Vec<(usize, u64)> = (0..sizes.connections).map(|number| (number, 0)).collect();
    let mut connections = bench.connections(sizes.connections)?;
    let meter = bench.server.meter();
    drive(&mut connections, |number, response, next| {
        if let Some(response) = response {
            response.expect(204)?;
        }
        let (upload, done) = &mut turns[number];
        if *upload >= paths.len() {
            *upload = number;
            *done += 1;
        }
        if *done == sizes.storm_patches || *upload >= paths.len() {
            return Ok(false);
        }
        let offset = *done * sizes.storm_patch;
        patch(next, &paths[*upload], offset, sizes.storm_patch, "");
        next.extend_from_slice(body);
        *upload += sizes.connections;
        Ok(true)
    })?;
    let patches = sizes.storm_uploads as u64 * sizes.storm_patches;
    Ok(rate(
        &meter.stop(),
        usize::try_from(patches).map_err(io::Error::other)?,
    ))
}

/// Offsets of uploads that have begun.
pub(crate) fn head(bench: &Bench<'_>) -> Outcome {
    let sizes = bench.sizes;
    let paths = create_all(bench, sizes.storm_uploads, 1 << 20)?;
    let requests: Vec<_> = paths.iter().map(|path| head_request(path)).collect();
    let mut sent = 0;
    let mut connections = bench.connections(sizes.connections)?;
    let meter = bench.server.meter();
    drive(&mut connections, |_, response, next| {
        if let Some(response) = response {
            response.expect(200)?;
        }
        if sent == sizes.heads {
            return Ok(false);
        }
        next.extend_from_slice(&requests[sent % requests.len()]);
        sent += 1;
        Ok(true)
    })?;
    Ok(rate(&meter.stop(), sizes.heads))
}

/// Creates uploads, without measuring it.
pub(crate) fn create_all(bench: &Bench<'_>, count: usize, length: u64) -> io::Result<Vec<String>> {
    let mut connection = bench.connect()?;
    (0..count).map(|_| connection.create(length)).collect()
}
