//! For what happens eventually: poll until a deadline, never sleep and hope.

use std::time::{Duration, Instant};

/// How long anything may take before a test gives up. Far above what is ever needed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

const INTERVAL: Duration = Duration::from_millis(10);

/// Polls `probe` until it gives a value.
#[track_caller]
pub(crate) fn until<T>(
    what: &str,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        let start = Instant::now();
        loop {
            if let Some(value) = probe().await {
                return value;
            }
            assert!(
                start.elapsed() < DEADLINE,
                "{caller}: waited in vain for {what}"
            );
            tokio::time::sleep(INTERVAL).await;
        }
    }
}

/// Polls `holds` until it is true.
#[track_caller]
pub(crate) fn until_true(
    what: &str,
    mut holds: impl AsyncFnMut() -> bool,
) -> impl Future<Output = ()> {
    until(what, async move || holds().await.then_some(()))
}
