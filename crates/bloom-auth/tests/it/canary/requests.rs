//! What the canary test does with requests to the API: through the client of the
//! facade, the middleware and the tower layer, with an API that accepts, refuses
//! and repeats the token.

use bloom_auth::{AuthVersion, BloomAuth, Environment};
use bloom_auth_emulator::Emulator;

use super::{ID, SECRET, credentials, print_chain};

const ORGANIZATION: &str = "/v2/core/organization";
const CONSUMERS: &str = "/v2/core/consumers";

/// Returns the tokens.
pub(super) async fn days() -> Vec<String> {
    let mut tokens = Vec::new();
    let emulator = Emulator::builder().client(ID, SECRET).start();
    let emulator = emulator.await.unwrap();
    let auth = build(&emulator);
    through_api(&emulator, &auth, &mut tokens).await;
    #[cfg(feature = "middleware")]
    through_middleware(&emulator, &mut tokens).await;
    #[cfg(feature = "tower")]
    through_layer(&mut tokens).await;
    with_too_small_a_scope(&emulator, &mut tokens).await;

    // Nobody is there any more.
    emulator.shutdown().await;
    let error = auth.api().get(ORGANIZATION).send().await.unwrap_err();
    print_chain(&error);
    eprintln!("{auth:?} {:?}", auth.status());
    tokens
}

fn build(emulator: &Emulator) -> BloomAuth {
    let environment = Environment::custom(emulator.v1_token_url(), emulator.api_url())
        .audience(emulator.audience())
        .build()
        .unwrap();
    BloomAuth::builder()
        .environment(environment)
        .credentials(credentials())
        .root_certificate(emulator.ca_pem().unwrap())
        .build()
        .unwrap()
}

/// The token that is there now.
async fn current(auth: &BloomAuth) -> String {
    auth.token().await.unwrap().expose().to_owned()
}

async fn through_api(emulator: &Emulator, auth: &BloomAuth, tokens: &mut Vec<String>) {
    let api = auth.api();
    let request = api.get(ORGANIZATION);
    eprintln!("{api:?} {api:#?} {request:?} {request:#?}");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    eprintln!("{response:?} {response:#?}");
    tokens.push(current(auth).await);

    // Sent twice, the second time with another token; then refused for good.
    emulator.revoke_all();
    let consumer = serde_json::json!({ "first_name": "Ada" });
    let response = api.post(CONSUMERS).json(&consumer).send().await.unwrap();
    assert_eq!(response.status(), 201);
    eprintln!("{response:?}");
    tokens.push(current(auth).await);
    emulator.revoke_all();
    let response = api.get(ORGANIZATION).send().await.unwrap();
    assert_eq!(response.status(), 401);
    print_chain(&response.error_for_status().unwrap_err());

    // To nobody, and to somebody else.
    let built = api.get(ORGANIZATION).build().unwrap();
    eprintln!("{built:?} {built:#?}");
    for url in ["https://example.com/", "http://\u{7f}", "https://"] {
        print_chain(&api.get(url).send().await.unwrap_err());
    }
    for url in ["https://api.test:0/", "http://api.test"] {
        if let Err(error) = api.get(url).build() {
            print_chain(&error);
        }
    }
}

#[cfg(feature = "middleware")]
async fn through_middleware(emulator: &Emulator, tokens: &mut Vec<String>) {
    use bloom_auth::BearerMiddleware;
    use reqwest_middleware::ClientBuilder;

    let auth = build(emulator);
    let ca = reqwest::Certificate::from_pem(emulator.ca_pem().unwrap().as_bytes()).unwrap();
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .tls_certs_only([ca])
        .build()
        .unwrap();
    let middleware = BearerMiddleware::new(auth.provider().clone());
    eprintln!("{middleware:?} {middleware:#?}");
    let client = ClientBuilder::new(client).with(middleware).build();
    let url = auth.environment().url_of(ORGANIZATION);
    let mut seen = Vec::new();
    for _ in 0..3 {
        let response = client.get(&url).send().await.unwrap();
        eprintln!("{response:?}");
        seen.push(response.status().as_u16());
        tokens.push(current(&auth).await);
        emulator.revoke_all();
    }
    // The second was sent twice.
    assert_eq!(seen, [200, 200, 401]);
}

/// An API that repeats the token wherever it can, and a client that says what it
/// was given. The tokens are short, and could be taken for scopes.
#[cfg(feature = "tower")]
async fn through_layer(tokens: &mut Vec<String>) {
    use std::convert::Infallible;

    use bloom_auth::{BearerLayer, TokenProvider};
    use bloom_auth_core::test_util::{Reply, ScriptedTransport};
    use http::{
        HeaderValue, Request, Response, StatusCode,
        header::{AUTHORIZATION, WWW_AUTHENTICATE},
    };
    use tower::{ServiceBuilder, ServiceExt as _, service_fn};

    let short = ["short-2b9e41d07c", "short-d58f60a31e"];
    let transport = ScriptedTransport::new(short.map(|token| Reply::token(token, 3600)));
    let environment = Environment::sandbox(AuthVersion::V1);
    let provider = TokenProvider::builder(environment, credentials(), transport)
        .build()
        .unwrap();
    for (status, reason) in [
        (StatusCode::FORBIDDEN, "insufficient_scope"),
        (StatusCode::UNAUTHORIZED, "insufficient_scope"),
        (StatusCode::UNAUTHORIZED, "invalid_request"),
        (StatusCode::UNAUTHORIZED, "invalid_token"),
    ] {
        let api = service_fn(move |request: Request<String>| async move {
            eprintln!("{request:?} {request:#?}");
            let value = request.headers().get(AUTHORIZATION).cloned();
            let value = value.unwrap();
            let token = value.to_str().unwrap().replace("Bearer ", "");
            let challenge =
                format!("Bearer error=\"{reason}\", scope=\"x {token}\", realm=\"{token}\"");
            let mut response = Response::new(());
            *response.status_mut() = status;
            let challenge = HeaderValue::from_str(&challenge).unwrap();
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            Ok::<_, Infallible>(response)
        });
        let layer = BearerLayer::new(provider.clone()).replay_cloned();
        eprintln!("{layer:?} {layer:#?}");
        let service = ServiceBuilder::new().layer(layer).service(api);
        eprintln!("{service:?}");
        let request = Request::get(provider.environment().url_of(ORGANIZATION));
        let response = service.oneshot(request.body(String::new()).unwrap()).await;
        assert_eq!(response.unwrap().status(), status);
    }
    // The second one was fetched for the last request.
    assert_eq!(provider.token().await.unwrap().expose(), short[1]);
    tokens.extend(short.map(str::to_owned));
}

/// The API wants another scope, which is an event.
async fn with_too_small_a_scope(emulator: &Emulator, tokens: &mut Vec<String>) {
    let environment = Environment::custom(emulator.v2_token_url(), emulator.api_url())
        .auth_version(AuthVersion::V2)
        .audience(emulator.audience())
        .build()
        .unwrap();
    let auth = BloomAuth::builder()
        .environment(environment)
        .credentials(credentials())
        .scopes("furnishment:all".parse().unwrap())
        .root_certificate(emulator.ca_pem().unwrap())
        .build()
        .unwrap();
    let response = auth.api().get(ORGANIZATION).send().await.unwrap();
    assert_eq!(response.status(), 403);
    eprintln!("{response:?}");
    tokens.push(current(&auth).await);
}
