use std::{future::pending, io, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use object_store::{Error, Result};
use tokio::sync::{Semaphore, oneshot};

use super::Call;

/// The course of a call: how often it takes effect, when, and what the caller hears of it.
#[derive(Debug, Clone)]
#[must_use]
pub struct Fault {
    effects: Effects,
    answer: Answer,
    delay: Duration,
    gate: Option<Gate>,
    caller: Caller,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effects {
    None,
    One,
    /// Twice before the answer, which is the second one.
    Two,
    /// Once before the answer, and once after it.
    Echo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// What the bucket said.
    Given,
    /// An error of the connection.
    Lost,
    /// None, ever.
    Missing,
}

/// What happens to a call when its caller drops it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    Needed,
    Dispensable,
}

impl Fault {
    /// Nothing goes wrong.
    pub fn pass() -> Self {
        Self::new(Effects::One, Answer::Given)
    }

    /// It fails without an effect: the request was lost.
    pub fn fail_before() -> Self {
        Self::new(Effects::None, Answer::Lost)
    }

    /// It fails although it took effect: the answer was lost.
    pub fn fail_after() -> Self {
        Self::new(Effects::One, Answer::Lost)
    }

    /// It takes effect twice, and the second answer is given, as by a proxy that repeats what it
    /// should not.
    pub fn repeat() -> Self {
        Self::new(Effects::Two, Answer::Given)
    }

    /// It takes effect once more after the answer was given, like a request that the network had kept.
    /// [Detached](Self::detached).
    pub fn echo() -> Self {
        Self::new(Effects::Echo, Answer::Given).detached()
    }

    /// It never ends, and has no effect.
    pub fn hang_before() -> Self {
        Self::new(Effects::None, Answer::Missing)
    }

    /// It never ends, but takes effect.
    pub fn hang_after() -> Self {
        Self::new(Effects::One, Answer::Missing)
    }

    /// All of this only after a while. Goes with tokio's clock, which may be paused.
    pub fn delayed(mut self, by: Duration) -> Self {
        self.delay = by;
        self
    }

    /// All of this only step by step: each effect, and then the answer, needs a pass of the gate.
    pub fn held(mut self, gate: &Gate) -> Self {
        self.gate = Some(gate.clone());
        self
    }

    /// The request is on the wire: it takes its course also if the caller drops it.
    pub fn detached(mut self) -> Self {
        self.caller = Caller::Dispensable;
        self
    }

    fn new(effects: Effects, answer: Answer) -> Self {
        Self {
            effects,
            answer,
            delay: Duration::ZERO,
            gate: None,
            caller: Caller::Needed,
        }
    }

    /// Lets a call take this course.
    pub(super) async fn run<T: Send + 'static>(
        self,
        effect: impl Fn() -> BoxFuture<'static, Result<T>> + Send + Sync + 'static,
    ) -> Result<T> {
        if self.caller == Caller::Needed {
            return match self.until_answer(&effect).await {
                Some(answer) => answer,
                None => pending().await,
            };
        }
        let (answers, answered) = oneshot::channel();
        tokio::spawn(async move {
            let answer = self.until_answer(&effect).await;
            // Whoever asked may be gone.
            let _ = answers.send(answer);
            if self.effects == Effects::Echo {
                self.step().await;
                let _ = effect().await;
            }
        });
        match answered.await {
            Ok(Some(answer)) => answer,
            Ok(None) => pending().await,
            // The runtime ends.
            Err(_) => Err(lost()),
        }
    }

    async fn until_answer<T>(
        &self,
        effect: &(impl Fn() -> BoxFuture<'static, Result<T>> + Sync),
    ) -> Option<Result<T>> {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        let mut answer = Err(lost());
        let effects = match self.effects {
            Effects::None => 0,
            Effects::One | Effects::Echo => 1,
            Effects::Two => 2,
        };
        for _ in 0..effects {
            self.step().await;
            answer = effect().await;
        }
        self.step().await;
        match self.answer {
            Answer::Given => Some(answer),
            Answer::Lost => Some(Err(lost())),
            Answer::Missing => None,
        }
    }

    async fn step(&self) {
        if let Some(gate) = &self.gate {
            gate.wait().await;
        }
    }
}

/// Holds calls up until a test lets them pass. Clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Semaphore>);

impl Gate {
    /// A closed one.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Lets one step of one call pass, now or as soon as there is one.
    pub fn pass(&self) {
        self.0.add_permits(1);
    }

    /// Lets everything pass from now on.
    pub fn open(&self) {
        self.0.close();
    }

    async fn wait(&self) {
        // A closed semaphore is an open gate.
        if let Ok(pass) = self.0.acquire().await {
            pass.forget();
        }
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

/// A plan: the process dies before call `n` is sent. It and all later ones fail.
pub fn dies_before(n: u64) -> impl Fn(&Call) -> Fault + Send + Sync + 'static {
    move |call| match call.index < n {
        true => Fault::pass(),
        false => Fault::fail_before(),
    }
}

/// A plan: the process dies before call `n` is answered. It takes effect; all later ones do not.
pub fn dies_after(n: u64) -> impl Fn(&Call) -> Fault + Send + Sync + 'static {
    move |call| match call.index.cmp(&n) {
        std::cmp::Ordering::Less => Fault::pass(),
        std::cmp::Ordering::Equal => Fault::fail_after(),
        std::cmp::Ordering::Greater => Fault::fail_before(),
    }
}

fn lost() -> Error {
    Error::Generic {
        store: "Faulty",
        source: Box::new(io::Error::from(io::ErrorKind::ConnectionReset)),
    }
}
