//! What the routines are held against: the least that does the same work, without the library, and
//! of the same nature, so that another processor, compiler or allocator changes both alike.

use std::{
    cell::Cell,
    collections::HashMap,
    hint::black_box,
    sync::{PoisonError, RwLock},
};

use chacha20poly1305::{AeadInOut as _, Key, KeyInit as _, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use http::HeaderValue;
use rustix::time::{ClockId, clock_gettime};
use serde::Deserialize;
use sha2::Sha256;

use crate::{
    Problem, Routine, count,
    routines::{KEYS, SECRET, access_token, answer, key, turn},
};

pub(crate) const ROUTINES: &[Routine] = &[
    Routine {
        name: "floor_header",
        floor: None,
        times: 20_000,
        run: header,
    },
    Routine {
        name: "floor_keyed",
        floor: None,
        times: 50_000,
        run: keyed,
    },
    Routine {
        name: "floor_parse",
        floor: None,
        times: 1_000,
        run: parse,
    },
    Routine {
        name: "floor_seal",
        floor: None,
        times: 200,
        run: seal,
    },
    Routine {
        name: "floor_open",
        floor: None,
        times: 200,
        run: open,
    },
];

const SLOTS: usize = 16;

/// A header until a moment, by two clocks.
struct Prepared {
    header: HeaderValue,
    monotonic: i64,
    wall: i64,
}

impl Prepared {
    fn new() -> Result<Self, Problem> {
        let mut header = HeaderValue::try_from(format!("Bearer {}", access_token()))?;
        header.set_sensitive(true);
        Ok(Self {
            header,
            monotonic: i64::MAX,
            wall: i64::MAX,
        })
    }

    fn get(&self) -> Option<HeaderValue> {
        let monotonic = clock_gettime(ClockId::MonotonicCoarse).tv_sec;
        let wall = clock_gettime(ClockId::RealtimeCoarse).tv_sec;
        (monotonic < self.monotonic && wall < self.wall).then(|| self.header.clone())
    }
}

#[repr(align(128))]
struct Slot(RwLock<Prepared>);

thread_local! {
    static NUMBER: Cell<usize> = const { Cell::new(0) };
}

/// A slot of this thread's, both coarse clocks, a clone.
fn header(times: u64) -> Result<(), Problem> {
    let slots = (0..SLOTS).map(|_| Ok(Slot(RwLock::new(Prepared::new()?))));
    let slots = slots.collect::<Result<Vec<Slot>, Problem>>()?;
    let get = |slots: &[Slot]| {
        let slot = slots.get(NUMBER.get() % SLOTS)?;
        let prepared = slot.0.read().unwrap_or_else(PoisonError::into_inner);
        prepared.get()
    };
    count(times, |_| black_box(get(black_box(&slots))).is_some())
}

/// A look-up in the standard library's map, both coarse clocks, a clone.
fn keyed(times: u64) -> Result<(), Problem> {
    let entries = (0..KEYS).map(|number| Ok((key(number), Prepared::new()?)));
    let map = RwLock::new(entries.collect::<Result<HashMap<_, _>, Problem>>()?);
    let keys: Vec<String> = (0..KEYS).map(key).collect();
    let get = |map: &RwLock<HashMap<String, Prepared>>, key: &String| {
        let map = map.read().unwrap_or_else(PoisonError::into_inner);
        map.get(key)?.get()
    };
    count(times, |number| {
        let key = turn(&keys, number);
        key.is_some_and(|key| black_box(get(black_box(&map), black_box(key))).is_some())
    })
}

/// The members of a token response that the library reads.
#[derive(Deserialize)]
struct Bare {
    access_token: String,
    token_type: String,
    expires_in: u64,
    scope: String,
}

/// The same bytes, into a bare struct.
fn parse(times: u64) -> Result<(), Problem> {
    let body = answer();
    count(times, |_| {
        let Ok(bare) = serde_json::from_slice::<Bare>(black_box(body.as_bytes())) else {
            return false;
        };
        let bare = black_box(bare);
        let is_whole = !bare.access_token.is_empty() && bare.expires_in > 0;
        is_whole && bare.token_type == "Bearer" && !bare.scope.is_empty()
    })
}

const SALT: [u8; 32] = [7; 32];
const NONCE: [u8; 24] = [7; 24];
const LABEL: &[u8] = b"a label, and a tag of 32 bytes, which make what is expanded";

/// The key for one record.
fn cipher() -> Option<XChaCha20Poly1305> {
    let mut key = [0; 32];
    let hkdf = Hkdf::<Sha256>::new(Some(black_box(&SALT)), black_box(SECRET.as_bytes()));
    hkdf.expand(black_box(LABEL), &mut key).ok()?;
    Some(XChaCha20Poly1305::new(<&Key>::from(&key)))
}

fn encrypt(text: &[u8]) -> Option<Vec<u8>> {
    let mut text = text.to_vec();
    let encrypted = cipher()?.encrypt_in_place(&XNonce::from(NONCE), LABEL, &mut text);
    encrypted.ok().map(|()| text)
}

fn decrypt(sealed: &[u8]) -> Option<Vec<u8>> {
    let mut text = sealed.to_vec();
    let decrypted = cipher()?.decrypt_in_place(&XNonce::from(NONCE), LABEL, &mut text);
    decrypted.ok().map(|()| text)
}

/// A key for this record, and the token encrypted with it.
fn seal(times: u64) -> Result<(), Problem> {
    let token = access_token();
    count(times, |_| {
        black_box(encrypt(black_box(token.as_bytes()))).is_some()
    })
}

/// The same backwards.
fn open(times: u64) -> Result<(), Problem> {
    let sealed = encrypt(access_token().as_bytes()).ok_or("it cannot be encrypted")?;
    count(times, |_| black_box(decrypt(black_box(&sealed))).is_some())
}
