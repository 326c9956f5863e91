//! The transport keeps the contract of `Transport`.

use std::sync::Arc;

use bloom_auth_core::{Transport, test_util::transport_suite};
use bloom_auth_reqwest::ReqwestTransport;

fn transport() -> ReqwestTransport {
    let builder = ReqwestTransport::builder().allow_insecure_loopback();
    builder.build().unwrap()
}

#[tokio::test]
async fn it_passes_the_suite() {
    transport_suite::all(&transport()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_passes_the_suite_when_shared() {
    let transport: Arc<dyn Transport> = Arc::new(transport());
    transport_suite::all(&Arc::clone(&transport)).await;
}
