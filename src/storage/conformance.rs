//! What every [`Storage`] has to do, one function per sentence of its contract.
//!
//! Each function panics if the storage does otherwise. They use ids of their own, so they may share one
//! storage and run at the same time.
//!
//! ```
//! use tower_tus::storage::{MemoryStorage, conformance};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! conformance::all(&MemoryStorage::new()).await;
//! # });
//! ```

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};

use super::{AppendMode, Error, Storage};
use crate::protocol::{
    Announcement, Concat, Key, Kind, Length, Metadata, Owner, Stage, Upload, UploadId,
};

/// All of them, one after the other.
pub async fn all(storage: &dyn Storage) {
    create_keeps_everything_it_is_told(storage).await;
    owner_and_largest_size_stay(storage).await;
    create_refuses_a_taken_id(storage).await;
    create_refuses_a_taken_key(storage).await;
    load_of_an_unknown_upload_is_not_found(storage).await;
    committed_bytes_are_the_offset(storage).await;
    flushed_bytes_are_visible_while_the_writer_goes_on(storage).await;
    an_empty_commit_changes_nothing(storage).await;
    bytes_come_back_as_they_went_in(storage).await;
    append_needs_the_stored_offset(storage).await;
    append_needs_the_current_version(storage).await;
    a_later_appender_ends_the_earlier(storage).await;
    a_dropped_appender_leaves_some_first_bytes(storage).await;
    atomic_bytes_are_invisible_until_commit(storage).await;
    discarded_bytes_never_were(storage).await;
    a_dropped_atomic_appender_leaves_nothing(storage).await;
    update_declares_a_length(storage).await;
    update_needs_the_current_version(storage).await;
    an_announcement_outlives_the_finish(storage).await;
    all_bytes_stored_is_finishing(storage).await;
    finish_is_idempotent(storage).await;
    finish_needs_all_bytes(storage).await;
    a_failed_append_ends_nobody(storage).await;
    finish_never_replaces_another_upload(storage).await;
    a_finished_upload_takes_no_bytes(storage).await;
    an_empty_upload_can_be_finished(storage).await;
    parts_have_no_key(storage).await;
    concat_joins_parts_in_their_order(storage).await;
    concat_needs_the_right_length(storage).await;
    read_gives_ranges(storage).await;
    read_needs_a_finished_upload(storage).await;
    read_unfinished_gives_what_is_stored_or_says_that_it_cannot(storage).await;
    delete_leaves_nothing(storage).await;
    delete_ends_the_appender(storage).await;
    delete_of_a_part_leaves_what_was_joined(storage).await;
    list_knows_all_uploads(storage).await;
    reclaim_leaves_uploads_alone(storage).await;
    metadata_is_kept_byte_for_byte(storage).await;
}

/// An upload exists as it was described from the return of `create` on.
pub async fn create_keeps_everything_it_is_told(storage: &dyn Storage) {
    let part = create(storage, |upload| upload.kind = Kind::Partial).await;
    let mut upload = draft(Length::Deferred);
    upload.metadata = "k dg==".parse().expect("this is metadata");
    upload.lifetime = Some(Duration::from_secs(60));
    upload.key = key("a/b");
    upload.kind = Kind::Final(Concat::new("final;/x", vec![part.id.clone()]));
    let version = storage.create(&upload).await.expect("the id is free");
    let loaded = load(storage, &upload.id).await;
    assert_eq!(loaded.version, version);
    assert_eq!(
        (
            loaded.offset,
            loaded.length,
            &loaded.metadata,
            &loaded.kind,
            &loaded.key
        ),
        (
            0,
            Length::Deferred,
            &upload.metadata,
            &upload.kind,
            &upload.key
        )
    );
    assert_eq!(
        (loaded.lifetime, loaded.stage),
        (upload.lifetime, Stage::Receiving)
    );
    let precision = Duration::from_secs(1);
    assert!(loaded.created <= upload.created && upload.created < loaded.created + precision);
}

