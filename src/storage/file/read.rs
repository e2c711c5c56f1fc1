use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    ops::Range,
    sync::Arc,
};

use bytes::Bytes;
use futures::{StreamExt, stream};

use super::{Shared, info::not_found};
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
        let (path, id) = (shared.layout.finished(upload), upload.id.clone());
        let (start, length) = (range.start, upload.offset);
        move || {
            let mut file = File::open(path).map_err(|error| not_found(error, &id))?;
            // The application has put something else there.
            if file.metadata()?.len() != length {
                return Err(Error::NotFound(id));
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
