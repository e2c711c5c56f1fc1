use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use http::Uri;
use tokio::{
    io::{self, AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Mutex, watch},
    task::JoinHandle,
};

/// How connections break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The server sees the end of what was sent, and the client a connection that is gone, without an
    /// answer.
    Fin,
    /// Both see a reset; what the server has not read yet is lost.
    Reset,
    /// Nothing is forwarded any more until the client goes away.
    Hold,
    /// The client sees the end after so many bytes of answers.
    Answers,
}

/// A TCP proxy that breaks connections after a number of bytes, of the client unless the cut says otherwise,
/// some times.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    server: String,
    cut: Cut,
    after: u64,
    /// Bytes until the next cut, and cuts that are left.
    budget: Mutex<(u64, usize)>,
    cuts: watch::Sender<usize>,
    carried: AtomicU64,
}

impl Proxy {
    pub(crate) async fn start(server: &Uri, cut: Cut, after: usize, times: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            server: server.authority().unwrap().to_string(),
            cut,
            after: after as u64,
            budget: Mutex::new((after as u64, times)),
            cuts: watch::Sender::new(0),
            carried: AtomicU64::new(0),
        });
        let serving = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let shared = Arc::clone(&serving);
                tokio::spawn(async move {
                    // One side is gone: so is the other.
                    let _ = shared.serve(client).await;
                });
            }
        });
        Self {
            address,
            shared,
            task,
        }
    }

    pub(crate) fn endpoint(&self) -> Uri {
        format!("http://{}/files", self.address).parse().unwrap()
    }

    pub(crate) fn cuts(&self) -> usize {
        *self.shared.cuts.borrow()
    }

    /// Returns after the first cut.
    pub(crate) async fn cut(&self) {
        let mut cuts = self.shared.cuts.subscribe();
        let cut = cuts.wait_for(|cuts| *cuts > 0);
        let cut = tokio::time::timeout(PATIENCE, cut).await;
        cut.expect("the client sends enough").unwrap();
    }

    /// All bytes that went to the server, heads of requests too.
    pub(crate) fn carried(&self) -> u64 {
        self.shared.carried.load(SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    async fn serve(self: Arc<Self>, client: TcpStream) -> io::Result<()> {
        let server = TcpStream::connect(&self.server).await?;
        let (mut from_client, to_client) = client.into_split();
        let (from_server, mut to_server) = server.into_split();
        let answers = tokio::spawn(Arc::clone(&self).answer(from_server, to_client));
        let cuts = self.cut != Cut::Answers;
        while let Some(piece) = read(&mut from_client).await? {
            let (now, cut) = if cuts {
                self.allow(piece.len()).await
            } else {
                (piece.len(), false)
            };
            to_server.write_all(&piece[..now]).await?;
            self.carried.fetch_add(now as u64, SeqCst);
            if !cut {
                continue;
            }
            self.cuts.send_modify(|cuts| *cuts += 1);
            match self.cut {
                Cut::Fin | Cut::Answers => {}
                Cut::Reset => {
                    to_server.as_ref().set_zero_linger()?;
                    from_client.as_ref().set_zero_linger()?;
                }
                Cut::Hold => while read(&mut from_client).await?.is_some() {},
            }
            // The server's last words are for nobody.
            answers.abort();
            break;
        }
        if self.cut != Cut::Reset {
            to_server.shutdown().await?;
        }
        let _ = answers.await;
        Ok(())
    }

    async fn answer(
        self: Arc<Self>,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
    ) -> io::Result<()> {
        let cuts = self.cut == Cut::Answers;
        while let Some(piece) = read(&mut from).await? {
            let (now, cut) = if cuts {
                self.allow(piece.len()).await
            } else {
                (piece.len(), false)
            };
            to.write_all(&piece[..now]).await?;
            if cut {
                self.cuts.send_modify(|cuts| *cuts += 1);
                break;
            }
        }
        to.shutdown().await
    }

    /// How many of these bytes go on, and whether the connection breaks then.
    async fn allow(&self, count: usize) -> (usize, bool) {
        let mut budget = self.budget.lock().await;
        let (left, times) = &mut *budget;
        if *times == 0 {
            return (count, false);
        }
        let now = (count as u64).min(*left);
        *left -= now;
        if *left > 0 {
            return (now as usize, false);
        }
        *times -= 1;
        *left = self.after;
        (now as usize, true)
    }
}

async fn read(from: &mut OwnedReadHalf) -> io::Result<Option<Vec<u8>>> {
    let mut piece = Vec::with_capacity(64 << 10);
    let count = from.read_buf(&mut piece).await?;
    Ok((count > 0).then_some(piece))
}

/// How long anything may take that has to happen.
const PATIENCE: Duration = Duration::from_secs(30);
