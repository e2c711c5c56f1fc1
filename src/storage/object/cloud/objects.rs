//! What every store of object_store can do.

use std::{ops::Range, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    Attribute, CopyMode, CopyOptions, Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt,
    PutMode, PutOptions, PutPayload, Result, UpdateVersion, path::Path,
};

use super::super::bucket::{Listed, OWNER, Object, Stat};

pub(super) async fn get(
    store: &dyn ObjectStore,
    path: &Path,
    limit: Option<u64>,
) -> Result<Object> {
    let options = GetOptions {
        range: limit.map(|limit| GetRange::Bounded(0..limit)),
        ..GetOptions::default()
    };
    let answer = match store.get_opts(path, options).await {
        Err(error) if limit.is_some() && error.to_string().contains(BEYOND) => {
            // No range is within an object of no bytes.
            store.get(path).await?
        }
        answer => answer?,
    };
    let version = UpdateVersion {
        e_tag: answer.meta.e_tag.clone(),
        version: answer.meta.version.clone(),
    };
    let size = answer.meta.size;
    let mut bytes = answer.bytes().await?;
    if let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) {
        bytes.truncate(limit);
    }
    Ok(Object::new(bytes, size, version))
}

/// How object_store words the answer to a range beyond the end.
const BEYOND: &str = "416 Range Not Satisfiable";

pub(super) async fn put(
    store: &dyn ObjectStore,
    path: &Path,
    payload: PutPayload,
    options: PutOptions,
) -> Result<UpdateVersion> {
    let update = matches!(options.mode, PutMode::Update(_));
    match store.put_opts(path, payload, options).await {
        Ok(put) => Ok(UpdateVersion {
            e_tag: put.e_tag,
            version: put.version,
        }),
        // A conflict with another request at the same time: nothing is known of the condition.
        Err(Error::AlreadyExists { source, .. }) if update => Err(Error::Generic {
            store: "conditional put",
            source,
        }),
        Err(Error::NotImplemented { operation, .. }) => Err(Error::NotSupported {
            source: operation.into(),
        }),
        Err(error) => Err(error),
    }
}

pub(super) async fn stat(store: &dyn ObjectStore, path: &Path) -> Result<Stat> {
    let options = GetOptions {
        head: true,
        ..GetOptions::default()
    };
    let answer = store.get_opts(path, options).await?;
    let owner = answer.attributes.get(&Attribute::Metadata(OWNER.into()));
    let owner = owner.map(|owner| owner.as_ref().to_owned());
    let version = UpdateVersion {
        e_tag: answer.meta.e_tag.clone(),
        version: answer.meta.version.clone(),
    };
    Ok(Stat::new(answer.meta.size, owner, version))
}

pub(super) async fn read(
    store: &dyn ObjectStore,
    path: &Path,
    range: Range<u64>,
) -> Result<BoxStream<'static, Result<Bytes>>> {
    let options = GetOptions {
        range: Some(GetRange::Bounded(range)),
        ..GetOptions::default()
    };
    Ok(store.get_opts(path, options).await?.into_stream())
}

/// Makes an object that is not there one that is removed.
pub(super) fn removed(answer: Result<()>) -> Result<()> {
    match answer {
        Err(Error::NotFound { .. }) => Ok(()),
        answer => answer,
    }
}

pub(super) fn list(store: &dyn ObjectStore, prefix: &Path) -> BoxStream<'static, Result<Listed>> {
    let prefix = (!prefix.as_ref().is_empty()).then_some(prefix);
    let objects = store.list(prefix);
    objects
        .map_ok(|object| Listed {
            tag: object.e_tag,
            ..Listed::new(object.location, object.size, object.last_modified.into())
        })
        .boxed()
}

pub(super) async fn copy(
    store: &dyn ObjectStore,
    from: &Path,
    to: &Path,
    mode: CopyMode,
) -> Result<()> {
    let options = CopyOptions {
        mode,
        ..CopyOptions::default()
    };
    store.copy_opts(from, to, options).await
}

/// How long a URL is good for, as far as the stores go along.
pub(super) fn lifetime(wanted: Duration) -> Duration {
    wanted.min(WEEK)
}

const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
