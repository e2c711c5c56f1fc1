//! Uploads to a server that is killed again and again.
//!
//! After each start over the same storage every upload has to stand where its client may expect it
//! to, with the bytes of its source and no other; and in the end all of them become whole.

mod job;
mod upload;

use std::{fmt::Debug, ops::RangeInclusive, time::Duration};

use futures::future::join_all;

use self::{job::Job, upload::Upload};
use super::{Client, Random};

/// Where servers that are killed keep their uploads.
pub(crate) trait Home: Debug {
    type Server: Mortal;

    /// What the last requests of a killed server do: a store of its own may carry them out later.
    const LAST_REQUESTS: LastRequests;

    /// A server in a process of its own.
    fn start(&self) -> Self::Server;

    /// What is stored of an upload, finished or not; `None` if that is not to be seen from here, as
    /// only an unfinished one may be.
    async fn stored(&self, url: &str) -> Option<Vec<u8>>;
}

pub(crate) trait Mortal {
    fn client(&self) -> Client;

    /// Returns when the process is gone.
    fn kill(&mut self);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastRequests {
    /// Have had their effect, or never will.
    Settled,
    /// May have it while the next server runs.
    Late,
}

/// What the clients do.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) length: RangeInclusive<u64>,
    /// More than one are joined.
    pub(crate) parts: RangeInclusive<u64>,
    pub(crate) sums: Sums,
}

/// How often chunks have a checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sums {
    Never,
    Often,
}

/// How the servers die.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) kills: usize,
    /// The longest that a server lives under load.
    pub(crate) life: Duration,
}

pub(crate) async fn survive<H: Home>(home: &H, load: Load, pace: Pace) {
    let mut random = Random::new();
    let mut workers: Vec<_> = (0..WORKERS)
        .map(|_| Worker {
            load: load.clone(),
            random: random.fork(),
            job: None,
            finished: Vec::new(),
        })
        .collect();
    let mut cuts = 0;
    for _ in 0..pace.kills {
        let mut server = home.start();
        let client = server.client();
        for worker in &mut workers {
            worker.verify(client, home).await;
        }
        let most = u64::try_from(pace.life.as_micros()).expect("a short life");
        let life = Duration::from_micros(random.within(0..=most));
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
    assert!(
        cuts >= pace.kills,
        "the kills did not meet the uploads: {cuts}"
    );
    let server = home.start();
    let mut finished = 0;
    for worker in &mut workers {
        worker.verify(server.client(), home).await;
        if let Some(mut job) = worker.job.take() {
            let done = job.run(server.client(), &mut worker.random).await;
            assert_eq!(done, Some(()), "the server stays, and the job does not end");
            worker.finished.push(job);
            worker.verify(server.client(), home).await;
            finished += 1;
        }
    }
    assert!(finished > 0, "the kills left no upload to be resumed");
}

const WORKERS: usize = 5;

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

    /// Compares everything that this client knows with what the server says and has stored.
    async fn verify<H: Home>(&mut self, client: Client, home: &H) {
        if let Some(job) = &mut self.job {
            for upload in &mut job.uploads {
                upload.verify(client, home).await;
            }
            job.verify_joined(client, home).await;
        }
        for job in std::mem::take(&mut self.finished) {
            let (url, expected) = job.result();
            let stored = home.stored(url).await;
            assert!(stored == Some(expected), "{url} differs in {home:?}");
            assert_eq!(client.offset(url).await, job.length());
            let parts = job.uploads.iter().map(|upload| &upload.url);
            for url in parts.chain(&job.joined) {
                client.delete(url).await.expect(204);
            }
        }
    }
}
