use std::{io::Cursor, time::Duration};

use tower_tus::{
    client::{Error, RetryPolicy, Source, Uploaded},
    protocol::Algorithm,
};

use crate::support::{Instead, Random, Seen, Server, bytes};

/// Faults until this many requests were made.
const FAULTS: usize = 25;

fn fault(seed: u64) -> impl Fn(&Seen, usize) -> Option<Instead> + Send + Sync + 'static {
    move |seen, number| {
        if number >= FAULTS {
            return None;
        }
        let mut random = Random::new(seed ^ (number as u64) << 32);
        let status = [408, 409, 423, 425, 429, 460, 500, 503, 504];
        let instead = match random.below(10) {
            0 => Instead::Status(status[random.below(status.len() as u64) as usize]),
            1 => Instead::LoseAnswer,
            2 | 3 if seen.method == "PATCH" => Instead::CutAfter(random.below(400_000)),
            4 if seen.method == "PATCH" => Instead::Status(413),
            5 => Instead::Silence,
            _ => return None,
        };
        Some(instead)
    }
}

async fn upload(server: &Server, shape: u64, content: &[u8]) -> Result<Uploaded, Error> {
    let client = server
        .client()
        .stall_timeout(Duration::from_millis(200))
        .answer_timeout(Duration::from_millis(200));
    let policy = RetryPolicy::default()
        .attempts(FAULTS as u32 + 1)
        .first_pause(Duration::from_millis(1))
        .max_pause(Duration::from_millis(2));
    let client = client.retry(policy);
    let bytes = || Source::bytes(content.to_vec());
    let stream = || Source::read_once(Cursor::new(content.to_vec())).replay(150_000);
    match shape {
        0 => client.upload(bytes()).await,
        1 => client.upload(bytes()).chunk_size(70_000).await,
        2 => {
            client
                .upload(bytes())
                .checksum(Algorithm::Sha1)
                .chunk_size(90_000)
                .await
        }
        3 => client.upload(stream()).await,
        4 => client.upload(stream()).checksum(Algorithm::Crc32c).await,
        _ => client.upload(bytes()).parallel(3).await,
    }
}

#[tokio::test]
async fn every_schedule_of_faults_that_ends_gives_the_content() {
    for seed in 0..36 {
        let server = Server::disturbed(fault(seed)).await;
        let size = Random::new(seed).below(900_000) as usize;
        let content = bytes(size);
        let done = match upload(&server, seed % 6, &content).await {
            Ok(done) => done,
            Err(error) => panic!("{seed}: {error:?}\n{}", server.methods()),
        };
        assert!(server.content(done.url()).await == content, "{seed}");
    }
}
