use std::time::Duration;

use tokio::time::{Instant, timeout};
use tower_tus::client::{Client, Source};

use super::{
    origin::{Origin, Storage},
    proxy::{Content, Far, Fault, Proxy},
    schedules::client,
    wire::{End, Head},
};
use crate::support::{bytes, content_of};

const ATTEMPTS: u32 = 4;

/// The same for each request that is such.
async fn line(origin: &Origin, fault: Fault, such: fn(&Head) -> bool) -> Proxy {
    let fates = move |head: &Head| match such(head) {
        true => fault.clone(),
        false => Fault::None,
    };
    Proxy::start(origin.address, origin.tus.clone(), None, fates).await
}

/// Faults with which nothing ever gets on.
fn hopeless() -> Vec<Fault> {
    let mut faults = vec![Fault::Stall(0, Far::Stays), Fault::Stall(0, Far::Ends)];
    for end in [End::Fin, End::Rst] {
        faults.extend([Fault::Drop(end), Fault::Cut(0, end)]);
    }
    for status in [408, 409, 423, 429, 460, 500, 502, 503, 504, 507] {
        faults.push(Fault::Refuse(status, None, Content::Read));
        faults.push(Fault::Refuse(status, Some("0"), Content::Unread));
    }
    faults
}

#[tokio::test]
async fn what_never_works_is_given_up_in_time() {
    let mut running = Vec::new();
    for fault in hopeless() {
        for (such, method, others) in [
            (any as fn(&Head) -> bool, "POST", 0),
            (is_patch, "PATCH", ATTEMPTS as usize),
            (is_no_post, "HEAD", 2),
        ] {
            let fault = fault.clone();
            running.push(tokio::spawn(async move {
                let origin = Origin::start(Storage::Memory).await;
                let proxy = line(&origin, fault.clone(), such).await;
                let upload = patient(&proxy, &fault).upload(bytes(900_000));
                let upload = upload.create_first();
                let error = timeout(FOREVER, upload.into_future()).await;
                let error = error.unwrap().unwrap_err();
                assert!(error.is_retryable(), "{fault:?} {error}");
                let record = proxy.record.lock();
                let count = record.count(|seen| seen.method == method);
                let failed = match method {
                    "HEAD" => ATTEMPTS as usize - 1,
                    _ => ATTEMPTS as usize,
                };
                // On a machine that has much to do other requests may stand still too.
                let least = if stalls(&fault) { 1 } else { failed };
                assert!((least..=failed).contains(&count), "{fault:?}\n{record}");
                assert!(record.requests.len() <= count + others, "{record}");
            }));
        }
    }
    for ended in running {
        ended.await.unwrap();
    }
}

#[tokio::test]
async fn as_long_as_something_is_stored_nothing_is_given_up() {
    let faults = [
        (Fault::Cut(50_000, End::Fin), 900_000),
        (Fault::Cut(50_000, End::Rst), 900_000),
        (Fault::Stall(50_000, Far::Stays), 250_000),
        (Fault::Stall(50_000, Far::Ends), 250_000),
    ];
    let running = faults.map(async |(fault, size)| {
        let origin = Origin::start(Storage::Memory).await;
        let proxy = line(&origin, fault.clone(), is_patch).await;
        let content = bytes(size);
        // With fewer attempts than there are faults.
        let upload = patient(&proxy, &fault).upload(Source::bytes(content.clone()));
        let done = timeout(FOREVER, upload.create_first().into_future()).await;
        let done = done.unwrap().unwrap();
        assert!(content_of(&origin.tus, done.url()).await == content);
        let record = proxy.record.lock();
        assert!(record.mistakes.is_empty(), "{:?}", record.mistakes);
        assert!(record.count(is_such_a_patch) <= size / 25_000, "{record}");
    });
    futures::future::join_all(running).await;
}

#[tokio::test]
async fn a_server_that_names_a_time_is_left_alone_until_then() {
    let origin = Origin::start(Storage::Memory).await;
    let mut left = 1;
    let fates = move |_: &Head| match std::mem::take(&mut left) {
        0 => Fault::None,
        _ => Fault::Refuse(429, Some("1"), Content::Read),
    };
    let proxy = Proxy::start(origin.address, origin.tus.clone(), None, fates).await;
    let started = Instant::now();
    let upload = client(&proxy, 2).upload(bytes(10)).create_first();
    upload.await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1));
}

/// A client that is in a hurry only where it has to be.
fn patient(proxy: &Proxy, fault: &Fault) -> Client {
    let client = client(proxy, ATTEMPTS);
    match stalls(fault) {
        true => client,
        false => client.stall_timeout(FOREVER).answer_timeout(FOREVER),
    }
}

fn stalls(fault: &Fault) -> bool {
    matches!(fault, Fault::Stall(..))
}

fn any(_: &Head) -> bool {
    true
}

fn is_patch(head: &Head) -> bool {
    head.method() == "PATCH"
}

fn is_no_post(head: &Head) -> bool {
    head.method() != "POST"
}

fn is_such_a_patch(seen: &super::record::Seen) -> bool {
    seen.method == "PATCH"
}

/// What takes longer does not end.
const FOREVER: Duration = Duration::from_secs(60);
