//! A server in its own process, and what the kernel says about it.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::scenarios::Scenario;

/// The servers of this benchmark. The sinks come first, the library with its default durability last.
pub(crate) const OURS: &[&str] = &[
    "sink-tcp",
    "sink-hyper-inline",
    "tower-tus",
    "tower-tus-finish",
    #[cfg(feature = "actix")]
    IN_AXUM,
    #[cfg(feature = "actix")]
    IN_ACTIX,
];

/// The library in two frameworks, which are compared with each other.
pub(crate) const IN_AXUM: &str = "tower-tus-axum";
pub(crate) const IN_ACTIX: &str = "tower-tus-actix";

/// A server that can be started.
pub(crate) struct Candidate {
    pub(crate) name: String,
    /// The command of a peer; a server of ours is this program again.
    command: Option<String>,
}

/// A running server; stopped when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    child: Child,
}

/// Running clock and CPU time of a server, from one moment on.
pub(crate) struct Meter<'a> {
    server: &'a Server,
    started: Instant,
    cpu: Option<f64>,
}

/// What a [`Meter`] saw.
pub(crate) struct Reading {
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: Option<f64>,
    pub(crate) peak_mib: Option<f64>,
}

impl Candidate {
    pub(crate) fn own(role: &str) -> Self {
        Self {
            name: role.to_owned(),
            command: None,
        }
    }

    pub(crate) fn peer(name: &str, command: &str) -> Self {
        Self {
            name: name.to_owned(),
            command: Some(command.to_owned()),
        }
    }

    pub(crate) fn takes_part(&self, scenario: &Scenario) -> bool {
        let name = self.name.as_str();
        let in_framework = name == IN_AXUM || name == IN_ACTIX;
        in_framework == scenario.in_frameworks && !scenario.without.contains(&name)
    }
}

impl Server {
    pub(crate) fn start(candidate: &Candidate, dir: &Path) -> io::Result<Self> {
        match &candidate.command {
            None => Self::start_own(&candidate.name, dir),
            Some(command) => Self::start_peer(command, dir),
        }
    }

    /// A server of ours tells its port on standard output, and ends when its standard input does.
    fn start_own(role: &str, dir: &Path) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--serve", role])
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut server = Self {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            child,
        };
        BufReader::new(stdout).read_line(&mut line)?;
        let port = line
            .trim()
            .parse()
            .map_err(|_| io::Error::other(format!("{role} did not start")))?;
        server.address.set_port(port);
        Ok(server)
    }

    fn start_peer(command: &str, dir: &Path) -> io::Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let command = command
            .replace("{port}", &port.to_string())
            .replace("{dir}", &dir.display().to_string());
        // `exec`, so that the process that is measured and stopped is the server and not the shell.
        let child = Command::new("sh")
            .args(["-c", &format!("exec {command}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut server = Self {
            address: (Ipv4Addr::LOCALHOST, port).into(),
            child,
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(server.address).is_err() {
            if server.child.try_wait()?.is_some() || Instant::now() > deadline {
                return Err(io::Error::other(format!(
                    "nobody listens on port {port} after: {command}"
                )));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    pub(crate) fn meter(&self) -> Meter<'_> {
        Meter {
            server: self,
            cpu: self.cpu_seconds(),
            started: Instant::now(),
        }
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

    /// The most memory that was resident at any time, in MiB.
    pub(crate) fn peak_mib(&self) -> Option<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kib / 1024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Meter<'_> {
    pub(crate) fn stop(self) -> Reading {
        let seconds = self.started.elapsed().as_secs_f64();
        // What the server still has to do after its last answer is its CPU time too.
        thread::sleep(Duration::from_millis(20));
        let cpu_seconds = match (self.cpu, self.server.cpu_seconds()) {
            (Some(before), Some(after)) => Some(after - before),
            _ => None,
        };
        Reading {
            seconds,
            cpu_seconds,
            peak_mib: self.server.peak_mib(),
        }
    }
}

/// Whether the server's side of the connection from `client` has nothing unread; `None` where the system does not tell.
pub(crate) fn all_read(server: SocketAddr, client: SocketAddr) -> Option<bool> {
    let mut known = false;
    // A server on a dual-stack socket has its connections in the second table.
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let Ok(table) = fs::read_to_string(table) else {
            continue;
        };
        known = true;
        if let Some(unread) = unread(&table, server.port(), client.port()) {
            return Some(unread == 0);
        }
    }
    // A connection that is gone has nothing unread.
    known.then_some(true)
}

/// The receive queue of one connection in a table of `sl local_address rem_address st tx_queue:rx_queue …`.
fn unread(table: &str, local: u16, remote: u16) -> Option<u64> {
    let local = format!(":{local:04X}");
    let remote = format!(":{remote:04X}");
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().take(5).collect();
        let [_, from, to, _, queues] = fields[..] else {
            return None;
        };
        let (_, unread) = queues.split_once(':')?;
        (from.ends_with(&local) && to.ends_with(&remote))
            .then(|| u64::from_str_radix(unread, 16).ok())?
    })
}

/// Touches `bytes` of the memory that the next files will use.
///
/// A virtual machine may have given free pages back to its host; whoever touches them first pays for that.
/// Done shortly before each run, no server pays for it.
pub(crate) fn touch_memory(dir: &Path, bytes: u64) -> io::Result<()> {
    let path = dir.join("touch");
    let block = vec![1_u8; 1 << 20];
    let mut file = fs::File::create(&path)?;
    for _ in 0..bytes >> 20 {
        file.write_all(&block)?;
    }
    drop(file);
    fs::remove_file(path)
}

/// Raises this process's soft limit of open files to the hard one, which the servers inherit.
pub(crate) fn raise_open_files() {
    let pid = std::process::id().to_string();
    if let Some((_, hard)) = open_files() {
        let _ = Command::new("prlimit")
            .args(["--pid", &pid, &format!("--nofile={hard}:{hard}")])
            .stderr(Stdio::null())
            .status();
    }
}

/// The soft and the hard limit of open files.
pub(crate) fn open_files() -> Option<(u64, u64)> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    let mut numbers = line.split_ascii_whitespace().map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}
