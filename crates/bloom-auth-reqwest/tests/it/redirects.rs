//! Whom the token reaches when the API sends a request elsewhere: every status
//! by every kind of destination, by the log of those who were asked.

use bloom_auth_reqwest::{AuthorizedClient, RequestError};
use reqwest::{Client, Response, redirect::Policy};

use crate::{
    api_server::{Answer, ApiServer, Arrived},
    support::{api_provider, chain_of},
};

const STATUSES: [u16; 5] = [301, 302, 303, 307, 308];

/// `/to/<url>` leads to the URL; everything else is where a chain ends.
fn rule(status: u16) -> impl Fn(&Arrived) -> Answer + Send + Sync + 'static {
    move |request| match request.path.strip_prefix("/to/") {
        Some(to) => (status, format!("location: {to}\r\n")),
        None => (200, String::new()),
    }
}

fn origin(server: &ApiServer) -> String {
    format!("http://{}", server.address)
}

fn client(api: &ApiServer) -> AuthorizedClient {
    AuthorizedClient::new(api_provider(&origin(api), &["T"]).0)
}

async fn get(client: &AuthorizedClient, path: &str) -> Response {
    client.get(path).send().await.unwrap()
}

/// Path and token of each request, for comparison.
fn log(server: &ApiServer) -> Vec<(String, bool)> {
    let log = server.log().into_iter();
    log.map(|(path, token)| {
        assert!(
            token.as_ref().is_none_or(|token| token == "Bearer T"),
            "{token:?}"
        );
        (path, token.is_some())
    })
    .collect()
}

fn was(path: impl Into<String>, with_token: bool) -> (String, bool) {
    (path.into(), with_token)
}

#[tokio::test]
async fn a11_the_token_goes_along_within_its_origin() {
    for status in STATUSES {
        let api = ApiServer::start(rule(status)).await;
        for to in ["/end".to_owned(), format!("{}/end", origin(&api))] {
            let path = format!("/to/{to}");
            let response = get(&client(&api), &path).await;
            assert_eq!(
                (response.status(), response.url().path()),
                (200.try_into().unwrap(), "/end")
            );
            assert_eq!(
                log(&api).split_off(log(&api).len() - 2),
                [was(path, true), was("/end", true)]
            );
        }
    }
}

#[tokio::test]
async fn a11_the_token_stays_behind_when_port_or_host_change() {
    for status in STATUSES {
        let (api, other) = (
            ApiServer::start(rule(status)).await,
            ApiServer::start(rule(status)).await,
        );
        // Another port; and the same port of another name for this machine.
        let by_name = format!("http://localhost:{}", api.address.port());
        let response = get(&client(&api), &format!("/to/{}/end", origin(&other))).await;
        assert_eq!(response.status(), 200);
        assert_eq!(log(&other), [was("/end", false)], "{status}");
        let response = get(&client(&api), &format!("/to/{by_name}/end")).await;
        assert_eq!(response.status(), 200);
        assert_eq!(log(&api).pop(), Some(was("/end", false)), "{status}");
    }
}

#[tokio::test]
async fn a11_what_was_left_behind_does_not_come_back_with_a_later_hop() {
    for status in STATUSES {
        let (api, other) = (
            ApiServer::start(rule(status)).await,
            ApiServer::start(rule(status)).await,
        );
        // To the other one and on within it; and back to where it began.
        for (last, at_home) in [
            ("/end".to_owned(), false),
            (format!("{}/end", origin(&api)), true),
        ] {
            let away = format!("{}/to/{last}", origin(&other));
            let response = get(&client(&api), &format!("/to/{away}")).await;
            assert_eq!(response.status(), 200);
            let mut seen = log(&other);
            let ended = if at_home { log(&api).pop() } else { seen.pop() };
            assert_eq!(ended, Some(was("/end", false)), "{status}");
            assert_eq!(
                seen.pop(),
                Some(was(format!("/to/{last}"), false)),
                "{status}"
            );
        }
        // Back at home, and on from there.
        let path = format!(
            "/to/{o}/to/{a}/to//end",
            o = origin(&other),
            a = origin(&api)
        );
        get(&client(&api), &path).await;
        let seen = log(&api);
        let home = &seen[seen.len() - 2..];
        assert_eq!(
            home,
            [was("/to//end", false), was("/end", false)],
            "{status}"
        );
    }
}

#[tokio::test]
async fn a11_an_origin_allowed_by_name_gets_the_token() {
    for status in STATUSES {
        let (api, files) = (
            ApiServer::start(rule(status)).await,
            ApiServer::start(rule(status)).await,
        );
        let (provider, _) = api_provider(&origin(&api), &["T"]);
        let client = AuthorizedClient::builder(provider)
            .allow_origin(origin(&files))
            .unwrap()
            .build()
            .unwrap();
        let path = format!("/to/{}/to/{}/end", origin(&files), origin(&api));
        assert_eq!(get(&client, &path).await.status(), 200);
        let end = format!("/to/{}/end", origin(&api));
        assert_eq!(log(&files), [was(end, true)]);
        assert_eq!(log(&api), [was(path, true), was("/end", true)], "{status}");
    }
}

