use http::{HeaderValue, Method, Uri};

use super::{
    Client, Created, Error,
    create::{attach, created},
    exchange::Call,
    uri::{Origin, split_userinfo},
};
use crate::protocol::{Metadata, header::UPLOAD_CONCAT};

impl Client {
    /// Joins parts, which were created as such, into one upload with its own metadata. Parts may stand
    /// several times. They have to be finished unless the server offers concatenation-unfinished.
    ///
    /// If an answer is lost, the upload it told of stays behind, and another one is made. A server that
    /// joins parts only once refuses that, and the error says so.
    ///
    /// # Errors
    /// Whatever goes wrong on the way; [`Error::is_setting`] if there are no parts.
    pub async fn concat(&self, parts: &[Uri], metadata: &Metadata) -> Result<Created, Error> {
        let mut retries = self.retries();
        loop {
            match self.concat_once(parts, metadata).await {
                Ok(created) => return Ok(created),
                Err(error) => retries.after(error.of_join()).await?,
            }
        }
    }

    pub(crate) async fn concat_once(
        &self,
        parts: &[Uri],
        metadata: &Metadata,
    ) -> Result<Created, Error> {
        if parts.is_empty() {
            return Err(Error::setting("a final upload needs at least one part"));
        }
        let endpoint = &self.config().endpoint;
        let urls: Vec<_> = parts.iter().map(|part| spelled(part, endpoint)).collect();
        let value = HeaderValue::try_from(format!("final;{}", urls.join(" ")))
            .map_err(|error| Error::setting("the URL of a part is unusable").because(error))?;
        let call = Call::new(Method::POST, endpoint).with(UPLOAD_CONCAT, value);
        let head = self.ask(attach(call, metadata)?).await?;
        created(&head)
    }
}

/// A server behind a proxy may not know its own host: on the endpoint's, the path says enough.
fn spelled(part: &Uri, endpoint: &Uri) -> String {
    match Origin::of(part) == Origin::of(endpoint) {
        true => part
            .path_and_query()
            .map_or_else(|| part.path().to_owned(), ToString::to_string),
        false => split_userinfo(part).1.to_string(),
    }
}
