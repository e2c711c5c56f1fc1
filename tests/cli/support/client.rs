use std::{
    ffi::OsStr,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
};

use serde_json::Value;
use tempfile::{TempDir, tempdir};

use super::{Output, Program, eventually, tus};

/// A directory with a server's files, a user's, and the user's state.
pub(crate) struct World {
    dir: TempDir,
    pub(crate) server: Program,
}

impl World {
    #[track_caller]
    pub(crate) fn new() -> Self {
        Self::serving(&[])
    }

    /// With more arguments for the server.
    #[track_caller]
    pub(crate) fn serving(args: &[&str]) -> Self {
        let dir = tempdir().unwrap();
        std::fs::create_dir(dir.path().join("home")).unwrap();
        let server = Program::serve(dir.path().join("server"), args);
        Self { dir, server }
    }

    /// Where uploads are created.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/files", self.server.address)
    }

    /// A file of the user's.
    #[track_caller]
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.home().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// What the server has of a finished upload.
    #[track_caller]
    pub(crate) fn stored(&self, url: &str) -> Vec<u8> {
        let id = url.trim().rsplit('/').next().unwrap();
        let path = self.dir.path().join("server").join(id);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// `tus` in the user's directory, with the user's state and no proxy of the environment.
    pub(crate) fn tus<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = tus(args);
        command.current_dir(self.home());
        command.env("XDG_STATE_HOME", self.dir.path().join("state"));
        for proxy in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
            command.env_remove(proxy);
        }
        command
    }

    /// Runs `tus` to its end.
    #[track_caller]
    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Output {
        Output::of(self.tus(args))
    }

    /// Runs `tus`, which has to succeed; the last line of its standard output.
    #[track_caller]
    pub(crate) fn ok<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        let output = self.run(args);
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        output.last_line()
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Output {
    pub(crate) fn last_line(&self) -> String {
        self.stdout.lines().last().unwrap_or_default().to_owned()
    }

    /// Each line of standard output, as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Vec<Value> {
        let lines = self.stdout.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().unwrap_or_else(|error| {
            panic!("{error}: {}\n{}", self.stdout, self.stderr);
        })
    }
}

/// A program that is at work.
pub(crate) struct Running {
    child: Child,
    stdout: Reader,
    stderr: Reader,
}

impl Running {
    #[track_caller]
    pub(crate) fn start(mut command: Command, input: Stdio) -> Self {
        let mut child = command
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        Self {
            stdout: Reader::new(child.stdout.take().unwrap()),
            stderr: Reader::new(child.stderr.take().unwrap()),
            child,
        }
    }

    /// Its standard input, to be written to.
    pub(crate) fn input(&mut self) -> impl Write + use<> {
        self.child.stdin.take().expect("standard input is piped")
    }

    /// Sends a signal, as in `INT`.
    #[cfg(unix)]
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(pid)
            .status();
        assert!(sent.expect("kill runs").success());
    }

    /// Waits until standard error has this.
    #[track_caller]
    pub(crate) fn says(&self, text: &str) {
        eventually(text, || self.stderr.text().contains(text).then_some(()));
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub(crate) fn wait(mut self) -> Output {
        let status = eventually("the end of the program", || self.child.try_wait().unwrap());
        self.stdout.join();
        self.stderr.join();
        Output {
            code: status.code(),
            stdout: self.stdout.text(),
            stderr: self.stderr.text(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads a pipe as it comes, so that it never fills.
struct Reader {
    text: Arc<Mutex<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    fn new(mut pipe: impl Read + Send + 'static) -> Self {
        let text: Arc<Mutex<Vec<u8>>> = Arc::default();
        let to = text.clone();
        let thread = thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = pipe.read(&mut piece) {
                to.lock().unwrap().extend_from_slice(&piece[..count]);
            }
        });
        Self {
            text,
            thread: Some(thread),
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned()
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}
