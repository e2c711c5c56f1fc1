use futures::FutureExt;
use tokio::task::JoinHandle;
use tower_tus::{
    protocol::{Length, Upload},
    storage::AppendMode,
};

use crate::{
    handler::{Handler, Outcome, Patch, PatchEnd, Rivalry},
    network::Weather,
    promises::Promises,
    random::Random,
    schedule::Time,
    world::World,
};

/// Sends one upload, and goes from node to node meanwhile.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) upload: Upload,
    pub(crate) promises: Promises,
    length: u64,
    part: u64,
    /// What it is joined from.
    parts: Option<Vec<Upload>>,
    /// Whether it may give up the upload.
    patience: Patience,
    rivalry: Rivalry,
    random: Random,
    phase: Phase,
    request: Option<Request>,
    beaten: bool,
    /// Requests that it does not wait for any more.
    strays: Vec<Request>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    Endless,
    Limited,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Create,
    /// It has to ask where the upload stands.
    Ask,
    Send(u64),
    Delete,
    Done,
}

#[derive(Debug)]
struct Request {
    node: usize,
    phase: Phase,
    task: JoinHandle<Outcome>,
}

impl Client {
    pub(crate) fn new(upload: Upload, length: u64, part: u64, mut random: Random) -> Self {
        Self {
            upload,
            promises: Promises::new(random.next()),
            length,
            part,
            parts: None,
            patience: Patience::Endless,
            rivalry: Rivalry::None,
            random,
            phase: Phase::Create,
            request: None,
            beaten: false,
            strays: Vec::new(),
        }
    }

    pub(crate) fn joined_from(mut self, parts: Vec<Upload>) -> Self {
        self.parts = Some(parts);
        self
    }

    pub(crate) fn patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    pub(crate) fn rivalry(mut self, rivalry: Rivalry) -> Self {
        self.rivalry = rivalry;
        self
    }

