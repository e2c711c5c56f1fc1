//! One run: everything in it follows from its seed.

use std::time::{Duration, SystemTime};

use futures::TryStreamExt;
use tokio::task::JoinHandle;
use tower_tus::{
    protocol::{Concat, Kind, Length, Upload, UploadId},
    storage::object::{Simulation, seed_chance},
};

use crate::{
    client::{Client, Patience},
    handler::Rivalry,
    network::{Manners, Weather},
    random::Random,
    world::{Build, World},
};

/// What is run, and on what.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) bucket: Simulation,
    pub(crate) build: Build,
    /// Size of a part, in bytes: those of the uploads are around it.
    pub(crate) part: u64,
    pub(crate) shape: Shape,
    pub(crate) nodes: usize,
    pub(crate) manners: Manners,
    /// Whether parts that were never listed stay where they are.
    pub(crate) leftovers: Leftovers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Single,
    Deferred,
    Joined,
    /// It may be removed while others write to it.
    Deleted,
    /// Two for one key.
    Rivals,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leftovers {
    None,
    /// Blocks on Azure vanish by themselves.
    Parts,
}

/// What went wrong in which run.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) seed: u64,
    pub(crate) case: String,
    pub(crate) what: String,
    pub(crate) trace: String,
}

/// How a run is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watch {
    Traced,
    Untraced,
}

/// What rivals want.
const KEY: &str = "some/name";

/// After how many steps at most everything gets well.
const STORM: u64 = 700;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// In how many steps at most everything has to be done then.
const PATIENCE: u64 = 20_000;

pub(crate) fn run(seed: u64, case: &Case, watch: Watch) -> Result<(), Failure> {
    seed_chance(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime needs nothing");
    runtime.block_on(async {
        let traced = watch == Watch::Traced;
        let world = World::new(
            case.bucket.clone(),
            (case.build, case.nodes),
            Random::new(seed),
            traced,
        );
        world.network.set_manners(case.manners);
        let mut run = Run {
            case,
            world,
            clients: Vec::new(),
            sweeps: Vec::new(),
            time: Time::Day,
            steps: 0,
        };
        run.whole().await.map_err(|what| Failure {
            seed,
            case: format!("{} {:?}", case.name, case.shape),
            what,
            trace: run.world.network.take_trace(),
        })
    })
}

#[derive(Debug)]
pub(crate) struct Run<'c> {
    pub(crate) case: &'c Case,
    pub(crate) world: World,
    pub(crate) clients: Vec<Client>,
    /// Nodes that look for what nothing refers to any more.
    sweeps: Vec<(usize, JoinHandle<()>)>,
    time: Time,
    steps: u64,
}

/// What the clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Time {
    Day,
    /// They send no requests, until all is quiet.
    Evening,
}

