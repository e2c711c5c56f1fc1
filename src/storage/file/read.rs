use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    ops::Range,
    sync::Arc,
};

use bytes::Bytes;
use futures::{StreamExt, stream::try_unfold};

use super::{
    Shared,
    info::{Info, not_found},
};
use crate::{
    protocol::Upload,
    storage::{ByteStream, Error, Result},
};

/// The size of the pieces.
const PIECE: u64 = 256 << 10;

pub(super) async fn read(
    shared: Arc<Shared>,
    upload: &Upload,
    range: Range<u64>,
) -> Result<ByteStream> {
    stream(shared, upload, range, |shared, upload| {
        let id = &upload.id;
        let path = shared.layout.finished(upload);
        let file = File::open(path).map_err(|error| not_found(error, id))?;
        let metadata = file.metadata()?;
        let info = Info::read(&shared.layout, id)?;
        // The application, or a later upload, may have put something else there.
        match metadata.len() == upload.offset && info.owns(upload, &metadata) {
            true => Ok(file),
            false => Err(Error::NotFound(id.clone())),
        }
    })
    .await
}

pub(super) async fn read_unfinished(
    shared: Arc<Shared>,
    upload: &Upload,
    range: Range<u64>,
) -> Result<ByteStream> {
    stream(shared, upload, range, |shared, upload| {
        let path = shared.layout.data(&upload.id);
        File::open(path).map_err(|error| not_found(error, &upload.id))
    })
    .await
}

/// A range of the file that `open` gives.
async fn stream(
    shared: Arc<Shared>,
    upload: &Upload,
    range: Range<u64>,
    open: impl FnOnce(&Shared, &Upload) -> Result<File> + Send + 'static,
) -> Result<ByteStream> {
    let opened = {
        let (shared, upload, start) = (Arc::clone(&shared), upload.clone(), range.start);
        move || {
            let mut file = open(&shared, &upload)?;
            file.seek(SeekFrom::Start(start))?;
            Ok(file)
        }
    };
    let file = shared.disk.run(opened).await?;
    let left = range.end.min(upload.offset).saturating_sub(range.start);
    let pieces = try_unfold(
        (shared, file, left),
        |(shared, mut file, left)| async move {
            if left == 0 {
                return Ok(None);
            }
            let read = move || {
                let mut piece = vec![0; left.min(PIECE) as usize];
                file.read_exact(&mut piece)?;
                Ok((Bytes::from(piece), file))
            };
            let (piece, file) = shared.disk.run(read).await?;
            let left = left - piece.len() as u64;
            Ok(Some((piece, (shared, file, left))))
        },
    );
    Ok(pieces.boxed())
}
