use std::sync::Arc;

use http::{Method, Response, header::ACCESS_CONTROL_REQUEST_METHOD, request};

use super::{
    FinishedUpload, TusBody, TusService, body::RequestBody, linger::linger, observe, route,
};
use crate::protocol::{Dialect, Head, Operation, Outcome, Refusal};

/// What was done, or why not.
pub(super) type Answer = Result<Outcome, Refusal>;

impl TusService {
    /// The whole way of a request: what it means, doing it, saying what was done.
    pub(super) async fn handle(
        mut self,
        head: request::Parts,
        body: RequestBody,
    ) -> Response<TusBody> {
        self.start();
        observe::request(&head.method);
        let mark = self.config.cors.mark(&head);
        let route = route::Route::of(&head, &self.config);
        let request = Head {
            method: &head.method,
            path: &route.path,
            headers: &head.headers,
            mount: &route.mount,
        };
        let dialect = Dialect::of(&request);
        let parsed = dialect.parse(&request, &self.config.offer);
        let watch = observe::Watch::new(parsed.as_ref().ok(), &head);
        let method = head.method.clone();
        let preflight = matches!(parsed, Ok(Operation::Discover))
            && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if self.config.wants_requests() && !preflight {
            self.request = Some(Arc::new(route::as_sent(head)));
        }
        let answering = async {
            match parsed {
                Ok(operation) => self.permitted(operation, body, &route).await,
                Err(error) => (refuse(body, error), TusBody::default()),
            }
        };
        let (answer, bytes) = watch.over(answering).await;
        let (mut response, text) = dialect.render(&answer, &self.config.offer).into_parts();
        mark.apply(&mut response.headers);
        if let Some(finished) = answer.as_ref().ok().and_then(FinishedUpload::of) {
            response.extensions.insert(finished);
        }
        let body = match method {
            Method::HEAD => TusBody::default(),
            _ if text.is_empty() => bytes,
            _ => TusBody::text(text),
        };
        Response::from_parts(response, body)
    }

    async fn permitted(
        &self,
        operation: Operation,
        body: RequestBody,
        route: &route::Route,
    ) -> (Answer, TusBody) {
        match self.permit(&operation, &route.path).await {
            Ok(()) => self.perform(operation, body, route).await,
            Err(error) => (refuse(body, error), TusBody::default()),
        }
    }

    async fn perform(
        &self,
        operation: Operation,
        body: RequestBody,
        route: &route::Route,
    ) -> (Answer, TusBody) {
        let answer = match operation {
            Operation::Create(create) => self.create(create, body, &route.mount).await,
            Operation::Append(append) => self.append(append, body).await,
            other => {
                // Bodies mean nothing here; clients may send one all the same.
                linger(body);
                match other {
                    Operation::Download(download) => return self.download(download).await,
                    Operation::Inspect(id) => self.inspect(&id).await,
                    Operation::Terminate(id) => self.terminate(id).await,
                    _ => Ok(Outcome::Discovered),
                }
            }
        };
        (answer, TusBody::default())
    }
}

/// Refuses at once, and lets the client finish its sentence.
pub(super) fn refuse<T>(body: RequestBody, refusal: impl Into<Refusal>) -> Result<T, Refusal> {
    linger(body);
    Err(refusal.into())
}
