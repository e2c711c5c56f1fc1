//! Hooks over HTTP: [`Webhook`] asks and tells a server, in the format of [tusd's HTTP hooks], so that one that was
//! written for tusd works unchanged.
//!
//! ```
//! use tower_tus::{TusService, hooks::webhook::Webhook, storage::MemoryStorage};
//!
//! let hooks = Webhook::new("http://127.0.0.1:8000/hooks".parse()?)?;
//! let tus = TusService::new(MemoryStorage::new())
//!     .hook_timeout(hooks.longest())
//!     .hooks(hooks);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is sent
//! A `POST` for each event, which names it in `Type`: `pre-create`, `post-create`, `post-receive`, `post-finish` and
//! `post-terminate`, and if they are asked for ([`Webhook::events`]) `pre-finish` and `pre-terminate`.
//!
//! ```json
//! {
//!   "Type": "post-finish",
//!   "Event": {
//!     "Upload": {
//!       "ID": "5d892c228ec8d0451dfec588697e8930",
//!       "Size": 432724,
//!       "SizeIsDeferred": false,
//!       "Offset": 432724,
//!       "MetaData": {"filename": "a.png"},
//!       "IsPartial": false,
//!       "IsFinal": false,
//!       "PartialUploads": null,
//!       "Storage": {"Type": "filestore", "Path": "/srv/uploads/5d892c228ec8d0451dfec588697e8930"}
//!     },
//!     "HTTPRequest": {
//!       "Method": "PATCH",
//!       "URI": "/files/5d892c228ec8d0451dfec588697e8930",
//!       "RemoteAddr": "127.0.0.1:59395",
//!       "Header": {"Tus-Resumable": ["1.0.0"]}
//!     }
//!   }
//! }
//! ```
//!
//! An upload that is about to be made has no `ID` and no `Storage`; one of unknown length has the `Size` 0. `Storage`
//! says where the upload is once it is finished ([`Webhook::storage`]): with `pre-finish` nothing is there yet. An
//! upload that is finished without a request, as after a crash, has an empty `HTTPRequest`; and `RemoteAddr` is empty
//! where nobody has noted it ([`RemoteAddr`](super::RemoteAddr)). The client's `Authorization` and `Cookie` are sent
//! only if they are named in [`Webhook::forward_headers`].
//!
//! # What is answered
//! To a `pre-` event: 2xx and `application/json`, with as much of this as there is to say. Names may be spelled in any
//! case, and what is unknown counts for nothing.
//!
//! | | counts for | |
//! |---|---|---|
//! | `HTTPResponse` `{StatusCode, Body, Header}` | all `pre-` events | what is added to the answer that the client gets |
//! | | | with a status that is none of success: the answer is no |
//! | `RejectUpload` | `pre-create` | no, with `HTTPResponse` as answer (400 by default) |
//! | `RejectTermination` | `pre-terminate` | no, likewise |
//! | `ChangeFileInfo` `{ID, MetaData}` | `pre-create` | what the upload has instead |
//! | `ChangeFileInfo` `{Storage: {Path}}` | `pre-create` | the upload's key |
//!
//! To a `post-` event any 2xx is enough. To a `post-receive` there may be `StopUpload`: the upload is removed, and the
//! request that sends it is answered with `HTTPResponse` (400 by default). If all of its bytes have come meanwhile it is
//! too late.
//!
//! # When it fails
//! Errors of the network, 429 and 5xx are tried again ([`Webhook::attempts`], [`Webhook::backoff`]). If nothing
//! comes of it, if there is no answer in time ([`Webhook::timeout`]), or one that is not understood, the client gets
//! a 500; its next request asks again. A `post-finish` is told again with the next sweep, until it was heard; other
//! `post-` events are lost. Redirects are not followed.
//!
//! # Signatures
//! Each request has a `webhook-id`, the same when the same event is told again, and a `webhook-timestamp`. With
//! a [`Secret`] it also has a `webhook-signature`, by [Standard Webhooks]: `v1,` and the base64 of HMAC-SHA256 over
//! id, timestamp and body with dots in between; several are separated by blanks. There are libraries for most
//! languages. By hand, in Python:
//!
//! ```python
//! import base64, hashlib, hmac, time
//!
//! def verify(key: bytes, headers, body: bytes) -> bool:
//!     """`key`: the secret, or what `whsec_` is followed by, decoded."""
//!     if abs(time.time() - int(headers["webhook-timestamp"])) > 300:
//!         return False
//!     signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
//!     digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
//!     signatures = headers["webhook-signature"].split()
//!     return any(hmac.compare_digest(b"v1," + digest, s.encode()) for s in signatures)
//! ```
//!
//! and in Rust:
//!
//! ```
//! use base64::{Engine, prelude::BASE64_STANDARD};
//! use hmac::{Hmac, KeyInit, Mac};
//! use http::HeaderMap;
//! use sha2::Sha256;
//!
//! fn verify(key: &[u8], headers: &HeaderMap, body: &[u8], now: u64) -> Option<()> {
//!     let field = |name| headers.get(name)?.to_str().ok();
//!     let (id, timestamp) = (field("webhook-id")?, field("webhook-timestamp")?);
//!     if now.abs_diff(timestamp.parse().ok()?) > 300 {
//!         return None;
//!     }
//!     let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
//!     mac.update(format!("{id}.{timestamp}.").as_bytes());
//!     mac.update(body);
//!     let signatures = field("webhook-signature")?.split(' ');
//!     signatures
//!         .filter_map(|signature| BASE64_STANDARD.decode(signature.strip_prefix("v1,")?).ok())
//!         // In constant time.
//!         .find_map(|signature| mac.clone().verify_slice(&signature).ok())
//! }
//! # let mut headers = HeaderMap::new();
//! # headers.insert("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek".parse().unwrap());
//! # headers.insert("webhook-timestamp", 1614265330.into());
//! # headers.insert("webhook-signature", "v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=".parse().unwrap());
//! # let key = BASE64_STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
//! # let body = br#"{"test": 2432232314}"#;
//! # assert!(verify(&key, &headers, body, 1614265330).is_some());
//! # assert!(verify(&key, &headers, body, 1614266330).is_none());
//! # assert!(verify(&key, &headers, b"{}", 1614265330).is_none());
//! ```
//!
//! [tusd's HTTP hooks]: https://tus.github.io/tusd/advanced-topics/hooks/
//! [Standard Webhooks]: https://www.standardwebhooks.com

mod answer;
mod calls;
mod delivery;
mod failure;
mod message;
mod settings;
mod signature;
mod storage_info;

use std::time::Duration;

use http::{HeaderMap, HeaderName, Uri};

use self::delivery::Client;
pub use self::{
    settings::{InvalidRoots, InvalidUrl},
    signature::{InvalidSecret, Secret},
    storage_info::StorageInfo,
};
use super::Hook;

/// [`Hooks`](super::Hooks) that ask an HTTP server; see the [module](self). Clones share their connections.
#[derive(Clone)]
#[must_use = "hooks do nothing until a service has them"]
pub struct Webhook {
    url: Uri,
    client: Client,
    events: Vec<Hook>,
    forwarded: Vec<HeaderName>,
    headers: HeaderMap,
    secrets: Vec<Secret>,
    attempts: u32,
    backoff: Duration,
    timeout: Duration,
    max_answer: usize,
    storage: StorageInfo,
}
