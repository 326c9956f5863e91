//! Requests that carry the token, to an API that a test makes answer: who gets
//! the token, what a refusal costs, and what is sent again.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bloom_auth_core::{
    Bearer, Error, Exchange, Origin, Recovery, TokenProvider, TokenState, TransportErrorKind,
    Verdict,
    test_util::{Reply, ScriptedTransport, is_long},
};
use http::{
    HeaderMap, HeaderValue, StatusCode, Uri,
    header::{AUTHORIZATION, WWW_AUTHENTICATE},
};
use tokio::{
    sync::{Barrier, Semaphore},
    task::JoinSet,
    time::advance,
};

use crate::support::{paused, provider, ready, real, settle, token_reply, wire};

const URL: &str = "https://sandbox.bloom.dev/v2/core/organization";

/// An API that refuses the tokens that it is told to. Clones are the same API.
#[derive(Clone, Default)]
struct Api(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    /// Every request waits here, if there is one.
    barrier: Option<Barrier>,
}

#[derive(Default)]
struct State {
    refused: HashSet<String>,
    refuses_all: bool,
    status: Option<StatusCode>,
    challenge: Option<&'static str>,
    answered_by: Option<&'static str>,
    /// The first request waits for a permit.
    held: Option<Arc<Semaphore>>,
    requests: Vec<(String, Option<String>)>,
}

impl Api {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuses(names: &[&str]) -> Self {
        let api = Self::default();
        api.state().refused = names
            .iter()
            .map(|name| format!("Bearer {}", wire(name)))
            .collect();
        api
    }

    /// The tokens that requests carried, by their names.
    fn carried(&self) -> Vec<Option<String>> {
        let requests = &self.state().requests;
        let name = |value: &String| value.trim_start_matches("Bearer canary-token-").to_owned();
        requests
            .iter()
            .map(|(_, value)| value.as_ref().map(name))
            .collect()
    }

    async fn get(&self, bearer: &Bearer) -> Result<Answer, Error> {
        bearer.call(self.clone(), Request::get(URL)).await
    }

    async fn status(&self, bearer: &Bearer) -> u16 {
        self.get(bearer).await.unwrap().status.as_u16()
    }
}

#[derive(Clone)]
struct Request {
    url: Uri,
    headers: HeaderMap,
    is_replayable: bool,
}

impl Request {
    fn get(url: &str) -> Self {
        Self {
            url: url.parse().unwrap(),
            headers: HeaderMap::new(),
            is_replayable: true,
        }
    }
}

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    url: Uri,
}

impl Exchange for Api {
    type Request = Request;
    type Spare = Request;
    type Response = Answer;
    type Error = Error;

    fn destination<'a>(&'a self, request: &'a Request) -> Option<Origin<'a>> {
        Origin::of(&request.url)
    }

    fn headers_mut<'a>(&self, request: &'a mut Request) -> &'a mut HeaderMap {
        &mut request.headers
    }

    fn spare(&self, request: &Request) -> Option<Request> {
        request.is_replayable.then(|| request.clone())
    }

    fn restore(&self, spare: Request) -> Option<Request> {
        Some(spare)
    }

    async fn send(&mut self, request: Request) -> Result<Answer, Error> {
        let value = request.headers.get(AUTHORIZATION);
        let value = value.map(|value| value.to_str().unwrap().to_owned());
        let held = {
            let mut state = self.state();
            state
                .requests
                .push((request.url.to_string(), value.clone()));
            state.held.take()
        };
        if let Some(held) = held {
            held.acquire().await.unwrap().forget();
        }
        if let Some(barrier) = &self.0.barrier {
            barrier.wait().await;
        }
        let state = self.state();
        let is_refused =
            state.refuses_all || value.is_some_and(|value| state.refused.contains(&value));
        let status = match (is_refused, state.status) {
            (true, _) => StatusCode::UNAUTHORIZED,
            (false, Some(status)) => status,
            (false, None) => StatusCode::OK,
        };
        let challenge = state.challenge.map(HeaderValue::from_static);
        Ok(Answer {
            status,
            headers: challenge
                .map(|value| (WWW_AUTHENTICATE, value))
                .into_iter()
                .collect(),
            url: state.answered_by.map_or(request.url, Uri::from_static),
        })
    }

    fn head<'a>(&self, response: &'a Answer) -> (StatusCode, &'a HeaderMap) {
        (response.status, &response.headers)
    }

    fn answered_by<'a>(&'a self, response: &'a Answer) -> Option<Origin<'a>> {
        Origin::of(&response.url)
    }
}

