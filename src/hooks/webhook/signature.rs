use std::{fmt, str::FromStr, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What the service and the hook server both know, and nobody else: the key of the signatures.
///
/// As text it is `whsec_` and base64, as [Standard Webhooks](https://www.standardwebhooks.com) has it; any other
/// text is the key itself. At least 16 bytes, better 32 random ones.
///
/// ```
/// use tower_tus::hooks::webhook::Secret;
///
/// let secret: Secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse()?;
/// # Ok::<_, tower_tus::hooks::webhook::InvalidSecret>(())
/// ```
#[derive(Clone)]
pub struct Secret(Arc<[u8]>);

impl Secret {
    /// This key.
    ///
    /// # Errors
    /// [`InvalidSecret`] for one of less than 16 bytes.
    pub fn new(key: impl AsRef<[u8]>) -> Result<Self, InvalidSecret> {
        match key.as_ref() {
            key if key.len() < SHORTEST => Err(InvalidSecret),
            key => Ok(Self(key.into())),
        }
    }

    /// One element of `webhook-signature`: of the message's id, the seconds since 1970, and its body.
    pub(super) fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        let digest = mac.finalize().into_bytes();
        format!("v1,{}", BASE64_STANDARD.encode(digest))
    }
}

impl FromStr for Secret {
    type Err = InvalidSecret;

    fn from_str(text: &str) -> Result<Self, InvalidSecret> {
        match text.strip_prefix("whsec_") {
            Some(encoded) => {
                let key = BASE64_STANDARD.decode(encoded);
                Self::new(key.map_err(|_| InvalidSecret)?)
            }
            None => Self::new(text),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The text is no [`Secret`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret has at least 16 bytes, as text or as whsec_ and base64")]
pub struct InvalidSecret;

const SHORTEST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_standard_webhooks() {
        // From the tests of the reference libraries.
        let secret: Secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
        let body = br#"{"test": 2432232314}"#;
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_has_some_length_and_is_never_shown() {
        assert_eq!("short".parse::<Secret>().unwrap_err(), InvalidSecret);
        assert_eq!("whsec_YQ==".parse::<Secret>().unwrap_err(), InvalidSecret);
        assert_eq!("whsec_?".parse::<Secret>().unwrap_err(), InvalidSecret);
        let secret: Secret = "0123456789abcdef".parse().unwrap();
        assert_eq!(format!("{secret:?}"), "Secret");
    }
}
