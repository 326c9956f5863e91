//! `bloom-auth status`: what is set and what is held. It asks no server.

mod shown;

use std::{
    fmt::Write as _,
    io::IsTerminal as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bloom_auth::{
    AccessToken, BloomAuth, CacheAccess, CacheError, CacheRecord, ClientCredentials,
    ConfigurationError, ErrorKind, FileCache, Lease, TokenCache, TokenHash,
    core::{Refusal, chain},
};
use serde_json::{Value, json};

use super::{Context, block_on, cache};
use crate::{
    args::StatusArgs,
    exit::Failure,
    output::{self, Colour, Style, bar, time},
    settings::{Settings, names},
};

pub(crate) fn run(args: &StatusArgs, context: &Context) -> Result<(), Failure> {
    let settings = context.settings(&args.settings)?;
    let (held, failure) = match look(&settings) {
        Ok(held) => (Some(held), None),
        Err(failure) => (None, Some(failure)),
    };
    let text = if args.json {
        format!("{}\n", as_json(&settings, held.as_ref(), failure.as_ref()))
    } else {
        for_people(&settings, held.as_ref(), context.stdout_style())
    };
    output::print(text.as_bytes())?;
    failure.map_or(Ok(()), Err)
}

/// What the settings come to.
struct Found {
    auth: BloomAuth,
    token: Option<(AccessToken, Option<CacheRecord>)>,
    /// Why there is none, beyond that there is none.
    problem: Option<String>,
}

fn look(settings: &Settings) -> Result<Found, Failure> {
    let seen = Arc::new(Mutex::new(None));
    let mut builder = settings.builder()?.offline();
    if cache::is_chosen(settings)
        && let Ok(inner) = cache::of(settings)
    {
        let watched = Watched {
            inner,
            seen: Arc::clone(&seen),
        };
        builder = builder.cache(watched);
    }
    let auth = match settings.finish(builder) {
        Ok(auth) => auth,
        // The cache cannot keep a token of this client; without it there is none.
        Err(_) => settings.finish(settings.builder()?.offline())?,
    };
    let token = block_on(async { Ok(auth.token().await) })?;
    let record = seen.lock().unwrap_or_else(PoisonError::into_inner).take();
    let (token, problem) = match token {
        Ok(token) => (Some((token, record)), None),
        Err(error) if error.kind() == ErrorKind::Configuration => (None, None),
        Err(error) => (None, Some(chain(&error))),
    };
    Ok(Found {
        auth,
        token,
        problem,
    })
}

/// The settings that are shown: never a secret.
fn shown(settings: &Settings) -> Vec<(&'static str, String, String)> {
    let mut rows = Vec::new();
    for setting in names::SETTINGS {
        if let Some(value) = settings.get(setting.variable) {
            rows.push((
                setting.key,
                output::harmless(&shown::text(value)),
                value.origin.to_string(),
            ));
        }
    }
    rows
}

fn for_people(settings: &Settings, found: Option<&Found>, style: Style) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str, origin: &str| {
        let name = style.paint(Colour::Bold, &format!("{name:<24}"));
        let origin = match origin {
            "" => String::new(),
            origin => style.paint(Colour::Dim, &format!("  ({origin})")),
        };
        // To write to a string does not fail.
        let _ = writeln!(text, "{name} {value}{origin}");
    };
    if let Some(config) = &settings.config {
        let profile = settings.profile.as_deref().unwrap_or("none");
        line(
            "file of settings",
            &config.display().to_string(),
            &format!("profile: {profile}"),
        );
    }
    for (name, value, origin) in shown(settings) {
        line(name, &value, &origin);
    }
    let Some(Found {
        auth,
        token,
        problem,
    }) = found
    else {
        return text;
    };
    let url = |url: &http::Uri| shown::url(&url.to_string());
    let environment = auth.environment();
    line("token endpoint", &url(environment.token_url()), "");
    line("API", &url(environment.api_url()), "");
    match (cache::is_chosen(settings), cache::of(settings)) {
        (true, Ok(cache)) => line("token cache", &cache.directory().display().to_string(), ""),
        (true, Err(failure)) => line("token cache", &failure.message, ""),
        (false, _) => line("token cache", "none that outlives a process", ""),
    }
    let Some((token, record)) = token else {
        line(
            "access token",
            problem.as_deref().unwrap_or("none is held"),
            "",
        );
        return text;
    };
    line(
        "access token",
        &token.fingerprint().to_string(),
        "fingerprint",
    );
    if let Some(scopes) = token.scopes() {
        line("granted scopes", &scopes.to_string(), "");
    }
    let left = time::left(token.expires_at());
    let expiry = time::rfc3339(token.expires_at());
    line(
        "expires",
        &expiry,
        &format!("in {}", time::for_people(left)),
    );
    if let Some(record) = record {
        line("age", &time::for_people(age(record)), "");
        if std::io::stdout().is_terminal() {
            let bar = style.paint(Colour::Green, &bar::bar(left, record.lifetime()));
            line("time left", &bar, "");
        }
    }
    text
}

