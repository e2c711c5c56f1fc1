//! `tower-tus`: this library with its defaults.

use std::io;

use tower_tus::{
    client::{Client, HttpVersion, Proxy, Source},
    protocol::Algorithm,
};

use crate::{
    process::{done, ready},
    scenarios::{BLOCK, Content, Http, Job, Sum},
};

pub(crate) async fn run(job: &Job) -> io::Result<()> {
    let endpoint = job.endpoint.parse().map_err(io::Error::other)?;
    let client = Client::new(endpoint)
        .proxy(Proxy::none())
        .version(match job.scenario.http {
            Http::One => HttpVersion::Http1,
            Http::Two => HttpVersion::Http2,
        });
    let block = job.block();
    upload(job, &client, Source::bytes(vec![7; 256 << 10])).await?;
    ready()?;
    let source = match job.scenario.content {
        Content::File => Source::path(&job.file),
        Content::Bytes => {
            let blocks = (0..job.size).step_by(BLOCK);
            Source::concat(blocks.map(|_| Source::bytes(block.clone())))
        }
    };
    upload(job, &client, source).await?;
    done()
}

async fn upload(job: &Job, client: &Client, source: Source) -> io::Result<()> {
    let upload = client.upload(source);
    let upload = match job.scenario.sum {
        Sum::None => upload,
        Sum::Sha1 => upload.checksum(Algorithm::Sha1),
    };
    // In a task of its own, as the command does it. Awaited outside of the runtime's workers, each megabyte or so wakes a
    // thread, which is seen at several GB/s.
    upload.start().await.map_err(io::Error::other)?;
    Ok(())
}