/// Tokens A, B, C …, each for an hour.
fn tokens(names: &[&str]) -> ScriptedTransport {
    ScriptedTransport::new(names.iter().map(|name| token_reply(name, 3600)))
}

fn bearer(transport: &ScriptedTransport) -> Bearer {
    Bearer::new(provider(transport.clone()))
}

fn held(provider: &TokenProvider) -> String {
    let value = provider.try_authorization().expect("a token is held");
    value
        .to_str()
        .unwrap()
        .trim_start_matches("Bearer canary-token-")
        .to_owned()
}

#[track_caller]
fn carried(api: &Api, names: &[&str]) {
    let names: Vec<_> = names.iter().map(|name| Some((*name).to_owned())).collect();
    assert_eq!(api.carried(), names);
}

#[test]
fn a1_a_refused_token_is_replaced_and_the_request_sent_once_more() {
    let (api, transport) = (Api::refuses(&["A"]), tokens(&["A", "B"]));
    let bearer = bearer(&transport);
    paused().block_on(async {
        assert_eq!(api.status(&bearer).await, 200);
        carried(&api, &["A", "B"]);
        assert_eq!(api.status(&bearer).await, 200);
        carried(&api, &["A", "B", "B"]);
        assert_eq!(transport.request_count(), 2);
    });
}

#[test]
fn a1_the_second_401_reaches_the_caller() {
    let (api, transport) = (Api::refuses(&["A", "B"]), tokens(&["A", "B", "C"]));
    let bearer = bearer(&transport);
    paused().block_on(async {
        assert_eq!(api.status(&bearer).await, 401);
        carried(&api, &["A", "B"]);
        assert_eq!(transport.request_count(), 2);
    });
}

#[test]
fn a2_a_late_401_for_an_old_token_costs_nothing() {
    let (api, transport) = (Api::refuses(&["A"]), tokens(&["A", "B", "C"]));
    let bearer = bearer(&transport);
    paused().block_on(async {
        let gate = Arc::new(Semaphore::new(0));
        api.state().held = Some(Arc::clone(&gate));
        let mut late = JoinSet::new();
        late.spawn({
            let (api, bearer) = (api.clone(), bearer.clone());
            async move { api.status(&bearer).await }
        });
        settle().await;
        // Meanwhile another caller has had its 401, and a newer token.
        assert_eq!(api.status(&bearer).await, 200);
        assert_eq!(transport.request_count(), 2);
        gate.add_permits(1);
        assert_eq!(late.join_next().await.unwrap().unwrap(), 200);
        carried(&api, &["A", "A", "B", "B"]);
        assert_eq!(transport.request_count(), 2);
        assert_eq!(held(bearer.provider()), "B");
    });
}

#[test]
fn a1_the_token_of_the_replay_can_be_refused_as_well() {
    let (api, transport) = (Api::refuses(&["A", "B"]), tokens(&["A", "B", "C"]));
    let bearer = bearer(&transport);
    paused().block_on(async {
        let gate = Arc::new(Semaphore::new(0));
        api.state().held = Some(Arc::clone(&gate));
        let mut late = JoinSet::new();
        late.spawn({
            let (api, bearer) = (api.clone(), bearer.clone());
            async move { api.status(&bearer).await }
        });
        settle().await;
        assert_eq!(api.status(&bearer).await, 401);
        // Long enough ago for another rejection to count.
        advance(Duration::from_secs(31)).await;
        gate.add_permits(1);
        assert_eq!(late.join_next().await.unwrap().unwrap(), 401);
        carried(&api, &["A", "A", "B", "B"]);
        assert_eq!(api.status(&bearer).await, 200);
        carried(&api, &["A", "A", "B", "B", "C"]);
        assert_eq!(
            (held(bearer.provider()), transport.request_count()),
            ("C".to_owned(), 3)
        );
    });
}

