//! Clients without a secret: the whole way over TLS with each kind of key,
//! keys that change, assertions that are refused, and wrong settings.

use std::{path::PathBuf, time::Duration};

use bloom_auth::{
    BloomAuth, BloomAuthBuilder, ClientCredentials, ClientId, Clock, ErrorKind, FileCache,
    MemoryCache, PrivateKey, PrivateKeyFile, ReqwestTransport, Sealer, SigningAlgorithm,
    SystemClock, Timestamp, TokenCache, TokenProvider,
};
use bloom_auth_core::test_util::{ED25519, P256, RSA, TestKey};
use bloom_auth_emulator::Emulator;
use tempfile::TempDir;

use super::{ID, SECRET, Variables, cached::Warnings, parts, text_of, token_server, wrong::error};

/// An emulator that knows the public key, and the files and variables that lead
/// to it.
struct Setup {
    emulator: Emulator,
    variables: Variables,
    directory: TempDir,
}

impl Setup {
    /// As V1.
    async fn new(key: TestKey) -> Self {
        let emulator = Emulator::builder()
            .client(ID, SECRET)
            .client_public_key(key.public_pem)
            .start()
            .await
            .unwrap();
        let directory = tempfile::tempdir().unwrap();
        let ca = directory.path().join("ca.pem");
        std::fs::write(&ca, emulator.ca_pem().unwrap()).unwrap();
        let setup = Self {
            variables: Variables::new([
                ("BLOOM_CLIENT_ID", ID),
                ("BLOOM_CLIENT_AUTH", "private_key_jwt"),
                (
                    "BLOOM_PRIVATE_KEY_FILE",
                    text_of(&directory.path().join("key.pem")),
                ),
                ("BLOOM_TOKEN_URL", &emulator.v1_token_url()),
                ("BLOOM_API_URL", &emulator.api_url()),
                ("BLOOM_AUDIENCE", emulator.audience()),
                ("BLOOM_CA_FILE", text_of(&ca)),
            ]),
            emulator,
            directory,
        };
        setup.write_key(key.private_pem);
        setup
    }

    fn key_file(&self) -> PathBuf {
        self.directory.path().join("key.pem")
    }

    fn write_key(&self, pem: &str) {
        std::fs::write(self.key_file(), pem).unwrap();
    }

    fn builder(&self) -> BloomAuthBuilder {
        let Variables(variables) = self.variables.clone();
        let lookup = move |name: &str| variables.lock().unwrap().get(name).cloned();
        BloomAuthBuilder::from_lookup(lookup).unwrap()
    }

    fn build(&self) -> BloomAuth {
        self.variables.build().unwrap()
    }

    /// How many tokens were given, and how many requests refused.
    fn counts(&self) -> (u64, u64) {
        let counts = self.emulator.counts();
        (counts.tokens_issued, counts.token_requests_refused)
    }
}

#[tokio::test]
async fn a_token_is_had_with_every_kind_of_key_at_either_version() {
    for key in [RSA, P256, ED25519] {
        let setup = Setup::new(key).await;
        setup.build().token().await.unwrap();
        setup.variables.set("BLOOM_AUTH_VERSION", "v2");
        setup
            .variables
            .set("BLOOM_TOKEN_URL", setup.emulator.v2_token_url());
        setup.variables.set("BLOOM_SCOPE", "data-access:all");
        setup.variables.set("BLOOM_PRIVATE_KEY_ID", "the key");
        setup.build().token().await.unwrap();
        assert_eq!(setup.counts(), (2, 0));
        // In code, and with the other algorithm that an RSA key has.
        for algorithm in key.algorithms {
            let private = PrivateKey::from_pem(key.private_pem).unwrap();
            let private = private.with_algorithm(*algorithm).unwrap();
            let id = ClientId::new(ID).unwrap();
            let auth = setup.builder().private_key(id, private).build().unwrap();
            for _ in 0..3 {
                auth.refresh().await.unwrap();
            }
        }
        assert_eq!(setup.counts(), (2 + 3 * key.algorithms.len() as u64, 0));
    }
}

