//! An upload that is interrupted on purpose and goes on: with the same file, the URL it was begun at, and
//! only the bytes that are missing.
//!
//! `cargo run --example client_resume --features client -- FILE [URL]`

use std::{env, error::Error};

use tower_tus::client::{Client, Fingerprint, MemoryUrlStore, Source};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let file = arguments.next().ok_or("which file?")?;
    let url = arguments.next();
    let url = url.as_deref().unwrap_or("http://localhost:3000/files");
    let half = std::fs::metadata(&file)?.len() / 2;

    // A store in a file does the same over a restart of the program.
    let store = MemoryUrlStore::new();
    let client = Client::new(url.parse()?);
    let upload = || {
        client
            .upload(Source::path(&file))
            .store(store.clone())
            .fingerprint(Fingerprint::path())
    };

    let begun = upload().stop_at(half).await?;
    println!("{} bytes are at {}", begun.size(), begun.url());

    let done = upload().await?;
    let sent = done.size() - done.resumed_from();
    println!("{sent} more, and {} is whole", done.url());
    Ok(())
}
