//! Servers that demand a certificate of their clients.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use bloom_auth_core::{ConfigurationError, TransportErrorKind};
use bloom_auth_reqwest::ReqwestTransport;

use crate::{
    support::{Begin, LIBRARIES, failure_kind, ok, status},
    tls_server::{Authority, Identity, TlsServer},
};

fn block(label: &str, der: &[u8]) -> String {
    let body = BASE64_STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

/// The same key as `EC PRIVATE KEY` (RFC 5915), which PKCS#8 wraps.
fn sec1(identity: &Identity) -> String {
    let pkcs8 = identity.key_der();
    // The version and the private number that follows it.
    let version = pkcs8
        .windows(5)
        .position(|five| five == [2, 1, 1, 4, 32])
        .unwrap();
    block("EC PRIVATE KEY", &pkcs8[version - 2..])
}

fn transport(begin: Begin, root: &Authority, client: Option<&str>) -> ReqwestTransport {
    let mut builder = begin().with_root_certificate(root.pem()).unwrap();
    if let Some(pem) = client {
        builder = builder.client_certificate(pem).unwrap();
    }
    builder.build().unwrap()
}

#[tokio::test]
async fn a_server_that_demands_a_certificate_gets_it() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let config = authority
        .issue("127.0.0.1", 4096)
        .server_config(Some(&authority));
    let known = authority.issue("client", 4096);
    let known_backwards = known.key_pem() + &known.certificate_pem();
    let unknown = stranger.issue("client", 4096).pem();
    let expired = authority.issue("client", 2000).pem();
    for (library, begin) in LIBRARIES {
        for (case, client, is_good) in [
            ("known", Some(known.pem()), true),
            ("key first", Some(known_backwards.clone()), true),
            ("none", None, false),
            ("of another authority", Some(unknown.clone()), false),
            ("expired", Some(expired.clone()), false),
        ] {
            let server = TlsServer::start_with(config.clone(), ok()).await;
            let transport = transport(*begin, &authority, client.as_deref());
            if is_good {
                let status = status(&transport, &server.url("/")).await;
                assert_eq!(status, 200, "{library}, {case}");
            } else {
                let kind = failure_kind(&transport, &server.url("/")).await;
                assert_eq!(kind, TransportErrorKind::Tls, "{library}, {case}");
            }
            let received = server.behind.seen().requests.len();
            assert_eq!(received, usize::from(is_good), "{library}, {case}");
        }
    }
}

#[tokio::test]
async fn a_server_that_does_not_ask_is_not_told() {
    let authority = Authority::new();
    let client = authority.issue("client", 4096).pem();
    let server = TlsServer::start(&authority.issue("127.0.0.1", 4096), ok()).await;
    for (library, begin) in LIBRARIES {
        let transport = transport(*begin, &authority, Some(&client));
        assert_eq!(status(&transport, &server.url("/")).await, 200, "{library}");
    }
}

#[cfg(feature = "rustls")]
#[tokio::test]
async fn rustls_takes_keys_in_other_forms_than_pkcs8() {
    let authority = Authority::new();
    let config = authority
        .issue("127.0.0.1", 4096)
        .server_config(Some(&authority));
    let client = authority.issue("client", 4096);
    // As `openssl ecparam -genkey` writes it.
    let parameters = block("EC PARAMETERS", &[6, 8, 42, 134, 72, 206, 61, 3, 1, 7]);
    let pem = client.certificate_pem() + &parameters + &sec1(&client);
    let server = TlsServer::start_with(config, ok()).await;
    let transport = transport(ReqwestTransport::builder, &authority, Some(&pem));
    assert_eq!(status(&transport, &server.url("/")).await, 200);
}

fn refusal(begin: Begin, pem: &str) -> ConfigurationError {
    begin().client_certificate(pem).err().unwrap()
}

#[test]
fn what_cannot_be_used_is_refused_when_it_is_given() {
    let authority = Authority::new();
    let (one, other) = (authority.issue("one", 4096), authority.issue("other", 4096));
    let (certificate, key) = (one.certificate_pem(), one.key_pem());
    let half = &key[..key.len() - 30];
    let damaged = block("PRIVATE KEY", b"canary, and no key");
    let encrypted = block("ENCRYPTED PRIVATE KEY", b"canary");
    let encrypted_of_old = key.replace(
        "-----BEGIN PRIVATE KEY-----\n",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n",
    );
    for (library, begin) in LIBRARIES {
        for (case, pem, problem) in [
            ("nothing", String::new(), "is not there"),
            ("no PEM", "canary".to_owned(), "is not there"),
            ("no key", certificate.clone(), "lacks its private key"),
            ("no certificate", key.clone(), "lacks the certificate"),
            ("half a key", certificate.clone() + half, "is not whole"),
            (
                "two keys",
                one.pem() + &other.key_pem(),
                "more than one private key",
            ),
            (
                "an encrypted key",
                certificate.clone() + &encrypted,
                "is encrypted",
            ),
            (
                "a key that was encrypted long ago",
                certificate.clone() + &encrypted_of_old,
                "is encrypted",
            ),
            (
                "a request for a certificate",
                one.pem() + &block("CERTIFICATE REQUEST", b"canary"),
                "something else",
            ),
            (
                "a damaged key",
                certificate.clone() + &damaged,
                "cannot be read",
            ),
            (
                "a damaged certificate",
                block("CERTIFICATE", b"canary") + &key,
                "cannot be read",
            ),
            (
                "another's key",
                certificate.clone() + &other.key_pem(),
                "does not belong",
            ),
        ] {
            let error = refusal(*begin, &pem);
            let text = error.to_string();
            assert_eq!(error.setting(), "client certificate", "{library}, {case}");
            assert!(text.contains(problem), "{library}, {case}: {text}");
            assert!(!text.contains("canary"), "{library}, {case}: {text}");
        }
    }
}

#[cfg(feature = "native-tls")]
#[test]
fn native_tls_says_that_it_wants_pkcs8() {
    let client = Authority::new().issue("client", 4096);
    let pem = client.certificate_pem() + &sec1(&client);
    let text = refusal(|| ReqwestTransport::builder().native_tls(), &pem).to_string();
    assert!(text.contains("PKCS#8"), "{text}");
    assert!(text.contains("openssl pkcs8 -topk8"), "{text}");
}

/// The certificate was given to the library that was in use before.
#[cfg(all(feature = "rustls", feature = "native-tls", target_os = "linux"))]
#[test]
fn a_library_that_is_chosen_later_looks_again() {
    let client = Authority::new().issue("client", 4096);
    let pem = client.certificate_pem() + &sec1(&client);
    let builder = ReqwestTransport::builder().client_certificate(pem).unwrap();
    let error = builder.native_tls().build().unwrap_err();
    assert!(error.to_string().contains("PKCS#8"), "{error}");

    let builder = ReqwestTransport::builder().client_certificate(client.pem());
    builder.unwrap().native_tls().build().unwrap();
}
