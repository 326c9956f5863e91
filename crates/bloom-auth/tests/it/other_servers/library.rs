//! The library against them.

use bloom_auth::{BloomAuth, ErrorKind};

use super::{CLIENTS, Door, Kind, Server, Variables, WRONG_SECRET, untrusted, variables};

fn build(variables: Variables) -> BloomAuth {
    BloomAuth::from_lookup(move |name| variables.get(name).cloned()).unwrap()
}

async fn gives_tokens(kind: Kind, test: &str) {
    let Some(server) = Server::start(kind, test) else {
        return;
    };
    for client in CLIENTS {
        let auth = build(variables(&server, Door::Good, *client));
        let first = auth.token().await;
        let first = first.unwrap_or_else(|error| panic!("{client:?}: {error:?}"));
        // It has a lifetime, and is kept.
        assert_eq!(auth.token().await.unwrap(), first, "{client:?}");
        // And an assertion is another one each time.
        assert_ne!(auth.refresh().await.unwrap(), first, "{client:?}");
    }
    assert_eq!(server.requests(), 2 * CLIENTS.len());
}

async fn refuses_wrong_secrets(kind: Kind, test: &str) {
    let Some(server) = Server::start(kind, test) else {
        return;
    };
    let with_secret = || CLIENTS.iter().filter(|client| client.has_secret());
    for client in with_secret() {
        let mut variables = variables(&server, Door::Good, *client);
        variables.insert("BLOOM_CLIENT_SECRET", WRONG_SECRET.into());
        let error = build(variables).token().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ClientRefused, "{client:?}");
    }
    assert_eq!(server.requests(), with_secret().count());
}

async fn is_not_trusted(kind: Kind, test: &str) {
    let Some(server) = Server::start(kind, test) else {
        return;
    };
    for (what, variables) in untrusted(&server) {
        let error = build(variables).token().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Tls, "{what}");
    }
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn oidc_provider_gives_tokens_to_every_client() {
    let test = "oidc_provider_gives_tokens_to_every_client";
    gives_tokens(Kind::OidcProvider, test).await;
}

#[tokio::test]
async fn authlib_gives_tokens_to_every_client() {
    gives_tokens(Kind::Authlib, "authlib_gives_tokens_to_every_client").await;
}

#[tokio::test]
async fn oidc_provider_refuses_wrong_secrets() {
    let test = "oidc_provider_refuses_wrong_secrets";
    refuses_wrong_secrets(Kind::OidcProvider, test).await;
}

#[tokio::test]
async fn authlib_refuses_wrong_secrets() {
    refuses_wrong_secrets(Kind::Authlib, "authlib_refuses_wrong_secrets").await;
}

#[tokio::test]
async fn oidc_provider_is_not_trusted_with_wrong_certificates() {
    let test = "oidc_provider_is_not_trusted_with_wrong_certificates";
    is_not_trusted(Kind::OidcProvider, test).await;
}

#[tokio::test]
async fn authlib_is_not_trusted_with_wrong_certificates() {
    let test = "authlib_is_not_trusted_with_wrong_certificates";
    is_not_trusted(Kind::Authlib, test).await;
}
