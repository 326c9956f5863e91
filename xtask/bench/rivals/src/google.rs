//! `google-cloud-auth`: a background task keeps the token, and callers get copies.

use bench::{
    Problem,
    interleave::{Kind, Operation, Subject},
    peers::TokenServer,
    token,
};
use google_cloud_auth::credentials::{
    AccessTokenCredentials, CacheableResource, Credentials, user_account,
};
use http::{Extensions, HeaderValue, header::AUTHORIZATION};
use tokio::runtime::Runtime;

/// What its own clients do.
struct Headers(Credentials);

impl Operation for Headers {
    type Output = Option<HeaderValue>;

    async fn run(&self) -> Option<HeaderValue> {
        match self.0.headers(Extensions::new()).await.ok()? {
            CacheableResource::New { mut data, .. } => data.remove(AUTHORIZATION),
            CacheableResource::NotModified => None,
        }
    }
}

/// With its tag, which says that the caller's copy is good.
struct Tagged {
    credentials: Credentials,
    extensions: Extensions,
    copy: HeaderValue,
}

impl Operation for Tagged {
    type Output = Option<HeaderValue>;

    async fn run(&self) -> Option<HeaderValue> {
        match self
            .credentials
            .headers(self.extensions.clone())
            .await
            .ok()?
        {
            CacheableResource::NotModified => Some(self.copy.clone()),
            CacheableResource::New { .. } => None,
        }
    }
}

struct Token(AccessTokenCredentials);

impl Operation for Token {
    type Output = Option<HeaderValue>;

    async fn run(&self) -> Option<HeaderValue> {
        crate::bearer(&self.0.access_token().await.ok()?.token)
    }
}

pub(crate) fn subjects(runtime: &Runtime) -> Result<Vec<Subject>, Problem> {
    let server = TokenServer::start(&token())?;
    let account = || {
        let account = serde_json::json!({
            "type": "authorized_user",
            "client_id": "bench",
            "client_secret": "secret",
            "refresh_token": "refresh",
        });
        user_account::Builder::new(account).with_token_uri(server.url())
    };
    let credentials = account().build()?;
    let first = runtime.block_on(credentials.headers(Extensions::new()))?;
    let CacheableResource::New {
        entity_tag,
        mut data,
    } = first
    else {
        return Err("google-cloud-auth has no headers".into());
    };
    let copy = data.remove(AUTHORIZATION).ok_or("no header")?;
    let mut extensions = Extensions::new();
    extensions.insert(entity_tag);
    let tagged = Tagged {
        credentials: credentials.clone(),
        extensions,
        copy,
    };
    let token = Token(account().build_access_token_credentials()?);
    let headers = Headers(credentials);
    Ok(vec![
        Subject::of_operations("google-cloud-auth, headers()", Kind::Rival, headers),
        Subject::of_operations("google-cloud-auth, headers(tag)", Kind::Rival, tagged),
        Subject::of_operations("google-cloud-auth, access_token()", Kind::Rival, token),
    ])
}
