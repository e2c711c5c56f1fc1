//! Pages about the server itself.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;

/// A page about the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    /// Whether the process lives.
    Health,
    /// Whether it wants requests.
    Ready,
    /// Numbers, in Prometheus' text format.
    Metrics,
}

impl Page {
    pub(crate) const ALL: [Self; 3] = [Self::Health, Self::Ready, Self::Metrics];

    fn path(self) -> &'static str {
        match self {
            Self::Health => "/healthz",
            Self::Ready => "/readyz",
            Self::Metrics => "/metrics",
        }
    }
}

/// The pages that a listener shows.
#[derive(Debug, Clone)]
pub(crate) struct Pages {
    shown: Vec<Page>,
    about: About,
}

/// What there is to tell.
#[derive(Debug, Clone)]
pub(crate) struct About {
    /// The end has begun: no more requests, please.
    pub(crate) draining: CancellationToken,
    /// If anything is measured.
    pub(crate) metrics: Option<PrometheusHandle>,
}

impl Pages {
    pub(crate) fn new(shown: &[Page], about: &About) -> Self {
        Self {
            shown: shown.to_vec(),
            about: about.clone(),
        }
    }

    /// The page at a path, if it is shown.
    pub(crate) fn at(&self, path: &str) -> Option<Page> {
        self.shown.iter().copied().find(|page| page.path() == path)
    }

    /// The paths of all of them.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &'static str> {
        self.shown.iter().map(|page| page.path())
    }

    pub(crate) fn render(&self, page: Page) -> Response<Bytes> {
        match (page, &self.about.metrics) {
            (Page::Health, _) => text(StatusCode::OK, "ok"),
            (Page::Ready, _) if self.about.draining.is_cancelled() => {
                text(StatusCode::SERVICE_UNAVAILABLE, "draining")
            }
            (Page::Ready, _) => text(StatusCode::OK, "ok"),
            (Page::Metrics, Some(metrics)) => with_type(METRICS, metrics.render()),
            (Page::Metrics, None) => text(StatusCode::NOT_FOUND, "nothing is measured"),
        }
    }
}

/// A line of text.
pub(crate) fn text(status: StatusCode, text: impl Into<String>) -> Response<Bytes> {
    let mut response = with_type(PLAIN, text.into());
    *response.status_mut() = status;
    response
}

fn with_type(content_type: HeaderValue, text: String) -> Response<Bytes> {
    let mut response = Response::new(text.into());
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The version is that of Prometheus' text format.
const METRICS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
