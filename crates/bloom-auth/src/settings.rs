//! The settings from the environment: which variables, which values, and what
//! is wrong with a wrong one.

mod cache;

use std::{path::Path, sync::Arc};

use bloom_auth_core::{
    AuthVersion, ClientAuthentication, ClientCredentials, ClientId, ConfigurationError,
    CredentialsError, Environment, EnvironmentCredentials, EnvironmentLookup, FileCredentials,
    Scopes,
};
use zeroize::{Zeroize as _, Zeroizing};

use crate::{
    auth::{BloomAuth, BloomAuthBuilder},
    http_options::read_file,
};

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
const PRIVATE_KEY_FILE: &str = "BLOOM_PRIVATE_KEY_FILE";
const PRIVATE_KEY_ID: &str = "BLOOM_PRIVATE_KEY_ID";
const ASSERTION_AUDIENCE: &str = "BLOOM_ASSERTION_AUDIENCE";
const CA_FILE: &str = "BLOOM_CA_FILE";
const CLIENT_CERTIFICATE_FILE: &str = "BLOOM_CLIENT_CERTIFICATE_FILE";
const ALLOW_INSECURE_LOOPBACK: &str = "BLOOM_ALLOW_INSECURE_LOOPBACK";
const CACHE: &str = "BLOOM_CACHE";
const CACHE_DIR: &str = "BLOOM_CACHE_DIR";

/// By what the client proves who it is.
#[derive(Clone, Copy)]
enum Proof {
    Secret(ClientAuthentication),
    PrivateKey,
    Certificate,
}

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
    let proof = variables.choice(
        CLIENT_AUTH,
        &[
            ("post", Proof::Secret(ClientAuthentication::Post)),
            ("basic", Proof::Secret(ClientAuthentication::Basic)),
            ("private_key_jwt", Proof::PrivateKey),
            ("tls_client_auth", Proof::Certificate),
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
    if is_production {
        not_on_loopback(&environment)?;
    }

    let mut builder = BloomAuth::builder().environment(environment);
    if let Some(scope) = variables.text(SCOPE)? {
        let scopes: Scopes = scope.parse().map_err(under_its_variable)?;
        builder = builder.scopes(scopes);
    }
    if let Some(path) = variables.text(CA_FILE)? {
        builder = builder.ca_file(path);
    }
    if let Some(path) = variables.text(CLIENT_CERTIFICATE_FILE)? {
        builder = builder.client_certificate_file(path);
    }
    let (builder, known) = credentials(&variables, proof, lookup, builder)?;
    cache::choose(&variables, lookup, &known, builder)
}

/// What is meant for production must not get tokens of an emulator, nor show
/// its own to one.
fn not_on_loopback(environment: &Environment) -> Result<(), ConfigurationError> {
    for (variable, url) in [
        (TOKEN_URL, environment.token_url()),
        (API_URL, environment.api_url()),
    ] {
        if bloom_auth_core::is_loopback(url) {
            return Err(ConfigurationError::new(
                variable,
                format!("leads to this machine, but {ENVIRONMENT} is `production`"),
                format!("set {ENVIRONMENT} to `sandbox` for an emulator, or unset {variable}"),
            ));
        }
    }
    Ok(())
}

/// A value that somebody was to be put in the place of.
fn not_a_placeholder(variable: &'static str, value: &str) -> Result<(), ConfigurationError> {
    let is_placeholder = [("${", "}"), ("{{", "}}"), ("$(", ")"), ("<", ">")]
        .iter()
        .any(|(start, end)| value.starts_with(start) && value.ends_with(end));
    if is_placeholder {
        return Err(ConfigurationError::new(
            variable,
            "holds a placeholder such as `${NAME}` that nothing was put in the place of",
            "look at what was to fill it in (a shell, a template, a deployment)",
        ));
    }
    Ok(())
}

fn filled_in(
    variable: &'static str,
    credentials: &ClientCredentials,
) -> Result<(), ConfigurationError> {
    let secret = credentials.secret();
    secret.map_or(Ok(()), |secret| {
        not_a_placeholder(variable, secret.expose())
    })
}

/// The credentials, looked at once so that a fault is found now, and read
/// again at every fetch.
fn credentials(
    variables: &Variables<'_>,
    proof: Proof,
    lookup: &Arc<EnvironmentLookup>,
    builder: BloomAuthBuilder,
) -> Result<(BloomAuthBuilder, ClientCredentials), ConfigurationError> {
    let secrets = [CLIENT_SECRET, CLIENT_SECRET_FILE];
    let keys = [PRIVATE_KEY_FILE, PRIVATE_KEY_ID, ASSERTION_AUDIENCE];
    let is_set = |name: &&&'static str| variables.is_set(name);
    let (chosen, useless) = match proof {
        Proof::Secret(_) => ("not `private_key_jwt`", keys.iter().find(is_set)),
        Proof::PrivateKey => ("`private_key_jwt`", secrets.iter().find(is_set)),
        Proof::Certificate => (
            "`tls_client_auth`",
            secrets.iter().chain(&keys).find(is_set),
        ),
    };
    if let Some(useless) = useless {
        let problem = format!("is set, but {CLIENT_AUTH} is {chosen}");
        let fix = format!("unset it, or choose the {CLIENT_AUTH} that it is for");
        return Err(ConfigurationError::new(*useless, problem, fix));
    }
    match proof {
        Proof::Secret(authentication) => {
            let builder = builder.client_authentication(authentication);
            secret(variables, lookup, builder)
        }
        Proof::PrivateKey => private_key(variables, builder),
        Proof::Certificate => certificate(variables, builder),
    }
}

fn secret(
    variables: &Variables<'_>,
    lookup: &Arc<EnvironmentLookup>,
    builder: BloomAuthBuilder,
) -> Result<(BloomAuthBuilder, ClientCredentials), ConfigurationError> {
    let Some(id) = variables.text(CLIENT_ID)? else {
        return Err(missing(CLIENT_ID));
    };
    not_a_placeholder(CLIENT_ID, &id)?;
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
            let path = path(variables, CLIENT_SECRET_FILE, SECRET_FILE_FIX)?;
            let source = FileCredentials::new(id, path);
            let known = source
                .read()
                .map_err(|error| useless(CLIENT_SECRET_FILE, &error, SECRET_FILE_FIX))?;
            filled_in(CLIENT_SECRET_FILE, &known)?;
            Ok((builder.credentials(source), known))
        }
        (true, false) => {
            let lookup = Arc::clone(lookup);
            let source = EnvironmentCredentials::with_lookup(move |name| lookup(name));
            let known = source.read()?;
            filled_in(CLIENT_SECRET, &known)?;
            Ok((builder.credentials(source), known))
        }
        (false, false) => Err(missing(CLIENT_SECRET)),
    }
}

