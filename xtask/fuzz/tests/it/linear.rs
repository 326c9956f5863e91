//! Whatever is read costs no more than its size: sixteen times the input takes about sixteen times
//! the time, and never more than a mebibyte.

use std::{
    hint::black_box,
    time::{Duration, SystemTime},
};

use bloom_auth_cache::Sealer;
use bloom_auth_core::{
    AuthVersion, CacheAccess, ClientCredentials, ClientId, ClientSecret, Environment,
    MAX_BODY_BYTES, ResponseBody,
    protocol::{
        ExpiresIn, ResponseError, TokenRequest, TokenResponse, retry_after::retry_after,
        www_authenticate::challenges,
    },
};
use bytes::Bytes;
use fuzz::sealed::Holder;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response,
    header::{RETRY_AFTER, WWW_AUTHENTICATE},
};

use crate::counting::{most_bytes, processor_time};

/// So many times the input.
const STEP: usize = 16;

/// So many times the time are still no square of that.
const MOST_GROWTH: u32 = 64;

/// Shorter times say nothing.
const LEAST_TIME: Duration = Duration::from_micros(20);

const MOST_BYTES: usize = 1024 * 1024;

/// A kind of input that can be made in any size, and what reads it.
struct Shape {
    name: &'static str,
    /// How much of it there is.
    size: usize,
    make: fn(usize) -> Vec<u8>,
    /// Returns what takes it in, so that nothing else is measured.
    prepare: fn(&[u8]) -> Box<dyn Fn()>,
}

const SHAPES: [Shape; 15] = [
    Shape {
        name: "digits of a lifetime",
        size: 250_000,
        make: |size| token_with("expires_in", &"9".repeat(size)),
        prepare: token,
    },
    Shape {
        name: "digits of a lifetime behind the point",
        size: 250_000,
        make: |size| token_with("expires_in", &format!("3600.{}1", "0".repeat(size))),
        prepare: token,
    },
    Shape {
        name: "digits of a lifetime in a string",
        size: 250_000,
        make: |size| token_with("expires_in", &format!("\"{}\"", "9".repeat(size))),
        prepare: token,
    },
    Shape {
        name: "lists in each other",
        size: 100_000,
        make: |size| token_with("x", &format!("{}{}", "[".repeat(size), "]".repeat(size))),
        prepare: token,
    },
    Shape {
        name: "lists in each other, not closed",
        size: 250_000,
        make: |size| "[".repeat(size).into_bytes(),
        prepare: token,
    },
    Shape {
        name: "objects in each other",
        size: 40_000,
        make: |size| {
            let (open, close) = ("{\"a\":".repeat(size), "}".repeat(size));
            token_with("x", &format!("{open}1{close}"))
        },
        prepare: token,
    },
    Shape {
        name: "fields that nobody knows",
        size: 20_000,
        make: |size| token_with("x", &format!("1{}", ",\"x\":1".repeat(size))),
        prepare: token,
    },
    Shape {
        name: "scopes",
        size: 100_000,
        make: |size| token_with("scope", &format!("\"{}\"", "a ".repeat(size))),
        prepare: token,
    },
    Shape {
        name: "long scopes",
        size: 256,
        make: |size| {
            let scope = "x-y.".repeat(60) + " ";
            token_with("scope", &format!("\"{}\"", scope.repeat(size)))
        },
        prepare: token,
    },
    Shape {
        name: "escapes of a description",
        size: 40_000,
        make: |size| {
            let text = "\\u0041".repeat(size);
            format!("{{\"error\":\"x\",\"error_description\":\"{text}\"}}").into_bytes()
        },
        prepare: token,
    },
    Shape {
        name: "digits of `Retry-After`",
        size: 1_000_000,
        make: |size| "9".repeat(size).into_bytes(),
        prepare: |text| {
            let headers = header(RETRY_AFTER, text);
            Box::new(move || {
                let max = Duration::from_secs(300);
                let after = retry_after(&headers, SystemTime::UNIX_EPOCH, max);
                assert_eq!(after, Some(max));
            })
        },
    },
    Shape {
        name: "items of `WWW-Authenticate`",
        size: 4_000,
        make: |size| "a,".repeat(size).into_bytes(),
        prepare: www_authenticate,
    },
    Shape {
        name: "escapes of `WWW-Authenticate`",
        size: 4_000,
        make: |size| format!("Bearer a=\"{}", "\\a".repeat(size)).into_bytes(),
        prepare: www_authenticate,
    },
    Shape {
        name: "a sealed record",
        size: 150_000,
        make: |size| Holder::of_secret().seal(&vec![b'x'; size]),
        prepare: |sealed| {
            let sealed = sealed.to_vec();
            let holder = Holder::of_secret();
            Box::new(move || assert!(holder.sealer.open(&holder.access, &sealed).is_err()))
        },
    },
    Shape {
        name: "scopes of a cache key",
        size: 3_000,
        make: |size| {
            (0..size)
                .flat_map(|n| format!("{n} ").into_bytes())
                .collect()
        },
        prepare: |scopes| {
            let scopes = str::from_utf8(scopes).unwrap().to_owned();
            let sealer = Sealer::with_key([7; 32]);
            Box::new(move || {
                let request = TokenRequest::new(Environment::sandbox(AuthVersion::V2))
                    .with_scopes(scopes.parse().unwrap());
                let access = CacheAccess::new(&request, &client("a secret"));
                black_box(sealer.name(&access).unwrap());
            })
        },
    },
];

