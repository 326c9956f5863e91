//! Settings from the environment: they are wrong exactly where the rules say so; an error names the
//! variable, and shows nothing secret; what is accepted sends no secret in the clear.
//!
//! A line `NAME: value` for each variable. A value of `@secret`, `@key`, `@empty` or `@long` is the
//! path of a file that holds that.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use bloom_auth::{BloomAuth, ConfigurationError};
use bloom_auth_core::{AuthVersion, is_loopback, test_util::ED25519};

use crate::message::Message;

/// Everything that is ever asked for.
const DOCUMENTED: [&str; 21] = [
    "BLOOM_ALLOW_INSECURE_LOOPBACK",
    "BLOOM_API_URL",
    "BLOOM_ASSERTION_AUDIENCE",
    "BLOOM_AUDIENCE",
    "BLOOM_AUTH_VERSION",
    "BLOOM_CACHE",
    "BLOOM_CACHE_DIR",
    "BLOOM_CA_FILE",
    "BLOOM_CLIENT_AUTH",
    "BLOOM_CLIENT_CERTIFICATE_FILE",
    "BLOOM_CLIENT_ID",
    "BLOOM_CLIENT_SECRET",
    "BLOOM_CLIENT_SECRET_FILE",
    "BLOOM_ENVIRONMENT",
    "BLOOM_PRIVATE_KEY_FILE",
    "BLOOM_PRIVATE_KEY_ID",
    "BLOOM_SCOPE",
    "BLOOM_TOKEN_URL",
    "HOME",
    "LOCALAPPDATA",
    "XDG_CACHE_HOME",
];

/// Those with a few values.
const CHOICES: [(&str, &[&str]); 4] = [
    (
        "BLOOM_ALLOW_INSECURE_LOOPBACK",
        &["false", "true", "0", "1"],
    ),
    ("BLOOM_AUTH_VERSION", &["v1", "v2"]),
    (
        "BLOOM_CLIENT_AUTH",
        &["post", "basic", "private_key_jwt", "tls_client_auth"],
    ),
    ("BLOOM_ENVIRONMENT", &["sandbox", "production"]),
];

/// Those whose value is in no error, whatever it is.
const NEVER_SHOWN: [&str; 6] = [
    "BLOOM_API_URL",
    "BLOOM_AUDIENCE",
    "BLOOM_CLIENT_ID",
    "BLOOM_CLIENT_SECRET",
    "BLOOM_SCOPE",
    "BLOOM_TOKEN_URL",
];

/// Stands in values that no error may show.
const CANARY: &str = "canary";

/// Tries one input.
pub fn run(input: &[u8]) {
    let message = Message::parse_lines(input);
    let mut variables: Vec<(String, OsString)> = Vec::new();
    for (name, value) in message.lines() {
        let Some(value) = value_of(value) else { return };
        // The first one counts.
        if !variables.iter().any(|(it, _)| it == name) {
            variables.push((name.to_owned(), value));
        }
    }
    let variables = Variables(variables);
    match read(&variables) {
        Ok(auth) => {
            assert_eq!(variables.fault(), None, "{auth:?}");
            accepted(&variables, &auth);
        }
        Err(error) => refused(&variables, &error),
    }
}

/// Keeps to files that are meant; what lies on this machine is no part of the input.
fn value_of(value: &[u8]) -> Option<OsString> {
    static FILES: OnceLock<PathBuf> = OnceLock::new();
    if let Ok(text) = std::str::from_utf8(value) {
        let path = Path::new(text);
        if ["@secret", "@key", "@empty", "@long"].contains(&text) {
            return Some(FILES.get_or_init(files).join(text).into());
        }
        if path.exists() && !path.is_dir() || text.contains("fuzz-files") {
            return None;
        }
    }
    #[cfg(unix)]
    let value = std::os::unix::ffi::OsStringExt::from_vec(value.to_vec());
    #[cfg(not(unix))]
    let value = String::from_utf8_lossy(value).into_owned().into();
    Some(value)
}

fn files() -> PathBuf {
    let folder = format!("{}/../../target/fuzz-files", env!("CARGO_MANIFEST_DIR"));
    let folder = PathBuf::from(folder).join(format!("settings-{}", std::process::id()));
    let written = fs::create_dir_all(&folder)
        .and_then(|()| {
            fs::write(
                folder.join("@secret"),
                "a secret of more than 32 characters\n",
            )
        })
        .and_then(|()| fs::write(folder.join("@key"), ED25519.private_pem))
        .and_then(|()| fs::write(folder.join("@empty"), ""))
        .and_then(|()| fs::write(folder.join("@long"), "x".repeat(70_000)));
    written.unwrap_or_else(|error| panic!("{error}"));
    folder
}

fn read(variables: &Variables) -> Result<BloomAuth, ConfigurationError> {
    let variables = variables.clone();
    BloomAuth::from_lookup(move |name| {
        assert!(DOCUMENTED.contains(&name), "`{name}` is documented nowhere");
        variables.get(name).cloned()
    })
}

#[derive(Clone, Debug)]
struct Variables(Vec<(String, OsString)>);

impl Variables {
    fn get(&self, name: &str) -> Option<&OsString> {
        let mut variables = self.0.iter();
        variables.find(|(it, _)| it == name).map(|(_, value)| value)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.to_str()
    }

    fn is_loopback_allowed(&self) -> bool {
        let allowed = self.text("BLOOM_ALLOW_INSECURE_LOOPBACK");
        matches!(allowed, Some("true" | "1"))
    }

