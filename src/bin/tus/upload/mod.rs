//! `tus upload`: files, directories and standard input, each one upload.

mod items;
mod queue;
mod transfer;

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use tokio::task::spawn_blocking;
use tower_tus::{
    client::{AfterSuccess, Client, Fingerprint, RateLimit, WhenClaimed},
    protocol::Algorithm,
};

use self::{
    items::{Found, Item},
    queue::Queue,
    transfer::{Keeping, NOT_KEPT, Plan},
};
use crate::{
    address::{Address, printable},
    connection::Connection,
    exit::{Exit, Stopped, Usage, explain},
    screen::{Output, Screen},
    session,
    signals::Signals,
    state::{self, State},
    value::{self, Pair, choice},
};

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
#[command(override_usage = "tus upload [OPTIONS] <FILE|DIR|->... <URL>")]
pub(crate) struct Upload {
    // One list, for clap would take no flag between the two.
    /// Files, directories or - for standard input, and at last the URL where uploads are created
    #[arg(value_name = "FILE… URL", required = true, num_args = 1..)]
    targets: Vec<PathBuf>,

    /// Attach a value; filename, filetype and relativePath are attached anyway
    #[arg(short, long, value_name = "KEY=VALUE", help_heading = CONTENT)]
    metadata: Vec<Pair>,

    /// The file's name for the server
    #[arg(long, value_name = "NAME", help_heading = CONTENT)]
    name: Option<String>,

    /// Have each request verified: sha1, sha256, sha512, md5, crc32c or none
    #[arg(long, value_name = "NAME", default_value = "none", help_heading = CONTENT)]
    #[arg(value_parser = checksum(), hide_possible_values = true)]
    checksum: Checksum,

    /// Send so many parts of a file at the same time, 64 at most (concatenation)
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = SPEED)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=64))]
    parallel: u16,

    /// Upload so many files at the same time
    #[arg(short, long, value_name = "N", default_value_t = 1, help_heading = SPEED)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    jobs: u16,

    /// Send at most so many bytes in a second, all together
    #[arg(long, value_name = "SIZE", help_heading = SPEED)]
    #[arg(value_parser = value::size::<u64>)]
    limit_rate: Option<u64>,

    /// Send at most so many bytes in a request
    #[arg(long, value_name = "SIZE", help_heading = SPEED)]
    #[arg(value_parser = value::size::<u64>)]
    chunk_size: Option<u64>,

    /// Begin anew, and keep nothing to go on later
    #[arg(long, help_heading = RESUMING)]
    #[arg(conflicts_with_all = ["store", "fingerprint", "keep", "resume_at", "store_queries"])]
    no_resume: bool,

    /// Go on with the upload at this URL
    #[arg(long, value_name = "UPLOAD", help_heading = RESUMING)]
    resume_at: Option<Address>,

    #[command(flatten, next_help_heading = RESUMING)]
    state: State,

    /// How the same file is recognised: auto, path, sha256 or md5
    #[arg(long, value_name = "HOW", default_value = "auto", help_heading = RESUMING)]
    #[arg(value_parser = fingerprint(), hide_possible_values = true)]
    fingerprint: Recognise,

    /// Keep the URL of a finished upload: the same file is not uploaded twice
    #[arg(long, overrides_with = "forget", help_heading = RESUMING)]
    keep: bool,

    // No doc comment: rustdoc would take the brackets for a link.
    #[arg(help = "Forget it [default]", long, help_heading = RESUMING)]
    forget: bool,

    /// Keep URLs with a query, too: there may be a token in it
    #[arg(long, help_heading = RESUMING)]
    store_queries: bool,

    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    output: Output,
}

/// How the same content is found again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Recognise {
    Auto,
    Path,
    Md5,
    Sha256,
}

/// Which checksum goes with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Checksum {
    None,
    By(Algorithm),
}

pub(crate) fn run(args: &Upload) -> Result<Exit> {
    args.check()?;
    session::run(&args.output, |screen, signals| args.upload(screen, signals))
}

impl Upload {
    async fn upload(&self, screen: Screen, mut signals: Signals) -> Result<Exit> {
        // A directory of the network, a pipe or a lock may keep it waiting for ever.
        let (plan, items) = tokio::select! {
            prepared = self.prepare(&screen) => prepared?,
            signal = signals.next() => return Err(Stopped(signal).into()),
        };
        let queue = Queue {
            plan,
            jobs: self.jobs.into(),
            screen,
            signals,
        };
        queue.run(items).await
    }

    /// Everything that is done before something is sent.
    async fn prepare(&self, screen: &Screen) -> Result<(Plan, Vec<Item>)> {
        let (files, url) = self.files_and_url()?;
        let files = files.to_vec();
        let Found { items, gone } = spawn_blocking(move || items::find(&files)).await??;
        for path in gone {
            let path = printable(&path.to_string_lossy());
            screen.note(&format!("{path} is gone: it is not uploaded"));
        }
        if let Some(item) = items.iter().find(|item| item.is_read_once()) {
            self.check_read_once(&printable(&item.shown))?;
        }
        if self.name.is_some() && items.len() > 1 {
            return Err(Usage("--name is for one file, and there are several".into()).into());
        }
        if self.resume_at.is_some() && items.len() > 1 {
            return Err(Usage("--resume-at is for one file, and there are several".into()).into());
        }
        let plan = self.plan(&url, &items, screen).await?;
        for item in &items {
            plan.metadata(item)?;
        }
        Ok((plan, items))
    }

