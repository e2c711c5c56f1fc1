use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::PathBuf,
    sync::Arc,
};

use super::{
    Shared,
    disk::Disk,
    info::{Reach, not_found},
    lease::Lease,
};
use crate::{
    protocol::Upload,
    storage::{Error, Result},
};

/// How much is copied at once; between two pieces the work may be given up, and taken up later.
const PIECE: u64 = 64 << 20;

/// Fills the data file of `target` from those of `parts`, from where it ends on.
///
/// The bytes do not pass through this process where the system can do better: `io::copy` between files
/// is `copy_file_range` on Linux, which shares extents on file systems that can.
pub(super) async fn concat(shared: &Arc<Shared>, target: &Upload, parts: &[Upload]) -> Result<()> {
    let opened = Disk::run_in_pool({
        let (shared, given) = (Arc::clone(shared), target.clone());
        move || {
            // Where an earlier call was cut, there are bytes, or all of them.
            let mut target = shared.load(&given.id, Reach::Kernel)?;
            if target.is_finished() {
                return Ok(None);
            }
            target.version = given.version;
            let lease = shared
                .leases
                .take(&target.id, |writer| shared.open(&target, writer))?;
            Ok(Some((lease, target.offset)))
        }
    })
    .await?;
    let Some((lease, mut at)) = opened else {
        return Ok(());
    };
    let sources = sources(shared, target, parts)?;
    let lease = Arc::new(lease);
    for source in sources {
        while at < source.end {
            let (lease, piece) = (Arc::clone(&lease), source.clone());
            at = Disk::run_in_pool(move || piece.copy(&lease, at)).await?;
        }
    }
    Ok(())
}

/// One part and where its bytes stand in the whole.
#[derive(Debug, Clone)]
struct Source {
    part: Upload,
    path: PathBuf,
    start: u64,
    end: u64,
}

fn sources(shared: &Shared, target: &Upload, parts: &[Upload]) -> Result<Vec<Source>> {
    let mut end = 0u64;
    let mut sources = Vec::with_capacity(parts.len());
    for part in parts {
        let start = end;
        end = end
            .checked_add(part.offset)
            .ok_or_else(|| Error::Conflict(target.id.clone()))?;
        let path = shared.layout.finished(part);
        sources.push(Source {
            part: part.clone(),
            path,
            start,
            end,
        });
    }
    if target.length.known() != Some(end) || parts.iter().any(|part| !part.is_finished()) {
        return Err(Error::Conflict(target.id.clone()));
    }
    Ok(sources)
}

impl Source {
    /// Copies the next piece to the end of the target, and gives the new end.
    fn copy(&self, lease: &Lease, at: u64) -> Result<u64> {
        let mut file = File::open(&self.path).map_err(|error| not_found(error, &self.part.id))?;
        file.seek(SeekFrom::Start(at - self.start))?;
        let want = (self.end - at).min(PIECE);
        let mut piece = file.take(want);
        lease.with(|target| match io::copy(&mut piece, target)? {
            copied if copied == want => Ok(at + copied),
            // The part is shorter than its record says.
            _ => Err(Error::Conflict(self.part.id.clone())),
        })
    }
}
