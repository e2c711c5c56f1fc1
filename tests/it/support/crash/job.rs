use std::sync::OnceLock;

use super::{Home, Load, Sums, upload::Upload};
use crate::support::{Client, Random, Request, content, wait};

/// One file on its way to the server.
pub(super) struct Job {
    sources: Vec<&'static [u8]>,
    pub(super) uploads: Vec<Upload>,
    /// Whether the parts are joined before they are done.
    early: bool,
    pub(super) joined: Option<String>,
    sums: Sums,
}

impl Job {
    pub(super) fn new(load: &Load, random: &mut Random) -> Self {
        static POOL: OnceLock<Vec<u8>> = OnceLock::new();
        let pool = POOL.get_or_init(|| content(POOL_SIZE, 6));
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
    pub(super) async fn run(&mut self, client: Client, random: &mut Random) -> Option<()> {
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

    pub(super) async fn verify_joined<H: Home>(&self, client: Client, home: &H) {
        let Some(url) = &self.joined else { return };
        let answer = client.head(url).await.expect(200);
        assert_eq!(answer.length(), Some(self.length()), "{answer:?}");
        if let Some(offset) = answer.offset() {
            assert_eq!(offset, self.length(), "{answer:?}");
            let stored = home.stored(url).await;
            assert!(
                stored == Some(self.sources.concat()),
                "{url} differs in {home:?}"
            );
        }
    }

    pub(super) fn length(&self) -> u64 {
        self.sources.iter().map(|part| part.len() as u64).sum()
    }

    /// The upload that the file has become, and what has to be in it.
    pub(super) fn result(&self) -> (&str, Vec<u8>) {
        let url = self.joined.as_ref().unwrap_or(&self.uploads[0].url);
        (url, self.sources.concat())
    }
}

/// From which all contents are taken.
const POOL_SIZE: usize = 32 << 20;