#[cfg(feature = "rustls")]
#[tokio::test]
async fn a11_a12_nothing_follows_from_https_to_http() {
    use bloom_auth_reqwest::ReqwestTransport;

    use crate::tls_server::Authority;

    let authority = Authority::new();
    let identity = authority.issue("127.0.0.1", 4096);
    for status in STATUSES {
        let api = ApiServer::start_tls(&identity, rule(status)).await;
        let plain = ApiServer::start(rule(status)).await;
        let (provider, _) = api_provider(&format!("https://{}", api.address), &["T"]);
        let transport = ReqwestTransport::builder().with_root_certificate(authority.pem());
        let client = AuthorizedClient::builder(provider)
            .settings_of(&transport.unwrap().build().unwrap())
            .build()
            .unwrap();
        let response = get(&client, &format!("/to/{}/end", origin(&plain))).await;
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(plain.log(), []);
        // The control: over https it is followed, the token included.
        let response = get(&client, "/to//end").await;
        assert_eq!(response.status(), 200);
        assert_eq!(log(&api).pop(), Some(was("/end", true)));
    }
}

#[tokio::test]
async fn a11_the_body_goes_where_the_status_says() {
    for (status, method, body) in [
        (301, "GET", ""),
        (302, "GET", ""),
        (303, "GET", ""),
        (307, "POST", "hello"),
        (308, "POST", "hello"),
    ] {
        let api = ApiServer::start(rule(status)).await;
        let request = client(&api).post("/to//end").body("hello");
        let request = request
            .header("content-type", "text/plain")
            .header("x-own", "kept");
        assert_eq!(request.send().await.unwrap().status(), 200);
        let end = api.requests().pop().unwrap();
        assert_eq!(
            (end.method.as_str(), end.body.as_str()),
            (method, body),
            "{status}"
        );
        assert_eq!(end.header("content-type").is_some(), !body.is_empty());
        assert_eq!(end.header("x-own"), Some("kept"));
    }
}

#[tokio::test]
async fn a11_a13_credentials_of_the_caller_stay_behind_as_well() {
    let (api, other) = (
        ApiServer::start(rule(307)).await,
        ApiServer::start(rule(307)).await,
    );
    let (provider, transport) = api_provider(&origin(&api), &["T"]);
    let client = AuthorizedClient::new(provider);
    let path = format!("/to/{}/to/{}/end", origin(&other), origin(&api));
    let request = client
        .get(path)
        .header("authorization", "Basic b3du")
        .header("cookie", "a=b")
        .header("proxy-authorization", "Basic cHJveHk=");
    assert_eq!(request.send().await.unwrap().status(), 200);
    let (first, last) = (&api.requests()[0], &api.requests()[1]);
    assert_eq!(first.token(), Some("Basic b3du"));
    for request in [&other.requests()[0], last] {
        for name in ["authorization", "cookie", "proxy-authorization"] {
            assert_eq!(request.header(name), None);
        }
    }
    // Nor is a token fetched for a request that has its own header.
    assert_eq!(transport.request_count(), 0);
}

#[tokio::test]
async fn a13_who_brings_a_header_gets_no_token_on_any_hop() {
    let (api, files) = (
        ApiServer::start(rule(307)).await,
        ApiServer::start(rule(307)).await,
    );
    let (provider, transport) = api_provider(&origin(&api), &["T"]);
    let client = AuthorizedClient::builder(provider)
        .allow_origin(origin(&files))
        .unwrap()
        .build()
        .unwrap();
    let path = format!("/to/{}/end", origin(&files));
    let request = client.get(path).header("authorization", "Basic b3du");
    assert_eq!(request.send().await.unwrap().status(), 200);
    assert_eq!(log(&files), [was("/end", false)]);
    // With a header of their own, they may go anywhere.
    let other = ApiServer::start(rule(307)).await;
    let request = client.get(format!("{}/to//end", origin(&other)));
    let request = request.header("authorization", "Basic b3du");
    assert_eq!(request.send().await.unwrap().status(), 200);
    let seen = other.requests();
    assert!(
        seen.iter()
            .all(|request| request.token() == Some("Basic b3du"))
    );
    assert_eq!((seen.len(), transport.request_count()), (2, 0));
}

#[tokio::test]
async fn a_chain_without_end_is_an_error() {
    let api = ApiServer::start(|request| (302, format!("location: {}x\r\n", request.path))).await;
    let error = client(&api).get("/").send().await.unwrap_err();
    assert!(
        matches!(error, RequestError::TooManyRedirects),
        "{}",
        chain_of(&error)
    );
    assert_eq!(api.requests().len(), 11);
}

