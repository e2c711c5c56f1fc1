//! The URLs of unfinished uploads, where a user's programs keep such things.

use std::{
    env,
    ffi::OsString,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use tokio::task::spawn_blocking;
use tower_tus::client::{UrlStore, url_store::FileUrlStore};

use crate::exit::Usage;

#[derive(Debug, Clone, Args)]
pub(crate) struct State {
    /// File with the URLs of unfinished uploads [default: below the user's state directory]
    #[arg(long, value_name = "PATH")]
    pub(crate) store: Option<PathBuf>,
}

impl State {
    /// The file is created when there is something to keep.
    pub(crate) async fn open(&self) -> Result<Arc<dyn UrlStore>> {
        let path = self.path()?;
        let opened = path.clone();
        let store = spawn_blocking(move || FileUrlStore::open(&opened))
            .await?
            .with_context(|| format!("cannot keep URLs in {}", path.display()))?;
        Ok(Arc::new(store))
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

/// Removes the entries that are of no use any more.
pub(crate) async fn prune(store: &dyn UrlStore) -> Result<()> {
    if let Some(time) = SystemTime::now().checked_sub(KEPT) {
        let pruned = store.prune(time).await;
        pruned.map_err(|error| anyhow!(error).context("cannot tidy up the stored URLs"))?;
    }
    Ok(())
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

/// Servers remove what nobody went on with long before.
const KEPT: Duration = Duration::from_secs(90 * 24 * 60 * 60);

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
