//! What may be shown of a setting: a secret may stand in any of them, by mistake
//! or because it belongs there.

use std::path::Path;

use crate::settings::{Origin, Value, names};

const LEFT_OUT: &str = "(left out)";

/// The value, without what could be secret in it.
pub(super) fn text(
    Value {
        setting,
        value,
        origin,
    }: &Value,
) -> String {
    let text = String::from_utf8_lossy(value);
    match setting.variable {
        names::CLIENT_SECRET => "(set)".to_owned(),
        names::TOKEN_URL | names::API_URL => url(&text),
        names::CACHE => cache(&text),
        names::ENVIRONMENT
        | names::AUTH_VERSION
        | names::CLIENT_AUTH
        | names::ALLOW_INSECURE_LOOPBACK => choice(&text),
        _ if setting.is_path && !is_path(&text, origin) => "(not a path)".to_owned(),
        _ => text.into_owned(),
    }
}

/// The URL, without the password that makes it a wrong setting, and without its
/// query, in which some gateways want a key.
pub(super) fn url(url: &str) -> String {
    let start = url.find("://").map(|at| at + 3);
    let (scheme, rest) = url.split_at(start.unwrap_or(0));
    let (password, rest) = match rest.rfind('@') {
        // Where the one ends and the other begins is anyone's guess.
        Some(at) if rest[..at].contains(['?', '#']) => return format!("{scheme}{LEFT_OUT}"),
        // As far as any reader would look for one, even one that reads wrongly.
        Some(at) => (LEFT_OUT, &rest[at..]),
        None if start.is_none() => return "(not a URL)".to_owned(),
        None => ("", rest),
    };
    match rest.split_once(['?', '#']) {
        Some((rest, _)) => format!("{scheme}{password}{rest}?{LEFT_OUT}"),
        None => format!("{scheme}{password}{rest}"),
    }
}

/// A place for tokens; of a server's URL, scheme and host alone.
fn cache(text: &str) -> String {
    if text.starts_with("unix:") {
        return format!("unix:{LEFT_OUT}");
    }
    if !text.contains("://") {
        return choice(text);
    }
    let url = url(text);
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find('/').map_or(url.len(), |at| start + at);
    url[..end].to_owned()
}

/// One of a few words: what is longer than all of them, or has a colon as URLs
/// have, is something else that was put here by mistake.
fn choice(text: &str) -> String {
    let is_known = ["private_key_jwt", "tls_client_auth"].contains(&text);
    if is_known || text.len() <= 12 && !text.contains(':') {
        return text.to_owned();
    }
    "(an unknown value)".to_owned()
}

