//! `azure_identity`: a lock around a map by scopes.

use std::sync::Arc;

use azure_core::{
    Result,
    credentials::{Secret, TokenCredential as _},
    http::{
        AsyncRawResponse, ClientOptions, HttpClient, Request, StatusCode, Transport,
        headers::Headers,
    },
};
use azure_identity::{ClientSecretCredential, ClientSecretCredentialOptions};
use bench::{
    Problem,
    interleave::{Kind, Operation, Subject},
    token,
};
use http::HeaderValue;

/// In the place of a server.
#[derive(Debug)]
struct Answer(String);

#[async_trait::async_trait]
impl HttpClient for Answer {
    async fn execute_request(&self, _: &Request) -> Result<AsyncRawResponse> {
        let body = self.0.clone();
        Ok(AsyncRawResponse::from_bytes(
            StatusCode::Ok,
            Headers::new(),
            body,
        ))
    }
}

struct Token(Arc<ClientSecretCredential>);

impl Operation for Token {
    type Output = Option<HeaderValue>;

    async fn run(&self) -> Option<HeaderValue> {
        let token = self.0.get_token(&["https://api.test/.default"], None).await;
        crate::bearer(token.ok()?.token.secret())
    }
}

pub(crate) fn subjects() -> std::result::Result<Vec<Subject>, Problem> {
    let token = token();
    let body = format!(
        r#"{{"token_type":"Bearer","expires_in":86400,"ext_expires_in":86400,"access_token":"{token}"}}"#
    );
    let client_options = ClientOptions {
        transport: Some(Transport::new(Arc::new(Answer(body)))),
        ..ClientOptions::default()
    };
    let credential = ClientSecretCredential::new(
        "bench",
        "bench".to_owned(),
        Secret::new("secret"),
        Some(ClientSecretCredentialOptions { client_options }),
    )?;
    Ok(vec![Subject::of_operations(
        "azure_identity, get_token()",
        Kind::Rival,
        Token(credential),
    )])
}