#[test]
fn a3_an_api_that_refuses_every_token_causes_one_token_request_in_30_s() {
    let (api, transport) = (Api::default(), tokens(&["A", "B", "C", "D"]));
    api.state().refuses_all = true;
    let bearer = bearer(&transport);
    paused().block_on(async {
        for second in 0..90 {
            for _ in 0..20 {
                assert_eq!(api.status(&bearer).await, 401);
            }
            // The first token, and one more at 0, 30 and 60 s.
            assert_eq!(transport.request_count(), 2 + second / 30, "{second} s");
            advance(Duration::from_secs(1)).await;
        }
        // A replay for each new token, and none besides.
        assert_eq!(api.state().requests.len(), 90 * 20 + 3);
    });
}

#[test]
fn a4_a_thousand_401s_for_one_token_cause_one_token_request() {
    const CALLS: usize = 1_000;
    let rounds = if is_long() { 50 } else { 2 };
    for workers in [0, 2, 8] {
        for _ in 0..rounds {
            let transport = tokens(&["A", "B", "C"]);
            let bearer = bearer(&transport);
            let mut api = Api::refuses(&["A"]);
            // Nobody has an answer before all have asked.
            Arc::get_mut(&mut api.0).unwrap().barrier = Some(Barrier::new(CALLS));
            real(workers).block_on(async {
                bearer.provider().token().await.unwrap();
                let mut calls = JoinSet::new();
                for _ in 0..CALLS {
                    let (api, bearer) = (api.clone(), bearer.clone());
                    calls.spawn(async move { api.status(&bearer).await });
                }
                let statuses = calls.join_all().await;
                assert!(statuses.iter().all(|status| *status == 200));
            });
            assert_eq!(transport.request_count(), 2, "{workers} workers");
            let carried = api.carried();
            let of = |name: &str| {
                carried
                    .iter()
                    .filter(|c| c.as_deref() == Some(name))
                    .count()
            };
            assert_eq!((of("A"), of("B"), carried.len()), (CALLS, CALLS, 2 * CALLS));
        }
    }
}

#[test]
fn a5_a_bare_401_is_a_rejection_unless_an_exact_one_is_wanted() {
    for (challenge, is_explicit, replays) in [
        (None, false, true),
        (Some("Basic realm=\"x\""), false, true),
        (Some("\"\"\",,=="), false, true),
        (Some("Bearer error=\"invalid_request\""), false, false),
        (None, true, false),
        (Some("Bearer error=\"invalid_token\""), true, true),
    ] {
        let (api, transport) = (Api::refuses(&["A"]), tokens(&["A", "B"]));
        api.state().challenge = challenge;
        let bearer = bearer(&transport);
        let bearer = if is_explicit {
            bearer.only_invalid_token()
        } else {
            bearer
        };
        paused().block_on(async {
            let status = if replays { 200 } else { 401 };
            assert_eq!(api.status(&bearer).await, status, "{challenge:?}");
            assert_eq!(transport.request_count(), 1 + usize::from(replays));
        });
    }
}

#[test]
fn a6_a7_a8_what_is_no_refusal_of_the_token_is_passed_on() {
    for (status, challenge) in [
        (
            403,
            Some("Bearer error=\"insufficient_scope\", scope=\"a\""),
        ),
        (403, None),
        (400, Some("Bearer error=\"invalid_request\"")),
        (400, Some("Bearer error=\"invalid_token\"")),
        (429, None),
        (503, None),
    ] {
        let (api, transport) = (Api::default(), tokens(&["A", "B"]));
        api.state().status = StatusCode::from_u16(status).ok();
        api.state().challenge = challenge;
        let bearer = bearer(&transport);
        paused().block_on(async {
            for _ in 0..3 {
                assert_eq!(api.status(&bearer).await, status);
            }
            carried(&api, &["A"; 3]);
            assert_eq!(transport.request_count(), 1, "{status}");
            assert_eq!(held(bearer.provider()), "A");
        });
    }
}

