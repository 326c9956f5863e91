//! Slow answers to the question whether a text repeats a secret.

use std::collections::HashSet;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use bloom_auth_core::{ClientCredentials, ClientId, ClientSecret};

/// So many characters of a secret in a row are too many to print.
const WINDOW: usize = 8;

/// So long a word of a secret is too long to print.
const WORD: usize = 6;

/// So many letters and digits of a secret in order are too many to print.
const MOST_LETTERS: usize = 32;

/// A client, if there is one of this id and secret.
#[must_use]
pub fn credentials(id: &str, secret: &str) -> Option<ClientCredentials> {
    let secret = ClientSecret::new(secret).ok()?;
    Some(ClientCredentials::new(ClientId::new(id).ok()?, secret))
}

/// Whether the text repeats the whole secret, in any of the forms in which servers repeat what they
/// were sent: then it must not be printed.
#[must_use]
pub fn repeats(text: &[u8], credentials: &ClientCredentials) -> bool {
    let Some(secret) = credentials.secret().map(ClientSecret::expose) else {
        return false;
    };
    let id = credentials.id().as_str();
    let basic = format!("{id}:{secret}");
    // As it is sent.
    let sent_basic = format!("{}:{}", percent(id), percent(secret));
    let hexadecimal = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    [
        secret.to_owned(),
        hexadecimal,
        percent(secret),
        STANDARD_NO_PAD.encode(secret),
        URL_SAFE_NO_PAD.encode(secret),
        STANDARD_NO_PAD.encode(&basic),
        URL_SAFE_NO_PAD.encode(&basic),
        STANDARD_NO_PAD.encode(&sent_basic),
        URL_SAFE_NO_PAD.encode(&sent_basic),
    ]
    .iter()
    .any(|form| contains(text, form.as_bytes()))
}

fn percent(text: &str) -> String {
    let encode = |byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// Whether there is any reason to keep the text back: without one, it must not be.
#[must_use]
pub fn resembles(text: &[u8], credentials: &ClientCredentials) -> bool {
    let Some(secret) = credentials.secret().map(ClientSecret::expose) else {
        return false;
    };
    let secret = secret.as_bytes();
    let words = || {
        let words = secret.split(|byte| !byte.is_ascii_alphanumeric());
        words.filter(|word| !word.is_empty())
    };
    let first_words = || {
        let mut letters = 0;
        words().take_while(move |word| {
            let is_looked_for = letters < MOST_LETTERS;
            letters += word.len();
            is_looked_for
        })
    };
    repeats(text, credentials)
        || shares_a_window(text, secret)
        || words().any(|word| word.len() >= WORD && contains(text, word))
        || words().count() > 0 && first_words().all(|word| contains(text, word))
}

/// Whether so many bytes of the secret in a row are in the text, in whatever case of letters. All of
/// them at once: one after the other takes too long for inputs that are long.
fn shares_a_window(text: &[u8], secret: &[u8]) -> bool {
    let (text, secret) = (text.to_ascii_lowercase(), secret.to_ascii_lowercase());
    let length = WINDOW.min(secret.len());
    let of_text: HashSet<&[u8]> = text.windows(length).collect();
    secret
        .windows(length)
        .any(|window| of_text.contains(window))
}

/// In whatever case of letters.
fn contains(text: &[u8], part: &[u8]) -> bool {
    (0..text.len()).any(|start| {
        let end = start + part.len();
        end <= text.len() && text[start..end].eq_ignore_ascii_case(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_and_other_texts_left_alone() {
        let client = credentials("me", "hunter two&%").unwrap();
        for text in [
            "a HUNTER two&% b",
            "hunter%20two%26%25",
            "68756e7465722074776f2625",
            "aHVudGVyIHR3byYl",
            "bWU6aHVudGVyIHR3byYl",
            "bWU6aHVudGVyJTIwdHdvJTI2JTI1",
        ] {
            assert!(repeats(text.as_bytes(), &client), "{text}");
            assert!(resembles(text.as_bytes(), &client), "{text}");
        }
        let long = credentials("me", "abc-".repeat(20).as_str()).unwrap();
        assert!(resembles(b"c abc", &long));
        for (text, is_alike) in [("a hunter", true), ("two", false), ("hunte", false)] {
            assert!(!repeats(text.as_bytes(), &client), "{text}");
            assert_eq!(resembles(text.as_bytes(), &client), is_alike, "{text}");
        }
    }
}
