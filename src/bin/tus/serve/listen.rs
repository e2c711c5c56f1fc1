//! Where connections come in.

use std::{fmt, io, path::PathBuf, str::FromStr};

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};
use tower_tus::hooks::RemoteAddr;

#[cfg(unix)]
use super::socket::Socket;
use super::{args::Mode, systemd::Inherited};

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Listen {
    /// A host and a port. The host is only looked up when the server starts.
    Tcp(String),
    /// A socket in the file system.
    Unix(PathBuf),
    /// The sockets that systemd has opened: those of one name, or those that nobody else names.
    Systemd(Option<String>),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let listen = match text.split_once(':') {
            Some(("unix", "")) => return Err("names no socket, as in unix:/run/tus.sock".into()),
            Some(("unix", path)) => Self::Unix(path.into()),
            Some(("systemd", "")) => return Err("names no socket, as in systemd:uploads".into()),
            Some(("systemd", name)) => Self::Systemd(Some(name.into())),
            None if text == "systemd" => Self::Systemd(None),
            _ => return tcp(text),
        };
        match cfg!(unix) {
            true => Ok(listen),
            false => Err("this system has no such sockets".into()),
        }
    }
}

fn tcp(text: &str) -> Result<Listen, String> {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
            Ok(Listen::Tcp(text.into()))
        }
        _ => {
            Err("not a host and a port, as in 127.0.0.1:1080, nor unix:PATH or systemd:NAME".into())
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Systemd(None) => f.write_str("systemd"),
            Self::Systemd(Some(name)) => write!(f, "systemd:{name}"),
        }
    }
}

/// A socket that takes connections.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    /// A socket of our own.
    #[cfg(unix)]
    Socket(Socket),
    /// A socket of somebody else's, to whom its file belongs.
    #[cfg(unix)]
    Unix(UnixListener),
}

/// A connection, and how it came.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Stream {
    /// Who is at its other end, over a network.
    pub(crate) fn peer(&self) -> Option<RemoteAddr> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok().map(RemoteAddr),
            #[cfg(unix)]
            Self::Unix(_) => None,
        }
    }
}

impl Listener {
    /// Opens all of them, or none.
    pub(crate) async fn open(
        places: &[Listen],
        mode: Mode,
        inherited: &mut Inherited,
    ) -> Result<Vec<Self>> {
        let mut listeners = Vec::new();
        for place in places {
            let opened = Self::open_one(place, mode, inherited).await;
            listeners.extend(opened.with_context(|| format!("cannot listen on {place}"))?);
        }
        Ok(listeners)
    }

    async fn open_one(
        place: &Listen,
        mode: Mode,
        inherited: &mut Inherited,
    ) -> io::Result<Vec<Self>> {
        match place {
            Listen::Tcp(address) => Ok(vec![Self::Tcp(TcpListener::bind(address).await?)]),
            #[cfg(unix)]
            Listen::Unix(path) => Ok(vec![Self::Socket(Socket::bind(path, mode).await?)]),
            Listen::Systemd(name) => inherited.take(name.as_deref()),
            #[cfg(not(unix))]
            Listen::Unix(_) => {
                let _ = mode;
                Err(io::ErrorKind::Unsupported.into())
            }
        }
    }

    /// The next connection. Cancel-safe.
    pub(crate) async fn accept(&self) -> io::Result<Stream> {
        Ok(match self {
            Self::Tcp(listener) => Stream::Tcp(listener.accept().await?.0),
            #[cfg(unix)]
            Self::Socket(socket) => Stream::Unix(socket.listener().accept().await?.0),
            #[cfg(unix)]
            Self::Unix(listener) => Stream::Unix(listener.accept().await?.0),
        })
    }

    /// What a client would connect to.
    pub(crate) fn address(&self) -> Address {
        match self {
            Self::Tcp(listener) => match listener.local_addr() {
                Ok(address) => Address::Tcp(address),
                Err(_) => Address::Unnamed,
            },
            #[cfg(unix)]
            Self::Socket(socket) => Address::Unix(socket.path().into()),
            #[cfg(unix)]
            Self::Unix(listener) => {
                let address = listener.local_addr().ok();
                let path = address.and_then(|address| Some(address.as_pathname()?.to_owned()));
                path.map_or(Address::Unnamed, Address::Unix)
            }
        }
    }
}

/// Where a listener can be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp(std::net::SocketAddr),
    Unix(PathBuf),
    Unnamed,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Unnamed => f.write_str("a socket without a name"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        for good in ["127.0.0.1:0", "[::1]:80", "localhost:1080"] {
            assert_eq!(good.parse(), Ok(Listen::Tcp(good.into())));
        }
        #[cfg(unix)]
        for (text, place) in [
            ("unix:/run/tus.sock", Listen::Unix("/run/tus.sock".into())),
            ("systemd", Listen::Systemd(None)),
            ("systemd:admin", Listen::Systemd(Some("admin".into()))),
        ] {
            assert_eq!(text.parse(), Ok(place.clone()));
            assert_eq!(place.to_string(), text);
        }
        for bad in [
            "",
            "1080",
            ":1080",
            "localhost",
            "localhost:",
            "localhost:70000",
            "unix:",
            "systemd:",
            "systemd-socket",
        ] {
            assert!(bad.parse::<Listen>().is_err(), "{bad:?}");
        }
    }
}
