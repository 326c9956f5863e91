//! `status`: everything that is set, and nobody asked.

use crate::support::{User, json, run};

#[tokio::test(flavor = "multi_thread")]
async fn it_asks_nobody_and_says_what_is_held() {
    let user = User::new().await;
    let text = user.run(["status"]).ok();
    assert!(text.contains("none is held"), "{text}");
    assert_eq!(user.emulator.counts().connections, 0);
    let object = json(&user.run(["token", "--format", "json"]).ok());
    let status = json(&user.run(["status", "--json"]).ok());
    assert_eq!(user.token_requests(), 1);
    assert_eq!(status["token"]["fingerprint"], object["fingerprint"]);
    assert_eq!(status["token"]["expires_at"], object["expires_at"]);
    assert_eq!(status["token"]["lifetime"], 86_400);
    assert!(status["token"]["age"].as_u64().unwrap() < 3600);
    assert_eq!(status["cache"], user.cache().to_str().unwrap());
    assert_eq!(status["settings"]["client_secret"]["value"], "(set)");
    assert_eq!(
        status["settings"]["client_secret"]["from"],
        "BLOOM_CLIENT_SECRET"
    );
    assert_eq!(status["settings"]["cache"]["from"], "default");
    assert_eq!(status["token_url"], user.emulator.v1_token_url());
    let text = user.run(["status", "--audience", "dev-api"]).ok();
    assert!(text.contains("(--audience)"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_beside_what_is_set() {
    let user = User::new().await;
    let ran = run(&mut user.bare(["status", "--client-id", "x"]));
    assert_eq!(ran.code, Some(2));
    assert!(ran.stdout.contains("client_id"), "{}", ran.stdout);
    assert!(
        ran.stderr.contains("BLOOM_CLIENT_SECRET is not set"),
        "{}",
        ran.stderr
    );
    let ran = run(&mut user.bare(["status", "--json"]));
    assert_eq!(ran.code, Some(2));
    assert!(
        json(&ran.stdout)["problem"]
            .as_str()
            .unwrap()
            .contains("is not set")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_in_a_url_is_refused_and_not_shown() {
    let user = User::new().await;
    for url in [
        "https://user:canary@example.com/oauth/token",
        "user:canary@example.com",
        "https://user:ca/nary@example.com/",
    ] {
        for flag in ["--token-url", "--api-url"] {
            for json in [None, Some("--json")] {
                let ran = user.run(["status", flag, url].into_iter().chain(json));
                assert_eq!(ran.code, Some(2), "{url}");
                let shown = format!("{}{}", ran.stdout, ran.stderr);
                assert!(!shown.contains("nary"), "{shown}");
                assert!(shown.contains("@example.com"), "{shown}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p42_what_is_set_is_shown_without_what_is_secret_in_it() {
    let user = User::new().await;
    let key = "-----BEGIN PRIVATE KEY-----\ncanary/canary\n-----END PRIVATE KEY-----\n";
    for (variable, value, shown) in [
        // The control: an audience is no secret.
        ("BLOOM_AUDIENCE", "canary", "canary"),
        (
            "BLOOM_TOKEN_URL",
            "https://gw.test/token?code=canary",
            "https://gw.test/token",
        ),
        (
            "BLOOM_API_URL",
            "https://gw.test/api?code=canary",
            "https://gw.test/api",
        ),
        (
            "BLOOM_CACHE",
            "rediss://me:canary@redis.test:6379/0",
            "redis.test:6379",
        ),
        ("BLOOM_CACHE", "canary-0123456789", "(an unknown value)"),
        ("BLOOM_CACHE_DIR", "canary", "(not a path)"),
        ("BLOOM_CLIENT_SECRET", "canary", "(set)"),
        ("BLOOM_CLIENT_SECRET_FILE", "canary", "(not a path)"),
        ("BLOOM_PRIVATE_KEY_FILE", key, "(not a path)"),
        ("BLOOM_CLIENT_CERTIFICATE_FILE", key, "(not a path)"),
        ("BLOOM_CA_FILE", key, "(not a path)"),
        (
            "BLOOM_ENVIRONMENT",
            "canary-0123456789",
            "(an unknown value)",
        ),
        (
            "BLOOM_AUTH_VERSION",
            "canary-0123456789",
            "(an unknown value)",
        ),
        (
            "BLOOM_CLIENT_AUTH",
            "canary-0123456789",
            "(an unknown value)",
        ),
        (
            "BLOOM_ALLOW_INSECURE_LOOPBACK",
            "canary-0123456789",
            "(an unknown value)",
        ),
    ] {
        for json in [None, Some("--json")] {
            let mut command = user.command(["status"].into_iter().chain(json));
            if variable == "BLOOM_CLIENT_SECRET_FILE" {
                command.env_remove("BLOOM_CLIENT_SECRET");
            }
            let ran = run(command.env(variable, value));
            assert!(ran.stdout.contains(shown), "{variable}: {}", ran.stdout);
            let all = format!("{}{}", ran.stdout, ran.stderr);
            let is_control = variable == "BLOOM_AUDIENCE";
            assert_eq!(all.contains("canary"), is_control, "{variable}: {all}");
        }
    }
}