#[cfg(feature = "private-key-jwt")]
fn private_key(
    variables: &Variables<'_>,
    builder: BloomAuthBuilder,
) -> Result<(BloomAuthBuilder, ClientCredentials), ConfigurationError> {
    const FIX: &str = "name a PEM file that holds the client's private key";
    let id = client_id(variables)?;
    let path = path(variables, PRIVATE_KEY_FILE, FIX)?;
    let mut source = bloom_auth_core::PrivateKeyFile::new(id, path);
    if let Some(key_id) = variables.text(PRIVATE_KEY_ID)? {
        source = source.key_id(key_id);
    }
    if let Some(audience) = variables.text(ASSERTION_AUDIENCE)? {
        source = source.audience(audience);
    }
    let known = source.read().map_err(|error| {
        // It may be another setting than the file.
        let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref());
        match cause.map(ConfigurationError::setting) {
            Some("private key id" | "assertion audience") => cause.cloned().map_or_else(
                || useless(PRIVATE_KEY_FILE, &error, FIX),
                under_its_variable,
            ),
            _ => useless(PRIVATE_KEY_FILE, &error, FIX),
        }
    })?;
    Ok((builder.credentials(source), known))
}

#[cfg(not(feature = "private-key-jwt"))]
fn private_key(
    _: &Variables<'_>,
    _: BloomAuthBuilder,
) -> Result<(BloomAuthBuilder, ClientCredentials), ConfigurationError> {
    Err(ConfigurationError::new(
        CLIENT_AUTH,
        "is `private_key_jwt`, and this program was built without it",
        "build it with the feature `private-key-jwt` of bloom-auth",
    ))
}

