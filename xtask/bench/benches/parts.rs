//! What the parts of a start cost, each by itself: sealing and opening a record, loading it from
//! a file, reading the server's answer.

use std::{
    fs,
    hint::black_box,
    path::Path,
    time::{Duration, SystemTime},
};

use bench::{Problem, credentials, token};
use bloom_auth_cache::{FileCache, Sealer};
use bloom_auth_core::{
    AuthVersion, CacheAccess, CacheRecord, ClientCredentials, Environment, ResponseBody,
    TokenCache as _,
    protocol::{TokenRequest, TokenResponse},
};
use criterion::Criterion;
use http::Response;

/// In seconds; that of Bloom's tokens.
const LIFETIME: u64 = 86_400;

fn main() -> Result<(), Problem> {
    let credentials = credentials()?;
    let request = TokenRequest::new(Environment::sandbox(AuthVersion::V1));
    let access = CacheAccess::new(&request, &credentials);
    let record = record()?;
    let mut criterion = Criterion::default().configure_from_args();
    sealing(&mut criterion, &access, &record)?;
    loading(&mut criterion, &access, &record)?;
    parsing(&mut criterion, &request, &credentials)?;
    criterion.final_summary();
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a cache that is loaded knows the time by itself"
)]
fn record() -> Result<CacheRecord, Problem> {
    let lifetime = Duration::from_secs(LIFETIME);
    Ok(CacheRecord::new(
        &token(),
        None,
        SystemTime::now(),
        lifetime,
    )?)
}

fn sealing(
    criterion: &mut Criterion,
    access: &CacheAccess,
    record: &CacheRecord,
) -> Result<(), Problem> {
    let sealer = Sealer::new();
    let sealed = sealer.seal(access, record)?;
    // What is measured is what works.
    if sealer.open(access, &sealed)? != *record {
        return Err("what was sealed is another record now".into());
    }
    criterion.bench_function("name", |bencher| {
        bencher.iter(|| sealer.name(black_box(access)).ok());
    });
    criterion.bench_function("seal", |bencher| {
        bencher.iter(|| sealer.seal(black_box(access), black_box(record)).ok());
    });
    criterion.bench_function("open", |bencher| {
        bencher.iter(|| sealer.open(black_box(access), black_box(&sealed)).ok());
    });
    Ok(())
}

/// With the thread that the cache takes for it.
fn loading(
    criterion: &mut Criterion,
    access: &CacheAccess,
    record: &CacheRecord,
) -> Result<(), Problem> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("parts");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let cache = FileCache::in_directory(folder.join("cache"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    runtime.block_on(cache.store(access, record))?;
    if runtime.block_on(cache.load(access))?.as_ref() != Some(record) {
        return Err("what was stored is another record now".into());
    }
    criterion.bench_function("file_load", |bencher| {
        bencher.iter(|| runtime.block_on(cache.load(black_box(access))).ok());
    });
    Ok(())
}

fn parsing(
    criterion: &mut Criterion,
    request: &TokenRequest,
    credentials: &ClientCredentials,
) -> Result<(), Problem> {
    let token = token();
    let body =
        format!(r#"{{"access_token":"{token}","expires_in":{LIFETIME},"token_type":"Bearer"}}"#);
    let mut answer = ResponseBody::new();
    answer.push(body.as_bytes())?;
    let response = Response::builder()
        .header("content-type", "application/json")
        .body(answer)?;
    let decode = || TokenResponse::decode(black_box(&response), credentials);
    decode()?;
    criterion.bench_function("encode", |bencher| {
        bencher.iter(|| request.encode(black_box(credentials)));
    });
    criterion.bench_function("decode", |bencher| bencher.iter(|| decode().ok()));
    Ok(())
}
