//! The stores on disk: the contract, several processes, and what may lie in their place.

// Outside `#[test]` functions clippy does not see that this is all test code.
#![allow(clippy::unwrap_used)]

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::BoxError;

use super::{Claim, FileUrlStore, Key, MemoryUrlStore, StoredUpload, UrlStore, conformance};

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_the_contract() {
    let store = MemoryUrlStore::new();
    conformance::all(&store).await;
    conformance::shared(&store, &store.clone()).await;
}

/// An entry that was replaced between the list and the claim.
#[tokio::test]
async fn prune_looks_again_at_what_it_claimed() {
    #[derive(Debug)]
    struct Replaced(MemoryUrlStore);

    #[async_trait]
    impl UrlStore for Replaced {
        async fn find(&self, key: &Key) -> Result<Option<StoredUpload>, BoxError> {
            self.0.find(key).await
        }
        async fn save(&self, upload: &StoredUpload) -> Result<(), BoxError> {
            self.0.save(upload).await
        }
        async fn remove(&self, key: &Key) -> Result<(), BoxError> {
            self.0.remove(key).await
        }
        async fn list(&self) -> Result<Vec<StoredUpload>, BoxError> {
            self.0.list().await
        }
        async fn claim(&self, key: &Key) -> Result<Option<Claim>, BoxError> {
            let fresh = StoredUpload::new(key.clone(), SystemTime::now());
            self.save(&fresh).await?;
            self.0.claim(key).await
        }
    }

    let store = Replaced(MemoryUrlStore::new());
    let old = StoredUpload::new(Key::new("a", "http://h/files"), UNIX_EPOCH);
    store.save(&old).await.unwrap();
    let removed = store.prune(UNIX_EPOCH + Duration::from_secs(9)).await;
    assert_eq!(removed.unwrap(), 0);
    assert!(store.find(&old.key).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_on_disk_keep_the_contract() {
    for open in ON_DISK {
        let directory = TempDir::new().unwrap();
        // A directory that is not there yet.
        let path = directory.path().join("state/uploads");
        let store = open(&path).unwrap();
        conformance::all(&*store).await;
        conformance::shared(&*store, &*open(&path).unwrap()).await;
        assert_eq!(left_beside(&path), [] as [&str; 0]);
    }
}

#[tokio::test]
async fn a_store_is_one_under_each_of_its_names() {
    for open in ON_DISK {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("uploads");
        let store = open(&path).unwrap();
        store.save(&upload("a")).await.unwrap();
        let roundabout = directory.path().join("state/../uploads");
        fs::create_dir(directory.path().join("state")).unwrap();
        let mut others = vec![roundabout];
        #[cfg(unix)]
        {
            let link = directory.path().join("link");
            std::os::unix::fs::symlink(&path, &link).unwrap();
            others.push(link);
        }
        for other in others {
            conformance::shared(&*store, &*open(&other).unwrap()).await;
        }
    }
}

/// Each process takes turns at one claim, and meanwhile keeps entries of its own.
#[test]
fn processes_share_a_store() {
    let name = "client::url_store::tests::processes_share_a_store";
    if let Some(role) = Role::of_this_process() {
        return role.play();
    }
    for kind in KINDS {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("uploads");
        let mut children: Vec<_> = (0..PROCESSES)
            .map(|number| Process::start(name, kind, &path, &format!("hammer {number}")))
            .collect();
        for child in &mut children {
            child.says("ready");
        }
        for child in &mut children {
            child.tell("go");
        }
        for child in &mut children {
            child.says("done");
            assert!(child.child.wait().unwrap().success());
        }
        let uploads = block_on(open_kind(kind, &path).list()).unwrap();
        let mut found: Vec<_> = uploads
            .into_iter()
            .map(|upload| upload.key.fingerprint)
            .collect();
        found.sort();
        let mut expected: Vec<_> = (0..PROCESSES)
            .flat_map(|process| (1..ROUNDS).step_by(2).map(move |at| own(process, at)))
            .collect();
        expected.push("turns".to_owned());
        expected.sort();
        assert_eq!(found, expected, "{kind}");
        let turns = block_on(open_kind(kind, &path).find(&key("turns"))).unwrap();
        let turns = turns.unwrap().size.unwrap();
        assert_eq!(turns, (PROCESSES * ROUNDS) as u64, "{kind}");
    }
}

#[test]
fn a_claim_ends_with_its_process() {
    let name = "client::url_store::tests::a_claim_ends_with_its_process";
    if let Some(role) = Role::of_this_process() {
        return role.play();
    }
    for kind in KINDS {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("uploads");
        let mut child = Process::start(name, kind, &path, "claim");
        child.says("claimed");
        let store = open_kind(kind, &path);
        assert!(block_on(store.claim(&key("turns"))).unwrap().is_none());
        child.child.kill().unwrap();
        child.child.wait().unwrap();
        let claim = block_on(store.claim(&key("turns"))).unwrap();
        assert!(claim.is_some(), "{kind}");
        drop(claim);
        assert_eq!(left_beside(&path), [] as [&str; 0]);
    }
}

#[tokio::test]
async fn a_damaged_file_is_set_aside() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("uploads.json");
    let store = FileUrlStore::open(&path).unwrap();
    store.save(&upload("a")).await.unwrap();
    let whole = fs::read(&path).unwrap();
    let cut = &whole[..whole.len() / 2];
    for (text, aside) in [
        (cut, "uploads.json.damaged"),
        (b"[]", "uploads.json.damaged.2"),
        (b"{\"uploads\": {}}", "uploads.json.damaged.3"),
        (b"\xff\x00", "uploads.json.damaged.4"),
    ] {
        fs::write(&path, text).unwrap();
        assert_eq!(store.find(&key("a")).await.unwrap(), None);
        assert_eq!(fs::read(directory.path().join(aside)).unwrap(), text);
        store.save(&upload("b")).await.unwrap();
        assert_eq!(store.list().await.unwrap(), [upload("b")]);
    }
    fs::write(&path, "{").unwrap();
    store.save(&upload("c")).await.unwrap();
    assert_eq!(store.list().await.unwrap(), [upload("c")]);
}

#[tokio::test]
async fn an_empty_file_is_an_empty_store() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("uploads.json");
    let store = FileUrlStore::open(&path).unwrap();
    fs::write(&path, " \n").unwrap();
    assert_eq!(store.list().await.unwrap(), []);
    store.remove(&key("a")).await.unwrap();
    assert_eq!(
        fs::read(&path).unwrap(),
        b" \n",
        "nothing was to be changed"
    );
    store.save(&upload("a")).await.unwrap();
    assert_eq!(store.list().await.unwrap(), [upload("a")]);
    assert_eq!(
        files(directory.path()),
        ["uploads.json", "uploads.json.lock"]
    );
}

