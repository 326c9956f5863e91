//! Where tokens are kept, as the environment says.

use std::sync::Arc;

#[cfg(feature = "file")]
use bloom_auth_cache::FileCache;
#[cfg(feature = "redis")]
use bloom_auth_cache::RedisCache;
#[cfg(all(feature = "redis", feature = "file"))]
use bloom_auth_cache::Tiered;
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
        return cache_in_redis(&url, variables.text(CACHE_DIR)?, known, builder);
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

/// Keeps tokens in Redis, behind files in the directory if there is one; in
/// memory alone, with a warning, if this client's cannot be sealed.
#[cfg(feature = "redis")]
fn cache_in_redis(
    url: &str,
    directory: Option<String>,
    known: &ClientCredentials,
    builder: BloomAuthBuilder,
) -> Result<BloomAuthBuilder, ConfigurationError> {
    let cache = RedisCache::new(url).map_err(under_its_variable)?;
    if let Err(error) = cache.check(known) {
        return Ok(in_memory(builder, &error));
    }
    match directory {
        None => Ok(builder.cache(cache)),
        Some(directory) => files_before(cache, directory, known, builder),
    }
}

/// The platform's directory is not taken for this: whoever names a server has
/// not asked for files.
#[cfg(all(feature = "redis", feature = "file"))]
fn files_before(
    far: RedisCache,
    directory: String,
    known: &ClientCredentials,
    builder: BloomAuthBuilder,
) -> Result<BloomAuthBuilder, ConfigurationError> {
    let near = FileCache::in_directory(directory).map_err(under_its_variable)?;
    match near.check(known) {
        Ok(()) => Ok(builder.cache(Tiered::new(near, far))),
        Err(error) => Ok(in_memory(builder, &error)),
    }
}

#[cfg(all(feature = "redis", not(feature = "file")))]
fn files_before(
    _: RedisCache,
    _: String,
    _: &ClientCredentials,
    _: BloomAuthBuilder,
) -> Result<BloomAuthBuilder, ConfigurationError> {
    Err(without_files_before_a_server())
}

#[cfg(any(test, all(feature = "redis", not(feature = "file"))))]
fn without_files_before_a_server() -> ConfigurationError {
    ConfigurationError::new(
        CACHE_DIR,
        "is set, and this program was built without the file cache",
        "build it with the feature `file` of bloom-auth, or unset it",
    )
}

#[cfg(not(feature = "redis"))]
fn cache_in_redis(
    _: &str,
    _: Option<String>,
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

    /// Nothing is made there before a token is kept.
    const DIRECTORY: &str = if cfg!(windows) {
        r"C:\tokens"
    } else {
        "/tokens"
    };

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
        assert_eq!(
            found.err(),
            cfg!(not(feature = "redis")).then(|| error.clone())
        );
        // Files in front of it, where there are any.
        let found = read(good, &[(CACHE_DIR, DIRECTORY)]).err();
        let expected = if cfg!(not(feature = "redis")) {
            Some(error)
        } else {
            let error = without_files_before_a_server();
            assert!(error.to_string().contains("feature `file` of bloom-auth"));
            cfg!(not(feature = "file")).then_some(error)
        };
        assert_eq!(found, expected);
        let relative = read(good, &[(CACHE_DIR, "relative")]).unwrap_err();
        let setting = if cfg!(feature = "redis") {
            CACHE_DIR
        } else {
            CACHE
        };
        assert_eq!(relative.setting(), setting);
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
