use proptest::prelude::*;

use super::*;
use crate::client::error::{Kind, Refusal};

const LENGTH: u64 = 1 << 30;

fn engine(url: Url) -> Engine {
    let mut engine = Engine::new(RetryPolicy::default().attempts(4), url, Some(LENGTH));
    if url == Url::None {
        engine.handed(LENGTH);
    }
    engine
}

fn deferred() -> Engine {
    let mut engine = Engine::new(RetryPolicy::default(), Url::None, None);
    engine.handed(LENGTH);
    engine
}

fn refused(status: u16) -> Error {
    Error::new(Kind::Status(Refusal {
        status: StatusCode::from_u16(status).unwrap(),
        retry_after: None,
        text: String::new(),
    }))
}

fn cut() -> Event {
    failed(Error::new(Kind::Interrupted))
}

fn failed(error: Error) -> Event {
    Event::Failed {
        error,
        sent: LENGTH,
    }
}

fn stands(offset: u64) -> Event {
    Event::Stands {
        offset,
        length: Some(LENGTH),
    }
}

fn stored(offset: u64, sent: u64) -> Event {
    Event::Stored {
        offset: Some(offset),
        sent,
        length: None,
    }
}

fn untold() -> Event {
    Event::Stored {
        offset: None,
        sent: LENGTH,
        length: None,
    }
}

/// The steps by their names, for tables.
fn name(plan: &Plan) -> String {
    match &plan.step {
        Step::Create { first: 0 } => "create".to_owned(),
        Step::Create { first } => format!("create+{first}"),
        Step::Inspect => "inspect".to_owned(),
        Step::Send {
            offset,
            limit,
            declare,
        } => {
            let limit = match *limit {
                u64::MAX => String::new(),
                limit => format!("+{limit}"),
            };
            format!("send {offset}{limit}{}", if *declare { "!" } else { "" })
        }
        Step::Done(offset) => format!("done {offset}"),
        Step::Fail(_) => "fail".to_owned(),
    }
}

fn run(engine: &mut Engine, events: Vec<Event>) -> Vec<String> {
    let mut names = vec![name(&engine.start())];
    for event in events {
        names.push(name(&engine.on(event, 1.0)));
    }
    names
}

