//! Keeping a provider warm: whose the task is, and when it ends. What it does
//! is in `scenarios/warm.json`.

use std::time::Duration;

use bloom_auth_core::{ErrorKind, TokenState, test_util::ScriptedTransport};
use tokio::{runtime::Handle, time::sleep};

use crate::support::{builder, credentials, paused, settle, token_reply};

fn alive_tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

#[test]
fn c13_it_ends_with_its_guard_and_with_the_last_handle() {
    for drops_provider in [false, true] {
        paused().block_on(async {
            let transport = ScriptedTransport::new([token_reply("A", 100)]);
            let provider = builder(credentials(), transport.clone()).build().unwrap();
            assert_eq!(alive_tasks(), 0);
            let warm = provider.keep_warm().unwrap();
            settle().await;
            assert_eq!((alive_tasks(), transport.request_count()), (1, 1));
            assert_eq!(provider.status().token, TokenState::Fresh);
            assert_eq!(format!("{warm:?}"), "KeepWarm { is_running: true }");
            if drops_provider {
                drop(provider);
                // At its next look.
                sleep(Duration::from_secs(11)).await;
                assert_eq!(format!("{warm:?}"), "KeepWarm { is_running: false }");
            } else {
                drop(warm);
            }
            settle().await;
            assert_eq!(alive_tasks(), 0);
            sleep(Duration::from_secs(1000)).await;
            assert_eq!(transport.request_count(), 1);
        });
    }
}

#[test]
fn c12_outside_a_runtime_it_is_a_typed_error() {
    let provider = builder(credentials(), ScriptedTransport::default());
    let error = provider.build().unwrap().keep_warm().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Runtime);
}

#[test]
fn c13_a_fetch_that_it_has_started_does_not_outlive_the_provider() {
    paused().block_on(async {
        let slow = token_reply("A", 100).after(Duration::from_secs(5));
        let transport = ScriptedTransport::new([slow]);
        let provider = builder(credentials(), transport.clone()).build().unwrap();
        let _warm = provider.keep_warm().unwrap();
        settle().await;
        assert_eq!((alive_tasks(), transport.request_count()), (2, 1));
        drop(provider);
        settle().await;
        assert_eq!(alive_tasks(), 1);
    });
}