/// Owner and largest size are those of the creation, also when the upload changes and is finished.
pub async fn owner_and_largest_size_stay(storage: &dyn Storage) {
    let owner = Some(Owner::from("a \"b\" – c"));
    let told = |upload: &Upload| (upload.owner.clone(), upload.max_size);
    let mut upload = create(storage, |upload| {
        upload.length = Length::Deferred;
        upload.owner = owner.clone();
        upload.max_size = Some(3);
    })
    .await;
    assert_eq!(told(&upload), (owner.clone(), Some(3)));
    upload.length = Length::Known(3);
    storage.update(&upload).await.expect("it is current");
    let upload = load(storage, &upload.id).await;
    assert_eq!(told(&upload), (owner.clone(), Some(3)));
    write(storage, &upload, b"abc").await;
    let upload = load(storage, &upload.id).await;
    storage.finish(&upload).await.expect("all bytes are there");
    let upload = load(storage, &upload.id).await;
    assert_eq!(told(&upload), (owner, Some(3)));
    let nobodys = create(storage, |_| {}).await;
    assert_eq!(told(&nobodys), (None, None));
}

/// `create` gives `AlreadyExists` for a taken id.
pub async fn create_refuses_a_taken_id(storage: &dyn Storage) {
    let upload = receiving(storage, b"abc", 5).await;
    let again = storage.create(&upload).await;
    assert!(matches!(again, Err(Error::AlreadyExists(_))), "{again:?}");
    assert_eq!(load(storage, &upload.id).await.offset, 3);
}

/// `create` gives `AlreadyExists` for a taken key.
pub async fn create_refuses_a_taken_key(storage: &dyn Storage) {
    let finished = finished(storage, b"abc", |_| {}).await;
    let mut upload = draft(Length::Known(1));
    upload.key = finished.key;
    let created = storage.create(&upload).await;
    assert!(
        matches!(created, Err(Error::AlreadyExists(_))),
        "{created:?}"
    );
    assert!(matches!(
        storage.load(&upload.id).await,
        Err(Error::NotFound(_))
    ));
}

/// `load` gives `NotFound`.
pub async fn load_of_an_unknown_upload_is_not_found(storage: &dyn Storage) {
    assert!(matches!(storage.load(&id()).await, Err(Error::NotFound(_))));
}

/// The offset is what is durably stored.
pub async fn committed_bytes_are_the_offset(storage: &dyn Storage) {
    let upload = create(storage, |upload| upload.length = Length::Known(10)).await;
    let mut appender = open(storage, &upload, AppendMode::Streaming).await;
    appender
        .write(Bytes::from_static(b"abc"))
        .await
        .expect("it takes bytes");
    appender
        .write(Bytes::from_static(b"de"))
        .await
        .expect("it takes bytes");
    assert_eq!(appender.commit().await.expect("it commits"), 5);
    let loaded = load(storage, &upload.id).await;
    assert_eq!((loaded.offset, loaded.stage), (5, Stage::Receiving));
}

/// `load` never waits for a writer; `flush` makes bytes visible.
pub async fn flushed_bytes_are_visible_while_the_writer_goes_on(storage: &dyn Storage) {
    let upload = create(storage, |upload| upload.length = Length::Known(10)).await;
    let mut appender = open(storage, &upload, AppendMode::Streaming).await;
    let mut seen = 0;
    for _ in 0..3 {
        appender
            .write(Bytes::from_static(b"abc"))
            .await
            .expect("it takes bytes");
        appender.flush().await.expect("it flushes");
        let offset = load(storage, &upload.id).await.offset;
        assert!(seen <= offset && offset <= 9, "{seen} {offset}");
        seen = offset;
    }
    assert_eq!(appender.commit().await.expect("it commits"), 9);
}

/// A commit without bytes is one of the same offset.
pub async fn an_empty_commit_changes_nothing(storage: &dyn Storage) {
    for mode in [AppendMode::Streaming, AppendMode::Atomic] {
        let upload = receiving(storage, b"abc", 5).await;
        let appender = open(storage, &upload, mode).await;
        assert_eq!(appender.commit().await.expect("it commits"), 3);
        assert_eq!(load(storage, &upload.id).await.version, upload.version);
    }
}

