//! What a call costs while the held token is fresh, which is nearly always.

use std::{
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bench::{Problem, credentials};
use bloom_auth_core::{
    AuthVersion, Environment, TokenProvider,
    test_util::{Reply, ScriptedTransport},
};
use criterion::Criterion;

fn main() -> Result<(), Problem> {
    let transport = ScriptedTransport::new([Reply::token("a-token", 86_400)]);
    let environment = Environment::sandbox(AuthVersion::V1);
    let provider =
        TokenProvider::builder(environment, credentials()?, transport.clone()).build()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    runtime.block_on(provider.token())?;

    let mut criterion = Criterion::default().configure_from_args();
    // Polled once and by hand: a fresh token is ready at once, and no runtime's work counts.
    let mut context = Context::from_waker(Waker::noop());
    criterion.bench_function("authorization", |bencher| {
        bencher.iter(
            || match pin!(black_box(&provider).authorization()).poll(&mut context) {
                Poll::Ready(value) => value.ok(),
                Poll::Pending => None,
            },
        );
    });
    criterion.bench_function("try_authorization", |bencher| {
        bencher.iter(|| black_box(&provider).try_authorization());
    });
    criterion.final_summary();

    // What was measured is a call that found a token.
    let is_held = provider.try_authorization().is_some();
    if !is_held || transport.request_count() != 1 {
        return Err("the token was not fresh all the time".into());
    }
    Ok(())
}
