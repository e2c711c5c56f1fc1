use super::{Home, LastRequests, Sums};
use crate::support::{Client, Front, Random, Request, Response, sha1};

/// What a client knows of its upload.
pub(super) struct Upload {
    pub(super) url: String,
    data: &'static [u8],
    /// The server has told this offset, or a later one.
    acknowledged: u64,
    /// What was being sent when the server was killed.
    in_flight: Option<Chunk>,
    /// The same after the next server has told an offset, if more of it may be stored yet.
    late: Option<Chunk>,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload")
            .field("url", &self.url)
            .field("length", &self.data.len())
            .field("acknowledged", &self.acknowledged)
            .field("in_flight", &self.in_flight)
            .finish()
    }
}

#[derive(Clone, Copy, Debug)]
struct Chunk {
    start: u64,
    end: u64,
    sum: Sum,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sum {
    None,
    Right,
    Wrong,
}

impl Upload {
    pub(super) fn new(url: &str, data: &'static [u8]) -> Self {
        Self {
            url: url.to_owned(),
            data,
            acknowledged: 0,
            in_flight: None,
            late: None,
        }
    }

    /// Whether the server went away while it was being sent to.
    pub(super) fn is_cut(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Sends what is missing; `None` if the server is gone.
    pub(super) async fn fill(
        &mut self,
        client: Client,
        random: &mut Random,
        sums: Sums,
    ) -> Option<()> {
        while self.acknowledged < self.data.len() as u64 {
            let chunk = self.next_chunk(random, sums);
            self.in_flight = Some(chunk);
            let request = self.patch(chunk, random);
            let watched = random.once_in(3);
            let answer = self.send(client, request, watched).await?;
            let (status, offset) = match chunk.sum {
                Sum::None | Sum::Right => (204, chunk.end),
                Sum::Wrong => (460, chunk.start),
            };
            if answer.status == 409
                && let Some(late) = self.late
            {
                self.in_flight = None;
                let offset = self.head(client).await?;
                self.expect_after(late, offset);
                self.acknowledged = offset;
                continue;
            }
            let answer = answer.expect(status);
            assert_eq!(answer.offset().unwrap_or(chunk.start), offset, "{answer:?}");
            self.acknowledged = offset;
            self.in_flight = None;
            self.late = None;
        }
        Some(())
    }

    async fn head(&self, client: Client) -> Option<u64> {
        let answer = client.attempt(Request::new("HEAD", &self.url)).await?;
        answer.expect(200).offset()
    }

    /// Sends a chunk, and notes what HEAD tells meanwhile.
    async fn send(&mut self, client: Client, request: Request, watched: bool) -> Option<Response> {
        let mut sent = std::pin::pin!(client.attempt(request));
        if !watched {
            return sent.await;
        }
        loop {
            tokio::select! {
                biased;
                answer = &mut sent => return answer,
                head = client.attempt(Request::new("HEAD", &self.url)) => {
                    let offset = head?.offset().unwrap_or_default();
                    self.acknowledged = self.acknowledged.max(offset);
                }
            }
        }
    }

    fn next_chunk(&self, random: &mut Random, sums: Sums) -> Chunk {
        let most = match random.within(0..=7) {
            0 => 1,
            1 | 2 => 5_000,
            3..=5 => 300_000,
            _ => 3 << 20,
        };
        let left = self.data.len() as u64 - self.acknowledged;
        let size = random.within(1..=most).min(left);
        let sum = match (sums, random.within(0..=4)) {
            (Sums::Never, _) | (_, 0) => Sum::None,
            (_, 1) => Sum::Wrong,
            _ => Sum::Right,
        };
        Chunk {
            start: self.acknowledged,
            end: self.acknowledged + size,
            sum,
        }
    }

    fn patch(&self, chunk: Chunk, random: &mut Random) -> Request {
        let data = &self.data[chunk.start as usize..chunk.end as usize];
        let patch = Request::patch(&self.url, chunk.start);
        let mut body = data.to_vec();
        if chunk.sum == Sum::Wrong {
            body[0] ^= 1;
        }
        match chunk.sum {
            Sum::None if random.once_in(3) => patch.chunked(body, 10_000),
            Sum::None => patch.body(body),
            _ if Front::current().brings_trailers() && random.once_in(3) => patch
                .header("Trailer", "Upload-Checksum")
                .chunked(body, 50_000)
                .trailer("Upload-Checksum", sha1(data)),
            _ => patch.header("Upload-Checksum", sha1(data)).body(body),
        }
    }

    /// After a kill: HEAD and the storage agree with what the client was told, and it goes on from
    /// there.
    pub(super) async fn verify<H: Home>(&mut self, client: Client, home: &H) {
        let offset = client.offset(&self.url).await;
        let cut = self.in_flight.take().or_else(|| self.late.take());
        match cut {
            None => assert_eq!(offset, self.acknowledged, "{self:?}"),
            Some(chunk) => self.expect_after(chunk, offset),
        }
        if H::LAST_REQUESTS == LastRequests::Late {
            self.late = cut;
        }
        if let Some(stored) = home.stored(&self.url).await {
            let offset = offset as usize;
            assert!(
                stored.get(..offset) == Some(&self.data[..offset]),
                "the first {offset} bytes differ in {home:?}: {}",
                self.url
            );
        }
        self.acknowledged = offset;
    }

    /// Fails the test unless an upload may be here after a server that was killed with this chunk.
    fn expect_after(&self, chunk: Chunk, offset: u64) {
        assert!(offset >= self.acknowledged, "at {offset}: {self:?}");
        let Chunk { start, end, sum } = chunk;
        let may_be_partial = match sum {
            Sum::None => true,
            Sum::Right => end - start <= PARTLY,
            Sum::Wrong => false,
        };
        let is_expected = match sum {
            Sum::Wrong => offset == start,
            _ if may_be_partial => (start..=end).contains(&offset),
            _ => offset == start || offset == end,
        };
        assert!(is_expected, "at {offset} after {chunk:?}: {self:?}");
    }
}

/// Up to which size a chunk whose checksum holds may be stored in part.
const PARTLY: u64 = 256 << 10;