/// Bytes are stored as they are, whatever their sizes, and however often the upload is taken up.
pub async fn bytes_come_back_as_they_went_in(storage: &dyn Storage) {
    let sizes = [
        1,
        0,
        4095,
        32 << 10,
        1,
        300 << 10,
        255 << 10,
        70_000,
        1 << 20,
        3,
    ];
    let data = pattern(sizes.iter().sum());
    for mode in [AppendMode::Streaming, AppendMode::Atomic] {
        let mut upload = create(storage, |upload| upload.length = length(&data)).await;
        let mut rest = Bytes::from(data.clone());
        for sizes in sizes.chunks(4) {
            let mut appender = open(storage, &upload, mode).await;
            for size in sizes {
                appender
                    .write(rest.split_to(*size))
                    .await
                    .expect("it takes bytes");
            }
            appender.commit().await.expect("it commits");
            upload = load(storage, &upload.id).await;
            assert_eq!(upload.offset, (data.len() - rest.len()) as u64);
        }
        storage.finish(&upload).await.expect("all bytes are there");
        assert_eq!(content(storage, &upload.id).await, data);
    }
}

/// `append` gives `Conflict` for an offset that is not the stored one.
pub async fn append_needs_the_stored_offset(storage: &dyn Storage) {
    let upload = receiving(storage, b"abc", 9).await;
    for offset in [0, 2, 4, 9] {
        let mut stale = upload.clone();
        stale.offset = offset;
        let opened = storage.append(&stale, AppendMode::Streaming).await;
        assert!(
            matches!(opened, Err(Error::Conflict(_))),
            "{offset}: {opened:?}"
        );
    }
    assert_eq!(load(storage, &upload.id).await.offset, 3);
}

/// A snapshot is not current any more once the upload was updated.
pub async fn append_needs_the_current_version(storage: &dyn Storage) {
    let stale = create(storage, |upload| upload.length = Length::Deferred).await;
    let mut upload = stale.clone();
    upload.length = Length::Known(3);
    storage
        .update(&upload)
        .await
        .expect("the snapshot is current");
    let opened = storage.append(&stale, AppendMode::Streaming).await;
    assert!(matches!(opened, Err(Error::Conflict(_))), "{opened:?}");
}

/// Earlier appenders store nothing any more.
pub async fn a_later_appender_ends_the_earlier(storage: &dyn Storage) {
    let upload = create(storage, |upload| upload.length = Length::Known(10)).await;
    let mut earlier = open(storage, &upload, AppendMode::Streaming).await;
    let mut later = open(storage, &upload, AppendMode::Streaming).await;
    let late = Bytes::from(vec![b'x'; 64 << 10]);
    let written = earlier.write(late).await;
    let committed = earlier.commit().await;
    assert!(
        written.is_err() || committed.is_err(),
        "{written:?} {committed:?}"
    );
    later
        .write(Bytes::from_static(b"abcdefghij"))
        .await
        .expect("it is in force");
    assert_eq!(later.commit().await.expect("it is in force"), 10);
    storage
        .finish(&load(storage, &upload.id).await)
        .await
        .expect("all bytes are there");
    assert_eq!(content(storage, &upload.id).await, b"abcdefghij");
}

/// A dropped appender has stored some first bytes, and the upload can be taken up.
pub async fn a_dropped_appender_leaves_some_first_bytes(storage: &dyn Storage) {
    let data = pattern(600 << 10);
    let upload = create(storage, |upload| upload.length = length(&data)).await;
    let mut appender = open(storage, &upload, AppendMode::Streaming).await;
    appender
        .write(Bytes::from(data[..500 << 10].to_vec()))
        .await
        .expect("it takes bytes");
    drop(appender);
    let upload = load(storage, &upload.id).await;
    let mut appender = open(storage, &upload, AppendMode::Streaming).await;
    let rest = Bytes::from(data[upload.offset as usize..].to_vec());
    appender.write(rest).await.expect("it takes bytes");
    appender.commit().await.expect("it commits");
    storage
        .finish(&load(storage, &upload.id).await)
        .await
        .expect("all bytes are there");
    assert_eq!(content(storage, &upload.id).await, data);
}

