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