#[tokio::test]
async fn a_cache_gives_the_token_to_who_has_the_key_and_to_nobody_else() {
    async fn check(
        key: TestKey,
        algorithm: SigningAlgorithm,
        cache: impl TokenCache + Clone + 'static,
    ) {
        let setup = Setup::new(key).await;
        let id = || ClientId::new(ID).unwrap();
        let build = |private: &str, algorithm| {
            let private = PrivateKey::from_pem(private).unwrap();
            let private = private.with_algorithm(algorithm).unwrap();
            let builder = setup.builder().private_key(id(), private);
            builder.cache(cache.clone()).build().unwrap()
        };
        let first = build(key.private_pem, algorithm).token().await.unwrap();
        let second = build(key.private_pem, algorithm).token().await.unwrap();
        assert_eq!(first, second);
        assert_eq!(setup.counts(), (1, 0), "{algorithm:?}");

        // The client id is public, and another key is easily had.
        let other = if algorithm == SigningAlgorithm::EdDsa {
            P256
        } else {
            ED25519
        };
        let thief = build(other.private_pem, other.algorithms[0]);
        assert_eq!(
            thief.token().await.unwrap_err().kind(),
            ErrorKind::ClientRefused
        );
        let certificate = ClientCredentials::with_certificate(id(), other.private_pem).unwrap();
        let thief = setup
            .builder()
            .credentials(certificate)
            .cache(cache)
            .build()
            .unwrap();
        assert_eq!(
            thief.token().await.unwrap_err().kind(),
            ErrorKind::ClientRefused
        );
        assert_eq!(setup.counts(), (1, 2), "{algorithm:?}");
    }
    for key in [RSA, P256, ED25519] {
        for algorithm in key.algorithms {
            check(key, *algorithm, MemoryCache::new()).await;
            let directory = tempfile::tempdir().unwrap();
            let cache = FileCache::builder()
                .directory(directory.path().join("cache"))
                .sealer(Sealer::with_key([7; 32]));
            check(key, *algorithm, cache.build().unwrap()).await;
        }
    }
}

#[tokio::test]
async fn k7_a_key_that_is_rotated_in_its_file_is_picked_up() {
    let setup = Setup::new(RSA).await;
    let auth = setup.build();
    let first = auth.token().await.unwrap();
    setup.emulator.rotate_public_key(P256.public_pem).unwrap();
    setup.write_key(P256.private_pem);
    // The token that there is serves on.
    assert_eq!(auth.token().await.unwrap(), first);
    assert_eq!(setup.counts(), (1, 0));
    assert_ne!(auth.refresh().await.unwrap(), first);
    assert_eq!(setup.counts(), (2, 0));
}

#[tokio::test]
async fn k10_half_a_key_takes_nothing_out_of_service() {
    let setup = Setup::new(ED25519).await;
    let auth = setup.build();
    let first = auth.token().await.unwrap();
    for half in ["", &ED25519.private_pem[..60]] {
        setup.write_key(half);
        let error = auth.refresh().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Credentials);
        let text = format!("{error:?} {}", bloom_auth::core::chain(&error));
        assert!(text.contains("holds no usable private key"), "{text}");
        assert!(!text.contains(&ED25519.private_pem[30..60]), "{text}");
        assert_eq!(auth.token().await.unwrap(), first);
        let pause = error.retry_after().unwrap() + Duration::from_millis(20);
        tokio::time::sleep(pause).await;
    }
    setup.write_key(ED25519.private_pem);
    assert_ne!(auth.refresh().await.unwrap(), first);
    assert_eq!(setup.counts(), (2, 0));
}

#[tokio::test]
async fn another_key_is_a_refused_client_until_it_is_the_right_one() {
    let setup = Setup::new(P256).await;
    setup.write_key(RSA.private_pem);
    let auth = setup.build();
    for _ in 0..10 {
        let error = auth.token().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ClientRefused);
    }
    assert_eq!(setup.counts(), (0, 1));
    // The source is asked for another key, at most once a second.
    setup.write_key(P256.private_pem);
    let healed = async {
        while auth.token().await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), healed)
        .await
        .unwrap();
    assert_eq!(setup.counts(), (1, 1));
}

/// A clock that is set wrong, by so many seconds.
#[derive(Clone, Copy, Debug)]
struct Skewed(i64);

impl Clock for Skewed {
    fn now(&self) -> Timestamp {
        let now = SystemClock::new().now();
        let skew = self.0 * 1_000_000_000;
        Timestamp::new(now.monotonic, now.wall.saturating_add_signed(skew))
    }
}

#[tokio::test]
async fn a_clock_that_is_set_wrong_makes_refused_assertions() {
    let setup = Setup::new(ED25519).await;
    let environment = setup.build().environment().clone();
    for (skew, is_taken) in [(-600, false), (0, true), (600, false)] {
        let transport = ReqwestTransport::builder()
            .with_root_certificate(setup.emulator.ca_pem().unwrap())
            .unwrap();
        let source = PrivateKeyFile::new(ClientId::new(ID).unwrap(), setup.key_file());
        let provider =
            TokenProvider::builder(environment.clone(), source, transport.build().unwrap())
                .clock(Skewed(skew))
                .build()
                .unwrap();
        let kind = provider.token().await.err().map(|error| error.kind());
        let refused = (!is_taken).then_some(ErrorKind::ClientRefused);
        assert_eq!(kind, refused, "{skew}");
    }
    assert_eq!(setup.counts(), (1, 2));
}

