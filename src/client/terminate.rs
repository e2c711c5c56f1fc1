use http::{Method, Uri};

use super::{Client, Error, exchange::Call};

impl Client {
    /// Ends an upload and removes what was stored of it.
    ///
    /// # Errors
    /// [`Error::is_not_found`] of an upload that does not exist, and whatever goes wrong on the way.
    pub async fn terminate(&self, url: &Uri) -> Result<(), Error> {
        let mut retries = self.retries();
        loop {
            match self.ask(Call::new(Method::DELETE, url)).await {
                Ok(_) => return Ok(()),
                // The first one may have done it, and its answer was lost.
                Err(error) if retries.failures() > 0 && error.is_not_found() => return Ok(()),
                Err(error) => retries.after(error.of_upload(Some(url))).await?,
            }
        }
    }
}
