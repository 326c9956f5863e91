//! Scenes for the pure decisions, as data.

mod interleavings;
mod model;

use super::*;
use crate::{
    client::{ClientCredentials, ClientId, ClientSecret},
    error::ErrorKind,
    provider::timing::TimingPolicy,
};

const POLICY: TimingPolicy = TimingPolicy {
    margin: 300 * SECOND,
    leeway: 10 * SECOND,
    max_lifetime: 86_400 * SECOND,
};

fn tag(secret: &str) -> CredentialTag {
    let secret = ClientSecret::new(secret).unwrap();
    ClientCredentials::new(ClientId::new("id").unwrap(), secret).tag()
}

fn failure(kind: ErrorKind, class: Class, asked: u64) -> Failure {
    Failure {
        error: Error::new(kind),
        class,
        retry_after: (asked > 0).then(|| Duration::from_secs(asked)),
        took: 0,
        refusals_elsewhere: 0,
    }
}

/// A token that is asked for and arrives now.
fn held(text: &str, lifetime: u64, generation: u64, now: Timestamp) -> Option<Held> {
    let deadlines = Deadlines::of_answer(&POLICY, lifetime * SECOND, now, now, 0)?;
    Some(Held {
        token: AccessToken::from_text(text, deadlines.expires_at.wall, None).unwrap(),
        deadlines,
        generation,
    })
}

/// A state with its clock, driven by lines of text.
struct Play {
    state: State,
    now: Timestamp,
}

impl Play {
    fn new() -> Self {
        Self {
            state: State::default(),
            now: Timestamp::new(1_000 * SECOND, 1_000_000 * SECOND),
        }
    }

    /// Plays a line and tells what came of it.
    fn play(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |i: usize| words[i].parse::<u64>().unwrap();
        match words[0] {
            "ask" => self.ask(Ask::Usable),
            "newer" => self.ask(Ask::Newer),
            "start" => {
                let (generation, attempts) = self.state.started();
                format!("{generation} with {attempts}")
            }
            "stall" => self.quietly(|state| state.let_go(number(1))),
            "end" => self.quietly(|state| state.let_go(number(1))),
            "changed" => self.quietly(State::credentials_changed),
            "after" => {
                self.now = self.now.plus(number(1) * SECOND);
                String::new()
            }
            "back" => {
                self.now.wall -= number(1) * SECOND;
                String::new()
            }
            from @ ("server" | "cache") => {
                let origin = match from {
                    "server" => Origin::Server,
                    _ => Origin::Cache,
                };
                let held = held(words[2], number(3), number(1), self.now).unwrap();
                let taken = self.state.succeeded(held, origin, self.now);
                if taken { "taken" } else { "not taken" }.to_owned()
            }
            "fail" => self.fail(
                number(1),
                failure(ErrorKind::Server, Class::Passing, number(2)),
            ),
            "refuse" => {
                let class = Class::Refused(tag(words[2]));
                self.fail(number(1), failure(ErrorKind::ClientRefused, class, 0))
            }
            "look" => self.look(),
            "unchanged" => {
                let error = self.state.unchanged(self.now);
                error.map_or_else(|| "none".to_owned(), |error| told(&error))
            }
            "reject" => {
                let token = AccessToken::from_text(words[1], u64::MAX, None).unwrap();
                match self.state.reject(&token, self.now) {
                    Rejection::Dropped => "dropped".to_owned(),
                    Rejection::NotCurrent => "not current".to_owned(),
                    Rejection::CoolingDown { after } => format!("cooling {}", after.as_secs()),
                }
            }
            word => panic!("unknown word {word}"),
        }
    }

    fn ask(&self, ask: Ask) -> String {
        match self.state.decide(self.now, ask) {
            Decision::Serve(token) => format!("serve {}", token.expose()),
            Decision::ServeAndFetch(token, reason) => {
                format!("serve {} and fetch {}", token.expose(), reason.name())
            }
            Decision::Join => "join".to_owned(),
            Decision::Fetch(reason) => format!("fetch {}", reason.name()),
            Decision::Fail(error) => told(&error),
        }
    }

