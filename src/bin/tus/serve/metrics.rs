//! Numbers: what collects them, and those that only a server has.

use std::time::Duration;

use anyhow::Result;
use metrics::{Gauge, Unit, counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::time;

/// Collects from now on, and keeps what is collected small.
pub(crate) fn collect() -> Result<PrometheusHandle> {
    let collected = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?
        .install_recorder()?;
    describe_gauge!(CONNECTIONS, Unit::Count, "Open connections.");
    gauge!(CONNECTIONS).set(0.0);
    let upkept = collected.clone();
    tokio::spawn(async move {
        let mut ticks = time::interval(UPKEEP);
        loop {
            ticks.tick().await;
            upkept.run_upkeep();
        }
    });
    Ok(collected)
}

/// A request was refused for want of a token.
pub(crate) fn unauthorized() {
    counter!(ERRORS, "status" => "401", "code" => "ERR_UNAUTHORIZED").increment(1);
}

/// A connection that is open until this is dropped.
pub(crate) struct Connection(Gauge);

impl Connection {
    pub(crate) fn open() -> Self {
        let connections = gauge!(CONNECTIONS);
        connections.increment(1.0);
        Self(connections)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// tusd's names; the service itself counts all other errors.
const CONNECTIONS: &str = "tusd_connections_open";
const ERRORS: &str = "tusd_errors_total";

/// From an answer at once to an upload over a slow line.
const SECONDS: [f64; 12] = [
    0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 5.0, 20.0, 60.0, 300.0, 1200.0, 3600.0,
];

/// How often what was observed is put into buckets, if nobody asks for it.
const UPKEEP: Duration = Duration::from_secs(5);
