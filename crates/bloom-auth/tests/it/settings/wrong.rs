//! Wrong settings: each is found at once, and told by its name, its fault and
//! the fix, without a word of a secret.

use super::{ID, SECRET, Variables};

const EVERY: [&str; 15] = [
    "BLOOM_CLIENT_ID",
    "BLOOM_CLIENT_SECRET",
    "BLOOM_CLIENT_SECRET_FILE",
    "BLOOM_ENVIRONMENT",
    "BLOOM_AUTH_VERSION",
    "BLOOM_SCOPE",
    "BLOOM_AUDIENCE",
    "BLOOM_TOKEN_URL",
    "BLOOM_API_URL",
    "BLOOM_CLIENT_AUTH",
    "BLOOM_CLIENT_CERTIFICATE_FILE",
    "BLOOM_CA_FILE",
    "BLOOM_ALLOW_INSECURE_LOOPBACK",
    "BLOOM_CACHE",
    "BLOOM_CACHE_DIR",
];

/// What is set on top of a client id and a secret, or unset; and the error.
type Row = (
    &'static [(&'static str, Option<&'static str>)],
    &'static str,
);

const UNSET: Option<&str> = None;

/// The error of these settings, after a look for secrets in it.
pub(super) fn error(variables: &Variables) -> String {
    let Err(error) = variables.build() else {
        panic!("these settings are taken: {variables:?}");
    };
    let shown = format!("{error} {error:?} {error:#?}");
    assert!(!shown.contains("canary"), "{shown}");
    error.to_string()
}

fn check(rows: &[Row]) {
    for (pairs, expected) in rows {
        let variables = Variables::minimal();
        for (name, value) in *pairs {
            match value {
                Some(value) => variables.set(name, *value),
                None => variables.unset(name),
            }
        }
        assert_eq!(error(&variables), *expected, "{pairs:?}");
    }
}

#[test]
fn k11_a_placeholder_that_nobody_filled_in_is_no_secret() {
    for secret in [
        "${CANARY_SECRET}",
        "{{ canary_secret }}",
        "<canary>",
        "$(canary)",
    ] {
        let variables = Variables::minimal();
        variables.set("BLOOM_CLIENT_SECRET", secret);
        assert_eq!(
            error(&variables),
            "BLOOM_CLIENT_SECRET holds a placeholder such as `${NAME}` that nothing was put in the \
             place of: look at what was to fill it in (a shell, a template, a deployment)"
        );
    }
    check(&[(
        &[("BLOOM_CLIENT_ID", Some("${CLIENT_ID}"))],
        "BLOOM_CLIENT_ID holds a placeholder such as `${NAME}` that nothing was put in the place \
         of: look at what was to fill it in (a shell, a template, a deployment)",
    )]);
}

#[test]
fn k15_production_does_not_ask_an_emulator() {
    check(&[
        (
            &[
                ("BLOOM_ENVIRONMENT", Some("production")),
                ("BLOOM_TOKEN_URL", Some("https://127.0.0.1:1/oauth/token")),
            ],
            "BLOOM_TOKEN_URL leads to this machine, but BLOOM_ENVIRONMENT is `production`: set \
             BLOOM_ENVIRONMENT to `sandbox` for an emulator, or unset BLOOM_TOKEN_URL",
        ),
        (
            &[
                ("BLOOM_ENVIRONMENT", Some("production")),
                ("BLOOM_ALLOW_INSECURE_LOOPBACK", Some("true")),
                ("BLOOM_API_URL", Some("http://localhost:1")),
            ],
            "BLOOM_API_URL leads to this machine, but BLOOM_ENVIRONMENT is `production`: set \
             BLOOM_ENVIRONMENT to `sandbox` for an emulator, or unset BLOOM_API_URL",
        ),
    ]);
}

