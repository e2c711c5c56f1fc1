//! Uploads that belong to users, who show a JSON web token.
//!
//! ```sh
//! export SECRET=$(openssl rand -hex 32)   # what tokens are signed with
//! cargo run --example axum_auth --features axum
//! ```
//!
//! With the same secret and `-- token alice` it prints a token for alice, and
//!
//! ```sh
//! curl -i http://127.0.0.1:3000/files -H "Authorization: Bearer $TOKEN" -H 'Tus-Resumable: 1.0.0' \
//!     -H 'Upload-Length: 5' -H 'Content-Type: application/offset+octet-stream' --data-binary hello
//! ```
//!
//! makes an upload, which others cannot find: 404. Without a token everything is 401.

use std::{
    env,
    error::Error,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    extract::{Request, State},
    http::header::{AUTHORIZATION, WWW_AUTHENTICATE},
    middleware::{self, Next},
    response::Response,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::{net::TcpListener, signal};
use tower_tus::{
    TusService, hooks::Rejection, protocol::Owner, service::OwnerLimits, storage::FileStorage,
};

/// Whoever sends a request; below the middleware any handler may ask for it.
#[derive(Debug, Clone)]
struct User {
    name: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let uploads = env::var("UPLOADS").unwrap_or_else(|_| "./uploads".into());
    let port = env::var("PORT").map_or(Ok(3000), |port| port.parse())?;
    let secret = env::var("SECRET").map_err(|_| "SECRET is not set")?;
    let tokens = Tokens::new(&secret)?;
    let mut arguments = env::args().skip(1);
    if arguments.next().as_deref() == Some("token") {
        let name = arguments.next().ok_or("whose token?")?;
        println!("{}", tokens.issue(&name));
        return Ok(());
    }

    let tus = TusService::new(FileStorage::open(uploads)?)
        .max_size(8 << 30)
        // Otherwise ten uploads that were given up would be the last ones of their owner.
        .expires_after(Duration::from_secs(7 * 24 * 3600))
        // Asked for every request but preflights, which carry no credentials.
        .authorize(|access| match access.request.extensions.get::<User>() {
            Some(_) => Ok(()),
            None => Err(Rejection::unauthorized().header(WWW_AUTHENTICATE, "Bearer")),
        })
        // An upload of one owner does not exist for another.
        .owner(|request| {
            let user = request.extensions.get::<User>()?;
            Some(Owner::new(user.name.as_str()))
        })
        .owner_limits(
            OwnerLimits::default()
                .max_uploads(10)
                .max_stored_bytes(10 << 30),
        )
        // A name that is none for a file, such as `..`, makes no key.
        .on_create(|creation| {
            let owner = creation.upload().owner.as_ref();
            let owner = owner.ok_or_else(Rejection::unauthorized)?;
            let key = format!("users/{}/{}", owner.as_str(), creation.upload().id);
            creation.set_key(key.parse().map_err(|_| Rejection::forbidden())?);
            Ok(())
        });
    let app =
        Router::new()
            .nest_service("/files", tus.clone())
            .layer(middleware::from_fn_with_state(
                Arc::new(tokens),
                authenticate,
            ));

    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let stop = async move {
        asked_to_end().await.expect("signals can be waited for");
        tus.shutdown().await;
    };
    axum::serve(listener, app)
        .with_graceful_shutdown(stop)
        .await?;
    Ok(())
}

/// Waits for Ctrl-C, or for SIGTERM, by which services and containers are stopped.
async fn asked_to_end() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminate = signal::unix::signal(signal::unix::SignalKind::terminate())?;
        tokio::select! {
            interrupted = signal::ctrl_c() => interrupted,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    signal::ctrl_c().await
}

/// Finds out who it is. Whether that is enough is decided where something is asked for.
async fn authenticate(
    State(tokens): State<Arc<Tokens>>,
    mut request: Request,
    next: Next,
) -> Response {
    let header = request.headers().get(AUTHORIZATION);
    let token = header.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    if let Some(user) = token.and_then(|token| tokens.user(token)) {
        request.extensions_mut().insert(user);
    }
    next.run(request).await
}

/// JSON web tokens with HS256; an application has a crate for them, and its users from elsewhere.
struct Tokens(Hmac<Sha256>);

impl Tokens {
    fn new(secret: &str) -> Result<Self, &'static str> {
        match Hmac::new_from_slice(secret.as_bytes()) {
            Ok(mac) if secret.len() >= 32 => Ok(Self(mac)),
            _ => Err("SECRET is shorter than 32 bytes"),
        }
    }

    fn issue(&self, name: &str) -> String {
        let expires = SystemTime::now() + Duration::from_secs(24 * 60 * 60);
        let claims = json!({ "sub": name, "exp": seconds(expires) });
        let signed = format!("{HEADER}.{}", BASE64.encode(claims.to_string()));
        let signature = self.0.clone().chain_update(&signed).finalize();
        format!("{signed}.{}", BASE64.encode(signature.into_bytes()))
    }

    fn user(&self, token: &str) -> Option<User> {
        let (signed, signature) = token.rsplit_once('.')?;
        // The one header that is issued: the algorithm is not the sender's choice.
        let claims = signed.strip_prefix(HEADER)?.strip_prefix('.')?;
        let mac = self.0.clone().chain_update(signed);
        mac.verify_slice(&BASE64.decode(signature).ok()?).ok()?;
        let claims: Value = serde_json::from_slice(&BASE64.decode(claims).ok()?).ok()?;
        let is_valid = claims["exp"].as_u64()? > seconds(SystemTime::now());
        let name = claims["sub"].as_str()?.to_owned();
        is_valid.then_some(User { name })
    }
}

fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// `{"alg":"HS256","typ":"JWT"}`
const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";
