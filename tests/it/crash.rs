//! A process that is killed at any moment loses no acknowledged byte and makes none up.
//!
//! A server in a process of its own is killed again and again under a load of uploads. After each
//! start on the same directory every upload has to stand where its client may expect it to, with
//! the bytes of its source and no other; and in the end all of them become whole.

mod upload;

use std::{path::Path, sync::OnceLock, time::Duration};

use futures::future::join_all;
use tempfile::TempDir;

use self::upload::{Sums, Upload, on_disk};
use crate::support::{Client, Process, Random, Request, content, process, wait};

#[test]
#[ignore = "the server that other tests run as a process of its own"]
fn child() {
    process::serve();
}

#[tokio::test]
async fn large_uploads_survive_kills() {
    survive(Load {
        length: 500_000..=4_000_000,
        parts: 1..=1,
        sums: Sums::Never,
    })
    .await;
}

#[tokio::test]
async fn checksummed_chunks_are_kept_whole_or_not_at_all_over_kills() {
    survive(Load {
        length: 500_000..=3_000_000,
        parts: 1..=1,
        sums: Sums::Often,
    })
    .await;
}

#[tokio::test]
async fn creations_and_finishes_survive_kills() {
    survive(Load {
        length: 0..=3_000,
        parts: 1..=1,
        sums: Sums::Often,
    })
    .await;
}

#[tokio::test]
async fn final_uploads_survive_kills() {
    survive(Load {
        length: 0..=700_000,
        parts: 2..=4,
        sums: Sums::Often,
    })
    .await;
}

/// How often each of the tests above kills its server.
const KILLS: usize = 52;

/// The longest that a server lives, in milliseconds under load.
const LIFE: u64 = 90;

const WORKERS: usize = 5;

/// What the clients do.
#[derive(Clone, Debug)]
struct Load {
    length: std::ops::RangeInclusive<u64>,
    /// More than one are joined.
    parts: std::ops::RangeInclusive<u64>,
    sums: Sums,
}

async fn survive(load: Load) {
    let mut random = Random::new();
    let root = TempDir::new().unwrap();
    let mut workers: Vec<_> = (0..WORKERS)
        .map(|_| Worker {
            load: load.clone(),
            random: random.fork(),
            job: None,
            finished: Vec::new(),
        })
        .collect();
    let mut cuts = 0;
    for _ in 0..KILLS {
        let mut server = Process::start(root.path());
        let client = server.client();
        for worker in &mut workers {
            worker.verify(client, root.path()).await;
        }
        let life = Duration::from_millis(random.within(0..=LIFE));
        let killer = async {
            tokio::time::sleep(life).await;
            server.kill();
        };
        tokio::join!(
            join_all(workers.iter_mut().map(|it| it.work(client))),
            killer
        );
        cuts += workers.iter().filter(|it| it.is_cut()).count();
    }
    println!("{cuts} cut PATCHes");
    assert!(cuts >= KILLS, "the kills did not meet the uploads: {cuts}");
    let server = Process::start(root.path());
    let mut finished = 0;
    for worker in &mut workers {
        worker.verify(server.client(), root.path()).await;
        if let Some(mut job) = worker.job.take() {
            let done = job.run(server.client(), &mut worker.random).await;
            assert_eq!(done, Some(()), "the server stays, and the job does not end");
            worker.finished.push(job);
            worker.verify(server.client(), root.path()).await;
            finished += 1;
        }
    }
    assert!(finished > 0, "the kills left no upload to be resumed");
}

/// A client that uploads one thing after the other.
struct Worker {
    load: Load,
    random: Random,
    job: Option<Job>,
    /// What was finished since the last kill.
    finished: Vec<Job>,
}

impl Worker {
    /// Goes on until the server is gone.
    async fn work(&mut self, client: Client) {
        loop {
            let job = self
                .job
                .get_or_insert_with(|| Job::new(&self.load, &mut self.random));
            if job.run(client, &mut self.random).await.is_none() {
                return;
            }
            self.finished.extend(self.job.take());
        }
    }

