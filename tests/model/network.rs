use std::{
    collections::HashSet,
    fmt::Write,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use object_store::path::Path;
use tokio::time::Instant;
use tower_tus::storage::object::{Call, Fault, Faulty, Gate, Operation, Simulation};

use crate::random::Random;

/// What is on its way between nodes and bucket. A request that was sent arrives, or not, whatever has
/// become of its sender.
#[derive(Debug, Clone)]
pub(crate) struct Network(Arc<Mutex<Wires>>);

#[derive(Debug)]
struct Wires {
    random: Random,
    weather: Weather,
    manners: Manners,
    /// Where something may have been written after everybody had given up.
    haunted: HashSet<Path>,
    /// Who has made what.
    made: Vec<(String, Path)>,
    messages: Vec<Message>,
    count: u64,
    trace: Option<String>,
}

/// Whether requests get lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    Stormy,
    Calm,
}

/// How requests travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manners {
    /// They may come late, twice, and after the death of their sender.
    Any,
    /// They may get lost, but are never late: what a single process without conditions needs.
    Prompt,
}

/// A request, or its answer.
#[derive(Debug)]
struct Message {
    name: String,
    /// What it writes, if it makes an object, or a session.
    object: Option<Path>,
    from: String,
    gate: Gate,
    /// Effects, and the answer.
    steps: u32,
    sent: Instant,
    pace: Pace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    Usual,
    /// Others overtake it.
    Slow,
}

/// A process that sends requests, for as long as it lives.
#[derive(Debug, Clone)]
pub(crate) struct Life(Arc<AtomicBool>);

impl Life {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    pub(crate) fn end(&self) {
        self.0.store(false, Relaxed);
    }

    fn is_over(&self) -> bool {
        !self.0.load(Relaxed)
    }
}

/// After how long a sender may have given up.
const PATIENCE: Duration = Duration::from_secs(20);

impl Network {
    pub(crate) fn new(random: Random, traced: bool) -> Self {
        Self(Arc::new(Mutex::new(Wires {
            random,
            weather: Weather::Stormy,
            manners: Manners::Any,
            haunted: HashSet::new(),
            made: Vec::new(),
            messages: Vec::new(),
            count: 0,
            trace: traced.then(String::new),
        })))
    }

    /// The bucket, as a process on the other side of the network sees it.
    pub(crate) fn connect(
        &self,
        bucket: &Simulation,
        name: &str,
        life: &Life,
    ) -> Faulty<Simulation> {
        let (network, life, name) = (self.clone(), life.clone(), name.to_owned());
        Faulty::new(bucket.clone(), move |call| match life.is_over() {
            // Nothing that it still does is to be seen anywhere.
            true => Fault::hang_before(),
            false => network.send(&name, call),
        })
    }

    pub(crate) fn set_weather(&self, weather: Weather) {
        self.wires().weather = weather;
    }

    pub(crate) fn set_manners(&self, manners: Manners) {
        self.wires().manners = manners;
    }

    pub(crate) fn manners(&self) -> Manners {
        self.wires().manners
    }

    /// Whether what stands there may have come after everybody had given it up.
    pub(crate) fn is_haunted(&self, path: &Path) -> bool {
        self.wires().haunted.contains(path)
    }

    /// A process has died. If requests are never late, those that it has sent arrive now, or not at all.
    pub(crate) fn died(&self, name: &str) {
        let mut wires = self.wires();
        // It cannot remove any more what it made too late.
        let made = wires.made.iter().filter(|(maker, _)| maker == name);
        let made: Vec<_> = made.map(|(_, path)| path.clone()).collect();
        wires.haunted.extend(made);
        if wires.manners == Manners::Any {
            return;
        }
        let sent = std::mem::take(&mut wires.messages);
        let (own, others) = sent.into_iter().partition(|message| message.from == name);
        wires.messages = others;
        let own: Vec<Message> = own;
        for message in own {
            if wires.random.percent(50) {
                message.gate.open();
            }
        }
    }

