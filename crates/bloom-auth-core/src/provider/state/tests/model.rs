//! A model of the promises, against which any order of events is held.

use std::collections::HashMap;

use proptest::prelude::*;

use super::{super::*, failure, held, tag};
use crate::error::ErrorKind;

#[derive(Clone, Debug)]
enum Event {
    Pass(u64),
    StepWall(i64),
    Ask,
    Newer,
    Token {
        token: u8,
        lifetime: u64,
        from_server: bool,
        late: bool,
    },
    Fail {
        asked: u64,
        refused: bool,
        late: bool,
    },
    Unchanged,
    Reject(u8),
    Stall,
}

fn events() -> impl Strategy<Value = Event> {
    let millis = prop_oneof![0..2_000_u64, 0..120_000_u64];
    prop_oneof![
        3 => millis.prop_map(|millis| Event::Pass(millis * 1_000_000)),
        1 => (-4_000..4_000_i64).prop_map(Event::StepWall),
        6 => Just(Event::Ask),
        1 => Just(Event::Newer),
        4 => (0..4_u8, 0..200_u64, any::<bool>(), prop::bool::weighted(0.2)).prop_map(
            |(token, lifetime, from_server, late)| Event::Token { token, lifetime, from_server, late }
        ),
        3 => (prop_oneof![Just(0), 0..90_u64], any::<bool>(), prop::bool::weighted(0.2))
            .prop_map(|(asked, refused, late)| Event::Fail { asked, refused, late }),
        1 => Just(Event::Unchanged),
        2 => (0..4_u8).prop_map(Event::Reject),
        1 => Just(Event::Stall),
    ]
}

/// What must be true, told in other words than the state's.
#[derive(Default)]
struct Model {
    under_way: Option<u64>,
    given_up: Option<u64>,
    newest: u64,
    is_failing: bool,
    held_back_until: u64,
    recheck_at: Option<u64>,
    refused: Option<CredentialTag>,
    /// With the newest flight at that time.
    rejected: HashMap<String, u64>,
    /// Until when each token can be used at most: as it was last received.
    usable_until: HashMap<String, Timestamp>,
}

fn name(token: u8) -> String {
    format!("token-{token}")
}

impl Model {
    fn serves(&self, token: &AccessToken, now: Timestamp) -> Result<(), TestCaseError> {
        let until = self.usable_until[token.expose()];
        prop_assert!(
            now.monotonic < until.monotonic && now.wall < until.wall,
            "expired"
        );
        prop_assert!(!self.rejected.contains_key(token.expose()), "rejected");
        Ok(())
    }

    fn may_start(&self, reason: Reason, now: Timestamp) -> Result<(), TestCaseError> {
        prop_assert!(self.under_way.is_none(), "two at a time");
        if let Reason::Recheck(refused) = reason {
            prop_assert_eq!(Some(refused), self.refused);
            prop_assert!(
                self.recheck_at.is_some_and(|at| now.monotonic >= at),
                "asked too soon"
            );
        } else {
            prop_assert!(now.monotonic >= self.held_back_until, "held back");
        }
        Ok(())
    }

    /// The flight that an event is about.
    fn flight(&self, late: bool) -> Option<u64> {
        if late { self.given_up } else { self.under_way }
    }
}

