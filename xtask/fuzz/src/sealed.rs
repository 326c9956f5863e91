//! A second sealer, written from the documented format alone: it seals any bytes, so that a fuzzer
//! gets past the seal.

use std::{
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use bloom_auth_cache::Sealer;
use bloom_auth_core::{
    AuthVersion, CacheAccess, CacheRecord, ClientCredentials, ClientId, ClientSecret, Environment,
    Refusal, RefusalKind, Scopes, protocol::TokenRequest,
};
use chacha20poly1305::{AeadInOut as _, KeyInit as _, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sha2::Sha256;

const SECRET: &str = "a client secret of more than 32 characters";
const KEY: [u8; 32] = *b"a key that several clients share";

/// The bytes before what is encrypted: magic and version, salt, nonce.
pub const HEAD_BYTES: usize = 9 + 32 + 24;

/// An access token has no more bytes than this.
const MAX_TOKEN_BYTES: usize = 64 * 1024;

/// Whose records are sealed.
#[derive(Clone, Debug)]
pub struct Holder {
    /// The one under scrutiny.
    pub sealer: Sealer,
    /// For whom it seals.
    pub access: CacheAccess,
    material: &'static [u8],
}

impl Holder {
    /// Who seals with the client secret.
    #[must_use]
    pub fn of_secret() -> Self {
        static ACCESS: LazyLock<Option<CacheAccess>> = LazyLock::new(access);
        Self::new(Sealer::new(), ACCESS.clone(), SECRET.as_bytes())
    }

    /// Who seals with a given key.
    #[must_use]
    pub fn of_key() -> Self {
        static ACCESS: LazyLock<Option<CacheAccess>> = LazyLock::new(access);
        Self::new(Sealer::with_key(KEY), ACCESS.clone(), &KEY)
    }

    fn new(sealer: Sealer, access: Option<CacheAccess>, material: &'static [u8]) -> Self {
        match access {
            Some(access) => Self {
                sealer,
                access,
                material,
            },
            None => panic!("the client is one"),
        }
    }

    /// Seals any bytes.
    #[must_use]
    pub fn seal(&self, text: &[u8]) -> Vec<u8> {
        let salt = [b's'; 32];
        let nonce = [b'n'; 24];
        let mut sealed = text.to_vec();
        let encrypted = self.cipher(&salt).encrypt_in_place(
            &XNonce::from(nonce),
            &self.associated(),
            &mut sealed,
        );
        assert!(encrypted.is_ok());
        [&b"bloomtok\x01"[..], &salt, &nonce, &sealed].concat()
    }

    /// What was sealed.
    #[must_use]
    pub fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        if sealed.len() > 256 * 1024 {
            return None;
        }
        let rest = sealed.strip_prefix(b"bloomtok\x01")?;
        let (salt, rest) = rest.split_at_checked(32)?;
        let (nonce, rest) = rest.split_at_checked(24)?;
        let mut text = rest.to_vec();
        let nonce: [u8; 24] = nonce.try_into().ok()?;
        self.cipher(salt)
            .decrypt_in_place(&XNonce::from(nonce), &self.associated(), &mut text)
            .ok()?;
        Some(text)
    }

    fn cipher(&self, salt: &[u8]) -> XChaCha20Poly1305 {
        let tag = self.access.credential_tag();
        let info = [&b"bloom-auth seal v1"[..], tag.as_bytes()].concat();
        let mut key = [0; 32];
        let expanded = Hkdf::<Sha256>::new(Some(salt), self.material).expand(&info, &mut key);
        assert!(expanded.is_ok());
        XChaCha20Poly1305::new(&key.into())
    }

    fn associated(&self) -> Vec<u8> {
        [b"bloomtok\x01", &self.access.key().canonical_bytes()[..]].concat()
    }
}

fn access() -> Option<CacheAccess> {
    let secret = ClientSecret::new(SECRET).ok()?;
    let credentials = ClientCredentials::new(ClientId::new("the-client").ok()?, secret);
    let request = TokenRequest::new(Environment::sandbox(AuthVersion::V1));
    Some(CacheAccess::new(&request, &credentials))
}

/// The record that these bytes are, by the table of the format.
#[must_use]
pub fn record(text: &[u8]) -> Option<CacheRecord> {
    let number = |at: usize| Some(u64::from_be_bytes(text.get(at..at + 8)?.try_into().ok()?));
    let length = |at: usize| {
        let bytes = text.get(at..at.checked_add(4)?)?;
        usize::try_from(u32::from_be_bytes(bytes.try_into().ok()?)).ok()
    };
    if *text.first()? != 1 {
        return None;
    }
    let scopes_end = 22_usize.checked_add(length(18)?)?;
    let token_end = scopes_end
        .checked_add(4)?
        .checked_add(length(scopes_end)?)?;
    let scopes = std::str::from_utf8(text.get(22..scopes_end)?).ok()?;
    let token = std::str::from_utf8(text.get(scopes_end + 4..token_end)?).ok()?;
    let is_scopes = |byte| matches!(byte, b' ' | b'!' | b'#'..=b'[' | b']'..=b'~');
    let is_token = |byte| matches!(byte, b'!'..=b'~');
    if text.len() != token_end
        || token.is_empty()
        || token.len() > MAX_TOKEN_BYTES
        || !token.bytes().all(is_token)
        || !scopes.bytes().all(is_scopes)
    {
        return None;
    }
    let named: Scopes = scopes.parse().ok()?;
    let scopes = match text.get(17)? {
        0 if named.is_empty() => None,
        1 => Some(named),
        _ => return None,
    };
    let sent_at = SystemTime::UNIX_EPOCH + Duration::from_nanos(number(1)?);
    CacheRecord::new(token, scopes, sent_at, Duration::from_nanos(number(9)?)).ok()
}

/// The bytes that a record is.
#[must_use]
pub fn record_bytes(record: &CacheRecord) -> Vec<u8> {
    let (scopes, token) = (record.token().scopes(), record.token().expose());
    let named: Vec<&str> = scopes.iter().flat_map(|scopes| scopes.iter()).collect();
    let named = named.join(" ");
    let length = |text: &str| {
        u32::try_from(text.len())
            .map(u32::to_be_bytes)
            .unwrap_or_default()
    };
    [
        &[1][..],
        &nanos(record.sent_at()).to_be_bytes(),
        &record.lifetime().as_nanos().to_be_bytes()[8..],
        &[u8::from(scopes.is_some())],
        &length(&named),
        named.as_bytes(),
        &length(token),
        token.as_bytes(),
    ]
    .concat()
}

/// The refusal that these bytes are, by the table of the format.
#[must_use]
pub fn refusal(text: &[u8]) -> Option<Refusal> {
    let text: &[u8; 22] = text.try_into().ok()?;
    let number = |at: usize| Some(u64::from_be_bytes(text.get(at..at + 8)?.try_into().ok()?));
    let refusals = u32::from_be_bytes(text.get(17..21)?.try_into().ok()?);
    let kind = match (text[0], text[21]) {
        (2, 1) => RefusalKind::Client,
        (2, 2) => RefusalKind::Request,
        _ => return None,
    };
    let refused_at = SystemTime::UNIX_EPOCH + Duration::from_nanos(number(1)?);
    Some(Refusal::new(
        kind,
        refused_at,
        Duration::from_nanos(number(9)?),
        refusals,
    ))
}

fn nanos(time: SystemTime) -> u64 {
    let since_1970 = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX)
}
