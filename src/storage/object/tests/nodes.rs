//! Two processes on one bucket.

use super::*;

async fn created(storage: &ObjectStorage, length: u64) -> Upload {
    storage.create(&draft("a", length)).await.unwrap();
    storage.load(&id("a")).await.unwrap()
}

#[tokio::test]
async fn a_newer_writer_ends_an_older_one_on_another_node() {
    for (name, simulation) in simulations() {
        let (one, two) = (small(&simulation), small(&simulation));
        let upload = created(&one, 3 * PART).await;
        let mut older = one.append(&upload, AppendMode::Streaming).await.unwrap();
        older.write(content(2 * PART + 5)).await.unwrap();
        let seen = two.load(&upload.id).await.unwrap();
        let mut newer = two.append(&seen, AppendMode::Streaming).await.unwrap();
        newer.write(content(PART + 1)).await.unwrap();
        let late = older.commit().await;
        assert!(
            matches!(late, Err(Error::Superseded(_))),
            "{name}: {late:?}"
        );
        assert_eq!(newer.commit().await.unwrap(), PART + 1, "{name}");
        let rest = content(3 * PART).slice(PART as usize + 1..);
        let upload = one.load(&upload.id).await.unwrap();
        let upload = patch(&one, &upload, rest, AppendMode::Streaming)
            .await
            .unwrap();
        assert_eq!(read(&two, &upload).await, content(3 * PART), "{name}");
    }
}

#[tokio::test]
async fn what_one_node_remembers_of_an_upload_harms_nobody() {
    let simulation = s3();
    let (one, two) = (small(&simulation), small(&simulation));
    created(&one, 10).await;
    let id = id("a");
    let old = one.recall(&id).unwrap();
    let upload = two.load(&id).await.unwrap();
    patch(&two, &upload, content(4), AppendMode::Streaming)
        .await
        .unwrap();
    let late = patch(&one, &old, content(10), AppendMode::Streaming).await;
    assert!(matches!(late, Err(Error::Superseded(_))), "{late:?}");
    let upload = one.load(&id).await.unwrap();
    assert_eq!(upload.offset, 4);
    let rest = content(10).slice(4..);
    let upload = patch(&one, &upload, rest, AppendMode::Streaming)
        .await
        .unwrap();
    assert_eq!(read(&two, &upload).await, content(10));
}

#[tokio::test(start_paused = true)]
async fn a_pause_makes_what_came_visible_on_other_nodes() {
    for size in [5, PART + 5] {
        let simulation = s3();
        let (one, two) = (small(&simulation), small(&simulation));
        let upload = created(&one, 3 * PART).await;
        let mut appender = one.append(&upload, AppendMode::Streaming).await.unwrap();
        appender.write(content(size)).await.unwrap();
        appender.flush().await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(two.load(&upload.id).await.unwrap().offset, size);
        assert_eq!(appender.visible(), size);
        let rest = content(3 * PART).slice(size as usize..);
        appender.write(rest).await.unwrap();
        assert_eq!(appender.commit().await.unwrap(), 3 * PART);
    }
}

#[tokio::test]
async fn deleted_on_one_node_it_is_gone_on_the_other() {
    let simulation = s3();
    let (one, two) = (small(&simulation), small(&simulation));
    let upload = created(&one, 3 * PART).await;
    let mut appender = one.append(&upload, AppendMode::Streaming).await.unwrap();
    appender.write(content(2 * PART)).await.unwrap();
    two.delete(&upload.id).await.unwrap();
    assert!(appender.commit().await.is_err());
    assert!(matches!(
        one.load(&upload.id).await,
        Err(Error::NotFound(_))
    ));
    simulation.advance(Duration::from_secs(7200));
    two.reclaim(simulation.now()).await.unwrap();
    assert_eq!(simulation.paths(), []);
    assert_eq!(simulation.open_sessions(), []);
}

