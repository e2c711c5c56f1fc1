//! Uploads a file and shows how far it is.
//!
//! `cargo run --example client --features client -- FILE [URL]`

use std::{env, error::Error};

use futures::StreamExt;
use tower_tus::client::{Client, Source};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let file = arguments.next().ok_or("which file?")?;
    let url = arguments.next();
    let url = url.as_deref().unwrap_or("http://localhost:3000/files");

    let client = Client::new(url.parse()?);
    let upload = client
        .upload(Source::path(&file))
        .metadata("filename", &file)
        .start();

    let mut progress = upload.progress();
    let shown = tokio::spawn(async move {
        while let Some(now) = progress.next().await {
            let percent = 100.0 * now.fraction();
            let rate = now.rate / f64::from(1 << 20);
            eprint!("\r{percent:5.1} %  {rate:7.1} MiB/s");
        }
        eprintln!();
    });

    let done = upload.await?;
    shown.await?;
    println!("{}", done.url());
    Ok(())
}
