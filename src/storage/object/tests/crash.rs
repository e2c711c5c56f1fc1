//! The process dies at every single request to the store, before or after it took effect. Another one
//! goes on, and nothing that was acknowledged is lost.

use super::*;

/// What a client wants.
#[derive(Debug, Clone, Copy)]
struct Scenario {
    length: u64,
    /// Size of a request's body.
    body: u64,
    mode: AppendMode,
    kind: Made,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Made {
    Whole,
    /// Of two parts, each of the length.
    Joined,
}

const SCENARIOS: [Scenario; 6] = [
    Scenario::new(100, 100, AppendMode::Streaming, Made::Whole),
    Scenario::new(3 * PART + 5, 64 * PART, AppendMode::Streaming, Made::Whole),
    Scenario::new(2 * PART, PART / 2 + 1, AppendMode::Streaming, Made::Whole),
    Scenario::new(2 * PART + 1, PART + 7, AppendMode::Atomic, Made::Whole),
    Scenario::new(PART / 2, PART, AppendMode::Streaming, Made::Joined),
    Scenario::new(2 * PART, 2 * PART, AppendMode::Streaming, Made::Joined),
];

impl Scenario {
    const fn new(length: u64, body: u64, mode: AppendMode, kind: Made) -> Self {
        Self {
            length,
            body,
            mode,
            kind,
        }
    }
}

/// What the client knows.
#[derive(Debug, Default)]
struct Client {
    acknowledged: std::collections::HashMap<String, u64>,
}

impl Client {
    /// Does what is left to do.
    async fn go_on(&mut self, storage: &ObjectStorage, scenario: Scenario) -> Result<()> {
        match scenario.kind {
            Made::Whole => {
                self.upload(storage, draft("a", scenario.length), scenario)
                    .await?;
            }
            Made::Joined => {
                let mut parts = Vec::new();
                for id in ["b", "c"] {
                    let mut part = draft(id, scenario.length);
                    part.kind = Kind::Partial;
                    self.upload(storage, part, scenario).await?;
                    parts.push(storage.load(&super::id(id)).await?);
                }
                let mut target = draft("a", 2 * scenario.length);
                let ids = parts.iter().map(|part| part.id.clone()).collect();
                target.kind = Kind::Final(crate::protocol::Concat::new("final;b c", ids));
                create(storage, &target).await?;
                let target = storage.load(&target.id).await?;
                storage.concat(&target, &parts).await?;
            }
        }
        Ok(())
    }

    async fn upload(
        &mut self,
        storage: &ObjectStorage,
        draft: Upload,
        scenario: Scenario,
    ) -> Result<()> {
        create(storage, &draft).await?;
        let all = content(scenario.length);
        loop {
            let mut upload = storage.load(&draft.id).await?;
            let told = self.acknowledged.entry(draft.id.to_string()).or_default();
            assert!(upload.offset >= *told, "{} after {told}", upload.offset);
            if upload.stage == Stage::Finishing {
                storage.finish(&upload).await?;
                upload = storage.load(&draft.id).await?;
            }
            if upload.is_finished() {
                return Ok(());
            }
            let end = scenario.length.min(upload.offset + scenario.body);
            let bytes = all.slice(upload.offset as usize..end as usize);
            *told = patch(storage, &upload, bytes, scenario.mode).await?.offset;
        }
    }
}

async fn create(storage: &ObjectStorage, upload: &Upload) -> Result<()> {
    match storage.create(upload).await {
        Ok(_) | Err(Error::AlreadyExists(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// A process that dies at its call number `at`.
fn mortal(simulation: &Simulation, at: u64, way: Way) -> ObjectStorage {
    let faulty = match way {
        Way::Before => Faulty::new(simulation.clone(), dies_before(at)),
        Way::After => Faulty::new(simulation.clone(), dies_after(at)),
    };
    ObjectStorage::new(faulty).part_size(PART)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Before,
    After,
}

/// Everything is there, and nothing else.
async fn check(simulation: &Simulation, scenario: Scenario, what: &str) {
    let storage = small(simulation);
    let upload = storage.load(&id("a")).await.unwrap();
    let expected = match scenario.kind {
        Made::Whole => content(scenario.length),
        Made::Joined => [content(scenario.length), content(scenario.length)]
            .concat()
            .into(),
    };
    assert_eq!(read(&storage, &upload).await, expected, "{what}");
    // What is left behind is found.
    simulation.advance(Duration::from_secs(7200));
    storage.reclaim(simulation.now()).await.unwrap();
    assert_eq!(simulation.open_sessions(), [], "{what}");
    let mut paths: Vec<String> = simulation.paths().iter().map(ToString::to_string).collect();
    paths.sort();
    let state = |name| format!(".tus/uploads/{}", id(name));
    let mut kept = vec![state("a"), id("a").to_string()];
    if scenario.kind == Made::Joined {
        for part in ["b", "c"] {
            kept.extend([state(part), format!(".tus/data/{}", id(part))]);
        }
    }
    kept.sort();
    assert_eq!(paths, kept, "{what}");
}

#[tokio::test(start_paused = true)]
async fn a_process_may_die_at_every_request() {
    for (name, _) in simulations() {
        for scenario in SCENARIOS {
            for way in [Way::Before, Way::After] {
                let mut at = 1;
                loop {
                    let what = format!("{name} {scenario:?} {way:?} {at}");
                    let simulation = simulations().into_iter().find(|(other, _)| *other == name);
                    let simulation = simulation.unwrap().1;
                    let mut client = Client::default();
                    let dying = mortal(&simulation, at, way);
                    let died = client.go_on(&dying, scenario).await.is_err();
                    drop(dying);
                    client
                        .go_on(&small(&simulation), scenario)
                        .await
                        .unwrap_or_else(|error| panic!("{what}: {error:?}"));
                    check(&simulation, scenario, &what).await;
                    if !died {
                        break;
                    }
                    at += 1;
                }
                assert!(at > 3, "{name} {scenario:?}: {at} requests");
            }
        }
    }
}

/// The store fails once, at every single request; the process lives on.
#[tokio::test(start_paused = true)]
async fn any_single_request_may_fail_be_lost_or_be_repeated() {
    let faults = [
        ("fails", Fault::fail_before()),
        ("is lost", Fault::fail_after()),
        ("is repeated", Fault::repeat()),
    ];
    for (name, _) in simulations() {
        for scenario in SCENARIOS {
            for (fault_name, fault) in &faults {
                let mut at = 1;
                loop {
                    let what = format!("{name} {scenario:?} {at} {fault_name}");
                    let simulation = simulations().into_iter().find(|(other, _)| *other == name);
                    let simulation = simulation.unwrap().1;
                    let fault = (*fault).clone();
                    let faulty = Faulty::new(simulation.clone(), move |call| match call.index {
                        index if index == at => fault.clone(),
                        _ => Fault::pass(),
                    });
                    let storage = ObjectStorage::new(faulty.clone()).part_size(PART);
                    let mut client = Client::default();
                    if let Err(error) = client.go_on(&storage, scenario).await {
                        println!("{what}: {error:?}");
                        client
                            .go_on(&storage, scenario)
                            .await
                            .unwrap_or_else(|error| panic!("{what}: {error:?}"));
                    }
                    check(&simulation, scenario, &what).await;
                    if faulty.calls() < at {
                        break;
                    }
                    at += 1;
                }
            }
        }
    }
}
