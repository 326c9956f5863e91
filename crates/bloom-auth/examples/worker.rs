//! A program that is started often and lives for a moment, such as a job of
//! cron: with the file cache, the second one finds the token of the first.
//!
//! `cargo run --example worker --features file`
//!
//! It starts the emulator, and then itself as two workers, one after the other.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use bloom_auth::BloomAuth;
use bloom_auth_emulator::Emulator;

#[tokio::main]
async fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("work") => work().await,
        _ => supervise().await,
    }
}

/// All of a worker: nothing in it is about files.
async fn work() -> Result<()> {
    let auth = BloomAuth::from_env()?;
    let response = auth.api().get("/v2/core/organization").send().await?;
    let status = response.status();
    ensure!(status.is_success(), "status {status}");
    let requests = auth.status().counts.token_requests;
    println!("{status}, {requests} token requests");
    Ok(())
}

async fn supervise() -> Result<()> {
    let emulator = Emulator::start().await?;
    let directory = tempfile::tempdir()?; // for this user alone
    let ca = directory.path().join("ca.pem");
    let pem = emulator.ca_pem().context("the emulator speaks TLS")?;
    std::fs::write(&ca, pem)?;

    for (worker, expected) in [("first", 1), ("second", 0)] {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("work")
            // Where a worker of yours has these from, such as its unit file.
            .env("BLOOM_CACHE", "file")
            .env("BLOOM_CACHE_DIR", directory.path().join("tokens"))
            .env("BLOOM_CLIENT_ID", emulator.client_id())
            .env("BLOOM_CLIENT_SECRET", emulator.client_secret())
            // With Bloom, none of the rest.
            .env("BLOOM_TOKEN_URL", emulator.v1_token_url())
            .env("BLOOM_API_URL", emulator.api_url())
            .env("BLOOM_AUDIENCE", emulator.audience())
            .env("BLOOM_CA_FILE", &ca);
        // The emulator is served by this runtime: it must not be held up.
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        let said = said(&output)?;
        println!("the {worker} worker: {said}");
        ensure!(said == format!("200 OK, {expected} token requests"));
    }

    let counts = emulator.counts();
    emulator.shutdown().await;
    let seen = (counts.token_requests, counts.api_authorized);
    ensure!(seen == (1, 2), "the emulator saw {counts:?}");
    println!("ok: 2 processes, 2 API requests, 1 token request");
    Ok(())
}

fn said(output: &Output) -> Result<String> {
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "a worker failed: {errors}");
    let said = String::from_utf8_lossy(&output.stdout);
    Ok(said.trim().to_owned())
}
