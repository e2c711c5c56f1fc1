use http::{Method, Response, request};

use super::{TusBody, TusService, body::RequestBody, linger::linger, observe, route::Route};
use crate::protocol::{Dialect, Head, Operation, Outcome, Refusal};

/// What was done, or why not.
pub(super) type Answer = Result<Outcome, Refusal>;

impl TusService {
    /// The whole way of a request: what it means, doing it, saying what was done.
    pub(super) async fn handle(self, head: request::Parts, body: RequestBody) -> Response<TusBody> {
        self.start();
        observe::request(&head.method);
        let mark = self.config.cors.mark(&head);
        let route = Route::of(&head, &self.config);
        let request = Head {
            method: &head.method,
            path: &route.path,
            headers: &head.headers,
            mount: &route.mount,
        };
        let dialect = Dialect::of(&request);
        let (answer, bytes) = match dialect.parse(&request, &self.config.offer) {
            Ok(operation) => {
                let watch = observe::Watch::new(&operation, &head);
                watch.over(self.perform(operation, body, &route)).await
            }
            Err(error) => (refuse(body, error), TusBody::default()),
        };
        observe::answered(&answer);
        let (mut response, text) = dialect.render(&answer, &self.config.offer).into_parts();
        mark.apply(&mut response.headers);
        let body = match head.method {
            Method::HEAD => TusBody::default(),
            _ if text.is_empty() => bytes,
            _ => TusBody::text(text),
        };
        Response::from_parts(response, body)
    }

    async fn perform(
        &self,
        operation: Operation,
        body: RequestBody,
        route: &Route,
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
