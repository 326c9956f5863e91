//! The checks, in the order in which one needs the other.

use std::{
    net::ToSocketAddrs as _,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use bloom_auth::{BloomAuth, Error, ErrorKind, core::chain};
use http::{HeaderMap, StatusCode, Uri, header};

use super::{Finding, Level};
use crate::{
    args::SettingsArgs,
    commands::{Context, block_on, cache, patiently},
    exit::{Exit, Failure},
    output::time,
    settings::{Settings, names},
};

/// The API's simplest question.
const QUESTION: &str = "/v2/core/organization";

/// Assertions are refused, and times of tokens misread, by clocks that are
/// further apart.
const MAX_SKEW: Duration = Duration::from_secs(30);

/// The last answer of the token endpoint, and when it came.
#[derive(Clone)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    at: SystemTime,
}

pub(super) fn all(args: &SettingsArgs, context: &Context) -> Result<Vec<Finding>, Failure> {
    let mut findings = Vec::new();
    let answer = Arc::new(Mutex::new(None));
    let built = context.settings(args).and_then(|settings| {
        let seen = Arc::clone(&answer);
        let builder = settings.builder()?.on_token_answer(move |status, headers| {
            let answer = Answer {
                status,
                headers: headers.clone(),
                at: time::now(),
            };
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        });
        let auth = settings.finish(builder)?;
        Ok((settings, auth))
    });
    let (settings, auth) = match built {
        Ok(built) => built,
        Err(failure) => {
            findings.push(Finding::new(
                "settings",
                Level::Error(failure.exit),
                failure.message,
                "mend this first; `bloom-auth status` shows what is set",
            ));
            for check in [
                "names",
                "TLS",
                "credentials",
                "clock",
                "quota",
                "cache",
                "API",
            ] {
                findings.push(Finding::skipped(
                    check,
                    "there are no settings to check it with",
                ));
            }
            return Ok(findings);
        }
    };
    findings.push(of_settings(&settings, &auth));
    findings.push(of_names(&auth));
    let token = block_on(patiently("checking", async {
        Ok(auth.refresh().await.err())
    }))?;
    let answer = answer
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    findings.push(of_tls(&auth, token.as_ref()));
    findings.push(of_credentials(token.as_ref()));
    findings.push(of_clock(answer.as_ref()));
    findings.push(of_quota(answer.as_ref()));
    findings.push(of_cache(&settings));
    findings.push(match token {
        None => block_on(patiently("checking", async { Ok(of_api(&auth).await) }))?,
        Some(_) => Finding::skipped("API", "there is no token to call it with"),
    });
    excuse_names(&mut findings);
    Ok(findings)
}

/// A proxy finds names itself: where everything else is reached, nothing is wrong
/// that would end a command.
fn excuse_names(findings: &mut [Finding]) {
    let is_ok = |check| {
        let found = findings.iter().find(|finding| finding.check == check);
        found.is_some_and(|finding| finding.level == Level::Ok)
    };
    if is_ok("credentials")
        && is_ok("API")
        && let Some(names) = findings.iter_mut().find(|finding| finding.check == "names")
        && names.level != Level::Ok
    {
        names.level = Level::Warning;
    }
}

fn of_settings(settings: &Settings, auth: &BloomAuth) -> Finding {
    let file = settings.config.as_ref().map_or_else(
        || "no file of settings".to_owned(),
        |path| format!("settings from {}", path.display()),
    );
    let audience = auth.environment().audience().unwrap_or("none");
    Finding::ok("settings", format!("complete; audience {audience}; {file}"))
}

