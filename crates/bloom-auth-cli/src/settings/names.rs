//! The settings that there are: variable, flag and key of each.

pub(crate) const CLIENT_ID: &str = "BLOOM_CLIENT_ID";
pub(crate) const CLIENT_SECRET: &str = "BLOOM_CLIENT_SECRET";
pub(crate) const CLIENT_SECRET_FILE: &str = "BLOOM_CLIENT_SECRET_FILE";
pub(crate) const ENVIRONMENT: &str = "BLOOM_ENVIRONMENT";
pub(crate) const AUTH_VERSION: &str = "BLOOM_AUTH_VERSION";
pub(crate) const SCOPE: &str = "BLOOM_SCOPE";
pub(crate) const AUDIENCE: &str = "BLOOM_AUDIENCE";
pub(crate) const TOKEN_URL: &str = "BLOOM_TOKEN_URL";
pub(crate) const API_URL: &str = "BLOOM_API_URL";
pub(crate) const CLIENT_AUTH: &str = "BLOOM_CLIENT_AUTH";
pub(crate) const PRIVATE_KEY_FILE: &str = "BLOOM_PRIVATE_KEY_FILE";
pub(crate) const PRIVATE_KEY_ID: &str = "BLOOM_PRIVATE_KEY_ID";
pub(crate) const ASSERTION_AUDIENCE: &str = "BLOOM_ASSERTION_AUDIENCE";
pub(crate) const CA_FILE: &str = "BLOOM_CA_FILE";
pub(crate) const CLIENT_CERTIFICATE_FILE: &str = "BLOOM_CLIENT_CERTIFICATE_FILE";
pub(crate) const ALLOW_INSECURE_LOOPBACK: &str = "BLOOM_ALLOW_INSECURE_LOOPBACK";
pub(crate) const CACHE: &str = "BLOOM_CACHE";
pub(crate) const CACHE_DIR: &str = "BLOOM_CACHE_DIR";

/// Which file, and which profile in it: settings of where settings are.
pub(crate) const CONFIG: &str = "BLOOM_CONFIG";
pub(crate) const PROFILE: &str = "BLOOM_PROFILE";

/// What we set for others, and so is no misspelling.
pub(crate) const OUTPUT: &[&str] = &["BLOOM_ACCESS_TOKEN", "BLOOM_ACCESS_TOKEN_EXPIRES_AT"];

#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) variable: &'static str,
    pub(crate) flag: &'static str,
    pub(crate) key: &'static str,
    /// Whether a relative one in a file of settings is meant from there.
    pub(crate) is_path: bool,
}

const fn text(variable: &'static str, flag: &'static str, key: &'static str) -> Setting {
    Setting {
        variable,
        flag,
        key,
        is_path: false,
    }
}

const fn path(variable: &'static str, flag: &'static str, key: &'static str) -> Setting {
    Setting {
        variable,
        flag,
        key,
        is_path: true,
    }
}

/// In the order in which `status` shows them.
pub(crate) const SETTINGS: &[Setting] = &[
    text(ENVIRONMENT, "--environment", "environment"),
    text(AUTH_VERSION, "--auth-version", "auth_version"),
    text(TOKEN_URL, "--token-url", "token_url"),
    text(API_URL, "--api-url", "api_url"),
    text(AUDIENCE, "--audience", "audience"),
    text(SCOPE, "--scope", "scope"),
    text(CLIENT_ID, "--client-id", "client_id"),
    text(CLIENT_SECRET, "--client-secret", "client_secret"),
    path(
        CLIENT_SECRET_FILE,
        "--client-secret-file",
        "client_secret_file",
    ),
    text(CLIENT_AUTH, "--client-auth", "client_auth"),
    path(PRIVATE_KEY_FILE, "--private-key-file", "private_key_file"),
    text(PRIVATE_KEY_ID, "--private-key-id", "private_key_id"),
    text(
        ASSERTION_AUDIENCE,
        "--assertion-audience",
        "assertion_audience",
    ),
    path(CA_FILE, "--ca-file", "ca_file"),
    path(
        CLIENT_CERTIFICATE_FILE,
        "--client-certificate-file",
        "client_certificate_file",
    ),
    text(
        ALLOW_INSECURE_LOOPBACK,
        "--allow-insecure-loopback",
        "allow_insecure_loopback",
    ),
    text(CACHE, "--cache", "cache"),
    path(CACHE_DIR, "--cache-dir", "cache_dir"),
];

/// The known word that was probably meant, if any is near.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let far = (word.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|known| (strsim::osa_distance(word, known), known))
        .filter(|(distance, _)| *distance <= far)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_setting_follow_from_its_variable() {
        for setting in SETTINGS {
            let key = setting.variable.trim_start_matches("BLOOM_").to_lowercase();
            assert_eq!(setting.key, key);
            assert_eq!(setting.flag, format!("--{}", key.replace('_', "-")));
        }
    }

    #[test]
    fn k13_the_nearest_word_is_near() {
        let known = ["client_id", "client_secret", "client_secret_file"];
        for (word, found) in [
            ("client_secrt", Some("client_secret")),
            ("clientid", Some("client_id")),
            ("CLIENT_ID", None),
            ("colour", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, known), found, "{word}");
        }
    }
}
