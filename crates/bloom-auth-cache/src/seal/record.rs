//! A record as bytes, before it is sealed; the format is in the table of the
//! module above.

use std::time::{Duration, SystemTime};

use bloom_auth_core::{CacheRecord, Scopes};
use zeroize::Zeroizing;

const TOKEN: u8 = 1;

/// The record's bytes in a buffer with this much room behind them; `None` if
/// it is too large to have a length.
pub(super) fn encode(record: &CacheRecord, room: usize) -> Option<Zeroizing<Vec<u8>>> {
    let token = record.token().expose();
    let scopes = record.token().scopes();
    let text = scopes.map(Scopes::to_string).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(26 + text.len() + token.len() + room));
    let since_1970 = record.sent_at().duration_since(SystemTime::UNIX_EPOCH);
    bytes.push(TOKEN);
    bytes.extend_from_slice(&nanos(since_1970.unwrap_or_default()).to_be_bytes());
    bytes.extend_from_slice(&nanos(record.lifetime()).to_be_bytes());
    bytes.push(u8::from(scopes.is_some()));
    for text in [text.as_str(), token] {
        bytes.extend_from_slice(&u32::try_from(text.len()).ok()?.to_be_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    Some(bytes)
}

/// Reads all of the bytes; `None` if they are not a record.
pub(super) fn decode(mut bytes: &[u8]) -> Option<CacheRecord> {
    let rest = &mut bytes;
    let [kind] = take(rest)?;
    if kind != TOKEN {
        return None;
    }
    let sent_at = Duration::from_nanos(u64::from_be_bytes(take(rest)?));
    let lifetime = Duration::from_nanos(u64::from_be_bytes(take(rest)?));
    let [has_scopes] = take(rest)?;
    let scopes: Scopes = text(rest)?.parse().ok()?;
    let scopes = match has_scopes {
        0 if scopes.is_empty() => None,
        1 => Some(scopes),
        _ => return None,
    };
    let token = text(rest)?;
    if !rest.is_empty() {
        return None;
    }
    let sent_at = SystemTime::UNIX_EPOCH.checked_add(sent_at)?;
    CacheRecord::new(token, scopes, sent_at, lifetime).ok()
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

fn text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let length = usize::try_from(u32::from_be_bytes(take(bytes)?)).ok()?;
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    std::str::from_utf8(text).ok()
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