fn token_with(field: &str, value: &str) -> Vec<u8> {
    format!("{{\"access_token\":\"a\",\"token_type\":\"bearer\",\"{field}\":{value}}}").into_bytes()
}

fn client(secret: &str) -> ClientCredentials {
    let id = ClientId::new("the-client").unwrap();
    ClientCredentials::new(id, ClientSecret::new(secret).unwrap())
}

fn token(body: &[u8]) -> Box<dyn Fn()> {
    assert!(body.len() <= MAX_BODY_BYTES);
    let response = Response::new(ResponseBody::from(Bytes::copy_from_slice(body)));
    // As long as secrets are in use.
    let client = client(&"0123456789abcdef".repeat(4));
    Box::new(move || drop(black_box(TokenResponse::decode(&response, &client))))
}

fn header(name: HeaderName, value: &[u8]) -> HeaderMap {
    HeaderMap::from_iter([(name, HeaderValue::from_bytes(value).unwrap())])
}

fn www_authenticate(text: &[u8]) -> Box<dyn Fn()> {
    let headers = header(WWW_AUTHENTICATE, text);
    Box::new(move || drop(black_box(challenges(&headers))))
}

/// What is wrong with the cost of a shape.
fn fault(shape: &Shape) -> Option<String> {
    let (small, large) = (shape.size / STEP, shape.size);
    let [small, large] = [small, large].map(|size| (shape.prepare)(&(shape.make)(size)));
    let bytes = most_bytes(&large);
    // The shortest of several: what else happened made it longer.
    let shortest = |work: &dyn Fn()| (0..5).map(|_| processor_time(work)).min().unwrap();
    let (before, after) = (shortest(&small), shortest(&large));
    println!(
        "{}: {after:?} and {bytes} bytes; a sixteenth of it, {before:?}",
        shape.name
    );
    if bytes > MOST_BYTES {
        return Some(format!("{} takes {bytes} bytes", shape.name));
    }
    (after > before.max(LEAST_TIME) * MOST_GROWTH)
        .then(|| format!("{} takes {before:?}, then {after:?}", shape.name))
}

#[test]
fn p29_nothing_that_is_read_costs_more_than_its_size() {
    let faults: Vec<String> = SHAPES.iter().filter_map(fault).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

/// A longer secret takes longer to look for once, and not once for every character of an answer.
#[test]
fn p42_a_long_secret_makes_no_answer_expensive() {
    type Secret = fn(usize) -> String;

    let far = ["0123456 ab- "; 20].concat().replace(' ', ".");
    // All of these words but one: it is found out late that they are not the secret's.
    let near = "xyz.".repeat(60);
    let secrets: [(&str, Secret); 4] = [
        (&far, |length| "xyz-".repeat(length / 4)),
        (&near, |length| {
            format!("{}abc", "xyz-".repeat(length / 4 - 1))
        }),
        (&near, |length| {
            let after = "xyz-".repeat(length / 4 - 8);
            format!("{}abc-{after}", "xyz-".repeat(7))
        }),
        (&near, |length| format!("xyz{}abc", "-".repeat(length - 6))),
    ];
    for (scope, secret) in secrets {
        let scopes = format!("\"{}\"", format!("{scope} ").repeat(256));
        let response = Response::new(ResponseBody::from(Bytes::from(token_with(
            "scope", &scopes,
        ))));
        let time = |length: usize| {
            let client = client(&secret(length));
            let decode = || drop(black_box(TokenResponse::decode(&response, &client)));
            (0..5).map(|_| processor_time(decode)).min().unwrap()
        };
        let (short, long) = (time(64), time(4096));
        println!("with a secret of 64 characters {short:?}, with one of 4096 {long:?}");
        assert!(long < short.max(LEAST_TIME) * 16, "{short:?}, {long:?}");
    }
}

#[test]
fn a_million_digits_are_not_even_looked_at() {
    let body = token_with("expires_in", &"9".repeat(1_000_000));
    let response = Response::new(ResponseBody::from(Bytes::from(body)));
    let client = client("a secret");
    let bytes = most_bytes(|| {
        let limit = MAX_BODY_BYTES;
        let read = TokenResponse::decode(&response, &client);
        assert_eq!(read.unwrap_err(), ResponseError::TooLarge { limit });
    });
    assert!(bytes < 1024, "{bytes}");
    // As many as can be are the largest lifetime.
    let body = token_with("expires_in", &"9".repeat(200_000));
    let response = Response::new(ResponseBody::from(Bytes::from(body)));
    let read = TokenResponse::decode(&response, &client).unwrap();
    assert_eq!(read.expires_in(), ExpiresIn::Seconds(u64::MAX));
}

/// The controls.
#[test]
fn what_grows_too_fast_is_found() {
    let square = Shape {
        name: "a square",
        size: 8_000,
        make: |size| vec![b'x'; size],
        prepare: |text| {
            let text = text.to_vec();
            Box::new(move || {
                let count = |byte| text.iter().filter(|it| **it == byte).count();
                black_box(text.iter().map(|byte| count(*byte)).sum::<usize>());
            })
        },
    };
    assert!(fault(&square).unwrap().contains("then"));
    let hoard = Shape {
        name: "a hoard",
        size: 100_000,
        make: |size| vec![b'x'; size],
        prepare: |text| {
            let text = text.to_vec();
            Box::new(move || drop(black_box(text.repeat(11))))
        },
    };
    assert!(fault(&hoard).unwrap().contains("bytes"));
}
