use std::{error::Error, net::SocketAddr};

use http::{Request, Response};
use hyper::body::Incoming;
use tower::Service;
use tower_tus::TusService;

use super::{
    Client,
    listen::{Listening, bind},
};

/// Any service on a free port. Stops when it is dropped, and drops all work where it stands.
#[derive(Debug)]
pub(crate) struct Site {
    _running: Listening,
    address: SocketAddr,
}

impl Site {
    pub(crate) fn serve<S, B>(service: S) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<Box<dyn Error + Send + Sync>>,
        B: http_body::Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        let (listener, address) = bind();
        Self {
            _running: Listening::start(&listener, service),
            address,
        }
    }

    /// Uploads on `/files`, by the server that this run is about.
    pub(crate) fn tus(tus: TusService) -> Self {
        let (listener, address) = bind();
        Self {
            _running: Listening::tus(&listener, tus),
            address,
        }
    }

    /// An application of actix-web.
    #[cfg(feature = "actix")]
    pub(crate) fn actix(
        configure: impl Fn(&mut actix_web::web::ServiceConfig) + Clone + Send + 'static,
    ) -> Self {
        let (listener, address) = bind();
        Self {
            _running: Listening::actix(&listener, configure),
            address,
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}
