//! The whole way against each fault that the emulator can play.

use std::time::{Duration, SystemTime};

use bloom_auth_core::{
    AccessToken, AuthVersion, Bearer, ClientCredentials, ClientId, ClientSecret, Clock as _,
    Environment, Error, ErrorKind, Origin, RequestBody, TokenProvider, TokenProviderBuilder,
    Transport, Verdict, chain,
    test_util::{FixedEntropy, ManualClock},
};
use bloom_auth_emulator::{Emulator, Endpoint, Fault, TokenQuota};
use bloom_auth_reqwest::ReqwestTransport;
use http::{HeaderMap, Request, Uri};
use tokio::{task::JoinSet, time::timeout};

use ErrorKind::{
    ClientRefused, Configuration, ExpiredOnArrival, Interrupted, RateLimited, RequestRefused,
    Response, Server,
};
use Outcome::{Fails, Token};

const SECRET: &str = "c4n4ry-s3cret";

/// Nothing takes this long unless it is stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a caller gets of the first fetch.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// A token for so many seconds.
    Token(u64),
    /// An error of this kind, and so many seconds to the next try.
    Fails(ErrorKind, u64),
}

/// The faults of the token endpoints and of connections, what comes of each, and
/// how many requests (or connections) meet it.
#[rustfmt::skip]
const TABLE: &[(&str, Outcome, u64)] = &[
    ("reset-connection", Fails(Interrupted, 2), 3),
    ("reset", Fails(Interrupted, 2), 3),
    ("close", Fails(Interrupted, 2), 3),
    ("broken-keep-alive", Token(86400), 1),
    ("truncated-headers", Fails(Interrupted, 2), 3),
    ("garbage-status-line", Fails(Interrupted, 2), 3),
    ("truncated-body", Fails(Interrupted, 2), 3),
    ("trailing-garbage", Token(86400), 1),
    ("truncated-chunks", Fails(Interrupted, 2), 3),
    ("bad-chunk-size", Fails(Interrupted, 2), 3),
    ("huge-chunk-size", Fails(Interrupted, 2), 3),
    ("two-lengths", Fails(Interrupted, 2), 3),
    ("length-and-chunks", Fails(Response, 2), 1),
    ("endless-headers", Fails(Interrupted, 2), 3),
    ("interim-answers", Token(86400), 1),
    ("unasked-upgrade", Fails(Response, 2), 1),
    ("endless-body", Fails(Response, 2), 1),
    ("gzip-bomb", Fails(Response, 2), 1),
    ("false-gzip", Fails(Response, 2), 1),
    ("close-connection", Fails(Interrupted, 2), 3),
    ("server-error", Fails(Server, 2), 3),
    ("bad-gateway", Fails(Server, 2), 3),
    ("unavailable", Fails(Server, 2), 3),
    ("gateway-timeout", Fails(Server, 2), 3),
    ("proxy-login", Fails(RequestRefused, 1), 1),
    ("request-timeout", Fails(Interrupted, 2), 3),
    ("misdirected", Fails(Interrupted, 2), 3),
    ("too-early", Fails(Interrupted, 2), 3),
    ("login-page", Fails(Response, 2), 1),
    ("empty-body", Fails(Response, 2), 1),
    ("no-content", Fails(Response, 2), 1),
    ("redirect-301", Fails(Configuration, 1), 1),
    ("redirect-302", Fails(Configuration, 1), 1),
    ("redirect-303", Fails(Configuration, 1), 1),
    ("redirect-307", Fails(Configuration, 1), 1),
    ("redirect-308", Fails(Configuration, 1), 1),
    ("redirect-same-origin", Fails(Configuration, 1), 1),
    ("invalid-request", Fails(RequestRefused, 1), 1),
    ("invalid-grant", Fails(RequestRefused, 1), 1),
    ("unauthorized-client", Fails(ClientRefused, 1), 1),
    ("unsupported-grant-type", Fails(RequestRefused, 1), 1),
    ("invalid-scope", Fails(RequestRefused, 1), 1),
    ("invalid-target", Fails(RequestRefused, 1), 1),
    ("unknown-error-code", Fails(RequestRefused, 1), 1),
    ("client-denied", Fails(ClientRefused, 1), 1),
    ("audience-denied", Fails(RequestRefused, 1), 1),
    ("invalid-client", Fails(ClientRefused, 1), 1),
    ("error-beside-token", Fails(RequestRefused, 1), 1),
    ("bad-request-page", Fails(RequestRefused, 1), 1),
    ("unauthorized-page", Fails(ClientRefused, 1), 1),
    ("forbidden-page", Fails(RequestRefused, 1), 1),
    ("not-found-page", Fails(RequestRefused, 1), 1),
    ("created", Fails(Response, 2), 1),
    ("rate-limited", Fails(RateLimited, 7), 1),
    ("rate-limited-openly", Fails(RateLimited, 2), 1),
    ("retry-after-date", Fails(RateLimited, 7), 1),
    ("retry-after-rfc850", Fails(RateLimited, 7), 1),
    ("retry-after-asctime", Fails(RateLimited, 7), 1),
    ("retry-after-past", Fails(RateLimited, 2), 1),
    ("retry-after-huge", Fails(RateLimited, 300), 1),
    ("retry-after-digits", Fails(RateLimited, 300), 1),
    ("retry-after-exponent", Fails(RateLimited, 2), 1),
    ("retry-after-negative", Fails(RateLimited, 2), 1),
    ("retry-after-zero", Fails(RateLimited, 2), 1),
    ("retry-after-words", Fails(RateLimited, 2), 1),
    ("retry-after-list", Fails(RateLimited, 2), 1),
    ("retry-after-empty", Fails(RateLimited, 2), 1),
    ("unavailable-retry-after", Fails(Server, 7), 1),
    ("expires-in-string", Token(3600), 1),
    ("expires-in-float", Token(3600), 1),
    ("expires-in-exponent", Token(3600), 1),
    ("expires-in-31-bits", Token(604800), 1),
    ("expires-in-64-bits", Token(604800), 1),
    ("expires-in-endless", Token(604800), 1),
    ("expires-in-zero", Fails(ExpiredOnArrival, 2), 1),
    ("expires-in-negative", Fails(ExpiredOnArrival, 2), 1),
    ("expires-in-very-negative", Fails(ExpiredOnArrival, 2), 1),
    ("expires-in-missing", Token(300), 1),
    ("expires-in-null", Token(300), 1),
    ("expires-in-object", Token(300), 1),
    ("expires-in-words", Token(300), 1),
    ("expires-in-short", Token(5), 1),
    ("token-type-lower", Token(86400), 1),
    ("token-type-upper", Token(86400), 1),
    ("token-type-mac", Fails(Response, 2), 1),
    ("token-type-dpop", Fails(Response, 2), 1),
    ("token-type-empty", Fails(Response, 2), 1),
    ("token-type-missing", Fails(Response, 2), 1),
    ("token-with-line-break", Fails(Response, 2), 1),
    ("token-with-nul", Fails(Response, 2), 1),
    ("token-with-space", Fails(Response, 2), 1),
    ("token-not-ascii", Fails(Response, 2), 1),
    ("token-missing", Fails(Response, 2), 1),
    ("token-empty", Fails(Response, 2), 1),
    ("token-null", Fails(Response, 2), 1),
    ("token-number", Fails(Response, 2), 1),
    ("token-list", Fails(Response, 2), 1),
    ("token-huge", Fails(Response, 2), 1),
    ("duplicate-token", Fails(Response, 2), 1),
    ("duplicate-expires-in", Fails(Response, 2), 1),
    ("byte-order-mark", Token(86400), 1),
    ("invalid-utf8", Fails(Response, 2), 1),
    ("lone-surrogate", Fails(Response, 2), 1),
    ("utf-16", Fails(Response, 2), 1),
    ("deep-nesting", Token(86400), 1),
    ("deep-token", Fails(Response, 2), 1),
    ("trailing-data", Fails(Response, 2), 1),
    ("many-fields", Token(86400), 1),
    ("content-type-text", Token(86400), 1),
    ("content-type-missing", Token(86400), 1),
    ("form-response", Fails(Response, 2), 1),
    ("fewer-scopes", Token(86400), 1),
    ("refresh-token", Token(86400), 1),
    ("cacheable", Token(86400), 1),
    ("same-token", Token(86400), 1),
    ("retry-after-wrong-clock", Fails(RateLimited, 7), 1),
    ("wrong-date", Token(86400), 1),
    ("hostile-description", Fails(RequestRefused, 1), 1),
    ("echo", Fails(RequestRefused, 1), 1),
];