/// In `Atomic` mode nothing is visible before `commit`, be it little or much.
pub async fn atomic_bytes_are_invisible_until_commit(storage: &dyn Storage) {
    for size in [10, 3 << 20] {
        let upload = receiving(storage, b"abc", size + 4).await;
        let mut appender = open(storage, &upload, AppendMode::Atomic).await;
        appender
            .write(Bytes::from(pattern(size as usize)))
            .await
            .expect("it takes bytes");
        appender.flush().await.expect("it flushes");
        assert_eq!(load(storage, &upload.id).await.offset, 3);
        assert_eq!(appender.commit().await.expect("it commits"), size + 3);
        assert_eq!(load(storage, &upload.id).await.offset, size + 3);
    }
}

/// `discard` makes it as if nothing had been written.
pub async fn discarded_bytes_never_were(storage: &dyn Storage) {
    for size in [10, 3 << 20] {
        let upload = receiving(storage, b"abc", 6).await;
        let mut appender = open(storage, &upload, AppendMode::Atomic).await;
        appender
            .write(Bytes::from(pattern(size)))
            .await
            .expect("it takes bytes");
        appender.discard().await.expect("it discards");
        goes_on_at_3(storage, &upload.id).await;
    }
}

/// So does dropping the appender.
pub async fn a_dropped_atomic_appender_leaves_nothing(storage: &dyn Storage) {
    for size in [10, 3 << 20] {
        let upload = receiving(storage, b"abc", 6).await;
        let mut appender = open(storage, &upload, AppendMode::Atomic).await;
        appender
            .write(Bytes::from(pattern(size)))
            .await
            .expect("it takes bytes");
        drop(appender);
        goes_on_at_3(storage, &upload.id).await;
    }
}

/// `update` replaces the length.
pub async fn update_declares_a_length(storage: &dyn Storage) {
    let mut upload = create(storage, |upload| upload.length = Length::Deferred).await;
    upload.length = Length::Known(7);
    upload.lifetime = Some(Duration::from_secs(5));
    let version = storage
        .update(&upload)
        .await
        .expect("the snapshot is current");
    assert_ne!(version, upload.version);
    let loaded = load(storage, &upload.id).await;
    assert_eq!(
        (loaded.length, loaded.lifetime),
        (upload.length, upload.lifetime)
    );
    assert_eq!(loaded.version, version);
}

/// `update` gives `Conflict` for a snapshot that is not current, and `NotFound`.
pub async fn update_needs_the_current_version(storage: &dyn Storage) {
    let mut upload = create(storage, |upload| upload.length = Length::Deferred).await;
    upload.length = Length::Known(7);
    storage
        .update(&upload)
        .await
        .expect("the snapshot is current");
    upload.length = Length::Known(8);
    let updated = storage.update(&upload).await;
    assert!(matches!(updated, Err(Error::Conflict(_))), "{updated:?}");
    assert_eq!(load(storage, &upload.id).await.length, Length::Known(7));
    let unknown = storage.update(&draft(Length::Known(1))).await;
    assert!(matches!(unknown, Err(Error::NotFound(_))), "{unknown:?}");
}

/// Of a finished upload `update` replaces the announcement and nothing else; `pending` knows those that are
/// due.
pub async fn an_announcement_outlives_the_finish(storage: &dyn Storage) {
    let upload = finished(storage, b"abc", |upload| {
        upload.announcement = Announcement::Due;
    })
    .await;
    let mut told = load(storage, &upload.id).await;
    assert_eq!(told.announcement, Announcement::Due);
    assert!(is_pending(storage, &upload.id).await);
    let stale = told.clone();
    told.announcement = Announcement::None;
    let version = storage.update(&told).await.expect("it is current");
    let loaded = load(storage, &upload.id).await;
    assert_eq!(loaded.announcement, Announcement::None);
    assert_eq!((&loaded.version, loaded.stage), (&version, Stage::Finished));
    assert_eq!(content(storage, &upload.id).await, b"abc");
    assert!(!is_pending(storage, &upload.id).await);
    let again = storage.update(&stale).await;
    assert!(matches!(again, Err(Error::Conflict(_))), "{again:?}");
}