#[test]
fn k4_wrong_settings_are_named_with_their_fault_and_the_fix() {
    check(&[
        (
            &[("BLOOM_CLIENT_ID", UNSET), ("BLOOM_CLIENT_SECRET", UNSET)],
            "BLOOM_CLIENT_ID is not set: set BLOOM_CLIENT_ID, and BLOOM_CLIENT_SECRET or \
                 BLOOM_CLIENT_SECRET_FILE, to the credentials that Bloom gave",
        ),
        (
            &[("BLOOM_CLIENT_ID", UNSET)],
            "BLOOM_CLIENT_ID is not set: set BLOOM_CLIENT_ID, and BLOOM_CLIENT_SECRET or \
                 BLOOM_CLIENT_SECRET_FILE, to the credentials that Bloom gave",
        ),
        (
            &[("BLOOM_CLIENT_SECRET", UNSET)],
            "BLOOM_CLIENT_SECRET is not set: set BLOOM_CLIENT_ID, and BLOOM_CLIENT_SECRET \
                 or BLOOM_CLIENT_SECRET_FILE, to the credentials that Bloom gave",
        ),
        (
            &[("BLOOM_CLIENT_ID", Some("the\nclient"))],
            "BLOOM_CLIENT_ID has a control character at byte 3: use the value that Bloom \
                 gave, without quotes or line breaks",
        ),
        (
            &[("BLOOM_CLIENT_SECRET", Some("canary\n"))],
            "BLOOM_CLIENT_SECRET has a control character at byte 6: use the value that \
                 Bloom gave, without quotes or line breaks",
        ),
        (
            &[("BLOOM_CLIENT_SECRET", Some("\u{7f}canary"))],
            "BLOOM_CLIENT_SECRET has a control character at byte 0: use the value that \
                 Bloom gave, without quotes or line breaks",
        ),
        (
            &[("BLOOM_CLIENT_SECRET_FILE", Some("/run/secrets/bloom"))],
            "BLOOM_CLIENT_SECRET and BLOOM_CLIENT_SECRET_FILE are both set: keep the one \
                 that is meant",
        ),
        (
            &[("BLOOM_AUTH_VERSION", Some("v2"))],
            "BLOOM_SCOPE is missing, and Authorization V2 requires one: ask for \
                 `data-access:all`, `furnishment:all`, or both",
        ),
        (
            &[("BLOOM_SCOPE", Some("data-access:all"))],
            "BLOOM_SCOPE is set, and Authorization V1 takes none: remove the scope, or \
                 choose Authorization V2",
        ),
        (
            &[
                ("BLOOM_AUTH_VERSION", Some("v1")),
                ("BLOOM_SCOPE", Some("data-access:all")),
            ],
            "BLOOM_SCOPE is set, and Authorization V1 takes none: remove the scope, or \
                 choose Authorization V2",
        ),
        (
            &[
                ("BLOOM_AUTH_VERSION", Some("v2")),
                ("BLOOM_SCOPE", Some("a\tb")),
            ],
            "BLOOM_SCOPE has no scope as its word number 1 (RFC 6749, section 3.3): \
                 separate scopes by single spaces, for example `data-access:all \
                 furnishment:all`",
        ),
        (
            &[
                ("BLOOM_AUTH_VERSION", Some("v2")),
                ("BLOOM_SCOPE", Some("a \"b\"")),
            ],
            "BLOOM_SCOPE has no scope as its word number 2 (RFC 6749, section 3.3): \
                 separate scopes by single spaces, for example `data-access:all \
                 furnishment:all`",
        ),
        (
            &[
                ("BLOOM_AUTH_VERSION", Some("v2")),
                ("BLOOM_SCOPE", Some("  ")),
            ],
            "BLOOM_SCOPE is set, but empty: unset it, or give it a value",
        ),
        (
            &[("BLOOM_AUDIENCE", Some("dev\r\napi"))],
            "BLOOM_AUDIENCE is empty or has a control character: use the audience of the \
                 environment, such as `dev-api`",
        ),
    ]);
}

