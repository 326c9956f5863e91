//! [`Sealer`]: encryption of records at rest, under the client's own secret.
//!
//! Whoever reads a sealed record without the secret learns its size and age,
//! and nothing else; whoever changes one makes it unreadable. There is no key
//! to manage, and a rotated secret turns what was sealed before into misses.
//!
//! # Format
//!
//! Version 1. Numbers have their most significant byte first.
//!
//! | offset | bytes | what |
//! |---:|---:|---|
//! | 0 | 8 | `bloomtok`, in ASCII |
//! | 8 | 1 | the version, 1 |
//! | 9 | 32 | salt, random |
//! | 41 | 24 | nonce, random |
//! | 65 | *n* | the record, encrypted |
//! | 65 + *n* | 16 | the tag of Poly1305 |
//!
//! The cipher is XChaCha20-Poly1305. Its key is
//! `HKDF-SHA-256(key material, salt, "bloom-auth seal v1" ‖ credential tag)`, 32
//! bytes, where the [credential tag](bloom_auth_core::CredentialTag) is a hash
//! under the client secret, or under the private key of a client that has one
//! instead: also with a key that several clients share, a record
//! is open to the client alone that it is for. The
//! associated data are bytes 0 to 8, then the
//! [canonical bytes](bloom_auth_core::CacheKey::canonical_bytes) of the cache
//! key: a record that was copied to another key does not open.
//!
//! The record, before encryption:
//!
//! | offset | bytes | what |
//! |---:|---:|---|
//! | 0 | 1 | 1, for an access token |
//! | 1 | 8 | when it was asked for, in nanoseconds since 1970-01-01 UTC |
//! | 9 | 8 | its lifetime from then on, in nanoseconds |
//! | 17 | 1 | 1 if the server named scopes, else 0 |
//! | 18 | 4 | the length *s* of the scopes; 0 if there are none |
//! | 22 | *s* | the scopes, in order, separated by single spaces |
//! | 22 + *s* | 4 | the length *t* of the token |
//! | 26 + *s* | *t* | the token |
//!
//! A refusal, before encryption:
//!
//! | offset | bytes | what |
//! |---:|---:|---|
//! | 0 | 1 | 2, for a refusal |
//! | 1 | 8 | when the server refused, in nanoseconds since 1970-01-01 UTC |
//! | 9 | 8 | for how many nanoseconds from then on it is not asked |
//! | 17 | 4 | how many refusals there had been in a row |
//! | 21 | 1 | what was refused: 1 the client, 2 the request |
//!
//! The name of an entry is
//! `HMAC-SHA-256(HKDF-SHA-256(key material, no salt, "bloom-auth name v1"), canonical bytes)`.

mod record;

#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::SystemTime};

use bloom_auth_core::{
    CacheAccess, CacheError, CacheRecord, ClientCredentials, ClientSecret, ConfigurationError,
    Refusal,
};
use chacha20poly1305::{AeadInOut as _, Key, KeyInit as _, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// What to do where a client secret does not serve as a key.
const FIX: &str =
    "give the cache a random key (`Sealer::with_key`), or keep tokens in memory alone";

const MAGIC: &[u8; 8] = b"bloomtok";
const VERSION: u8 = 1;
const SEAL_LABEL: &[u8] = b"bloom-auth seal v1";
const NAME_LABEL: &[u8] = b"bloom-auth name v1";

const SALT_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
const HEAD_BYTES: usize = MAGIC.len() + 1;

/// No sealed record is larger: a token has at most 64 KiB, and its scopes no
/// more than that.
pub const MAX_SEALED_BYTES: usize = 256 * 1024;

/// Seals records for caches that keep them outside the process, and opens
/// them.
///
/// The key material is the client secret, if it has at least 32 characters,
/// or a key that is [given](Self::with_key). The one is always at hand when
/// there is something to seal or open, and what is on a disk or in a shared
/// cache is of no use to anyone who does not hold it already.
///
/// For a cache of your own: keep what [`seal`](Self::seal) gives under the
/// [`name`](Self::name) of the access, and take what does not
/// [`open`](Self::open) for a miss.
///
/// # Example
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// use bloom_auth_cache::Sealer;
/// use bloom_auth_core::{
///     AuthVersion, CacheAccess, CacheRecord, ClientCredentials, ClientId, ClientSecret,
///     Environment, protocol::TokenRequest,
/// };
///
/// let access = |secret: &str| -> Result<_, Box<dyn std::error::Error>> {
///     let (id, secret) = (ClientId::new("my-backend")?, ClientSecret::new(secret)?);
///     let request = TokenRequest::new(Environment::sandbox(AuthVersion::V1));
///     Ok(CacheAccess::new(&request, &ClientCredentials::new(id, secret)))
/// };
/// let mine = access("a secret of more than 32 characters")?;
/// let record = CacheRecord::new("abc", None, SystemTime::now(), Duration::from_secs(60))?;
///
/// let sealer = Sealer::new();
/// let sealed = sealer.seal(&mine, &record)?;
/// assert_eq!(sealer.open(&mine, &sealed)?, record);
/// assert!(sealer.open(&access("another secret of over 32 characters")?, &sealed).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Sealer {
    key: Option<Arc<Zeroizing<[u8; 32]>>>,
    previous: Option<(ClientSecret, SystemTime)>,
}

