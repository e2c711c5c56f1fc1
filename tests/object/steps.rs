//! A server that dies at a request to its store, whichever it is: before the store gets it, or after it
//! has done what was asked. A client that goes on at the next server loses nothing.

use std::ops::Range;

use crate::{
    node::Node,
    proxy::{Moment, Proxy},
    store::{AZURE, Area, GCS, MOTO, Store},
    support::{Client, Request, content, sha1, wait},
};

#[tokio::test]
async fn a_small_upload_survives_a_death_at_each_request() {
    survives_each(MOTO, || Journey::of(&[&[400, 600]], Sums::Without)).await;
}

#[tokio::test]
async fn an_upload_of_several_parts_survives_a_death_at_each_request() {
    survives_each(MOTO, || {
        Journey::of(&[&[11_000_000, 3_000_000, 2_000_000]], Sums::Without)
    })
    .await;
}

#[tokio::test]
async fn checksummed_chunks_survive_a_death_at_each_request() {
    survives_each(MOTO, || {
        Journey::of(&[&[1_000, 11_000_000, 3_000]], Sums::With)
    })
    .await;
}

#[tokio::test]
async fn a_final_upload_survives_a_death_at_each_request() {
    survives_each(MOTO, || {
        Journey::of(&[&[6_000_000], &[1_000], &[7_000_000]], Sums::Without)
    })
    .await;
}

#[tokio::test]
async fn an_upload_to_azurite_survives_a_death_at_each_request() {
    survives_each(AZURE, || {
        Journey::of(&[&[11_000_000, 1_000]], Sums::Without)
    })
    .await;
}

#[tokio::test]
async fn an_upload_to_the_double_of_gcs_survives_a_death_at_each_request() {
    survives_each(GCS, || Journey::of(&[&[11_000_000, 1_000]], Sums::Without)).await;
}

/// Each journey with a death one request later than the last, until there is none to die at.
async fn survives_each(store: &'static str, journey: impl Fn() -> Journey) {
    let Some(store) = Store::find(store) else {
        return;
    };
    let mut deaths = 0;
    for request in 1.. {
        for moment in [Moment::Before, Moment::After] {
            if !survives(&store.area(), journey(), request, moment).await {
                println!("{deaths} deaths");
                assert!(deaths >= 6, "only {deaths} deaths");
                return;
            }
            deaths += 1;
        }
    }
}

/// Gives whether there was a death.
async fn survives(area: &Area, mut journey: Journey, request: usize, moment: Moment) -> bool {
    let proxy = Proxy::start(&area.store.address());
    let mut node = Node::with(&area.at(&proxy.address), FLAGS);
    let mut stopped = proxy.stop_at(request, moment);
    let client = node.client();
    let reached = tokio::select! {
        biased;
        reached = stopped.recv() => reached,
        done = journey.drive(client) => {
            assert_eq!(done, Some(()), "the server went away by itself");
            None
        }
    };
    // Shown only if the test fails.
    println!("{moment:?} request {request}: {reached:?}");
    node.kill();
    drop(node);

    let node = Node::with(area, FLAGS);
    journey.resume(node.client()).await;
    assert_eq!(journey.drive(node.client()).await, Some(()));
    let data = journey.data();
    let url = journey.url().to_owned();
    assert!(
        area.stored(&url).await == Some(data),
        "the object of {url} differs"
    );
    area.expect_clean(node.client(), &journey.urls()).await;
    reached.is_some()
}

const FLAGS: &[&str] = &["--part-size", "5MiB"];

/// A client that uploads one thing, and knows what it was told.
struct Journey {
    uploads: Vec<Leg>,
    /// The final upload of several.
    joined: Option<String>,
}

