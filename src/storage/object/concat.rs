//! Joining parts into a final upload.

use std::{ops::Range, sync::Arc, time::Duration, time::SystemTime};

use futures::TryStreamExt;
use object_store::path::Path;

use super::{
    shared::{Shared, not_found},
    state::State,
    writer::{Reach, Writer},
};
use crate::{
    protocol::{Length, Upload},
    storage::{Error, Result},
};

/// How many parts are copied at a time.
const COPIES: usize = 8;

/// A copy may be of that many parts' size at once, where parts may differ.
const LONGEST: u64 = 16;

/// A process that joins says so about that often. One that has not done so for longer is taken for
/// dead; if it is not, it is only slower.
const SILENCE: Duration = Duration::from_secs(60);

/// The bytes of the parts, one after the other.
struct Sources(Vec<Source>);

struct Source {
    path: Path,
    /// Where its bytes are in the whole.
    at: Range<u64>,
}

impl Shared {
    /// Goes on where the target stands. Bytes are copied within the store where it can and parts are
    /// long enough, and pass through here otherwise.
    pub(super) async fn concat(self: &Arc<Self>, target: &Upload, parts: &[Upload]) -> Result<()> {
        let conflict = || Error::Conflict(target.id.clone());
        let sources = Sources::new(self, parts);
        let state = self.fetch(&target.id).await?.state;
        if state.snapshot().is_finished() {
            return Ok(());
        }
        if state.description().length != Length::Known(sources.size()) {
            return Err(conflict());
        }
        if self.is_joined_elsewhere(&state) {
            return Err(Error::Locked(target.id.clone()));
        }
        if !state.is_complete() {
            let mut writer = self.open(&state.snapshot()).await?;
            let joined = self.join(&mut writer, &sources).await;
            let saved = match joined {
                Ok(()) => writer.save_and_finish().await.map(drop),
                Err(error) => writer.save(Reach::All).await.and(Err(error)),
            };
            writer.close().await;
            saved?;
        }
        self.finish(&target.id).await
    }

    async fn join(&self, writer: &mut Writer, sources: &Sources) -> Result<()> {
        let mut copies = true;
        while writer.taken() < sources.size() {
            let plan = sources.copies(writer.taken(), writer.part_size(), self.longest());
            let copied = match copies && !plan.is_empty() {
                true => writer.copy(&plan).await?,
                false => 0,
            };
            if copied == 0 {
                // A store that cannot is not asked again; loose bytes have to become a part first.
                copies &= plan.is_empty() || writer.is_loose();
                self.pass(writer, sources).await?;
            }
            if writer.is_due() {
                writer.save(Reach::SoFar).await?;
            }
        }
        Ok(())
    }

    /// Moves bytes up to the end of the next part, or of the source.
    async fn pass(&self, writer: &mut Writer, sources: &Sources) -> Result<()> {
        let at = writer.taken();
        let Some(source) = sources.at(at) else {
            return Ok(());
        };
        let part = writer.part_size();
        let end = source.at.end.min((at / part + 1) * part);
        let range = at - source.at.start..end - source.at.start;
        let bytes = self.bucket().read(&source.path, range).await;
        let mut bytes = bytes.map_err(|error| not_found(error, writer.id()))?;
        while let Some(bytes) = bytes
            .try_next()
            .await
            .map_err(|error| not_found(error, writer.id()))?
        {
            writer.write(&bytes).await?;
        }
        match writer.taken() == end {
            true => Ok(()),
            false => Err(Error::Backend("a part is shorter than it was".into())),
        }
    }

    fn longest(&self) -> u64 {
        match self.profile.equal_parts {
            true => 1,
            false => LONGEST,
        }
    }

    /// Whether another process is at it, as far as one can tell. This only keeps two from hindering each
    /// other: it would be safe without.
    fn is_joined_elsewhere(&self, state: &State) -> bool {
        let since = SystemTime::now().duration_since(state.description().touched);
        state.owner != self.process
            && state.offset() > 0
            && since.is_ok_and(|since| since < SILENCE)
    }
}

impl Sources {
    fn new(shared: &Shared, parts: &[Upload]) -> Self {
        let mut end = 0;
        let sources = parts.iter().map(|part| {
            let start = end;
            end += part.offset;
            Source {
                path: shared.layout.target(part),
                at: start..end,
            }
        });
        Self(sources.collect())
    }

    fn size(&self) -> u64 {
        self.0.last().map_or(0, |source| source.at.end)
    }

    /// The source of the byte at `at`.
    fn at(&self, at: u64) -> Option<&Source> {
        let index = self.0.partition_point(|source| source.at.end <= at);
        self.0.get(index)
    }

    /// Ranges from `at` on that can be parts as they are: whole multiples of `part` within one source,
    /// at most `longest` of them at once; or all that is left.
    fn copies(&self, at: u64, part: u64, longest: u64) -> Vec<(Path, Range<u64>)> {
        let mut copies = Vec::new();
        let mut at = at;
        while copies.len() < COPIES
            && let Some(source) = self.at(at)
        {
            let left = source.at.end - at;
            let size = match source.at.end == self.size() && left <= part {
                true => left,
                false => (left / part).min(longest) * part,
            };
            if size == 0 {
                break;
            }
            let start = at - source.at.start;
            copies.push((source.path.clone(), start..start + size));
            at += size;
        }
        copies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(sizes: &[u64]) -> Sources {
        let mut end = 0;
        let sources = sizes.iter().enumerate().map(|(number, size)| {
            let start = end;
            end += size;
            Source {
                path: Path::from(number.to_string()),
                at: start..end,
            }
        });
        Sources(sources.collect())
    }

    fn plan(sizes: &[u64], at: u64, longest: u64) -> Vec<(String, Range<u64>)> {
        let copies = sources(sizes).copies(at, 10, longest).into_iter();
        copies
            .map(|(path, range)| (path.to_string(), range))
            .collect()
    }

    #[test]
    fn what_is_a_whole_part_of_one_source_is_copied() {
        let copy = |name: &str, range| (name.to_owned(), range);
        assert_eq!(
            plan(&[25, 30], 0, 1),
            [copy("0", 0..10), copy("0", 10..20)],
            "up to the boundary"
        );
        assert_eq!(plan(&[25, 30], 20, 1), [], "across it bytes have to pass");
        assert_eq!(
            plan(&[25, 28], 30, 16),
            [copy("1", 5..25), copy("1", 25..28)],
            "the last part may be short"
        );
        assert_eq!(plan(&[0, 3], 0, 1), [copy("1", 0..3)]);
        assert_eq!(plan(&[], 0, 1), []);
    }
}