#[tokio::test]
async fn an_audience_of_ones_own_is_what_the_server_reads() {
    let setup = Setup::new(ED25519).await;
    let url = setup.emulator.v1_token_url();
    for (audience, kind) in [
        ("https://issuer.test/", Some(ErrorKind::ClientRefused)),
        (&url, None),
    ] {
        setup.variables.set("BLOOM_ASSERTION_AUDIENCE", audience);
        let error = setup.build().token().await.err();
        assert_eq!(error.map(|error| error.kind()), kind, "{audience}");
    }
}

#[tokio::test]
async fn files_need_a_key_of_their_own_and_memory_takes_their_place() {
    let setup = Setup::new(ED25519).await;
    let home = tempfile::tempdir().unwrap();
    setup.variables.set("HOME", text_of(home.path()));
    setup.variables.set("BLOOM_CACHE", "file");
    let warnings = Warnings::default();
    let guard = warnings.begin();
    let auth = setup.build();
    drop(guard);
    auth.token().await.unwrap();
    assert!(home.path().read_dir().unwrap().next().is_none());
    let lines = warnings.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("this client has none"), "{lines:?}");
    assert!(lines[0].contains("kept in memory alone"), "{lines:?}");
}

#[cfg(feature = "rustls")]
#[tokio::test]
async fn with_a_certificate_the_client_id_alone_is_sent() {
    use super::client_certificate::Authority;

    let server = token_server().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("client.pem");
    std::fs::write(&file, Authority::new().client_pem()).unwrap();
    let variables = Variables::new([
        ("BLOOM_CLIENT_ID", ID),
        ("BLOOM_CLIENT_AUTH", "tls_client_auth"),
        ("BLOOM_CLIENT_CERTIFICATE_FILE", text_of(&file)),
        (
            "BLOOM_TOKEN_URL",
            &format!("{}/oauth/token", server.origin()),
        ),
        ("BLOOM_ALLOW_INSECURE_LOOPBACK", "true"),
    ]);
    variables.build().unwrap().token().await.unwrap();
    let (_, authorization, body) = parts(&server.seen().requests[0]);
    assert_eq!(authorization, None);
    assert_eq!(
        body,
        format!("grant_type=client_credentials&client_id={ID}&audience=dev-api")
    );
}

