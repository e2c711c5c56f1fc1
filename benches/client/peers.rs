//! Other people's clients: installed below the target directory, in the versions that `tests/interop` pins.
//!
//! Each is driven by a script of a few lines that makes a small upload, prints `ready`, waits for a line, uploads the
//! file, and prints `done`.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::scenarios::{Candidate, Job, Sum};

/// Where they are, if they are.
pub(crate) struct Peers {
    node: Option<PathBuf>,
    python: Option<PathBuf>,
}

impl Peers {
    pub(crate) fn none() -> Self {
        Self {
            node: None,
            python: None,
        }
    }

    /// Installs what is not there yet. Says what cannot be had.
    pub(crate) fn find() -> Self {
        let place = match place() {
            Ok(place) => place,
            Err(error) => {
                skip("tus-js-client, tuspy and aiotus", &error);
                return Self::none();
            }
        };
        Self {
            node: node(&place)
                .map_err(|error| skip("tus-js-client", &error))
                .ok(),
            python: python(&place)
                .map_err(|error| skip("tuspy and aiotus", &error))
                .ok(),
        }
    }

    pub(crate) fn have(&self, candidate: Candidate) -> bool {
        match candidate {
            Candidate::Raw | Candidate::Ours => true,
            Candidate::TusJs => self.node.is_some(),
            Candidate::Tuspy | Candidate::Aiotus => self.python.is_some(),
        }
    }

    pub(crate) fn command(&self, job: &Job) -> Command {
        let mut command = match job.candidate {
            Candidate::TusJs => {
                let mut node = Command::new("node");
                node.args(["--input-type=module", "--eval", TUS_JS, "--"]);
                // Where its modules are looked for.
                if let Some(directory) = &self.node {
                    node.current_dir(directory);
                }
                node
            }
            candidate => {
                let program = self.python.as_deref();
                let mut python = Command::new(program.unwrap_or_else(|| Path::new("python3")));
                let script = match candidate {
                    Candidate::Tuspy => TUSPY,
                    _ => AIOTUS,
                };
                python.args(["-c", script]);
                python
            }
        };
        command.arg(&job.endpoint).arg(&job.file);
        if job.scenario.sum == Sum::Sha1 {
            command.arg("sha1");
        }
        command
    }
}

/// Below the target directory, where `tests/interop/run` has them too.
fn place() -> io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    // target/release/deps/client-…
    let target = program.ancestors().nth(3);
    let target = target.ok_or_else(|| io::Error::other("there is no target directory"))?;
    Ok(target.join("interop"))
}

fn node(place: &Path) -> io::Result<PathBuf> {
    let directory = place.join("node");
    let lock = pinned("package-lock.json")?;
    if is_installed(&directory, &lock) {
        return Ok(directory);
    }
    fs::create_dir_all(&directory)?;
    fs::write(directory.join("package.json"), pinned("package.json")?)?;
    fs::write(directory.join("package-lock.json"), &lock)?;
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
    run(npm.current_dir(&directory))?;
    fs::write(directory.join(INSTALLED), &lock)?;
    Ok(directory)
}

fn python(place: &Path) -> io::Result<PathBuf> {
    let directory = place.join("venv");
    let program = directory.join("bin/python");
    let requirements = pinned("requirements.txt")?;
    if is_installed(&directory, &requirements) {
        return Ok(program);
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&directory))?;
    let list = interop().join("requirements.txt");
    let mut pip = Command::new(directory.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", "-r"]);
    run(pip.arg(list))?;
    fs::write(directory.join(INSTALLED), &requirements)?;
    Ok(program)
}

fn is_installed(directory: &Path, what: &[u8]) -> bool {
    fs::read(directory.join(INSTALLED)).is_ok_and(|installed| installed == what)
}

/// What of `tests/interop` names versions. It is not in the published crate.
fn pinned(name: &str) -> io::Result<Vec<u8>> {
    let path = interop().join(name);
    fs::read(&path).map_err(|error| io::Error::other(format!("tests/interop/{name}: {error}")))
}

fn interop() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop")
}

fn run(command: &mut Command) -> io::Result<()> {
    let name = command.get_program().display().to_string();
    let ended = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(io::Error::other(format!("{name}: {status}"))),
        Err(error) => Err(io::Error::other(format!("{name}: {error}"))),
    }
}

fn skip(what: &str, why: &io::Error) {
    eprintln!("SKIPPED: {what} because {why}");
}

const INSTALLED: &str = ".installed";
const TUS_JS: &str = include_str!("peers/tus-js.mjs");
const TUSPY: &str = include_str!("peers/tuspy_client.py");
const AIOTUS: &str = include_str!("peers/aiotus_client.py");