fn of_names(auth: &BloomAuth) -> Finding {
    let mut found = Vec::new();
    for uri in [auth.environment().token_url(), auth.environment().api_url()] {
        let Some(host) = uri.host() else { continue };
        let port = port_of(uri);
        let plain = host.trim_start_matches('[').trim_end_matches(']');
        match (plain, port).to_socket_addrs().map(|all| all.count()) {
            Ok(0) | Err(_) => {
                return Finding::new(
                    "names",
                    Level::Error(Exit::Unavailable),
                    format!("{host} has no address"),
                    "check the URL, the network and its DNS; with a proxy this is not needed, if \
                     the other checks pass",
                );
            }
            Ok(_) => found.push(host.to_owned()),
        }
    }
    found.dedup();
    Finding::ok("names", format!("{} found", found.join(" and ")))
}

fn port_of(uri: &Uri) -> u16 {
    let default = if uri.scheme_str() == Some("http") {
        80
    } else {
        443
    };
    uri.port_u16().unwrap_or(default)
}

fn of_tls(auth: &BloomAuth, error: Option<&Error>) -> Finding {
    if auth.environment().token_url().scheme_str() == Some("http") {
        return Finding::new(
            "TLS",
            Level::Warning,
            "none: the token endpoint is plain http on this machine",
            "that is for an emulator alone",
        );
    }
    match error {
        Some(error) if error.kind() == ErrorKind::Tls => Finding::new(
            "TLS",
            Level::Error(Exit::Unavailable),
            chain(error),
            "set BLOOM_CA_FILE to the certificate of who signs it, if that is meant to be trusted",
        ),
        Some(error) if never_spoke(error.kind()) => {
            Finding::skipped("TLS", "the server could not be spoken to")
        }
        _ => Finding::ok("TLS", "the token endpoint's certificate is trusted"),
    }
}

/// Whether the error is of before there was any answer.
fn never_spoke(kind: ErrorKind) -> bool {
    !matches!(
        kind,
        ErrorKind::ClientRefused
            | ErrorKind::RequestRefused
            | ErrorKind::RateLimited
            | ErrorKind::Server
            | ErrorKind::Response
            | ErrorKind::ExpiredOnArrival
    )
}

fn of_credentials(error: Option<&Error>) -> Finding {
    let Some(error) = error else {
        return Finding::ok(
            "credentials",
            "the authorization server gave an access token",
        );
    };
    let fix = match error.kind() {
        ErrorKind::ClientRefused => {
            "compare client id and secret with those that Bloom gave, and the environment with \
             what they are for"
        }
        ErrorKind::RequestRefused => "check audience, scope and token URL",
        ErrorKind::RateLimited => "wait, and look for what fetches so many tokens",
        ErrorKind::Connect | ErrorKind::Timeout => {
            "check the network, a firewall, and the proxy settings (HTTPS_PROXY, NO_PROXY)"
        }
        ErrorKind::Tls => "see TLS above",
        ErrorKind::Proxy => "check HTTPS_PROXY, ALL_PROXY and NO_PROXY",
        ErrorKind::Credentials => "check where the secret or key comes from",
        _ => "try again; if it stays, tell Bloom",
    };
    let level = Level::Error(Failure::from(error.clone()).exit);
    Finding::new("credentials", level, chain(error), fix)
}

fn of_clock(answer: Option<&Answer>) -> Finding {
    let Some(answer) = answer else {
        return Finding::skipped("clock", "there was no answer to compare it with");
    };
    let date = answer.headers.get(header::DATE);
    let date = date.and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    let Some(date) = date else {
        return Finding::skipped("clock", "the server does not say what time it is");
    };
    let (skew, side) = match answer.at.duration_since(date) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(error) => (error.duration(), "behind"),
    };
    if skew <= MAX_SKEW {
        return Finding::ok(
            "clock",
            format!("within {} s of the server's", MAX_SKEW.as_secs()),
        );
    }
    Finding::new(
        "clock",
        Level::Warning,
        format!("{} {side} the server's", time::for_people(skew)),
        "set this machine's clock, by NTP best: tokens would seem to live longer or shorter, and \
         signed assertions be refused",
    )
}

