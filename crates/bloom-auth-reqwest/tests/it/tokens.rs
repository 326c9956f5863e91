//! The whole way: provider, transport, TLS, emulator.

use bloom_auth_core::{
    AuthVersion, ClientAuthentication, ClientCredentials, ClientId, ClientSecret, Environment,
    ErrorKind, TokenProvider,
};
use bloom_auth_emulator::Emulator;
use bloom_auth_reqwest::ReqwestTransport;
use http::Request;

/// Everything that forms, URLs and Basic credentials give a meaning to.
const ID: &str = "my id+%20:\u{e9}&=/";
const SECRET: &str = "s3cret +%2B%:\u{e9} &=;\"\\~*'";

fn provider(
    emulator: &Emulator,
    version: AuthVersion,
    authentication: ClientAuthentication,
    secret: &str,
) -> TokenProvider {
    let token_url = match version {
        AuthVersion::V2 => emulator.v2_token_url(),
        _ => emulator.v1_token_url(),
    };
    let environment = Environment::custom(token_url, emulator.api_url())
        .auth_version(version)
        .audience(emulator.audience())
        .build()
        .unwrap();
    let credentials = ClientCredentials::new(
        ClientId::new(ID).unwrap(),
        ClientSecret::new(secret).unwrap(),
    );
    let builder = TokenProvider::builder(environment, credentials, transport(emulator))
        .client_authentication(authentication);
    let builder = match version {
        AuthVersion::V2 => builder.scopes("data-access:all furnishment:all".parse().unwrap()),
        _ => builder,
    };
    builder.build().unwrap()
}

fn transport(emulator: &Emulator) -> ReqwestTransport {
    let builder = ReqwestTransport::builder().with_root_certificate(emulator.ca_pem().unwrap());
    builder.unwrap().build().unwrap()
}

const EVERY_WAY: [(AuthVersion, ClientAuthentication); 4] = [
    (AuthVersion::V1, ClientAuthentication::Post),
    (AuthVersion::V1, ClientAuthentication::Basic),
    (AuthVersion::V2, ClientAuthentication::Post),
    (AuthVersion::V2, ClientAuthentication::Basic),
];

#[tokio::test]
async fn ids_and_secrets_of_any_characters_get_tokens_that_work() {
    let emulator = Emulator::builder()
        .client(ID, SECRET)
        .start()
        .await
        .unwrap();
    for (index, (version, authentication)) in EVERY_WAY.into_iter().enumerate() {
        let case = format!("{version:?} {authentication:?}");
        let provider = provider(&emulator, version, authentication, SECRET);
        let token = provider.token().await;
        let token = token.unwrap_or_else(|error| panic!("{case}: {error:?}"));
        if version == AuthVersion::V2 {
            let granted = token.scopes().unwrap();
            assert!(granted.contains("furnishment:all"), "{case}: {granted}");
        }
        let call = Request::get(format!("{}/v2/core/organization", emulator.api_url()))
            .header("authorization", provider.authorization().await.unwrap())
            .body(bloom_auth_core::RequestBody::default())
            .unwrap();
        let answer = bloom_auth_core::Transport::send(&transport(&emulator), call).await;
        assert_eq!(answer.unwrap().status(), 200, "{case}");
        // One request each: the token was served twice.
        let counts = emulator.counts();
        assert_eq!(counts.token_requests, index as u64 + 1, "{case}");
        assert_eq!(counts.tokens_issued, index as u64 + 1, "{case}");
    }
}

#[tokio::test]
async fn a_wrong_secret_is_refused_and_sent_once() {
    let emulator = Emulator::builder()
        .client(ID, SECRET)
        .start()
        .await
        .unwrap();
    for (index, (version, authentication)) in EVERY_WAY.into_iter().enumerate() {
        let case = format!("{version:?} {authentication:?}");
        let provider = provider(&emulator, version, authentication, "wr0ng");
        let error = provider.token().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ClientRefused, "{case}: {error:?}");
        assert!(!format!("{error:?}").contains("wr0ng"), "{case}: {error:?}");
        let refused = emulator.counts().token_requests_refused;
        assert_eq!(refused, index as u64 + 1, "{case}");
    }
}
