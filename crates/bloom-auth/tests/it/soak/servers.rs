//! What a soak talks to, in the process that watches it, so that their memory
//! is not counted: a server that is well, one in trouble, one that is hostile.

use std::{sync::Arc, time::Duration};

use bloom_auth_core::test_util::{ScriptedServer, Turn};
use bloom_auth_emulator::{Counts, Emulator, FaultRule, TokenQuota};
use tokio::{
    runtime::{Builder, Runtime},
    sync::Notify,
};

use super::{ID, SECRET, random::Random};

/// Faults that pass: whoever meets one may try again.
const FAULTS: &[&str] = &[
    "server-error",
    "bad-gateway",
    "unavailable",
    "gateway-timeout",
    "request-timeout",
    "rate-limited",
    "unavailable-retry-after",
    "no-answer",
    "slow-headers",
    "slow-body",
    "reset",
    "close",
    "broken-keep-alive",
    "truncated-headers",
    "garbage-status-line",
    "truncated-body",
    "trailing-garbage",
    "truncated-chunks",
    "bad-chunk-size",
    "huge-chunk-size",
    "endless-headers",
    "endless-interim-answers",
    "endless-body",
    "gzip-bomb",
    "login-page",
    "empty-body",
    "expires-in-zero",
    "token-type-mac",
    "token-huge",
    "duplicate-token",
    "deep-nesting",
    "utf-16",
    "same-token",
    "stall-connection",
    "api-invalid-token",
    "api-unauthorized",
    "api-rate-limited",
    "api-unavailable",
    "reset@api",
    "slow-body@api",
];

/// Turns of the hostile server, far more than it has time for in an hour.
const TURNS: usize = 20_000;

pub(super) struct Servers {
    pub(super) calm: Emulator,
    pub(super) troubled: Emulator,
    pub(super) hostile: ScriptedServer,
    /// Those whom the hostile server lets wait.
    waiting: Arc<Notify>,
    random: Random,
    // Dropped last.
    _runtime: Runtime,
}

impl Servers {
    pub(super) fn start(mut random: Random) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let waiting = Arc::new(Notify::new());
        let script: Vec<Turn> = (0..TURNS).map(|_| turn(&mut random, &waiting)).collect();
        let mut emulator = || {
            let lifetime = random.millis(1000, 3000);
            Emulator::builder()
                .plain_http()
                .client(ID, SECRET)
                .token_lifetime(lifetime)
                .seed(random.below(u64::MAX))
                .start()
        };
        let (calm, troubled) = (emulator(), emulator());
        let (calm, troubled, hostile) = runtime.block_on(async {
            let hostile = ScriptedServer::start(script).await.unwrap();
            (calm.await.unwrap(), troubled.await.unwrap(), hostile)
        });
        Self {
            calm,
            troubled,
            hostile,
            waiting,
            random,
            _runtime: runtime,
        }
    }

    /// Token requests, at those that count them.
    pub(super) fn counts(&self) -> [Counts; 2] {
        [self.calm.counts(), self.troubled.counts()]
    }

    /// Other lifetimes, other faults.
    pub(super) fn shuffle(&mut self) {
        let random = &mut self.random;
        self.waiting.notify_waiters();
        self.calm.set_token_lifetime(random.millis(1000, 3000));
        self.calm.set_latency(random.millis(0, 20));
        let troubled = &self.troubled;
        troubled.set_token_lifetime(random.millis(1000, 3000));
        troubled.set_latency(random.millis(0, 200));
        troubled.clear_faults();
        for _ in 0..random.below(4) {
            let fault = random.pick(FAULTS);
            let rule = match random.below(3) {
                0 => (*fault).to_owned(),
                1 => format!("{fault}:probability=0.{}", 1 + random.below(9)),
                _ => format!("{fault}:next={}", 1 + random.below(5)),
            };
            troubled.set_fault(rule.parse::<FaultRule>().unwrap());
        }
        let quota = TokenQuota::new(1 + random.below(3), random.millis(1000, 3000));
        let quotas = if random.happens(20) {
            &[quota][..]
        } else {
            &[]
        };
        troubled.set_token_quotas(quotas);
        if random.happens(5) {
            troubled.revoke_all();
        }
    }
}

/// What the hostile server does with one request; never is it a token response.
fn turn(random: &mut Random, waiting: &Arc<Notify>) -> Turn {
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n";
    const JSON: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    const TOKEN: &[u8] = br#"{"access_token":"stolen","token_type":"Bearer","expires_in":3600"#;
    let join = |parts: &[&[u8]]| parts.concat();
    match random.below(12) {
        0 => {
            let garbage = (0..1 + random.below(4096)).map(|_| random.below(256) as u8);
            Turn::new().send(garbage.collect::<Vec<u8>>())
        }
        1 => Turn::new().send(HEAD).flood(&b"x-endless: header\r\n"[..]),
        2 => {
            let pause = random.millis(1, 300);
            Turn::new().drip(join(&[JSON, b"content-length: 99\r\n\r\n", TOKEN]), pause)
        }
        // Half open: nothing comes for a while, and then the end.
        3 => Turn::new().wait_for(waiting),
        4 => Turn::new().send(HEAD).wait_for(waiting),
        5 => {
            let chunk = join(&[b"400\r\n", &[b' '; 1024], b"\r\n"]);
            Turn::new()
                .send(join(&[JSON, b"transfer-encoding: chunked\r\n\r\n"]))
                .flood(chunk)
        }
        // Half a token.
        6 => Turn::new().send(join(&[JSON, b"content-length: 70\r\n\r\n", TOKEN])),
        7 => Turn::new()
            .send(join(&[JSON, b"content-length: 70\r\n\r\n", TOKEN]))
            .reset(),
        8 => Turn::new().send(join(&[
            JSON,
            b"content-length: 18446744073709551616\r\n\r\n",
        ])),
        9 => Turn::new()
            .at_first_bytes()
            .send(&b"HTTP/1.1 200 OK\r\n\r\n"[..])
            .reset(),
        // Not without an end: hyper takes up to 50 MB of these at a time, and the
        // thread with it.
        10 => Turn::new()
            .send(b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1000))
            .wait_for(waiting),
        _ => Turn::new().send(&[0; 8192][..]).keep_open(),
    }
}

/// How long a call may take where servers are in trouble.
pub(super) const CALL_LIMIT: Duration = Duration::from_secs(3);