    fn files_and_url(&self) -> Result<(&[PathBuf], Address), Usage> {
        match self.targets.split_last() {
            Some((url, files)) if !files.is_empty() => {
                Ok((files, Address::new(url.to_string_lossy())))
            }
            _ => Err(Usage(
                "a file and a URL are needed, as in tus upload video.mp4 https://example.com/files"
                    .into(),
            )),
        }
    }

    fn check(&self) -> Result<(), Usage> {
        let (files, url) = self.files_and_url()?;
        url.uri()?;
        let stdin = files.iter().filter(|path| items::is_stdin(path)).count();
        match stdin {
            0 => Ok(()),
            1 => self.check_read_once("standard input"),
            _ => Err(Usage("standard input can be read only once".into())),
        }
    }

    fn check_read_once(&self, name: &str) -> Result<(), Usage> {
        let flag = match self {
            Self { parallel: 2.., .. } => "--parallel",
            Self {
                resume_at: Some(_), ..
            } => "--resume-at",
            _ => return Ok(()),
        };
        Err(Usage(format!(
            "{flag} needs a file: {name} can be read only once"
        )))
    }

    async fn plan(&self, url: &Address, items: &[Item], screen: &Screen) -> Result<Plan> {
        let mut client: Client = self.connection.client(url).await?;
        if let Some(bytes) = self.limit_rate {
            client = client.rate_limit(RateLimit::per_second(bytes));
        }
        Ok(Plan {
            client,
            retry: self.connection.retry(),
            retries: self.connection.retries,
            pairs: self.metadata.clone(),
            name: self.name.clone(),
            checksum: match self.checksum {
                Checksum::None => None,
                Checksum::By(algorithm) => Some(algorithm),
            },
            parallel: self.parallel.into(),
            chunk_size: self.chunk_size,
            keeping: self.keeping(items, screen).await?,
            resume_at: self.resume_at.as_ref().map(Address::uri).transpose()?,
            fingerprint: match self.fingerprint {
                Recognise::Auto => Fingerprint::default(),
                Recognise::Path => Fingerprint::path(),
                Recognise::Md5 => Fingerprint::md5_start(),
                Recognise::Sha256 => Fingerprint::sha256(),
            },
            after: match self.keep {
                true => AfterSuccess::Keep,
                false => AfterSuccess::Remove,
            },
            // Two files of one command may have the same content.
            claimed: match self.jobs {
                1 => WhenClaimed::Fail,
                _ => WhenClaimed::Wait,
            },
            queries: self.store_queries,
        })
    }

    /// A file of URLs that was asked for has to work; without the usual one uploads are still uploads.
    async fn keeping(&self, items: &[Item], screen: &Screen) -> Result<Keeping> {
        let is_unused = self.resume_at.is_some() || items.iter().all(Item::is_read_once);
        if self.no_resume || is_unused {
            return Ok(Keeping::Nothing);
        }
        let store = match (self.state.open().await, &self.state.store) {
            (Ok(store), _) => store,
            (Err(error), Some(_)) => return Err(error.context("--no-resume uploads without it")),
            (Err(error), None) => {
                screen.note(&format!("{}: {NOT_KEPT}", explain(error.as_ref())));
                return Ok(Keeping::Nothing);
            }
        };
        if let Err(error) = state::prune(&*store).await {
            screen.note(&explain(error.as_ref()));
        }
        Ok(match self.state.store {
            Some(_) => Keeping::Named(store),
            None => Keeping::Usual(store),
        })
    }
}

fn checksum() -> impl clap::builder::TypedValueParser<Value = Checksum> {
    let [a, b, c, d, e] = Algorithm::ALL.map(|one| (one.name(), Checksum::By(one)));
    choice([("none", Checksum::None), a, b, c, d, e])
}

fn fingerprint() -> impl clap::builder::TypedValueParser<Value = Recognise> {
    choice([
        ("auto", Recognise::Auto),
        ("path", Recognise::Path),
        ("sha256", Recognise::Sha256),
        ("md5", Recognise::Md5),
    ])
}

const CONTENT: &str = "Content";
const SPEED: &str = "Speed";
const RESUMING: &str = "Resuming";

const AFTER_HELP: &str = "\
The URL of each upload is a line on standard output, in the order of the files; one that failed has
none there (--json has a line for each). Everything else goes to standard error. Run the same command again after an interruption: it goes on where it was.

Examples:
  tus upload video.mp4 https://example.com/files
  tus upload photos/ https://example.com/files --jobs 4 --metadata album=2026
  tar cz src | tus upload - https://example.com/files --name src.tgz
  tus upload disk.img https://example.com/files --parallel 4 --limit-rate 10MiB -H @token.txt";
