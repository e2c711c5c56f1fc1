//! Requests to a store in numbers, with the feature `metrics`.

use object_store::client::{HttpError, HttpResponse};

type Answer = Result<HttpResponse, HttpError>;

/// Waits for the answer to a request, and counts both.
#[cfg(feature = "metrics")]
pub(super) async fn observed(method: http::Method, answer: impl Future<Output = Answer>) -> Answer {
    use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};

    static DESCRIBED: std::sync::Once = std::sync::Once::new();

    DESCRIBED.call_once(|| {
        let what =
            "Requests to the object store, by method and status; without an answer it is none.";
        describe_counter!(REQUESTS, Unit::Count, what);
        let what = "From a request to the object store to the head of its answer, by method.";
        describe_histogram!(DURATION, Unit::Seconds, what);
    });
    let started = std::time::Instant::now();
    let answer = answer.await;
    let status = match &answer {
        Ok(answer) => answer.status().as_u16().to_string(),
        Err(_) => "none".to_owned(),
    };
    let method = method.to_string();
    counter!(REQUESTS, "method" => method.clone(), "status" => status).increment(1);
    histogram!(DURATION, "method" => method).record(started.elapsed());
    answer
}

#[cfg(not(feature = "metrics"))]
pub(super) async fn observed(_: http::Method, answer: impl Future<Output = Answer>) -> Answer {
    answer.await
}

#[cfg(feature = "metrics")]
const REQUESTS: &str = "tus_store_requests_total";
#[cfg(feature = "metrics")]
const DURATION: &str = "tus_store_request_duration_seconds";

#[cfg(all(test, feature = "cli"))]
mod tests {
    use bytes::Bytes;
    use http::Method;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use object_store::client::{HttpErrorKind, HttpResponseBody};

    use super::*;

    #[test]
    fn answers_are_counted_and_so_are_those_that_never_came() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        metrics::with_local_recorder(&recorder, || {
            runtime.block_on(async {
                let body = HttpResponseBody::from(Bytes::new());
                let answer =
                    async { Ok(http::Response::builder().status(412).body(body).unwrap()) };
                assert!(observed(Method::PUT, answer).await.is_ok());
                let lost = HttpError::new(HttpErrorKind::Interrupted, std::fmt::Error);
                assert!(observed(Method::GET, async { Err(lost) }).await.is_err());
            });
        });
        let text = recorder.handle().render();
        for line in [
            "tus_store_requests_total{method=\"PUT\",status=\"412\"} 1",
            "tus_store_requests_total{method=\"GET\",status=\"none\"} 1",
            "tus_store_request_duration_seconds_count{method=\"PUT\"} 1",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
