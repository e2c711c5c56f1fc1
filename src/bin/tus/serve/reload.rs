//! Files that are read anew on SIGHUP: certificates and tokens.

use anyhow::Result;
use tracing::{error, info};

use super::{args::Serve, tls::Tls, token::Tokens};
use crate::signals::Hangups;

/// What stands in files of its own.
#[derive(Clone)]
pub(crate) struct Reloads {
    pub(crate) tls: Option<Tls>,
    pub(crate) tokens: Option<Tokens>,
}

impl Reloads {
    /// Reads the files for the first time.
    pub(crate) fn new(args: &Serve) -> Result<Self> {
        let tls = args.tls_cert.as_ref().zip(args.tls_key.as_ref());
        let tokens = args.bearer_token_file.as_ref();
        Ok(Self {
            tls: tls.map(|(chain, key)| Tls::open(chain, key)).transpose()?,
            tokens: tokens.map(|file| Tokens::open(file)).transpose()?,
        })
    }

    /// Reads them anew with each SIGHUP, in the background.
    pub(crate) fn start(&self, mut hangups: Hangups) {
        let files = self.clone();
        tokio::spawn(async move {
            loop {
                hangups.next().await;
                files.reload();
            }
        });
    }

    fn reload(&self) {
        if let Some(tls) = &self.tls {
            report("the certificate", tls.reload());
        }
        if let Some(tokens) = &self.tokens {
            report("the tokens", tokens.reload());
        }
    }
}

fn report(what: &str, reloaded: Result<()>) {
    match reloaded {
        Ok(()) => info!("read anew: {what}"),
        Err(error) => error!("kept as before: {what}, for {error:#}"),
    }
}
