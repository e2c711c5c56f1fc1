use std::time::SystemTime;

use super::{TusService, handle::Answer};
use crate::protocol::{Error, Outcome, UploadId};

impl TusService {
    /// HEAD. Reads a snapshot: no writer is waited for, asked, or disturbed.
    pub(super) async fn inspect(&self, id: &UploadId) -> Answer {
        let upload = self.load(id).await?;
        if upload.is_expired(SystemTime::now()) {
            return Err(Error::Gone.into());
        }
        if upload.is_pending_final() {
            return self.inspect_final(upload).await.map(Outcome::Inspected);
        }
        // The full length is only told once the upload is finished.
        self.settle(upload).await.map(Outcome::Inspected)
    }
}
