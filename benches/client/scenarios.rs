//! What is sent, how, and by whom.

use std::path::PathBuf;

use bytes::Bytes;

/// A body in one request; with a checksum, in requests of [`CHUNK`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) content: Content,
    pub(crate) http: Http,
    pub(crate) sum: Sum,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// One block in memory, again and again.
    Bytes,
    File,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Http {
    One,
    Two,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sum {
    None,
    /// In a trailer, as the sink offers.
    Sha1,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Candidate {
    /// hyper, and what of HTTP an upload needs.
    Raw,
    Ours,
    TusJs,
    Tuspy,
    Aiotus,
}

/// One upload, as the process that does it is told.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) scenario: Scenario,
    pub(crate) candidate: Candidate,
    pub(crate) endpoint: String,
    pub(crate) file: PathBuf,
    /// Bytes of the body: a multiple of [`BLOCK`].
    pub(crate) size: u64,
}

/// What the content is made of.
pub(crate) const BLOCK: usize = 32 << 20;

/// What goes with one checksum: this library's default.
pub(crate) const CHUNK: u64 = 16 << 20;

pub(crate) const SCENARIOS: [Scenario; 8] = {
    use Content::{Bytes, File};
    use Http::{One, Two};
    use Sum::{None, Sha1};

    [
        scenario("bytes", Bytes, One, None),
        scenario("file", File, One, None),
        scenario("bytes-h2", Bytes, Two, None),
        scenario("file-h2", File, Two, None),
        scenario("bytes-sha1", Bytes, One, Sha1),
        scenario("file-sha1", File, One, Sha1),
        scenario("bytes-sha1-h2", Bytes, Two, Sha1),
        scenario("file-sha1-h2", File, Two, Sha1),
    ]
};

const fn scenario(name: &'static str, content: Content, http: Http, sum: Sum) -> Scenario {
    Scenario {
        name,
        content,
        http,
        sum,
    }
}

impl Candidate {
    pub(crate) const ALL: [Self; 5] = [
        Self::Raw,
        Self::Ours,
        Self::TusJs,
        Self::Tuspy,
        Self::Aiotus,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Ours => "tower-tus",
            Self::TusJs => "tus-js-client",
            Self::Tuspy => "tuspy",
            Self::Aiotus => "aiotus",
        }
    }

    pub(crate) fn is_peer(self) -> bool {
        !matches!(self, Self::Raw | Self::Ours)
    }

    /// The others speak HTTP/1.1 only and are for files; one of them knows checksums.
    pub(crate) fn takes_part(self, scenario: &Scenario) -> bool {
        let is_plain = scenario.content == Content::File && scenario.http == Http::One;
        match self {
            Self::Raw | Self::Ours => true,
            Self::TusJs | Self::Aiotus => is_plain && scenario.sum == Sum::None,
            Self::Tuspy => is_plain,
        }
    }
}

impl Job {
    /// What is in memory: nothing if the content is not.
    pub(crate) fn block(&self) -> Bytes {
        match self.scenario.content {
            Content::Bytes => Bytes::from(vec![7; BLOCK]),
            Content::File => Bytes::new(),
        }
    }

    /// As arguments of this program.
    pub(crate) fn arguments(&self) -> [String; 5] {
        [
            self.candidate.name().to_owned(),
            self.scenario.name.to_owned(),
            self.endpoint.clone(),
            self.file.display().to_string(),
            self.size.to_string(),
        ]
    }

    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let arguments: Vec<_> = arguments.collect();
        let [candidate, scenario, endpoint, file, size] = &arguments[..] else {
            return Err("--client needs five values".to_owned());
        };
        let candidates = Candidate::ALL.into_iter();
        let scenarios = SCENARIOS.into_iter();
        Ok(Self {
            candidate: find(candidates, |one| one.name() == candidate)?,
            scenario: find(scenarios, |one| one.name == scenario)?,
            endpoint: endpoint.clone(),
            file: file.into(),
            size: size.parse().map_err(|_| "no size".to_owned())?,
        })
    }
}

fn find<T>(all: impl Iterator<Item = T>, is_it: impl Fn(&T) -> bool) -> Result<T, String> {
    let mut found = all.filter(is_it);
    found.next().ok_or_else(|| "no such name".to_owned())
}
