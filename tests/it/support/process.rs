use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, Command, Stdio},
};

use tower_tus::{
    TusService,
    hooks::{Notice, Undelivered},
    storage::FileStorage,
};

use super::{Client, Site, crash::Mortal};

/// The ignored test that is the server in the other process.
const SERVER: &str = "crash::child";

/// Tells that test which directory to serve.
const ROOT: &str = "TUS_TEST_ROOT";

/// Tells that test where to write down what is finished, and in which manner.
const LOG: &str = "TUS_TEST_LOG";
const MANNER: &str = "TUS_TEST_MANNER";

/// What the other process says before its port.
const PORT: &str = "port: ";

/// A server on files in a process of its own, which is this program once more. Is killed when it is
/// dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    client: Client,
}

/// What a process does when an upload is finished, once it is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Tell,
    /// Never comes to an end.
    Hang,
    /// Ends the process.
    Die,
}

impl Process {
    pub(crate) fn start(root: &Path) -> Self {
        Self::spawn(root, |_| {})
    }

    /// A server that writes the event of each finished upload to `log`.
    pub(crate) fn announcing(root: &Path, log: &Path, manner: Manner) -> Self {
        Self::spawn(root, |command| {
            command.env(LOG, log).env(MANNER, format!("{manner:?}"));
        })
    }

    fn spawn(root: &Path, configure: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(env::current_exe().expect("this program"));
        configure(&mut command);
        let mut child = command
            .args(["--exact", SERVER, "--ignored", "--nocapture"])
            .env(ROOT, root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start this program once more");
        let mut output = BufReader::new(child.stdout.as_mut().expect("a pipe"));
        let port: u16 = loop {
            let mut line = String::new();
            let read = output.read_line(&mut line).expect("a line of text");
            assert_ne!(read, 0, "the other process ended without telling its port");
            if let Some((_, port)) = line.trim_end().split_once(PORT) {
                break port.parse().expect("a port");
            }
        };
        Self {
            child,
            client: Client::new(([127, 0, 0, 1], port).into()),
        }
    }

    pub(crate) fn client(&self) -> Client {
        self.client
    }

    /// SIGKILL, or what the system has instead; returns when the process is gone.
    pub(crate) fn kill(&mut self) {
        // Fails if it has ended by itself and was waited for.
        let _ = self.child.kill();
        self.child.wait().expect("the end of the other process");
    }

    /// The most memory it has had resident so far, in KiB.
    #[cfg(target_os = "linux")]
    pub(crate) fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))
            .expect("the state of the other process");
        status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .and_then(|size| size.trim().strip_suffix(" kB"))
            .and_then(|size| size.parse().ok())
            .expect("the other process has a peak")
    }
}

impl Mortal for Process {
    fn client(&self) -> Client {
        self.client
    }

    fn kill(&mut self) {
        Self::kill(self);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails if it was killed before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the other process does: serves until it is killed, or whoever started it is gone.
pub(crate) fn serve() {
    let Some(root) = env::var_os(ROOT) else {
        println!("not started by another test: there is nothing to serve");
        return;
    };
    let storage = FileStorage::open(root).expect("open the storage");
    let mut tus = TusService::new(storage).base_path("/files");
    if let Some(log) = env::var_os(LOG) {
        tus = tus.on_finish(move |notice| announce(log.clone(), notice));
    }
    let site = Site::serve(tus);
    println!("\n{PORT}{}", site.address().port());
    // The other end of the pipe closes with its process.
    let _ = io::stdin().read_to_end(&mut Vec::new());
}

async fn announce(log: OsString, notice: Notice) -> Result<(), Undelivered> {
    let mut log = fs::File::options().create(true).append(true).open(log);
    let log = log
        .as_mut()
        .map_err(|error| Undelivered::new(error.to_string()))?;
    writeln!(log, "{}", notice.id).map_err(Undelivered::new)?;
    match env::var(MANNER).as_deref() {
        Ok("Hang") => std::future::pending().await,
        Ok("Die") => std::process::abort(),
        _ => Ok(()),
    }
}
