use std::{error::Error, mem};

use async_trait::async_trait;
use http::{StatusCode, request};

use super::{
    Webhook,
    answer::{Answer, Change},
    failure::Failure,
    message::{Event, Message},
};
use crate::{
    hooks::{Creation, Finish, Hook, Hooks, Notice, Rejection, Reply, Termination, Undelivered},
    protocol::Upload,
};

#[async_trait]
impl Hooks for Webhook {
    fn wants(&self, hook: Hook) -> bool {
        hook != Hook::Authorize && self.events.contains(&hook)
    }

    async fn pre_create(&self, creation: &mut Creation<'_>) -> Result<(), Rejection> {
        let (upload, request) = (creation.upload(), Some(creation.request()));
        let answer = self.ask(Hook::PreCreate, upload, request).await?;
        if answer.reject_upload || answer.response.fails() {
            return Err(answer.response.into_rejection(REJECTED));
        }
        self.change(creation, answer.change)
            .map_err(|failure| fail(Hook::PreCreate, creation.upload(), &failure))?;
        add(creation.reply(), answer.response.into_reply());
        Ok(())
    }

    async fn post_create(&self, notice: &Notice) {
        self.tell_once(Hook::PostCreate, notice).await;
    }

    async fn post_receive(&self, notice: &Notice) -> Result<(), Rejection> {
        match self.tell_once(Hook::PostReceive, notice).await {
            Some(answer) if answer.stop_upload => Err(answer.response.into_rejection(STOPPED)),
            _ => Ok(()),
        }
    }

    async fn pre_finish(&self, finish: &mut Finish<'_>) -> Result<(), Rejection> {
        let (upload, request) = (finish.upload(), finish.request());
        let answer = self.ask(Hook::PreFinish, upload, request).await?;
        if answer.response.fails() {
            return Err(answer.response.into_rejection(NOT_FINISHED));
        }
        add(finish.reply(), answer.response.into_reply());
        Ok(())
    }

    async fn post_finish(&self, notice: &Notice) -> Result<(), Undelivered> {
        let told = self.tell(Hook::PostFinish, notice).await;
        told.map(drop).map_err(Undelivered::new)
    }

    async fn pre_terminate(&self, termination: &mut Termination<'_>) -> Result<(), Rejection> {
        let (upload, request) = (termination.upload(), Some(termination.request()));
        let answer = self.ask(Hook::PreTerminate, upload, request).await?;
        if answer.reject_termination || answer.response.fails() {
            return Err(answer.response.into_rejection(NOT_TERMINATED));
        }
        add(termination.reply(), answer.response.into_reply());
        Ok(())
    }

    async fn post_terminate(&self, notice: &Notice) {
        self.tell_once(Hook::PostTerminate, notice).await;
    }
}

impl Webhook {
    /// What the hook server says to a request that waits for it.
    async fn ask(
        &self,
        hook: Hook,
        upload: &Upload,
        request: Option<&request::Parts>,
    ) -> Result<Answer, Rejection> {
        // Each time it is another question.
        let bits = getrandom::u64().unwrap_or_default();
        let id = format!("{}-{bits:016x}", hook.name());
        let message = self.message(hook, id, upload, request);
        let answer = self.send(&message).await;
        answer.map_err(|failure| fail(hook, upload, &failure))
    }

    async fn tell(&self, hook: Hook, notice: &Notice) -> Result<Answer, Failure> {
        // An id with dots could be mistaken for an id and a time.
        let id = notice.id.as_str().replace('.', ":");
        let message = self.message(hook, id, &notice.upload, notice.request.as_deref());
        self.send(&message).await
    }

    /// Tells what will not be told again.
    async fn tell_once(&self, hook: Hook, notice: &Notice) -> Option<Answer> {
        let told = self.tell(hook, notice).await;
        told.inspect_err(|failure| log(hook, &notice.upload, failure))
            .ok()
    }

    fn message(
        &self,
        hook: Hook,
        id: String,
        upload: &Upload,
        request: Option<&request::Parts>,
    ) -> Message {
        let event = Event {
            upload,
            request,
            storage: &self.storage,
        };
        Message::new(hook, id, &event, &self.forwarded)
    }

    fn change(&self, creation: &mut Creation<'_>, change: Change) -> Result<(), Failure> {
        if let Some(id) = change.id {
            let id = id.parse().map_err(|_| Failure::Field("ID"))?;
            creation.set_id(id);
        }
        if let Some(metadata) = change.metadata {
            creation.set_metadata(metadata);
        }
        if let Some(path) = change.path {
            let key = self.storage.key(&path).ok_or(Failure::Field("Path"))?;
            creation.set_key(key);
        }
        Ok(())
    }
}

fn add(reply: &mut Reply, later: Reply) {
    *reply = mem::take(reply).and(later);
}

/// What the client gets instead of an answer that nobody gave.
fn fail(hook: Hook, upload: &Upload, failure: &Failure) -> Rejection {
    log(hook, upload, failure);
    Rejection::new(StatusCode::INTERNAL_SERVER_ERROR)
}

fn log(hook: Hook, upload: &Upload, failure: &Failure) {
    let source = failure.source().map(tracing::field::display);
    let (hook, id) = (hook.name(), &upload.id);
    tracing::error!(hook, %id, source, "{failure}");
}

const NOT_FINISHED: &str = "the upload was not taken\n";

// What tusd says.
const REJECTED: &str = "ERR_UPLOAD_REJECTED: upload creation has been rejected by server\n";
const STOPPED: &str = "ERR_UPLOAD_STOPPED: upload has been stopped by server\n";
const NOT_TERMINATED: &str =
    "ERR_UPLOAD_TERMINATION_REJECTED: upload termination has been rejected by server\n";
