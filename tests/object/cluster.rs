use std::{
    sync::{Mutex, MutexGuard},
    thread,
    time::Duration,
};

use crate::{
    node::Node,
    store::Area,
    support::{Client, Random},
};

/// Servers on one bucket, of which any may stand still or be gone for a while.
#[derive(Debug)]
pub(crate) struct Cluster {
    area: Area,
    nodes: Vec<Mutex<Node>>,
    clients: Vec<Mutex<Client>>,
}

impl Cluster {
    pub(crate) fn start(area: &Area, nodes: usize) -> Self {
        let nodes: Vec<_> = (0..nodes).map(|_| Node::with(area, FLAGS)).collect();
        Self {
            area: area.clone(),
            clients: nodes.iter().map(|node| node.client().into()).collect(),
            nodes: nodes.into_iter().map(Mutex::from).collect(),
        }
    }

    /// One of them, which may not answer.
    pub(crate) fn any(&self, random: &mut Random) -> Client {
        let index = random.within(0..=self.clients.len() as u64 - 1);
        *lock(&self.clients[index as usize])
    }

    pub(crate) fn all(&self) -> Vec<Client> {
        self.clients.iter().map(|client| *lock(client)).collect()
    }

    /// Freezes or kills one node after the other; in the end all of them run.
    pub(crate) fn strike(&self, blows: usize, mut random: Random) {
        for _ in 0..blows {
            pause(&mut random, 20..=400);
            let index = random.within(0..=self.nodes.len() as u64 - 1) as usize;
            let mut node = lock(&self.nodes[index]);
            if random.once_in(2) {
                node.freeze();
                pause(&mut random, 50..=2_500);
                node.thaw();
            } else {
                node.kill();
                pause(&mut random, 0..=300);
                *node = Node::with(&self.area, FLAGS);
                *lock(&self.clients[index]) = node.client();
            }
        }
    }
}

/// They sweep all the time, and have nothing to remove.
const FLAGS: &[&str] = &[
    "--part-size",
    "5MiB",
    "--sweep-every",
    "1s",
    "--expires-after",
    "1h",
];

fn lock<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().expect("nobody panics under the lock")
}

fn pause(random: &mut Random, milliseconds: std::ops::RangeInclusive<u64>) {
    thread::sleep(Duration::from_millis(random.within(milliseconds)));
}
