//! The tables, and what is too large to be looked at on the wire.

use std::{collections::HashSet, time::SystemTime};

use super::{
    answer::{Answered, Setting},
    gzip,
    plan::DateForm,
    *,
};
use crate::{
    clock::Clock,
    wire::{Script, Step},
};

#[test]
fn names_are_unique_and_in_kebab_case() {
    let mut names = HashSet::new();
    for fault in Fault::all() {
        let name = fault.name();
        assert!(names.insert(name), "{name} is there twice");
        let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(name.chars().all(kebab), "{name}");
        assert_eq!(name.parse(), Ok(fault));
        assert_eq!(fault.to_string(), name);
        assert!(!fault.endpoints().is_empty(), "{name}");
        let description = fault.description();
        assert!(
            description.ends_with('.') && !description.contains('\n'),
            "{name}: {description}"
        );
    }
}

#[test]
fn every_row_that_a_server_can_play_has_a_fault() {
    let rows: HashSet<&str> = Fault::all().map(Fault::row).collect();
    // What is left out takes a resolver, HTTP/2, a proxy or a second address, or
    // is the request's matter.
    let left_out = ["N2", "N3", "N4", "N23", "N26", "N28", "P37", "P38"];
    let network = (1..=30).map(|number| format!("N{number}"));
    let protocol = (1..=42).map(|number| format!("P{number}"));
    for row in network.chain(protocol) {
        let played = rows.contains(row.as_str());
        assert_eq!(played, !left_out.contains(&row.as_str()), "{row}");
    }
    for row in ["A1", "A5", "A6", "A7", "A8", "A11"] {
        assert!(rows.contains(row), "{row}");
    }
}

#[test]
fn faults_come_in_the_order_of_their_rows() {
    let mut rows: Vec<&str> = Fault::all().map(Fault::row).collect();
    rows.dedup();
    let numbers: HashSet<&&str> = rows.iter().collect();
    assert_eq!(numbers.len(), rows.len(), "{rows:?}");
    assert_eq!(rows.first(), Some(&"N1"));
    assert_eq!(rows.last(), Some(&"A11"));
}

#[test]
fn the_nearest_name_is_told() {
    for (name, nearest) in [
        ("reste", "reset"),
        ("Server-Error", "server-error"),
        ("expires-in-nul", "expires-in-null"),
        ("slow_body", "slow-body"),
        ("duplicatetoken", "duplicate-token"),
    ] {
        let error = name.parse::<Fault>().unwrap_err();
        let expected = FaultError::Unknown {
            name: name.to_owned(),
            nearest,
        };
        assert_eq!(error, expected);
    }
}

#[test]
fn distances() {
    for (one, other, expected) in [
        ("", "", 0),
        ("", "abc", 3),
        ("abc", "", 3),
        ("abc", "abc", 0),
        ("abc", "abd", 1),
        ("abc", "ab", 1),
        ("kitten", "sitting", 3),
    ] {
        assert_eq!(distance(one, other), expected, "{one} {other}");
    }
}

#[test]
fn dates_in_three_forms() {
    for (form, expected) in [
        (DateForm::Imf, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (DateForm::Rfc850, "Sunday, 06-Nov-94 08:49:37 GMT"),
        (DateForm::Asctime, "Sun Nov  6 08:49:37 1994"),
    ] {
        assert_eq!(form.write("Sun, 06 Nov 1994 08:49:37 GMT"), expected);
    }
    let form = DateForm::Asctime.write("Wed, 25 Nov 2026 00:00:00 GMT");
    assert_eq!(form, "Wed Nov 25 00:00:00 2026");
}

fn script(name: &str) -> Script {
    let clock = Clock::standing_at(SystemTime::UNIX_EPOCH);
    let setting = Setting {
        clock: &clock,
        request: b"",
        previous: None,
    };
    let due = Answered {
        status: 200,
        headers: Vec::new(),
        body: Some(b"{}".to_vec()),
    };
    let fault: Fault = name.parse().unwrap();
    fault.plan().script(Some(due), setting).unwrap()
}

#[test]
fn floods_have_the_size_that_is_told() {
    let mib = 1024 * 1024;
    for (name, least, most) in [
        ("endless-headers", 10 * mib, 11 * mib),
        ("endless-body", 1024 * mib, 1025 * mib),
        ("gzip-bomb", 3 * mib, 4 * mib),
    ] {
        let size = |step: &Step| match step {
            Step::Send(bytes) => bytes.len(),
            Step::Repeat(bytes, times) => bytes.len() * *times as usize,
            other => panic!("{name}: {other:?}"),
        };
        let size: usize = script(name).steps.iter().map(size).sum();
        assert!((least..most).contains(&size), "{name}: {size}");
    }
}

#[test]
fn the_bomb_is_valid_and_as_large_as_is_told() {
    // A block with fixed codes, last of the stream; five literals 0xFF.
    let start = gzip::start();
    assert_eq!(start[..4], [0x1f, 0x8b, 8, 0]);
    assert_eq!(start[10..], [0xfb, 0xff, 0xff, 0xff, 0xff, 0xff]);
    // By zlib, each makes 8 times 258 bytes of what precedes it.
    let matches = gzip::matches();
    assert_eq!(matches.len(), 13);
    let steps = script("gzip-bomb").steps;
    let Step::Repeat(bytes, times) = &steps[1] else {
        panic!("{:?}", steps[1]);
    };
    let inflated = bytes.len() / 13 * *times as usize * gzip::INFLATED as usize;
    assert!(inflated >= 512 << 20, "{inflated}");
}
