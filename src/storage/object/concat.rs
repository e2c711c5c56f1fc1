//! Joining parts into a final upload.

use std::{ops::Range, sync::Arc, time::Duration};

use futures::TryStreamExt;
use object_store::{Error as StoreError, path::Path};
use tokio::time::{Instant, sleep};

use super::{
    retry::{ANSWER, is_unclear, once, pause},
    seat::Known,
    shared::{Shared, not_found},
    writer::{Reach, Writer},
};
use crate::{
    protocol::{Length, Upload},
    storage::{AppendMode, Error, Result},
};

/// How many parts are copied at a time.
const COPIES: usize = 8;

/// A copy may be of that many parts' size at once, where parts may differ.
const LONGEST: u64 = 16;

/// How often a source is read that breaks off.
const ATTEMPTS: u32 = 5;

/// How often a process that joins says how far it is, and after how long without a word another goes on
/// in its place.
const REPORT: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(20);

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
        let Known { state, write, .. } = self.fetch(&target.id).await?;
        if state.snapshot().is_finished() {
            return Ok(());
        }
        if state.description().length != Length::Known(sources.size()) {
            return Err(conflict());
        }
        if state.owner != self.process && state.offset() > 0 && !state.is_complete() {
            // Another process is at it, or was. It would be safe to take over at once, but two that keep
            // taking over from each other would never come to an end.
            sleep(SILENCE).await;
            if self.fetch(&target.id).await?.write != write {
                return Err(Error::Locked(target.id.clone()));
            }
        }
        if self.compose(&state, &sources.paths()).await? {
            return Ok(());
        }
        if !state.is_complete() {
            let mut writer = self.open(&state.snapshot(), AppendMode::Streaming).await?;
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
        let mut reported = Instant::now();
        while writer.taken() < sources.size() {
            let plan = sources.copies(writer.taken(), writer.part_size(), self.longest_copy());
            let copied = match copies && !plan.is_empty() {
                true => writer.copy(&plan).await?,
                false => 0,
            };
            if copied == 0 {
                // A store that cannot is not asked again; loose bytes have to become a part first.
                copies &= plan.is_empty() || writer.is_loose();
                self.pass(writer, sources).await?;
            }
            if reported.elapsed() >= REPORT {
                writer.save(Reach::SoFar).await?;
                reported = Instant::now();
            }
        }
        Ok(())
    }

    /// Moves bytes up to the end of the next part, or of the source.
    async fn pass(&self, writer: &mut Writer, sources: &Sources) -> Result<()> {
        let Some(source) = sources.at(writer.taken()) else {
            return Ok(());
        };
        let part = writer.part_size();
        let end = source.at.end.min((writer.taken() / part + 1) * part);
        let mut tried = 0;
        loop {
            tried += 1;
            let broken = self.pass_once(writer, source, end).await?;
            match broken {
                None if writer.taken() == end => return Ok(()),
                None => return Err(Error::Backend("a part is shorter than it was".into())),
                Some(error) if !is_unclear(&error) || tried == ATTEMPTS => {
                    return Err(not_found(error, writer.id()));
                }
                Some(error) => tracing::debug!(%error, tried, "a part is read again"),
            }
            sleep(pause(tried)).await;
        }
    }

    /// Moves bytes until all of them came, or the store breaks off.
    async fn pass_once(
        &self,
        writer: &mut Writer,
        source: &Source,
        end: u64,
    ) -> Result<Option<StoreError>> {
        let start = source.at.start;
        let range = writer.taken() - start..end - start;
        let mut bytes = match once(ANSWER, self.bucket().read(&source.path, range)).await {
            Ok(bytes) => bytes,
            Err(error) => return Ok(Some(error)),
        };
        loop {
            match once(ANSWER, bytes.try_next()).await {
                Ok(Some(bytes)) => writer.write(&bytes).await?,
                Ok(None) => return Ok(None),
                Err(error) => return Ok(Some(error)),
            }
        }
    }

    fn longest_copy(&self) -> u64 {
        match self.profile.equal_parts {
            true => 1,
            false => LONGEST,
        }
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

    fn paths(&self) -> Vec<Path> {
        self.0.iter().map(|source| source.path.clone()).collect()
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
