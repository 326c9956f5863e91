//! Where tokens are kept, as the environment says.

use std::sync::Arc;

#[cfg(feature = "file")]
use bloom_auth_cache::FileCache;
#[cfg(feature = "redis")]
use bloom_auth_cache::RedisCache;
#[cfg(any(feature = "file", feature = "redis"))]
use bloom_auth_core::TokenCache as _;
use bloom_auth_core::{ClientCredentials, ConfigurationError, EnvironmentLookup};

#[cfg(any(feature = "file", feature = "redis"))]
use super::under_its_variable;
use super::{CACHE, CACHE_DIR, Variables};
use crate::auth::BloomAuthBuilder;

/// Sets the cache that was chosen; none by default.
pub(super) fn choose(
    variables: &Variables<'_>,
    lookup: &Arc<EnvironmentLookup>,
    known: &ClientCredentials,
    builder: BloomAuthBuilder,
) -> Result<BloomAuthBuilder, ConfigurationError> {
    let is_chosen = variables.is_set(CACHE);
    if let Some(url) = variables.text(CACHE)?.filter(|value| is_server(value)) {
        if variables.text(CACHE_DIR)?.is_some() {
            return Err(ConfigurationError::new(
                CACHE_DIR,
                format!("is set, but {CACHE} is the URL of a server"),
                format!("unset it, or set {CACHE} to `file`"),
            ));
        }
        return cache_in_redis(&url, known, builder);
    }
    let in_files =
        variables.choice(CACHE, &[("memory", false), ("none", false), ("file", true)])?;
    match (in_files, variables.text(CACHE_DIR)?) {
        (true, directory) => cache_in_files(directory, lookup, known, builder),
        (false, Some(_)) if !is_chosen => Err(ConfigurationError::new(
            CACHE_DIR,
            format!("is set, but {CACHE} is not"),
            format!("set {CACHE} to `file` to keep tokens there"),
        )),
        (false, _) => Ok(builder),
    }
}

/// Keeps tokens in files. Where that cannot be, for a reason that is no wrong
/// setting, they are kept in memory alone, and a warning says why.
#[cfg(feature = "file")]
fn cache_in_files(
    directory: Option<String>,
    lookup: &Arc<EnvironmentLookup>,
    known: &ClientCredentials,
    builder: BloomAuthBuilder,
) -> Result<BloomAuthBuilder, ConfigurationError> {
    let cache = match directory {
        Some(directory) => Ok(FileCache::in_directory(directory).map_err(under_its_variable)?),
        None => {
            let lookup = Arc::clone(lookup);
            FileCache::builder()
                .lookup(move |name| lookup(name))
                .build()
        }
    };
    match cache.and_then(|cache| cache.check(known).map(|()| cache)) {
        Ok(cache) => Ok(builder.cache(cache)),
        Err(error) => Ok(in_memory(builder, &error)),
    }
}

/// Goes on without the cache that was chosen.
#[cfg(any(feature = "file", feature = "redis"))]
fn in_memory(builder: BloomAuthBuilder, error: &ConfigurationError) -> BloomAuthBuilder {
    tracing::warn!(
        target: "bloom_auth.cache",
        %error,
        "access tokens are kept in memory alone, and not as {CACHE} says",
    );
    builder
}

#[cfg(not(feature = "file"))]
fn cache_in_files(
    _: Option<String>,
    _: &Arc<EnvironmentLookup>,
    _: &ClientCredentials,
    _: BloomAuthBuilder,
) -> Result<BloomAuthBuilder, ConfigurationError> {
    Err(without_files())
}

#[cfg(any(test, not(feature = "file")))]
fn without_files() -> ConfigurationError {
    ConfigurationError::new(
        CACHE,
        "is `file`, and this program was built without the file cache",
        "build it with the feature `file` of bloom-auth, or use `memory`",
    )
}

/// Whether it is the URL of a server of Redis.
fn is_server(value: &str) -> bool {
    ["redis:", "rediss:", "unix:"]
        .iter()
        .any(|scheme| value.starts_with(scheme))
}

/// Keeps tokens in Redis; in memory alone, with a warning, if this client's
/// cannot be sealed.
#[cfg(feature = "redis")]
fn cache_in_redis(
    url: &str,
    known: &ClientCredentials,
    builder: BloomAuthBuilder,
) -> Result<BloomAuthBuilder, ConfigurationError> {
    let cache = RedisCache::new(url).map_err(under_its_variable)?;
    match cache.check(known) {
        Ok(()) => Ok(builder.cache(cache)),
        Err(error) => Ok(in_memory(builder, &error)),
    }
}

#[cfg(not(feature = "redis"))]
fn cache_in_redis(
    _: &str,
    _: &ClientCredentials,
    _: BloomAuthBuilder,
) -> Result<BloomAuthBuilder, ConfigurationError> {
    Err(without_redis())
}

#[cfg(any(test, not(feature = "redis")))]
fn without_redis() -> ConfigurationError {
    ConfigurationError::new(
        CACHE,
        "is the URL of a server, and this program was built without the Redis cache",
        "build it with the feature `redis` of bloom-auth, or use `memory`",
    )
}

#[cfg(test)]
mod tests {
    use super::super::{CLIENT_ID, CLIENT_SECRET, read};
    use super::*;

    #[test]
    fn a_server_is_chosen_by_its_url() {
        let error = without_redis();
        assert!(error.to_string().contains("feature `redis` of bloom-auth"));
        let read = |url: &str, more: &[(&'static str, &'static str)]| {
            let mut variables = vec![
                (CLIENT_ID, "id"),
                (CLIENT_SECRET, "a secret of more than 32 characters"),
            ];
            variables.extend_from_slice(more);
            let url = url.to_owned();
            let lookup: Arc<EnvironmentLookup> = Arc::new(move |name: &str| {
                if name == CACHE {
                    return Some((&url).into());
                }
                let found = variables.iter().find(|(it, _)| *it == name);
                found.map(|(_, value)| (*value).into())
            });
            read(&lookup).map(drop)
        };
        let good = "rediss://user:canary@cache.test/1";
        let found = read(good, &[]);
        assert_eq!(found.err(), cfg!(not(feature = "redis")).then_some(error));
        let error = read(good, &[(CACHE_DIR, "/a")]).unwrap_err();
        assert_eq!(error.setting(), CACHE_DIR);
        for bad in [
            "redis://:canary@cache.test",
            "rediss://:canary@",
            "unix:canary",
            "redi://:canary",
            "Redis",
        ] {
            let error = read(bad, &[]).unwrap_err();
            assert_eq!(error.setting(), CACHE);
            assert!(!error.to_string().contains("canary"), "{error}");
        }
    }

    #[test]
    fn a_choice_that_was_not_built_in_names_the_feature() {
        let error = without_files();
        assert_eq!(error.setting(), CACHE);
        assert!(error.to_string().contains("feature `file` of bloom-auth"));
        let variables = [
            (CLIENT_ID, "id"),
            (CLIENT_SECRET, "canary-of-a-secret"),
            (CACHE, "file"),
            // None that could be used.
            (CACHE_DIR, "relative"),
        ];
        let lookup: Arc<EnvironmentLookup> = Arc::new(move |name: &str| {
            let found = variables.iter().find(|(it, _)| *it == name);
            found.map(|(_, value)| (*value).into())
        });
        let Err(read) = read(&lookup) else {
            panic!("no tokens can be kept there");
        };
        assert_eq!(read == error, cfg!(not(feature = "file")), "{read}");
        assert!(!read.to_string().contains("canary"));
    }
}
