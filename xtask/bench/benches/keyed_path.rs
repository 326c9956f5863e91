//! What a call by key costs while the held token is fresh, with few keys and with many.

use std::hint::black_box;

use bench::{
    Problem,
    keyed::{self, KEYS, Order},
};
use criterion::Criterion;

fn main() -> Result<(), Problem> {
    let mut criterion = Criterion::default().configure_from_args();
    for keys in KEYS {
        let providers = keyed::providers(keys)?;
        for order in Order::ALL {
            let asked = keyed::asked_for(keys, order);
            let mut next = asked.iter().cycle();
            let name = format!("by_key/{keys}/{}", order.name());
            criterion.bench_function(&name, |bencher| {
                bencher.iter(|| black_box(&providers).try_authorization(next.next()?));
            });
        }
    }
    criterion.final_summary();
    Ok(())
}