    /// Whether it has given up, for the key is another's.
    pub(crate) fn is_beaten(&self) -> bool {
        self.beaten
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// What it is joined from.
    pub(crate) fn parts(&self) -> Option<&[Upload]> {
        self.parts.as_deref()
    }

    pub(crate) fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    /// Whether a node still works for it.
    pub(crate) fn is_served(&self) -> bool {
        self.request.is_some() || !self.strays.is_empty()
    }

    /// Has the upload removed, finished or not.
    pub(crate) fn delete(&mut self) {
        self.phase = Phase::Delete;
    }

    /// Hears answers, and sends the next request. Says whether it has.
    pub(crate) fn step(&mut self, world: &World, time: Time) -> bool {
        self.strays
            .retain_mut(|stray| stray.outcome(world).is_none());
        if let Some(request) = &mut self.request {
            match request.outcome(world) {
                Some(outcome) => {
                    world.network.note(|| format!("= {outcome:?}"));
                    self.request = None;
                    self.hear(outcome);
                }
                None if world.network.weather() == Weather::Stormy && self.random.percent(2) => {
                    world.network.note(|| "~ the client goes away".to_owned());
                    self.strays.extend(self.request.take());
                    self.ask();
                }
                None => return false,
            }
        }
        if self.is_done() || time == Time::Evening {
            return false;
        }
        // One that is still being created could be there again afterwards.
        let mut strays = self.strays.iter();
        let exists =
            self.phase != Phase::Create && !strays.any(|stray| stray.phase == Phase::Create);
        if self.patience == Patience::Limited && exists && self.random.percent(3) {
            self.phase = Phase::Delete;
        }
        self.send(world);
        true
    }

    /// A node has died: nothing that it does is heard of.
    pub(crate) fn node_died(&mut self, node: usize) {
        self.strays
            .retain(|stray| stray.node != node || stray.kill());
        if self
            .request
            .as_ref()
            .is_some_and(|request| request.node == node)
        {
            self.request.take().map(|request| request.kill());
            self.ask();
        }
    }

    /// One of the calls of a storage is cut.
    pub(crate) fn cut_one(&mut self) -> bool {
        let Some(stray) = self.strays.pop() else {
            return false;
        };
        stray.kill();
        true
    }

    fn ask(&mut self) {
        if let Phase::Send(_) = self.phase {
            self.phase = Phase::Ask;
        }
    }

    fn hear(&mut self, outcome: Outcome) {
        self.phase = match (self.phase, outcome) {
            (Phase::Done, _) | (_, Outcome::Finished) if self.phase != Phase::Delete => Phase::Done,
            (Phase::Create | Phase::Delete, Outcome::Unknown) => self.phase,
            (_, Outcome::Unknown) => Phase::Ask,
            (Phase::Delete, Outcome::Gone) => Phase::Done,
            (Phase::Delete, _) => Phase::Delete,
            (_, Outcome::Gone) => Phase::Done,
            (_, Outcome::Taken) => {
                self.beaten = true;
                Phase::Done
            }
            (_, Outcome::At(offset)) => Phase::Send(offset),
            (_, Outcome::Finished) => Phase::Done,
        };
        if self.parts.is_some() && matches!(self.phase, Phase::Send(_)) {
            self.phase = Phase::Ask;
        }
    }

    fn send(&mut self, world: &World) {
        let node = match self.random.percent(60) {
            true => 0,
            false => self.random.below(world.nodes()),
        };
        let handler = Handler {
            storage: world.storage(node),
            promises: self.promises.clone(),
            network: world.network.clone(),
            rivalry: self.rivalry,
        };
        let id = self.upload.id.clone();
        let task = match self.phase {
            Phase::Create => {
                world.network.note(|| format!("{node}: POST {id}"));
                tokio::spawn(handler.create(self.upload.clone()))
            }
            Phase::Delete => {
                world.network.note(|| format!("{node}: DELETE {id}"));
                tokio::spawn(handler.delete(id))
            }
            Phase::Send(offset) if self.parts.is_none() => {
                let patch = self.patch(offset, world.network.weather());
                world.network.note(|| {
                    let Patch {
                        chunks,
                        mode,
                        end,
                        declare,
                        ..
                    } = &patch;
                    format!("{node}: PATCH {id} {offset} {chunks:?} {mode:?} {end:?} {declare:?}")
                });
                tokio::spawn(handler.patch(id, patch))
            }
            _ => match &self.parts {
                Some(parts) => {
                    world.network.note(|| format!("{node}: join {id}"));
                    tokio::spawn(handler.join(id, parts.clone()))
                }
                None => {
                    world.network.note(|| format!("{node}: HEAD {id}"));
                    tokio::spawn(handler.head(id))
                }
            },
        };
        self.request = Some(Request {
            node,
            phase: self.phase,
            task,
        });
    }

    fn patch(&mut self, offset: u64, weather: Weather) -> Patch {
        let random = &mut self.random;
        let left = self.length.saturating_sub(offset);
        let most = random.one_of(&[1, self.part / 3, self.part, 2 * self.part, 5 * self.part]);
        let mut size = random.within(0..=left.min(most.max(1)));
        if weather == Weather::Calm || random.percent(20) {
            size = left;
        }
        let reaches_end = offset + size == self.length;
        let deferred = self.upload.length == Length::Deferred;
        let declare = deferred && (reaches_end || random.percent(30));
        let mode = match random.percent(70) {
            true => AppendMode::Streaming,
            false => AppendMode::Atomic,
        };
        let end = match (weather, random.below(100)) {
            (Weather::Stormy, 0..8) => PatchEnd::Discard,
            (Weather::Stormy, 8..12) => PatchEnd::Drop,
            (_, 0..55) => PatchEnd::CommitAndFinish,
            _ => PatchEnd::Commit,
        };
        let mut chunks = Vec::new();
        while size > 0 {
            let chunk = random
                .within(1..=size)
                .min(random.within(1..=2 * self.part));
            chunks.push(chunk);
            size -= chunk;
        }
        Patch {
            offset,
            chunks,
            mode,
            end,
            declare: declare.then_some(self.length),
            random: random.fork(),
        }
    }
}

impl Request {
    fn outcome(&mut self, world: &World) -> Option<Outcome> {
        if !self.task.is_finished() {
            return None;
        }
        match (&mut self.task).now_or_never()? {
            Ok(outcome) => Some(outcome),
            Err(error) => {
                world.fail(format!("panic: {error}"));
                Some(Outcome::Unknown)
            }
        }
    }

    /// Ends the work. For `retain`: there is nothing to be kept of it.
    fn kill(&self) -> bool {
        self.task.abort();
        false
    }
}
