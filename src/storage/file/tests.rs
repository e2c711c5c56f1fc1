use tempfile::{TempDir, tempdir};

use super::*;

fn storage() -> (TempDir, FileStorage) {
    let directory = tempdir().unwrap();
    let storage = FileStorage::open(directory.path()).unwrap();
    (directory, storage)
}

#[cfg(feature = "conformance")]
#[tokio::test]
async fn conforms_with_every_durability() {
    for durability in [Durability::None, Durability::Finish, Durability::Always] {
        let (_directory, storage) = storage();
        crate::storage::conformance::all(&storage.durability(durability)).await;
    }
}