#[tokio::test]
async fn what_this_version_does_not_know_stays() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("uploads.json");
    let later = json!({"fingerprint": "f", "endpoint": "e", "created": "tomorrow"});
    let document = json!({
        "later": [1],
        // As resumable-upload keeps them.
        "size:1--md5:00": "https://example.org/files/1",
        "uploads": [
            later,
            {
                "fingerprint": "a", "endpoint": "https://example.org/files", "created": 0,
                "later": {"a": 1}, "url": "https://example.org/files/0",
                "parts": [{"url": "/files/p", "start": 0, "length": 1, "sum": "x"}],
            },
        ],
    });
    fs::write(&path, document.to_string()).unwrap();
    let store = FileUrlStore::open(&path).unwrap();
    let mut known = store.list().await.unwrap();
    assert_eq!(known.len(), 1);
    let mut known = known.remove(0);
    known.size = Some(5);
    known.url = None;
    known.parts[0].length = 2;
    store.save(&known).await.unwrap();
    store.save(&upload("b")).await.unwrap();
    assert_eq!(store.find(&known.key).await.unwrap(), Some(known.clone()));
    let read = || -> Value { serde_json::from_slice(&fs::read(&path).unwrap()).unwrap() };
    let after = read();
    assert_eq!(after["later"], document["later"]);
    assert_eq!(after["size:1--md5:00"], document["size:1--md5:00"]);
    assert_eq!(after["uploads"][0], later);
    let entry = &after["uploads"][1];
    assert_eq!(entry["later"], json!({"a": 1}));
    assert_eq!(entry["url"], Value::Null);
    assert_eq!(
        entry["parts"],
        json!([{"url": "/files/p", "start": 0, "length": 2, "sum": "x"}])
    );
    store.remove(&known.key).await.unwrap();
    store.remove(&key("b")).await.unwrap();
    assert_eq!(read()["uploads"], json!([later]));
}

