use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
};

use http::request;

use super::TusService;
use crate::{
    hooks::{Access, Hook},
    protocol::{Concat, Create, Error, Kind, Operation, Owner, PartError, Upload, UploadId},
};

impl TusService {
    /// Whether a request may do what it asks for: by whose the upload is, and by what the application says.
    pub(super) async fn permit(&self, operation: &Operation, path: &str) -> Result<(), Error> {
        let Some(request) = self.request.as_deref() else {
            // A preflight, or nobody wants to know.
            return match *operation == Operation::Discover || !self.config.wants_requests() {
                true => Ok(()),
                false => Err(Error::Internal),
            };
        };
        if self.config.owner.is_none() && !self.config.hooks.wants(Hook::Authorize) {
            return Ok(());
        }
        let subject = subject(operation, path);
        let upload = match (operation, &subject) {
            (Operation::Append(_), Some(id)) => self.glance(id).await?,
            (_, Some(id)) => self.there(id).await?,
            (_, None) => None,
        };
        // To others it does not exist.
        let upload = self.own(upload, request)?;
        let access = Access::new(operation, request, upload.as_ref());
        self.config.hooks.authorize(&access).await?;
        // Also if there was none: it may be made by others from now on.
        if subject.is_some() && upload.is_none() && *operation != Operation::Discover {
            return Err(Error::NotFound);
        }
        match operation {
            Operation::Create(Create {
                kind: Kind::Final(concat),
                ..
            }) => {
                let parts: HashSet<_> = concat.parts().iter().collect();
                match self.permit_parts(operation, request, parts).await {
                    Err(Error::Part(PartError::NotFound))
                        if self.permit_repeated(operation, request, concat).await? =>
                    {
                        Ok(())
                    }
                    permitted => permitted,
                }
            }
            _ => Ok(()),
        }
    }

    /// Whether this is the creation of a final upload once more, whose parts are no more: that upload is
    /// asked about in their place.
    async fn permit_repeated(
        &self,
        operation: &Operation,
        request: &request::Parts,
        concat: &Concat,
    ) -> Result<bool, Error> {
        let Some(id) = self.engine.joined.find(concat) else {
            return Ok(false);
        };
        let Some(upload) = self.own(self.there(&id).await?, request)? else {
            return Ok(false);
        };
        let access = Access::new(operation, request, Some(&upload));
        self.config.hooks.authorize(&access).await?;
        Ok(true)
    }

    async fn permit_parts(
        &self,
        operation: &Operation,
        request: &request::Parts,
        parts: HashSet<&UploadId>,
    ) -> Result<(), Error> {
        for id in parts {
            let part = self.own(self.there(id).await?, request)?;
            let part = part.ok_or(Error::Part(PartError::NotFound))?;
            let access = Access::new(operation, request, Some(&part));
            self.config.hooks.authorize(&access).await?;
        }
        Ok(())
    }

    /// Whose the request is.
    pub(super) fn requester(&self, request: &request::Parts) -> Result<Option<Owner>, Error> {
        let Some(owner) = &self.config.owner else {
            return Ok(None);
        };
        catch_unwind(AssertUnwindSafe(|| owner.owner(request))).map_err(|_| {
            tracing::error!("the closure that tells owners panicked");
            Error::Internal
        })
    }

    /// The upload, if whoever asks may know of it.
    fn own(
        &self,
        upload: Option<Upload>,
        request: &request::Parts,
    ) -> Result<Option<Upload>, Error> {
        if self.config.owner.is_none() {
            return Ok(upload);
        }
        let requester = self.requester(request)?;
        Ok(upload.filter(|upload| upload.owner == requester))
    }

    /// An upload as it was lately, for who writes to it: the storage notices if it is another one by now.
    async fn glance(&self, id: &UploadId) -> Result<Option<Upload>, Error> {
        match self.recall(id) {
            Some(upload) => Ok(Some(upload)),
            None => self.there(id).await,
        }
    }

    async fn there(&self, id: &UploadId) -> Result<Option<Upload>, Error> {
        match self.load(id).await {
            Ok(upload) => Ok(Some(upload)),
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The upload that an operation is about.
fn subject(operation: &Operation, path: &str) -> Option<UploadId> {
    match operation {
        Operation::Inspect(id) | Operation::Terminate(id) => Some(id.clone()),
        Operation::Append(append) => Some(append.id.clone()),
        Operation::Download(download) => Some(download.id.clone()),
        Operation::Discover => path.trim_matches('/').parse().ok(),
        Operation::Create(_) => None,
    }
}