#[test]
fn courses() {
    let created = || Event::Created { offset: None };
    let table: Vec<(&str, Engine, Vec<Event>, &[&str])> = vec![
        (
            "the usual",
            engine(Url::None),
            vec![created(), stored(LENGTH, LENGTH)],
            &["create", "send 0", "done 1073741824"],
        ),
        (
            "cut: ask, go on from there",
            engine(Url::None),
            vec![created(), cut(), stands(7), stored(LENGTH, LENGTH - 7)],
            &["create", "send 0", "inspect", "send 7", "done 1073741824"],
        ),
        (
            "the last answer was lost",
            engine(Url::None),
            vec![created(), cut(), stands(LENGTH)],
            &["create", "send 0", "inspect", "done 1073741824"],
        ),
        (
            "a shorter offset is the truth",
            engine(Url::None),
            vec![created(), stored(9, LENGTH), stored(LENGTH, LENGTH - 9)],
            &["create", "send 0", "send 9", "done 1073741824"],
        ),
        (
            "conflict: ask at once",
            engine(Url::None),
            vec![created(), failed(refused(409)), stands(5)],
            &["create", "send 0", "inspect", "send 5"],
        ),
        (
            "a stored URL that is stale",
            engine(Url::Stored),
            vec![failed(refused(410)), created()],
            &["inspect", "create", "send 0"],
        ),
        (
            "a stored URL of other content",
            engine(Url::Stored),
            vec![Event::Stands {
                offset: 3,
                length: Some(4),
            }],
            &["inspect", "create"],
        ),
        (
            "a given URL that is wrong",
            engine(Url::Given),
            vec![failed(refused(404))],
            &["inspect", "fail"],
        ),
        (
            "a given URL of other content",
            engine(Url::Given),
            vec![Event::Stands {
                offset: 3,
                length: Some(4),
            }],
            &["inspect", "fail"],
        ),
        (
            "an upload that vanished is begun anew",
            engine(Url::None),
            vec![created(), failed(refused(404)), created()],
            &["create", "send 0", "create", "send 0"],
        ),
        (
            "too large: halves",
            engine(Url::None),
            vec![
                created(),
                failed(refused(413)),
                stands(0),
                Event::Failed {
                    error: refused(413),
                    sent: 64 << 20,
                },
                stands(0),
            ],
            &[
                "create",
                "send 0",
                "inspect",
                "send 0+67108864",
                "inspect",
                "send 0+33554432",
            ],
        ),
        (
            "too large at any size",
            engine(Url::None),
            vec![
                created(),
                Event::Failed {
                    error: refused(413),
                    sent: 64 << 10,
                },
            ],
            &["create", "send 0", "inspect"],
        ),
        (
            "the first bytes go along once",
            engine(Url::None).first(5),
            vec![cut(), cut(), created()],
            &["create+5", "create", "create", "send 0"],
        ),
        (
            "the first bytes are too many",
            engine(Url::None).first(5),
            vec![failed(refused(413)), created()],
            &["create+5", "create", "send 0"],
        ),
        (
            "nobody knows what became of the first bytes",
            engine(Url::None).first(5),
            vec![created(), stands(5)],
            &["create+5", "inspect", "send 5"],
        ),
        (
            "stop early",
            engine(Url::None).stop_at(Some(10)).limit(6),
            vec![created(), stored(6, 6), stored(10, 4)],
            &["create", "send 0+6", "send 6+4", "done 10"],
        ),
        (
            "an answer without an offset",
            engine(Url::None),
            vec![created(), untold(), stands(LENGTH)],
            &["create", "send 0", "inspect", "done 1073741824"],
        ),
        (
            "answers without an offset, and nothing stored",
            engine(Url::None),
            vec![
                created(),
                untold(),
                stands(0),
                untold(),
                stands(0),
                untold(),
                stands(0),
                untold(),
                stands(0),
                untold(),
            ],
            &[
                "create", "send 0", "inspect", "send 0", "inspect", "send 0", "inspect", "send 0",
                "inspect", "send 0", "fail",
            ],
        ),
        (
            "more than was sent to an upload of its own",
            Engine::new(RetryPolicy::default(), Url::None, Some(LENGTH)),
            vec![created(), cut(), stands(1)],
            &["create", "send 0", "inspect", "fail"],
        ),
        (
            "bytes of an earlier process come in late",
            engine(Url::Given),
            vec![stands(5), cut(), stands(5), cut(), stands(6)],
            &[
                "inspect", "send 5", "inspect", "send 5", "inspect", "send 6",
            ],
        ),
        (
            "another client writes to an upload that was named",
            engine(Url::Given).limit(3),
            vec![stands(5), stored(8, 3), cut(), stands(9)],
            &["inspect", "send 5+3", "send 8+3", "inspect", "fail"],
        ),
        (
            "parts that are joined at last",
            engine(Url::Given),
            vec![Event::Joining, Event::Joining, stands(LENGTH)],
            &["inspect", "inspect", "inspect", "done 1073741824"],
        ),
        (
            "more than was sent to an upload of an earlier process",
            engine(Url::Stored),
            vec![stands(5), cut(), stands(6)],
            &["inspect", "send 5", "inspect", "send 6"],
        ),
        (
            "an answer beyond what was sent",
            engine(Url::None).limit(5),
            vec![created(), stored(6, 5)],
            &["create", "send 0+5", "fail"],
        ),
        (
            "refused for good",
            engine(Url::None),
            vec![created(), failed(refused(400))],
            &["create", "send 0", "fail"],
        ),
        (
            "an empty upload is done when it is created",
            Engine::new(RetryPolicy::default(), Url::None, Some(0)),
            vec![created()],
            &["create", "done 0"],
        ),
        (
            "the length is told at the end",
            deferred(),
            vec![
                created(),
                stored(4, 4),
                Event::Stored {
                    offset: Some(4),
                    sent: 0,
                    length: Some(4),
                },
            ],
            &["create", "send 0!", "send 4!", "done 4"],
        ),
        (
            "the answer to the length was lost",
            deferred(),
            vec![
                created(),
                failed(Error::new(Kind::Interrupted)),
                Event::Stands {
                    offset: 4,
                    length: Some(4),
                },
            ],
            &["create", "send 0!", "inspect", "done 4"],
        ),
        (
            "after a pause: ask",
            engine(Url::None),
            vec![created(), Event::Resumed, stands(8)],
            &["create", "send 0", "inspect", "send 8"],
        ),
    ];
    for (what, mut engine, events, expected) in table {
        assert_eq!(run(&mut engine, events), expected, "{what}");
    }
}

