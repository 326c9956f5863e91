//! Who wins, and how errors name the place at fault.

use clap::Parser as _;

use super::*;
use crate::args::{Cli, Command};

fn args(flags: &[&str]) -> SettingsArgs {
    let line = ["bloom-auth", "token"].iter().chain(flags);
    let Command::Token(args) = Cli::try_parse_from(line).unwrap().command else {
        panic!("that is the command");
    };
    args.settings
}

fn environment(pairs: &[(&'static str, &'static str)]) -> Environment {
    let pairs = pairs.to_vec();
    let names = pairs.iter().map(|(name, _)| (*name).to_owned()).collect();
    Environment {
        lookup: Arc::new(move |name| {
            let found = pairs.iter().find(|(it, _)| *it == name);
            found.map(|(_, value)| (*value).into())
        }),
        names,
    }
}

fn file(text: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bloom-auth.toml");
    std::fs::write(&path, text).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let path = path.to_str().unwrap().to_owned();
    (directory, path)
}

fn shown(settings: &Settings, variable: &str) -> Option<(String, String)> {
    let value = settings.get(variable)?;
    let text = String::from_utf8(value.value.to_vec()).unwrap();
    Some((text, value.origin.to_string()))
}

#[test]
fn flags_win_over_variables_over_the_file_over_defaults() {
    let (_directory, path) = file("client_id = 'file'\naudience = 'file'\nscope = 'file'\n");
    let environment = environment(&[
        ("BLOOM_CLIENT_ID", "variable"),
        ("BLOOM_AUDIENCE", "variable"),
    ]);
    let args = args(&["--config", &path, "--client-id", "flag"]);
    let settings = resolve(&args, &environment).unwrap();
    let pair = |value: &str, origin: &str| Some((value.to_owned(), origin.to_owned()));
    assert_eq!(
        shown(&settings, names::CLIENT_ID),
        pair("flag", "--client-id")
    );
    assert_eq!(
        shown(&settings, names::AUDIENCE),
        pair("variable", "BLOOM_AUDIENCE")
    );
    let origin = format!("`scope` in {path}, line 3");
    assert_eq!(shown(&settings, names::SCOPE), pair("file", &origin));
    assert_eq!(shown(&settings, names::CACHE), pair("file", "default"));
    assert_eq!(shown(&settings, names::API_URL), None);
}

#[test]
fn a_stronger_secret_hides_weaker_ones_of_another_kind() {
    let (_directory, path) = file("client_secret = 'canary'\n");
    let all = environment(&[("BLOOM_CLIENT_SECRET", "canary")]);
    let flags = args(&["--config", &path, "--client-secret-file", "x"]);
    let settings = resolve(&flags, &all).unwrap();
    assert!(settings.get(names::CLIENT_SECRET).is_none());
    let files = environment(&[("BLOOM_CLIENT_SECRET_FILE", "y")]);
    let settings = resolve(&args(&["--config", &path]), &files).unwrap();
    assert!(settings.get(names::CLIENT_SECRET).is_none());
    let settings = resolve(&args(&["--config", &path]), &environment(&[])).unwrap();
    assert!(settings.get(names::CLIENT_SECRET).is_some());
}

#[test]
fn paths_in_a_file_are_meant_from_there() {
    let (directory, path) = file("client_secret_file = 'secrets/bloom'\n");
    let settings = resolve(&args(&["--config", &path]), &environment(&[])).unwrap();
    let (value, _) = shown(&settings, names::CLIENT_SECRET_FILE).unwrap();
    let expected = directory.path().join("secrets/bloom");
    assert_eq!(value, expected.to_str().unwrap());
}

#[test]
fn errors_name_the_place_of_what_is_wrong() {
    let (_directory, path) =
        file("token_url = 'http://x'\nclient_id = 'x'\nclient_secret = 'canary'\n");
    let at_fault = |flags: &[&str], pairs: &[(&'static str, &'static str)]| {
        let flags = [&["--config", &path], flags].concat();
        let settings = resolve(&args(&flags), &environment(pairs)).unwrap();
        let Err(failure) = settings.build() else {
            panic!("{flags:?} {pairs:?}");
        };
        assert!(!failure.message.contains("canary"), "{failure}");
        failure.message
    };
    let in_file = at_fault(&[], &[]);
    assert!(
        in_file.starts_with(&format!("`token_url` in {path}, line 1 ")),
        "{in_file}"
    );
    let by_flag = at_fault(&["--token-url", "nonsense"], &[]);
    assert!(by_flag.starts_with("--token-url "), "{by_flag}");
    let by_variable = at_fault(&[], &[("BLOOM_TOKEN_URL", "http://y")]);
    assert!(by_variable.starts_with("BLOOM_TOKEN_URL "), "{by_variable}");
    let scope = at_fault(&["--token-url", "https://x/", "--auth-version", "v2"], &[]);
    assert!(scope.contains("scope"), "{scope}");
}

#[test]
fn k13_variables_that_are_nearly_ours_are_warned_of() {
    let odd = environment(&[
        ("BLOOM_CLIENT_SECRT", "canary"),
        ("BLOOM_CLIENT_ID", "x"),
        ("BLOOM_FILTER_SIZE", "1"),
        ("BLOOM_ACCESS_TOKEN", "canary"),
    ]);
    let settings = resolve(&args(&[]), &odd).unwrap();
    assert_eq!(
        settings.warnings,
        ["BLOOM_CLIENT_SECRT is no setting; did you mean BLOOM_CLIENT_SECRET?"]
    );
}
