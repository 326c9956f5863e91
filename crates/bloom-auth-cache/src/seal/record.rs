//! A record as bytes, before it is sealed; the format is in the table of the
//! module above.

use std::time::{Duration, SystemTime};

use bloom_auth_core::{CacheRecord, Refusal, RefusalKind, Scopes};
use zeroize::Zeroizing;

const TOKEN: u8 = 1;
const REFUSAL: u8 = 2;

/// The record's bytes in a buffer with this much room behind them; `None` if
/// it is too large to have a length.
pub(super) fn encode(record: &CacheRecord, room: usize) -> Option<Zeroizing<Vec<u8>>> {
    let token = record.token().expose();
    let scopes = record.token().scopes();
    let text = scopes.map(Scopes::to_string).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(26 + text.len() + token.len() + room));
    bytes.push(TOKEN);
    bytes.extend_from_slice(&since_1970(record.sent_at()).to_be_bytes());
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
    let sent_at = u64::from_be_bytes(take(rest)?);
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
    CacheRecord::new(token, scopes, moment(sent_at)?, lifetime).ok()
}

/// A refusal's bytes, with this much room behind them.
pub(super) fn encode_refusal(refusal: &Refusal, room: usize) -> Option<Zeroizing<Vec<u8>>> {
    let kind = match refusal.kind() {
        RefusalKind::Client => 1,
        RefusalKind::Request => 2,
        _ => return None,
    };
    let mut bytes = Zeroizing::new(Vec::with_capacity(22 + room));
    bytes.push(REFUSAL);
    bytes.extend_from_slice(&since_1970(refusal.refused_at()).to_be_bytes());
    bytes.extend_from_slice(&nanos(refusal.wait()).to_be_bytes());
    bytes.extend_from_slice(&refusal.refusals().to_be_bytes());
    bytes.push(kind);
    Some(bytes)
}

/// Reads all of the bytes; `None` if they are not a refusal.
pub(super) fn decode_refusal(mut bytes: &[u8]) -> Option<Refusal> {
    let rest = &mut bytes;
    let [kind] = take(rest)?;
    if kind != REFUSAL {
        return None;
    }
    let refused_at = moment(u64::from_be_bytes(take(rest)?))?;
    let wait = Duration::from_nanos(u64::from_be_bytes(take(rest)?));
    let refusals = u32::from_be_bytes(take(rest)?);
    let kind = match take(rest)? {
        [1] => RefusalKind::Client,
        [2] => RefusalKind::Request,
        _ => return None,
    };
    rest.is_empty()
        .then(|| Refusal::new(kind, refused_at, wait, refusals))
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

fn since_1970(time: SystemTime) -> u64 {
    nanos(
        time.duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default(),
    )
}

fn moment(since_1970: u64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(since_1970))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
