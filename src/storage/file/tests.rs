use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tempfile::{TempDir, tempdir};

use super::{info::Info, *};
use crate::protocol::{Length, Stage};

fn storage() -> (TempDir, FileStorage) {
    let directory = tempdir().unwrap();
    let storage = FileStorage::open(directory.path()).unwrap();
    (directory, storage)
}

/// An upload of `length` bytes that waits for its first one.
async fn created(storage: &FileStorage, id: &str, length: u64) -> Upload {
    let mut upload = Upload::new(
        id.parse().unwrap(),
        Length::Known(length),
        SystemTime::now(),
    );
    upload.version = storage.create(&upload).await.unwrap();
    upload
}

async fn write(storage: &FileStorage, upload: &Upload, data: &[u8]) -> Upload {
    let mut appender = storage.append(upload, AppendMode::Streaming).await.unwrap();
    appender.write(Bytes::copy_from_slice(data)).await.unwrap();
    appender.commit().await.unwrap();
    storage.load(&upload.id).await.unwrap()
}

#[cfg(feature = "conformance")]
#[tokio::test]
async fn conforms_with_every_durability() {
    for durability in [Durability::None, Durability::Finish, Durability::Always] {
        let (_directory, storage) = storage();
        crate::storage::conformance::all(&storage.durability(durability)).await;
    }
}

