use std::env;

/// What stands between the socket and the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Front {
    /// hyper, and nothing else.
    Hyper,
    /// axum, with the service nested.
    Axum,
    /// actix-web, with the service as a scope.
    #[cfg(feature = "actix")]
    Actix,
}

/// Names the front of a run of the tests.
pub(crate) const FRONT: &str = "TUS_FRONT";

impl Front {
    /// The one that this run is about: hyper, unless the environment says otherwise.
    pub(crate) fn current() -> Self {
        match env::var(FRONT).as_deref() {
            Err(_) | Ok("hyper") => Self::Hyper,
            Ok("axum") => Self::Axum,
            #[cfg(feature = "actix")]
            Ok("actix") => Self::Actix,
            Ok(name) => panic!("{FRONT} is {name}, which is no front of this build"),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hyper => "hyper",
            Self::Axum => "axum",
            #[cfg(feature = "actix")]
            Self::Actix => "actix",
        }
    }

    /// Whether the service sees what follows a body.
    pub(crate) fn brings_trailers(self) -> bool {
        match self {
            Self::Hyper | Self::Axum => true,
            #[cfg(feature = "actix")]
            Self::Actix => false,
        }
    }

    /// Whether the service sees where a connection comes from.
    #[cfg(feature = "webhook")]
    pub(crate) fn tells_addresses(self) -> bool {
        match self {
            Self::Hyper | Self::Axum => false,
            #[cfg(feature = "actix")]
            Self::Actix => true,
        }
    }

    /// How many bytes it may forget that it has read, when a connection ends while the storage is busy.
    pub(crate) fn forgets(self) -> u64 {
        match self {
            Self::Hyper | Self::Axum => 0,
            #[cfg(feature = "actix")]
            Self::Actix => 128 << 10,
        }
    }
}