#[test]
fn a6_the_caller_can_ask_which_scope_is_missing() {
    let (api, transport) = (Api::default(), tokens(&["A"]));
    api.state().status = Some(StatusCode::FORBIDDEN);
    api.state().challenge = Some("Bearer error=\"insufficient_scope\", scope=\"b a\"");
    let bearer = bearer(&transport);
    paused().block_on(async {
        let answer = api.get(&bearer).await.unwrap();
        let missing = Verdict::ScopeMissing("a b".parse().ok());
        assert_eq!(Verdict::of(answer.status, &answer.headers), missing);
    });
}

#[test]
fn a9_what_can_be_sent_only_once_is_not_sent_again() {
    for is_replayable in [true, false] {
        let (api, transport) = (Api::refuses(&["A"]), tokens(&["A", "B"]));
        let bearer = bearer(&transport);
        // Both for a body that is gone and for who wants no replay.
        let bearer = if is_replayable {
            bearer.without_replay()
        } else {
            bearer
        };
        paused().block_on(async {
            let request = Request {
                is_replayable,
                ..Request::get(URL)
            };
            let answer = bearer.call(api.clone(), request).await.unwrap();
            assert_eq!(answer.status, 401);
            // Dropped, and nothing is fetched before it is needed.
            assert_eq!(bearer.provider().status().token, TokenState::Absent);
            assert_eq!(transport.request_count(), 1);
            assert_eq!(api.status(&bearer).await, 200);
            carried(&api, &["A", "B"]);
        });
    }
}

#[test]
fn a11_who_did_not_receive_the_token_cannot_refuse_it() {
    let (api, transport) = (Api::refuses(&["A"]), tokens(&["A", "B"]));
    let files = "https://files.test";
    let bearer = bearer(&transport).allow_origin(files).unwrap();
    paused().block_on(async {
        for answered_by in ["https://elsewhere.test/login", "https://files.test/", "/"] {
            api.state().answered_by = Some(answered_by);
            assert_eq!(api.status(&bearer).await, 401, "{answered_by}");
        }
        assert_eq!(transport.request_count(), 1);
        assert_eq!(held(bearer.provider()), "A");
        api.state().answered_by = Some("https://SANDBOX.bloom.dev:443/elsewhere");
        assert_eq!(api.status(&bearer).await, 200);
    });
}