#[test]
fn nothing_goes_on_without_progress() {
    let kinds = [cut, || failed(refused(409)), || stored(0, 5), untold];
    // Each kind of failure first, then the others, with an answer to each question between.
    for first in 0..kinds.len() {
        let mut engine = engine(Url::None);
        engine.start();
        engine.on(Event::Created { offset: None }, 0.0);
        let mut failures = 0;
        for kind in kinds.iter().cycle().skip(first) {
            failures += 1;
            if let Step::Fail(_) = engine.on(kind(), 0.0).step {
                break;
            }
            engine.on(stands(0), 0.0);
        }
        // What may have been a success is asked about before it is one failure too many.
        assert!((4..=5).contains(&failures), "{failures}");
    }
}

#[test]
fn offsets_that_were_there_before_are_no_progress() {
    let mut engine = engine(Url::None);
    engine.start();
    engine.on(Event::Created { offset: None }, 0.0);
    engine.on(stored(100, 100), 0.0);
    let mut rounds = 0;
    loop {
        rounds += 1;
        // It loses what it had, and says that it has it.
        if let Step::Fail(_) = engine.on(untold(), 0.0).step {
            break;
        }
        engine.on(stands(0), 0.0);
        engine.on(stored(100, 100), 0.0);
    }
    assert_eq!(rounds, 5);
}

/// What may come of a step, with offsets up to `best`.
fn without_progress() -> impl Strategy<Value = (u8, u64, u16, u64)> {
    let statuses = prop::sample::select(vec![400, 404, 409, 413, 423, 460, 500, 503]);
    (0..6u8, 0..=100u64, statuses, 0..LENGTH)
}

proptest! {
    /// A server that only ever has what it had before is left in the end, whatever it says.
    #[test]
    fn no_course_without_progress_is_endless(
        course in prop::collection::vec(without_progress(), 1..20),
    ) {
        let mut engine = engine(Url::None);
        engine.start();
        engine.on(Event::Created { offset: None }, 0.0);
        let mut plan = engine.on(stored(100, 100), 0.0);
        let mut steps = 0;
        for (kind, offset, status, sent) in course.into_iter().cycle() {
            let event = match (&plan.step, kind) {
                (Step::Done(_) | Step::Fail(_), _) => break,
                (_, 0) => failed(Error::new(Kind::Interrupted)),
                (_, 1) => Event::Failed { error: refused(status), sent },
                (Step::Create { .. }, _) => Event::Created { offset: None },
                (Step::Inspect, _) => stands(offset),
                (Step::Send { .. }, 2 | 3) => untold(),
                (Step::Send { offset: from, .. }, _) => stored(offset, (*from).max(sent)),
            };
            plan = engine.on(event, 0.0);
            steps += 1;
            prop_assert!(steps < 5 * (4 * 4 + 64));
        }
    }
}

#[test]
fn nobody_runs_after_another_writer() {
    let mut engine = engine(Url::None);
    engine.start();
    engine.on(Event::Created { offset: None }, 1.0);
    let mut pauses = Vec::new();
    for offset in 1..5 {
        pauses.push(engine.on(failed(refused(409)), 1.0).pause.as_millis());
        engine.on(stands(offset), 1.0);
    }
    assert_eq!(pauses, [0, 500, 1000, 2000]);
    engine.on(stored(5, 1), 1.0);
    assert!(engine.on(failed(refused(409)), 1.0).pause.is_zero());
}

#[test]
fn progress_starts_the_count_anew() {
    let mut engine = engine(Url::None);
    engine.start();
    engine.on(Event::Created { offset: None }, 0.0);
    for offset in 1..1000 {
        assert_eq!(name(&engine.on(cut(), 0.0)), "inspect");
        engine.on(stands(offset), 0.0);
        assert_eq!(engine.failures, 0);
    }
    // Bytes that were stored before are no progress.
    for _ in 0..3 {
        engine.on(cut(), 0.0);
        engine.on(stands(5), 0.0);
    }
    assert_eq!(name(&engine.on(cut(), 0.0)), "fail");
}

#[test]
fn an_upload_that_always_vanishes_ends() {
    let mut engine = engine(Url::None);
    engine.start();
    let mut steps = 0;
    loop {
        engine.on(Event::Created { offset: None }, 0.0);
        engine.on(stored(1 + steps, LENGTH), 0.0);
        steps += 1;
        if let Step::Fail(_) = engine.on(failed(refused(404)), 0.0).step {
            break;
        }
    }
    assert_eq!(steps, 4);
}