    /// A fault that there surely is.
    fn fault(&self) -> Option<&'static str> {
        for (name, values) in CHOICES {
            if let Some(value) = self.get(name)
                && !value.to_str().is_some_and(|value| values.contains(&value))
            {
                return Some(name);
            }
        }
        let is_set = |name: &str| self.get(name).is_some();
        // An empty value is no absence.
        for name in DOCUMENTED.iter().filter(|name| name.starts_with("BLOOM_")) {
            if let Some(value) = self.get(name)
                && value.to_str().is_none_or(|value| value.trim().is_empty())
            {
                return Some(name);
            }
        }
        if !is_set("BLOOM_CLIENT_ID") {
            return Some("BLOOM_CLIENT_ID");
        }
        let secrets = [
            is_set("BLOOM_CLIENT_SECRET"),
            is_set("BLOOM_CLIENT_SECRET_FILE"),
        ];
        let secrets = secrets.iter().filter(|is_set| **is_set).count();
        let is_key = |name: &&str| is_set(name);
        let keys = [
            "BLOOM_PRIVATE_KEY_FILE",
            "BLOOM_PRIVATE_KEY_ID",
            "BLOOM_ASSERTION_AUDIENCE",
        ];
        let keys = keys.iter().filter(|name| is_key(name)).count();
        let is_wrong = match self.text("BLOOM_CLIENT_AUTH") {
            Some("private_key_jwt") => secrets > 0 || !is_set("BLOOM_PRIVATE_KEY_FILE"),
            Some("tls_client_auth") => {
                secrets + keys > 0 || !is_set("BLOOM_CLIENT_CERTIFICATE_FILE")
            }
            _ => secrets != 1 || keys > 0,
        };
        if is_wrong {
            return Some("BLOOM_CLIENT_AUTH");
        }
        // Version 2 asks for a scope, version 1 takes none.
        if is_set("BLOOM_SCOPE") != (self.text("BLOOM_AUTH_VERSION") == Some("v2")) {
            return Some("BLOOM_SCOPE");
        }
        if is_set("BLOOM_CACHE_DIR") && !is_set("BLOOM_CACHE") {
            return Some("BLOOM_CACHE_DIR");
        }
        let cache = self.text("BLOOM_CACHE").unwrap_or("memory");
        let is_server = ["redis:", "rediss:", "unix:"]
            .iter()
            .any(|it| cache.starts_with(it));
        if !is_server && !["memory", "none", "file"].contains(&cache) {
            return Some("BLOOM_CACHE");
        }
        for name in ["BLOOM_API_URL", "BLOOM_TOKEN_URL"] {
            let url = self.text(name).unwrap_or("https://x");
            let is_https = url.to_ascii_lowercase().starts_with("https://");
            let is_http = url.to_ascii_lowercase().starts_with("http://");
            let is_safe = is_https || is_http && self.is_loopback_allowed();
            // Who calls is said before the path; in a query `@` is a character.
            let authority = url.split("://").nth(1).unwrap_or_default();
            let authority = authority.split(['/', '?']).next().unwrap_or_default();
            if !is_safe || authority.contains('@') || url.contains('#') {
                return Some(name);
            }
        }
        None
    }
}

fn accepted(variables: &Variables, auth: &BloomAuth) {
    let environment = auth.environment();
    let is_production = variables.text("BLOOM_ENVIRONMENT") == Some("production");
    for (name, url) in [
        ("BLOOM_TOKEN_URL", environment.token_url()),
        ("BLOOM_API_URL", environment.api_url()),
    ] {
        let is_secure = url.scheme_str() == Some("https");
        let is_here = is_loopback(url);
        assert!(
            is_secure || is_here && variables.is_loopback_allowed(),
            "{url}"
        );
        assert!(!(is_production && is_here), "{url}");
        if let Some(given) = variables.text(name) {
            assert_eq!(given.parse().ok().as_ref(), Some(url));
        }
    }
    let version = match variables.text("BLOOM_AUTH_VERSION") {
        Some("v2") => AuthVersion::V2,
        _ => AuthVersion::V1,
    };
    assert_eq!(environment.auth_version(), version);
    let audience = if is_production {
        "api.bloomcredit.io"
    } else {
        "dev-api"
    };
    let audience = variables.text("BLOOM_AUDIENCE").unwrap_or(audience);
    assert_eq!(environment.audience(), Some(audience));
    let is_hidden = variables.hides_canary(&["BLOOM_CLIENT_SECRET"]);
    assert!(!(is_hidden && format!("{auth:?} {auth:#?}").contains(CANARY)));
}

fn refused(variables: &Variables, error: &ConfigurationError) {
    let setting = error.setting();
    assert!(
        setting.starts_with("BLOOM_"),
        "{error} does not name the variable"
    );
    let text = format!("{error} {error:?}");
    if variables.hides_canary(&NEVER_SHOWN) {
        assert!(!text.contains(CANARY), "{text}");
    }
}

impl Variables {
    /// Whether the canary is in these alone.
    fn hides_canary(&self, names: &[&str]) -> bool {
        let has_canary = |value: &OsString| value.to_string_lossy().contains(CANARY);
        let mut others = self
            .0
            .iter()
            .filter(|(name, _)| !names.contains(&name.as_str()));
        !others.any(|(_, value)| has_canary(value))
    }
}