/// Whether it may be shown as a path. The likeliest mistake is the secret or key
/// itself in its place.
fn is_path(text: &str, origin: &Origin) -> bool {
    let path = Path::new(text);
    // In a file of settings, as it was written there.
    let written = match origin {
        Origin::File { path: file, .. } => {
            let directory = file.parent().and_then(|it| std::path::absolute(it).ok());
            directory.and_then(|directory| path.strip_prefix(directory).ok())
        }
        _ => None,
    };
    let written = written.unwrap_or(path).to_string_lossy();
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    let is_content = written.contains(['\n', '\r'])
        || written.contains("-----BEGIN ")
        || !written.contains(['/', '\\', '.'])
        || written.len() >= 32 && !written.starts_with('/') && written.bytes().all(is_base64);
    !is_content || path.exists()
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::settings::names::SETTINGS;

    const PEM: &str = "-----BEGIN PRIVATE KEY-----\ncanary/canary\n-----END PRIVATE KEY-----\n";
    const ENCODED: &str = "MC4CAQAwBQYDK2VwBCIEIcanary/canary+canarycanarycanarycanarycanary=";

    /// A setting, a value, and what is shown of that.
    const ROWS: &[(&str, &str, &str)] = &[
        (names::ENVIRONMENT, "production", "production"),
        (
            names::ENVIRONMENT,
            "canary-0123456789",
            "(an unknown value)",
        ),
        (names::AUTH_VERSION, "v3", "v3"),
        (
            names::AUTH_VERSION,
            "canary-0123456789",
            "(an unknown value)",
        ),
        (names::CLIENT_AUTH, "private_key_jwt", "private_key_jwt"),
        (names::CLIENT_AUTH, "tls_client_auth", "tls_client_auth"),
        (
            names::CLIENT_AUTH,
            "canary-0123456789",
            "(an unknown value)",
        ),
        (names::ALLOW_INSECURE_LOOPBACK, "true", "true"),
        (
            names::ALLOW_INSECURE_LOOPBACK,
            "x:canary",
            "(an unknown value)",
        ),
        (names::TOKEN_URL, "https://a.test/t", "https://a.test/t"),
        (
            names::TOKEN_URL,
            "https://a.test/t?code=canary",
            "https://a.test/t?(left out)",
        ),
        (
            names::TOKEN_URL,
            "https://me:canary@a.test/t?code=canary",
            "https://(left out)@a.test/t?(left out)",
        ),
        (
            names::TOKEN_URL,
            "https://me:can?ary@a.test/t",
            "https://(left out)",
        ),
        (
            names::TOKEN_URL,
            "https://a.test/t?code=can@canary",
            "https://(left out)",
        ),
        (
            names::TOKEN_URL,
            "https://a.test/t#canary",
            "https://a.test/t?(left out)",
        ),
        (names::TOKEN_URL, "canary", "(not a URL)"),
        (
            names::API_URL,
            "https://a.test/?code=canary",
            "https://a.test/?(left out)",
        ),
        (names::CLIENT_SECRET, "canary", "(set)"),
        (names::CLIENT_SECRET_FILE, "/no/secret", "/no/secret"),
        (names::CLIENT_SECRET_FILE, "secret.txt", "secret.txt"),
        (names::CLIENT_SECRET_FILE, "canary", "(not a path)"),
        (names::CLIENT_SECRET_FILE, "canary.a\n", "(not a path)"),
        (names::PRIVATE_KEY_FILE, "/no/key.pem", "/no/key.pem"),
        (names::PRIVATE_KEY_FILE, PEM, "(not a path)"),
        (names::PRIVATE_KEY_FILE, ENCODED, "(not a path)"),
        (names::CLIENT_CERTIFICATE_FILE, PEM, "(not a path)"),
        (names::CA_FILE, PEM, "(not a path)"),
        (names::CACHE_DIR, "/no/directory", "/no/directory"),
        (names::CACHE_DIR, "canary", "(not a path)"),
        (names::CACHE, "file", "file"),
        (names::CACHE, "memory", "memory"),
        (names::CACHE, "none", "none"),
        (names::CACHE, "fiel", "fiel"),
        (names::CACHE, "canary-0123456789", "(an unknown value)"),
        (
            names::CACHE,
            "rediss://bloom:canary@redis.internal:6379/0",
            "rediss://(left out)@redis.internal:6379",
        ),
        (
            names::CACHE,
            "redis://localhost/canary?canary",
            "redis://localhost",
        ),
        (
            names::CACHE,
            "unix:/run/redis.sock?user=me&pass=canary",
            "unix:(left out)",
        ),
        // They are sent, shown by servers, and no secrets.
        (names::AUDIENCE, "an audience", "an audience"),
        (names::SCOPE, "data-access:all", "data-access:all"),
        (names::CLIENT_ID, "an id", "an id"),
        (names::PRIVATE_KEY_ID, "a key's id", "a key's id"),
        (
            names::ASSERTION_AUDIENCE,
            "https://a.test/",
            "https://a.test/",
        ),
    ];

    fn value(variable: &str, value: &str, origin: Origin) -> Value {
        let setting = SETTINGS.iter().find(|it| it.variable == variable).unwrap();
        let value = Zeroizing::new(value.as_bytes().to_vec());
        Value {
            setting,
            value,
            origin,
        }
    }

    #[test]
    fn p42_a_setting_is_shown_without_what_could_be_secret_in_it() {
        for setting in SETTINGS {
            let mut rows = ROWS.iter();
            assert!(rows.any(|row| row.0 == setting.variable), "{setting:?}");
        }
        for (variable, written, expected) in ROWS {
            let value = value(variable, written, Origin::Default);
            assert_eq!(text(&value), *expected, "{variable}={written}");
            assert!(!expected.contains("canary"));
        }
    }

    #[test]
    fn p42_a_secret_for_a_path_in_a_file_of_settings_is_not_shown() {
        let directory = tempfile::tempdir().unwrap();
        let origin = || Origin::File {
            key: "client_secret_file",
            path: directory.path().join("bloom-auth.toml"),
            line: 1,
        };
        std::fs::write(directory.path().join("secret"), "canary").unwrap();
        for (written, is_shown) in [("canary", false), ("secret", true), ("no/secret", true)] {
            let path = directory.path().join(written);
            let path = path.to_str().unwrap();
            let shown = text(&value(names::CLIENT_SECRET_FILE, path, origin()));
            assert_eq!(shown, if is_shown { path } else { "(not a path)" });
        }
    }
}
