//! Sealed records: what a second sealer seals is opened, and the other way round; what was changed,
//! or is for somebody else, does not open.
//!
//! Lines `with` (`key` instead of the client secret), `as` (`raw` for a body that is sealed already)
//! and `flip` (the number of a bit that changes); the body is what is sealed.

use bloom_auth_cache::{MAX_SEALED_BYTES, SealError};

use crate::{
    message::Message,
    sealed::{self, Holder},
};

/// Tries one input.
pub fn run(input: &[u8]) {
    let message = Message::parse(input);
    let (mut holder, mut other) = (Holder::of_secret(), Holder::of_key());
    if message.text("with") == Some("key") {
        std::mem::swap(&mut holder, &mut other);
    }
    let mut sealed = match message.text("as") {
        Some("raw") => message.body.to_vec(),
        _ => holder.seal(message.body),
    };
    if let Some(bit) = message.number::<usize>("flip")
        && let Some(byte) = sealed.get_mut(bit / 8)
    {
        *byte ^= 1 << (bit % 8);
        assert_ne!(holder.open(&sealed).as_deref(), Some(message.body));
    }

    let (sealer, access) = (&holder.sealer, &holder.access);
    let (record, refusal) = (
        sealer.open(access, &sealed),
        sealer.open_refusal(access, &sealed),
    );
    let text = holder.open(&sealed);
    let expected = text.as_deref().and_then(sealed::record);
    assert_eq!(record.as_ref().ok(), expected.as_ref());
    assert_eq!(refusal.ok(), text.as_deref().and_then(sealed::refusal));
    if let Err(error) = record {
        let expected = match &sealed[..] {
            bytes if bytes.len() > MAX_SEALED_BYTES => SealError::TooLarge,
            [b'b', b'l', b'o', b'o', b'm', b't', b'o', b'k', version, ..] if *version != 1 => {
                SealError::OtherVersion(*version)
            }
            bytes if text.is_some() || bytes.len() < sealed::HEAD_BYTES => SealError::NotARecord,
            bytes if bytes.starts_with(b"bloomtok") => SealError::DoesNotOpen,
            _ => SealError::NotARecord,
        };
        assert_eq!(error, expected);
    }
    // Nobody else opens it.
    assert!(other.sealer.open(&other.access, &sealed).is_err());

    // Sealed anew, it is what it was.
    if let Ok(record) = sealer.open(access, &sealed) {
        let anew = sealer.seal(access, &record).unwrap_or_default();
        assert_ne!(anew, sealed, "no two are the same");
        assert_eq!(holder.open(&anew), Some(sealed::record_bytes(&record)));
        let again = sealer.open(access, &anew);
        let again = again.as_ref().ok();
        assert_eq!(again, Some(&record));
        let scopes = |record: &bloom_auth_core::CacheRecord| record.token().scopes().cloned();
        assert_eq!(again.map(scopes), Some(scopes(&record)));
    }
    if let Ok(refusal) = sealer.open_refusal(access, &sealed) {
        let anew = sealer.seal_refusal(access, &refusal).unwrap_or_default();
        assert_eq!(holder.open(&anew), text);
    }
}
