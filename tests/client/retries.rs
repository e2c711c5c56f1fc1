use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use tower::ServiceExt;
use tower_tus::{
    TusService,
    client::{Body, Client, RetryPolicy, Source, Verdict},
    storage::MemoryStorage,
};

use crate::support::{Instead, Seen, Server, bytes};

fn is_patch(seen: &Seen) -> bool {
    seen.method == "PATCH"
}

#[tokio::test]
async fn what_the_server_stored_is_not_sent_again() {
    let server = Server::disturbed(|seen, number| {
        (is_patch(seen) && number < 5).then_some(Instead::CutAfter(300_000))
    })
    .await;
    let content = bytes(3_000_000);
    let done = server.client().upload(content.clone()).await.unwrap();
    assert!(server.content(done.url()).await == content);
    let mut offsets = server.seen().into_iter().filter(is_patch).map(|seen| {
        let offset: u64 = seen.header("upload-offset").parse().unwrap();
        let length: u64 = seen.header("content-length").parse().unwrap();
        assert_eq!(offset + length, 3_000_000);
        offset
    });
    assert_eq!(offsets.next(), Some(0));
    assert!(offsets.all(|offset| offset > 0));
}

#[tokio::test]
async fn statuses_that_may_pass_are_waited_out() {
    for status in [408, 409, 423, 425, 429, 460, 500, 502, 503, 504, 507] {
        let server = Server::disturbed(move |_, number| {
            (number % 2 == 0 && number < 8).then_some(Instead::Status(status))
        })
        .await;
        let content = bytes(2_000_000);
        let done = server.client().upload(content.clone()).await.unwrap();
        assert!(server.content(done.url()).await == content, "{status}");
    }
}

#[tokio::test]
async fn statuses_that_stay_are_told_at_once() {
    for status in [400, 401, 403, 415, 501, 505] {
        let server =
            Server::disturbed(move |seen, _| is_patch(seen).then_some(Instead::Status(status)))
                .await;
        let error = server.client().upload(bytes(2_000_000)).await.unwrap_err();
        assert_eq!(error.status().unwrap(), status);
        assert!(error.upload_url().is_some());
        assert_eq!(server.methods(), "POST PATCH");
    }
}

#[tokio::test]
async fn answers_that_are_lost_are_asked_for() {
    let server = Server::disturbed(|seen, number| {
        (is_patch(seen) && number == 1).then_some(Instead::LoseAnswer)
    })
    .await;
    let content = bytes(2_000_000);
    let done = server.client().upload(content.clone()).await.unwrap();
    assert!(server.content(done.url()).await == content);
    assert_eq!(server.methods(), "POST PATCH HEAD");
}

#[tokio::test]
async fn a_request_that_is_too_large_is_made_smaller() {
    const MOST: u64 = 500_000;
    let server = Server::disturbed(|seen, _| {
        let length = seen.header("content-length").parse().unwrap_or(0);
        (is_patch(seen) && length > MOST).then_some(Instead::Status(413))
    })
    .await;
    let content = bytes(5_000_000);
    let done = server.client().upload(content.clone()).await.unwrap();
    assert!(server.content(done.url()).await == content);
    let requests = server.seen().len();
    assert!(requests < 40, "{requests}");
}

#[tokio::test]
async fn a_server_that_never_makes_progress_ends_the_upload() {
    let policy = RetryPolicy::default()
        .attempts(5)
        .first_pause(Duration::from_millis(1));
    for instead in [
        Instead::Status(500),
        Instead::Status(409),
        Instead::Answer(204, vec![("upload-offset", "0".to_owned())]),
    ] {
        let server =
            Server::disturbed(move |seen, _| is_patch(seen).then(|| instead.clone())).await;
        let upload = server.client().upload(bytes(2_000_000));
        let error = upload.retry(policy.clone()).await.unwrap_err();
        assert!(error.upload_url().is_some(), "{error}");
        let patches = server.seen().into_iter().filter(is_patch).count();
        assert_eq!(patches, 5, "{error}");
    }
}

