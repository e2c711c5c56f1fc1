//! What must hold, whatever has happened.

use std::collections::{BTreeSet, HashMap};

use object_store::path::Path;
use tower_tus::protocol::{Kind, Upload};

use crate::{
    client::Client,
    schedule::{Leftovers, Run},
};

impl Run<'_> {
    /// Nothing is to be seen under a key but a whole upload, and a finished one always.
    pub(crate) fn check_visible(&self) -> Result<(), String> {
        for client in &self.clients {
            let Some(key_of) = key(&client.upload) else {
                continue;
            };
            match self.world.bucket.object(&key_of) {
                Some(object) if !self.is_whole(object.bytes.len() as u64, &key_of) => {
                    return Err("early object: it is not whole".to_owned());
                }
                None if client.promises.is_finished() && !client.promises.is_deleting() => {
                    return Err("finished upload: there is no object".to_owned());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether one of the uploads for this key is so long.
    fn is_whole(&self, size: u64, at: &Path) -> bool {
        let mut clients = self.clients.iter();
        clients.any(|client| client.length() == size && key(&client.upload).as_ref() == Some(at))
    }

    pub(crate) async fn check_contents(&mut self) -> Result<(), String> {
        let mut contents = HashMap::new();
        for at in 0..self.clients.len() {
            let client = &self.clients[at];
            let (upload, promises, length) = (
                client.upload.clone(),
                client.promises.clone(),
                client.length(),
            );
            if promises.is_deleted() {
                continue;
            }
            let bytes = self.read(&upload, length).await?;
            if bytes.len() as u64 != length {
                return Err(format!("short object: {} of {length}", bytes.len()));
            }
            if let Some(key) = key(&upload) {
                let object = self.world.bucket.object(&key);
                if object.is_none_or(|object| object.bytes != bytes) {
                    return Err("object: it is not what is read".to_owned());
                }
            }
            match self.clients[at].parts() {
                Some(parts) => {
                    let joined: Vec<u8> = parts
                        .iter()
                        .flat_map(|part| &contents[&part.id])
                        .copied()
                        .collect();
                    if bytes != joined {
                        return Err("corrupt: it is not the parts".to_owned());
                    }
                }
                None => promises.check(&bytes)?,
            }
            contents.insert(upload.id, bytes);
        }
        Ok(())
    }

    /// There is what has to be, and nothing else.
    pub(crate) fn check_places(&self) -> Result<(), String> {
        let mut expected = BTreeSet::new();
        let live = |client: &&Client| !client.promises.is_deleted();
        for client in self.clients.iter().filter(live) {
            let id = &client.upload.id;
            expected.insert(Path::from(format!(".tus/uploads/{id}")));
            expected
                .insert(key(&client.upload).unwrap_or_else(|| format!(".tus/data/{id}").into()));
        }
        let found: BTreeSet<_> = self.world.bucket.paths().into_iter().collect();
        let deleted = |at: &Path| {
            let mut clients = self.clients.iter();
            clients.any(|client| {
                client.promises.is_deleted() && key(&client.upload).as_ref() == Some(at)
            })
        };
        let network = &self.world.network;
        let mut orphans = found.difference(&expected);
        // What comes after an upload is gone cannot be helped.
        let is_late = |at: &Path| deleted(at) && network.is_haunted(at);
        let orphan = orphans.find(|at| !is_late(at));
        if let Some(orphan) = orphan {
            return Err(format!("orphan: {orphan}"));
        }
        if let Some(missing) = expected.difference(&found).next() {
            return Err(format!("missing: {missing}"));
        }
        let sessions = self.world.bucket.open_sessions();
        // Under a key that bears no id it could be anybody's: left to the rules of the bucket.
        let is_anybodys = |at: &Path| {
            let own = at.as_ref().starts_with(".tus/");
            let mut clients = self.clients.iter();
            !own && !clients.any(|client| at.as_ref().contains(client.upload.id.as_str()))
        };
        let mut left = sessions.iter().map(|session| &session.path);
        if let Some(session) = left.find(|at| !is_late(at) && !is_anybodys(at)) {
            return Err(format!("orphan session: {session}"));
        }
        match self.world.bucket.loose_bytes() {
            0 => Ok(()),
            _ if !sessions.is_empty() => Ok(()),
            _ if self.case.leftovers == Leftovers::Parts => Ok(()),
            bytes => Err(format!("orphan parts: {bytes} bytes")),
        }
    }
}

/// Where a finished upload is to be seen.
fn key(upload: &Upload) -> Option<Path> {
    (upload.kind != Kind::Partial).then(|| Path::from(upload.key.to_string()))
}