fn as_json(settings: &Settings, found: Option<&Found>, failure: Option<&Failure>) -> Value {
    let rows = shown(settings).into_iter().map(|(name, value, origin)| {
        let value = json!({ "value": value, "from": origin });
        (name.to_owned(), value)
    });
    let rows: serde_json::Map<String, Value> = rows.collect();
    let token = found
        .and_then(|found| found.token.as_ref())
        .map(|(token, record)| {
            json!({
                "fingerprint": token.fingerprint().to_string(),
                "scope": token.scopes().map(ToString::to_string),
                "expires_at": time::rfc3339(token.expires_at()),
                "expires_in": time::left(token.expires_at()).as_secs(),
                "age": record.as_ref().map(|record| age(record).as_secs()),
                "lifetime": record.as_ref().map(|record| record.lifetime().as_secs()),
            })
        });
    let directory = if cache::is_chosen(settings) {
        cache::of(settings)
            .ok()
            .map(|cache| cache.directory().display().to_string())
    } else {
        None
    };
    let environment = found.map(|found| found.auth.environment());
    json!({
        "config": settings.config.as_ref().map(|path| path.display().to_string()),
        "profile": settings.profile,
        "settings": rows,
        "token_url": environment.map(|it| shown::url(&it.token_url().to_string())),
        "api_url": environment.map(|it| shown::url(&it.api_url().to_string())),
        "audience": environment.and_then(|it| it.audience()),
        "cache": directory,
        "token": token,
        "problem": failure
            .map(|failure| failure.message.clone())
            .or_else(|| found.and_then(|found| found.problem.clone())),
    })
}

fn age(record: &CacheRecord) -> Duration {
    time::now()
        .duration_since(record.sent_at())
        .unwrap_or_default()
}

/// A file cache that remembers the last record it gave.
#[derive(Debug)]
struct Watched {
    inner: FileCache,
    seen: Arc<Mutex<Option<CacheRecord>>>,
}

#[async_trait]
impl TokenCache for Watched {
    async fn load(&self, access: &CacheAccess) -> Result<Option<CacheRecord>, CacheError> {
        let record = self.inner.load(access).await?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone_from(&record);
        Ok(record)
    }

    async fn store(&self, access: &CacheAccess, record: &CacheRecord) -> Result<(), CacheError> {
        self.inner.store(access, record).await
    }

    async fn remove(&self, access: &CacheAccess, token: &TokenHash) -> Result<(), CacheError> {
        self.inner.remove(access, token).await
    }

    /// To look needs no right, and takes none from others.
    async fn lease(&self, _: &CacheAccess) -> Result<Lease, CacheError> {
        Ok(Lease::NotNeeded)
    }

    async fn load_refusal(&self, access: &CacheAccess) -> Result<Option<Refusal>, CacheError> {
        self.inner.load_refusal(access).await
    }

    fn check(&self, credentials: &ClientCredentials) -> Result<(), ConfigurationError> {
        self.inner.check(credentials)
    }
}