/// The certificate is the transport's to present; its key is wanted for the tag
/// of the credentials. Both are read once, so that they belong together.
fn certificate(
    variables: &Variables<'_>,
    builder: BloomAuthBuilder,
) -> Result<(BloomAuthBuilder, ClientCredentials), ConfigurationError> {
    const FIX: &str = "name a PEM file that holds the client's certificate and its private key";
    let id = client_id(variables)?;
    let path = path(variables, CLIENT_CERTIFICATE_FILE, FIX)?;
    let pem = read_file(Path::new(&path))
        .map(Zeroizing::new)
        .map_err(|problem| {
            let problem = format!("is of no use: {problem}");
            ConfigurationError::new(CLIENT_CERTIFICATE_FILE, problem, FIX)
        })?;
    let known = ClientCredentials::with_certificate(id, pem.to_vec()).map_err(|error| {
        let setting = format!("{CLIENT_CERTIFICATE_FILE}: {}", error.setting());
        error.for_setting(setting)
    })?;
    let builder = builder.client_certificate(pem.to_vec());
    Ok((builder.credentials(known.clone()), known))
}

fn client_id(variables: &Variables<'_>) -> Result<ClientId, ConfigurationError> {
    let Some(id) = variables.text(CLIENT_ID)? else {
        let fix = "set it to the client id that Bloom gave";
        return Err(ConfigurationError::new(CLIENT_ID, "is not set", fix));
    };
    not_a_placeholder(CLIENT_ID, &id)?;
    ClientId::new(id).map_err(|error| error.for_setting(CLIENT_ID))
}

const SECRET_FILE_FIX: &str = "name a file that holds the client secret alone";

/// The path in this variable.
fn path(
    variables: &Variables<'_>,
    variable: &'static str,
    fix: &'static str,
) -> Result<String, ConfigurationError> {
    let Some(path) = variables.text(variable)? else {
        return Err(ConfigurationError::new(variable, "is not set", fix));
    };
    // The likeliest mistake is the secret or key itself in the place of a path:
    // an error about that file would repeat it.
    let is_content = !path.contains(['/', '\\', '.']);
    if is_key(Path::new(&path)) || is_content && !Path::new(&path).exists() {
        return Err(ConfigurationError::new(variable, "names no file", fix));
    }
    Ok(path)
}

/// Whether a key, or certificates, stand in the place of a path: as PEM, as PEM
/// in base64, or as what is between the first and the last line of PEM.
pub(crate) fn is_key(path: &Path) -> bool {
    let text = path.to_string_lossy();
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/= \r\n".contains(&byte);
    // `-----` in base64; and the shortest key there is, which like all of them
    // begins as a sequence does.
    let is_long = text.starts_with('M') && text.len() >= 64;
    let is_encoded = (text.starts_with("LS0tLS1") || is_long) && text.bytes().all(is_base64);
    (is_encoded || text.contains("-----BEGIN ")) && !path.exists()
}

fn useless(
    variable: &'static str,
    error: &CredentialsError,
    fix: &'static str,
) -> ConfigurationError {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    let cause = cause.map(|cause| format!(" ({cause})")).unwrap_or_default();
    ConfigurationError::new(variable, format!("is of no use: {error}{cause}"), fix)
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
        "Redis URL" => CACHE,
        "private key id" => PRIVATE_KEY_ID,
        "assertion audience" => ASSERTION_AUDIENCE,
        // Read from its file already, for what proves the client.
        "client certificate" => CLIENT_CERTIFICATE_FILE,
        // Which file, and what of it, is said there too.
        setting => {
            for (name, variable) in [
                ("CA file", CA_FILE),
                ("client certificate file", CLIENT_CERTIFICATE_FILE),
            ] {
                if let Some(rest) = setting.strip_prefix(name) {
                    let setting = format!("{variable}{rest}");
                    return error.for_setting(setting);
                }
            }
            return error;
        }
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

    /// The variable's value; one of nothing, or of spaces alone, is a mistake, not
    /// an absence.
    fn text(&self, name: &'static str) -> Result<Option<String>, ConfigurationError> {
        let Some(value) = (self.0)(name) else {
            return Ok(None);
        };
        let Ok(value) = value.into_string() else {
            let fix = "set it to plain text";
            return Err(ConfigurationError::new(name, "is not UTF-8", fix));
        };
        if value.trim().is_empty() {
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
        // A secret that was put here by mistake would be longer, and a URL has a
        // colon.
        let is_harmless = |value: &String| value.len() <= 12 && !value.contains(':');
        let problem = match value.filter(is_harmless) {
            Some(value) => format!("has the unknown value {value:?}"),
            None => "has an unknown value".to_owned(),
        };
        let fix = format!("use {}", names.join(" or "));
        Err(ConfigurationError::new(name, problem, fix))
    }
}