/// All bytes stored is `Finishing`; only `finish` makes it `Finished`.
pub async fn all_bytes_stored_is_finishing(storage: &dyn Storage) {
    let upload = receiving(storage, b"abc", 3).await;
    assert_eq!(upload.stage, Stage::Finishing);
    storage.finish(&upload).await.expect("all bytes are there");
    let loaded = load(storage, &upload.id).await;
    assert_eq!((loaded.stage, loaded.offset), (Stage::Finished, 3));
}

/// `finish` does nothing if the upload is finished.
pub async fn finish_is_idempotent(storage: &dyn Storage) {
    let upload = receiving(storage, b"abc", 3).await;
    for _ in 0..2 {
        storage.finish(&upload).await.expect("all bytes are there");
        assert_eq!(content(storage, &upload.id).await, b"abc");
    }
}

/// `finish` gives `Conflict` if bytes are missing, and `NotFound`.
pub async fn finish_needs_all_bytes(storage: &dyn Storage) {
    let upload = receiving(storage, b"abc", 4).await;
    assert!(matches!(
        storage.finish(&upload).await,
        Err(Error::Conflict(_))
    ));
    assert_eq!(load(storage, &upload.id).await.stage, Stage::Receiving);
    let unknown = storage.finish(&draft(Length::Known(0))).await;
    assert!(matches!(unknown, Err(Error::NotFound(_))), "{unknown:?}");
}

/// An `append` that is refused leaves the appender in force alone.
pub async fn a_failed_append_ends_nobody(storage: &dyn Storage) {
    let upload = create(storage, |upload| upload.length = Length::Known(3)).await;
    let mut appender = open(storage, &upload, AppendMode::Streaming).await;
    let mut stale = upload.clone();
    stale.offset = 2;
    let refused = storage.append(&stale, AppendMode::Streaming).await;
    assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
    appender
        .write(Bytes::from_static(b"abc"))
        .await
        .expect("it is in force");
    assert_eq!(appender.commit().await.expect("it is in force"), 3);
}

/// `finish` gives `AlreadyExists` if there is something else under the key.
pub async fn finish_never_replaces_another_upload(storage: &dyn Storage) {
    let shared = draft(Length::Known(0)).key;
    let with_key = |upload: &mut Upload| {
        upload.length = Length::Known(3);
        upload.key = shared.clone();
    };
    let mut uploads = Vec::new();
    for data in [b"abc", b"xyz"] {
        let upload = create(storage, with_key).await;
        write(storage, &upload, data).await;
        uploads.push(load(storage, &upload.id).await);
    }
    storage.finish(&uploads[0]).await.expect("the key is free");
    let second = storage.finish(&uploads[1]).await;
    assert!(matches!(second, Err(Error::AlreadyExists(_))), "{second:?}");
    assert_eq!(content(storage, &uploads[0].id).await, b"abc");
    assert_eq!(load(storage, &uploads[1].id).await.stage, Stage::Finishing);
    storage.delete(&uploads[0].id).await.expect("it is deleted");
    storage
        .finish(&uploads[1])
        .await
        .expect("the key is free again");
    assert_eq!(content(storage, &uploads[1].id).await, b"xyz");
}

/// A finished upload cannot be opened or updated.
pub async fn a_finished_upload_takes_no_bytes(storage: &dyn Storage) {
    let mut upload = finished(storage, b"abc", |_| {}).await;
    let opened = storage.append(&upload, AppendMode::Streaming).await;
    assert!(matches!(opened, Err(Error::Conflict(_))), "{opened:?}");
    upload.length = Length::Known(9);
    let updated = storage.update(&upload).await;
    assert!(matches!(updated, Err(Error::Conflict(_))), "{updated:?}");
    assert_eq!(content(storage, &upload.id).await, b"abc");
}

