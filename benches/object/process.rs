//! What is measured, in its own process, and what the kernel says about it.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    client::{Connection, head},
    options::Settings,
    store::Store,
};

/// A running process; stopped when dropped.
pub(crate) struct Process {
    /// Of its `TusService`.
    pub(crate) address: SocketAddr,
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

/// What was used from one moment to another.
pub(crate) struct Reading {
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: Option<f64>,
    /// Sent to the store.
    pub(crate) requests: f64,
}

/// How long a process sends nothing that has nothing more to send. Longer than any answer of a sink takes.
const QUIET: Duration = Duration::from_millis(200);

impl Process {
    pub(crate) fn start(store: &Store, settings: Settings) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--serve", &settings.memory.to_string()])
            .envs(store.variables())
            // What is freed is given back: held memory is measured, and not what glibc keeps for later.
            .env("MALLOC_MMAP_THRESHOLD_", "131072")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take().expect("stdin is piped");
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut process = Self {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            child,
            stdin,
            stdout: BufReader::new(stdout),
        };
        let [port] = process.answer()?[..] else {
            return Err(io::Error::other("the child did not tell its port"));
        };
        process.address.set_port(port as u16);
        process.settle()?;
        Ok(process)
    }

    /// Waits until the sweep is over that comes with the first request.
    fn settle(&mut self) -> io::Result<()> {
        Connection::open(self.address)?.exchange(&head("/files/none"))?;
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut seen = -1.0;
        while Instant::now() < deadline {
            let requests = self.requests()?;
            if std::mem::replace(&mut seen, requests) == requests {
                return Ok(());
            }
            thread::sleep(QUIET);
        }
        Err(io::Error::other("the store is never left alone"))
    }

    /// Has it do something, and gives the figures that it answers.
    pub(crate) fn ask(&mut self, command: &str) -> io::Result<Vec<f64>> {
        writeln!(self.stdin, "{command}")?;
        self.answer()
    }

    /// Measures what `work` makes it do.
    pub(crate) fn meter(
        &mut self,
        work: impl FnOnce(&mut Self) -> io::Result<()>,
    ) -> io::Result<Reading> {
        let requests = self.requests()?;
        let cpu = self.cpu_seconds();
        let began = Instant::now();
        work(self)?;
        let seconds = began.elapsed().as_secs_f64();
        // What it still has to do after its last answer is its CPU time too, and its requests.
        thread::sleep(QUIET);
        Ok(Reading {
            seconds,
            cpu_seconds: cpu
                .zip(self.cpu_seconds())
                .map(|(before, after)| after - before),
            requests: self.requests()? - requests,
        })
    }

    /// The most memory that was resident at any time, in MiB.
    pub(crate) fn peak_mib(&self) -> io::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let mut lines = status.lines();
        let peak = lines.find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.parse::<f64>().ok());
        let kib = kib.ok_or_else(|| io::Error::other("the system does not tell of memory"))?;
        Ok(kib / 1024.0)
    }

    fn requests(&mut self) -> io::Result<f64> {
        Ok(self.ask("requests")?.iter().sum())
    }

    /// User and system time so far, to 10 ms.
    fn cpu_seconds(&self) -> Option<f64> {
        // 100 per second wherever Linux runs; the fields are counted from the end of the command's name.
        const TICKS_PER_SECOND: f64 = 100.0;
        const USER: usize = 11;
        const SYSTEM: usize = 12;

        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        let (_, fields) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
        Some((ticks(USER)? + ticks(SYSTEM)?) / TICKS_PER_SECOND)
    }

    /// One line of figures.
    fn answer(&mut self) -> io::Result<Vec<f64>> {
        let mut line = String::new();
        if self.stdout.read_line(&mut line)? == 0 {
            return Err(io::Error::other("the child ended"));
        }
        let figures: Result<_, _> = line.split_whitespace().map(str::parse).collect();
        figures.map_err(|_| io::Error::other(line.trim().to_owned()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