#[test]
fn k1_k2_urls_that_would_leak_are_named_with_their_fault_and_the_fix() {
    check(&[
        (
            &[("BLOOM_TOKEN_URL", Some("http://auth.bloom.dev/oauth/token"))],
            "BLOOM_TOKEN_URL is plain http to a host that is not this machine: use https: \
                 secrets and tokens never travel in the clear",
        ),
        (
            &[("BLOOM_API_URL", Some("http://sandbox.bloom.dev/"))],
            "BLOOM_API_URL is plain http to a host that is not this machine: use https: \
                 secrets and tokens never travel in the clear",
        ),
        (
            &[("BLOOM_TOKEN_URL", Some("http://127.0.0.1:8080/oauth/token"))],
            "BLOOM_TOKEN_URL is plain http: use https, or allow insecure loopback by name \
                 for local tests",
        ),
        (
            &[
                ("BLOOM_TOKEN_URL", Some("http://localhost/oauth/token")),
                ("BLOOM_ALLOW_INSECURE_LOOPBACK", Some("0")),
            ],
            "BLOOM_TOKEN_URL is plain http: use https, or allow insecure loopback by name \
                 for local tests",
        ),
        (
            &[
                ("BLOOM_TOKEN_URL", Some("http://auth.bloom.dev/oauth/token")),
                ("BLOOM_ALLOW_INSECURE_LOOPBACK", Some("1")),
            ],
            "BLOOM_TOKEN_URL is plain http to a host that is not this machine: use https: \
                 secrets and tokens never travel in the clear",
        ),
        (
            &[(
                "BLOOM_TOKEN_URL",
                Some("https://user:canary@auth.bloom.dev/"),
            )],
            "BLOOM_TOKEN_URL has userinfo (`user:password@`): remove it: credentials never \
                 go into URLs",
        ),
        (
            &[("BLOOM_API_URL", Some("https://canary@sandbox.bloom.dev/"))],
            "BLOOM_API_URL has userinfo (`user:password@`): remove it: credentials never \
                 go into URLs",
        ),
        (
            &[("BLOOM_TOKEN_URL", Some("https://auth.bloom.dev/#canary"))],
            "BLOOM_TOKEN_URL has a fragment: remove the part from `#` on",
        ),
        (
            &[("BLOOM_API_URL", Some("https://sandbox.bloom.dev/#canary"))],
            "BLOOM_API_URL has a fragment: remove the part from `#` on",
        ),
        (
            &[("BLOOM_API_URL", Some("https://sandbox.bloom.dev/?canary"))],
            "BLOOM_API_URL has a query: give the URL under which the API's paths stand",
        ),
        (
            &[("BLOOM_TOKEN_URL", Some("auth.bloom.dev"))],
            "BLOOM_TOKEN_URL is not absolute: use a form like `https://host/path`",
        ),
        (
            &[("BLOOM_TOKEN_URL", Some("/oauth/token"))],
            "BLOOM_TOKEN_URL is not absolute: use a form like `https://host/path`",
        ),
        (
            &[("BLOOM_TOKEN_URL", Some("ftp://auth.bloom.dev/"))],
            "BLOOM_TOKEN_URL has a scheme other than https: use https",
        ),
        (
            &[("BLOOM_TOKEN_URL", Some("https:///oauth/token"))],
            "BLOOM_TOKEN_URL is not a URL: use a form like `https://host/path`",
        ),
        (
            &[("BLOOM_TOKEN_URL", Some("https://auth.bloom.dev:99999/"))],
            "BLOOM_TOKEN_URL has a port that is none: use a port from 0 to 65535",
        ),
        (
            &[("BLOOM_TOKEN_URL", Some("https://auth.bloom.dev/\n"))],
            "BLOOM_TOKEN_URL is not a URL: use a form like `https://host/path`",
        ),
        (
            &[("BLOOM_TOKEN_URL", Some("https://auth.bl\u{f6}\u{f6}m.dev/"))],
            "BLOOM_TOKEN_URL is not a URL: use a form like `https://host/path`",
        ),
        (
            &[("BLOOM_API_URL", Some("https://sandbox.bloom.dev/ "))],
            "BLOOM_API_URL is not a URL: use a form like `https://host/path`",
        ),
    ]);
}

/// Good settings, but that this one is missing or can be added.
fn with_use_for(name: &str) -> Variables {
    let variables = Variables::minimal();
    if ["BLOOM_CLIENT_SECRET_FILE", "BLOOM_CLIENT_CERTIFICATE_FILE"].contains(&name) {
        variables.unset("BLOOM_CLIENT_SECRET");
    }
    if name == "BLOOM_CLIENT_CERTIFICATE_FILE" {
        variables.set("BLOOM_CLIENT_AUTH", "tls_client_auth");
    }
    variables
}

#[test]
fn k4_an_empty_variable_is_a_mistake() {
    for name in EVERY {
        let variables = with_use_for(name);
        variables.set(name, "");
        let expected = match name {
            "BLOOM_CLIENT_SECRET" => {
                "BLOOM_CLIENT_SECRET is empty: use the value that Bloom gave, without quotes or \
                 line breaks"
                    .to_owned()
            }
            _ => format!("{name} is set, but empty: unset it, or give it a value"),
        };
        assert_eq!(error(&variables), expected);

        // A secret may have any characters.
        if name != "BLOOM_CLIENT_SECRET" {
            variables.set(name, "  ");
            assert_eq!(error(&variables), expected);
        }
    }
}