impl Sealer {
    /// Seals with the client secret.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Seals with this key instead: for clients whose secret is short, or who
    /// have none. It must be random, and known to all who share the cache.
    #[must_use]
    pub fn with_key(key: [u8; 32]) -> Self {
        Self {
            key: Some(Arc::new(Zeroizing::new(key))),
            previous: None,
        }
    }

    /// Lets a cache also find, until that moment, what was kept under the secret
    /// that the client had before: a rotation then costs no token request.
    ///
    /// What was found by then is served for as long as it lives. Not for a
    /// rotation after a compromise: whoever has the old secret could plant a
    /// token of theirs. A previous secret of fewer than 32 characters has sealed
    /// nothing, and is of no use here.
    #[must_use]
    pub fn previous_secret(mut self, secret: ClientSecret, until: SystemTime) -> Self {
        self.previous = Some((secret, until));
        self
    }

    /// Whether tokens of these credentials can be sealed.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] if the client has no secret (it signs, or has a
    /// certificate) or one that could be guessed, and no key was given.
    pub fn check(&self, credentials: &ClientCredentials) -> Result<(), ConfigurationError> {
        if self.key.is_some() || credentials.seal_material().is_some() {
            return Ok(());
        }
        if credentials.secret().is_none() {
            return Err(ConfigurationError::new(
                "client secret",
                "is what tokens are sealed with, and this client has none",
                FIX,
            ));
        }
        Err(ConfigurationError::new(
            "client secret",
            "has fewer than 32 characters: it could be guessed by whoever reads what is sealed \
             with it",
            FIX,
        ))
    }

    /// The name under which to keep the record of this access: 32 bytes that
    /// say nothing about it. With another secret, it is another name.
    ///
    /// # Errors
    ///
    /// [`SealError::NoKey`].
    pub fn name(&self, access: &CacheAccess) -> Result<[u8; 32], SealError> {
        let key = derive(self.material(access)?, None, &[NAME_LABEL])?;
        // HMAC takes keys of every length.
        let mut mac = Hmac::<Sha256>::new_from_slice(&*key).map_err(|_| SealError::NoKey)?;
        mac.update(&access.key().canonical_bytes());
        Ok(mac.finalize().into_bytes().into())
    }

    /// Seals a record for this access, never twice the same.
    ///
    /// # Errors
    ///
    /// [`SealError::NoKey`], [`SealError::NoRandomness`] or
    /// [`SealError::TooLarge`].
    pub fn seal(&self, access: &CacheAccess, record: &CacheRecord) -> Result<Vec<u8>, SealError> {
        self.seal_text(access, record::encode(record, TAG_BYTES), &Random::draw()?)
    }

    /// Seals a refusal for this access, never twice the same.
    ///
    /// # Errors
    ///
    /// [`SealError::NoKey`] or [`SealError::NoRandomness`].
    pub fn seal_refusal(
        &self,
        access: &CacheAccess,
        refusal: &Refusal,
    ) -> Result<Vec<u8>, SealError> {
        let text = record::encode_refusal(refusal, TAG_BYTES);
        self.seal_text(access, text, &Random::draw()?)
    }

    /// The text is encrypted where it stands, and has room for the tag: a
    /// buffer that had to grow would leave the token behind.
    fn seal_text(
        &self,
        access: &CacheAccess,
        text: Option<Zeroizing<Vec<u8>>>,
        random: &Random,
    ) -> Result<Vec<u8>, SealError> {
        let mut text = text.ok_or(SealError::TooLarge)?;
        cipher(&self.key(access, &random.salt)?)
            .encrypt_in_place(&XNonce::from(random.nonce), &associated(access), &mut *text)
            .map_err(|_| SealError::TooLarge)?;
        let head = head();
        let sealed = [&head[..], &random.salt, &random.nonce, text.as_slice()].concat();
        if sealed.len() > MAX_SEALED_BYTES {
            return Err(SealError::TooLarge);
        }
        Ok(sealed)
    }

    /// Opens what was sealed for this access.
    ///
    /// # Errors
    ///
    /// [`SealError::NoKey`], or how the bytes are not such a record. Whatever
    /// they are, nothing of them gets into the error, and none panics.
    pub fn open(&self, access: &CacheAccess, sealed: &[u8]) -> Result<CacheRecord, SealError> {
        let text = self.open_text(access, sealed)?;
        record::decode(&text).ok_or(SealError::NotARecord)
    }