#[test]
fn a12_a15_the_token_goes_to_its_own_origins_and_nowhere_else() {
    let (api, transport) = (Api::default(), tokens(&["A"]));
    let bearer = bearer(&transport)
        .allow_origin("https://files.test:8443")
        .unwrap();
    paused().block_on(async {
        for (url, is_allowed) in [
            (URL, true),
            ("https://sandbox.bloom.dev:443/", true),
            ("https://files.test:8443/x", true),
            ("https://files.test/x", false),
            ("http://sandbox.bloom.dev/", false),
            ("http://sandbox.bloom.dev:443/", false),
            ("https://auth.bloom.dev/oauth/token", false),
            ("https://sandbox.bloom.dev.evil.test/", false),
            ("https://evil.test/https://sandbox.bloom.dev/", false),
            ("https://user@sandbox.bloom.dev/", false),
            ("http://127.0.0.1/", false),
            ("/v2/core/organization", false),
        ] {
            let answer = bearer.call(api.clone(), Request::get(url)).await.unwrap();
            assert_eq!(answer.status, 200);
            let (_, carried) = api.state().requests.pop().unwrap();
            assert_eq!(carried.is_some(), is_allowed, "{url}");
            let uri: Uri = url.parse().unwrap();
            let permits = Origin::of(&uri).is_some_and(|origin| bearer.permits(&origin));
            assert_eq!(permits, is_allowed, "{url}");
        }
    });
    for wrong in [
        "http://files.test",
        "https://files.test/path",
        "files.test",
        "",
    ] {
        assert!(bearer.clone().allow_origin(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a13_a_header_that_is_there_already_is_left_alone() {
    let (api, transport) = (Api::default(), tokens(&["A"]));
    api.state().refuses_all = true;
    let bearer = bearer(&transport);
    paused().block_on(async {
        let mut request = Request::get(URL);
        let own = HeaderValue::from_static("Basic b3du");
        request.headers.insert(AUTHORIZATION, own);
        let answer = bearer.call(api.clone(), request).await.unwrap();
        assert_eq!(answer.status, 401);
        carried(&api, &["Basic b3du"]);
        assert_eq!(transport.request_count(), 0);
    });
}

#[test]
fn a14_what_is_attached_lasts_for_longer_than_the_leeway() {
    let transport = tokens(&["A", "B"]);
    let bearer = bearer(&transport);
    paused().block_on(async {
        let mut headers = HeaderMap::new();
        let url = URL.parse().unwrap();
        bearer.attach(Origin::of(&url), &mut headers).await.unwrap();
        // Due, and 11 s before its end: good enough for a request.
        advance(Duration::from_secs(3_589)).await;
        let mut late = HeaderMap::new();
        let attachment = ready(bearer.attach(Origin::of(&url), &mut late));
        assert!(attachment.unwrap().unwrap().is_some());
        assert_eq!(late.get(AUTHORIZATION), headers.get(AUTHORIZATION));
        // Less than 10 s before it: not any more.
        advance(Duration::from_secs(2)).await;
        let mut last = HeaderMap::new();
        bearer.attach(Origin::of(&url), &mut last).await.unwrap();
        assert_ne!(last.get(AUTHORIZATION), headers.get(AUTHORIZATION));
    });
}

#[test]
fn a16_a_server_that_gives_the_same_token_again_causes_no_loop() {
    let (api, transport) = (Api::refuses(&["A"]), tokens(&["A", "A"]));
    let bearer = bearer(&transport);
    paused().block_on(async {
        for _ in 0..10 {
            assert_eq!(api.status(&bearer).await, 401);
        }
        carried(&api, &["A"; 10]);
        assert_eq!(transport.request_count(), 2);
    });
}

#[test]
fn without_a_token_nothing_is_sent_and_without_another_the_401_is_passed_on() {
    let fails = Reply::failure(TransportErrorKind::Tls);
    let transport = ScriptedTransport::new([token_reply("A", 3600), fails]);
    let api = Api::refuses(&["A"]);
    let bearer = bearer(&transport);
    paused().block_on(async {
        assert_eq!(api.status(&bearer).await, 401);
        carried(&api, &["A"]);
        let error = api.get(&bearer).await.unwrap_err();
        assert!(matches!(error.recovery(), Recovery::Retry { .. }));
        carried(&api, &["A"]);
    });
}

#[test]
fn it_shows_where_the_token_may_go_and_no_token() {
    let (api, transport) = (Api::default(), tokens(&["A-canary"]));
    let bearer = bearer(&transport);
    let api_url = bearer.provider().environment().api_url().clone();
    let origin = format!("{:?}", Origin::of(&api_url).unwrap());
    paused().block_on(async {
        assert_eq!(api.status(&bearer).await, 200);
        let shown = format!("{bearer:?}");
        assert!(shown.starts_with("Bearer { provider: "), "{shown}");
        assert!(shown.contains(&origin), "{shown}");
        assert!(!shown.contains("canary"), "{shown}");
    });
}

#[test]
fn a_call_that_is_dropped_takes_nothing_from_others() {
    let slow = token_reply("B", 3600).after(Duration::from_secs(5));
    let transport = ScriptedTransport::new([token_reply("A", 3600), slow]);
    let api = Api::refuses(&["A"]);
    let bearer = bearer(&transport);
    paused().block_on(async {
        // Dropped between the refusal and the new token.
        let dropped = tokio::time::timeout(Duration::from_secs(1), api.get(&bearer)).await;
        assert!(dropped.is_err());
        assert_eq!(api.status(&bearer).await, 200);
        carried(&api, &["A", "B"]);
        assert_eq!(transport.request_count(), 2);
    });
}

#[test]
fn a_token_at_hand_is_attached_without_a_wait() {
    let transport = tokens(&["A"]);
    let bearer = bearer(&transport);
    paused().block_on(bearer.provider().token()).unwrap();
    let url = URL.parse().unwrap();
    let attached = ready(bearer.attach(Origin::of(&url), &mut HeaderMap::new()));
    assert!(attached.unwrap().unwrap().is_some());
}
