use std::time::SystemTime;

use super::{TusBody, TusService, engine::refusal, handle::Answer};
use crate::protocol::{Availability, Download, Error, Outcome, Refusal, Selection, Want};

impl TusService {
    /// GET, and HEAD of those who do not speak tus: to them an upload that is unfinished, or not to be
    /// read, looks as to all others.
    pub(super) async fn download(&self, download: Download) -> (Answer, TusBody) {
        match self.select(&download).await {
            Ok((outcome, body)) => (Ok(outcome), body),
            Err(refusal) => (Err(refusal), TusBody::default()),
        }
    }

    async fn select(&self, download: &Download) -> Result<(Outcome, TusBody), Refusal> {
        let upload = self.load(&download.id).await?;
        if upload.is_expired(SystemTime::now()) {
            return Err(Error::Gone.into());
        }
        let readable = self.config.offer.downloads == Availability::On;
        if download.want == Want::Head && !(readable && upload.is_finished()) {
            return Ok((self.inspect(&download.id).await?, TusBody::default()));
        }
        let upload = self.settle(upload).await?;
        let selection = download.decide(&upload)?;
        let range = match &selection {
            Selection::Whole => 0..upload.offset,
            Selection::Part(range) => range.clone(),
            Selection::NotModified => 0..0,
        };
        let body = match download.want {
            Want::Bytes if !range.is_empty() => {
                let length = range.end - range.start;
                let pieces = self
                    .engine
                    .storage
                    .read(&upload, range)
                    .await
                    .map_err(refusal)?;
                TusBody::stream(pieces, length)
            }
            Want::Bytes | Want::Head => TusBody::default(),
        };
        Ok((Outcome::Downloaded(upload, selection), body))
    }
}