    /// Opens a refusal that was sealed for this access.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_refusal(&self, access: &CacheAccess, sealed: &[u8]) -> Result<Refusal, SealError> {
        let text = self.open_text(access, sealed)?;
        record::decode_refusal(&text).ok_or(SealError::NotARecord)
    }

    fn open_text(
        &self,
        access: &CacheAccess,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        // Before anything is said of the bytes.
        self.material(access)?;
        if sealed.len() > MAX_SEALED_BYTES {
            return Err(SealError::TooLarge);
        }
        let Some(rest) = sealed.strip_prefix(MAGIC) else {
            return Err(SealError::NotARecord);
        };
        let Some((version, rest)) = rest.split_first() else {
            return Err(SealError::NotARecord);
        };
        if *version != VERSION {
            return Err(SealError::OtherVersion(*version));
        }
        let (salt, rest) = rest.split_first_chunk().ok_or(SealError::NotARecord)?;
        let (nonce, rest) = rest
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or(SealError::NotARecord)?;
        let mut text = Zeroizing::new(rest.to_vec());
        cipher(&self.key(access, salt)?)
            .decrypt_in_place(&XNonce::from(*nonce), &associated(access), &mut *text)
            .map_err(|_| SealError::DoesNotOpen)?;
        Ok(text)
    }

    /// The access under which a record from before the last rotation would be
    /// found, while a [previous secret](Self::previous_secret) may be used: for
    /// loading and removing alone.
    #[must_use]
    pub fn previous(&self, access: &CacheAccess, now: SystemTime) -> Option<CacheAccess> {
        let (secret, until) = self.previous.as_ref()?;
        if now >= *until {
            return None;
        }
        let previous = access.with_secret(secret.clone());
        // With a secret that could be guessed, nothing was kept.
        self.material(&previous).is_ok().then_some(previous)
    }

    /// The key for one record.
    fn key(
        &self,
        access: &CacheAccess,
        salt: &[u8; SALT_BYTES],
    ) -> Result<Zeroizing<[u8; 32]>, SealError> {
        let tag = access.credential_tag();
        derive(
            self.material(access)?,
            Some(salt),
            &[SEAL_LABEL, tag.as_bytes()],
        )
    }

    fn material<'a>(&'a self, access: &'a CacheAccess) -> Result<&'a [u8], SealError> {
        match &self.key {
            Some(key) => Ok(&key[..]),
            None => access.seal_material().ok_or(SealError::NoKey),
        }
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = match self.key {
            Some(_) => "a given key",
            None => "the client secret",
        };
        write!(f, "Sealer(with {key})")
    }
}

/// Why a record could not be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// There is nothing to seal with.
    #[error(
        "there is no client secret of at least 32 characters, and a shorter one could be \
         guessed: give the cache a random key (`Sealer::with_key`), or keep tokens in memory alone"
    )]
    NoKey,
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    NoRandomness,
    /// It is larger than [`MAX_SEALED_BYTES`].
    #[error("it is too large for a token")]
    TooLarge,
    /// It has another format, or was cut off.
    #[error("it is not a whole record")]
    NotARecord,
    /// It was written by another version of this library.
    #[error("it has the format of another version ({0})")]
    OtherVersion(u8),
    /// It was sealed with another key or for another access, or was changed.
    #[error("it was sealed with another key or for another client, or it was changed")]
    DoesNotOpen,
}

impl From<SealError> for CacheError {
    fn from(error: SealError) -> Self {
        Self::new("tokens of this client cannot be kept sealed").with_source(error)
    }
}

fn derive(
    material: &[u8],
    salt: Option<&[u8; SALT_BYTES]>,
    info: &[&[u8]],
) -> Result<Zeroizing<[u8; 32]>, SealError> {
    let mut key = Zeroizing::new([0; 32]);
    let hkdf = Hkdf::<Sha256>::new(salt.map(<[u8; SALT_BYTES]>::as_slice), material);
    // 32 bytes are never too many for HKDF.
    let expanded = hkdf.expand_multi_info(info, &mut *key);
    expanded.map_err(|_| SealError::NoKey)?;
    Ok(key)
}

fn cipher(key: &Zeroizing<[u8; 32]>) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(<&Key>::from(&**key))
}

/// What a record is bound to.
fn associated(access: &CacheAccess) -> Zeroizing<Vec<u8>> {
    let canonical = access.key().canonical_bytes();
    let mut bytes = Zeroizing::new(Vec::with_capacity(HEAD_BYTES + canonical.len()));
    bytes.extend_from_slice(&head());
    bytes.extend_from_slice(&canonical);
    bytes
}

fn head() -> [u8; HEAD_BYTES] {
    let mut head = [VERSION; HEAD_BYTES];
    if let Some((magic, _)) = head.split_first_chunk_mut() {
        *magic = *MAGIC;
    }
    head
}

/// What makes every sealed record another one.
struct Random {
    salt: [u8; SALT_BYTES],
    nonce: [u8; NONCE_BYTES],
}

impl Random {
    fn draw() -> Result<Self, SealError> {
        let mut random = Self {
            salt: [0; SALT_BYTES],
            nonce: [0; NONCE_BYTES],
        };
        for random in [&mut random.salt[..], &mut random.nonce] {
            getrandom::fill(random).map_err(|_| SealError::NoRandomness)?;
        }
        Ok(random)
    }
}