#[tokio::test]
async fn only_finished_uploads_are_visible() {
    let (directory, storage) = storage();
    let visible = || {
        let mut names: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let mut upload = Upload::new("a".parse().unwrap(), Length::Known(3), SystemTime::now());
    upload.key = "x/y/z.txt".parse().unwrap();
    upload.version = storage.create(&upload).await.unwrap();
    let upload = write(&storage, &upload, b"abc").await;
    assert_eq!(upload.stage, Stage::Finishing);
    assert_eq!(visible(), [".tus"]);
    storage.finish(&upload).await.unwrap();
    assert_eq!(visible(), [".tus", "x"]);
    assert_eq!(
        fs::read(directory.path().join("x/y/z.txt")).unwrap(),
        b"abc"
    );
    assert!(!storage.shared.layout.data(&upload.id).exists());
}

/// What a crash leaves behind in the middle of a checksummed request.
#[tokio::test]
async fn bytes_behind_a_fence_do_not_count_and_are_cut_off() {
    let (_directory, storage) = storage();
    let upload = created(&storage, "a", 9).await;
    let upload = write(&storage, &upload, b"abc").await;
    let mut appender = storage.append(&upload, AppendMode::Atomic).await.unwrap();
    appender.write(Bytes::from(vec![b'x'; BIG])).await.unwrap();
    let data = storage.shared.layout.data(&upload.id);
    assert_eq!(fs::metadata(&data).unwrap().len(), 3 + BIG as u64);
    assert_eq!(
        Info::read(&storage.shared.layout, &upload.id)
            .unwrap()
            .fence,
        Some(3)
    );
    std::mem::forget(appender);

    // Another process: nothing is known of the lease.
    let restarted = FileStorage::open(
        storage
            .shared
            .layout
            .keyed(&"q".parse().unwrap())
            .parent()
            .unwrap(),
    )
    .unwrap();
    let upload = restarted.load(&upload.id).await.unwrap();
    assert_eq!((upload.offset, upload.stage), (3, Stage::Receiving));
    // The lock of the first one still stands, as its process does.
    let locked = restarted.append(&upload, AppendMode::Streaming).await;
    assert!(matches!(locked, Err(Error::Locked(_))), "{locked:?}");
    // In the same process the file changes hands.
    let upload = write(&storage, &upload, b"def").await;
    assert_eq!(upload.offset, 6);
    assert_eq!(fs::read(&data).unwrap(), b"abcdef");
    assert_eq!(
        Info::read(&storage.shared.layout, &upload.id)
            .unwrap()
            .fence,
        None
    );
}

const BIG: usize = 1 << 20;

/// The newcomer cuts off what the earlier writer had not verified yet, and then fails: the earlier one
/// must not go on behind a hole.
#[tokio::test]
async fn a_writer_whose_bytes_were_cut_off_writes_no_more() {
    let (_directory, storage) = storage();
    let upload = created(&storage, "a", 9 << 20).await;
    let upload = write(&storage, &upload, b"abc").await;
    let mut earlier = storage.append(&upload, AppendMode::Atomic).await.unwrap();
    earlier.write(Bytes::from(vec![b'x'; BIG])).await.unwrap();
    // The record cannot be replaced.
    let obstacle = storage.shared.layout.temporary(&upload.id);
    fs::create_dir(&obstacle).unwrap();
    let failed = storage.append(&upload, AppendMode::Streaming).await;
    assert!(matches!(failed, Err(Error::Backend(_))), "{failed:?}");
    fs::remove_dir(&obstacle).unwrap();

    let written = earlier.write(Bytes::from(vec![b'y'; BIG])).await;
    assert!(matches!(written, Err(Error::Superseded(_))), "{written:?}");
    assert!(earlier.commit().await.is_err());
    let upload = write(&storage, &storage.load(&upload.id).await.unwrap(), b"def").await;
    assert_eq!(upload.offset, 6);
    assert_eq!(
        fs::read(storage.shared.layout.data(&upload.id)).unwrap(),
        b"abcdef"
    );
}

#[tokio::test]
async fn a_lock_goes_with_its_writer() {
    let (directory, storage) = storage();
    let other = FileStorage::open(directory.path()).unwrap();
    let upload = created(&storage, "a", 9).await;
    let appender = storage
        .append(&upload, AppendMode::Streaming)
        .await
        .unwrap();
    for refused in [
        other.append(&upload, AppendMode::Streaming).await.err(),
        other.update(&upload).await.err(),
    ] {
        assert!(matches!(refused, Some(Error::Locked(_))), "{refused:?}");
    }
    drop(appender);
    assert_eq!(write(&other, &upload, b"abc").await.offset, 3);
}

#[tokio::test]
async fn nobody_deletes_what_another_process_writes_to() {
    let (directory, storage) = storage();
    let other = FileStorage::open(directory.path()).unwrap();
    let upload = created(&storage, "a", 9).await;
    let appender = storage
        .append(&upload, AppendMode::Streaming)
        .await
        .unwrap();
    let deleted = other.delete(&upload.id).await;
    assert!(matches!(deleted, Err(Error::Locked(_))), "{deleted:?}");
    drop(appender);
    other.delete(&upload.id).await.unwrap();
    assert!(matches!(
        storage.load(&upload.id).await,
        Err(Error::NotFound(_))
    ));
}

#[tokio::test]
async fn a_writer_notices_that_its_file_is_gone() {
    let (_directory, storage) = storage();
    let upload = created(&storage, "a", 9).await;
    let mut appender = storage
        .append(&upload, AppendMode::Streaming)
        .await
        .unwrap();
    appender.write(Bytes::from_static(b"abc")).await.unwrap();
    fs::remove_file(storage.shared.layout.info(&upload.id)).unwrap();
    fs::remove_file(storage.shared.layout.data(&upload.id)).unwrap();
    let committed = appender.commit().await;
    assert!(
        matches!(committed, Err(Error::NotFound(_))),
        "{committed:?}"
    );
}

#[tokio::test]
async fn a_creation_cut_by_a_crash_can_be_repeated() {
    let (_directory, storage) = storage();
    let id: UploadId = "a".parse().unwrap();
    fs::write(storage.shared.layout.data(&id), b"").unwrap();
    assert!(matches!(storage.load(&id).await, Err(Error::NotFound(_))));
    let upload = created(&storage, "a", 3).await;
    assert_eq!(
        write(&storage, &upload, b"abc").await.stage,
        Stage::Finishing
    );
}

#[tokio::test]
async fn reclaim_removes_what_no_upload_refers_to() {
    let (_directory, storage) = storage();
    let upload = created(&storage, "kept", 3).await;
    let own = storage.shared.layout.own();
    for orphan in ["gone.data", "gone.part", "torn.info", "kept.tmp"] {
        fs::write(
            own.join(orphan),
            if orphan == "torn.info" {
                "{\"v\":"
            } else {
                "12345"
            },
        )
        .unwrap();
    }
    fs::write(own.join("foreign file"), "").unwrap();
    let past = SystemTime::now() - Duration::from_secs(60);
    assert_eq!(storage.reclaim(past).await.unwrap(), 0);
    let future = SystemTime::now() + Duration::from_secs(60);
    assert_eq!(storage.reclaim(future).await.unwrap(), 20);
    let mut left: Vec<_> = fs::read_dir(own)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["foreign file", "kept.data", "kept.info"]);
    assert_eq!(storage.load(&upload.id).await.unwrap().offset, 0);
}

