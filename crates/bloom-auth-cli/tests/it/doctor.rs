//! `doctor`: what it finds, and the code that it ends with.

use bloom_auth_emulator::{Emulator, FaultRule, TokenQuota};
use serde_json::Value;

use crate::support::{User, json, run};

fn levels(object: &Value) -> Vec<(&str, &str)> {
    let text = |value: &'_ Value, key: &str| value[key].as_str().unwrap().to_owned().leak() as &str;
    let checks = object["checks"].as_array().unwrap();
    checks
        .iter()
        .map(|it| (text(it, "check"), text(it, "level")))
        .collect()
}

fn diagnose(user: &User, args: &[&str], code: i32) -> Value {
    let ran = user.run(["doctor", "--json"].iter().chain(args));
    assert_eq!(ran.code, Some(code), "{}{}", ran.stdout, ran.stderr);
    let object = json(&ran.stdout);
    assert_eq!(object["exit_code"], code);
    for check in object["checks"].as_array().unwrap() {
        // Whatever is wrong, there is something to do.
        let is_wrong = ["warning", "error"].contains(&check["level"].as_str().unwrap());
        assert_eq!(check["fix"].is_string(), is_wrong, "{check}");
    }
    object
}

#[tokio::test(flavor = "multi_thread")]
async fn all_is_well_and_cost_one_token() {
    let builder = Emulator::builder().token_quota(TokenQuota::per_hour(10));
    let user = User::of(builder).await;
    let ca = user.file("ca.pem", user.emulator.ca_pem().unwrap());
    let object = diagnose(&user, &["--ca-file", ca.to_str().unwrap()], 0);
    let all = [
        "settings",
        "names",
        "TLS",
        "credentials",
        "clock",
        "quota",
        "cache",
        "API",
    ];
    assert_eq!(levels(&object), all.map(|check| (check, "ok")));
    let quota = object["checks"][5]["found"].as_str().unwrap();
    assert!(quota.contains("x-ratelimit-remaining: 9"), "{quota}");
    assert_eq!(user.token_requests(), 1);
    // It is kept.
    user.run(["token", "--ca-file", ca.to_str().unwrap()]).ok();
    assert_eq!(user.token_requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn s5_the_first_error_decides_the_code() {
    let user = User::new().await;
    let level = |object: &Value, check: &str| {
        let found = levels(object).into_iter().find(|(it, _)| *it == check);
        found.unwrap().1.to_owned()
    };
    let mut nothing = user.bare(["doctor", "--json"]);
    let ran = run(&mut nothing);
    assert_eq!(ran.code, Some(2));
    assert_eq!(level(&json(&ran.stdout), "settings"), "error");
    assert_eq!(level(&json(&ran.stdout), "API"), "skipped");

    let object = diagnose(&user, &["--audience", "other"], 3);
    assert_eq!(level(&object, "credentials"), "error");

    let object = diagnose(&user, &["--token-url", "https://no-such-host.invalid/x"], 4);
    assert_eq!(level(&object, "names"), "error");

    let api: FaultRule = "api-insufficient-scope".parse().unwrap();
    user.emulator.set_fault(api);
    let object = diagnose(&user, &[], 5);
    assert_eq!(level(&object, "API"), "error");
    user.emulator.clear_faults();

    let untrusted = User::of(Emulator::builder()).await;
    let object = diagnose(&untrusted, &[], 4);
    assert_eq!(level(&object, "TLS"), "error");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_others_can_look_into_is_found() {
    let user = User::new().await;
    user.run(["token"]).ok();
    crate::support::set_mode(&user.cache(), 0o755);
    let object = diagnose(&user, &[], 6);
    let cache = &object["checks"][6];
    assert_eq!(
        (cache["check"].as_str(), cache["level"].as_str()),
        (Some("cache"), Some("error"))
    );
    assert!(cache["fix"].as_str().unwrap().contains("chmod 700"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_is_found_by_the_servers_date() {
    let rule: FaultRule = "wrong-date".parse().unwrap();
    let user = User::of(Emulator::builder().plain_http().fault(rule)).await;
    let ran = user.run(["doctor", "--json"]);
    let object = json(&ran.stdout);
    let clock = object["checks"][4].clone();
    assert_eq!(clock["check"], "clock");
    assert_eq!(clock["level"], "warning", "{clock}");
    assert!(
        clock["found"]
            .as_str()
            .unwrap()
            .contains("ahead of the server's"),
        "{clock}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn for_people_it_says_what_to_do() {
    let user = User::new().await;
    let text = user.run(["doctor"]).ok();
    assert_eq!(
        text.lines().filter(|line| line.starts_with("ok")).count(),
        7
    );
    assert!(
        text.contains("warning  TLS") && text.contains(" -> "),
        "{text}"
    );
}