#[cfg(feature = "client-sqlite")]
#[tokio::test]
async fn columns_of_a_later_version_stay() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("uploads.db");
    let store = open_kind("sqlite", &path);
    store.save(&upload("a")).await.unwrap();
    let database = rusqlite::Connection::open(&path).unwrap();
    let more = "ALTER TABLE uploads ADD COLUMN later TEXT; UPDATE uploads SET later = 'x'";
    database.execute_batch(more).unwrap();
    let changed = StoredUpload {
        size: Some(9),
        ..upload("a")
    };
    store.save(&changed).await.unwrap();
    assert_eq!(store.list().await.unwrap(), [changed]);
    let query = "SELECT later FROM uploads";
    let later: String = database.query_one(query, [], |row| row.get(0)).unwrap();
    assert_eq!(later, "x");
}

#[tokio::test]
async fn what_is_no_store_is_left_alone() {
    let directory = TempDir::new().unwrap();
    for open in ON_DISK {
        let listed: Result<_, BoxError> = match open(directory.path()) {
            Ok(store) => store.list().await,
            Err(error) => Err(error.into()),
        };
        assert!(listed.is_err(), "a directory is no store");
    }
    #[cfg(feature = "client-sqlite")]
    {
        let path = directory.path().join("letter.txt");
        let text = "Dear database, ".repeat(100);
        fs::write(&path, &text).unwrap();
        let error = super::SqliteUrlStore::open(&path).unwrap_err();
        assert!(error.to_string().contains("letter.txt"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_can_read_a_store() {
    use std::os::unix::fs::PermissionsExt;

    for open in ON_DISK {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("state/uploads");
        let store = open(&path).unwrap();
        let _claim = store.claim(&key("a")).await.unwrap();
        store.save(&upload("a")).await.unwrap();
        store.save(&upload("b")).await.unwrap();
        let mut unchecked = vec![directory.path().join("state")];
        let mut seen = 0;
        while let Some(path) = unchecked.pop() {
            let about = fs::metadata(&path).unwrap();
            let mode = about.permissions().mode() & 0o777;
            if about.is_dir() {
                assert_eq!(mode, 0o700, "{path:?}");
                unchecked.extend(
                    fs::read_dir(&path)
                        .unwrap()
                        .map(|entry| entry.unwrap().path()),
                );
            } else {
                assert_eq!(mode, 0o600, "{path:?}");
                seen += 1;
            }
        }
        assert!(seen >= 3, "the store, its lock and a claim");
    }
}

/// What a child process of a test is there for.
struct Role {
    store: Arc<dyn UrlStore>,
    path: PathBuf,
    part: String,
}

impl Role {
    fn of_this_process() -> Option<Self> {
        let path = PathBuf::from(env::var_os(PATH)?);
        let kind = env::var(KIND).unwrap();
        Some(Self {
            store: open_kind(&kind, &path),
            path,
            part: env::var(PART).unwrap(),
        })
    }

    fn play(&self) {
        match self.part.strip_prefix("hammer ") {
            Some(number) => block_on(self.hammer(number.parse().unwrap())),
            None => {
                let _claim = block_on(self.store.claim(&key("turns"))).unwrap().unwrap();
                say("claimed");
                hear();
            }
        }
    }

    async fn hammer(&self, process: usize) {
        say("ready");
        hear();
        for at in 0..ROUNDS {
            self.store.save(&upload(&own(process, at))).await.unwrap();
            self.turn().await;
            if at % 2 == 0 {
                self.store.remove(&key(&own(process, at))).await.unwrap();
            }
        }
        say("done");
    }

    /// Counts up what only the owner of the claim may touch.
    async fn turn(&self) {
        let _claim = loop {
            match self.store.claim(&key("turns")).await.unwrap() {
                Some(claim) => break claim,
                None => tokio::task::yield_now().await,
            }
        };
        let mark = self.path.with_extension("mark");
        fs::File::create_new(&mark).expect("nobody else is in here");
        let mut turns = self.store.find(&key("turns")).await.unwrap();
        let turns = turns.get_or_insert_with(|| upload("turns"));
        turns.size = Some(turns.size.unwrap_or_default() + 1);
        self.store.save(turns).await.unwrap();
        fs::remove_file(mark).unwrap();
    }
}

/// This test binary once more, for one test and in a role.
struct Process {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Process {
    fn start(test: &str, kind: &str, path: &Path, part: &str) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(PATH, path)
            .env(KIND, kind)
            .env(PART, part)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    /// Waits for a line that ends so; the test harness may have begun it.
    fn says(&mut self, what: &str) {
        let mut line = String::new();
        while !line.trim_end().ends_with(what) {
            line.clear();
            let read = self.output.read_line(&mut line).unwrap();
            assert!(read > 0, "it ended before it said {what:?}");
        }
    }

    fn tell(&mut self, what: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{what}").unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// To the process that started this one.
fn say(what: &str) {
    println!("{what}");
}

/// Waits for a line, or for the end of the process that started this one.
fn hear() {
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

type Open = fn(&Path) -> std::io::Result<Arc<dyn UrlStore>>;

const ON_DISK: &[Open] = &[
    |path| Ok(Arc::new(FileUrlStore::open(path)?)),
    #[cfg(feature = "client-sqlite")]
    |path| Ok(Arc::new(super::SqliteUrlStore::open(path)?)),
];

/// As `ON_DISK`.
const KINDS: &[&str] = &[
    "file",
    #[cfg(feature = "client-sqlite")]
    "sqlite",
];

const PROCESSES: usize = 3;
const ROUNDS: usize = 20;

const PATH: &str = "TOWER_TUS_TEST_PATH";
const KIND: &str = "TOWER_TUS_TEST_KIND";
const PART: &str = "TOWER_TUS_TEST_PART";

fn open_kind(kind: &str, path: &Path) -> Arc<dyn UrlStore> {
    let at = KINDS.iter().position(|known| *known == kind).unwrap();
    ON_DISK[at](path).unwrap()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

/// The files of claims and unfinished changes.
fn left_beside(path: &Path) -> Vec<String> {
    let mut left = files(path.parent().unwrap());
    left.retain(|name| !name.ends_with("uploads") && !name.ends_with(".lock"));
    left
}

fn files(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap().map(|entry| {
        let name = entry.unwrap().file_name();
        name.into_string().unwrap()
    });
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

fn own(process: usize, at: usize) -> String {
    format!("{process}-{at:03}")
}

fn key(fingerprint: &str) -> Key {
    Key::new(fingerprint, "https://example.org/files")
}

fn upload(fingerprint: &str) -> StoredUpload {
    StoredUpload::new(key(fingerprint), UNIX_EPOCH)
}
