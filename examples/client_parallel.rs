//! Uploads a file over several connections, or several files into one upload.
//!
//! `cargo run --example client_parallel --features client -- URL FILE…`

use std::{env, error::Error};

use tower_tus::client::{Client, Leftovers, Source};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let url = arguments.next().ok_or("to which URL?")?;
    let mut files: Vec<_> = arguments.map(Source::path).collect();
    let source = match files.len() {
        0 => return Err("which files?".into()),
        1 => files.remove(0),
        _ => Source::concat(files),
    };

    let done = Client::new(url.parse()?)
        .upload(source)
        .parallel(4)
        // Without a URL store nobody would go on with the parts.
        .leftovers(Leftovers::Remove)
        .await?;
    println!("{} bytes are at {}", done.size(), done.url());
    Ok(())
}
