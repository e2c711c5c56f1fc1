use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::time::timeout;

use crate::{
    cluster::Cluster,
    support::{Client, Connection, Random, Request, Response, content, sha1},
};

/// A client that uploads one thing after the other to whichever node it meets.
pub(crate) struct Trips {
    cluster: Arc<Cluster>,
    random: Random,
    /// Where it is, and what has to be in it.
    pub(crate) finished: Vec<(String, Vec<u8>)>,
    pub(crate) deleted: Vec<String>,
}

/// One upload on its way.
struct Trip {
    url: String,
    data: &'static [u8],
    /// The largest offset that any node has told.
    told: u64,
    /// Connections with a PATCH that was left for another one.
    abandoned: Vec<Connection>,
}

impl Trips {
    pub(crate) fn new(cluster: Arc<Cluster>, random: Random) -> Self {
        Self {
            cluster,
            random,
            finished: Vec::new(),
            deleted: Vec::new(),
        }
    }

    /// One more, from its creation to its end.
    pub(crate) async fn next(&mut self) {
        match self.random.within(0..=9) {
            0 => self.delete_one().await,
            1 => self.join_some().await,
            _ => {
                let data = self.source(20_000_000);
                let length = data.len().to_string();
                let url = self
                    .created(Request::create().header("Upload-Length", length))
                    .await;
                self.fill(&url, data).await;
                self.finished.push((url, data.to_vec()));
            }
        }
    }

    async fn delete_one(&mut self) {
        let url = self
            .created(Request::create().header("Upload-Length", "20000000"))
            .await;
        let mut trip = Trip::new(&url, source(20_000_000, 0));
        for _ in 0..3 {
            trip.step(&self.cluster, &mut self.random).await;
        }
        self.delete(&url).await;
        self.deleted.push(url);
    }

    async fn join_some(&mut self) {
        let mut parts = Vec::new();
        let mut whole = Vec::new();
        for _ in 0..self.random.within(1..=3) {
            let data = self.source(7_000_000);
            let url = self.created(Request::partial(data.len() as u64)).await;
            self.fill(&url, data).await;
            parts.push(url);
            whole.extend_from_slice(data);
        }
        let concat = format!("final;{}", parts.join(" "));
        let url = self
            .created(Request::create().header("Upload-Concat", concat))
            .await;
        loop {
            let answer = self.ask(Request::new("HEAD", &url)).await;
            if answer.status == 200 && answer.offset() == Some(whole.len() as u64) {
                break;
            }
        }
        for part in parts {
            self.delete(&part).await;
        }
        self.finished.push((url, whole));
    }

    async fn fill(&mut self, url: &str, data: &'static [u8]) {
        let mut trip = Trip::new(url, data);
        while !trip.step(&self.cluster, &mut self.random).await {}
    }

    async fn delete(&mut self, url: &str) {
        loop {
            let answer = self.ask(Request::new("DELETE", url)).await;
            // An earlier one may have done it, although its answer was lost.
            if matches!(answer.status, 204 | 404 | 410) {
                return;
            }
        }
    }

    async fn created(&mut self, request: Request) -> String {
        loop {
            let answer = self.ask(request.clone()).await;
            if answer.status < 500 {
                let created = answer.expect(201);
                return created.header("Location").expect("a Location").to_owned();
            }
        }
    }

    /// Asks one node after the other until there is an answer.
    async fn ask(&mut self, request: Request) -> Response {
        loop {
            let client = self.cluster.any(&mut self.random);
            if let Ok(Some(answer)) = timeout(PATIENCE, client.attempt(request.clone())).await {
                return answer;
            }
        }
    }

    fn source(&mut self, most: u64) -> &'static [u8] {
        let length = match self.random.within(0..=3) {
            0 => self.random.within(0..=10_000),
            _ => self.random.within(0..=most),
        };
        source(length as usize, self.random.within(0..=1_000_000) as usize)
    }
}

/// How a PATCH ends.
enum Way {
    Whole,
    Checksummed,
    /// Its checksum is that of other bytes.
    Spoilt,
    Fin,
    Rst,
    /// It never does, as far as the client knows.
    Left,
}

