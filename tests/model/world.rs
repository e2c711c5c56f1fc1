use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tower_tus::storage::{
    Storage,
    object::{Faulty, Simulation},
};

use crate::{
    network::{Life, Manners, Network, Weather},
    random::Random,
};

/// A bucket, the nodes before it, and time.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) bucket: Simulation,
    pub(crate) network: Network,
    pub(crate) random: Random,
    build: Build,
    nodes: Vec<Node>,
    boots: u64,
    failed: Mutex<Option<String>>,
    /// How long nothing has happened.
    quiet: Duration,
}

/// Makes the storage of a node.
pub(crate) type Build = fn(Faulty<Simulation>) -> Arc<dyn Storage>;

#[derive(Debug)]
struct Node {
    name: String,
    storage: Arc<dyn Storage>,
    life: Life,
}

/// When nothing happens for so long, nothing will.
const STUCK: Duration = Duration::from_secs(5 * 24 * 60 * 60);

impl World {
    pub(crate) fn new(
        bucket: Simulation,
        (build, nodes): (Build, usize),
        mut random: Random,
        traced: bool,
    ) -> Self {
        let mut world = Self {
            bucket,
            network: Network::new(random.fork(), traced),
            random,
            build,
            nodes: Vec::new(),
            boots: 0,
            failed: Mutex::default(),
            quiet: Duration::ZERO,
        };
        for node in 0..nodes {
            let booted = world.boot(node);
            world.nodes.push(booted);
        }
        world
    }

    pub(crate) fn nodes(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn storage(&self, node: usize) -> Arc<dyn Storage> {
        Arc::clone(&self.nodes[node].storage)
    }

    /// A node dies, and another one takes its place. What it has sent is still on its way.
    pub(crate) fn kill(&mut self, node: usize) {
        self.network.note(|| format!("{node}: dies"));
        self.nodes[node].life.end();
        self.network.died(&self.nodes[node].name);
        self.nodes[node] = self.boot(node);
    }

    /// Lets everybody work until all wait, for the network or for time.
    pub(crate) async fn work(&mut self) {
        let late = self.network.manners() == Manners::Any;
        let pause = match (self.network.weather(), self.random.below(1000)) {
            (Weather::Stormy, 0..10) => Duration::from_millis(1500),
            (Weather::Stormy, 10..16) if late => Duration::from_secs(40),
            (Weather::Stormy, 16) if late => Duration::from_secs(400),
            _ => Duration::from_millis(1),
        };
        tokio::time::sleep(pause.max(self.quiet / 2)).await;
    }

    /// Lets a message go a step; if there is none, time goes by.
    ///
    /// # Errors
    /// If everybody waits for something that will never come.
    pub(crate) fn deliver(&mut self) -> Result<(), String> {
        match self.network.step() {
            true => self.quiet = Duration::ZERO,
            false => self.quiet = (self.quiet * 2).max(Duration::from_millis(1)),
        }
        match self.quiet < STUCK {
            true => Ok(()),
            false => Err("stuck: everybody waits".to_owned()),
        }
    }

    /// Something has happened besides messages.
    pub(crate) fn stir(&mut self) {
        self.quiet = Duration::ZERO;
    }

    pub(crate) fn fail(&self, what: String) {
        self.failed.lock().unwrap().get_or_insert(what);
    }

    pub(crate) fn failure(&self) -> Option<String> {
        self.failed.lock().unwrap().clone()
    }

    fn boot(&mut self, node: usize) -> Node {
        self.boots += 1;
        let life = Life::new();
        let name = format!("{node}.{}", self.boots);
        let bucket = self.network.connect(&self.bucket, &name, &life);
        let storage = (self.build)(bucket);
        Node {
            name,
            storage,
            life,
        }
    }
}
