//! The stores that are measured against, and how the child reaches them.

use std::{env, io, sync::Arc, time::Duration};

use object_store::{
    ClientOptions, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey},
    client::HttpConnector,
};
use tower_tus::storage::object::{Connector, S3};

use crate::{
    counting::{Counting, Counts},
    options::Options,
    sink::{Pace, Sink},
};

/// A store, as the parent knows it.
pub(crate) struct Store {
    pub(crate) name: &'static str,
    /// What the child finds in its environment.
    variables: Vec<(String, String)>,
    /// Whether it keeps what it is sent.
    pub(crate) keeps: bool,
}

impl Store {
    /// The sinks, and what the environment names.
    pub(crate) fn all(options: &Options) -> io::Result<Vec<Self>> {
        let mut stores = Vec::new();
        for (name, pace, sent) in [
            ("sink", Pace::FULL, Sent::Signed),
            ("sink-tls", Pace::FULL, Sent::Checksummed),
            ("sink-distant", Pace::DISTANT, Sent::Signed),
        ] {
            if options.wants_store(name) {
                stores.push(Self::sink(name, pace, sent)?);
            }
        }
        for (name, variable) in [("s3", "TUS_TEST_S3"), ("minio", "TUS_TEST_MINIO")] {
            if options.wants_store(name) {
                stores.extend(Self::named(name, variable));
            }
        }
        Ok(stores)
    }

    /// A sink of its own.
    pub(crate) fn sink(name: &'static str, pace: Pace, sent: Sent) -> io::Result<Self> {
        let endpoint = format!("http://{}", Sink::start(pace)?);
        let mut options = vec![
            ("aws_endpoint", endpoint.as_str()),
            ("aws_allow_http", "true"),
            ("aws_region", "us-east-1"),
            ("aws_access_key_id", "bench"),
            ("aws_secret_access_key", "bench"),
        ];
        if sent == Sent::Checksummed {
            options.push(("aws_unsigned_payload", "true"));
            options.push(("aws_checksum_algorithm", "crc64nvme"));
        }
        let options = options
            .into_iter()
            .map(|(key, value)| (format!("{OPTION}{key}"), value.to_owned()));
        Ok(Self {
            name,
            variables: options.chain([(BUCKET.into(), "bench".into())]).collect(),
            keeps: false,
        })
    }

    fn named(name: &'static str, variable: &str) -> Option<Self> {
        let url = env::var(variable).ok()?;
        let bucket = url.strip_prefix("s3://")?.split('/').next()?.to_owned();
        let options = env::vars().filter_map(|(key, value)| {
            let option = key.strip_prefix(variable)?.strip_prefix('_')?;
            Some((format!("{OPTION}{}", option.to_ascii_lowercase()), value))
        });
        Some(Self {
            name,
            variables: options.chain([(BUCKET.into(), bucket)]).collect(),
            keeps: true,
        })
    }

    /// What the child needs in its environment.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

/// How requests to a sink are protected.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// As to any endpoint without TLS.
    Signed,
    /// As to one with TLS.
    Checksummed,
}

/// A store, as the child knows it.
pub(crate) struct Client {
    pub(crate) store: Arc<AmazonS3>,
    pub(crate) bucket: S3,
    pub(crate) counts: Arc<Counts>,
}

impl Client {
    /// The one in the environment, with the settings of `storage::open`.
    pub(crate) fn from_env() -> io::Result<Self> {
        let bucket = env::var(BUCKET).map_err(io::Error::other)?;
        let options = ClientOptions::new()
            .with_allow_http(true)
            .with_connect_timeout(Duration::from_secs(5))
            .with_read_timeout(Duration::from_secs(60))
            .with_timeout_disabled();
        let connector = Counting::new(Connector::default());
        let client = connector.connect(&options).map_err(io::Error::other)?;
        let counts = connector.counts();
        let start = AmazonS3Builder::new()
            .with_client_options(options)
            .with_http_connector(connector)
            .with_retry(RetryConfig {
                max_retries: 0,
                ..RetryConfig::default()
            })
            .with_bucket_name(&bucket);
        let known = env::vars().filter_map(|(key, value)| {
            let key: AmazonS3ConfigKey = key.strip_prefix(OPTION)?.parse().ok()?;
            Some((key, value))
        });
        let builder = known.fold(start, |builder, (key, value)| {
            builder.with_config(key, value)
        });
        let store = Arc::new(builder.build().map_err(io::Error::other)?);
        let opened = S3::new(Arc::clone(&store), bucket).map_err(io::Error::other)?;
        Ok(Self {
            store,
            bucket: opened.http(client),
            counts,
        })
    }
}

const BUCKET: &str = "TUS_BENCH_BUCKET";
const OPTION: &str = "TUS_BENCH_OPTION_";
