//! Every input that is kept, and changed ones, through the target that they are kept for.

use std::{fs, panic, path::Path};

use bloom_auth_core::{protocol::retry_after::retry_after, test_util::is_long};
use fuzz::{TARGETS, Target, message::Message};

use crate::mutation::Mutator;

/// How many changed inputs each target gets, in the short form and in the long one.
const RUNS: usize = 2_000;
const LONG_RUNS: usize = 200_000;

/// The inputs that are kept for a target, by the names of their files.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    let read = |entry: Result<fs::DirEntry, _>| {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        (name, fs::read(entry.path()).unwrap())
    };
    let mut corpus: Vec<_> = fs::read_dir(folder).unwrap().map(read).collect();
    corpus.sort();
    corpus
}

/// Whether this input breaks a promise; what it is, and why, is printed.
fn is_finding(run: impl Fn(&[u8]) + panic::RefUnwindSafe, input: &[u8]) -> bool {
    let is_finding = panic::catch_unwind(|| run(input)).is_err();
    if is_finding {
        println!("found by this input: \"{}\"", input.escape_ascii());
    }
    is_finding
}

/// The findings among inputs that are made of the corpus.
fn findings(run: impl Fn(&[u8]) + panic::RefUnwindSafe, corpus: &[Vec<u8>], runs: usize) -> usize {
    let mut mutator = Mutator::new(corpus, 1);
    let inputs = (0..runs).map(|_| mutator.next());
    inputs.filter(|input| is_finding(&run, input)).count()
}

fn runs() -> usize {
    if is_long() { LONG_RUNS } else { RUNS }
}

#[test]
fn what_is_kept_breaks_no_promise() {
    for Target { name, run, .. } in TARGETS {
        let corpus = corpus(name);
        assert!(corpus.len() >= 10, "{name} has too small a corpus");
        for (file, input) in corpus {
            assert!(!is_finding(run, &input), "{name}/{file}");
        }
    }
}

#[test]
fn what_is_kept_belongs_to_a_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let folders = fs::read_dir(folder).unwrap();
    let folders = folders.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut folders: Vec<_> = folders.collect();
    folders.sort();
    assert_eq!(folders, TARGETS.map(|target| target.name));
}

/// A test of its own for each target, to run beside the others.
macro_rules! changed {
    ($($target:ident),*) => {
        mod changed {
            $(
                #[test]
                fn $target() {
                    let name = stringify!($target);
                    let corpus: Vec<_> = super::corpus(name).into_iter().map(|(_, it)| it).collect();
                    assert_eq!(super::findings(fuzz::$target::run, &corpus, super::runs()), 0);
                }
            )*

            #[test]
            fn no_target_is_left_out() {
                let changed = [$(stringify!($target)),*];
                assert_eq!(changed, fuzz::TARGETS.map(|target| target.name));
            }
        }
    };
}

changed!(
    cache_key,
    error_response,
    file_record,
    retry_after,
    sealed_record,
    settings,
    token_response,
    www_authenticate
);

/// The control: a reader with a fault such as those that fuzzing is for.
#[test]
fn a_reader_of_too_few_digits_is_found() {
    let faulty = |input: &[u8]| {
        let message = Message::parse_lines(input);
        let headers = message.headers();
        let text = message.text("retry-after").unwrap_or_default();
        let max = std::time::Duration::from_secs(300);
        let read = retry_after(&headers, std::time::SystemTime::UNIX_EPOCH, max);
        if message.all("retry-after").count() == 1 && text.parse::<u32>().is_err() {
            // Whatever has more digits was taken for a date.
            let is_date = read.is_some() && text.bytes().all(|byte| byte.is_ascii_digit());
            assert!(!is_date, "{text}");
        }
    };
    let corpus = [b"retry-after: 7\n".to_vec(), b"retry-after: 120\n".to_vec()];
    assert!(!corpus.iter().any(|input| is_finding(faulty, input)));
    assert!(findings(faulty, &corpus, RUNS) > 0);
}