/// An upload of no bytes is complete at once.
pub async fn an_empty_upload_can_be_finished(storage: &dyn Storage) {
    let upload = finished(storage, b"", |_| {}).await;
    assert_eq!((upload.offset, upload.stage), (0, Stage::Finished));
    assert_eq!(content(storage, &upload.id).await, b"");
}

/// Parts are not visible under any key.
pub async fn parts_have_no_key(storage: &dyn Storage) {
    let part = finished(storage, b"abc", |upload| upload.kind = Kind::Partial).await;
    assert_eq!(content(storage, &part.id).await, b"abc");
    let mut upload = draft(Length::Known(1));
    upload.key = part.key;
    storage.create(&upload).await.expect("the key is free");
}

/// The bytes of a final are those of its parts, in their order; the parts stay.
pub async fn concat_joins_parts_in_their_order(storage: &dyn Storage) {
    let mut parts = Vec::new();
    let long = pattern(700_000);
    for data in [b"abc".as_slice(), b"", &long] {
        parts.push(finished(storage, data, |upload| upload.kind = Kind::Partial).await);
    }
    parts.push(parts[0].clone());
    let expected = [b"abc", long.as_slice(), b"abc"].concat();
    let target = final_of(storage, &parts, length(&expected)).await;
    for _ in 0..2 {
        storage
            .concat(&target, &parts)
            .await
            .expect("the lengths add up");
        assert_eq!(content(storage, &target.id).await, expected);
    }
    assert_eq!(load(storage, &target.id).await.stage, Stage::Finished);
    assert_eq!(content(storage, &parts[2].id).await, long);

    let none = final_of(storage, &parts[1..2], Length::Known(0)).await;
    storage
        .concat(&none, &parts[1..2])
        .await
        .expect("the lengths add up");
    assert_eq!(content(storage, &none.id).await, b"");
}

/// `concat` gives `Conflict` if the lengths do not add up.
pub async fn concat_needs_the_right_length(storage: &dyn Storage) {
    let part = finished(storage, b"abc", |upload| upload.kind = Kind::Partial).await;
    let target = final_of(storage, std::slice::from_ref(&part), Length::Known(4)).await;
    let joined = storage.concat(&target, &[part]).await;
    assert!(matches!(joined, Err(Error::Conflict(_))), "{joined:?}");
    assert_ne!(load(storage, &target.id).await.stage, Stage::Finished);
}

/// A range beyond the end is cut there.
pub async fn read_gives_ranges(storage: &dyn Storage) {
    let data = pattern(600_000);
    let upload = finished(storage, &data, |_| {}).await;
    for range in [
        0..600_000,
        0..1,
        1..300_000,
        599_999..600_000,
        5..5,
        10..u64::MAX,
    ] {
        let stream = storage
            .read(&upload, range.clone())
            .await
            .expect("it is finished");
        let pieces: Vec<Bytes> = stream.try_collect().await.expect("it can be read");
        let end = range.end.min(600_000) as usize;
        assert_eq!(
            pieces.concat(),
            data[range.start as usize..end],
            "{range:?}"
        );
    }
}

/// `read` gives `NotFound` for an unfinished upload.
pub async fn read_needs_a_finished_upload(storage: &dyn Storage) {
    let upload = receiving(storage, b"abc", 4).await;
    assert!(matches!(
        storage.read(&upload, 0..3).await.err(),
        Some(Error::NotFound(_))
    ));
}