/// What servers say of how many tokens are left.
fn of_quota(answer: Option<&Answer>) -> Finding {
    let Some(answer) = answer else {
        return Finding::skipped("quota", "there was no answer to read it from");
    };
    let mut parts = Vec::new();
    for (name, value) in &answer.headers {
        let name = name.as_str();
        if name.starts_with("x-ratelimit-") || name.starts_with("auth0-") && name.contains("quota")
        {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            parts.push(format!("{name}: {value}"));
        }
    }
    if parts.is_empty() {
        return Finding::ok("quota", "the server tells of none");
    }
    let remaining = answer.headers.get("x-ratelimit-remaining");
    let is_used_up =
        remaining.is_some_and(|left| left == "0") || answer.status == StatusCode::TOO_MANY_REQUESTS;
    let found = parts.join("; ");
    if is_used_up {
        let fix = "keep tokens in the file cache, and look for what fetches so many";
        return Finding::new("quota", Level::Warning, found, fix);
    }
    Finding::ok("quota", found)
}

fn of_cache(settings: &Settings) -> Finding {
    if !cache::is_chosen(settings) {
        let origin = settings.get(names::CACHE).map(|it| it.origin.to_string());
        return Finding::new(
            "cache",
            Level::Warning,
            format!(
                "none that outlives a process ({})",
                origin.unwrap_or_default()
            ),
            "set BLOOM_CACHE to `file`, so that not every command fetches a token",
        );
    }
    let cache = match cache::of(settings) {
        Ok(cache) => cache,
        Err(failure) => {
            let fix = "set BLOOM_CACHE_DIR to a directory of this user alone";
            return Finding::new("cache", Level::Error(Exit::Files), failure.message, fix);
        }
    };
    match cache.entries() {
        Ok(entries) => Finding::ok(
            "cache",
            format!("{} in {}", entries.len(), cache.directory().display()),
        ),
        Err(error) => Finding::new(
            "cache",
            Level::Error(Exit::Files),
            chain(&error),
            "set BLOOM_CACHE_DIR to a directory of its own; one that is for nothing else can be made \
             this user's alone (`chmod 700`)",
        ),
    }
}

async fn of_api(auth: &BloomAuth) -> Finding {
    let response = match auth.api().get(QUESTION).send().await {
        Ok(response) => response,
        Err(error) => {
            let failure = Failure::from(error);
            let fix = "check the API URL, the network and the proxy settings";
            return Finding::new("API", Level::Error(failure.exit), failure.message, fix);
        }
    };
    let status = response.status();
    let found = format!("GET {QUESTION} answered {status}");
    if status.is_success() {
        return Finding::ok("API", found);
    }
    let (exit, fix) = match status.as_u16() {
        401 => (
            Exit::Api,
            "the API takes no token of this authorization server: check environment, audience and \
             API URL",
        ),
        403 => (
            Exit::Api,
            "ask Bloom for the scope or the right to call this",
        ),
        404 => (Exit::Api, "check the API URL"),
        429 => (Exit::Unavailable, "wait: there were too many requests"),
        500.. => (Exit::Unavailable, "try again; if it stays, tell Bloom"),
        _ => (
            Exit::Api,
            "look at what the API says: `bloom-auth request GET ...`",
        ),
    };
    Finding::new("API", Level::Error(exit), found, fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_only_a_proxy_finds_is_no_error() {
        let broken = Level::Error(Exit::Unavailable);
        for (names, credentials, api, expected) in [
            (Level::Ok, Level::Ok, Level::Ok, Level::Ok),
            (broken, Level::Ok, Level::Ok, Level::Warning),
            (broken, broken, Level::Skipped, broken),
            (broken, Level::Ok, broken, broken),
        ] {
            let mut findings = [
                Finding::new("names", names, "", ""),
                Finding::new("credentials", credentials, "", ""),
                Finding::new("API", api, "", ""),
            ];
            excuse_names(&mut findings);
            assert_eq!(findings[0].level, expected);
        }
    }
}