    /// Whether the last kill met a PATCH.
    fn is_cut(&self) -> bool {
        let mut uploads = self.job.iter().flat_map(|job| &job.uploads);
        uploads.any(Upload::is_cut)
    }

    /// Compares everything that this client knows with what the server says and has on disk.
    async fn verify(&mut self, client: Client, root: &Path) {
        if let Some(job) = &mut self.job {
            for upload in &mut job.uploads {
                upload.verify(client, root).await;
            }
            job.verify_joined(client, root).await;
        }
        for job in std::mem::take(&mut self.finished) {
            let (url, expected) = job.result();
            assert!(on_disk(root, url) == expected, "{url} differs on disk");
            assert_eq!(client.offset(url).await, expected.len() as u64);
            let parts = job.uploads.iter().map(|upload| &upload.url);
            for url in parts.chain(&job.joined) {
                client.delete(url).await.expect(204);
            }
        }
    }
}

/// One file on its way to the server.
struct Job {
    sources: Vec<&'static [u8]>,
    uploads: Vec<Upload>,
    /// Whether the parts are joined before they are done.
    early: bool,
    joined: Option<String>,
    sums: Sums,
}

impl Job {
    fn new(load: &Load, random: &mut Random) -> Self {
        static POOL: OnceLock<Vec<u8>> = OnceLock::new();
        let pool = POOL.get_or_init(|| content(6 << 20, 6));
        let sources = (0..random.within(load.parts.clone()))
            .map(|_| {
                let length = random.within(load.length.clone());
                let start = random.within(0..=pool.len() as u64 - length);
                &pool[start as usize..(start + length) as usize]
            })
            .collect();
        Self {
            sources,
            uploads: Vec::new(),
            early: random.once_in(2),
            joined: None,
            sums: load.sums,
        }
    }

    /// Goes on where it was cut; `None` if the server is gone.
    async fn run(&mut self, client: Client, random: &mut Random) -> Option<()> {
        while let Some(data) = self.sources.get(self.uploads.len()) {
            let create = match self.sources.len() {
                1 => Request::create().header("Upload-Length", data.len().to_string()),
                _ => Request::partial(data.len() as u64),
            };
            let created = client.attempt(create).await?.expect(201);
            self.uploads
                .push(Upload::new(created.header("Location").unwrap(), data));
        }
        if self.early {
            self.join(client).await?;
        }
        for upload in &mut self.uploads {
            upload.fill(client, random, self.sums).await?;
        }
        self.join(client).await?;
        if let Some(url) = &self.joined {
            let joined = async || match client.attempt(Request::new("HEAD", url)).await {
                None => Some(None),
                Some(answer) => answer.expect(200).offset().map(Some),
            };
            wait::until("the final upload to be joined", joined).await?;
        }
        Some(())
    }

    async fn join(&mut self, client: Client) -> Option<()> {
        if self.sources.len() == 1 || self.joined.is_some() {
            return Some(());
        }
        let parts: Vec<_> = self.uploads.iter().map(|part| part.url.as_str()).collect();
        let concat = format!("final;{}", parts.join(" "));
        let create = Request::create().header("Upload-Concat", concat);
        let created = client.attempt(create).await?.expect(201);
        self.joined = Some(created.header("Location").unwrap().to_owned());
        Some(())
    }

    async fn verify_joined(&self, client: Client, root: &Path) {
        let Some(url) = &self.joined else { return };
        let answer = client.head(url).await.expect(200);
        let expected = self.sources.concat();
        let total = expected.len() as u64;
        assert_eq!(answer.length(), Some(total), "{answer:?}");
        if let Some(offset) = answer.offset() {
            assert_eq!(offset, total, "{answer:?}");
            assert!(on_disk(root, url) == expected, "{url} differs on disk");
        }
    }

    /// The upload that the file has become, and what has to be in it.
    fn result(&self) -> (&str, Vec<u8>) {
        let url = self.joined.as_ref().unwrap_or(&self.uploads[0].url);
        (url, self.sources.concat())
    }
}
