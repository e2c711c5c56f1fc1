//! What systemd hands over, and what it is told. Without systemd nothing of this does anything.

use std::{collections::BTreeSet, io};

use super::listen::{Listen, Listener};

/// Sockets that were open when this process began.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    sockets: Vec<(String, Listener)>,
    /// Names that somebody asks for.
    claimed: BTreeSet<String>,
}

impl Inherited {
    /// Those that nobody has taken.
    pub(crate) fn left(&self) -> usize {
        self.sockets.len()
    }

    /// The sockets of a name; without one those that no other place to listen names.
    pub(crate) fn take(&mut self, name: Option<&str>) -> io::Result<Vec<Listener>> {
        let is_wanted = |socket: &mut (String, Listener)| match name {
            Some(name) => socket.0 == name,
            None => !self.claimed.contains(&socket.0),
        };
        let taken: Vec<_> = self.sockets.extract_if(.., is_wanted).collect();
        if taken.is_empty() {
            let reason = "systemd has opened no such socket for this process";
            return Err(io::Error::new(io::ErrorKind::NotFound, reason));
        }
        Ok(taken.into_iter().map(|(_, socket)| socket).collect())
    }

    fn claim<'l>(&mut self, places: impl IntoIterator<Item = &'l Listen>) {
        for place in places {
            if let Listen::Systemd(Some(name)) = place {
                self.claimed.insert(name.clone());
            }
        }
    }
}

#[cfg(unix)]
mod unix {
    use std::env;

    use anyhow::{Context, Result, bail};
    use listenfd::ListenFd;
    use sd_notify::NotifyState;
    use tokio::net::{TcpListener, UnixListener};
    use tracing::warn;

    use super::{Inherited, Listen, Listener};

    /// Sockets as numbers, before there is a runtime to wait for them.
    pub(crate) struct Passed {
        sockets: ListenFd,
        names: Vec<String>,
    }

    impl Passed {
        /// Takes them out of the environment; to be called before the first thread is started.
        pub(crate) fn take() -> Self {
            let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
            Self {
                names: names.split(':').map(str::to_owned).collect(),
                sockets: ListenFd::from_env(),
            }
        }

        /// Makes listeners of them, for whoever asks by `places`.
        pub(crate) fn open<'l>(
            mut self,
            places: impl IntoIterator<Item = &'l Listen>,
        ) -> Result<Inherited> {
            let mut inherited = Inherited::default();
            inherited.claim(places);
            for at in 0..self.sockets.len() {
                let name = self.names.get(at).cloned().unwrap_or_default();
                let listener = self.listener(at);
                let listener =
                    listener.with_context(|| format!("cannot use systemd's socket {name:?}"))?;
                inherited.sockets.push((name, listener));
            }
            Ok(inherited)
        }

        fn listener(&mut self, at: usize) -> Result<Listener> {
            // One that is of the other kind stays where it is.
            if let Ok(Some(tcp)) = self.sockets.take_tcp_listener(at) {
                tcp.set_nonblocking(true)?;
                return Ok(Listener::Tcp(TcpListener::from_std(tcp)?));
            }
            if let Some(unix) = self.sockets.take_unix_listener(at)? {
                unix.set_nonblocking(true)?;
                return Ok(Listener::Unix(UnixListener::from_std(unix)?));
            }
            bail!("it was taken before")
        }
    }

    /// Uploads are taken from now on.
    pub(crate) fn ready() {
        notify(NotifyState::Ready);
    }

    /// The end has begun.
    pub(crate) fn stopping() {
        notify(NotifyState::Stopping);
    }

    fn notify(state: NotifyState<'_>) {
        if let Err(error) = sd_notify::notify(&[state]) {
            warn!(%error, "cannot tell systemd");
        }
    }
}

#[cfg(not(unix))]
mod other {
    use anyhow::Result;

    use super::{Inherited, Listen};

    pub(crate) struct Passed;

    impl Passed {
        pub(crate) fn take() -> Self {
            Self
        }

        pub(crate) fn open<'l>(
            self,
            places: impl IntoIterator<Item = &'l Listen>,
        ) -> Result<Inherited> {
            let mut inherited = Inherited::default();
            inherited.claim(places);
            Ok(inherited)
        }
    }

    pub(crate) fn ready() {}

    pub(crate) fn stopping() {}
}

#[cfg(not(unix))]
pub(crate) use other::{Passed, ready, stopping};
#[cfg(unix)]
pub(crate) use unix::{Passed, ready, stopping};