#[tokio::test]
async fn a_store_that_ignores_conditions_is_refused_for_many_nodes() {
    let simulation = Simulation::new().without_conditions();
    let storage = ObjectStorage::new(simulation.clone());
    let refused = storage.check().await;
    assert!(matches!(refused, Err(Error::Unsupported(_))), "{refused:?}");
    assert_eq!(simulation.paths(), []);
    storage.nodes(Nodes::One).check().await.unwrap();
    for (name, simulation) in simulations() {
        let checked = ObjectStorage::new(simulation.clone()).check().await;
        assert!(checked.is_ok(), "{name}: {checked:?}");
        assert_eq!(simulation.paths(), []);
    }
}

#[tokio::test]
async fn a_store_that_can_makes_one_object_of_many_by_itself() {
    for parts in [1, 3, 40] {
        let simulation = Simulation::gcs().min_part(PART);
        let storage = small(&simulation);
        let mut joined = Vec::new();
        for number in 0..parts {
            let mut part = draft(&format!("p{number}"), number);
            part.kind = Kind::Partial;
            storage.create(&part).await.unwrap();
            let part = storage.load(&part.id).await.unwrap();
            joined.push(
                patch(&storage, &part, content(number), AppendMode::Streaming)
                    .await
                    .unwrap(),
            );
        }
        let ids = joined.iter().map(|part| part.id.clone()).collect();
        let mut target = draft("a", joined.iter().map(|part| part.offset).sum());
        target.kind = Kind::Final(crate::protocol::Concat::new("final;…", ids));
        storage.create(&target).await.unwrap();
        simulation.reset_requests();
        storage.concat(&target, &joined).await.unwrap();
        let spent = simulation.requests();
        assert_eq!((spent.read, spent.put_part), (0, 0), "{spent:?}");
        let upload = storage.load(&target.id).await.unwrap();
        let expected: Vec<Bytes> = (0..parts).map(content).collect();
        assert_eq!(read(&storage, &upload).await, expected.concat());
        simulation.advance(Duration::from_secs(7200));
        storage.reclaim(simulation.now()).await.unwrap();
        let stages = simulation.paths().into_iter();
        assert_eq!(
            stages.filter(|path| path.as_ref().contains("a.")).count(),
            0
        );
    }
}

#[tokio::test]
async fn an_id_that_is_used_again_is_cared_for_as_any_other() {
    for (name, simulation) in simulations() {
        let (one, two) = (small(&simulation), small(&simulation));
        let upload = created(&one, 10).await;
        patch(&one, &upload, content(10), AppendMode::Streaming)
            .await
            .unwrap();
        for node in [&one, &two] {
            let pending = node.pending().try_collect::<Vec<_>>().await.unwrap();
            assert_eq!(pending, [], "{name}");
        }
        one.delete(&upload.id).await.unwrap();

        let upload = created(&one, 4 * PART).await;
        let first = content(2 * PART + 5);
        let upload = patch(&one, &upload, first, AppendMode::Streaming)
            .await
            .unwrap();
        let upload = one.load(&upload.id).await.unwrap();
        simulation.advance(Duration::from_secs(25 * 3600));
        let before = simulation.now() - Duration::from_secs(24 * 3600);
        for node in [&one, &two] {
            let pending = node.pending().try_collect::<Vec<_>>().await.unwrap();
            assert_eq!(pending, std::slice::from_ref(&upload), "{name}");
            node.reclaim(before).await.unwrap();
        }
        let rest = content(4 * PART).slice(2 * PART as usize + 5..);
        let upload = patch(&one, &upload, rest, AppendMode::Streaming)
            .await
            .unwrap();
        assert_eq!(read(&two, &upload).await, content(4 * PART), "{name}");
    }
}

#[tokio::test]
async fn a_sweep_does_not_read_again_what_it_has_seen_finished() {
    let simulation = s3();
    let storage = small(&simulation);
    let upload = created(&storage, 10).await;
    patch(&storage, &upload, content(10), AppendMode::Streaming)
        .await
        .unwrap();
    for reads in [1, 0, 0] {
        simulation.reset_requests();
        let pending = storage.pending().try_collect::<Vec<_>>().await.unwrap();
        assert_eq!(pending, []);
        assert_eq!(simulation.requests().get, reads);
    }
}
