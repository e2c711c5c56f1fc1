use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    ops::Range,
    sync::Arc,
};

use bytes::Bytes;
use futures::{StreamExt, stream};

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
    let open = {
        let (shared, upload, start) = (Arc::clone(&shared), upload.clone(), range.start);
        move || {
            let id = &upload.id;
            let mut file = File::open(shared.layout.finished(&upload))
                .map_err(|error| not_found(error, id))?;
            let metadata = file.metadata()?;
            let info = Info::read(&shared.layout, id)?;
            // The application, or a later upload, may have put something else there.
            if metadata.len() != upload.offset || !info.owns(&upload, &metadata) {
                return Err(Error::NotFound(id.clone()));
            }
            file.seek(SeekFrom::Start(start))?;
            Ok(file)
        }
    };
    let file = shared.disk.run(open).await?;
    let left = range.end.min(upload.offset).saturating_sub(range.start);
    let pieces = stream::try_unfold(
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
