//! Authorization servers that are not ours, over TLS: npm's oidc-provider, and
//! PyPI's Authlib on Flask. `cargo xtask test --interop` installs them; without
//! it these tests are skipped.

mod binary;
mod library;
mod server;

use std::{
    collections::HashMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use rcgen::{CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

use self::server::{Kind, Server};

/// Neither is the same in a form or in a header as it is here.
const SECRET: &str = "a secret: 100% + &=~";
const WRONG_SECRET: &str = "a secret: 100% + &= ";

/// A client that the servers know, and how they have it prove who it is.
#[derive(Clone, Copy, Debug)]
struct Client {
    id: &'static str,
    proof: Proof,
}

#[derive(Clone, Copy, Debug)]
enum Proof {
    Post,
    Basic,
    #[cfg(feature = "private-key-jwt")]
    Key {
        private_pem: &'static str,
        public_pem: &'static str,
        /// As in a JSON Web Key.
        kind: &'static str,
    },
}

impl Proof {
    #[cfg(feature = "private-key-jwt")]
    const fn key(key: bloom_auth_core::test_util::TestKey, kind: &'static str) -> Self {
        Self::Key {
            private_pem: key.private_pem,
            public_pem: key.public_pem,
            kind,
        }
    }
}

const CLIENTS: &[Client] = &[
    Client {
        id: "posts & more",
        proof: Proof::Post,
    },
    Client {
        id: "basic",
        proof: Proof::Basic,
    },
    #[cfg(feature = "private-key-jwt")]
    Client {
        id: "rsa",
        proof: Proof::key(bloom_auth_core::test_util::RSA, "RSA"),
    },
    #[cfg(feature = "private-key-jwt")]
    Client {
        id: "p256",
        proof: Proof::key(bloom_auth_core::test_util::P256, "EC"),
    },
    #[cfg(feature = "private-key-jwt")]
    Client {
        id: "ed25519",
        proof: Proof::key(bloom_auth_core::test_util::ED25519, "OKP"),
    },
];

impl Client {
    /// As the servers read it.
    fn settings(self) -> Value {
        let id = self.id;
        match self.proof {
            Proof::Post => json!({"id": id, "method": "client_secret_post", "secret": SECRET}),
            Proof::Basic => json!({"id": id, "method": "client_secret_basic", "secret": SECRET}),
            #[cfg(feature = "private-key-jwt")]
            Proof::Key {
                public_pem, kind, ..
            } => json!({
                "id": id, "method": "private_key_jwt", "key_type": kind, "public_key": public_pem,
            }),
        }
    }

    fn has_secret(self) -> bool {
        matches!(self.proof, Proof::Post | Proof::Basic)
    }
}

/// The ways into a server. Each is TLS with a certificate of its own.
#[derive(Clone, Copy, Debug)]
enum Door {
    Good,
    /// The certificate is for another name.
    OtherName,
    /// The certificate is valid no longer.
    Expired,
}

const DOORS: [Door; 3] = [Door::Good, Door::OtherName, Door::Expired];

/// What there is before any server: certificates and keys, in files.
struct Files {
    directory: TempDir,
}

impl Files {
    fn new() -> Self {
        let files = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        let authority = authority();
        files.write("ca.pem", &authority.pem());
        files.write("other-ca.pem", &self::authority().pem());
        for (n, door) in DOORS.iter().enumerate() {
            let (name, last_year) = match door {
                Door::Good => ("127.0.0.1", 4096),
                Door::OtherName => ("other.test", 4096),
                Door::Expired => ("127.0.0.1", 2001),
            };
            let mut params = CertificateParams::new([name.to_owned()]).unwrap();
            params.not_after = rcgen::date_time_ymd(last_year, 1, 1);
            let key = KeyPair::generate().unwrap();
            let certificate = params.signed_by(&key, &authority).unwrap();
            files.write(&format!("{n}.pem"), &certificate.pem());
            files.write(&format!("{n}.key"), &key.serialize_pem());
        }
        let doors: Vec<Value> = (0..DOORS.len())
            .map(|n| {
                let (certificate, key) = (format!("{n}.pem"), format!("{n}.key"));
                json!({"certificate": files.path(&certificate), "key": files.path(&key)})
            })
            .collect();
        let clients: Vec<Value> = CLIENTS.iter().map(|client| client.settings()).collect();
        let settings = json!({"doors": doors, "clients": clients});
        files.write("settings.json", &settings.to_string());
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        // There are keys among them, and the tool warns of those that others can
        // read.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;

            let mode = fs::Permissions::from_mode(0o600);
            fs::set_permissions(&path, mode).unwrap();
        }
        path
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    // Issuer and subject of a certificate must differ.
    params
        .distinguished_name
        .push(DnType::CommonName, "authority");
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// The variables of the environment that a test runs with.
type Variables = HashMap<&'static str, OsString>;

/// Those with which the client gets a token at that door.
fn variables(server: &Server, door: Door, client: Client) -> Variables {
    let files = &server.files;
    let url = server.token_url(door);
    let mut variables: Variables = [
        ("BLOOM_CLIENT_ID", client.id),
        ("BLOOM_TOKEN_URL", &url),
        ("BLOOM_API_URL", &url),
        ("BLOOM_CACHE", "none"),
    ]
    .map(|(name, value)| (name, value.into()))
    .into();
    variables.insert("BLOOM_CA_FILE", files.path("ca.pem").into());
    match client.proof {
        Proof::Post | Proof::Basic => {
            let is_post = matches!(client.proof, Proof::Post);
            let method = if is_post { "post" } else { "basic" };
            variables.insert("BLOOM_CLIENT_AUTH", method.into());
            variables.insert("BLOOM_CLIENT_SECRET", SECRET.into());
        }
        #[cfg(feature = "private-key-jwt")]
        Proof::Key { private_pem, .. } => {
            let key = files.write(&format!("{}.pem", client.id), private_pem);
            variables.insert("BLOOM_CLIENT_AUTH", "private_key_jwt".into());
            variables.insert("BLOOM_PRIVATE_KEY_FILE", key.into());
        }
    }
    variables
}

/// Each way in which TLS must fail, with the variables that lead there.
fn untrusted(server: &Server) -> [(&'static str, Variables); 3] {
    let client = CLIENTS[0];
    let mut another_authority = variables(server, Door::Good, client);
    let ca: &Path = &server.files.path("other-ca.pem");
    another_authority.insert("BLOOM_CA_FILE", ca.into());
    [
        ("another authority", another_authority),
        ("another name", variables(server, Door::OtherName, client)),
        ("an expired one", variables(server, Door::Expired, client)),
    ]
}
