//! What every [`UrlStore`] has to do, one function per sentence of its contract.
//!
//! Each function panics if the store does otherwise. They use keys of their own, so they may share one
//! store and run at the same time; what was there before stays, unless it is from before 1971.
//!
//! ```
//! use tower_tus::client::{MemoryUrlStore, url_store::conformance};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let store = MemoryUrlStore::new();
//! conformance::all(&store).await;
//! conformance::shared(&store, &store.clone()).await;
//! # }
//! ```

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::{StreamExt, future::join_all, stream};

use super::{Key, StoredPart, StoredUpload, UrlStore};

/// All of them but [`shared`], one after the other.
pub async fn all(store: &dyn UrlStore) {
    an_unknown_key_finds_nothing(store).await;
    what_is_saved_is_found(store).await;
    save_replaces_the_entry_of_the_key(store).await;
    keys_differ_in_either_half(store).await;
    remove_leaves_nothing(store).await;
    list_has_all_entries_oldest_first(store).await;
    changes_at_once_lose_no_entry(store).await;
    a_claim_is_one_callers(store).await;
    of_many_callers_one_gets_the_claim(store).await;
    a_claim_is_no_entry(store).await;
    prune_removes_what_is_old_and_not_claimed(store).await;
}

/// Two handles of one store, as of two clients or processes, are one store.
pub async fn shared(one: &dyn UrlStore, other: &dyn UrlStore) {
    let upload = upload(&key());
    save(one, &upload).await;
    assert_eq!(find(other, &upload.key).await, Some(upload.clone()));
    let uploads = (0..16).map(|number| StoredUpload {
        size: Some(number),
        ..self::upload(&key())
    });
    let uploads: Vec<_> = uploads.collect();
    join_all(uploads.iter().enumerate().map(|(at, upload)| match at % 2 {
        0 => save(one, upload),
        _ => save(other, upload),
    }))
    .await;
    for upload in &uploads {
        for store in [one, other] {
            assert_eq!(find(store, &upload.key).await.as_ref(), Some(upload));
        }
    }
    let claim = one.claim(&upload.key).await.expect("it claims");
    assert!(claim.is_some(), "nobody has it");
    let second = other.claim(&upload.key).await.expect("it answers");
    assert!(second.is_none(), "the other handle has it");
    drop(claim);
    let third = other.claim(&upload.key).await.expect("it claims");
    assert!(third.is_some(), "it was given back");
    other.remove(&upload.key).await.expect("it removes");
    assert_eq!(find(one, &upload.key).await, None);
}

/// `find` gives `None`.
pub async fn an_unknown_key_finds_nothing(store: &dyn UrlStore) {
    assert_eq!(find(store, &key()).await, None);
}

/// An entry comes back as it was; of the time whole seconds at least.
pub async fn what_is_saved_is_found(store: &dyn UrlStore) {
    let plain = StoredUpload::new(key(), second(1_700_000_000));
    let empty = StoredUpload {
        url: Some(
            "http://[::1]:1080/files/a%20b?token=c"
                .parse()
                .expect("a URL"),
        ),
        size: Some(0),
        ..StoredUpload::new(key(), UNIX_EPOCH)
    };
    let mut odd = upload(&key());
    odd.key.fingerprint += "\u{0}\"\\/'\n../\u{1f980} path:/tmp/a b";
    odd.metadata = "none, filename d29ybGQ=".parse().expect("it is metadata");
    for upload in [plain, empty, odd, upload(&key())] {
        save(store, &upload).await;
        assert_eq!(find(store, &upload.key).await, Some(upload));
    }
    let mut precise = StoredUpload::new(key(), second(1_700_000_000));
    precise.created += Duration::from_nanos(999_999_999);
    save(store, &precise).await;
    let found = find(store, &precise.key).await.expect("it was saved");
    assert!(found.created <= precise.created && found.created >= second(1_700_000_000));
}

