use std::net::SocketAddr;

/// The address from which a request came, as an extension of it: for hooks that look at requests, and for
/// [webhooks](super::webhook), which send it as `RemoteAddr`.
///
/// Whoever accepts connections puts it there. `tus serve` does, and the scope in actix-web; below axum it is one
/// layer more. Behind a proxy it is the proxy's.
///
/// ```
/// use std::net::SocketAddr;
///
/// use axum::{Router, extract::{ConnectInfo, Request}, middleware::map_request};
/// use tower_tus::{TusService, hooks::{RemoteAddr, Rejection}, storage::MemoryStorage};
///
/// let tus = TusService::new(MemoryStorage::new()).authorize(|access| {
///     match access.request.extensions.get::<RemoteAddr>() {
///         Some(RemoteAddr(peer)) if peer.ip().is_loopback() => Ok(()),
///         _ => Err(Rejection::forbidden()),
///     }
/// });
/// let app: Router = Router::new()
///     .nest_service("/files", tus)
///     .layer(map_request(
///         async |ConnectInfo(peer): ConnectInfo<SocketAddr>, mut request: Request| {
///             request.extensions_mut().insert(RemoteAddr(peer));
///             request
///         },
///     ));
/// let app = app.into_make_service_with_connect_info::<SocketAddr>();
/// # drop(app);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RemoteAddr(pub SocketAddr);
