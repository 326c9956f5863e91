//! Where settings come from, as far as files and input go.

use crate::support::{User, run, run_with_stdin};

fn settings(user: &User, secret: &str) -> String {
    format!(
        "client_id = '{}'\n{secret}\naudience = '{}'\ntoken_url = '{}'\napi_url = '{}'\n\
         allow_insecure_loopback = true\n",
        user.emulator.client_id(),
        user.emulator.audience(),
        user.emulator.v1_token_url(),
        user.emulator.api_url(),
    )
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn k12_a_secret_in_a_file_that_others_can_read_is_refused_with_what_mends_it() {
    let user = User::new().await;
    let secret = format!("client_secret = '{}'", user.emulator.client_secret());
    let mut asked = 0;
    for mode in [0o644, 0o640, 0o604] {
        let path = user.config(&settings(&user, &secret), mode);
        let error = run(&mut user.bare(["token"])).failed(2);
        let fix = format!("run `chmod 600 '{}'`", path.display());
        assert!(error.contains(&fix), "{error}");
        assert!(!error.contains(&user.emulator.client_secret()), "{error}");
        assert_eq!(user.token_requests(), asked);
        crate::support::set_mode(&path, 0o600);
        run(&mut user.bare(["token", "--cache", "none"])).ok();
        asked += 1;
        assert_eq!(user.token_requests(), asked);
    }
    // Without a secret there is nothing to hide.
    let file = user.file("secret", &user.emulator.client_secret());
    let secret = format!("client_secret_file = '{}'", file.display());
    user.config(&settings(&user, &secret), 0o644);
    run(&mut user.bare(["token"])).ok();
    // The file of the secret alone is warned of: services have it mounted so.
    crate::support::set_mode(&file, 0o644);
    let ran = run(&mut user.bare(["token"]));
    assert_eq!(ran.code, Some(0));
    assert!(
        ran.stderr.contains("warning: ") && ran.stderr.contains("chmod 600"),
        "{}",
        ran.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn k13_an_unknown_key_is_named_with_the_nearest() {
    let user = User::new().await;
    let path = user.config(
        "client_id = 'x'\n[profiles.live]\nclient_secrt_file = 'y'\n",
        0o600,
    );
    let error = run(&mut user.bare(["token"])).failed(2);
    assert_eq!(
        error,
        format!(
            "error: {}, line 3: unknown key `client_secrt_file`; did you mean \
             `client_secret_file`?\n",
            path.display()
        )
    );
    let error = user.run(["token", "--client-idd", "x"]).failed(2);
    assert!(error.contains("'--client-id'"), "{error}");
    user.config("", 0o600);
    let mut misspelled = user.command(["token"]);
    let ran = run(misspelled.env("BLOOM_CACHE_DIRR", "/x"));
    assert_eq!(ran.code, Some(0));
    assert_eq!(
        ran.stderr,
        "warning: BLOOM_CACHE_DIRR is no setting; did you mean BLOOM_CACHE_DIR?\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn k11_a_placeholder_is_no_secret() {
    let user = User::new().await;
    let mut command = user.command(["token"]);
    let error = run(command.env("BLOOM_CLIENT_SECRET", "${CANARY}")).failed(2);
    assert!(
        error.contains("BLOOM_CLIENT_SECRET holds a placeholder"),
        "{error}"
    );
    let path = user.config("client_secret = '${CANARY}'\nclient_id = 'x'\n", 0o600);
    let error = run(&mut user.bare(["token"])).failed(2);
    let place = format!(
        "`client_secret` in {}, line 1 holds a placeholder",
        path.display()
    );
    assert!(error.contains(&place), "{error}");
    assert!(!error.contains("CANARY"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn k15_production_asks_no_emulator_and_its_tokens_say_what_they_are() {
    let user = User::new().await;
    let error = user.run(["token", "--environment", "production"]).failed(2);
    assert!(error.contains("leads to this machine"), "{error}");
    assert_eq!(user.emulator.counts().connections, 0);
    let token = user.run(["token"]).ok();
    let claims = token.split('.').nth(1).unwrap();
    // `"iss":"https://emulator.` at any offset of base64 is in one of three forms.
    let decoded = base64_url(claims);
    assert!(
        decoded.contains(r#""iss":"https://emulator.bloom-auth.invalid/""#),
        "{decoded}"
    );
}

fn base64_url(text: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bits = 0u32;
    let mut count = 0;
    let mut bytes = Vec::new();
    for c in text.bytes() {
        let value = ALPHABET.iter().position(|it| *it == c).unwrap();
        bits = bits << 6 | u32::try_from(value).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).unwrap());
        }
    }
    String::from_utf8(bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn k17_the_password_of_a_proxy_is_never_printed() {
    let user = User::new().await;
    // Nobody listens there, and no other test is given that port.
    let address = "127.0.0.1:1";
    for args in [
        &["token", "-vvv"][..],
        &["doctor", "-vvv"],
        &["doctor", "--json"],
        &["status", "-vvv"],
        &["request", "GET", "/", "-vvv"],
    ] {
        let mut command = user.command(args);
        // The proxy is for what is not on this machine.
        command
            .env("BLOOM_TOKEN_URL", "https://auth.test/oauth/token")
            .env("BLOOM_API_URL", "https://api.test")
            .env(
                "HTTPS_PROXY",
                format!("http://user:canary-of-a-proxy@{address}"),
            )
            .env(
                "ALL_PROXY",
                format!("http://user:canary-of-a-proxy@{address}"),
            );
        let ran = run(&mut command);
        let shown = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!shown.contains("canary"), "{args:?}: {shown}");
        if args[0] == "token" {
            assert_eq!(ran.code, Some(4), "{shown}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_the_secret_comes_from_a_file_or_the_standard_input() {
    let user = User::new().await;
    let secret = user.emulator.client_secret();
    let file = user.file("secret", &format!("{secret}\n"));
    let without = |args: &[&str]| {
        let mut command = user.command(args);
        command.env_remove("BLOOM_CLIENT_SECRET");
        command
    };
    let token = run(&mut without(&[
        "token",
        "--client-secret-file",
        file.to_str().unwrap(),
    ]))
    .ok();
    for input in [
        format!("{secret}\n"),
        secret.clone(),
        format!("{secret}\r\n"),
    ] {
        let mut command = without(&["token", "--secret-stdin"]);
        assert_eq!(run_with_stdin(&mut command, input.as_bytes()).ok(), token);
    }
    for input in [&b""[..], b"\n", b"\xff\xfe canary"] {
        let error = run_with_stdin(&mut without(&["token", "--secret-stdin"]), input).failed(2);
        assert!(!error.contains("canary"), "{error}");
    }
    assert_eq!(user.token_requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_a_secret_among_the_arguments_is_refused_and_nobody_is_asked() {
    let user = User::new().await;
    for args in [
        &["token", "--client-secret", "canary"][..],
        &["token", "--client-secret=canary"],
        &["request", "--client_secret=canary", "GET", "/"],
    ] {
        let error = user.run(args).failed(2);
        assert!(
            error.contains("--secret-stdin") && !error.contains("canary"),
            "{error}"
        );
    }
    assert_eq!(user.emulator.counts().connections, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn profiles_are_chosen_by_flag_or_variable_or_the_file() {
    let user = User::new().await;
    let own = settings(
        &user,
        &format!("client_secret = '{}'", user.emulator.client_secret()),
    );
    let text = format!(
        "default_profile = 'broken'\n[profiles.broken]\nclient_id = 'x'\n\n[profiles.works]\n{own}"
    );
    user.config(&text, 0o600);
    run(&mut user.bare(["token"])).failed(2);
    let token = run(&mut user.bare(["token", "--profile", "works"])).ok();
    let by_variable = run(user.bare(["token"]).env("BLOOM_PROFILE", "works")).ok();
    assert_eq!(token, by_variable);
    let error = run(&mut user.bare(["token", "--profile", "work"])).failed(2);
    assert!(error.contains("did you mean `works`?"), "{error}");
}

#[cfg(not(feature = "keyring"))]
#[tokio::test(flavor = "multi_thread")]
async fn without_the_keyring_built_in_an_error_says_so() {
    let user = User::new().await;
    let error = user.run(["token", "--keyring"]).failed(2);
    assert!(error.contains("--features keyring"), "{error}");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn k12_a_file_that_everybody_may_write_to_is_refused() {
    let user = User::new().await;
    let text = format!("token_url = '{}'\n", user.emulator.v1_token_url());
    user.config(&text, 0o602);
    let error = user.run(["token"]).failed(2);
    assert!(
        error.contains("written to by everybody") && error.contains("chmod 600"),
        "{error}"
    );
    assert_eq!(user.emulator.counts().connections, 0);
    // Where every user has a group alone, editors leave this.
    user.config(&text, 0o664);
    user.run(["token"]).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_names_of_files_and_profiles_are_told_as_such() {
    let user = User::new().await;
    for variable in ["BLOOM_CONFIG", "BLOOM_PROFILE"] {
        let error = run(user.command(["token"]).env(variable, "")).failed(2);
        assert!(
            error.contains(&format!("{variable} is set, but empty")),
            "{error}"
        );
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn k12_every_file_of_a_secret_that_everybody_can_read_is_warned_of() {
    let user = User::new().await;
    for flag in [
        "--client-secret-file",
        "--private-key-file",
        "--client-certificate-file",
    ] {
        let file = user.file("of-a-secret", "x");
        let path = file.to_str().unwrap();
        let warned = |ran: &str| ran.contains("can be read by everybody");
        assert!(!warned(&user.run(["status", flag, path]).stderr), "{flag}");
        crate::support::set_mode(&file, 0o604);
        assert!(warned(&user.run(["status", flag, path]).stderr), "{flag}");
    }
}
