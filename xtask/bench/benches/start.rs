//! From `build()` to the first token, each time in a new process.

use std::path::Path;

use bench::{Problem, Scenario, Start, credentials};
use bloom_auth_cache::FileCache;
use bloom_auth_core::{
    AuthVersion, Environment, TokenProvider, TokenProviderBuilder,
    test_util::{Reply, ScriptedTransport},
};

const SCENARIOS: &[Scenario] = &[
    // No cache, and a server that answers at once: what is left is the library's own time.
    Scenario {
        name: "cold_start",
        requests: 1,
        prepare: |_| Ok(()),
        start: cold,
    },
    // A token that another process has left in the file cache.
    Scenario {
        name: "warm_start",
        requests: 0,
        prepare: leave_a_token,
        start: warm,
    },
];

fn main() -> Result<(), Problem> {
    bench::main(SCENARIOS, Path::new(env!("CARGO_TARGET_TMPDIR")))
}

fn cold(_: &Path) -> Result<Start, Problem> {
    let transport = ScriptedTransport::new([Reply::token("a-token", 3600)]);
    let builder = TokenProvider::builder(environment(), credentials()?, transport.clone());
    start(builder, &transport)
}

fn leave_a_token(folder: &Path) -> Result<(), Problem> {
    // Good for as long as the benchmark takes.
    let transport = ScriptedTransport::new([Reply::token(&bench::token(), 86_400)]);
    let builder = TokenProvider::builder(environment(), credentials()?, transport.clone());
    start(builder.cache(cache(folder)?), &transport)?;
    Ok(())
}

fn warm(folder: &Path) -> Result<Start, Problem> {
    let transport = ScriptedTransport::default();
    let builder = TokenProvider::builder(environment(), credentials()?, transport.clone());
    start(builder.cache(cache(folder)?), &transport)
}

fn environment() -> Environment {
    Environment::sandbox(AuthVersion::V1)
}

fn cache(folder: &Path) -> Result<FileCache, Problem> {
    Ok(FileCache::in_directory(folder.join("cache"))?)
}

fn start(builder: TokenProviderBuilder, transport: &ScriptedTransport) -> Result<Start, Problem> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    runtime.block_on(Start::measure(async || {
        builder.build()?.token().await?;
        Ok(transport.request_count())
    }))
}