/// The same, where the only end is that of the time: each of three attempts
/// uses up its own.
const SLOW: &[&str] = &[
    "stall-connection",
    "no-answer",
    "slow-headers",
    "slow-body",
    "endless-interim-answers",
    "late-answer",
];

/// Those of certificates, which take TLS.
const CERTIFICATES: [&str; 3] = [
    "expired-certificate",
    "certificate-of-another",
    "unknown-issuer",
];

/// A fault by the clock itself, which the others are met without.
const SLOWER_THAN_LIFETIME: &str = "slower-than-lifetime";

/// What the API's faults mean to a token.
const OF_THE_API: &[(&str, u16, Judged)] = &[
    ("api-invalid-token", 401, Judged::Rejected),
    ("api-unauthorized", 401, Judged::Rejected),
    ("api-unauthorized-bearer", 401, Judged::Rejected),
    ("api-unauthorized-basic", 401, Judged::Rejected),
    ("api-unauthorized-several", 401, Judged::Rejected),
    ("api-unauthorized-nonsense", 401, Judged::Rejected),
    (
        "api-insufficient-scope",
        403,
        Judged::Lacks("data-access:all"),
    ),
    ("api-invalid-request", 400, Judged::PassedOn),
    ("api-rate-limited", 429, Judged::PassedOn),
    ("api-unavailable", 503, Judged::PassedOn),
    ("api-redirect", 307, Judged::PassedOn),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Judged {
    Rejected,
    Lacks(&'static str),
    PassedOn,
}

#[tokio::test]
async fn s10_the_engine_meets_every_fault() {
    for &(name, expected, requests) in TABLE {
        let emulator = emulator(name).await;
        // The clock stands, and the timeout is so long that only what is slow for
        // ever would notice.
        let clock = ManualClock::new();
        let provider = builder(&emulator, Duration::from_secs(30)).clock(clock.clone());
        let provider = provider.build().unwrap();
        let case = |what: &dyn std::fmt::Debug| format!("{name}: {what:?}");
        match (token(&provider).await, expected) {
            (Ok(token), Token(lifetime)) => {
                let left = token.expires_at().duration_since(clock.now().system_time());
                assert_eq!(left.unwrap(), Duration::from_secs(lifetime), "{name}");
            }
            (Err(error), Fails(kind, after)) => {
                assert_eq!(error.kind(), kind, "{}", case(&error));
                assert_eq!(
                    error.retry_after(),
                    Some(Duration::from_secs(after)),
                    "{name}"
                );
                let text = format!("{error:?} {}", chain(&error));
                let is_safe = |c: char| c.is_ascii_graphic() || c == ' ';
                assert!(text.chars().all(is_safe), "{}", case(&text));
                assert!(
                    !text.contains(SECRET) && text.len() < 2000,
                    "{}",
                    case(&text)
                );
            }
            (fetched, _) => panic!("{name}: {fetched:?}"),
        }
        let counts = emulator.counts();
        assert_eq!(counts.faults_played, requests, "{name}");
        assert!([0, requests].contains(&counts.token_requests), "{name}");
        // Nobody asks again before the time.
        let _ = token(&provider).await;
        assert_eq!(emulator.counts().faults_played, requests, "{name}");
    }
}

#[tokio::test]
async fn s10_the_engine_outlasts_every_slow_fault() {
    let mut tests = JoinSet::new();
    for &name in SLOW {
        tests.spawn(times_out(name));
    }
    while let Some(result) = tests.join_next().await {
        result.unwrap();
    }
}

async fn times_out(name: &'static str) {
    let emulator = emulator(name).await;
    let provider = provider(&emulator, Duration::from_secs(2));
    let error = token(&provider).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{name}: {error:?}");
    // The last request may be read after the client has left.
    let arrived = timeout(PATIENCE, async {
        while emulator.counts().faults_played < 3 {
            tokio::task::yield_now().await;
        }
    });
    assert!(arrived.await.is_ok(), "{name}: {:?}", emulator.counts());
    assert_eq!(emulator.counts().faults_played, 3, "{name}");
}

#[cfg(feature = "rustls")]
#[tokio::test]
async fn s10_the_engine_meets_every_bad_certificate() {
    for name in CERTIFICATES {
        let fault: Fault = name.parse().unwrap();
        let builder = Emulator::builder().client("client", SECRET).fault(fault);
        let emulator = builder.start().await.unwrap();
        let environment = Environment::custom(emulator.v1_token_url(), emulator.api_url())
            .audience(emulator.audience())
            .build()
            .unwrap();
        let id = ClientId::new(emulator.client_id()).unwrap();
        let credentials = ClientCredentials::new(id, ClientSecret::new(SECRET).unwrap());
        let transport = ReqwestTransport::builder()
            .with_root_certificate(emulator.ca_pem().unwrap())
            .unwrap();
        let provider = TokenProvider::builder(environment, credentials, transport.build().unwrap())
            .build()
            .unwrap();
        let error = token(&provider).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Tls, "{name}: {error:?}");
        let counts = emulator.counts();
        assert_eq!(
            (counts.faults_played, counts.token_requests),
            (1, 0),
            "{name}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_is_slower_than_its_token_lives_brings_none() {
    let emulator = emulator(SLOWER_THAN_LIFETIME).await;
    let provider = provider(&emulator, Duration::from_secs(30));
    let error = token(&provider).await.unwrap_err();
    assert_eq!(error.kind(), ExpiredOnArrival, "{error:?}");
    assert_eq!(emulator.counts().token_requests, 1);
}

#[tokio::test]
async fn s10_the_bearer_meets_every_fault_of_the_api() {
    for &(name, status, expected) in OF_THE_API {
        let emulator = emulator(name).await;
        let bearer = Bearer::new(provider(&emulator, Duration::from_secs(30)));
        let url: Uri = format!("{}/v2/core/organization", emulator.api_url())
            .parse()
            .unwrap();
        let mut headers = HeaderMap::new();
        let attached = bearer.attach(Origin::of(&url), &mut headers).await;
        let attached = attached.unwrap().unwrap();
        let mut request = Request::get(&url).body(RequestBody::default()).unwrap();
        *request.headers_mut() = headers;
        let answer = transport().send(request).await.unwrap();
        assert_eq!(answer.status(), status, "{name}");
        let verdict = bearer.judge(
            &attached,
            Origin::of(&url),
            answer.status(),
            answer.headers(),
        );
        let judged = match &verdict {
            Verdict::TokenRejected => Judged::Rejected,
            Verdict::ScopeMissing(Some(scopes)) if scopes.contains("data-access:all") => {
                Judged::Lacks("data-access:all")
            }
            Verdict::PassedOn => Judged::PassedOn,
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(judged, expected, "{name}");
        // Only a token that was rejected is replaced, by one request.
        let another = bearer.another(&attached).await;
        let rejected = expected == Judged::Rejected;
        assert_eq!(another.is_some(), rejected, "{name}");
        let requests = emulator.counts().token_requests;
        assert_eq!(requests, 1 + u64::from(rejected), "{name}");
    }
}

#[tokio::test]
async fn a_spent_quota_is_told_from_a_refusal_in_both_dialects() {
    for (version, scopes) in [(AuthVersion::V1, ""), (AuthVersion::V2, "data-access:all")] {
        let emulator = Emulator::builder()
            .plain_http()
            .client("client", SECRET)
            .clock_stands_at(SystemTime::UNIX_EPOCH)
            .token_quota(TokenQuota::new(1, Duration::from_secs(120)))
            .start()
            .await
            .unwrap();
        let url = match version {
            AuthVersion::V2 => emulator.v2_token_url(),
            _ => emulator.v1_token_url(),
        };
        let environment = Environment::custom(url, emulator.api_url())
            .auth_version(version)
            .audience(emulator.audience())
            .allow_insecure_loopback()
            .build()
            .unwrap();
        let id = ClientId::new(emulator.client_id()).unwrap();
        let credentials = ClientCredentials::new(id, ClientSecret::new(SECRET).unwrap());
        let provider = TokenProvider::builder(environment, credentials, transport())
            .scopes(scopes.parse().unwrap())
            .clock(ManualClock::new())
            .entropy(FixedEntropy::LEAST)
            .build()
            .unwrap();
        let held = token(&provider).await.unwrap();
        let error = provider.refresh().await.unwrap_err();
        assert_eq!(error.kind(), RateLimited, "{version:?}: {error:?}");
        let after = error.retry_after().unwrap();
        assert_eq!(after, Duration::from_secs(120), "{version:?}");
        // The token is served all the same, and nobody asks again.
        assert_eq!(token(&provider).await.unwrap(), held, "{version:?}");
        assert!(provider.refresh().await.is_err(), "{version:?}");
        assert_eq!(emulator.counts().token_requests, 2, "{version:?}");
    }
}

#[test]
fn every_fault_is_in_a_table() {
    let token = TABLE
        .iter()
        .map(|(name, ..)| *name)
        .chain(SLOW.iter().copied());
    let api = OF_THE_API.iter().map(|(name, ..)| *name);
    let mut met: Vec<&str> = token
        .chain(api)
        .chain([SLOWER_THAN_LIFETIME])
        .chain(CERTIFICATES)
        .collect();
    let mut all: Vec<&str> = Fault::all().map(Fault::name).collect();
    met.sort_unstable();
    all.sort_unstable();
    assert_eq!(met, all);
}

fn transport() -> ReqwestTransport {
    let builder = ReqwestTransport::builder().allow_insecure_loopback();
    builder.timeout(PATIENCE).build().unwrap()
}

fn provider(emulator: &Emulator, attempt: Duration) -> TokenProvider {
    builder(emulator, attempt).build().unwrap()
}

fn builder(emulator: &Emulator, attempt: Duration) -> TokenProviderBuilder {
    let environment = Environment::custom(emulator.v1_token_url(), emulator.api_url())
        .audience(emulator.audience())
        .allow_insecure_loopback()
        .build()
        .unwrap();
    let id = ClientId::new(emulator.client_id()).unwrap();
    let credentials = ClientCredentials::new(id, ClientSecret::new(SECRET).unwrap());
    TokenProvider::builder(environment, credentials, transport())
        // No pauses within a fetch, and backoffs as long as can be.
        .entropy(FixedEntropy::LEAST)
        .attempt_timeout(attempt)
        .fetch_timeout(PATIENCE)
}

/// One that plays this fault always, at its first endpoint.
async fn emulator(name: &str) -> Emulator {
    let fault: Fault = name.parse().unwrap();
    let builder = Emulator::builder().plain_http().client("client", SECRET);
    let emulator = builder.fault(fault).start().await.unwrap();
    let first = emulator.faults()[0].rule.endpoint();
    assert_eq!(first == Endpoint::Api, name.starts_with("api-"), "{name}");
    emulator
}

async fn token(provider: &TokenProvider) -> Result<AccessToken, Error> {
    timeout(PATIENCE, provider.token()).await.unwrap()
}