/// An upload with a key that has nothing of its id.
async fn finished(storage: &FileStorage, id: &str, key: &str, data: &[u8]) -> Upload {
    let length = Length::Known(data.len() as u64);
    let mut upload = Upload::new(id.parse().unwrap(), length, SystemTime::now());
    upload.key = key.parse().unwrap();
    upload.version = storage.create(&upload).await.unwrap();
    let upload = write(storage, &upload, data).await;
    storage.finish(&upload).await.unwrap();
    storage.load(&upload.id).await.unwrap()
}

#[tokio::test]
async fn a_file_of_somebody_else_is_never_replaced_unless_told_so() {
    let (directory, storage) = storage();
    let foreign = directory.path().join("x.txt");
    fs::write(&foreign, "foreign").unwrap();
    let mut upload = Upload::new("a".parse().unwrap(), Length::Known(3), SystemTime::now());
    for taken in ["x.txt", "x.txt/below"] {
        upload.key = taken.parse().unwrap();
        let refused = storage.create(&upload).await;
        assert!(
            matches!(refused, Err(Error::AlreadyExists(_))),
            "{taken}: {refused:?}"
        );
    }
    let replacing = storage.collision(Collision::Replace);
    finished(&replacing, "a", "x.txt", b"abc").await;
    assert_eq!(fs::read(&foreign).unwrap(), b"abc");
    fs::create_dir(directory.path().join("directory")).unwrap();
    upload.key = "directory".parse().unwrap();
    upload.id = "b".parse().unwrap();
    let refused = replacing.create(&upload).await;
    assert!(
        matches!(refused, Err(Error::AlreadyExists(_))),
        "{refused:?}"
    );
}

/// The application has moved the first file on, and a second upload took its name; or replaced it.
#[tokio::test]
async fn an_upload_neither_reads_nor_deletes_a_later_one_of_its_name() {
    let (directory, storage) = storage();
    let first = finished(&storage, "a", "x.txt", b"abc").await;
    fs::rename(
        directory.path().join("x.txt"),
        directory.path().join("moved"),
    )
    .unwrap();
    let second = finished(&storage, "b", "x.txt", b"xyz").await;
    let replacing = storage.clone().collision(Collision::Replace);
    let third = finished(&replacing, "c", "x.txt", b"123").await;
    for earlier in [first, second] {
        let read = storage.read(&earlier, 0..3).await;
        assert!(matches!(read.err(), Some(Error::NotFound(_))));
        storage.delete(&earlier.id).await.unwrap();
    }
    let pieces: Vec<Bytes> = storage
        .read(&third, 0..3)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(pieces.concat(), b"123");
}

#[tokio::test]
async fn a_finished_file_that_was_moved_on_is_still_finished() {
    let (directory, storage) = storage();
    let upload = created(&storage, "a", 3).await;
    let upload = write(&storage, &upload, b"abc").await;
    storage.finish(&upload).await.unwrap();
    fs::rename(directory.path().join("a"), directory.path().join("b")).unwrap();
    let upload = storage.load(&upload.id).await.unwrap();
    assert_eq!((upload.stage, upload.offset), (Stage::Finished, 3));
    assert!(matches!(
        storage.read(&upload, 0..3).await.err(),
        Some(Error::NotFound(_))
    ));
}

#[tokio::test]
async fn idle_writers_hold_no_buffer_and_no_upload_leaves_a_lease() {
    let (_directory, storage) = storage();
    let upload = created(&storage, "a", 9).await;
    let mut appender = storage
        .append(&upload, AppendMode::Streaming)
        .await
        .unwrap();
    appender.write(Bytes::from_static(b"abc")).await.unwrap();
    appender.flush().await.unwrap();
    assert!(format!("{appender:?}").contains("buffer: []"));
    drop(appender);
    assert!(!format!("{:?}", storage.shared.leases).contains("Slot"));
}
