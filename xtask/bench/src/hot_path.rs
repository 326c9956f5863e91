//! A call that finds a fresh token, which is nearly every one.

use std::{
    fmt,
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bloom_auth_core::{
    AccessToken, AuthVersion, ConfigurationError, Environment, Error, RequestBody, ResponseBody,
    TokenProvider, Transport, TransportError,
};
use http::{HeaderValue, Request, Response};

use crate::{
    Problem, credentials,
    interleave::{Kind, Operation, Subject, block_on},
    token,
};

/// Gives out tokens without a network, and counts requests where they arrive. Clones are the same.
#[derive(Clone)]
pub(crate) struct Issuer(Arc<(AtomicUsize, Duration, String)>);

impl Issuer {
    pub(crate) fn new(delay: Duration) -> Self {
        let token = token();
        let body =
            format!(r#"{{"access_token":"{token}","expires_in":86400,"token_type":"Bearer"}}"#);
        Self(Arc::new((AtomicUsize::new(0), delay, body)))
    }

    pub(crate) fn requests(&self) -> usize {
        self.0.0.load(Ordering::SeqCst)
    }

    pub(crate) fn provider(&self) -> Result<TokenProvider, ConfigurationError> {
        let environment = Environment::sandbox(AuthVersion::V1);
        TokenProvider::builder(environment, credentials()?, self.clone()).build()
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Issuer({} requests)", self.requests())
    }
}

#[async_trait]
impl Transport for Issuer {
    async fn send(
        &self,
        _: Request<RequestBody>,
    ) -> Result<Response<ResponseBody>, TransportError> {
        let (requests, delay, body) = &*self.0;
        requests.fetch_add(1, Ordering::SeqCst);
        if !delay.is_zero() {
            tokio::time::sleep(*delay).await;
        }
        let mut response = ResponseBody::new();
        response.push(body.as_bytes())?;
        Ok(Response::new(response))
    }
}

struct Authorization(TokenProvider);

impl Operation for Authorization {
    type Output = Result<HeaderValue, Error>;

    async fn run(&self) -> Result<HeaderValue, Error> {
        black_box(&self.0).authorization().await
    }
}

struct Token(TokenProvider);

impl Operation for Token {
    type Output = Result<AccessToken, Error>;

    async fn run(&self) -> Result<AccessToken, Error> {
        black_box(&self.0).token().await
    }
}

/// The name of the call that the verdict is about.
pub const CALL: &str = "try_authorization()";

/// What this library offers, each with a provider of its own that holds a fresh token.
///
/// # Errors
///
/// If no runtime or no token is to be had.
pub fn ours() -> Result<Vec<Subject>, Problem> {
    let [first, second, third] = [held()?, held()?, held()?];
    Ok(vec![
        Subject::of_calls(CALL, Kind::Ours, move |_| {
            black_box(&first).try_authorization()
        }),
        Subject::of_operations("authorization().await", Kind::Ours, Authorization(second)),
        Subject::of_operations("token().await", Kind::Ours, Token(third)),
    ])
}

/// A provider that holds a fresh token.
pub(crate) fn held() -> Result<TokenProvider, Problem> {
    let issuer = Issuer::new(Duration::ZERO);
    let provider = issuer.provider()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    runtime.block_on(provider.authorization())?;
    if issuer.requests() != 1 {
        return Err("a provider should have asked once".into());
    }
    // Ready at once: nothing has to be waited for any more.
    block_on(provider.authorization())?;
    Ok(provider)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{allocations, floors};

    #[test]
    fn no_call_that_finds_a_fresh_token_allocates() {
        let mut subjects = ours().unwrap();
        subjects.extend(floors::hot_path().unwrap());
        for (subject, allocations) in subjects
            .iter()
            .zip(allocations::measure(&subjects).unwrap())
        {
            assert_eq!(allocations.count, 0, "{subject:?}");
        }
    }

    #[test]
    fn an_issuer_counts_its_requests_and_provider_asks_once() {
        let issuer = Issuer::new(Duration::ZERO);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        assert_eq!(issuer.requests(), 0);
        for expected in [1, 2] {
            let provider = issuer.provider().unwrap();
            for _ in 0..3 {
                let header = runtime.block_on(provider.authorization()).unwrap();
                assert_eq!(header, floors::header().unwrap());
            }
            assert_eq!(issuer.requests(), expected);
        }
    }
}
