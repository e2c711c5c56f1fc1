use crate::protocol::{Kind, Outcome, Upload};

/// In the extensions of an answer: the upload is finished, says the answer.
///
/// The answer is that to the last `PATCH`, or to a `POST` that was enough by itself, of an upload that
/// is no part of another. [`axum::FinishedLayer`](crate::axum::FinishedLayer) lets a handler make the
/// rest of it; other layers can look it up.
///
/// It is for what the client is told, and not for work that must be done: if the server ends between
/// storing the last byte and answering, or an upload is joined after its answer was sent, there is no
/// such answer, and a client that repeats its last request gets a second one. What must happen for
/// every upload belongs into a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedUpload(pub Upload);

impl FinishedUpload {
    /// The upload that an outcome tells to be finished.
    pub(super) fn of(outcome: &Outcome) -> Option<Self> {
        let upload = match outcome {
            Outcome::Replied(outcome, _) => return Self::of(outcome),
            Outcome::Created { upload, .. } | Outcome::Appended(upload) => upload,
            _ => return None,
        };
        let whole = upload.is_finished() && upload.kind != Kind::Partial;
        whole.then(|| Self(upload.clone()))
    }
}
