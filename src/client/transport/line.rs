use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
#[cfg(any(target_os = "android", target_os = "linux"))]
use socket2::SockRef;
use tokio::{net::TcpStream, time::Instant};

use crate::client::body::Pulse;

/// A TCP connection that tells, by its [`Written`], whether bytes still get through.
///
/// The operating system would take megabytes at once and then nothing until a third of them is gone: on a
/// slow line that looks like one that stands still. So it takes little until the line is known to be fast.
pub(super) struct Line {
    io: TokioIo<TcpStream>,
    written: Written,
    /// What was written since then, until the line was judged.
    bytes: u64,
    since: Option<Instant>,
}

/// Beats with each write that succeeds.
#[derive(Debug, Clone, Default)]
pub(super) struct Written(pub(super) Pulse);

impl Line {
    pub(super) fn new(io: TokioIo<TcpStream>) -> Self {
        let this = Self {
            io,
            written: Written::default(),
            bytes: 0,
            since: None,
        };
        this.hold(CAUTIOUS);
        this
    }

    fn wrote(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count @ 1..)) = written {
            self.written.0.beat();
            self.judge(count as u64);
        }
        written
    }

    fn judge(&mut self, count: u64) {
        let since = *self.since.get_or_insert_with(Instant::now);
        self.bytes += count;
        if self.bytes < SAMPLE {
            return;
        }
        match since.elapsed() < FAST {
            true => self.hold(FREELY),
            false => self.hold(CAUTIOUS),
        }
        self.bytes = 0;
        self.since = None;
    }

    /// Has the operating system take so many bytes beyond those that are on their way; 0 is as many as it
    /// wants.
    #[cfg(any(target_os = "android", target_os = "linux"))]
    fn hold(&self, bytes: u32) {
        if let Err(error) = SockRef::from(self.io.inner()).set_tcp_notsent_lowat(bytes) {
            tracing::debug!(%error, "the operating system takes as much as it wants");
        }
    }

    #[cfg(not(any(target_os = "android", target_os = "linux")))]
    fn hold(&self, _bytes: u32) {}
}

impl Read for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl Write for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(context, data);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(context, data);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

impl Connection for Line {
    fn connected(&self) -> Connected {
        self.io.connected().extra(self.written.clone())
    }
}

/// With so much and no more a line of 4 KB/s moves within the default limits.
const CAUTIOUS: u32 = 128 << 10;
const FREELY: u32 = 0;

/// A line that takes the sample within this time has nothing to fear from large buffers.
const SAMPLE: u64 = 8 << 20;
const FAST: Duration = Duration::from_secs(8);
