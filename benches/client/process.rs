//! Sink and client, each in a process of its own, and what the kernel says about the client.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::scenarios::Job;

/// A running sink; stopped when dropped.
pub(crate) struct Sink {
    process: Process,
    port: u16,
}

/// A client that is ready to upload; stopped when dropped.
pub(crate) struct Client(Process);

/// What one upload took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: Option<f64>,
    pub(crate) peak_mib: Option<f64>,
}

/// A child that writes a line now and then, and reads them.
struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// This program again, as a client.
pub(crate) fn again(job: &Job) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--client").args(job.arguments());
    Ok(command)
}

/// For the child: everything is warm, so tell the parent and wait for its word.
pub(crate) fn ready() -> io::Result<()> {
    println!("ready");
    io::stdin().read_line(&mut String::new())?;
    Ok(())
}

/// For the child: the last byte is acknowledged. Stays for the parent to look at.
pub(crate) fn done() -> io::Result<()> {
    println!("done");
    io::stdin().read_line(&mut String::new())?;
    Ok(())
}

impl Sink {
    pub(crate) fn start() -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut process = Process::start(command.arg("--sink"))?;
        let port = process.line()?.parse().map_err(io::Error::other)?;
        Ok(Self { process, port })
    }

    pub(crate) fn endpoint(&self) -> String {
        debug_assert!(self.process.child.id() > 0);
        format!("http://127.0.0.1:{}/files", self.port)
    }
}

impl Client {
    /// Waits until it has made a small upload.
    pub(crate) fn start(mut command: Command) -> io::Result<Self> {
        let mut process = Process::start(&mut command)?;
        process.expect("ready")?;
        Ok(Self(process))
    }

    pub(crate) fn measure(mut self) -> io::Result<Reading> {
        let process = &mut self.0;
        let cpu = process.cpu_seconds();
        let started = Instant::now();
        process.input.write_all(b"go\n")?;
        process.expect("done")?;
        let seconds = started.elapsed().as_secs_f64();
        // What it still has to do after the last answer is its CPU time too.
        thread::sleep(Duration::from_millis(20));
        Ok(Reading {
            seconds,
            cpu_seconds: cpu
                .zip(process.cpu_seconds())
                .map(|(before, after)| after - before),
            peak_mib: process.peak_mib(),
        })
    }
}

impl Process {
    fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Self {
            input: child.stdin.take().expect("stdin is piped"),
            output: BufReader::new(child.stdout.take().expect("stdout is piped")),
            child,
        })
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    fn expect(&mut self, word: &str) -> io::Result<()> {
        match self.line()? {
            line if line == word => Ok(()),
            line if line.is_empty() => Err(io::Error::other(format!("ended before it was {word}"))),
            line => Err(io::Error::other(line)),
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
    fn peak_mib(&self) -> Option<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kib / 1024.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