#[cfg(unix)]
#[test]
fn what_is_not_utf_8_is_named() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};
    for name in EVERY {
        let variables = with_use_for(name);
        variables.set(name, OsStr::from_bytes(b"canary\xff"));
        let fix = match name {
            "BLOOM_CLIENT_SECRET" => "set it to the text that Bloom gave",
            _ => "set it to plain text",
        };
        assert_eq!(error(&variables), format!("{name} is not UTF-8: {fix}"));
    }
}

#[test]
fn values_that_are_too_long_are_told_by_their_length() {
    for (name, length, most) in [
        ("BLOOM_CLIENT_ID", 1025, 1024),
        ("BLOOM_CLIENT_SECRET", 4098, 4096),
    ] {
        let variables = Variables::minimal();
        variables.set(name, "canary".repeat(1000)[..length].to_owned());
        let expected = format!(
            "{name} is {length} bytes long, more than {most}: use the value that Bloom gave, \
             without quotes or line breaks"
        );
        assert_eq!(error(&variables), expected);
        variables.set(name, "x".repeat(most));
        assert!(variables.build().is_ok());
    }
}

#[test]
fn an_unknown_value_is_told_with_those_that_are_known() {
    let environments = "use `sandbox` or `production`";
    let versions = "use `v1` or `v2`";
    for (name, value, fix) in [
        ("BLOOM_ENVIRONMENT", "Production", environments),
        ("BLOOM_ENVIRONMENT", "prod", environments),
        ("BLOOM_ENVIRONMENT", " sandbox", environments),
        ("BLOOM_ENVIRONMENT", "production\n", environments),
        ("BLOOM_AUTH_VERSION", "2", versions),
        ("BLOOM_AUTH_VERSION", "V2", versions),
        (
            "BLOOM_CLIENT_AUTH",
            "body",
            "use `post` or `basic` or `private_key_jwt` or `tls_client_auth`",
        ),
        (
            "BLOOM_ALLOW_INSECURE_LOOPBACK",
            "yes",
            "use `false` or `true` or `0` or `1`",
        ),
    ] {
        let variables = Variables::minimal();
        variables.set(name, value);
        let expected = format!("{name} has the unknown value {value:?}: {fix}");
        assert_eq!(error(&variables), expected);
    }
    let variables = Variables::minimal();
    // It may be a secret in the wrong place.
    variables.set("BLOOM_CLIENT_AUTH", "client_secret_post");
    let expected = "BLOOM_CLIENT_AUTH has an unknown value: use `post` or `basic` or \
                    `private_key_jwt` or `tls_client_auth`";
    assert_eq!(error(&variables), expected);
}

#[test]
fn a_secret_in_the_place_of_a_path_is_not_repeated() {
    let variables = Variables::minimal();
    variables.unset("BLOOM_CLIENT_SECRET");
    variables.set("BLOOM_CLIENT_SECRET_FILE", "Xk29-7f3a9d5e1b-QQ");
    let expected = "BLOOM_CLIENT_SECRET_FILE names no file: name a file that holds the client \
                    secret alone";
    assert_eq!(error(&variables), expected);
}

#[test]
fn the_rows_above_are_about_what_they_change() {
    // The control: without the change, the settings are taken; and the search
    // for secrets finds one where it is shown.
    let variables = Variables::minimal();
    assert!(variables.build().is_ok());
    assert!(format!("{variables:?}").contains("canary"));
    assert!(SECRET.contains("canary") && !ID.contains("canary"));
}

#[test]
fn d6_k13_wrong_settings_of_the_cache_are_named() {
    check(&[
        (
            &[("BLOOM_CACHE", Some("disk"))],
            "BLOOM_CACHE has the unknown value \"disk\": use `memory` or `none` or `file`",
        ),
        (
            &[
                ("BLOOM_CACHE", Some("file")),
                ("BLOOM_CACHE_DIR", Some("canary-of-a-secret")),
            ],
            if cfg!(feature = "file") {
                "BLOOM_CACHE_DIR is relative: use an absolute path: the same one wherever a \
                 program is started"
            } else {
                "BLOOM_CACHE is `file`, and this program was built without the file cache: build \
                 it with the feature `file` of bloom-auth, or use `memory`"
            },
        ),
        (
            &[("BLOOM_CACHE_DIR", Some("/var/cache/bloom"))],
            "BLOOM_CACHE_DIR is set, but BLOOM_CACHE is not: set BLOOM_CACHE to `file` to keep \
             tokens there",
        ),
    ]);
}
