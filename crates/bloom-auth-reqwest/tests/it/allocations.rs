//! What the token costs a request, in allocations: none that a header that never
//! changes does not cost.

use std::{sync::mpsc, thread};

use bloom_auth_core::{Bearer, test_util};
use bloom_auth_reqwest::AuthorizedClient;
use http::{HeaderValue, header::AUTHORIZATION};
use reqwest::Client;

use crate::{api_server::ApiServer, support::api_provider};

test_util::count_allocations!();

/// Allocations of this thread while a future runs.
async fn allocations(work: impl Future<Output = ()>) -> u64 {
    let before = test_util::allocations();
    work.await;
    test_util::allocations() - before
}

/// An API on a thread of its own, so that nothing of it is counted.
fn serve() -> (String, impl Drop) {
    struct Stop(Option<tokio::sync::oneshot::Sender<()>>);
    impl Drop for Stop {
        fn drop(&mut self) {
            drop(self.0.take());
        }
    }
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async move {
            let api = ApiServer::start(|_| (200, String::new())).await;
            sender.send(format!("http://{}", api.address)).unwrap();
            let _ = stopped.await;
        });
    });
    (receiver.recv().unwrap(), Stop(Some(stop)))
}

#[tokio::test]
async fn a_token_costs_no_allocation_that_a_fixed_header_does_not() {
    const PATH: &str = "/v2/core/consumers?page=2";
    let (origin, _api) = serve();
    let client = Client::builder().no_proxy().build().unwrap();
    let (provider, _) = api_provider(&origin, &["T"]);
    let authorized = AuthorizedClient::with_client(Bearer::new(provider), client.clone());
    let url = format!("{origin}{PATH}");
    let mut fixed = HeaderValue::from_static("Bearer T");
    fixed.set_sensitive(true);

    // With a body as well: it is kept for a replay without a copy of it.
    for has_body in [false, true] {
        let bare = async || {
            let request = client.post(&url).header(AUTHORIZATION, fixed.clone());
            let request = if has_body {
                request.json(&[1, 2])
            } else {
                request
            };
            request.send().await.unwrap().bytes().await.unwrap();
        };
        let with_token = async || {
            let request = authorized.post(PATH);
            let request = if has_body {
                request.json(&[1, 2])
            } else {
                request
            };
            request.send().await.unwrap().bytes().await.unwrap();
        };
        // The first request opens the connection, and fetches the token.
        bare().await;
        with_token().await;
        // Now and then another buffer is needed; the least is what it takes.
        let mut least = [u64::MAX; 2];
        for _ in 0..50 {
            let counts = [allocations(bare()).await, allocations(with_token()).await];
            least = [least[0].min(counts[0]), least[1].min(counts[1])];
        }
        assert!(least[0] > 0, "the counter counts");
        assert!(
            least[1] <= least[0],
            "with the token, and with a fixed header: {least:?}"
        );
    }
}
