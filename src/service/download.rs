use std::time::SystemTime;

use http::HeaderValue;

use super::{TusBody, TusService, engine::refusal, handle::Answer};
use crate::protocol::{Availability, Download, Error, Outcome, Refusal, Selection, Upload, Want};

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
        let wants_bytes = download.want == Want::Bytes && selection != Selection::NotModified;
        if wants_bytes && let Some(url) = self.url_beside(&upload).await? {
            return Ok((Outcome::Redirected(url), TusBody::default()));
        }
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

    /// Where the storage itself serves the upload, if readers are sent there.
    async fn url_beside(&self, upload: &Upload) -> Result<Option<HeaderValue>, Error> {
        let Some(lifetime) = self.config.downloads.beside() else {
            return Ok(None);
        };
        let signed = self.engine.storage.signed_url(upload, lifetime).await;
        let url = signed.map_err(refusal)?.map(HeaderValue::try_from);
        url.transpose().map_err(|error| {
            tracing::error!(%error, "the storage gave a URL that cannot be sent");
            Error::Internal
        })
    }
}