    pub(crate) fn weather(&self) -> Weather {
        self.wires().weather
    }

    /// Lets one message go a step, if there is one.
    pub(crate) fn step(&self) -> bool {
        let mut wires = self.wires();
        if wires.messages.is_empty() {
            return false;
        }
        let mut at = 0;
        for _ in 0..8 {
            let count = wires.messages.len();
            at = wires.random.below(count);
            if wires.messages[at].pace == Pace::Usual || wires.weather == Weather::Calm {
                break;
            }
        }
        let message = &mut wires.messages[at];
        message.gate.pass();
        message.steps -= 1;
        let is_late = message.sent.elapsed() > PATIENCE;
        let object = message.object.clone().filter(|_| is_late);
        let (name, left) = (message.name.clone(), message.steps);
        wires.haunted.extend(object);
        if left == 0 {
            wires.messages.swap_remove(at);
        }
        wires.note(|| format!("  . {name} ({left} to go)"));
        true
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.wires().messages.is_empty()
    }

    /// Adds a line to the trace.
    pub(crate) fn note(&self, line: impl FnOnce() -> String) {
        self.wires().note(line);
    }

    pub(crate) fn take_trace(&self) -> String {
        self.wires().trace.take().unwrap_or_default()
    }

    fn send(&self, from: &str, call: &Call) -> Fault {
        let mut wires = self.wires();
        wires.count += 1;
        let (fault, what, steps) = wires.course(call.operation);
        let gate = Gate::new();
        let slow = wires.weather == Weather::Stormy
            && wires.manners == Manners::Any
            && wires.random.percent(8);
        let name = format!(
            "{} {from} {:?} {}{what}",
            wires.count, call.operation, call.path
        );
        wires.note(|| format!("  > {name}"));
        let makes = matches!(
            call.operation,
            Operation::Put
                | Operation::Copy
                | Operation::Compose
                | Operation::Begin
                | Operation::Complete
        );
        let object = makes.then(|| call.path.clone());
        if slow || !what.is_empty() {
            wires.haunted.extend(object.clone());
        }
        let made = object.clone().map(|path| (from.to_owned(), path));
        wires.made.extend(made);
        wires.messages.push(Message {
            name,
            object,
            from: from.to_owned(),
            gate: gate.clone(),
            steps,
            sent: Instant::now(),
            pace: if slow { Pace::Slow } else { Pace::Usual },
        });
        fault.held(&gate).detached()
    }

    fn wires(&self) -> MutexGuard<'_, Wires> {
        self.0.lock().unwrap()
    }
}

impl Wires {
    /// What becomes of a request, in words too, and in how many steps.
    fn course(&mut self, operation: Operation) -> (Fault, &'static str, u32) {
        if self.weather == Weather::Calm {
            return (Fault::pass(), "", 2);
        }
        let reads = matches!(
            operation,
            Operation::Get
                | Operation::Stat
                | Operation::Read
                | Operation::List
                | Operation::Sessions
                | Operation::Parts
        );
        let all = match self.manners {
            Manners::Any => 100,
            Manners::Prompt => 4,
        };
        let drawn = self.random.below(100);
        match drawn {
            _ if drawn >= all => (Fault::pass(), "", 2),
            0 | 1 => (Fault::fail_before(), " (lost)", 1),
            2 | 3 => (Fault::fail_after(), " (answer lost)", 2),
            4 if !reads => (Fault::repeat(), " (twice)", 3),
            5 if !reads => (Fault::echo(), " (echo)", 3),
            6 => (Fault::hang_before(), " (vanishes)", 1),
            7 if !reads => (Fault::hang_after(), " (answer vanishes)", 2),
            _ => (Fault::pass(), "", 2),
        }
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            writeln!(trace, "{}", line()).unwrap();
        }
    }
}