#[tokio::test]
async fn a11_a_client_that_is_brought_follows_its_own_policy() {
    let (api, other) = (
        ApiServer::start(rule(302)).await,
        ApiServer::start(rule(302)).await,
    );
    let (provider, _) = api_provider(&origin(&api), &["T"]);
    let brought = |policy| {
        let client = Client::builder().no_proxy().redirect(policy).build();
        AuthorizedClient::with_client(provider.clone(), client.unwrap())
    };
    let path = format!("/to/{}/to//end", origin(&other));

    // As documented: with no policy, redirects are the caller's to look at.
    let response = get(&brought(Policy::none()), &path).await;
    assert_eq!(response.status(), 302);
    assert_eq!(other.log(), []);

    // And why it is: reqwest's own drops the header on the way to another host,
    // and takes it up again for the next hop there. Should this fail, the
    // warning at `with_client` can go.
    assert_eq!(get(&brought(Policy::default()), &path).await.status(), 200);
    assert_eq!(log(&other), [was("/to//end", false), was("/end", true)]);
}

#[tokio::test]
async fn a10_a_request_that_led_elsewhere_was_carried_out_and_is_not_sent_again() {
    // The token expires in between, say.
    let rule = |request: &Arrived| match (request.path.as_str(), request.token()) {
        ("/work", _) => (303, "location: /done\r\n".to_owned()),
        (_, Some("Bearer A")) => (401, String::new()),
        _ => (200, String::new()),
    };
    let methods = |api: &ApiServer| -> Vec<String> {
        let requests = api.requests().into_iter();
        requests.map(|request| request.method).collect()
    };
    let brought = |api: &ApiServer| {
        let (provider, _) = api_provider(&origin(api), &["A", "B"]);
        let client = Client::builder().no_proxy().build();
        AuthorizedClient::with_client(provider, client.unwrap())
    };

    let api = ApiServer::start(rule).await;
    let brought_client = brought(&api);
    let response = brought_client.post("/work").body("x").send().await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(methods(&api), ["POST", "GET"]);
    // The token is dropped all the same.
    assert_eq!(get(&brought_client, "/done").await.status(), 200);

    // What changes nothing can be sent again.
    let api = ApiServer::start(rule).await;
    assert_eq!(get(&brought(&api), "/work").await.status(), 200);
    assert_eq!(methods(&api), ["GET"; 4]);

    // Where each hop is a request of its own, the hop that was refused is.
    let api = ApiServer::start(rule).await;
    let client = AuthorizedClient::new(api_provider(&origin(&api), &["A", "B"]).0);
    let response = client.post("/work").body("x").send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(methods(&api), ["POST", "GET", "GET"]);
}

#[tokio::test]
async fn a11_a13_what_is_for_one_origin_alone_stays_there() {
    use http::{HeaderMap, HeaderValue};

    let (api, other) = (
        ApiServer::start(rule(307)).await,
        ApiServer::start(rule(307)).await,
    );
    let mut key = HeaderValue::from_static("canary");
    key.set_sensitive(true);
    let headers = [
        ("x-api-key", key),
        ("x-own", HeaderValue::from_static("kept")),
    ];
    let headers: HeaderMap = headers
        .into_iter()
        .map(|(name, value)| (name.parse().unwrap(), value))
        .collect();
    let request = |to: &str| {
        let request = client(&api)
            .get(format!("/to/{to}/end"))
            .headers(headers.clone());
        request.header("host", "api.internal").send()
    };
    for to in [origin(&other), String::new()] {
        assert_eq!(request(&to).await.unwrap().status(), 200);
    }
    let (away, home) = (other.requests().remove(0), api.requests().pop().unwrap());
    let own = |request: &Arrived| {
        ["x-api-key", "x-own"].map(|name| request.header(name).map(str::to_owned))
    };
    assert_eq!(own(&away), [None, Some("kept".to_owned())]);
    assert_eq!(
        away.header("host"),
        Some(other.address.to_string().as_str())
    );
    assert_eq!(
        own(&home),
        [Some("canary".to_owned()), Some("kept".to_owned())]
    );
    assert_eq!(home.header("host"), Some("api.internal"));
}

#[tokio::test]
async fn default_headers_go_along_to_everybody_as_is_documented() {
    use http::{HeaderMap, HeaderValue, header::COOKIE};

    let (api, other) = (
        ApiServer::start(rule(302)).await,
        ApiServer::start(rule(302)).await,
    );
    let (provider, _) = api_provider(&origin(&api), &["T"]);
    let defaults = HeaderMap::from_iter([(COOKIE, HeaderValue::from_static("a=b"))]);
    let client = AuthorizedClient::builder(provider)
        .configure(move |builder| builder.default_headers(defaults.clone()))
        .build()
        .unwrap();
    let path = format!("/to/{}/end", origin(&other));
    assert_eq!(get(&client, &path).await.status(), 200);
    // reqwest adds them, and they cannot be taken back. Should this fail, the
    // warning at `configure` can go.
    assert_eq!(other.requests()[0].header("cookie"), Some("a=b"));
}
