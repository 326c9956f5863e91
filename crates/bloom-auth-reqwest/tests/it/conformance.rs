//! The transport keeps the contract of `Transport`.
//!
//! Each check of the suite is a test of its own, whose name says which faults
//! it covers.

use std::sync::Arc;

use bloom_auth_core::{Transport, test_util::transport_suite as suite};
use bloom_auth_reqwest::ReqwestTransport;

fn transport() -> ReqwestTransport {
    let builder = ReqwestTransport::builder().allow_insecure_loopback();
    builder.build().unwrap()
}

/// All at once: a check that was added to the suite and has no test here yet
/// is run all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_passes_the_suite_when_shared() {
    let transport: Arc<dyn Transport> = Arc::new(transport());
    suite::all(&Arc::clone(&transport)).await;
}

#[tokio::test]
async fn the_request_is_sent_as_it_is() {
    suite::the_request_is_sent_as_it_is(&transport()).await;
}

#[tokio::test]
async fn n20_nothing_is_added() {
    suite::nothing_is_added(&transport()).await;
}

#[tokio::test]
async fn n29_every_status_is_an_answer() {
    suite::every_status_is_an_answer(&transport()).await;
}

#[tokio::test]
async fn p4_p5_p6_redirects_are_not_followed() {
    suite::redirects_are_not_followed(&transport()).await;
}

#[tokio::test]
async fn headers_are_kept() {
    suite::headers_are_kept(&transport()).await;
}

#[tokio::test]
async fn n17_interim_answers_are_skipped() {
    suite::interim_answers_are_skipped(&transport()).await;
}

#[tokio::test]
async fn n17_endless_interim_answers_are_no_answer() {
    suite::endless_interim_answers_are_no_answer(&transport()).await;
}

#[tokio::test]
async fn n18_an_upgrade_is_not_taken() {
    suite::an_upgrade_is_not_taken(&transport()).await;
}

#[tokio::test]
async fn n20_bodies_are_not_decoded() {
    suite::bodies_are_not_decoded(&transport()).await;
}

#[tokio::test]
async fn n19_bodies_end_at_the_limit() {
    suite::bodies_end_at_the_limit(&transport()).await;
}

#[tokio::test]
async fn n19_an_endless_body_is_cut_off() {
    suite::an_endless_body_is_cut_off(&transport()).await;
}

#[tokio::test]
async fn n12_bytes_after_the_answer_are_not_read() {
    suite::bytes_after_the_answer_are_not_read(&transport()).await;
}

#[tokio::test]
async fn n10_a_head_that_ends_early_is_no_answer() {
    suite::a_head_that_ends_early_is_no_answer(&transport()).await;
}

#[tokio::test]
async fn n11_a_body_that_ends_early_is_no_answer() {
    suite::a_body_that_ends_early_is_no_answer(&transport()).await;
}

#[tokio::test]
async fn n13_chunks_that_end_early_are_no_answer() {
    suite::chunks_that_end_early_are_no_answer(&transport()).await;
}

#[tokio::test]
async fn n14_chunks_of_no_size_are_no_answer() {
    suite::chunks_of_no_size_are_no_answer(&transport()).await;
}

#[tokio::test]
async fn n15_two_lengths_are_no_answer() {
    suite::two_lengths_are_no_answer(&transport()).await;
}

#[tokio::test]
async fn n16_an_endless_head_is_cut_off() {
    suite::an_endless_head_is_cut_off(&transport()).await;
}

#[tokio::test]
async fn what_is_not_http_is_no_answer() {
    suite::what_is_not_http_is_no_answer(&transport()).await;
}

#[tokio::test]
async fn n8_a_connection_that_breaks_is_interrupted() {
    suite::a_connection_that_breaks_is_interrupted(&transport()).await;
}

#[tokio::test]
async fn n1_a_refused_port_is_no_connection() {
    suite::a_refused_port_is_no_connection(&transport()).await;
}

#[tokio::test]
async fn errors_hold_nothing_of_the_exchange() {
    suite::errors_hold_nothing_of_the_exchange(&transport()).await;
}

#[tokio::test]
async fn a_dropped_future_releases_its_connection() {
    suite::a_dropped_future_releases_its_connection(&transport()).await;
}

#[tokio::test]
async fn n30_a_late_answer_is_nobodys() {
    suite::a_late_answer_is_nobodys(&transport()).await;
}

#[tokio::test]
async fn n12_a_second_answer_is_nobodys() {
    suite::a_second_answer_is_nobodys(&transport()).await;
}