#[test]
fn k4_wrong_settings_of_keys_are_named_with_their_fault_and_the_fix() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| text_of(&directory.path().join(name)).to_owned();
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    for (name, content) in [
        ("good", P256.private_pem),
        ("public", P256.public_pem),
        ("encrypted", encrypted),
        ("empty", ""),
    ] {
        std::fs::write(directory.path().join(name), content).unwrap();
    }
    let missing = std::fs::read("/nowhere/at/all").unwrap_err();
    let key_fix = "name a PEM file that holds the client's private key";
    let pem_fix = "give the private key in PEM, not encrypted (`-----BEGIN PRIVATE KEY-----`)";
    let certificate_fix = "name a PEM file that holds the client's certificate and its private key";
    let jwt = |pairs: &[(&'static str, String)]| {
        [
            &[("BLOOM_CLIENT_AUTH", "private_key_jwt".to_owned())],
            pairs,
        ]
        .concat()
    };
    let tls = |pairs: &[(&'static str, String)]| {
        [
            &[("BLOOM_CLIENT_AUTH", "tls_client_auth".to_owned())],
            pairs,
        ]
        .concat()
    };
    let key = |name: &str| ("BLOOM_PRIVATE_KEY_FILE", path(name));
    let certificate = |name: &str| ("BLOOM_CLIENT_CERTIFICATE_FILE", path(name));
    let useless = |name: &str, fault: &str| {
        format!(
            "BLOOM_PRIVATE_KEY_FILE is of no use: the private key file {} holds no usable \
             private key (private key {fault}): {key_fix}",
            path(name)
        )
    };
    let secret = ("BLOOM_CLIENT_SECRET", "canary".to_owned());
    for (pairs, expected) in [
        (
            jwt(&[]),
            format!("BLOOM_PRIVATE_KEY_FILE is not set: {key_fix}"),
        ),
        (
            jwt(&[("BLOOM_PRIVATE_KEY_FILE", "/nowhere/at/all".to_owned())]),
            format!(
                "BLOOM_PRIVATE_KEY_FILE is of no use: the private key file /nowhere/at/all \
                 cannot be read ({missing}): {key_fix}"
            ),
        ),
        (
            jwt(&[("BLOOM_PRIVATE_KEY_FILE", P256.private_pem.to_owned())]),
            format!("BLOOM_PRIVATE_KEY_FILE names no file: {key_fix}"),
        ),
        (
            jwt(&[("BLOOM_PRIVATE_KEY_FILE", {
                let lines = P256.private_pem.lines();
                lines.filter(|line| !line.starts_with('-')).collect()
            })]),
            format!("BLOOM_PRIVATE_KEY_FILE names no file: {key_fix}"),
        ),
        (
            jwt(&[key("empty")]),
            useless(
                "empty",
                &format!("is not there: no private key was found: {pem_fix}"),
            ),
        ),
        (
            jwt(&[key("public")]),
            useless(
                "public",
                &format!("is not there: this is a public key: {pem_fix}"),
            ),
        ),
        (
            jwt(&[key("encrypted")]),
            useless(
                "encrypted",
                "is encrypted: decrypt it (`openssl pkey -in ENCRYPTED -out PLAIN`), and guard \
                 the file by its permissions",
            ),
        ),
        (
            jwt(&[key("good"), ("BLOOM_PRIVATE_KEY_ID", "a\nb".to_owned())]),
            "BLOOM_PRIVATE_KEY_ID has a control character at byte 1: use the value that Bloom \
             gave, without quotes or line breaks"
                .to_owned(),
        ),
        (
            jwt(&[key("good"), ("BLOOM_ASSERTION_AUDIENCE", "a\nb".to_owned())]),
            "BLOOM_ASSERTION_AUDIENCE has a control character at byte 1: use the token \
             endpoint's URL or the issuer's name, as the authorization server wants it"
                .to_owned(),
        ),
        (
            jwt(&[key("good"), secret.clone()]),
            "BLOOM_CLIENT_SECRET is set, but BLOOM_CLIENT_AUTH is `private_key_jwt`: unset \
             it, or choose the BLOOM_CLIENT_AUTH that it is for"
                .to_owned(),
        ),
        (
            vec![key("good"), secret.clone()],
            "BLOOM_PRIVATE_KEY_FILE is set, but BLOOM_CLIENT_AUTH is not `private_key_jwt`: \
             unset it, or choose the BLOOM_CLIENT_AUTH that it is for"
                .to_owned(),
        ),
        (
            tls(&[certificate("good"), secret]),
            "BLOOM_CLIENT_SECRET is set, but BLOOM_CLIENT_AUTH is `tls_client_auth`: unset \
             it, or choose the BLOOM_CLIENT_AUTH that it is for"
                .to_owned(),
        ),
        (
            tls(&[certificate("good"), key("good")]),
            "BLOOM_PRIVATE_KEY_FILE is set, but BLOOM_CLIENT_AUTH is `tls_client_auth`: unset \
             it, or choose the BLOOM_CLIENT_AUTH that it is for"
                .to_owned(),
        ),
        (
            tls(&[]),
            format!("BLOOM_CLIENT_CERTIFICATE_FILE is not set: {certificate_fix}"),
        ),
        (
            tls(&[certificate("missing")]),
            format!(
                "BLOOM_CLIENT_CERTIFICATE_FILE is of no use: {} cannot be read ({missing}): \
                 {certificate_fix}",
                path("missing")
            ),
        ),
        (
            tls(&[certificate("public")]),
            format!(
                "BLOOM_CLIENT_CERTIFICATE_FILE: private key of the client certificate is not \
                 there: this is a public key: {pem_fix}"
            ),
        ),
    ] {
        let variables = Variables::new([("BLOOM_CLIENT_ID", ID)]);
        for (name, value) in pairs {
            variables.set(name, value);
        }
        let error = error(&variables);
        assert_eq!(error, expected);
        let inside = &P256.private_pem[30..60];
        assert!(!error.contains(inside), "{error}");
    }
    for id in [None, Some("the\nclient")] {
        let variables = Variables::new([("BLOOM_CLIENT_AUTH", "private_key_jwt")]);
        variables.set("BLOOM_PRIVATE_KEY_FILE", path("good"));
        if let Some(id) = id {
            variables.set("BLOOM_CLIENT_ID", id);
        }
        let error = error(&variables);
        assert!(error.starts_with("BLOOM_CLIENT_ID "), "{error}");
        // The control.
        variables.set("BLOOM_CLIENT_ID", ID);
        assert!(variables.build().is_ok());
    }
}

#[test]
fn k4_an_empty_variable_for_keys_is_a_mistake() {
    for name in [
        "BLOOM_PRIVATE_KEY_FILE",
        "BLOOM_PRIVATE_KEY_ID",
        "BLOOM_ASSERTION_AUDIENCE",
    ] {
        let variables = Variables::new([
            ("BLOOM_CLIENT_ID", ID),
            ("BLOOM_CLIENT_AUTH", "private_key_jwt"),
            ("BLOOM_PRIVATE_KEY_FILE", "/nowhere/at/all"),
            (name, ""),
        ]);
        assert_eq!(
            error(&variables),
            format!("{name} is set, but empty: unset it, or give it a value")
        );
    }
}
