use std::{
    ffi::OsStr,
    fmt,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
};

use super::eventually;

/// `tus` with these arguments and none of the environment's `TUS_*`.
pub(crate) fn tus<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tus"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TUS_") {
            command.env_remove(name);
        }
    }
    command.args(args);
    command
}

/// A program that serves HTTP and says where. It ends with this value.
pub(crate) struct Program {
    child: Child,
    output: Lines,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Program {
    /// Waits until the program names its address, on stdout or stderr.
    #[track_caller]
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let output = Lines::default();
        let stdout = output.follow(child.stdout.take().unwrap());
        let stderr = output.follow(child.stderr.take().unwrap());
        let mut readers = vec![stdout, stderr];
        let address = eventually("an address", || {
            let address = output.find_map(address);
            if address.is_none()
                && let Some(status) = child.try_wait().unwrap()
            {
                readers.drain(..).for_each(|reader| reader.join().unwrap());
                panic!("ended with {status}:\n{output:?}");
            }
            address
        });
        Self {
            child,
            output,
            address,
        }
    }

    /// `tus serve` on a free port with a storage and more arguments.
    #[track_caller]
    pub(crate) fn serve(storage: impl AsRef<OsStr>, args: &[&str]) -> Self {
        let mut command = tus(["serve", "--listen", "127.0.0.1:0", "--storage"]);
        command.arg(storage).args(args);
        Self::start(command)
    }

    /// Everything it wrote so far.
    pub(crate) fn output(&self) -> Vec<String> {
        self.output.0.lock().unwrap().clone()
    }

    /// The first line that has `text`, once it is there.
    #[track_caller]
    pub(crate) fn line(&self, text: &str) -> String {
        eventually(text, || {
            self.output
                .find_map(|line| line.contains(text).then(|| line.to_owned()))
        })
    }

    /// Where it tells about itself, if it was asked to.
    #[track_caller]
    pub(crate) fn admin(&self) -> SocketAddr {
        let line = self.line("listening for");
        let (_, address) = line.split_once("address=").unwrap();
        address.split(' ').next().unwrap().parse().unwrap()
    }

    /// How many files it may have open.
    #[cfg(target_os = "linux")]
    pub(crate) fn files(&self) -> String {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", self.child.id()));
        let limits = limits.unwrap();
        let line = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max open files"));
        line.unwrap().split_whitespace().next().unwrap().to_owned()
    }

    /// Sends a signal, as in `TERM`.
    #[cfg(unix)]
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(pid)
            .status();
        assert!(sent.expect("kill runs").success());
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        eventually("the end of the program", || self.child.try_wait().unwrap())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("output of the program:\n{:?}", self.output);
        }
    }
}

/// What a program that ended by itself left behind.
pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// Runs a program to its end, which has to come by itself.
    #[track_caller]
    pub(crate) fn of(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdout = read(child.stdout.take().unwrap());
        let stderr = read(child.stderr.take().unwrap());
        let mut child = Mortal(child);
        let status = eventually("the end of the program", || child.0.try_wait().unwrap());
        Self {
            code: status.code(),
            stdout: stdout.join().unwrap(),
            stderr: stderr.join().unwrap(),
        }
    }
}

/// A process that does not outlive its test.
struct Mortal(Child);

impl Drop for Mortal {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads while the program runs, so that no pipe ever fills.
fn read(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).unwrap();
        text
    })
}

/// Lines of stdout and stderr, read as they come so that no pipe ever fills.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn follow(&self, pipe: impl Read + Send + 'static) -> JoinHandle<()> {
        let lines = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                lines.0.lock().unwrap().push(line);
            }
        })
    }

    fn find_map<T>(&self, pick: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.0.lock().unwrap().iter().find_map(|line| pick(line))
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.lock().unwrap().join("\n"))
    }
}

fn address(line: &str) -> Option<SocketAddr> {
    let (_, url) = ["http://", "https://"]
        .iter()
        .find_map(|scheme| line.split_once(scheme))?;
    url.split(['/', '"', ' ']).next()?.parse().ok()
}
