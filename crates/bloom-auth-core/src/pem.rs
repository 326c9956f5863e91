//! The private key in a PEM file (RFC 7468), and what stands there in its
//! place. Nothing of it stays behind in memory.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use zeroize::Zeroizing;

use crate::error::ConfigurationError;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

/// A private key as it stands in its file.
pub(crate) struct PemKey {
    #[cfg_attr(
        not(any(test, feature = "private-key-jwt")),
        expect(dead_code, reason = "who only hashes the key does not ask")
    )]
    pub(crate) format: KeyFormat,
    pub(crate) der: Zeroizing<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyFormat {
    Pkcs8,
    /// Of RSA alone.
    Pkcs1,
    /// Of elliptic curves alone.
    Sec1,
}

/// The one private key in this text; certificates and parameters beside it are
/// passed over.
pub(crate) fn private_key(setting: &'static str, pem: &[u8]) -> Result<PemKey, ConfigurationError> {
    let wrong = |problem: &'static str| {
        let fix = "give the private key in PEM, not encrypted (`-----BEGIN PRIVATE KEY-----`)";
        ConfigurationError::new(setting, problem, fix)
    };
    let encrypted = || {
        ConfigurationError::new(
            setting,
            "is encrypted",
            "decrypt it (`openssl pkey -in ENCRYPTED -out PLAIN`), and guard the file by its \
             permissions",
        )
    };
    let mut found = None;
    let mut instead = "is not there: no private key was found";
    let mut rest = pem;
    while let Some(start) = position(rest, BEGIN) {
        let after = tail(rest, start + BEGIN.len());
        let Some(end) = position(after, DASHES) else {
            break;
        };
        let label = head(after, end);
        let after = tail(after, end + DASHES.len());
        let Some(end) = position(after, END) else {
            return Err(wrong("is cut off: its last line is missing"));
        };
        let body = head(after, end);
        rest = tail(after, end + END.len());
        match rest.strip_prefix(label) {
            Some(rest) if rest.starts_with(DASHES) => {}
            Some(_) => return Err(wrong("is cut off: its last line is not whole")),
            None => return Err(wrong("begins as one thing and ends as another")),
        }
        let format = match label {
            b"PRIVATE KEY" => KeyFormat::Pkcs8,
            b"RSA PRIVATE KEY" => KeyFormat::Pkcs1,
            b"EC PRIVATE KEY" => KeyFormat::Sec1,
            b"ENCRYPTED PRIVATE KEY" => return Err(encrypted()),
            b"OPENSSH PRIVATE KEY" => {
                return Err(wrong("is in the format of OpenSSH"));
            }
            b"PUBLIC KEY" | b"RSA PUBLIC KEY" => {
                instead = "is not there: this is a public key";
                continue;
            }
            b"CERTIFICATE" => {
                instead = "is not there: this is a certificate";
                continue;
            }
            _ => continue,
        };
        if contains(body, b"Proc-Type") {
            return Err(encrypted());
        }
        let Some(der) = decode(body) else {
            return Err(wrong("is not base64"));
        };
        if found.replace(PemKey { format, der }).is_some() {
            return Err(wrong("is one of several: it must be the only one"));
        }
    }
    found.ok_or_else(|| wrong(instead))
}

fn decode(body: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(Vec::with_capacity(body.len()));
    text.extend(body.iter().filter(|byte| !byte.is_ascii_whitespace()));
    // Room for everything, so that nothing is left behind by a buffer that grew.
    let mut der = Zeroizing::new(vec![0; text.len().div_ceil(4) * 3]);
    let length = BASE64.decode_slice(text.as_slice(), &mut der).ok()?;
    der.truncate(length);
    (length > 0).then_some(der)
}

fn position(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    position(text, part).is_some()
}

fn head(text: &[u8], end: usize) -> &[u8] {
    text.get(..end).unwrap_or_default()
}

fn tail(text: &[u8], start: usize) -> &[u8] {
    text.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pem: &str) -> Result<(KeyFormat, Vec<u8>), String> {
        match private_key("private key", pem.as_bytes()) {
            Ok(key) => Ok((key.format, key.der.to_vec())),
            Err(error) => Err(format!("{error} {error:?}")),
        }
    }

    fn block(label: &str, body: &str) -> String {
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    }

    #[test]
    fn the_one_private_key_is_found_among_other_things() {
        let certificate = block("CERTIFICATE", "AAAA");
        for (label, format) in [
            ("PRIVATE KEY", KeyFormat::Pkcs8),
            ("RSA PRIVATE KEY", KeyFormat::Pkcs1),
            ("EC PRIVATE KEY", KeyFormat::Sec1),
        ] {
            let key = block(label, "YWJj\nZGVm");
            for pem in [
                key.clone(),
                key.trim_end().to_owned(),
                key.replace('\n', "\r\n"),
                format!("{certificate}{key}{certificate}"),
                format!("{}{key}", block("EC PARAMETERS", "BggqhkjOPQMBBw==")),
                format!("\u{feff}Subject: x\n{key}\ntrailing"),
            ] {
                assert_eq!(read(&pem), Ok((format, b"abcdef".to_vec())), "{pem}");
            }
        }
    }

    #[test]
    fn k4_what_is_no_private_key_is_told_without_showing_it() {
        let key = block("PRIVATE KEY", "Y2FuYXJ5");
        let legacy = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nY2FuYXJ5";
        for (pem, problem) in [
            (String::new(), "no private key was found"),
            ("Y2FuYXJ5".to_owned(), "no private key was found"),
            ("-----BEGIN Y2FuYXJ5".to_owned(), "no private key was found"),
            (block("X509 CRL", "Y2FuYXJ5"), "no private key was found"),
            (block("CERTIFICATE", "Y2FuYXJ5"), "this is a certificate"),
            (block("PUBLIC KEY", "Y2FuYXJ5"), "this is a public key"),
            (block("RSA PUBLIC KEY", "Y2FuYXJ5"), "this is a public key"),
            (block("ENCRYPTED PRIVATE KEY", "Y2FuYXJ5"), "is encrypted"),
            (block("RSA PRIVATE KEY", legacy), "is encrypted"),
            (
                block("OPENSSH PRIVATE KEY", "Y2FuYXJ5"),
                "format of OpenSSH",
            ),
            (block("PRIVATE KEY", "Y2FuYXJ5!"), "is not base64"),
            (block("PRIVATE KEY", "Y2FuYXJ5Y"), "is not base64"),
            (block("PRIVATE KEY", ""), "is not base64"),
            (key.replace("-----END", "-----"), "is cut off"),
            (
                key.replace("END PRIVATE", "END PUBLIC"),
                "begins as one thing and ends as another",
            ),
            (format!("{key}{key}"), "is one of several"),
        ] {
            let error = read(&pem).unwrap_err();
            assert!(error.contains(problem), "{pem}: {error}");
            assert!(
                !error.contains("Y2FuYXJ5") && !error.contains("canary"),
                "{error}"
            );
        }
    }
}
