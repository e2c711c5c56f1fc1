use std::{fmt, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{
        CertificateDer, PrivateKeyDer, ServerName, UnixTime,
        pem::{self, PemObject},
    },
};
use sha2::{Digest, Sha256};

use crate::{client::Error, transport};

/// Whom the client trusts, and who it is.
///
/// ```no_run
/// use tower_tus::client::{Client, Tls};
///
/// let tls = Tls::new()
///     .root_pem(&std::fs::read("authority.pem")?)?
///     .identity_pem(&std::fs::read("client.pem")?)?
///     .pin_sha256([0x5a; 32]);
/// let client = Client::new("https://example.org/files".parse()?).tls(tls);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
#[must_use = "settings do nothing until a client has them"]
pub struct Tls {
    roots: Vec<CertificateDer<'static>>,
    system: SystemRoots,
    identity: Option<Arc<Identity>>,
    pins: Vec<[u8; 32]>,
    authority: Authority,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum SystemRoots {
    #[default]
    Trusted,
    Ignored,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Authority {
    #[default]
    Required,
    Ignored,
}

struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Tls {
    /// TLS 1.2 and 1.3; trusted is whom the operating system trusts, or the file in `SSL_CERT_FILE`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts these authorities too: certificates in PEM.
    ///
    /// # Errors
    /// If there is none, or one that cannot be read.
    pub fn root_pem(mut self, pem: &[u8]) -> Result<Self, Error> {
        self.roots.extend(certificates(pem)?);
        Ok(self)
    }

    /// Trusts only the authorities of [`root_pem`](Self::root_pem). Default: the operating system's too.
    pub fn only_own_roots(mut self) -> Self {
        self.system = SystemRoots::Ignored;
        self
    }

    /// The certificate by which the client shows who it is, and its key without a password: both in
    /// PEM, in any order, the chain behind the client's own. Default: none.
    ///
    /// # Errors
    /// If one of them is missing or cannot be read.
    pub fn identity_pem(mut self, pem: &[u8]) -> Result<Self, Error> {
        let chain = certificates(pem)?;
        let key = PrivateKeyDer::from_pem_slice(pem)
            .map_err(|error| unreadable("no private key in the PEM", error))?;
        self.identity = Some(Arc::new(Identity { chain, key }));
        Ok(self)
    }

    /// The server's certificate has to have this SHA-256, of its DER form; one of them if there are
    /// several. The authority has to be trusted as well. Default: none.
    pub fn pin_sha256(mut self, fingerprint: [u8; 32]) -> Self {
        self.pins.push(fingerprint);
        self
    }

    /// Takes a certificate of any authority, for any name and time: anybody between client and server
    /// can read and change everything, unless the certificate is pinned. Default: they are verified.
    pub fn accept_any_certificate(mut self) -> Self {
        self.authority = Authority::Ignored;
        self
    }

    pub(super) fn config(&self) -> Result<ClientConfig, Error> {
        let builder = transport::tls();
        let provider = Arc::clone(builder.crypto_provider());
        let roots = Arc::new(self.trusted());
        let builder = if self.authority == Authority::Required && self.pins.is_empty() {
            builder.with_root_certificates(roots)
        } else {
            let authority = match self.authority {
                Authority::Ignored => None,
                Authority::Required => Some(
                    WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
                        .build()
                        .map_err(|error| unreadable("no certificate is trusted", error))?,
                ),
            };
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Verifier {
                    authority,
                    pins: self.pins.clone(),
                    provider,
                }))
        };
        match &self.identity {
            None => Ok(builder.with_no_client_auth()),
            Some(identity) => builder
                .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
                .map_err(|error| unreadable("the client's certificate cannot be used", error)),
        }
    }

    fn trusted(&self) -> RootCertStore {
        let mut roots = match self.system {
            SystemRoots::Trusted => transport::system_roots(),
            SystemRoots::Ignored => RootCertStore::empty(),
        };
        roots.add_parsable_certificates(self.roots.iter().cloned());
        roots
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("roots", &self.roots.len())
            .field("system", &self.system)
            .field("identity", &self.identity.is_some())
            .field("pins", &self.pins.len())
            .field("authority", &self.authority)
            .finish()
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    transport::certificates(pem).map_err(|error| match error {
        pem::Error::NoItemsFound => unreadable("no certificate in the PEM", error),
        error => unreadable("a certificate cannot be read", error),
    })
}

fn unreadable(what: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::setting(what).because(error)
}

/// An authority's word, a known certificate, or both.
#[derive(Debug)]
struct Verifier {
    authority: Option<Arc<WebPkiServerVerifier>>,
    pins: Vec<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let digest: [u8; 32] = Sha256::digest(end_entity).into();
        if !self.pins.is_empty() && !self.pins.contains(&digest) {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        match &self.authority {
            None => Ok(ServerCertVerified::assertion()),
            Some(authority) => authority.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            ),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
