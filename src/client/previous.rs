use super::{Client, Error, Fingerprint, Source, UrlStore, error::Kind, url_store::StoredUpload};

impl Client {
    /// What a store has of the content of `source`, for any endpoint: the oldest first. Nothing is asked
    /// of the server.
    ///
    /// An upload with the same store and fingerprint goes on with the entry of this client's endpoint by
    /// itself.
    ///
    /// ```
    /// # use tower_tus::{TusService, storage::MemoryStorage};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let tus = TusService::new(MemoryStorage::new());
    /// # let client = tower_tus::client::Client::with_service("http://localhost/files".parse()?, tus);
    /// use tower_tus::client::{Fingerprint, MemoryUrlStore, Source};
    ///
    /// let store = MemoryUrlStore::new();
    /// let sha256 = Fingerprint::sha256();
    /// let source = || Source::bytes("hello");
    /// let upload = client.upload(source()).store(store.clone());
    /// let begun = upload.fingerprint(sha256.clone()).stop_at(3).await?;
    /// let found = client.find_previous_uploads(source(), &sha256, &store).await?;
    /// assert_eq!(found[0].url.as_ref(), Some(begun.url()));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the source cannot be read, or the store fails.
    pub async fn find_previous_uploads(
        &self,
        source: Source,
        fingerprint: &Fingerprint,
        store: &dyn UrlStore,
    ) -> Result<Vec<StoredUpload>, Error> {
        let mut source = source.open().await?;
        let Some(name) = fingerprint.of(&mut source).await.map_err(Error::read)? else {
            return Ok(Vec::new());
        };
        let stored = store.list().await;
        let mut stored = stored.map_err(|error| Error::new(Kind::Store).because(error))?;
        stored.retain(|upload| upload.key.fingerprint == name);
        Ok(stored)
    }
}
