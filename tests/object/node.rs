use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use crate::{
    store::Area,
    support::{Client, crash::Mortal},
};

/// A `tus serve` in a process of its own. Is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Node {
    child: Child,
    client: Client,
    log: Log,
}

/// What the process writes, line by line.
type Log = Arc<Mutex<Vec<String>>>;

impl Node {
    /// A server over this area that listens on a free port.
    pub(crate) fn start(area: &Area) -> Self {
        Self::with(area, &[])
    }

    /// The same with more flags.
    pub(crate) fn with(area: &Area, flags: &[&str]) -> Self {
        Self::try_with(area, flags).unwrap_or_else(|log| panic!("tus serve ended:\n{log}"))
    }

    /// Gives what the server says if it ends instead of serving.
    pub(crate) fn try_with(area: &Area, flags: &[&str]) -> Result<Self, String> {
        let mut child = command(area, flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("tus serve starts");
        let log = Log::default();
        let readers = [
            follow(&log, child.stdout.take().expect("a pipe")),
            follow(&log, child.stderr.take().expect("a pipe")),
        ];
        let begun = Instant::now();
        loop {
            if let Some(port) = port(&log) {
                let client = Client::new(([127, 0, 0, 1], port).into());
                return Ok(Self { child, client, log });
            }
            if let Some(status) = child.try_wait().expect("the state of tus serve") {
                for reader in readers {
                    reader.join().expect("a reader");
                }
                return Err(format!("{status}\n{}", log.lock().unwrap().join("\n")));
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "tus serve does not listen: {log:?}"
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn client(&self) -> Client {
        self.client
    }

    /// SIGKILL; returns when the process is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("kill tus serve");
        self.child.wait().expect("the end of tus serve");
    }

    /// SIGSTOP: the process stands still, with all of its connections.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    /// SIGCONT.
    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    /// SIGTERM; returns when the process has ended.
    pub(crate) fn terminate(&mut self) {
        self.signal("TERM");
        let status = self.child.wait().expect("the end of tus serve");
        assert!(status.success(), "{status}: {self:?}");
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &id])
            .status();
        assert!(sent.expect("kill runs").success(), "SIG{name}");
    }
}

impl Mortal for Node {
    fn client(&self) -> Client {
        self.client
    }

    fn kill(&mut self) {
        Self::kill(self);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Fails if it was killed before.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let log = self.log.lock().unwrap();
        if thread::panicking() {
            let last = log.len().saturating_sub(40);
            println!("--- {}\n{}", self.child.id(), log[last..].join("\n"));
        } else {
            let panicked = log.iter().find(|line| line.contains("panicked at"));
            assert_eq!(panicked, None, "a server panicked");
        }
    }
}

fn command(area: &Area, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tus"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if FOREIGN.iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command
        .envs(area.store.options())
        .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json"])
        .args(["--storage", &area.url])
        .args(flags);
    command
}

/// Variables that would change what is tested.
const FOREIGN: [&str; 5] = ["TUS_", "AWS_", "AZURE_", "AZURITE_", "GOOGLE_"];

fn follow(log: &Log, pipe: impl Read + Send + 'static) -> thread::JoinHandle<()> {
    let log = Arc::clone(log);
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines() {
            // A line that is cut off by the end of the process is no text, perhaps.
            log.lock().unwrap().push(line.unwrap_or_default());
        }
    })
}

/// Where the server has said that it listens.
fn port(log: &Log) -> Option<u16> {
    let log = log.lock().unwrap();
    let line = log.iter().find(|line| line.contains("\"listening\""))?;
    let (_, rest) = line.split_once("http://127.0.0.1:")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

const PATIENCE: Duration = Duration::from_secs(60);
