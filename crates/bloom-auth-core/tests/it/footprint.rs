//! What a tenant costs: resident memory with 100,000 of them.
//!
//! It is measured in a child process, which is this test binary and does
//! nothing else.

use std::process::Command;

use bloom_auth_core::{
    AuthVersion, Environment, TokenProvider, TokenProviders, test_util::ManualClock,
};

use crate::support::{Echo, client};

const TEST: &str = "footprint::a_tenant_costs_less_than_two_kilobytes_beside_its_token";
const CHILD: &str = "BLOOM_AUTH_FOOTPRINT";

const TENANTS: u64 = 100_000;
const LIMIT: u64 = 2048;

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the child is told apart by its environment"
)]
fn a_tenant_costs_less_than_two_kilobytes_beside_its_token() {
    if std::env::var_os(CHILD).is_some() {
        child();
        return;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", TEST, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{error}");
    let figure = text.lines().find(|line| line.contains("bytes a tenant"));
    println!("{}", figure.expect("the child says what it measured"));
}

fn child() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let environment = Environment::sandbox(AuthVersion::V1);
    let providers = TokenProviders::builder(move |tenant: &u64| {
        let credentials = client(&tenant.to_string());
        TokenProvider::builder(environment.clone(), credentials, Echo)
            .clock(ManualClock::new())
            .build()
    });
    let providers = providers.max_providers(200_000).build().unwrap();
    let fetch = |tenant: u64| {
        let token = runtime.block_on(providers.token(&tenant)).unwrap();
        u64::try_from(token.expose().len()).unwrap()
    };
    // What is there once for all tenants is there before.
    for tenant in 0..100 {
        fetch(tenant);
    }
    let before = resident_bytes();
    let token_bytes: u64 = (100..100 + TENANTS).map(fetch).sum();
    let whole = resident_bytes() - before;
    assert_eq!(providers.len(), 100_100);
    let each = (whole - token_bytes) / TENANTS;
    println!(
        "{each} bytes a tenant beside {} bytes of token",
        token_bytes / TENANTS
    );
    assert!(each < LIMIT, "{each} bytes a tenant");
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * page_bytes()
}

/// The size of a page, from a mapping that the kernel describes.
fn page_bytes() -> u64 {
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let line = smaps
        .lines()
        .find(|line| line.starts_with("KernelPageSize:"));
    let kilobytes = line.unwrap().split_whitespace().nth(1).unwrap();
    kilobytes.parse::<u64>().unwrap() * 1024
}
