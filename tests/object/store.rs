use std::{
    collections::BTreeMap,
    env, fmt,
    io::{self, Write},
    sync::{Arc, Once},
    time::{Duration, SystemTime},
};

use futures::TryStreamExt;
use object_store::path::Path;
use tower_tus::storage::{
    ObjectStorage, Storage,
    object::{Bucket, Scope, Session, open_bucket},
};

use crate::support::{Client, Random, Request, Response, key_of, wait};

/// A store that `emulators.py` has started: `TUS_TEST_<NAME>` in the environment is its URL, and
/// `TUS_TEST_<NAME>_<OPTION>` what has to be known beside it.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) name: &'static str,
    url: String,
    options: BTreeMap<String, String>,
}

/// S3 as moto does it.
pub(crate) const MOTO: &str = "S3";
pub(crate) const MINIO: &str = "MINIO";
pub(crate) const AZURE: &str = "AZURE";
pub(crate) const GCS: &str = "GCS";
/// The one that ignores conditions.
pub(crate) const S3RVER: &str = "S3RVER";

impl Store {
    /// `None` if it is not there, which was said loudly.
    pub(crate) fn find(name: &'static str) -> Option<Self> {
        static NONE: Once = Once::new();
        if env::var_os(STORES).is_none() {
            NONE.call_once(|| {
                // Past the capture of the test harness.
                let _ = writeln!(
                    io::stderr(),
                    "\nSKIPPED: tests on object stores because none is here: `bash tests/object/run` starts them"
                );
            });
            return None;
        }
        let variable = format!("TUS_TEST_{name}");
        let url = env::var(&variable).ok()?;
        let options = env::vars()
            .filter_map(|(key, value)| {
                let option = key.strip_prefix(&variable)?.strip_prefix('_')?;
                Some((option.to_owned(), value))
            })
            .collect();
        Some(Self { name, url, options })
    }

    /// What has to be in the environment of a process that uses it.
    pub(crate) fn options(&self) -> &BTreeMap<String, String> {
        &self.options
    }

    /// Where it listens: `127.0.0.1:9000`.
    pub(crate) fn address(&self) -> String {
        let url = self
            .options
            .values()
            .find_map(|value| value.strip_prefix("http://"))
            .unwrap_or_else(|| panic!("{self:?} has no endpoint"));
        url.to_owned()
    }

    /// The same, reached at another address.
    pub(crate) fn at(&self, address: &str) -> Self {
        let real = self.address();
        let options = self.options.iter();
        Self {
            options: options
                .map(|(key, value)| (key.clone(), value.replace(&real, address)))
                .collect(),
            ..self.clone()
        }
    }

    /// A place in its bucket that nobody else uses.
    pub(crate) fn area(&self) -> Area {
        let mut random = Random::new();
        let prefix = format!("area-{:012x}", random.within(0..=(1 << 48) - 1));
        self.area_at(&prefix)
    }

    fn area_at(&self, prefix: &str) -> Area {
        let url = format!("{}/{prefix}", self.url);
        let options = self.options.clone();
        let (bucket, root) = open_bucket(&url, options).expect("open the bucket");
        Area {
            store: self.clone(),
            url,
            bucket,
            root,
        }
    }
}

/// Set by `emulators.py`, which tells itself what is missing.
const STORES: &str = "TUS_TEST_STORES";

/// A prefix in the bucket of a store, and a way to look into it past all servers.
#[derive(Clone)]
pub(crate) struct Area {
    pub(crate) store: Store,
    /// For `tus serve --storage`.
    pub(crate) url: String,
    pub(crate) bucket: Arc<dyn Bucket>,
    root: Path,
}

impl Area {
    /// The same area, with its store reached at another address.
    pub(crate) fn at(&self, address: &str) -> Self {
        self.store.at(address).area_at(self.root.as_ref())
    }

    /// What a server makes of it.
    pub(crate) fn storage(&self) -> ObjectStorage {
        ObjectStorage::new(Arc::clone(&self.bucket)).prefix(&self.root)
    }

    /// Where the object of this key is.
    pub(crate) fn path(&self, key: &str) -> Path {
        Path::from(format!("{}/{key}", self.root))
    }

