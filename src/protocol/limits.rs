use std::time::Duration;

use super::Upload;

/// What a request may ask for. Every limit has a default and a clear 4xx or 503.
///
/// ```
/// use std::time::Duration;
/// use tower_tus::protocol::Limits;
///
/// let limits = Limits::default()
///     .max_size(8 << 30)
///     .max_metadata(4096)
///     .max_parts(100)
///     .max_body(64 << 20)
///     .max_writers(500)
///     .idle(Duration::from_secs(30), 1024);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    pub(crate) max_size: Option<u64>,
    pub(crate) max_metadata: usize,
    pub(crate) max_parts: usize,
    pub(crate) max_body: Option<u64>,
    pub(crate) max_writers: usize,
    pub(crate) idle_interval: Duration,
    pub(crate) idle_min_bytes: u64,
}

impl Limits {
    /// Largest upload, in bytes; beyond it 413. Announced as `Tus-Max-Size`. Default: no limit.
    #[must_use]
    pub fn max_size(mut self, bytes: u64) -> Self {
        self.max_size = Some(bytes);
        self
    }

    /// Longest `Upload-Metadata`, in bytes of the header's value; beyond it 431. Default: 16 KiB.
    #[must_use]
    pub fn max_metadata(mut self, bytes: usize) -> Self {
        self.max_metadata = bytes;
        self
    }

    /// Most parts of one concatenation; beyond it 413. Default: 1,000.
    #[must_use]
    pub fn max_parts(mut self, parts: usize) -> Self {
        self.max_parts = parts;
        self
    }

    /// Longest body of a single request, in bytes; beyond it 413. Bytes of a longer body whose
    /// length was not announced are kept up to the limit. Default: no limit.
    #[must_use]
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.max_body = Some(bytes);
        self
    }

    /// Most requests that write at the same time; beyond it 503 with `Retry-After`.
    /// Default: 10,000.
    #[must_use]
    pub fn max_writers(mut self, writers: usize) -> Self {
        self.max_writers = writers;
        self
    }

    /// A body that brings fewer than `min_bytes` in an `interval` is ended with 408; what came is
    /// kept. Default: 1 byte in 60 seconds. A zero interval switches the limit off.
    #[must_use]
    pub fn idle(mut self, interval: Duration, min_bytes: u64) -> Self {
        self.idle_interval = interval;
        self.idle_min_bytes = min_bytes;
        self
    }

    /// The limits of one upload, which may have a size of its own.
    pub(crate) fn of(&self, upload: &Upload) -> Self {
        let max_size = match (self.max_size, upload.max_size) {
            (Some(server), Some(own)) => Some(server.min(own)),
            (server, own) => server.or(own),
        };
        Self {
            max_size,
            ..self.clone()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_size: None,
            max_metadata: 16 << 10,
            max_parts: 1_000,
            max_body: None,
            max_writers: 10_000,
            idle_interval: Duration::from_secs(60),
            idle_min_bytes: 1,
        }
    }
}
