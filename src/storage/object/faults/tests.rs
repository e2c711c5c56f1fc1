use futures::poll;
use object_store::{Error, PutMode};
use tokio::time::Instant;

use super::*;
use crate::storage::object::Simulation;

fn faulty(fault: Fault) -> Faulty<Simulation> {
    Faulty::new(Simulation::new(), move |_| fault.clone())
}

async fn put(bucket: &Faulty<Simulation>) -> Result<UpdateVersion> {
    let create = PutMode::Create.into();
    bucket.put(&Path::from("a"), "1".into(), create).await
}

fn effects(bucket: &Faulty<Simulation>) -> u64 {
    bucket.inner().requests().put
}

#[tokio::test]
async fn a_call_fails_before_or_after_its_effect() {
    let before = faulty(Fault::fail_before());
    assert!(matches!(put(&before).await, Err(Error::Generic { .. })));
    assert_eq!(effects(&before), 0);
    let after = faulty(Fault::fail_after());
    assert!(matches!(put(&after).await, Err(Error::Generic { .. })));
    assert_eq!(effects(&after), 1);
}

#[tokio::test]
async fn a_repeated_call_gives_the_second_answer() {
    let bucket = faulty(Fault::repeat());
    let answer = put(&bucket).await;
    assert!(matches!(answer, Err(Error::AlreadyExists { .. })));
    assert_eq!(effects(&bucket), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_is_delayed_or_never_answered() {
    let hour = Duration::from_secs(3600);
    let start = Instant::now();
    put(&faulty(Fault::pass().delayed(hour))).await.unwrap();
    assert!(start.elapsed() >= hour);
    for (fault, times) in [(Fault::hang_before(), 0), (Fault::hang_after(), 1)] {
        let bucket = faulty(fault);
        assert!(tokio::time::timeout(hour, put(&bucket)).await.is_err());
        assert_eq!(effects(&bucket), times);
    }
}

#[tokio::test]
async fn a_gate_lets_a_call_go_step_by_step() {
    let gate = Gate::new();
    let bucket = faulty(Fault::repeat().held(&gate));
    let mut call = Box::pin(put(&bucket));
    for done in 0..=2 {
        assert!(poll!(&mut call).is_pending());
        assert_eq!(effects(&bucket), done);
        gate.pass();
    }
    assert!(poll!(&mut call).is_ready());
    gate.open();
    put(&bucket).await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_ends_unless_it_is_detached() {
    let second = Duration::from_secs(1);
    let late = Fault::pass().delayed(second);
    for (fault, times) in [(late.clone(), 0), (late.detached(), 1)] {
        let bucket = faulty(fault);
        let given_up = tokio::time::timeout(second / 2, put(&bucket)).await;
        given_up.unwrap_err();
        tokio::time::sleep(second).await;
        assert_eq!(effects(&bucket), times);
    }
}

#[tokio::test(start_paused = true)]
async fn an_echo_comes_after_the_answer() {
    let gate = Gate::new();
    let bucket = faulty(Fault::echo().held(&gate));
    gate.pass();
    gate.pass();
    put(&bucket).await.unwrap();
    assert_eq!(effects(&bucket), 1);
    gate.open();
    // Only when nothing else is left to do does a paused clock go on.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(effects(&bucket), 2);
}

#[tokio::test]
async fn a_process_dies_at_a_call() {
    for n in 1..=3 {
        let path = Path::from("a");
        let before = Faulty::new(Simulation::new(), dies_before(n));
        let after = Faulty::new(Simulation::new(), dies_after(n));
        for index in 1..=3 {
            assert_eq!(before.delete(&path).await.is_ok(), index < n);
            assert_eq!(after.delete(&path).await.is_ok(), index < n);
        }
        assert_eq!(before.inner().requests().delete, n - 1);
        assert_eq!(after.inner().requests().delete, n);
    }
}

#[tokio::test]
async fn a_plan_is_told_what_is_called() {
    let bucket = Faulty::new(Simulation::new(), |call| {
        let is_second_list = call.operation == Operation::List && call.index == 2;
        match is_second_list && call.path.as_ref() == "p" {
            true => Fault::fail_before(),
            false => Fault::pass(),
        }
    });
    let clone = bucket.clone();
    let list = |prefix: &str| clone.list(&Path::from(prefix)).try_collect::<Vec<_>>();
    list("p").await.unwrap();
    list("p").await.unwrap_err();
    list("p").await.unwrap();
    assert_eq!(bucket.calls(), 3);
}
