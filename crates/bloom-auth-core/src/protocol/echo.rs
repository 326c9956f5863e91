//! Whether a server's text repeats the client secret or the assertion, in
//! whatever form.

use base64::{
    Engine as _,
    engine::{
        GeneralPurpose,
        general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
    },
};
use zeroize::Zeroizing;

use super::{assertion::ClientAssertion, request::percent_encode};
use crate::client::{ClientCredentials, ClientSecret};

/// So many bytes of a secret in a row are too many to print.
const WINDOW: usize = 8;

/// So long a word of a secret is too long to print.
const WORD: usize = 6;

/// Fewer letters and digits than these, spread over the words of a secret,
/// are found in any text.
const LETTERS: usize = 5;

/// So many of them are enough to know the secret by; to look for more would take
/// time that grows with the secret.
const MOST_LETTERS: usize = 32;

/// What an encoding puts in the place of one character at most: `%26`, `&amp;`,
/// `&quot;`, `\u00e9`.
const ENCODED: usize = 6;

/// Between two words there may be an encoding of two characters, or of as many
/// as there are in the secret; of no more than these.
const GAP: usize = 2 * ENCODED;
const MOST_GAP: usize = 16 * ENCODED;

/// What was sent to prove the client, prepared to be looked for: an answer of
/// any size is searched in time that grows with the answer alone.
struct Sent<'a> {
    secret: &'a [u8],
    /// Every window of it, and its words of one length less and two.
    parts: [Parts; 3],
    /// Its words, if each of them is too short to be looked for by itself.
    words: Vec<Word<'a>>,
    /// The whole of it in the encodings that change letters.
    encoded: Vec<Zeroizing<Vec<u8>>>,
}

/// Whether the text [repeats](Sent::is_repeated_in) what was sent.
pub(crate) fn holds_secret(text: &str, credentials: &ClientCredentials) -> bool {
    Sent::of(credentials).is_some_and(|sent| sent.is_repeated_in(text))
}

impl<'a> Sent<'a> {
    /// `None` if these credentials are proved without a word.
    fn of(credentials: &'a ClientCredentials) -> Option<Self> {
        let secret = credentials.secret().map(ClientSecret::expose);
        let sent = secret.or_else(|| credentials.assertion().map(ClientAssertion::expose));
        let (clear, secret) = (sent?, sent?.as_bytes());
        let id = credentials.id().as_str();
        let percent = percent_encoded(clear);
        let basic = [id.as_bytes(), b":", secret];
        // As it is sent.
        let sent_id = percent_encoded(id);
        let sent_basic = [&sent_id[..], b":", &percent];
        let mut encoded = vec![
            encoded(&STANDARD_NO_PAD, &[secret]),
            encoded(&URL_SAFE_NO_PAD, &[secret]),
            encoded(&STANDARD_NO_PAD, &basic),
            encoded(&STANDARD_NO_PAD, &sent_basic),
            encoded(&URL_SAFE_NO_PAD, &basic),
            encoded(&URL_SAFE_NO_PAD, &sent_basic),
            hexadecimal(secret),
            percent,
        ];
        // Most secrets have no characters that make a difference.
        encoded.dedup();
        let words_of = |length| words(secret).filter(move |word| word.len() == length);
        Some(Self {
            secret,
            parts: [
                Parts::new(WINDOW, secret.windows(WINDOW)),
                Parts::new(WORD, words_of(WORD)),
                // Longer ones have a window in them.
                Parts::new(WORD + 1, words_of(WORD + 1)),
            ],
            words: words_in_order(secret),
            encoded,
        })
    }

    /// Whether the text holds the secret or assertion that was sent, or a part
    /// of it that is long enough to matter, in any encoding that leaves letters
    /// and digits alone (JSON, HTML, URLs, forms, quoted strings), or in base64
    /// or hexadecimal.
    ///
    /// It would rather find too much: the text is an explanation that somebody
    /// may do without. Working memory is zeroized.
    fn is_repeated_in(&self, text: &str) -> bool {
        let text = text.as_bytes();
        self.parts.iter().any(|parts| parts.is_one_in(text))
            || self.secret.len() < WINDOW && contains(text, self.secret)
            || holds_words(text, &self.words)
            || self.encoded.iter().any(|form| contains(text, form))
    }
}

/// Texts of one length, of eight bytes at most: each as a number, in order.
struct Parts {
    length: usize,
    sorted: Zeroizing<Vec<u64>>,
}

impl Parts {
    fn new<'a>(length: usize, parts: impl Iterator<Item = &'a [u8]> + Clone) -> Self {
        // Counted first: a buffer that had to grow would leave parts behind.
        let mut sorted = Zeroizing::new(Vec::with_capacity(parts.clone().count()));
        sorted.extend(parts.map(|part| part.iter().fold(0, appended)));
        sorted.sort_unstable();
        Self { length, sorted }
    }

    fn is_one_in(&self, text: &[u8]) -> bool {
        let bits = u64::BITS.saturating_sub(8 * u32::try_from(self.length).unwrap_or(0));
        let mut last = 0;
        let mut ends = text.iter().enumerate();
        !self.sorted.is_empty()
            && ends.any(|(index, byte)| {
                last = appended(last, byte) & (u64::MAX >> bits);
                index + 1 >= self.length && self.sorted.binary_search(&last).is_ok()
            })
    }
}

