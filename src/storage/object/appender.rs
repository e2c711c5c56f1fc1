//! An upload that is open for writing.

use std::{
    mem,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::{runtime::Handle, sync::Mutex, task::JoinHandle, time::sleep};

use super::writer::{Reach, Writer};
use crate::{
    protocol::{Stage, Upload},
    storage::{AppendMode, Appender, Error, Result},
};

/// Hands bytes to a [`Writer`], and has it save them when the body pauses or goes on for long.
#[derive(Debug)]
pub(super) struct ObjectAppender {
    mode: AppendMode,
    line: Arc<Line>,
    watch: Option<Watch>,
}

/// What the appender shares with the one that watches for pauses.
#[derive(Debug)]
struct Line {
    writer: Mutex<Option<Writer>>,
    /// Bytes that a state names.
    stored: AtomicU64,
    /// Counts the beginnings and the ends of writes: odd while one is waiting for the store.
    writes: AtomicU64,
}

/// Counts a write; its end too, even if it is cut.
#[must_use]
struct Count<'a>(&'a AtomicU64);

/// Ends the task with the appender.
#[derive(Debug)]
struct Watch(JoinHandle<()>);

/// A body that brings nothing for so long may never bring anything again: what came is saved, for the
/// client may be at another node already.
const PAUSE: Duration = Duration::from_secs(1);

/// Fewer bytes than these are saved at growing intervals, up to the longest: a body that trickles would cost
/// a request at each pause.
const TRICKLE: u64 = 64 << 10;
const LONGEST: Duration = Duration::from_secs(30);

impl ObjectAppender {
    pub(super) fn new(writer: Writer, mode: AppendMode) -> Self {
        let line = Line {
            stored: AtomicU64::new(writer.stored()),
            writes: AtomicU64::new(0),
            writer: Mutex::new(Some(writer)),
        };
        Self {
            mode,
            line: Arc::new(line),
            watch: None,
        }
    }

    /// The writer, for the last time.
    async fn take_writer(&mut self) -> Result<Writer> {
        let watch = self.watch.take();
        let writer = self.line.writer.lock().await.take();
        drop(watch);
        writer.ok_or_else(ended)
    }
}

#[async_trait]
impl Appender for ObjectAppender {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        let _count = Count::begin(&self.line.writes);
        let mut writer = self.line.writer.lock().await;
        let writer = writer.as_mut().ok_or_else(ended)?;
        writer.write(&data).await?;
        if self.mode == AppendMode::Streaming && writer.is_due() {
            self.line.save(writer).await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        if self.watch.is_none() {
            let line = Arc::downgrade(&self.line);
            self.watch = Some(Watch(tokio::spawn(watch(line))));
        }
        Ok(())
    }

    fn visible(&self) -> u64 {
        self.line.stored.load(SeqCst)
    }

    async fn commit(mut self: Box<Self>) -> Result<u64> {
        let mut writer = self.take_writer().await?;
        let saved = writer.save(Reach::All).await;
        let stored = writer.stored();
        writer.close().await;
        saved.map(|()| stored)
    }

    async fn commit_and_finish(mut self: Box<Self>, _upload: &Upload) -> Result<(u64, Stage)> {
        let mut writer = self.take_writer().await?;
        let done = writer.save_and_finish().await;
        writer.close().await;
        done
    }

    async fn discard(mut self: Box<Self>) -> Result<()> {
        self.take_writer().await?.give_up().await;
        Ok(())
    }
}

/// As after [`discard`](Appender::discard), for a handler that panicked while it received.
impl Drop for ObjectAppender {
    fn drop(&mut self) {
        drop(self.watch.take());
        let line = Arc::clone(&self.line);
        let is_closed = line.writer.try_lock().is_ok_and(|writer| writer.is_none());
        if !is_closed && let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                if let Some(writer) = line.writer.lock().await.take() {
                    writer.give_up().await;
                }
            });
        }
    }
}

impl Line {
    async fn save(&self, writer: &mut Writer) -> Result<()> {
        let saved = writer.save(Reach::SoFar).await;
        self.stored.store(writer.stored(), SeqCst);
        saved
    }
}

/// Saves what was taken whenever nothing more has come for a while; or lets go of it, as long as it must
/// not count.
async fn watch(line: Weak<Line>) {
    let mut seen = 0;
    let mut interval = PAUSE;
    loop {
        sleep(PAUSE).await;
        let Some(line) = line.upgrade() else { return };
        let writes = line.writes.load(SeqCst);
        if mem::replace(&mut seen, writes) != writes || writes % 2 == 1 {
            continue;
        }
        let mut writer = line.writer.lock().await;
        if line.writes.load(SeqCst) != writes {
            continue;
        }
        let Some(writer) = writer.as_mut() else {
            return;
        };
        let saved = match (writer.mode(), writer.unsaved()) {
            (AppendMode::Atomic, _) => writer.let_go().await,
            (AppendMode::Streaming, 0) => Ok(()),
            (AppendMode::Streaming, 1..TRICKLE) if writer.last_saved() < interval => Ok(()),
            (AppendMode::Streaming, unsaved) => {
                interval = match unsaved < TRICKLE {
                    true => LONGEST.min(interval * 2),
                    false => PAUSE,
                };
                line.save(writer).await
            }
        };
        if let Err(error) = saved {
            // Whoever writes next, or commits, is told.
            tracing::debug!(%error, id = %writer.id(), "a pause was not used");
        }
    }
}

impl<'a> Count<'a> {
    fn begin(writes: &'a AtomicU64) -> Self {
        writes.fetch_add(1, SeqCst);
        Self(writes)
    }
}

impl Drop for Count<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn ended() -> Error {
    Error::Backend("the appender was used after its end".into())
}
