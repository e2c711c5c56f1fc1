use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};

/// A connection on which a failed write is not the end.
///
/// A server that refuses a request in its midst answers, and then closes its side: the client's next
/// write fails while the answer is there to be read. After the first such error nothing is written any
/// more, and reading decides: an answer, or the error that ends the connection.
pub(super) struct Patient<T> {
    io: T,
    route: Route,
    writes: Writes,
}

/// Whether requests of this connection go to a proxy that forwards them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Direct,
    Forwarded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writes {
    Work,
    Failed,
}

impl<T> Patient<T> {
    pub(super) fn new(io: T, route: Route) -> Self {
        Self {
            io,
            route,
            writes: Writes::Work,
        }
    }

    /// Pending for good: the task is woken by what is read.
    fn or_wait<V>(&mut self, written: Poll<io::Result<V>>) -> Poll<io::Result<V>> {
        match written {
            Poll::Ready(Err(error)) => {
                tracing::debug!(%error, "a write failed; waiting for the server's answer");
                self.writes = Writes::Failed;
                Poll::Pending
            }
            written => written,
        }
    }
}

impl<T: Read + Unpin> Read for Patient<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<T: Write + Unpin> Write for Patient<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.writes == Writes::Failed {
            return Poll::Pending;
        }
        let written = Pin::new(&mut self.io).poll_write(context, data);
        self.or_wait(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.writes == Writes::Failed {
            return Poll::Pending;
        }
        let written = Pin::new(&mut self.io).poll_write_vectored(context, data);
        self.or_wait(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.writes == Writes::Failed {
            return Poll::Pending;
        }
        let flushed = Pin::new(&mut self.io).poll_flush(context);
        self.or_wait(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.writes == Writes::Failed {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

impl<T: Connection> Connection for Patient<T> {
    fn connected(&self) -> Connected {
        let connected = self.io.connected();
        match self.route {
            Route::Forwarded => connected.proxy(true),
            Route::Direct => connected,
        }
    }
}