impl Trip {
    fn new(url: &str, data: &'static [u8]) -> Self {
        Self {
            url: url.to_owned(),
            data,
            told: 0,
            abandoned: Vec::new(),
        }
    }

    /// Asks a node where the upload stands, and sends something to a node, which may be another. Gives
    /// whether everything is there.
    async fn step(&mut self, cluster: &Cluster, random: &mut Random) -> bool {
        let head = Request::new("HEAD", &self.url);
        let asked = cluster.any(random).attempt(head);
        let Ok(Some(answer)) = timeout(PATIENCE, asked).await else {
            return false;
        };
        if answer.status >= 500 {
            return false;
        }
        self.note(&answer.clone().expect(200));
        let at = answer.offset().expect("a HEAD tells the offset");
        let left = self.data.len() as u64 - at;
        if left == 0 {
            return true;
        }
        let size = match random.within(0..=3) {
            0 => left,
            1 => random.within(1..=left.min(10_000)),
            _ => random.within(1..=left),
        };
        let way = match random.within(0..=9) {
            0..=2 => Way::Whole,
            3 | 4 => Way::Checksummed,
            5 => Way::Spoilt,
            6 => Way::Fin,
            7 => Way::Rst,
            _ => Way::Left,
        };
        let data = self.data;
        let chunk = &data[at as usize..(at + size) as usize];
        let client = cluster.any(random);
        let patience = Duration::from_millis(random.within(200..=5_000));
        if let Ok(Some(answer)) = timeout(patience, self.send(client, at, chunk, way, random)).await
        {
            self.note(&answer);
            if answer.status == 204 {
                assert_eq!(answer.offset(), Some(at + size), "{answer:?}");
                self.spoil().await;
            } else {
                answer.expect_any(&[400, 409, 423, 460, 500, 503]);
            }
        }
        false
    }

    /// An offset that was told is never taken back.
    fn note(&mut self, answer: &Response) {
        if let Some(offset) = answer.offset() {
            let told = self.told;
            assert!(
                offset >= told,
                "{offset} after {told} of {}: {answer:?}",
                self.url
            );
            self.told = offset;
        }
    }

    async fn send(
        &mut self,
        client: Client,
        at: u64,
        chunk: &[u8],
        way: Way,
        random: &mut Random,
    ) -> Option<Response> {
        let patch = Request::patch(&self.url, at);
        let announced = match way {
            Way::Whole => return client.attempt(patch.body(chunk)).await,
            Way::Checksummed => {
                let sum = sha1(chunk);
                let patch = patch.header("Upload-Checksum", sum);
                return client.attempt(patch.body(chunk)).await;
            }
            Way::Spoilt => {
                let sum = sha1(chunk);
                let spoilt: Vec<_> = chunk.iter().map(|byte| !byte).collect();
                let patch = patch.header("Upload-Checksum", sum);
                return client.attempt(patch.body(spoilt)).await;
            }
            Way::Fin | Way::Rst | Way::Left => patch.body(chunk),
        };
        let sent = random.within(0..=chunk.len() as u64 - 1) as usize;
        let mut connection = client.try_connect().await?;
        connection.try_write(announced.head_bytes()).await.ok()?;
        connection.try_write(&chunk[..sent]).await.ok()?;
        match way {
            Way::Fin => {
                connection.try_finish().await.ok()?;
                connection.try_response("PATCH").await.ok()
            }
            Way::Rst => {
                connection.reset();
                None
            }
            _ => {
                self.abandoned.push(connection);
                None
            }
        }
    }

    /// Another PATCH was taken since these were left: nothing that still comes is stored.
    async fn spoil(&mut self) {
        for mut connection in self.abandoned.drain(..) {
            // Most servers are gone, or have closed the connection.
            let written = connection.try_write(vec![0xEE; 100_000]);
            let _ = timeout(Duration::from_millis(50), written).await;
        }
    }
}

/// How long a client waits for a node that may stand still.
const PATIENCE: Duration = Duration::from_secs(1);

/// Bytes of a pool that is large enough for all.
fn source(length: usize, start: usize) -> &'static [u8] {
    static POOL: OnceLock<Vec<u8>> = OnceLock::new();
    let pool = POOL.get_or_init(|| content(21_100_000, 11));
    &pool[start..start + length]
}
