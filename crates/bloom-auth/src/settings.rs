//! The settings from the environment: which variables, which values, and what
//! is wrong with a wrong one.

use std::{path::Path, sync::Arc};

#[cfg(feature = "file")]
use bloom_auth_cache::FileCache;
#[cfg(feature = "file")]
use bloom_auth_core::TokenCache as _;
use bloom_auth_core::{
    AuthVersion, ClientAuthentication, ClientCredentials, ClientId, ConfigurationError,
    Environment, EnvironmentCredentials, EnvironmentLookup, FileCredentials, Scopes,
};
use zeroize::Zeroize as _;

use crate::auth::{BloomAuth, BloomAuthBuilder};

const CLIENT_ID: &str = EnvironmentCredentials::CLIENT_ID;
const CLIENT_SECRET: &str = EnvironmentCredentials::CLIENT_SECRET;
const CLIENT_SECRET_FILE: &str = "BLOOM_CLIENT_SECRET_FILE";
const ENVIRONMENT: &str = "BLOOM_ENVIRONMENT";
const AUTH_VERSION: &str = "BLOOM_AUTH_VERSION";
const SCOPE: &str = "BLOOM_SCOPE";
const AUDIENCE: &str = "BLOOM_AUDIENCE";
const TOKEN_URL: &str = "BLOOM_TOKEN_URL";
const API_URL: &str = "BLOOM_API_URL";
const CLIENT_AUTH: &str = "BLOOM_CLIENT_AUTH";
const CA_FILE: &str = "BLOOM_CA_FILE";
const ALLOW_INSECURE_LOOPBACK: &str = "BLOOM_ALLOW_INSECURE_LOOPBACK";
const CACHE: &str = "BLOOM_CACHE";
const CACHE_DIR: &str = "BLOOM_CACHE_DIR";

/// Reads all settings into a builder.
pub(crate) fn read(
    lookup: &Arc<EnvironmentLookup>,
) -> Result<BloomAuthBuilder, ConfigurationError> {
    let variables = Variables(&**lookup);
    let version = variables.choice(
        AUTH_VERSION,
        &[("v1", AuthVersion::V1), ("v2", AuthVersion::V2)],
    )?;
    let is_production =
        variables.choice(ENVIRONMENT, &[("sandbox", false), ("production", true)])?;
    let environment = if is_production {
        Environment::production(version)
    } else {
        Environment::sandbox(version)
    };
    let authentication = variables.choice(
        CLIENT_AUTH,
        &[
            ("post", ClientAuthentication::Post),
            ("basic", ClientAuthentication::Basic),
        ],
    )?;
    let insecure_loopback = variables.choice(
        ALLOW_INSECURE_LOOPBACK,
        &[("false", false), ("true", true), ("0", false), ("1", true)],
    )?;

    let mut environment = environment.to_builder();
    if insecure_loopback {
        environment = environment.allow_insecure_loopback();
    }
    if let Some(url) = variables.text(TOKEN_URL)? {
        environment = environment.token_url(url);
    }
    if let Some(url) = variables.text(API_URL)? {
        environment = environment.api_url(url);
    }
    if let Some(audience) = variables.text(AUDIENCE)? {
        environment = environment.audience(audience);
    }
    let environment = environment.build().map_err(under_its_variable)?;

    let mut builder = BloomAuth::builder()
        .environment(environment)
        .client_authentication(authentication);
    if let Some(scope) = variables.text(SCOPE)? {
        let scopes: Scopes = scope.parse().map_err(under_its_variable)?;
        builder = builder.scopes(scopes);
    }
    if let Some(path) = variables.text(CA_FILE)? {
        builder = builder.ca_file(path);
    }
    let (builder, known) = credentials(&variables, lookup, builder)?;
    let is_chosen = variables.is_set(CACHE);
    let in_files =
        variables.choice(CACHE, &[("memory", false), ("none", false), ("file", true)])?;
    match (in_files, variables.text(CACHE_DIR)?) {
        (true, directory) => cache_in_files(directory, lookup, &known, builder),
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
        Err(error) => {
            tracing::warn!(
                target: "bloom_auth.cache",
                %error,
                "{CACHE} is `file`, but access tokens are kept in memory alone",
            );
            Ok(builder)
        }
    }
}

#[cfg(not(feature = "file"))]
fn cache_in_files(
    _: Option<String>,
    _: &Arc<EnvironmentLookup>,
    _: &ClientCredentials,
    _: BloomAuthBuilder,
) -> Result<BloomAuthBuilder, ConfigurationError> {
    Err(ConfigurationError::new(
        CACHE,
        "is `file`, and this program was built without the file cache",
        "build it with the feature `file` of bloom-auth, or use `memory`",
    ))
}