/// There is at most one entry of a key: the last one.
pub async fn save_replaces_the_entry_of_the_key(store: &dyn UrlStore) {
    let mut upload = upload(&key());
    save(store, &upload).await;
    upload.parts.pop();
    upload.url = None;
    upload.size = None;
    upload.created = second(1_600_000_000);
    save(store, &upload).await;
    assert_eq!(find(store, &upload.key).await, Some(upload.clone()));
    assert_eq!(listed(store, &[&upload.key]).await, [upload]);
}

/// Another content to the same endpoint, and the same content to another one, are other uploads.
pub async fn keys_differ_in_either_half(store: &dyn UrlStore) {
    let one = upload(&key());
    let mut other_content = upload(&one.key);
    other_content.key.fingerprint.push('x');
    let mut other_endpoint = upload(&one.key);
    other_endpoint.key.endpoint.push('x');
    // Not the halves one behind the other.
    let mut shifted = upload(&one.key);
    let last = shifted.key.fingerprint.pop().expect("it is not empty");
    shifted.key.endpoint.insert(0, last);
    let mut uploads = [one, other_content, other_endpoint, shifted];
    for (size, upload) in uploads.iter_mut().enumerate() {
        upload.size = Some(size as u64);
        save(store, upload).await;
    }
    let mut claims = Vec::new();
    for upload in &uploads {
        assert_eq!(find(store, &upload.key).await.as_ref(), Some(upload));
        claims.push(store.claim(&upload.key).await.expect("it claims"));
    }
    assert!(claims.iter().all(Option::is_some), "{claims:?}");
    store.remove(&uploads[0].key).await.expect("it removes");
    assert_eq!(find(store, &uploads[0].key).await, None);
    for upload in &uploads[1..] {
        assert_eq!(find(store, &upload.key).await.as_ref(), Some(upload));
    }
}

/// `remove` leaves nothing, and takes an unknown key for removed.
pub async fn remove_leaves_nothing(store: &dyn UrlStore) {
    let upload = upload(&key());
    save(store, &upload).await;
    for _ in 0..2 {
        store.remove(&upload.key).await.expect("it removes");
        assert_eq!(find(store, &upload.key).await, None);
        assert_eq!(listed(store, &[&upload.key]).await, []);
    }
}

/// `list` has every entry, the oldest first.
pub async fn list_has_all_entries_oldest_first(store: &dyn UrlStore) {
    let uploads = [3, 1, 4, 2].map(|at| StoredUpload::new(key(), second(1_700_000_000 + at)));
    for upload in &uploads {
        save(store, upload).await;
    }
    let keys = uploads.each_ref().map(|upload| &upload.key);
    let [third, first, fourth, second] = uploads.clone();
    assert_eq!(listed(store, &keys).await, [first, second, third, fourth]);
}

/// Entries that are saved and removed at the same time are all there and all gone.
pub async fn changes_at_once_lose_no_entry(store: &dyn UrlStore) {
    let uploads: Vec<_> = (0..32).map(|_| upload(&key())).collect();
    join_all(uploads.iter().map(|upload| save(store, upload))).await;
    let keys: Vec<_> = uploads.iter().map(|upload| &upload.key).collect();
    assert_eq!(listed(store, &keys).await.len(), uploads.len());
    let (gone, left) = keys.split_at(16);
    join_all(gone.iter().map(|key| async {
        store.remove(key).await.expect("it removes");
    }))
    .await;
    assert_eq!(listed(store, gone).await, []);
    assert_eq!(listed(store, left).await.len(), left.len());
}

/// Nobody else gets a claim until it is dropped. Asking does not wait.
pub async fn a_claim_is_one_callers(store: &dyn UrlStore) {
    let key = key();
    for _ in 0..3 {
        let claim = store.claim(&key).await.expect("it claims");
        assert!(claim.is_some(), "nobody has it");
        for _ in 0..2 {
            let second = store.claim(&key).await.expect("it answers");
            assert!(second.is_none(), "somebody has it");
        }
        let other = store.claim(&self::key()).await.expect("it claims");
        assert!(other.is_some(), "nobody has the other one");
        drop(claim);
    }
}

