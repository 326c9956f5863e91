//! From `build()` to the first token, each time in a new process.

use std::path::Path;

use bench::{Problem, Scenario, Start, credentials};
use bloom_auth_core::{
    AuthVersion, Environment, TokenProvider,
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
];

fn main() -> Result<(), Problem> {
    bench::main(SCENARIOS, Path::new(env!("CARGO_TARGET_TMPDIR")))
}

fn cold(_: &Path) -> Result<Start, Problem> {
    let transport = ScriptedTransport::new([Reply::token("a-token", 3600)]);
    let environment = Environment::sandbox(AuthVersion::V1);
    let credentials = credentials()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    runtime.block_on(async {
        Start::measure(async || {
            let builder = TokenProvider::builder(environment, credentials, transport.clone());
            builder.build()?.token().await?;
            Ok(transport.request_count())
        })
        .await
    })
}
