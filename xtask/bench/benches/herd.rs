//! Ten thousand callers who find no token, all at once, and as many who only wait.

use bench::{Problem, herd};
use criterion::Criterion;

fn main() -> Result<(), Problem> {
    let runtime = herd::runtime()?;
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    criterion.bench_function("herd", |bencher| {
        bencher.iter(|| runtime.block_on(herd::all_ask(herd::CALLERS)).ok());
    });
    criterion.bench_function("timers", |bencher| {
        bencher.iter(|| runtime.block_on(herd::all_wait(herd::CALLERS)));
    });
    criterion.final_summary();
    // What was measured is callers who got a token for one request.
    let requests = runtime.block_on(herd::all_ask(herd::CALLERS))?;
    if requests != 1 {
        return Err(format!("{requests} requests").into());
    }
    Ok(())
}
