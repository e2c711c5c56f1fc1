//! TLS, with a certificate that can be replaced while the server runs.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use anyhow::{Context, Result, ensure};
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio_rustls::TlsAcceptor;

/// Offers HTTP/2 and HTTP/1.1 by TLS 1.3 and 1.2.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) acceptor: TlsAcceptor,
    certificate: Arc<Certificate>,
}

impl Tls {
    /// With a chain of certificates and their key from files in PEM.
    pub(crate) fn open(chain: &Path, key: &Path) -> Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let certificate = Arc::new(Certificate {
            current: RwLock::new(read(chain, key, &provider)?),
            chain: chain.into(),
            key: key.into(),
            provider: Arc::clone(&provider),
        });
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(certificate.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            acceptor: Arc::new(config).into(),
            certificate,
        })
    }

    /// Reads the files anew, for connections to come. What cannot be used changes nothing.
    pub(crate) fn reload(&self) -> Result<()> {
        let Certificate {
            chain,
            key,
            provider,
            current,
        } = &*self.certificate;
        let new = read(chain, key, provider)?;
        *current.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }
}

#[derive(Debug)]
struct Certificate {
    current: RwLock<Arc<CertifiedKey>>,
    chain: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current))
    }
}

fn read(chain: &Path, key: &Path, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>> {
    let shown = chain.display();
    let certificates = CertificateDer::pem_file_iter(chain)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("cannot read certificates from {shown}"))?;
    ensure!(
        !certificates.is_empty(),
        "there is no certificate in {shown}"
    );
    let private = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("cannot read a key from {}", key.display()))?;
    let certified = CertifiedKey::from_der(certificates, private, provider)
        .with_context(|| format!("cannot use {shown} with {}", key.display()))?;
    Ok(Arc::new(certified))
}
