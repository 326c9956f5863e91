//! Settings of any size: they are refused when a provider is built, or they
//! work.

use std::time::Duration;

use bloom_auth_core::{
    ConfigurationError, ErrorKind, FetchLimit, TokenProvider, TokenProviders, Transport,
    test_util::ScriptedTransport,
};
use proptest::prelude::*;
use tokio::time::{sleep, timeout};

use crate::support::{builder, credentials, paused, token_reply};

/// Margin, leeway, default and maximum lifetime, attempt and fetch timeout, and
/// the maximum of `Retry-After`.
type Times = [Duration; 7];

/// Of every magnitude there is.
fn any_time() -> impl Strategy<Value = Duration> {
    prop_oneof![
        1 => prop::sample::select(vec![Duration::ZERO, Duration::from_nanos(1), Duration::MAX]),
        9 => (0..64_u32, any::<u64>()).prop_map(|(shift, bits)| Duration::from_nanos(bits >> shift)),
    ]
}

/// Times that go together.
fn good_times() -> impl Strategy<Value = Times> {
    let time = || (1_000..1_000_000_000_u64).prop_map(Duration::from_millis);
    [time(), time(), time(), time(), time(), time(), time()].prop_map(
        |[margin, leeway, default, longer, attempt, more, retry_after]| {
            let max = default + longer;
            let margin = 2 * leeway + margin;
            [
                margin,
                leeway,
                default,
                max,
                attempt,
                attempt + more,
                retry_after,
            ]
        },
    )
}

fn build(
    times: Times,
    transport: impl Transport + 'static,
) -> Result<TokenProvider, ConfigurationError> {
    let [margin, leeway, default, max, attempt, fetch, retry_after] = times;
    builder(credentials(), transport)
        .margin(margin)
        .leeway(leeway)
        .default_lifetime(default)
        .max_lifetime(max)
        .attempt_timeout(attempt)
        .fetch_timeout(fetch)
        .max_retry_after(retry_after)
        .build()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn k14_any_settings_are_refused_or_accepted(
        times in prop::array::uniform7(any_time()),
        max in any::<usize>(),
        idle_after in any_time(),
    ) {
        if let Err(error) = build(times, ScriptedTransport::default()) {
            prop_assert!(!error.to_string().is_empty());
        }
        let providers = TokenProviders::builder(move |_: &u8| build(times, ScriptedTransport::default()));
        let providers = providers.max_providers(max).idle_after(idle_after).build();
        prop_assert_eq!(providers.is_ok(), max > 0 && !idle_after.is_zero());
        if let Ok(providers) = providers {
            prop_assert_eq!(providers.get(&1).is_ok(), build(times, ScriptedTransport::default()).is_ok());
        }
        prop_assert_eq!(FetchLimit::new(max).is_ok(), max > 0);
    }

    /// An attempt that takes nearly all the time that it may take succeeds,
    /// whatever the times are.
    #[test]
    fn k14_k16_settings_that_are_accepted_let_an_attempt_succeed(
        times in good_times(),
        lifetime in any::<u64>(),
    ) {
        let [_, _, _, max, attempt, ..] = times;
        let answer = token_reply("A", lifetime).after(attempt - Duration::from_millis(2));
        let transport = ScriptedTransport::new([answer]);
        let provider = build(times, transport.clone()).unwrap();
        paused().block_on(async {
            let outcome = timeout(2 * attempt, provider.token()).await.unwrap();
            if let Err(error) = &outcome {
                // Nobody can use a token that lasts no longer than that.
                prop_assert_eq!(error.kind(), ErrorKind::ExpiredOnArrival);
                let lifetime = Duration::from_secs(lifetime).min(max);
                prop_assert!(attempt >= lifetime * 9 / 10 || lifetime < Duration::from_secs(1));
            }
            prop_assert_eq!(transport.request_count(), 1);
            // And nothing goes wrong in its whole life.
            sleep(2 * max).await;
            let _ = provider.token().await;
            let _ = provider.status();
            Ok(())
        })?;
    }
}
