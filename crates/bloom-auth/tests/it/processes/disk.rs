//! What is on the disk tells nothing to whoever copies it.

use std::fs;

use super::Setup;
use crate::canary::encodings;

/// All that a copy of the directory holds: names and contents.
fn dump(setup: &Setup) -> Vec<u8> {
    let mut dump = Vec::new();
    for entry in fs::read_dir(setup.cache()).unwrap() {
        let entry = entry.unwrap();
        dump.extend_from_slice(entry.file_name().as_encoded_bytes());
        dump.push(b'\n');
        dump.extend(fs::read(entry.path()).unwrap());
        dump.push(b'\n');
    }
    dump
}

fn holds(dump: &[u8], needle: &str) -> bool {
    dump.windows(needle.len())
        .any(|window| window == needle.as_bytes())
}

#[test]
fn a_copy_of_the_directory_holds_neither_token_nor_secret_nor_client_id() {
    let setup = Setup::new();
    let auth = setup.auth();
    let mut canaries = vec![
        setup.emulator.client_id().to_owned(),
        setup.emulator.client_secret(),
        setup.emulator.audience().to_owned(),
        setup.emulator.v1_token_url(),
    ];
    // Three generations, and all that they leave behind.
    for generation in 0..3 {
        let token = setup.runtime.block_on(auth.refresh()).unwrap();
        assert!(
            canaries.iter().all(|canary| canary != token.expose()),
            "{generation}"
        );
        canaries.push(token.expose().to_owned());
    }
    let clean = dump(&setup);
    assert!(clean.len() > 500);
    // The control: the same search finds whatever is there.
    for canary in &canaries {
        for (encoding, needle) in encodings(canary) {
            assert!(!holds(&clean, &needle), "{encoding} of {canary}");
            let planted = setup.cache().join("planted");
            fs::write(&planted, format!("before {needle} after")).unwrap();
            assert!(holds(&dump(&setup), &needle), "{encoding} of {canary}");
            fs::remove_file(planted).unwrap();
        }
    }
}
