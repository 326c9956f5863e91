//! The transport keeps the contract of `Transport` over TLS too, by whichever
//! library, and over HTTP/2.

use bloom_auth_core::test_util::transport_suite as suite;

use crate::{fronts::Fronted, support::LIBRARIES};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_passes_the_suite_over_tls() {
    for (library, begin) in LIBRARIES {
        let transport = Fronted::new(begin(), &["h2", "http/1.1"]);
        suite::all(&transport).await;
        let (http1, http2) = transport.connections();
        assert!(http1 > 0, "{library}");
        assert_eq!(http2, 0, "{library}: HTTP/2 is for those who ask for it");
    }
}

#[cfg(feature = "http2")]
#[tokio::test]
async fn a_server_without_http2_is_spoken_to_as_before() {
    for (library, begin) in LIBRARIES {
        let transport = Fronted::new(begin().http2(), &["http/1.1"]);
        suite::the_request_is_sent_as_it_is(&transport).await;
        suite::every_status_is_an_answer(&transport).await;
        let (http1, http2) = transport.connections();
        assert!(http1 > 0, "{library}");
        assert_eq!(http2, 0, "{library}");
    }
}

#[cfg(feature = "http2")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_passes_the_suite_over_http2() {
    for (library, begin) in LIBRARIES {
        let transport = Fronted::new(begin().http2(), &["h2", "http/1.1"]);
        suite::all(&transport).await;
        let (http1, http2) = transport.connections();
        assert_eq!(http1, 0, "{library}");
        assert!(http2 > 0, "{library}");
    }
}