impl Run<'_> {
    async fn whole(&mut self) -> Result<(), String> {
        let storm = self.world.random.within(20..=STORM);
        let parts = match self.case.shape {
            Shape::Joined => self.world.random.within(1..=3),
            Shape::Rivals => 2,
            _ => 1,
        };
        for _ in 0..parts {
            let client = self.client();
            self.clients.push(client);
        }
        self.serve(storm).await?;
        if self.case.shape == Shape::Joined {
            let client = self.join().await?;
            self.clients.push(client);
            self.serve(storm).await?;
        }
        self.drain().await?;
        self.give_up(storm).await?;
        self.check_contents().await?;
        self.reclaim().await?;
        self.check_places()?;

        self.world.network.note(|| "--- removal".to_owned());
        self.world.network.set_weather(Weather::Stormy);
        self.clients.iter_mut().for_each(Client::delete);
        self.serve(storm / 4).await?;
        self.drain().await?;
        self.reclaim().await?;
        self.check_places()
    }

    /// Those who came too late for their key have their uploads removed.
    async fn give_up(&mut self, storm: u64) -> Result<(), String> {
        if self.clients.iter().all(Client::is_beaten) {
            return Err("key: nobody has got it".to_owned());
        }
        let beaten = self.clients.iter_mut().filter(|client| client.is_beaten());
        beaten.for_each(Client::delete);
        self.world.network.set_weather(Weather::Stormy);
        self.serve(storm / 4).await?;
        self.drain().await
    }

    fn client(&mut self) -> Client {
        let part = self.case.part;
        let random = &mut self.world.random;
        let length = match random.below(10) {
            0 => random.within(0..=2),
            1 => part,
            2 => part * random.within(1..=4),
            3..6 => random.within(0..=part),
            _ => random.within(0..=6 * part),
        };
        let known = match self.case.shape {
            Shape::Deferred => Length::Deferred,
            _ => Length::Known(length),
        };
        let id = UploadId::from_random(u128::from(random.next()));
        let mut upload = Upload::new(id, known, self.world.bucket.now());
        if self.case.shape == Shape::Joined {
            upload.kind = Kind::Partial;
        }
        let rivalry = match self.case.shape {
            Shape::Rivals => Rivalry::Some,
            _ => Rivalry::None,
        };
        if rivalry == Rivalry::Some {
            upload.key = KEY.parse().expect("it is a key");
        }
        let patience = match self.case.shape {
            Shape::Deleted => Patience::Limited,
            _ => Patience::Endless,
        };
        Client::new(upload, length, part, self.world.random.fork())
            .patience(patience)
            .rivalry(rivalry)
    }

    /// A client that has the others' uploads joined, some of them twice.
    async fn join(&mut self) -> Result<Client, String> {
        self.world.network.set_weather(Weather::Calm);
        let mut parts = Vec::new();
        for _ in 0..self.world.random.within(1..=4) {
            let part = self.world.random.below(self.clients.len());
            let (storage, id) = (self.world.storage(0), self.clients[part].upload.id.clone());
            parts.push(self.drive(async move { storage.load(&id).await }).await?);
        }
        let ids = parts.iter().map(|part| part.id.clone()).collect();
        let length = parts.iter().map(|part| part.offset).sum();
        let random = &mut self.world.random;
        let id = UploadId::from_random(u128::from(random.next()));
        let mut upload = Upload::new(id, Length::Known(length), self.world.bucket.now());
        upload.kind = Kind::Final(Concat::new("final;", ids));
        self.world.network.set_weather(Weather::Stormy);
        let client = Client::new(upload, length, self.case.part, random.fork());
        Ok(client.joined_from(parts))
    }

    /// Until all clients have what they want: in a storm first.
    async fn serve(&mut self, storm: u64) -> Result<(), String> {
        let end = self.steps + storm;
        while !self.clients.iter().all(Client::is_done) {
            if self.steps == end {
                self.world.network.note(|| "--- calm".to_owned());
                self.world.network.set_weather(Weather::Calm);
            }
            if self.steps > end + PATIENCE {
                return Err("no progress: the clients go on and on".to_owned());
            }
            if self.world.network.weather() == Weather::Stormy {
                self.strike();
            }
            self.step().await?;
        }
        Ok(())
    }

    /// Until nobody does anything any more.
    async fn drain(&mut self) -> Result<(), String> {
        self.world.network.note(|| "--- the end".to_owned());
        self.world.network.set_weather(Weather::Calm);
        let mut idle = 0;
        // Long enough for all that only wait for an answer that never comes.
        while idle < 26 {
            match self.is_busy() {
                true => idle = 0,
                false if idle == 0 => {
                    self.world.stir();
                    idle = 1;
                }
                false => idle += 1,
            }
            self.step().await?;
        }
        self.world.stir();
        Ok(())
    }

    fn is_busy(&self) -> bool {
        self.clients.iter().any(Client::is_served)
            || !self.sweeps.is_empty()
            || !self.world.network.is_idle()
    }

    async fn step(&mut self) -> Result<(), String> {
        self.steps += 1;
        self.world.work().await;
        self.sweeps.retain(|(_, sweep)| !sweep.is_finished());
        if self.time == Time::Evening && !self.is_busy() {
            self.pass_night();
        }
        for client in &mut self.clients {
            if client.step(&self.world, self.time) {
                self.world.stir();
            }
            if let Some(broken) = client.promises.first_broken() {
                return Err(broken);
            }
            if client.promises.is_full() {
                return Err("no progress: writers come and go".to_owned());
            }
        }
        if let Some(failure) = self.world.failure() {
            return Err(failure);
        }
        self.check_visible()?;
        self.world.deliver()
    }

    /// A node dies, or a call is cut.
    fn strike(&mut self) {
        match self.world.random.below(1000) {
            0..12 => {
                let nodes = self.world.nodes();
                let node = self.world.random.below(nodes);
                self.world.kill(node);
                self.clients
                    .iter_mut()
                    .for_each(|client| client.node_died(node));
                self.sweeps.retain(|(at, sweep)| {
                    let lives = *at != node;
                    if !lives {
                        sweep.abort();
                    }
                    lives
                });
            }
            // What was sent before a cut may come late.
            12..20 if self.case.manners == Manners::Any => {
                let client = self.world.random.below(self.clients.len());
                if self.clients[client].cut_one() {
                    self.world.network.note(|| "~ a call is cut".to_owned());
                }
            }
            20..24 => self.time = Time::Evening,
            _ => {}
        }
    }

    /// A long time goes by, and then somebody looks for what nothing refers to.
    fn pass_night(&mut self) {
        self.time = Time::Day;
        self.world.stir();
        let days = self.world.random.one_of(&[1, 1, 8]);
        self.world.network.note(|| format!("--- {days} days later"));
        self.world.bucket.advance(days * DAY);
        if days > 7 {
            self.world.bucket.expire_parts();
        }
        let nodes = self.world.nodes();
        let node = self.world.random.below(nodes);
        let (storage, before) = (self.world.storage(node), self.sweep_age());
        let sweep = async move {
            // In a storm it may fail.
            let _ = storage.reclaim(before).await;
        };
        self.sweeps.push((node, tokio::spawn(sweep)));
    }

    fn sweep_age(&self) -> SystemTime {
        self.world.bucket.now() - DAY / 24
    }

    pub(crate) async fn read(&mut self, upload: &Upload, length: u64) -> Result<Vec<u8>, String> {
        let storage = self.world.storage(self.world.nodes() / 2);
        let id = upload.id.clone();
        let read = async move {
            let upload = storage.load(&id).await?;
            let pieces: Vec<_> = storage
                .read(&upload, 0..length)
                .await?
                .try_collect()
                .await?;
            Ok(pieces.concat())
        };
        self.drive(read).await
    }

    /// A long time later.
    async fn reclaim(&mut self) -> Result<(), String> {
        self.world.bucket.advance(DAY);
        let before = self.sweep_age();
        let storage = self.world.storage(self.world.nodes() - 1);
        self.drive(async move { storage.reclaim(before).await.map(drop) })
            .await?;
        self.drain().await
    }

    /// Lets a call go through a calm network.
    async fn drive<T: Send + 'static>(
        &mut self,
        call: impl Future<Output = tower_tus::storage::Result<T>> + Send + 'static,
    ) -> Result<T, String> {
        let task = tokio::spawn(call);
        while !task.is_finished() {
            self.step().await?;
        }
        match task.await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(format!("error in the calm: {error:?}")),
            Err(error) => Err(format!("panic: {error}")),
        }
    }
}