/// `read_unfinished` gives the bytes of an upload that is about to be finished, or `Unsupported`.
pub async fn read_unfinished_gives_what_is_stored_or_says_that_it_cannot(storage: &dyn Storage) {
    let data = pattern(600_000);
    let upload = receiving(storage, &data, 600_000).await;
    for range in [0..600_000, 1..300_000, 599_999..u64::MAX, 5..5] {
        match storage.read_unfinished(&upload, range.clone()).await {
            Ok(stream) => {
                let pieces: Vec<Bytes> = stream.try_collect().await.expect("it can be read");
                let end = range.end.min(600_000) as usize;
                assert_eq!(
                    pieces.concat(),
                    data[range.start as usize..end],
                    "{range:?}"
                );
            }
            Err(Error::Unsupported(_)) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    storage.delete(&upload.id).await.expect("it is deleted");
    match storage.read_unfinished(&upload, 0..1).await.err() {
        Some(Error::NotFound(_) | Error::Unsupported(_)) => {}
        other => panic!("{other:?}"),
    }
}

/// `delete` removes an upload and all of its bytes, and may be repeated.
pub async fn delete_leaves_nothing(storage: &dyn Storage) {
    let uploads = [
        create(storage, |_| {}).await,
        receiving(storage, b"abc", 4).await,
        receiving(storage, b"abc", 3).await,
        finished(storage, b"abc", |_| {}).await,
        finished(storage, b"abc", |upload| upload.kind = Kind::Partial).await,
    ];
    for upload in uploads {
        for _ in 0..2 {
            storage.delete(&upload.id).await.expect("it is deleted");
        }
        assert!(matches!(
            storage.load(&upload.id).await,
            Err(Error::NotFound(_))
        ));
        assert!(storage.read(&upload, 0..3).await.is_err());
        let opened = storage.append(&upload, AppendMode::Streaming).await;
        assert!(matches!(opened, Err(Error::NotFound(_))), "{opened:?}");
        storage
            .create(&upload)
            .await
            .expect("id and key are free again");
        assert_eq!(load(storage, &upload.id).await.offset, 0);
    }
}

/// `delete` ends the appender: what it still writes goes nowhere.
pub async fn delete_ends_the_appender(storage: &dyn Storage) {
    let upload = create(storage, |upload| upload.length = Length::Known(10)).await;
    let mut appender = open(storage, &upload, AppendMode::Streaming).await;
    appender
        .write(Bytes::from_static(b"abc"))
        .await
        .expect("it takes bytes");
    storage.delete(&upload.id).await.expect("it is deleted");
    let written = appender.write(Bytes::from_static(b"def")).await;
    let committed = appender.commit().await;
    assert!(
        written.is_err() || committed.is_err(),
        "{written:?} {committed:?}"
    );
    assert!(matches!(
        storage.load(&upload.id).await,
        Err(Error::NotFound(_))
    ));
}

/// What was joined does not need its parts any more.
pub async fn delete_of_a_part_leaves_what_was_joined(storage: &dyn Storage) {
    let part = finished(storage, b"abc", |upload| upload.kind = Kind::Partial).await;
    let parts = std::slice::from_ref(&part);
    let target = final_of(storage, parts, Length::Known(3)).await;
    storage
        .concat(&target, parts)
        .await
        .expect("the lengths add up");
    storage.delete(&part.id).await.expect("it is deleted");
    assert_eq!(content(storage, &target.id).await, b"abc");
}

/// `list` gives all uploads.
pub async fn list_knows_all_uploads(storage: &dyn Storage) {
    let uploads = [
        create(storage, |_| {}).await,
        receiving(storage, b"abc", 4).await,
        finished(storage, b"abc", |_| {}).await,
        finished(storage, b"abc", |upload| upload.kind = Kind::Partial).await,
    ];
    let listed: Vec<Upload> = storage
        .list()
        .filter_map(async |upload| upload.ok())
        .collect()
        .await;
    for upload in uploads {
        let found: Vec<_> = listed
            .iter()
            .filter(|listed| listed.id == upload.id)
            .collect();
        assert_eq!(found, [&load(storage, &upload.id).await]);
    }
}

/// `reclaim` removes nothing that an upload refers to.
pub async fn reclaim_leaves_uploads_alone(storage: &dyn Storage) {
    let uploads = [
        receiving(storage, b"abc", 4).await,
        finished(storage, b"abc", |_| {}).await,
        finished(storage, b"abc", |upload| upload.kind = Kind::Partial).await,
    ];
    let later = SystemTime::now() + Duration::from_secs(3_600);
    storage.reclaim(later).await.expect("it reclaims");
    for upload in uploads {
        assert_eq!(load(storage, &upload.id).await, upload);
    }
}

/// Metadata comes back byte for byte.
pub async fn metadata_is_kept_byte_for_byte(storage: &dyn Storage) {
    for text in ["", "a", "z YQ==, b Yg== ,bin /w==", "q\"<>\\ YQ=="] {
        let metadata: Metadata = text.parse().expect("this is metadata");
        let upload = create(storage, |upload| upload.metadata = metadata).await;
        assert_eq!(load(storage, &upload.id).await.metadata.as_str(), text);
    }
}

/// An id that nobody else uses.
fn id() -> UploadId {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).expect("the system has random numbers");
    UploadId::from_random(u128::from_ne_bytes(bits))
}

fn key(prefix: &str) -> Key {
    format!("{prefix}/{}", id()).parse().expect("this is a key")
}

fn draft(length: Length) -> Upload {
    Upload::new(id(), length, SystemTime::now())
}

fn length(data: &[u8]) -> Length {
    Length::Known(data.len() as u64)
}

/// Bytes of which no two places look alike.
fn pattern(size: usize) -> Vec<u8> {
    (0..size)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

async fn load(storage: &dyn Storage, id: &UploadId) -> Upload {
    storage.load(id).await.expect("the upload exists")
}

async fn create(storage: &dyn Storage, describe: impl FnOnce(&mut Upload)) -> Upload {
    let mut upload = draft(Length::Known(100));
    describe(&mut upload);
    storage.create(&upload).await.expect("the id is free");
    load(storage, &upload.id).await
}

async fn open(
    storage: &dyn Storage,
    upload: &Upload,
    mode: AppendMode,
) -> Box<dyn super::Appender> {
    storage
        .append(upload, mode)
        .await
        .expect("the snapshot is current")
}

async fn write(storage: &dyn Storage, upload: &Upload, data: &[u8]) {
    let mut appender = open(storage, upload, AppendMode::Streaming).await;
    appender
        .write(Bytes::copy_from_slice(data))
        .await
        .expect("it takes bytes");
    appender.commit().await.expect("it commits");
}

/// An upload of `length` that holds `data`.
async fn receiving(storage: &dyn Storage, data: &[u8], length: u64) -> Upload {
    let upload = create(storage, |upload| upload.length = Length::Known(length)).await;
    write(storage, &upload, data).await;
    load(storage, &upload.id).await
}

async fn finished(
    storage: &dyn Storage,
    data: &[u8],
    describe: impl FnOnce(&mut Upload),
) -> Upload {
    let upload = create(storage, |upload| {
        upload.length = length(data);
        describe(upload);
    })
    .await;
    write(storage, &upload, data).await;
    storage
        .finish(&load(storage, &upload.id).await)
        .await
        .expect("all bytes are there");
    load(storage, &upload.id).await
}

async fn is_pending(storage: &dyn Storage, id: &UploadId) -> bool {
    let mut pending = storage.pending();
    while let Some(upload) = pending.next().await {
        // Others use the storage too.
        if upload.is_ok_and(|upload| upload.id == *id) {
            return true;
        }
    }
    false
}

async fn final_of(storage: &dyn Storage, parts: &[Upload], length: Length) -> Upload {
    let ids = parts.iter().map(|part| part.id.clone()).collect();
    create(storage, |upload| {
        upload.length = length;
        upload.kind = Kind::Final(Concat::new("final;…", ids));
    })
    .await
}

async fn content(storage: &dyn Storage, id: &UploadId) -> Vec<u8> {
    let upload = load(storage, id).await;
    let stream = storage
        .read(&upload, 0..upload.offset)
        .await
        .expect("it is finished");
    let pieces: Vec<Bytes> = stream.try_collect().await.expect("it can be read");
    pieces.concat()
}

/// The upload holds `abc`, takes `def`, and is whole then.
async fn goes_on_at_3(storage: &dyn Storage, id: &UploadId) {
    let upload = load(storage, id).await;
    assert_eq!(upload.offset, 3);
    write(storage, &upload, b"def").await;
    storage
        .finish(&load(storage, id).await)
        .await
        .expect("all bytes are there");
    assert_eq!(content(storage, id).await, b"abcdef");
}
