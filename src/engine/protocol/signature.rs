//! SNAP's asymmetric signature of a gateway: RSA (PKCS#1 v1.5) over SHA-256, of `METHOD:PATH:HASH:TIME`,
//! where the hash is that of the body without white space that means nothing
//! (DANA, "Asymmetric signature" and "Finish notify").

#[cfg(any(not(target_family = "wasm"), feature = "notify"))]
use rsa::PublicKey as Rsa;

/// Only the module that takes notifications in reads keys: the others have none, and are built without RSA.
#[cfg(not(any(not(target_family = "wasm"), feature = "notify")))]
type Rsa = std::convert::Infallible;

/// A gateway's public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(Rsa);

#[cfg(any(not(target_family = "wasm"), feature = "notify"))]
mod verifying {
    use rsa::pkcs1v15::Pkcs1v15Sign;
    use rsa::pkcs8::DecodePublicKey;
    use rsa::traits::PublicKeyParts;
    use sha2::{Digest, Sha256};

    use super::{PublicKey, Rsa};
    use crate::engine::codec::base64;

    /// Bits of a key: DANA's has 2048. Fewer are forged, more take longer than a notification is worth.
    const BITS: std::ops::RangeInclusive<u32> = 2048..=4096;

    impl PublicKey {
        /// Reads `SubjectPublicKeyInfo`, in PEM or as its bare base64, of a key of 2048 to 4096 bits.
        #[must_use]
        pub fn parse(text: &str) -> Option<Self> {
            let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("-----"));
            let der = base64::decode(lines.collect::<String>().as_bytes())?;
            let key = Rsa::from_public_key_der(&der).ok()?;
            BITS.contains(&key.n().bit_width()).then_some(Self(key))
        }

        /// Whether this key's owner has signed these bytes.
        #[must_use]
        pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
            let digest = Sha256::digest(message);
            self.0.verify(Pkcs1v15Sign::new::<Sha256>(), &digest, signature).is_ok()
        }
    }
}

#[cfg(not(any(not(target_family = "wasm"), feature = "notify")))]
impl PublicKey {
    /// No text is a key here.
    #[must_use]
    pub const fn parse(_: &str) -> Option<Self> {
        None
    }

    /// There is no key that could.
    #[must_use]
    pub const fn verify(&self, _: &[u8], _: &[u8]) -> bool {
        match self.0 {}
    }
}
