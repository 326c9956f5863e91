//! What becomes of answers that are no trouble to read: requests are counted
//! where they arrive, and time is moved by hand.

use std::time::Duration;

use bloom_auth_core::{
    ErrorKind, Rejection, TokenProvider, TokenState,
    test_util::{ManualClock, ScriptedServer, Turn},
};
use tokio::task::{JoinSet, yield_now};

use crate::support::{builder, empty, provider, token, token_with};

const SECOND: Duration = Duration::from_secs(1);

async fn serve(script: impl IntoIterator<Item = Turn>) -> ScriptedServer {
    ScriptedServer::start(script).await.unwrap()
}

/// What a hundred callers at once get, who must all get the same.
async fn herd(provider: &TokenProvider) -> Result<String, ErrorKind> {
    let mut callers = JoinSet::new();
    for _ in 0..100 {
        let provider = provider.clone();
        callers.spawn(async move {
            let outcome = provider.token().await;
            outcome
                .map(|token| token.expose().to_owned())
                .map_err(|error| error.kind())
        });
    }
    let mut outcomes = callers.join_all().await;
    let first = outcomes.pop().unwrap();
    assert!(
        outcomes.iter().all(|outcome| *outcome == first),
        "{outcomes:?}"
    );
    first
}

#[tokio::test]
async fn n5_silence_ends_with_one_error_for_all_who_wait() {
    let server = serve([Turn::new().keep_open()]).await;
    let provider = builder(&server)
        .attempt_timeout(SECOND)
        .fetch_timeout(SECOND);
    let provider = provider.build().unwrap();
    assert_eq!(herd(&provider).await, Err(ErrorKind::Timeout));
    let counts = provider.status().counts;
    assert_eq!((counts.fetches, counts.token_requests), (1, 1));
    // The connection is closed with the attempt.
    server.until(|seen| seen.hangups == 1).await;
}

#[tokio::test]
async fn n24_errors_that_pass_are_not_noticed_and_others_end_the_fetch() {
    let script = [
        empty("500 Reason"),
        empty("502 Reason"),
        Turn::new().send(token("A")),
    ];
    let server = serve(script).await;
    assert_eq!(herd(&provider(&server)).await, Ok("A".to_owned()));
    assert_eq!(server.seen().requests.len(), 3);

    let server = serve([empty("500 Reason")]).await;
    assert_eq!(herd(&provider(&server)).await, Err(ErrorKind::Server));
    assert_eq!(server.seen().requests.len(), 3);
}

#[tokio::test]
async fn p11_p14_retry_after_holds_everyone_back() {
    for (status, kind) in [
        ("429 Slow Down", ErrorKind::RateLimited),
        ("503 Reason", ErrorKind::Server),
    ] {
        let refusal = empty(&format!("{status}\r\nretry-after: 7"));
        let server = serve([refusal, Turn::new().send(token("A"))]).await;
        let clock = ManualClock::new();
        let provider = builder(&server).clock(clock.clone()).build().unwrap();
        assert_eq!(herd(&provider).await, Err(kind));
        clock.advance(SECOND * 69 / 10);
        assert_eq!(herd(&provider).await, Err(kind));
        let error = provider.refresh().await.unwrap_err();
        assert_eq!(error.retry_after(), Some(SECOND / 10), "{status}");
        assert_eq!(server.seen().requests.len(), 1, "{status}");
        clock.advance(SECOND / 10);
        assert_eq!(herd(&provider).await, Ok("A".to_owned()));
        assert_eq!(server.seen().requests.len(), 2, "{status}");
    }
}

#[tokio::test]
async fn p11_p14_retry_after_takes_no_token_away() {
    for status in ["429 Slow Down", "503 Reason"] {
        let refusal = empty(&format!("{status}\r\nretry-after: 200"));
        let server = serve([Turn::new().send(token("A")), refusal]).await;
        let clock = ManualClock::new();
        let provider = builder(&server).clock(clock.clone()).build().unwrap();
        assert_eq!(herd(&provider).await, Ok("A".to_owned()));
        clock.advance(SECOND * 3300);
        assert_eq!(provider.status().token, TokenState::Due);
        assert_eq!(herd(&provider).await, Ok("A".to_owned()));
        // Nobody moves the clock while an answer is being read.
        while provider.status().is_fetching {
            yield_now().await;
        }
        for _ in 0..19 {
            clock.advance(SECOND * 10);
            assert_eq!(herd(&provider).await, Ok("A".to_owned()));
        }
        assert_eq!(server.seen().requests.len(), 2, "{status}");
    }
}

#[tokio::test]
async fn p39_a_server_that_gives_the_same_token_again_is_asked_once_more() {
    let server = serve([Turn::new().send(token("A"))]).await;
    let clock = ManualClock::new();
    let provider = builder(&server).clock(clock.clone()).build().unwrap();
    let first = provider.token().await.unwrap();
    assert_eq!(provider.reject(&first), Rejection::Dropped);
    let again = provider.token().await.unwrap();
    assert_eq!(again, first);
    for _ in 0..10 {
        let rejection = provider.reject(&again);
        assert_eq!(rejection, Rejection::CoolingDown { after: 30 * SECOND });
        assert_eq!(herd(&provider).await, Ok("A".to_owned()));
    }
    assert_eq!(server.seen().requests.len(), 2);
}

#[tokio::test]
async fn p40_a_lifetime_is_not_counted_by_the_servers_clock() {
    for date in [
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "no date",
    ] {
        let answer = token_with("A", &format!("date: {date}\r\n"));
        let server = serve([Turn::new().send(answer)]).await;
        let clock = ManualClock::new();
        let provider = builder(&server).clock(clock.clone()).build().unwrap();
        provider.token().await.unwrap();
        for (time, state) in [
            (3299, TokenState::Fresh),
            (1, TokenState::Due),
            (289, TokenState::Due),
            (1, TokenState::Expired),
        ] {
            clock.advance(time * SECOND);
            assert_eq!(provider.status().token, state, "{date}");
        }
    }
}
