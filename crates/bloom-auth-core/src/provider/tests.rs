//! What no test from outside can do to a provider: panic under its lock.

use std::thread;

use async_trait::async_trait;
use http::{Request, Response};
use tokio::runtime::Builder;

use super::{Rejection, TokenProvider};
use crate::{
    AuthVersion, ClientCredentials, ClientId, ClientSecret, Environment, RequestBody, ResponseBody,
    Transport, TransportError,
};

/// A server that gives a token of an hour.
#[derive(Debug)]
struct Server;

#[async_trait]
impl Transport for Server {
    async fn send(
        &self,
        _: Request<RequestBody>,
    ) -> Result<Response<ResponseBody>, TransportError> {
        let mut body = ResponseBody::new();
        body.push(br#"{"access_token":"a","token_type":"Bearer","expires_in":3600}"#)?;
        Ok(Response::new(body))
    }
}

#[test]
fn c14_a_panic_under_the_lock_does_no_harm() {
    let id = ClientId::new("client").unwrap();
    let credentials = ClientCredentials::new(id, ClientSecret::new("secret").unwrap());
    let environment = Environment::sandbox(AuthVersion::V1);
    let provider = TokenProvider::builder(environment, credentials, Server);
    let provider = provider.build().unwrap();
    let shared = &provider.shared;
    let thread = thread::scope(|scope| {
        let panics = || {
            let _engine = shared.engine();
            panic!("as a bug of ours may");
        };
        scope.spawn(panics).join()
    });
    assert!(thread.is_err() && shared.engine.is_poisoned());

    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        assert_eq!(provider.try_authorization(), None);
        let token = provider.token().await.unwrap();
        assert_eq!(
            provider.authorization().await.unwrap(),
            token.authorization()
        );
        assert_eq!(provider.reject(&token), Rejection::Dropped);
        assert!(provider.refresh().await.is_ok());
        assert!(provider.try_authorization().is_some());
        assert_eq!(provider.status().counts.token_requests, 2);
    });
}
