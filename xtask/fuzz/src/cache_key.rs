//! Cache keys: two are equal exactly if all that decides a token is, and so are their bytes, which
//! can be read again.
//!
//! A message for each of two keys, one after the other: lines `token-url`, `version`, `auth`, `id`,
//! `secret`, `audience`, `scope`, and any number of `parameter` (`name=value`).

use std::collections::BTreeSet;

use bloom_auth_cache::Sealer;
use bloom_auth_core::{
    AuthVersion, CacheAccess, ClientAuthentication, ClientCredentials, ClientId, ClientSecret,
    Environment, protocol::TokenRequest,
};

use crate::message::Message;

/// Tries one input.
pub fn run(input: &[u8]) {
    let first = Message::parse(input);
    let second = Message::parse_lines(first.body);
    let (Some((a, a_fields)), Some((b, b_fields))) = (key(&first), key(&second)) else {
        return;
    };
    let is_equal = a_fields == b_fields;
    let (a_key, b_key) = (a.key(), b.key());
    assert_eq!(a_key == b_key, is_equal, "{a_fields:?} {b_fields:?}");
    assert_eq!(a_key.canonical_bytes() == b_key.canonical_bytes(), is_equal);
    assert_eq!(
        a.credential_tag() == b.credential_tag(),
        a_fields.client() == b_fields.client()
    );
    let sealer = Sealer::with_key([7; 32]);
    assert_eq!(sealer.name(&a) == sealer.name(&b), is_equal);

    for (access, fields) in [(&a, &a_fields), (&b, &b_fields)] {
        let canonical = access.key().canonical_bytes();
        let tag = access.credential_tag();
        assert_eq!(*canonical, fields.write(tag.as_bytes()));
        let read = Fields::read(&canonical, &fields.secret);
        assert_eq!(
            read.as_ref(),
            Some(fields),
            "the bytes can be read in one way only"
        );
        // A rotated secret is the only difference that it makes.
        let Ok(secret) = ClientSecret::new("another") else {
            continue;
        };
        let rotated = access.with_secret(secret);
        assert_eq!(rotated.key() == access.key(), fields.secret == "another");
        let secret = "x".repeat(40);
        if let Ok(secret) = ClientSecret::new(secret) {
            assert!(access.with_secret(secret).seal_material().is_some());
        }
        assert!(!format!("{access:?}").contains("canary-of-the-secret") || fields.has_canary());
    }
}

/// What decides a token.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fields {
    token_url: String,
    version: &'static str,
    method: &'static str,
    id: String,
    secret: String,
    audience: Option<String>,
    scopes: BTreeSet<String>,
    /// In order, each as often as it was given.
    parameters: Vec<(String, String)>,
}

/// The key that a message asks for, if there is one.
fn key(message: &Message<'_>) -> Option<(CacheAccess, Fields)> {
    let is_v2 = message.text("version") == Some("v2");
    let is_basic = message.text("auth") == Some("basic");
    let url = message.text("token-url").unwrap_or("https://a.test/token");
    let mut environment = Environment::custom(url, "https://b.test");
    environment = environment.auth_version(if is_v2 {
        AuthVersion::V2
    } else {
        AuthVersion::V1
    });
    let audience = message.text("audience");
    if let Some(audience) = audience {
        environment = environment.audience(audience);
    }
    let environment = environment.build().ok()?;
    let token_url = environment.token_url().to_string();
    let scope = message.text("scope").unwrap_or_default();
    let authentication = if is_basic {
        ClientAuthentication::Basic
    } else {
        ClientAuthentication::Post
    };
    let mut request = TokenRequest::new(environment)
        .with_authentication(authentication)
        .with_scopes(scope.parse().ok()?);
    let mut parameters = Vec::new();
    for parameter in message.all("parameter") {
        let parameter = std::str::from_utf8(parameter).ok()?;
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        request = request.with_parameter(name, value);
        parameters.push((name.to_owned(), value.to_owned()));
    }
    parameters.sort();
    let id = message.text("id").unwrap_or("the-client");
    let secret = message.text("secret").unwrap_or("canary-of-the-secret");
    let client = ClientCredentials::new(ClientId::new(id).ok()?, ClientSecret::new(secret).ok()?);
    let scopes = scope.split(' ').filter(|scope| !scope.is_empty());
    let fields = Fields {
        token_url,
        version: if is_v2 { "v2" } else { "v1" },
        method: if is_basic {
            "client_secret_basic"
        } else {
            "client_secret_post"
        },
        id: id.to_owned(),
        secret: secret.to_owned(),
        audience: audience.map(str::to_owned),
        scopes: scopes.map(str::to_owned).collect(),
        parameters,
    };
    Some((CacheAccess::new(&request, &client), fields))
}

impl Fields {
    fn client(&self) -> (&str, &str) {
        (&self.id, &self.secret)
    }

    /// Whether the secret stands where it may be printed.
    fn has_canary(&self) -> bool {
        let scopes = self.scopes.iter();
        let printed = scopes.chain(&self.audience).chain([&self.id]);
        printed.into_iter().any(|text| text.contains("canary"))
    }

    /// The documented form.
    fn write(&self, tag: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX).to_be_bytes();
        let mut texts: Vec<Result<&[u8], usize>> = vec![
            Ok(self.token_url.as_bytes()),
            Ok(self.version.as_bytes()),
            Ok(self.method.as_bytes()),
            Ok(self.id.as_bytes()),
            Ok(tag),
            Err(self.audience.iter().len()),
        ];
        texts.extend(self.audience.iter().map(|text| Ok(text.as_bytes())));
        texts.push(Err(self.scopes.len()));
        texts.extend(self.scopes.iter().map(|text| Ok(text.as_bytes())));
        texts.push(Err(self.parameters.len()));
        for (name, value) in &self.parameters {
            texts.extend([Ok(name.as_bytes()), Ok(value.as_bytes())]);
        }
        for text in texts {
            match text {
                Ok(text) => {
                    bytes.extend(number(text.len()));
                    bytes.extend(text);
                }
                Err(count) => bytes.extend(number(count)),
            }
        }
        bytes
    }

    /// Reads that form again; the secret is all that is not in it.
    fn read(bytes: &[u8], secret: &str) -> Option<Self> {
        let mut reader = Reader(bytes);
        let token_url = reader.text()?;
        let version = ["v1", "v2"].into_iter();
        let methods = ["client_secret_post", "client_secret_basic"].into_iter();
        let (version, method) = (
            known(version, &reader.text()?)?,
            known(methods, &reader.text()?)?,
        );
        let id = reader.text()?;
        reader.field().filter(|tag| tag.len() == 32)?;
        let audience = match reader.number()? {
            0 => None,
            1 => Some(reader.text()?),
            _ => return None,
        };
        let scopes = (0..reader.number()?).map(|_| reader.text());
        let scopes = scopes.collect::<Option<_>>()?;
        let parameters = (0..reader.number()?).map(|_| Some((reader.text()?, reader.text()?)));
        let parameters = parameters.collect::<Option<_>>()?;
        reader.0.is_empty().then(|| Self {
            token_url,
            version,
            method,
            id,
            secret: secret.to_owned(),
            audience,
            scopes,
            parameters,
        })
    }
}

fn known(mut names: impl Iterator<Item = &'static str>, name: &str) -> Option<&'static str> {
    names.find(|it| *it == name)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn number(&mut self) -> Option<usize> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        usize::try_from(u64::from_be_bytes(*number)).ok()
    }

    fn field(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        let (field, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(field)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.field()?.to_vec()).ok()
    }
}
