//! What the client calls itself.

use bloom_auth_reqwest::{ReqwestTransport, ReqwestTransportBuilder};

use crate::support::{ok, serve, status};

/// The values of the header, as they arrive.
async fn arriving(builder: ReqwestTransportBuilder) -> Vec<String> {
    let server = serve(ok()).await;
    let transport = builder.allow_insecure_loopback().build().unwrap();
    assert_eq!(status(&transport, &server.origin()).await, 200);
    let request = String::from_utf8(server.seen().requests[0].to_vec()).unwrap();
    let values = request.lines().filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        let is_it = name.eq_ignore_ascii_case("user-agent");
        is_it.then(|| value.to_owned())
    });
    values.collect()
}

#[tokio::test]
async fn it_names_crate_and_version_until_it_is_set() {
    let default = format!("bloom-auth/{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(arriving(ReqwestTransport::builder()).await, [default]);
    let builder = ReqwestTransport::builder().user_agent("my-service/1.2 (a team)");
    assert_eq!(
        arriving(builder.unwrap()).await,
        ["my-service/1.2 (a team)"]
    );
}

#[test]
fn what_cannot_be_one_is_refused_and_not_shown() {
    for name in ["", " ", "canary\r\nx-other: 1", "canary\t", "canary\u{e9}"] {
        let error = ReqwestTransport::builder().user_agent(name).err().unwrap();
        assert_eq!(error.setting(), "user agent", "{name:?}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
}