/// The credentials, looked at once so that a fault is found now, and read
/// again at every fetch.
fn credentials(
    variables: &Variables<'_>,
    lookup: &Arc<EnvironmentLookup>,
    builder: BloomAuthBuilder,
) -> Result<(BloomAuthBuilder, ClientCredentials), ConfigurationError> {
    let Some(id) = variables.text(CLIENT_ID)? else {
        return Err(missing(CLIENT_ID));
    };
    match (
        variables.is_set(CLIENT_SECRET),
        variables.is_set(CLIENT_SECRET_FILE),
    ) {
        (true, true) => Err(ConfigurationError::new(
            CLIENT_SECRET,
            format!("and {CLIENT_SECRET_FILE} are both set"),
            "keep the one that is meant",
        )),
        (false, true) => {
            let id = ClientId::new(id).map_err(|error| error.for_setting(CLIENT_ID))?;
            let path = variables.text(CLIENT_SECRET_FILE)?.unwrap_or_default();
            // The likeliest mistake is the secret itself in the place of a path:
            // an error about that file would repeat it.
            if !path.contains(['/', '\\', '.']) && !Path::new(&path).exists() {
                return Err(useless("names no file".to_owned()));
            }
            let source = FileCredentials::new(id, path);
            let known = source.read().map_err(|error| {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                let cause = cause.map(|cause| format!(" ({cause})")).unwrap_or_default();
                useless(format!("is of no use: {error}{cause}"))
            })?;
            Ok((builder.credentials(source), known))
        }
        (true, false) => {
            let lookup = Arc::clone(lookup);
            let source = EnvironmentCredentials::with_lookup(move |name| lookup(name));
            let known = source.read()?;
            Ok((builder.credentials(source), known))
        }
        (false, false) => Err(missing(CLIENT_SECRET)),
    }
}

fn useless(problem: String) -> ConfigurationError {
    let fix = "name a file that holds the client secret alone";
    ConfigurationError::new(CLIENT_SECRET_FILE, problem, fix)
}

fn missing(variable: &'static str) -> ConfigurationError {
    ConfigurationError::new(
        variable,
        "is not set",
        "set BLOOM_CLIENT_ID, and BLOOM_CLIENT_SECRET or BLOOM_CLIENT_SECRET_FILE, to the \
         credentials that Bloom gave",
    )
}

/// Names the variable by which the user set what is wrong.
pub(crate) fn under_its_variable(error: ConfigurationError) -> ConfigurationError {
    let variable = match error.setting() {
        "token URL" => TOKEN_URL,
        "API URL" => API_URL,
        "audience" => AUDIENCE,
        "scope" => SCOPE,
        "cache directory" => CACHE_DIR,
        setting if setting.starts_with("CA file") => {
            let setting = setting.replacen("CA file", CA_FILE, 1);
            return error.for_setting(setting);
        }
        _ => return error,
    };
    error.for_setting(variable)
}

struct Variables<'a>(&'a EnvironmentLookup);

impl Variables<'_> {
    fn is_set(&self, name: &'static str) -> bool {
        let value = (self.0)(name);
        // It may be the secret.
        value.is_some_and(|value| {
            value.into_encoded_bytes().zeroize();
            true
        })
    }

    /// The variable's value; an empty one is a mistake, not an absence.
    fn text(&self, name: &'static str) -> Result<Option<String>, ConfigurationError> {
        let Some(value) = (self.0)(name) else {
            return Ok(None);
        };
        let Ok(value) = value.into_string() else {
            let fix = "set it to plain text";
            return Err(ConfigurationError::new(name, "is not UTF-8", fix));
        };
        if value.is_empty() {
            let fix = "unset it, or give it a value";
            return Err(ConfigurationError::new(name, "is set, but empty", fix));
        }
        Ok(Some(value))
    }

    /// One of the known values; the first is the default.
    fn choice<T: Copy>(
        &self,
        name: &'static str,
        known: &[(&str, T)],
    ) -> Result<T, ConfigurationError> {
        let value = self.text(name)?;
        let found = match &value {
            Some(value) => known.iter().find(|(name, _)| name == value),
            None => known.first(),
        };
        if let Some((_, found)) = found {
            return Ok(*found);
        }
        let names: Vec<_> = known.iter().map(|(name, _)| format!("`{name}`")).collect();
        // A secret that was put here by mistake would be longer.
        let problem = match value.filter(|value| value.len() <= 12) {
            Some(value) => format!("has the unknown value {value:?}"),
            None => "has an unknown value".to_owned(),
        };
        let fix = format!("use {}", names.join(" or "));
        Err(ConfigurationError::new(name, problem, fix))
    }
}