#[tokio::test]
async fn silence_is_not_waited_for() {
    let server = Server::disturbed(|seen, number| {
        (is_patch(seen) && number == 1).then_some(Instead::Silence)
    })
    .await;
    let client = server
        .client()
        .stall_timeout(Duration::from_millis(50))
        .answer_timeout(Duration::from_millis(50));
    // More than all buffers on the way hold.
    let content = bytes(30_000_000);
    let done = client.upload(content.clone()).await.unwrap();
    assert!(server.content(done.url()).await == content);
    assert_eq!(server.methods(), "POST PATCH HEAD PATCH");
}

#[tokio::test]
async fn the_judge_decides() {
    let server = Server::disturbed(|seen, number| {
        (is_patch(seen) && number < 3).then_some(Instead::Status(403))
    })
    .await;
    let policy = RetryPolicy::default()
        .first_pause(Duration::from_millis(1))
        .judge(|error, _| match error.status() {
            Some(status) if status == 403 => Verdict::Retry,
            _ => Verdict::AsUsual,
        });
    let upload = server.client().upload(bytes(2_000_000));
    upload.retry(policy).await.unwrap();
}

#[tokio::test]
async fn a_stream_is_replayed_from_memory() {
    let server = Server::disturbed(|seen, number| match (is_patch(seen), number % 3) {
        (true, 0) => Some(Instead::CutAfter(70_000)),
        (true, 1) => Some(Instead::LoseAnswer),
        _ => None,
    })
    .await;
    let content = bytes(2_000_000);
    let source = Source::read_once(std::io::Cursor::new(content.clone())).replay(300_000);
    let done = server.client().upload(source).await.unwrap();
    assert!(server.content(done.url()).await == content);
}

#[tokio::test]
async fn an_upload_that_vanished_is_begun_anew() {
    let server = Server::disturbed(|_, number| (number == 1).then_some(Instead::Status(404))).await;
    let content = bytes(2_000_000);
    let done = server.client().upload(content.clone()).await.unwrap();
    assert!(server.content(done.url()).await == content);
    assert_eq!(server.methods(), "POST PATCH POST PATCH");
}

#[tokio::test]
async fn a_server_that_never_tells_what_it_stored_is_asked() {
    let told = |seen: &Seen, _| {
        is_patch(seen).then(|| Instead::Answer(204, vec![("tus-resumable", "1.0.0".to_owned())]))
    };
    // It says yes, and stores nothing.
    let server = Server::disturbed(told).await;
    let error = server.client().upload(bytes(2_000_000)).await.unwrap_err();
    assert!(error.is_protocol(), "{error}");
    let patches = server.seen().into_iter().filter(is_patch).count();
    assert_eq!(patches, 11);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_swallows_options_is_asked_once() {
    let tus = TusService::new(MemoryStorage::new()).base_path("/files");
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let (tus, counted) = (tus.clone(), counted.clone());
        async move {
            if request.method() == "OPTIONS" {
                counted.fetch_add(1, Ordering::Relaxed);
                std::future::pending::<()>().await;
            }
            tus.oneshot(request).await
        }
    });
    let client = Client::with_service("http://localhost/files".parse().unwrap(), service);
    let begin = tokio::time::Instant::now();
    for _ in 0..3 {
        client.upload(bytes(1_000)).await.unwrap();
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    // Virtual time: it stands still while anything happens.
    assert!(begin.elapsed() < Duration::from_secs(15));
}

#[tokio::test]
async fn the_judge_hears_what_happened() {
    let server = Server::disturbed(|seen, number| {
        let kept = vec![("upload-offset", "0".to_owned())];
        (is_patch(seen) && number < 4).then_some(match number {
            1 => Instead::Answer(204, kept),
            _ => Instead::Status(404),
        })
    })
    .await;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hearing = heard.clone();
    let policy = RetryPolicy::default()
        .first_pause(Duration::ZERO)
        .judge(move |error, _| {
            hearing
                .lock()
                .unwrap()
                .push((error.is_protocol(), error.status()));
            Verdict::AsUsual
        });
    let upload = server.client().upload(bytes(2_000_000)).retry(policy);
    upload.await.unwrap();
    let heard = heard.lock().unwrap();
    assert_eq!(*heard, [(true, None), (false, Some(StatusCode::NOT_FOUND))]);
}
