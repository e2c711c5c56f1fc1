//! From flags to a storage that can be used.

use std::path::Path;

use anyhow::{Result, bail};
use tower_tus::{
    TusService,
    storage::{Error, FileStorage, MemoryStorage, ObjectStorage, object::Nodes},
};

use super::args::Serve;
use crate::value::Location;

/// A service over the storage that was asked for. Whether a bucket can be used is tried out.
pub(crate) async fn open(args: &Serve) -> Result<TusService> {
    Ok(match &args.storage {
        Location::Directory(root) => TusService::new(files(root, args)?),
        Location::Memory => TusService::new(MemoryStorage::new()),
        Location::Bucket(url) => TusService::new(objects(url, args).await?),
    })
}

fn files(root: &Path, args: &Serve) -> Result<FileStorage> {
    let mut storage = FileStorage::open(root)?.collision(args.collision);
    if let Some(durability) = args.durability {
        storage = storage.durability(durability);
    }
    Ok(storage)
}

async fn objects(url: &str, args: &Serve) -> Result<ObjectStorage> {
    let mut storage = ObjectStorage::from_url(url)?.collision(args.collision);
    if let Some(bytes) = args.part_size {
        storage = storage.part_size(bytes);
    }
    if let Some(bytes) = args.storage_memory {
        storage = storage.memory(bytes);
    }
    if args.single_node {
        storage = storage.nodes(Nodes::One);
    }
    match storage.check().await {
        Ok(()) => Ok(storage),
        Err(error @ Error::Unsupported(_)) if !args.single_node => {
            bail!("{error} (--single-node)")
        }
        Err(error) => Err(error.into()),
    }
}
