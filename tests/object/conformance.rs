//! The storage's contract, sentence by sentence, on each store.

use tower_tus::storage::conformance;

use crate::store::{AZURE, GCS, MINIO, MOTO, Store};

#[tokio::test]
async fn the_contract_holds_on_moto() {
    holds_on(MOTO).await;
}

#[tokio::test]
async fn the_contract_holds_on_minio() {
    holds_on(MINIO).await;
}

#[tokio::test]
async fn the_contract_holds_on_azurite() {
    holds_on(AZURE).await;
}

#[tokio::test]
async fn the_contract_holds_on_the_double_of_gcs() {
    holds_on(GCS).await;
}

async fn holds_on(store: &'static str) {
    let Some(store) = Store::find(store) else {
        return;
    };
    let storage = store.area().storage();
    storage.check().await.expect("a store that can be used");
    conformance::all(&storage).await;
}
