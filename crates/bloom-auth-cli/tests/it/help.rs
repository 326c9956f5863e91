//! What is printed to teach: compared with files, which
//! `BLOOM_AUTH_UPDATE_GOLDEN=1` writes anew.

use std::{fs, path::PathBuf};

use crate::support::{bloom_auth, run};

#[track_caller]
fn compare(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/golden")
        .join(format!("{name}.txt"));
    #[expect(
        clippy::disallowed_methods,
        reason = "a switch for whoever runs the tests"
    )]
    let update = std::env::var_os("BLOOM_AUTH_UPDATE_GOLDEN").is_some();
    if update {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        text, expected,
        "{name}: BLOOM_AUTH_UPDATE_GOLDEN=1 takes it as it is now"
    );
}

#[test]
fn help_teaches_with_examples() {
    compare("help", &run(bloom_auth().arg("--help")).ok());
    for command in [
        "token",
        "request",
        "exec",
        "status",
        "doctor",
        "cache",
        "emulator",
        "completions",
        "man",
    ] {
        let help = run(bloom_auth().args([command, "-h"])).ok();
        compare(&format!("help-{command}"), &help);
    }
    let version = run(bloom_auth().arg("--version")).ok();
    assert_eq!(
        version,
        format!("bloom-auth {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn errors_say_what_to_do() {
    let mut all = String::new();
    for args in [
        &["token"][..],
        &["tokne"],
        &["token", "--fromat", "json"],
        &["token", "--format", "yaml"],
        &["token", "--client-secret", "x"],
        &["token", "--keyring"],
        &["token", "--client-id", "x"],
        &["token", "--config", "/nowhere/at-all.toml"],
        &["token", "--profile", "live"],
        &[
            "token",
            "--client-id",
            "x",
            "--client-secret-file",
            "/nowhere/at-all",
        ],
        &["token", "--client-id", "x", "--auth-version", "v3"],
        &["request", "GET", "https://example.com/x"],
        &["request", "FETCH", "/x"],
        &["request", "GET", "/x", "--header", "nonsense"],
        &["exec", "ls"],
        &["exec"],
        &["emulator", "--fault", "sevrer-error"],
        &["emulator", "--quota", "many"],
        &["emulator", "--lifetime", "long"],
        &["completions", "tcsh"],
    ] {
        if cfg!(feature = "keyring") && args.contains(&"--keyring") {
            all += "$ bloom-auth token --keyring\nerror: this bloom-auth was built without the \
                    keyring: install it with `--features keyring`, or use --client-secret-file, \
                    --secret-stdin or BLOOM_CLIENT_SECRET\n\n";
            continue;
        }
        let error = run(bloom_auth().args(args).env("XDG_CONFIG_HOME", "/nowhere")).failed(2);
        all += &format!("$ bloom-auth {}\n{error}\n", args.join(" "));
    }
    compare("errors", &all);
}

#[test]
fn manual_and_completions_know_every_command() {
    let page = run(bloom_auth().arg("man")).ok();
    assert!(page.starts_with(".ie") || page.contains(".TH"), "{page}");
    assert!(page.contains("EXIT STATUS") && page.contains("emulator"));
    let directory = tempfile::tempdir().unwrap();
    run(bloom_auth().args(["man", "--dir", directory.path().to_str().unwrap()])).ok();
    let pages = fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(pages, 10);
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = run(bloom_auth().args(["completions", shell])).ok();
        assert!(
            script.contains("emulator") && script.contains("min-lifetime"),
            "{shell}"
        );
    }
}