/// The number of a text that goes on with this byte, in whatever case.
fn appended(text: u64, byte: &u8) -> u64 {
    text << 8 | u64::from(byte.to_ascii_lowercase())
}

fn words(secret: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    let words = secret.split(|byte| !byte.is_ascii_alphanumeric());
    words.filter(|word| !word.is_empty())
}

/// A word of the secret, and how far behind the one before it may begin.
struct Word<'a> {
    text: &'a [u8],
    gap: usize,
}

/// The words of the secret, as far as they are looked for in order; none, if
/// that would find nothing that is not found by other means, or too much.
fn words_in_order(secret: &[u8]) -> Vec<Word<'_>> {
    let (mut found, mut letters, mut between) = (Vec::new(), 0, 0);
    for text in secret.split(|byte| !byte.is_ascii_alphanumeric()) {
        between += 1;
        if text.is_empty() {
            continue;
        }
        if text.len() >= WORD {
            return Vec::new();
        }
        let gap = (between * ENCODED).clamp(GAP, MOST_GAP);
        found.push(Word { text, gap });
        (letters, between) = (letters + text.len(), 0);
        if letters >= MOST_LETTERS {
            break;
        }
    }
    if letters < LETTERS {
        found.clear();
    }
    found
}

/// All of these words in order, with no more than an encoding of what is between
/// them in between.
fn holds_words(text: &[u8], words: &[Word<'_>]) -> bool {
    let Some((first, others)) = words.split_first() else {
        return false;
    };
    let starts = text.windows(first.text.len()).enumerate();
    starts
        .filter(|(_, window)| window.eq_ignore_ascii_case(first.text))
        .any(|(start, _)| {
            let mut rest = text.get(start + first.text.len()..).unwrap_or_default();
            others.iter().all(|word| {
                let reach = rest.len().min(word.gap + word.text.len());
                let found = position(rest.get(..reach).unwrap_or_default(), word.text);
                rest = found
                    .and_then(|at| rest.get(at + word.text.len()..))
                    .unwrap_or_default();
                found.is_some()
            })
        })
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    position(text, part).is_some()
}

/// Where the text has the part, in whatever case of letters.
fn position(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len().max(1))
        .position(|window| window.eq_ignore_ascii_case(part))
}

fn encoded(base64: &GeneralPurpose, parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let clear = Zeroizing::new(parts.concat());
    let mut encoded = Zeroizing::new(vec![0; clear.len().div_ceil(3) * 4]);
    let len = base64
        .encode_slice(clear.as_slice(), &mut encoded)
        .unwrap_or(0);
    encoded.truncate(len);
    encoded
}

fn hexadecimal(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut hexadecimal = Zeroizing::new(Vec::with_capacity(2 * bytes.len()));
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    hexadecimal.extend(nibbles.map(|nibble| match nibble {
        0..=9 => b'0' + nibble,
        _ => b'a' + nibble - 10,
    }));
    hexadecimal
}