    /// What is in it, relative to its root, in order.
    pub(crate) async fn keys(&self) -> Vec<String> {
        let listed: Vec<_> = self
            .bucket
            .list(&self.root)
            .try_collect()
            .await
            .expect("a listing");
        let mut keys: Vec<_> = listed
            .iter()
            .map(|object| {
                let key = object.path.as_ref().strip_prefix(self.root.as_ref());
                key.expect("below the root")
                    .trim_start_matches('/')
                    .to_owned()
            })
            .collect();
        keys.sort();
        keys
    }

    /// Objects made of parts that were begun and neither completed nor aborted.
    pub(crate) async fn sessions(&self) -> Vec<Session> {
        self.bucket
            .sessions(&Scope::Below(self.root.clone()))
            .try_collect()
            .await
            .expect("a listing of sessions")
    }

    /// The ids of all uploads that it knows.
    pub(crate) async fn uploads(&self) -> Vec<String> {
        let keys = self.keys().await;
        keys.iter()
            .filter_map(|key| key.strip_prefix(".tus/uploads/").map(str::to_owned))
            .collect()
    }

    /// Removes what nothing refers to, however young it is.
    pub(crate) async fn reclaim(&self) {
        let later = SystemTime::now() + Duration::from_secs(3_600);
        let removed = self.storage().reclaim(later).await;
        removed.expect("leftovers are removed");
    }

    /// Fails the test unless nothing is left after cleaning but these uploads, all of them finished,
    /// and others that could not be told to their client and are empty.
    pub(crate) async fn expect_clean(&self, client: Client, urls: &[String]) {
        let known: Vec<_> = urls.iter().map(|url| key_of(url)).collect();
        for id in self.uploads().await {
            if !known.contains(&id.as_str()) {
                let url = format!("/files/{id}");
                // It may be one that is being joined, or the rest of a delete that was cut.
                wait::until_true("a delete", async || {
                    let answer = client.delete(&url).await.expect_any(&[204, 404, 503]);
                    answer.status != 503
                })
                .await;
            }
        }
        self.reclaim().await;
        let sessions = self.sessions().await;
        assert!(sessions.is_empty(), "{sessions:?}");
        for key in self.keys().await {
            let own = key.strip_prefix(".tus/").map(|rest| rest.split_once('/'));
            let is_known = match own {
                None => known.contains(&key.as_str()),
                Some(Some(("uploads" | "data", id))) => known.contains(&id),
                Some(_) => false,
            };
            assert!(is_known, "{key} is left over");
        }
    }

    /// The bytes of the object of this key, if there is one.
    pub(crate) async fn read(&self, key: &str) -> Option<Vec<u8>> {
        match self.bucket.get(&self.path(key), None).await {
            Ok(object) => Some(object.bytes.into()),
            Err(object_store::Error::NotFound { .. }) => None,
            Err(error) => panic!("{key}: {error:?}"),
        }
    }

    /// What a finished upload without a key of its own has become.
    pub(crate) async fn stored(&self, url: &str) -> Option<Vec<u8>> {
        self.read(key_of(url)).await
    }

    /// The object of this key as everybody sees it who has a signed URL.
    pub(crate) async fn fetch(&self, key: &str) -> Response {
        let path = self.path(key);
        if self.store.name == GCS {
            // Which wants a private key to sign with, and the double does not look at signatures.
            let bucket = self.store.url.replace("gs://", "");
            return get(&format!("http://{}/{bucket}/{path}", self.store.address())).await;
        }
        let signed = self.bucket.signed_url(&path, Duration::from_secs(60)).await;
        let url = signed.expect("a signature").expect("a store that signs");
        get(&url).await
    }
}

impl fmt::Debug for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.url, self.store.name)
    }
}

/// A plain GET of a URL on this machine.
pub(crate) async fn get(url: &str) -> Response {
    get_range(url, None).await
}

/// The same for some of the bytes.
pub(crate) async fn get_range(url: &str, range: Option<&str>) -> Response {
    let rest = url.strip_prefix("http://").expect("no TLS on this machine");
    let (host, target) = rest.split_once('/').expect("a path");
    let mut request = Request::new("GET", &format!("/{target}")).set("Host", host);
    if let Some(range) = range {
        request = request.header("Range", range);
    }
    let address = host.parse().expect("an address of this machine");
    Client::new(address).send(request).await
}
