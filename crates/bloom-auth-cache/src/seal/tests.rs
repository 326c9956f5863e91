//! Tests of sealing: round trips, golden files of the format, damage of every
//! kind, and whose record is whose.

use std::time::{Duration, SystemTime};

use bloom_auth_core::{
    AuthVersion, CacheAccess, CacheRecord, ClientCredentials, ClientId, ClientSecret, Environment,
    Refusal, RefusalKind, Scopes,
    protocol::TokenRequest,
    test_util::{ED25519, P256, TestKey},
};
use proptest::prelude::*;
use zeroize::Zeroizing;

use super::{MAGIC, MAX_SEALED_BYTES, Random, SealError, Sealer, TAG_BYTES, record};

const PREFIX_BYTES: usize = 65;

const SECRET: &str = "a secret of more than 32 characters";

fn access_of(id: &str, secret: &str) -> CacheAccess {
    let (id, secret) = (ClientId::new(id), ClientSecret::new(secret));
    let credentials = ClientCredentials::new(id.unwrap(), secret.unwrap());
    let request = TokenRequest::new(Environment::sandbox(AuthVersion::V1));
    CacheAccess::new(&request, &credentials)
}

fn access() -> CacheAccess {
    access_of("golden", SECRET)
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn record(token: &str, scopes: Option<&str>) -> CacheRecord {
    let scopes = scopes.map(|scopes| scopes.parse().unwrap());
    CacheRecord::new(
        token,
        scopes,
        at(1_790_000_000),
        Duration::from_secs(86_400),
    )
    .unwrap()
}

#[test]
fn what_was_sealed_opens_as_it_was() {
    let sealer = Sealer::new();
    for (token, scopes) in [
        ("abc", None),
        ("abc", Some("")),
        ("abc", Some("read:a write:a")),
        (&*"t".repeat(64 * 1024), Some("x")),
    ] {
        let record = record(token, scopes);
        let sealed = sealer.seal(&access(), &record).unwrap();
        let opened = sealer.open(&access(), &sealed).unwrap();
        assert_eq!(opened, record);
        // Equality of tokens is that of their text alone.
        assert_eq!(opened.token().scopes(), record.token().scopes());
        assert_eq!(opened.token().expires_at(), record.token().expires_at());
        let bytes = 26 + token.len() + scopes.map_or(0, str::len);
        assert_eq!(sealed.len(), PREFIX_BYTES + bytes + TAG_BYTES);
    }
}

#[test]
fn what_is_sealed_is_as_large_as_may_be_and_no_larger() {
    let sealer = Sealer::new();
    let token = "t".repeat(64 * 1024);
    let room = MAX_SEALED_BYTES - PREFIX_BYTES - 26 - token.len() - TAG_BYTES;
    let most = record(&token, Some(&"s".repeat(room)));
    let sealed = sealer.seal(&access(), &most).unwrap();
    assert_eq!((sealed.len(), MAX_SEALED_BYTES), (262_144, 262_144));
    assert_eq!(sealer.open(&access(), &sealed), Ok(most));
    let more = record(&token, Some(&"s".repeat(room + 1)));
    assert_eq!(sealer.seal(&access(), &more), Err(SealError::TooLarge));
    let most = record(&token, Some(&"s".repeat(2 * room)));
    assert_eq!(sealer.seal(&access(), &most), Err(SealError::TooLarge));
}

/// One golden file: the name of the entry, then the sealed bytes.
fn golden(sealer: &Sealer, text: Option<Zeroizing<Vec<u8>>>) -> String {
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    let random = Random {
        salt: std::array::from_fn(|n| u8::try_from(n).unwrap()),
        nonce: std::array::from_fn(|n| u8::try_from(100 + n).unwrap()),
    };
    let sealed = sealer.seal_text(&access(), text, &random).unwrap();
    let lines: Vec<String> = sealed.chunks(32).map(hex).collect();
    let name = hex(&sealer.name(&access()).unwrap());
    format!("{name}\n\n{}\n", lines.join("\n"))
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    let pairs = (0..digits.len()).step_by(2);
    pairs
        .map(|n| u8::from_str_radix(&digits[n..n + 2], 16).unwrap())
        .collect()
}

#[test]
fn the_format_is_that_of_the_golden_files() {
    let scoped = record(
        "eyJhbGciOiJub25lIn0.e30.",
        Some("read:consumers write:consumers"),
    );
    for (what, sealer, record, file) in [
        (
            "no scopes",
            Sealer::new(),
            record("abc", None),
            include_str!("golden/plain.hex"),
        ),
        (
            "scopes",
            Sealer::new(),
            scoped.clone(),
            include_str!("golden/scoped.hex"),
        ),
        (
            "a key",
            Sealer::with_key([7; 32]),
            scoped,
            include_str!("golden/keyed.hex"),
        ),
    ] {
        assert_eq!(
            golden(&sealer, record::encode(&record, TAG_BYTES)),
            file,
            "{what}"
        );
        let (_, sealed) = file.split_once("\n\n").unwrap();
        let opened = sealer.open(&access(), &from_hex(sealed));
        assert_eq!(opened.as_ref(), Ok(&record), "{what}");
    }
}

fn refusal(kind: RefusalKind, wait: u64, refusals: u32) -> Refusal {
    Refusal::new(kind, at(1_790_000_000), Duration::from_secs(wait), refusals)
}

#[test]
fn the_format_of_a_refusal_is_that_of_the_golden_file() {
    let sealer = Sealer::new();
    let refusal = refusal(RefusalKind::Request, 8, 4);
    let file = include_str!("golden/refusal.hex");
    let text = record::encode_refusal(&refusal, TAG_BYTES);
    assert_eq!(golden(&sealer, text), file);
    let (_, sealed) = file.split_once("\n\n").unwrap();
    assert_eq!(
        sealer.open_refusal(&access(), &from_hex(sealed)),
        Ok(refusal)
    );
}

#[test]
fn a_refusal_is_no_token_and_a_token_no_refusal() {
    let sealer = Sealer::new();
    for kind in [RefusalKind::Client, RefusalKind::Request] {
        let refusal = refusal(kind, 300, u32::MAX);
        let sealed = sealer.seal_refusal(&access(), &refusal).unwrap();
        assert_eq!(sealer.open_refusal(&access(), &sealed), Ok(refusal));
        assert_eq!(sealer.open(&access(), &sealed), Err(SealError::NotARecord));
        let other = access_of("golden", "another secret of over 32 characters");
        let error = Err(SealError::DoesNotOpen);
        assert_eq!(sealer.open_refusal(&other, &sealed), error);
        for length in 0..sealed.len() {
            assert!(sealer.open_refusal(&access(), &sealed[..length]).is_err());
        }
    }
    let token = sealer.seal(&access(), &record("abc", None)).unwrap();
    assert_eq!(
        sealer.open_refusal(&access(), &token),
        Err(SealError::NotARecord)
    );
}

#[test]
fn d7_every_prefix_is_a_miss() {
    let sealer = Sealer::new();
    let sealed = sealer
        .seal(&access(), &record("abc", Some("read:a")))
        .unwrap();
    for length in 0..sealed.len() {
        assert!(
            sealer.open(&access(), &sealed[..length]).is_err(),
            "{length} bytes"
        );
    }
    assert!(sealer.open(&access(), &sealed).is_ok());
}

#[test]
fn d8_every_flipped_bit_is_a_miss() {
    let sealer = Sealer::new();
    let token = "t".repeat(900);
    let sealed = sealer
        .seal(&access(), &record(&token, Some("read:a")))
        .unwrap();
    for bit in 0..8 * sealed.len() {
        let mut damaged = sealed.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(sealer.open(&access(), &damaged).is_err(), "bit {bit}");
    }
}

#[test]
fn d9_d10_what_else_a_file_may_hold_is_a_miss_that_says_why() {
    let sealer = Sealer::new();
    let sealed = sealer.seal(&access(), &record("abc", None)).unwrap();
    let longer = [&sealed, &b"{}"[..]].concat();
    let mut newer = sealed;
    newer[MAGIC.len()] = 2;
    let json = br#"{"access_token":"abc","expires_in":86400}"#;
    for (bytes, error) in [
        (&b""[..], SealError::NotARecord),
        (json, SealError::NotARecord),
        (&MAGIC[..], SealError::NotARecord),
        (&newer, SealError::OtherVersion(2)),
        (&longer, SealError::DoesNotOpen),
        (&vec![0; MAX_SEALED_BYTES + 1], SealError::TooLarge),
    ] {
        assert_eq!(sealer.open(&access(), bytes), Err(error));
    }
}

#[test]
fn what_is_no_record_before_it_is_sealed_is_not_decoded() {
    let whole = record::encode(&record("abc", Some("read:a")), TAG_BYTES).unwrap();
    assert!(record::decode(&whole).is_some());
    let with = |at: usize, byte: u8| {
        let mut bytes = whole.to_vec();
        bytes[at] = byte;
        bytes
    };
    let last = whole.len() - 1;
    for (what, bytes) in [
        ("no kind", with(0, 0)),
        ("another kind", with(0, 2)),
        ("scopes that are said to be absent", with(17, 0)),
        ("scopes that are neither there nor absent", with(17, 2)),
        ("a token that cannot stand in a header", with(last, b'\n')),
        ("a token that is no text", with(last, 0xff)),
        ("a byte too few", whole[..last].to_vec()),
        ("a byte too many", [&whole[..], &b"x"[..]].concat()),
    ] {
        assert!(record::decode(&bytes).is_none(), "{what}");
    }
}

#[test]
fn k6_r8_a_record_opens_for_its_own_access_alone() {
    let sealer = Sealer::new();
    let sealed = sealer.seal(&access(), &record("abc", None)).unwrap();
    for other in [
        access_of("golden2", SECRET),
        access_of("golden", "another secret of over 32 characters"),
    ] {
        assert_eq!(sealer.open(&other, &sealed), Err(SealError::DoesNotOpen));
        assert_ne!(sealer.name(&other), sealer.name(&access()));
    }
    // Not with a given key either, though the key is the same for both.
    let keyed = Sealer::with_key([7; 32]);
    let sealed = keyed.seal(&access(), &record("abc", None)).unwrap();
    let wrong_secret = access_of("golden", "short");
    assert_eq!(
        keyed.open(&wrong_secret, &sealed),
        Err(SealError::DoesNotOpen)
    );
    assert_ne!(keyed.name(&wrong_secret), keyed.name(&access()));
    assert_eq!(
        Sealer::with_key([8; 32]).open(&access(), &sealed),
        Err(SealError::DoesNotOpen)
    );
    assert_eq!(sealer.open(&access(), &sealed), Err(SealError::DoesNotOpen));
}

#[test]
fn a_secret_that_could_be_guessed_seals_nothing() {
    let sealer = Sealer::new();
    let short = access_of("golden", "31 characters are one too few..");
    assert_eq!(
        sealer.seal(&short, &record("abc", None)),
        Err(SealError::NoKey)
    );
    assert_eq!(sealer.open(&short, b""), Err(SealError::NoKey));
    assert_eq!(sealer.name(&short), Err(SealError::NoKey));

    let credentials = |secret: &str| {
        let (id, secret) = (ClientId::new("golden"), ClientSecret::new(secret));
        ClientCredentials::new(id.unwrap(), secret.unwrap())
    };
    let error = sealer.check(&credentials("short")).unwrap_err();
    assert_eq!(error.setting(), "client secret");
    assert!(!error.to_string().contains("short"), "{error}");
    assert!(sealer.check(&credentials(SECRET)).is_ok());
    assert!(
        Sealer::with_key([7; 32])
            .check(&credentials("short"))
            .is_ok()
    );
}

#[test]
fn a_client_without_a_secret_needs_a_key_for_the_cache() {
    let id = || ClientId::new("golden").unwrap();
    let certificate = |key: TestKey| {
        let credentials = ClientCredentials::with_certificate(id(), key.private_pem);
        credentials.unwrap()
    };
    let credentials = certificate(P256);
    let error = Sealer::new().check(&credentials).unwrap_err().to_string();
    assert_eq!(
        error,
        "client secret is what tokens are sealed with, and this client has none: give the cache a \
         random key (`Sealer::with_key`), or keep tokens in memory alone"
    );
    let request = TokenRequest::new(Environment::sandbox(AuthVersion::V1));
    let access = |key| CacheAccess::new(&request, &certificate(key));
    assert_eq!(Sealer::new().name(&access(P256)), Err(SealError::NoKey));

    let sealer = Sealer::with_key([7; 32]);
    assert!(sealer.check(&credentials).is_ok());
    let sealed = sealer.seal(&access(P256), &record("abc", None)).unwrap();
    assert!(sealer.open(&access(P256), &sealed).is_ok());
    // Who shares the cache and its key, and claims the same client id.
    assert_ne!(sealer.name(&access(P256)), sealer.name(&access(ED25519)));
    assert!(sealer.open(&access(ED25519), &sealed).is_err());
}

#[test]
fn k7_r14_a_previous_secret_is_looked_for_until_its_time_is_over() {
    let sealer = Sealer::new().previous_secret(ClientSecret::new(SECRET).unwrap(), at(100));
    let rotated = access_of("golden", "the secret after it, of 32 characters");
    let previous = sealer.previous(&rotated, at(99)).unwrap();
    assert_eq!(previous.key(), access().key());
    let sealed = Sealer::new().seal(&access(), &record("abc", None)).unwrap();
    assert!(sealer.open(&previous, &sealed).is_ok());
    assert!(sealer.open(&rotated, &sealed).is_err());
    assert!(sealer.previous(&rotated, at(100)).is_none());
    assert!(Sealer::new().previous(&rotated, at(0)).is_none());
}

#[test]
fn nothing_is_sealed_the_same_twice() {
    let sealer = Sealer::new();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..64 {
        let sealed = sealer.seal(&access(), &record("abc", None)).unwrap();
        let (head, random) = sealed[..PREFIX_BYTES].split_at(MAGIC.len() + 1);
        assert_eq!(head, b"bloomtok\x01");
        assert!(seen.insert(random[..32].to_vec()), "a salt came twice");
        assert!(seen.insert(random[32..].to_vec()), "a nonce came twice");
        assert!(seen.insert(sealed[PREFIX_BYTES..].to_vec()));
    }
}

#[test]
fn debug_shows_no_key_and_no_secret() {
    let secret = ClientSecret::new("canary of the previous secret 0123").unwrap();
    for sealer in [Sealer::new(), Sealer::with_key([0xab; 32])] {
        let sealer = sealer.previous_secret(secret.clone(), at(1));
        let shown = format!("{sealer:?} {sealer:#?}");
        assert!(shown.contains("Sealer(with "), "{shown}");
        for canary in ["canary", "171", "abab", "ab, "] {
            assert!(!shown.contains(canary), "{shown}");
        }
    }
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        token in "[!-~]{1,200}",
        scopes in prop::option::of("[!#-\\[\\]-~]{0,20}( [!#-\\[\\]-~]{1,20}){0,3}"),
        sent_at in any::<u64>(),
        lifetime in any::<u64>(),
    ) {
        let scopes: Option<Scopes> = scopes.map(|scopes| scopes.parse().unwrap());
        let sent_at = SystemTime::UNIX_EPOCH + Duration::from_nanos(sent_at);
        let lifetime = Duration::from_nanos(lifetime);
        let record = CacheRecord::new(&token, scopes, sent_at, lifetime).unwrap();
        let bytes = record::encode(&record, TAG_BYTES).unwrap();
        prop_assert!(bytes.capacity() >= bytes.len() + TAG_BYTES);
        let decoded = record::decode(&bytes).unwrap();
        prop_assert_eq!(decoded.token().scopes(), record.token().scopes());
        prop_assert_eq!(decoded, record);
    }

    #[test]
    fn d8_no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        // What got through the cipher could still be of another program with
        // the same secret.
        let _ = (record::decode(&bytes), record::decode_refusal(&bytes));
        let sealed = [&MAGIC[..], &[1], &bytes].concat();
        prop_assert!(Sealer::new().open(&access(), &sealed).is_err());
    }
}
