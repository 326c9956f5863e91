//! `bloom-auth token`, and how every command gets its token.

use std::time::Duration;

use bloom_auth::{AccessToken, BloomAuth};
use serde_json::json;
use zeroize::Zeroizing;

use super::{Context, block_on, patiently};
use crate::{
    args::{Format, TokenArgs},
    exit::{Exit, Failure},
    output::{self, shell, time},
};

pub(crate) const WAITING: &str = "asking for an access token";

pub(crate) fn run(args: &TokenArgs, context: &Context) -> Result<(), Failure> {
    let auth = context.settings(&args.settings)?.build()?;
    let wanted = Wanted {
        min_lifetime: Duration::from_secs(args.min_lifetime.into()),
        refresh: args.refresh,
    };
    let token = block_on(patiently(WAITING, obtain(&auth, wanted)))?;
    output::print(formatted(args.format, &token, &auth).as_bytes())
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Wanted {
    pub(crate) min_lifetime: Duration,
    pub(crate) refresh: bool,
}

/// A token that stands for as long as it is wanted to.
///
/// One that does not is given up for all who share the cache, so that many who
/// want the same at once share one fetch.
pub(crate) async fn obtain(auth: &BloomAuth, wanted: Wanted) -> Result<AccessToken, Failure> {
    let token = if wanted.refresh {
        auth.refresh().await?
    } else {
        auth.token().await?
    };
    if time::left(token.expires_at()) >= wanted.min_lifetime {
        return Ok(token);
    }
    let is_new = auth.status().counts.tokens_received > 0;
    let token = if is_new {
        token
    } else {
        auth.reject(&token);
        auth.token().await?
    };
    let left = time::left(token.expires_at());
    if left >= wanted.min_lifetime {
        return Ok(token);
    }
    Err(Failure::new(
        Exit::Unavailable,
        format!(
            "a new access token stands for {}, less than the {} of --min-lifetime",
            time::for_people(left),
            time::for_people(wanted.min_lifetime),
        ),
    ))
}

fn formatted(format: Format, token: &AccessToken, auth: &BloomAuth) -> Zeroizing<String> {
    let text = token.expose();
    Zeroizing::new(match format {
        Format::Raw => format!("{text}\n"),
        Format::Header => format!("Authorization: Bearer {text}\n"),
        Format::Env => exports(token)
            .map(|(name, value)| shell::export(name, &value))
            .concat(),
        Format::Json => {
            let scopes = token.scopes().map(ToString::to_string);
            let source = if auth.status().counts.tokens_received > 0 {
                "server"
            } else {
                "cache"
            };
            let object = json!({
                "access_token": text,
                "token_type": "Bearer",
                "scope": scopes,
                "audience": auth.environment().audience(),
                "expires_at": time::rfc3339(token.expires_at()),
                "expires_in": time::left(token.expires_at()).as_secs(),
                "fingerprint": token.fingerprint().to_string(),
                "source": source,
            });
            format!("{object}\n")
        }
    })
}

/// What is put into the environment of others.
pub(crate) fn exports(token: &AccessToken) -> [(&'static str, String); 2] {
    [
        ("BLOOM_ACCESS_TOKEN", token.expose().to_owned()),
        (
            "BLOOM_ACCESS_TOKEN_EXPIRES_AT",
            time::rfc3339(token.expires_at()),
        ),
    ]
}