fn percent_encoded(text: &str) -> Zeroizing<Vec<u8>> {
    let mut encoded = Zeroizing::new(Vec::with_capacity(3 * text.len()));
    percent_encode(text, &mut encoded);
    encoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        client::ClientId,
        test_keys::{ED25519, TestSigner, test_assertion},
    };

    fn check(secret: &str, echo: &str, held: bool) {
        let id = ClientId::new("my-id").unwrap();
        let credentials = ClientCredentials::new(id, ClientSecret::new(secret).unwrap());
        let text = format!("the secret ({echo}) is not good");
        assert_eq!(
            holds_secret(&text, &credentials),
            held,
            "{secret} in {text}"
        );
    }

    #[test]
    fn p42_an_echo_is_found_in_whatever_form() {
        // Each form written out by hand.
        for (secret, echo) in [
            ("hunter two&%", "hunter two&%"),
            ("hunter two&%", "HUNTER TWO"),
            ("hunter two&%", "hunter%20two%26%25"),
            ("hunter two&%", "hunter+two%26%25"),
            ("hunter two&%", "68756e7465722074776f2625"),
            ("hunter two&%", "68756E7465722074776F2625"),
            ("hunter two&%", "aHVudGVyIHR3byYl"),
            ("hunter two&%", "bXktaWQ6aHVudGVyIHR3byYl"),
            // As it is sent: encoded before it is put into base64.
            ("pass!", "Basic bXktaWQ6cGFzcyUyMQ=="),
            ("p?", "bXktaWQ6cCUzRg"),
            ("p\"a\\ss-w0rd", "p\\\"a\\\\ss-w0rd"),
            ("Tom&Jerry<3!", "Tom&amp;Jerry&lt;3!"),
            ("p*ss!wd@", "p*ss!wd%40"),
            ("p*ss wd~x(1)", "p*ss+wd%7Ex(1)"),
            ("s\u{e9}cretpass", "s\\u00e9cretpass"),
            ("a\u{e9}b", "a%C3%A9b"),
            (
                "correct horse battery staple",
                "correct horse battery stapl...",
            ),
            (
                "abcdefghijklmnopqrstuvwxyzabcdef",
                "abcdefghijklmnopqrstuvwxyz",
            ),
            ("abc", "abc"),
            ("!", "!"),
            // One word of the secret, too short for a window of it.
            ("abcdef.gh", "abcdef"),
            ("abcdefg.hi", "abcdefg"),
            ("ab<&>cd\"'>12", "ab&lt;&amp;&gt;cd&quot;&#39;&gt;12"),
            // As far apart as an encoding may put them.
            ("ab!cde", "ab123456789012cde"),
            ("ab!!!cde", "ab123456789012345678cde"),
            // The first words of many.
            (
                "abc-def-ghi-jkl-mno-pqr-stu-vwx-yzab-cdef-ghij",
                "abc def ghi jkl mno pqr stu vwx yzab cdef",
            ),
        ] {
            check(secret, echo, true);
        }
    }

    #[test]
    fn p42_many_characters_between_two_words_are_followed_to_a_bound() {
        let secret = format!("ab{}cde", "!".repeat(40));
        for (between, held) in [(96, true), (97, false)] {
            check(&secret, &format!("ab{}cde", "x".repeat(between)), held);
        }
    }

    #[test]
    fn p42_an_echo_of_an_assertion_is_found() {
        let id = ClientId::new("my-id").unwrap();
        let unsigned = ClientCredentials::with_signer(id.clone(), TestSigner::new("key"));
        let signed = unsigned.with_assertion(test_assertion());
        let assertion = test_assertion();
        let assertion = assertion.expose();
        let (claims, signature) = assertion.rsplit_once('.').unwrap();
        let (_, claims) = claims.split_once('.').unwrap();
        for echo in [assertion, claims, signature, &signature[4..20]] {
            let text = format!("the assertion ({echo}) is not good");
            assert!(holds_secret(&text, &signed), "{text}");
            // It was not sent.
            let certificate = ClientCredentials::with_certificate(id.clone(), ED25519.private_pem);
            for credentials in [&unsigned, &certificate.unwrap()] {
                assert!(!holds_secret(&text, credentials), "{text}");
            }
        }
        let text = "Client authentication failed: the assertion's `exp` is over";
        assert!(!holds_secret(text, &signed));
    }

    #[test]
    fn an_explanation_is_not_taken_for_an_echo() {
        for (secret, text) in [
            (
                "Xk29-7f3a9d5e1b-QQ",
                "Client authentication failed, e.g. unknown client",
            ),
            ("a-b-c-d-e-f", "unsupported authentication method"),
            ("hunter two&%", "hunting for two"),
            ("a b", "a long way to b"),
            ("ab!cde", "ab1234567890123cde"),
            ("ab!!!cde", "ab1234567890123456789cde"),
            (
                "abc-def-ghi-jkl-mno-pqr-stu-vwx-yzab-cdef-ghij",
                "abc def ghi jkl mno pqr stu vwx yzab",
            ),
            ("9a8b7c6d5e4f", ""),
        ] {
            check(secret, text, false);
        }
    }

    /// The search as it would be told: each part by itself.
    fn holds_secret_slowly(text: &str, credentials: &ClientCredentials) -> bool {
        let (id, clear) = (
            credentials.id().as_str(),
            credentials.secret().unwrap().expose(),
        );
        let (text, secret) = (text.as_bytes(), clear.as_bytes());
        let basic = [id.as_bytes(), b":", secret];
        let (sent_id, sent) = (percent_encoded(id), percent_encoded(clear));
        let sent_basic = [&sent_id[..], b":", &sent];
        let mut windows = secret.windows(WINDOW.min(secret.len()));
        windows.any(|window| contains(text, window))
            || words(secret).any(|word| word.len() >= WORD && contains(text, word))
            || holds_words(text, &words_in_order(secret))
            || [STANDARD_NO_PAD, URL_SAFE_NO_PAD].iter().any(|base64| {
                contains(text, &encoded(base64, &[secret]))
                    || contains(text, &encoded(base64, &basic))
                    || contains(text, &encoded(base64, &sent_basic))
            })
            || contains(text, &hexadecimal(secret))
            || contains(text, &sent)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        #[test]
        fn p42_what_is_prepared_is_found_as_if_it_were_not(
            secret in "[abAB é&-]{1,20}",
            from in 0..20_usize,
            len in 0..20_usize,
            around in "[abAB é&-]{0,12}",
        ) {
            let id = ClientId::new("my-id").unwrap();
            let part: String = secret.chars().skip(from).take(len).collect();
            let credentials = ClientCredentials::new(id, ClientSecret::new(secret).unwrap());
            for text in [format!("{around}{part}"), format!("{part}{around}"), around] {
                prop_assert_eq!(
                    holds_secret(&text, &credentials),
                    holds_secret_slowly(&text, &credentials)
                );
            }
        }
    }
}