    /// What the state tells of itself.
    fn look(&self) -> String {
        let (state, now) = (&self.state, self.now);
        let seconds = |nanos| Duration::from_nanos(nanos).as_secs_f64();
        let held = state.held().map(|held| {
            let fresh = if state.is_fresh(now) { " fresh" } else { "" };
            format!("holds {}{fresh}", held.token.expose())
        });
        assert!(held.is_some() || !state.is_fresh(now));
        let until = state.held_back_until(now);
        let all = [
            held,
            state.flight().map(|flight| format!("flight {flight}")),
            until.map(|until| format!("held back {}", seconds(until - now.monotonic))),
            state
                .last_error()
                .map(|error| format!("{:?}", error.kind())),
            Some(format!("rest {}", seconds(state.rest(now)))),
        ];
        all.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    fn fail(&mut self, generation: u64, failure: Failure) -> String {
        told(&self.state.failed(generation, failure, self.now, 0))
    }

    fn quietly(&mut self, change: impl FnOnce(&mut State)) -> String {
        change(&mut self.state);
        String::new()
    }
}

fn told(error: &Error) -> String {
    match error.retry_after() {
        Some(after) => format!("{:?} {}", error.kind(), after.as_secs_f64()),
        None => format!("{:?}", error.kind()),
    }
}

/// Scenes of lines; a line is what is done and, after `=>`, what comes of it.
const SCENES: &str = include_str!("scenes.txt");

#[test]
fn decisions_by_the_table() {
    let mut count = 0;
    for scene in SCENES.split("# ").skip(1) {
        let (name, lines) = scene.split_once('\n').unwrap();
        let mut play = Play::new();
        for line in lines.split(';') {
            let (line, expected) = line.split_once("=>").unwrap_or((line, ""));
            assert_eq!(play.play(line.trim()), expected.trim(), "{name}: `{line}`");
        }
        count += 1;
    }
    assert_eq!(count, 18);
}

#[test]
fn however_often_a_token_is_rejected_no_other_rejection_is_forgotten() {
    let mut play = Play::new();
    play.play("start");
    assert_eq!(play.play("reject A"), "not current");
    for _ in 0..1000 {
        assert_eq!(play.play("reject B"), "not current");
    }
    assert_eq!(play.play("cache 1 A 100"), "not taken");
}

#[test]
fn caches_are_told_of_each_rejection_once() {
    let mut play = Play::new();
    let hash = |text| AccessToken::from_text(text, 0, None).unwrap().hash();
    assert!(!play.state.is_rejected(&hash("A")));
    assert_eq!(play.state.untold_rejections(), []);
    play.play("reject A");
    play.play("reject B");
    assert!(play.state.is_rejected(&hash("A")) && play.state.is_rejected(&hash("B")));
    assert!(!play.state.is_rejected(&hash("C")));
    assert_eq!(play.state.untold_rejections(), [hash("A"), hash("B")]);
    play.state.rejection_told(&hash("A"));
    assert_eq!(play.state.untold_rejections(), [hash("B")]);
    assert!(play.state.is_rejected(&hash("A")));
}

#[test]
fn errors_that_are_over_are_handed_out_once() {
    use ErrorKind::{ClientRefused, Server};
    let mut play = Play::new();
    for (lines, discarded) in [
        (["start", "fail 1 0", "end 1"], &[][..]),
        (["start", "fail 2 0", "end 2"], &[Server]),
        (["start", "refuse 3 x", "end 3"], &[Server]),
        (["start", "refuse 4 x", "end 4"], &[ClientRefused]),
        (["start", "server 5 A 100", "end 5"], &[ClientRefused]),
        (["start", "fail 6 0", "end 6"], &[]),
        (["start", "server 7 A 100", "end 7"], &[Server]),
    ] {
        for line in lines {
            play.play(line);
        }
        let errors = play.state.take_discarded();
        let kinds: Vec<_> = errors.iter().map(Error::kind).collect();
        assert_eq!(kinds, discarded, "{lines:?}");
        assert!(play.state.take_discarded().is_empty());
    }
}

#[test]
fn the_last_try_is_in_the_second_half_of_the_time_left_and_before_its_end() {
    for (draw, least, most) in [
        (0, 7.5, 7.5),
        (u64::MAX / 2, 11.2, 11.3),
        (u64::MAX, 14.99, 14.9999999999),
    ] {
        let mut play = Play::new();
        play.play("start");
        play.play("server 1 A 100");
        play.play("end 1");
        play.play("after 80");
        play.play("start");
        // Enough failures for a backoff that is longer than the time left.
        play.state.failures = 9;
        let failure = failure(ErrorKind::Server, Class::Passing, 0);
        let error = play.state.failed(2, failure, play.now, draw);
        let wait = error.retry_after().unwrap().as_secs_f64();
        assert!((least..=most).contains(&wait), "{draw}: {wait}");
    }
}