/// Of callers who ask at the same time exactly one gets the claim.
pub async fn of_many_callers_one_gets_the_claim(store: &dyn UrlStore) {
    for _ in 0..8 {
        let key = key();
        let claims = stream::iter(0..8)
            .map(|_| async { store.claim(&key).await.expect("it answers") })
            .buffer_unordered(8)
            .collect::<Vec<_>>()
            .await;
        assert_eq!(claims.iter().flatten().count(), 1);
    }
}

/// Whoever has the claim of a key changes its entry; a claim alone is none.
pub async fn a_claim_is_no_entry(store: &dyn UrlStore) {
    let upload = upload(&key());
    let _claim = store.claim(&upload.key).await.expect("it claims");
    assert_eq!(find(store, &upload.key).await, None);
    assert_eq!(listed(store, &[&upload.key]).await, []);
    save(store, &upload).await;
    assert_eq!(find(store, &upload.key).await, Some(upload.clone()));
    store.remove(&upload.key).await.expect("it removes");
    assert_eq!(find(store, &upload.key).await, None);
}

/// `prune` removes what was created before the time, except what is claimed, and counts it.
pub async fn prune_removes_what_is_old_and_not_claimed(store: &dyn UrlStore) {
    let uploads = [10, 11, 12, 13].map(|at| StoredUpload::new(key(), second(at)));
    for upload in &uploads {
        save(store, upload).await;
    }
    let [first, claimed, third, last] = &uploads;
    let claim = store.claim(&claimed.key).await.expect("it claims");
    let removed = store.prune(second(13)).await.expect("it prunes");
    assert!(removed >= 2, "{removed}");
    for (upload, stays) in [
        (first, false),
        (claimed, true),
        (third, false),
        (last, true),
    ] {
        assert_eq!(
            find(store, &upload.key).await.is_some(),
            stays,
            "{upload:?}"
        );
    }
    drop(claim);
    for (time, expected) in [(14, 2), (14, 0)] {
        let removed = store.prune(second(time)).await.expect("it prunes");
        assert_eq!(removed, expected);
    }
}

async fn save(store: &dyn UrlStore, upload: &StoredUpload) {
    store.save(upload).await.expect("it saves");
}

async fn find(store: &dyn UrlStore, key: &Key) -> Option<StoredUpload> {
    store.find(key).await.expect("it finds")
}

/// The entries of these keys, as `list` has them.
async fn listed(store: &dyn UrlStore, keys: &[&Key]) -> Vec<StoredUpload> {
    let mut uploads = store.list().await.expect("it lists");
    uploads.retain(|upload| keys.contains(&&upload.key));
    uploads
}

/// A key that nothing else has.
fn key() -> Key {
    let random = getrandom::u64().expect("there are random numbers");
    Key::new(
        format!("size:7--md5:{random:016x}"),
        "https://example.org/files",
    )
}

/// With everything that an entry may have.
fn upload(key: &Key) -> StoredUpload {
    StoredUpload {
        url: Some("https://example.org/files/1".parse().expect("a URL")),
        size: Some(1 << 62),
        metadata: "filename d29ybGQucGRm,confidential"
            .parse()
            .expect("it is metadata"),
        parts: vec![
            StoredPart {
                url: "https://example.org/files/2".parse().expect("a URL"),
                start: 0,
                length: 1 << 61,
            },
            StoredPart {
                url: "https://example.org/files/3".parse().expect("a URL"),
                start: 1 << 61,
                length: 1 << 61,
            },
        ],
        ..StoredUpload::new(key.clone(), second(1_700_000_000))
    }
}

fn second(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}