fn run(events: Vec<Event>, draw: u64, tag: CredentialTag) -> Result<(), TestCaseError> {
    let (mut state, mut model) = (State::default(), Model::default());
    model.refused = Some(tag);
    let mut now = Timestamp::new(10_000 * SECOND, 1_000_000 * SECOND);
    for event in events {
        match event {
            Event::Pass(nanos) => now = now.plus(nanos),
            Event::StepWall(seconds) => {
                now.wall = now.wall.saturating_add_signed(seconds * 1_000_000_000);
            }
            Event::Ask | Event::Newer => {
                let ask = match event {
                    Event::Ask => Ask::Usable,
                    _ => Ask::Newer,
                };
                let start = match state.decide(now, ask) {
                    Decision::Serve(token) => {
                        model.serves(&token, now)?;
                        None
                    }
                    Decision::ServeAndFetch(token, reason) => {
                        model.serves(&token, now)?;
                        Some(reason)
                    }
                    Decision::Fetch(reason) => Some(reason),
                    Decision::Join => {
                        prop_assert!(model.under_way.is_some(), "nothing to join");
                        None
                    }
                    Decision::Fail(error) => {
                        prop_assert!(now.monotonic < model.held_back_until, "no reason to fail");
                        let left = model.held_back_until - now.monotonic;
                        prop_assert_eq!(error.retry_after(), Some(Duration::from_nanos(left)));
                        None
                    }
                };
                if let Some(reason) = start {
                    model.may_start(reason, now)?;
                    let (generation, attempts) = state.started();
                    prop_assert!(generation > model.newest, "a generation twice");
                    prop_assert_eq!(attempts, if model.is_failing { 1 } else { 3 });
                    model.newest = generation;
                    model.under_way = Some(generation);
                }
            }
            Event::Token {
                token,
                lifetime,
                from_server,
                late,
            } => {
                let Some(generation) = model.flight(late) else {
                    continue;
                };
                let Some(held) = held(&name(token), lifetime, generation, now) else {
                    continue;
                };
                let until = held.deadlines.unusable_at;
                // The server's word counts if it was asked since.
                let rejected = model.rejected.get(&name(token)).copied();
                let is_rejected =
                    rejected.is_some_and(|newest| !from_server || generation <= newest);
                let origin = if from_server {
                    Origin::Server
                } else {
                    Origin::Cache
                };
                let taken = state.succeeded(held, origin, now);
                if is_rejected {
                    prop_assert!(!taken, "a rejected token came back");
                    continue;
                }
                if taken {
                    model.rejected.remove(&name(token));
                    model.usable_until.insert(name(token), until);
                }
                prop_assert!(taken || late, "a good token was not taken");
                model.is_failing = false;
                model.held_back_until = 0;
                model.recheck_at = None;
                state.let_go(generation);
                if !late {
                    model.under_way = None;
                }
            }
            Event::Fail {
                asked,
                refused,
                late,
            } => {
                let Some(generation) = model.flight(late) else {
                    continue;
                };
                let class = if refused {
                    Class::Refused(tag)
                } else {
                    Class::Later
                };
                let failure = failure(ErrorKind::Server, class, asked);
                let error = state.failed(generation, failure, now, draw);
                state.let_go(generation);
                if late {
                    prop_assert_eq!(error.retry_after(), None);
                    continue;
                }
                let wait = nanos(error.retry_after().unwrap());
                prop_assert!(wait >= asked * SECOND, "the server was not obeyed");
                prop_assert!(wait <= 330 * SECOND);
                model.under_way = None;
                model.is_failing = true;
                model.held_back_until = now.monotonic + wait;
                model.recheck_at = refused.then_some(now.monotonic + SECOND);
            }
            Event::Unchanged => {
                let Some(generation) = model.under_way else {
                    continue;
                };
                if state.unchanged(now).is_some() && model.recheck_at.is_some() {
                    model.recheck_at = Some(now.monotonic + SECOND);
                }
                state.let_go(generation);
                model.under_way = None;
            }
            Event::Reject(token) => {
                let text = name(token);
                let token = AccessToken::from_text(&text, u64::MAX, None).unwrap();
                match state.reject(&token, now) {
                    Rejection::Dropped | Rejection::NotCurrent => {
                        model.rejected.entry(text).or_insert(model.newest);
                    }
                    Rejection::CoolingDown { after } => {
                        prop_assert!(after <= Duration::from_secs(30));
                    }
                }
            }
            Event::Stall => {
                if let Some(generation) = model.under_way.take() {
                    state.let_go(generation);
                    model.given_up = Some(generation);
                }
            }
        }
        prop_assert_eq!(state.flight(), model.under_way);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn no_order_of_events_breaks_a_promise(
        events in prop::collection::vec(events(), 0..80),
        draw in any::<u64>(),
    ) {
        run(events, draw, tag("x"))?;
    }
}