/// One upload.
struct Leg {
    data: Vec<u8>,
    /// Where each PATCH ends.
    ends: Vec<u64>,
    sums: Sums,
    url: Option<String>,
    acknowledged: u64,
    in_flight: Option<Range<u64>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sums {
    With,
    Without,
}

impl Journey {
    /// Uploads of these chunks; several are joined.
    fn of(uploads: &[&[usize]], sums: Sums) -> Self {
        let uploads = uploads.iter().zip(7..).map(|(chunks, seed)| {
            let ends = chunks.iter().scan(0, |end, size| {
                *end += *size as u64;
                Some(*end)
            });
            Leg {
                data: content(chunks.iter().sum(), seed),
                ends: ends.collect(),
                sums,
                url: None,
                acknowledged: 0,
                in_flight: None,
            }
        });
        Self {
            uploads: uploads.collect(),
            joined: None,
        }
    }

    /// Goes on until everything is uploaded; `None` if the server is gone.
    async fn drive(&mut self, client: Client) -> Option<()> {
        let is_joined = self.uploads.len() > 1;
        for leg in &mut self.uploads {
            leg.drive(client, is_joined).await?;
        }
        if !is_joined {
            return Some(());
        }
        if self.joined.is_none() {
            let parts: Vec<_> = self.uploads.iter().map(Leg::url).collect();
            let concat = format!("final;{}", parts.join(" "));
            let create = Request::create().header("Upload-Concat", concat);
            let created = client.attempt(create).await?.expect(201);
            self.joined = created.header("Location").map(str::to_owned);
        }
        let total = self.data().len() as u64;
        wait::until("the parts to be joined", async || {
            let head = Request::new("HEAD", self.url());
            let Some(answer) = client.attempt(head).await else {
                return Some(None);
            };
            let answer = answer.expect(200);
            assert_eq!(answer.length(), Some(total), "{answer:?}");
            (answer.offset() == Some(total)).then_some(Some(()))
        })
        .await
    }

    /// Asks the next server where to go on.
    async fn resume(&mut self, client: Client) {
        for leg in &mut self.uploads {
            leg.resume(client).await;
        }
    }

    fn data(&self) -> Vec<u8> {
        self.uploads
            .iter()
            .flat_map(|leg| leg.data.clone())
            .collect()
    }

    fn url(&self) -> &str {
        match &self.joined {
            Some(url) => url,
            None => self.uploads[0].url(),
        }
    }

    /// Of all uploads that the client knows.
    fn urls(&self) -> Vec<String> {
        let legs = self.uploads.iter().map(|leg| leg.url().to_owned());
        legs.chain(self.joined.clone()).collect()
    }
}

impl Leg {
    async fn drive(&mut self, client: Client, is_part: bool) -> Option<()> {
        let length = self.data.len() as u64;
        if self.url.is_none() {
            let create = match is_part {
                true => Request::partial(length),
                false => Request::create().header("Upload-Length", length.to_string()),
            };
            let created = client.attempt(create).await?.expect(201);
            self.url = created.header("Location").map(str::to_owned);
        }
        while let Some(&end) = self.ends.iter().find(|end| **end > self.acknowledged) {
            let start = self.acknowledged;
            let chunk = &self.data[start as usize..end as usize];
            let mut patch = Request::patch(self.url(), start).body(chunk);
            if self.sums == Sums::With {
                patch = patch.header("Upload-Checksum", sha1(chunk));
            }
            self.in_flight = Some(start..end);
            let answer = client.attempt(patch).await?.expect(204);
            assert_eq!(answer.offset(), Some(end), "{answer:?}");
            self.acknowledged = end;
            self.in_flight = None;
        }
        Some(())
    }

    async fn resume(&mut self, client: Client) {
        let Some(url) = &self.url else { return };
        let offset = client.offset(url).await;
        let at = self.acknowledged;
        match self.in_flight.take() {
            None => assert_eq!(offset, at, "acknowledged: {at}"),
            Some(chunk) if self.sums == Sums::With => {
                assert!(
                    [chunk.start, chunk.end].contains(&offset),
                    "{offset} of {chunk:?}"
                );
            }
            Some(chunk) => {
                assert!(
                    (chunk.start..=chunk.end).contains(&offset),
                    "{offset} of {chunk:?}"
                );
            }
        }
        self.acknowledged = offset;
    }

    fn url(&self) -> &str {
        self.url.as_deref().expect("it was created")
    }
}
