//! What users write themselves: the token of the crate `oauth2` behind a lock, and a cache of moka.

use std::time::{Duration, Instant};

use bench::{
    Problem,
    interleave::{Kind, Operation, Subject},
    token,
};
use http::HeaderValue;
use moka::future::Cache;
use oauth2::{
    AccessToken, EmptyExtraTokenFields, TokenResponse as _,
    basic::{BasicTokenResponse, BasicTokenType},
};
use tokio::{runtime::Runtime, sync::RwLock};

struct Locked(RwLock<(BasicTokenResponse, Instant)>);

impl Locked {
    /// A copy, which is what a function that returns a token gives to its callers.
    #[expect(
        clippy::disallowed_methods,
        reason = "as users do who have no clock of their own"
    )]
    async fn token(&self) -> Option<AccessToken> {
        let held = self.0.read().await;
        let (token, expires_at) = &*held;
        (Instant::now() < *expires_at).then(|| token.access_token().clone())
    }
}

impl Operation for Locked {
    type Output = Option<HeaderValue>;

    async fn run(&self) -> Option<HeaderValue> {
        crate::bearer(self.token().await?.secret())
    }
}

struct Cached(Cache<String, String>);

impl Operation for Cached {
    type Output = Option<HeaderValue>;

    async fn run(&self) -> Option<HeaderValue> {
        crate::bearer(&self.0.get("bench").await?)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the token is good until tomorrow"
)]
pub(crate) fn subjects(runtime: &Runtime) -> Result<Vec<Subject>, Problem> {
    let lifetime = Duration::from_secs(86_400);
    let token = token();
    let response = BasicTokenResponse::new(
        AccessToken::new(token.clone()),
        BasicTokenType::Bearer,
        EmptyExtraTokenFields {},
    );
    let locked = Locked(RwLock::new((response, Instant::now() + lifetime)));
    let cache = Cache::builder()
        .max_capacity(100)
        .time_to_live(lifetime)
        .build();
    runtime.block_on(cache.insert("bench".to_owned(), token));
    Ok(vec![
        Subject::of_operations("oauth2 + tokio RwLock", Kind::Rival, locked),
        Subject::of_operations("moka, get()", Kind::Rival, Cached(cache)),
    ])
}
