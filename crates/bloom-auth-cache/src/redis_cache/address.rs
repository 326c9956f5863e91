//! Where the server is and who we are there, from a URL. What is secret in it
//! is in no error and not in `Debug`.

#[cfg(unix)]
use std::path::PathBuf;
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use bloom_auth_core::ConfigurationError;
use redis::RedisConnectionInfo;
use url::{Host, Url};

/// The setting in every error here.
const SETTING: &str = "Redis URL";

const FORMS: &str =
    "use `rediss://user:password@host:6379/0`, `redis://` on this machine, or `unix:/path`";

const DEFAULT_PORT: u16 = 6379;

/// Where the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Tcp {
        host: String,
        port: u16,
    },
    Tls {
        host: String,
        port: u16,
    },
    #[cfg(unix)]
    Unix(PathBuf),
}

/// A checked URL.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) endpoint: Endpoint,
    /// The user, the password and the database.
    pub(super) login: RedisConnectionInfo,
}

impl Address {
    /// Checks a URL. Plain TCP to another machine is refused unless it is
    /// allowed.
    pub(super) fn parse(text: &str, allow_plaintext: bool) -> Result<Self, ConfigurationError> {
        let bad = |problem: &'static str, fix: &'static str| {
            ConfigurationError::new(SETTING, problem, fix)
        };
        let url = Url::parse(text).map_err(|_| bad("is not a URL", FORMS))?;
        if url.fragment().is_some() {
            // Some clients take `#insecure` for leave not to check certificates.
            return Err(bad(
                "has a fragment",
                "leave out what stands from the `#` on",
            ));
        }
        match url.scheme() {
            "redis" | "rediss" => Self::tcp(&url, allow_plaintext),
            "unix" => Self::unix(&url),
            _ => Err(bad("has a scheme that is not known", FORMS)),
        }
    }

    fn tcp(url: &Url, allow_plaintext: bool) -> Result<Self, ConfigurationError> {
        let bad = |problem: &'static str, fix: &'static str| {
            ConfigurationError::new(SETTING, problem, fix)
        };
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| bad("names no host", FORMS))?;
        if url.query().is_some() {
            return Err(bad("has a query", "leave out what stands from the `?` on"));
        }
        let is_local = is_loopback(host);
        // Hosts of schemes that the standard does not know are opaque.
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let host = decode(host).ok_or_else(|| bad("has a host that is no name", FORMS))?;
        if !host.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(bad("has a host that is no name", FORMS));
        }
        let port = url.port().unwrap_or(DEFAULT_PORT);
        if port == 0 {
            return Err(bad("has the port 0", "name the server's port"));
        }
        let database = url.path().strip_prefix('/').unwrap_or_default();
        let login = login(
            Some(url.username()).filter(|user| !user.is_empty()),
            url.password(),
            database,
        )?;
        let endpoint = if url.scheme() == "rediss" {
            Endpoint::Tls { host, port }
        } else if is_local || allow_plaintext {
            Endpoint::Tcp { host, port }
        } else {
            return Err(bad(
                "is `redis://` to another machine: whoever is on the way reads the password, and \
                 can take tokens away",
                "use `rediss://`, or call `allow_plaintext` where the network itself encrypts",
            ));
        };
        Ok(Self { endpoint, login })
    }

    #[cfg(not(unix))]
    fn unix(_: &Url) -> Result<Self, ConfigurationError> {
        let fix = "use `rediss://`, or `redis://` on this machine";
        let problem = "is for a Unix socket, which this system does not have";
        Err(ConfigurationError::new(SETTING, problem, fix))
    }

    #[cfg(unix)]
    fn unix(url: &Url) -> Result<Self, ConfigurationError> {
        let bad = |problem: &'static str, fix: &'static str| {
            ConfigurationError::new(SETTING, problem, fix)
        };
        if url.host_str().is_some_and(|host| !host.is_empty()) {
            return Err(bad(
                "is for a Unix socket and names a host",
                "use `unix:/path` or `unix:///path`",
            ));
        }
        let path = decode(url.path()).filter(|path| path.starts_with('/'));
        let path = path.ok_or_else(|| {
            bad(
                "has a path that is not absolute",
                "use `unix:/path/of/the.socket`",
            )
        })?;
        let (mut user, mut password, mut database) = (None, None, String::new());
        // Parts are taken as they are: `+` is no space here.
        let parts = url.query().unwrap_or_default().split('&');
        for part in parts.filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some(("user", value)) => user = Some(value),
                Some(("pass", value)) => password = Some(value),
                Some(("db", value)) => value.clone_into(&mut database),
                _ => {
                    return Err(bad(
                        "has a parameter that is not known",
                        "use `user`, `pass` and `db` alone",
                    ));
                }
            }
        }
        Ok(Self {
            endpoint: Endpoint::Unix(path.into()),
            login: login(user, password, &database)?,
        })
    }
}

fn login(
    user: Option<&str>,
    password: Option<&str>,
    database: &str,
) -> Result<RedisConnectionInfo, ConfigurationError> {
    let bad =
        |problem: &'static str, fix: &'static str| ConfigurationError::new(SETTING, problem, fix);
    let escape = "percent-encode its special characters as UTF-8";
    // No greeting: servers know it from 7.2 on, and users need a right for it.
    let mut login = RedisConnectionInfo::default().set_skip_set_lib_name();
    if let Some(password) = password {
        let password =
            decode(password).ok_or_else(|| bad("has a password that is not text", escape))?;
        login = login.set_password(password);
    }
    if let Some(user) = user {
        if password.is_none() {
            let fix = "give both, or neither";
            return Err(bad("has a user without a password", fix));
        }
        let user = decode(user).ok_or_else(|| bad("has a user that is not text", escape))?;
        login = login.set_username(user);
    }
    if !database.is_empty() {
        // Signs, which the parser of numbers would take, are not for it.
        let is_number = database.bytes().all(|byte| byte.is_ascii_digit());
        let number = database.parse::<u16>().ok().filter(|_| is_number);
        let number = number.ok_or_else(|| {
            let fix = "end it with the number of a database, such as `/0`";
            bad("has a database that is no number", fix)
        })?;
        login = login.set_db(number.into());
    }
    Ok(login)
}

fn is_loopback(host: &str) -> bool {
    match Host::parse(host) {
        Ok(Host::Domain(name)) => name.trim_end_matches('.').eq_ignore_ascii_case("localhost"),
        Ok(Host::Ipv4(address)) => Ipv4Addr::is_loopback(&address),
        Ok(Host::Ipv6(address)) => {
            Ipv6Addr::is_loopback(&address) || IpAddr::V6(address).to_canonical().is_loopback()
        }
        Err(_) => false,
    }
}

/// Percent-decodes; `None` if that is no text, or one with a zero in it.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains('\0'))
}

impl fmt::Display for Address {
    /// Without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match &self.endpoint {
            Endpoint::Tcp { host, port } => ("redis", host, port),
            Endpoint::Tls { host, port } => ("rediss", host, port),
            #[cfg(unix)]
            Endpoint::Unix(path) => {
                // Quoted where a path holds anything odd.
                let path = path.to_string_lossy();
                return write!(f, "unix:{}", path.escape_debug());
            }
        };
        let database = self.login.db();
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}/{database}")
        } else {
            write!(f, "{scheme}://{host}:{port}/{database}")
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Address {
        Address::parse(url, false).unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    #[test]
    fn a_url_says_where_and_who() {
        for (url, shown, user, password) in [
            ("redis://localhost", "redis://localhost:6379/0", None, None),
            ("redis://127.0.0.1:7/", "redis://127.0.0.1:7/0", None, None),
            (
                "redis://127.9.9.9/3",
                "redis://127.9.9.9:6379/3",
                None,
                None,
            ),
            ("redis://[::1]:7/15", "redis://[::1]:7/15", None, None),
            (
                "rediss://:p%40ss@cache.test",
                "rediss://cache.test:6379/0",
                None,
                Some("p@ss"),
            ),
            (
                "rediss://us%2fer:p+%25:@cache.test:7/2",
                "rediss://cache.test:7/2",
                Some("us/er"),
                Some("p+%:"),
            ),
            #[cfg(unix)]
            ("unix:/run/a.sock", "unix:/run/a.sock", None, None),
            #[cfg(unix)]
            (
                "unix:///run/a%20b?db=4&user=u&pass=p%26+",
                "unix:/run/a b",
                Some("u"),
                Some("p&+"),
            ),
        ] {
            let address = parsed(url);
            assert_eq!(address.to_string(), shown);
            assert_eq!(format!("{address:?}"), shown);
            assert_eq!(address.login.username(), user, "{url}");
            assert_eq!(address.login.password(), password, "{url}");
        }
        #[cfg(unix)]
        assert_eq!(parsed("unix:/a?db=4").login.db(), 4);
    }

    #[test]
    fn a_bad_url_is_refused_with_what_to_do_and_without_its_secrets() {
        for (url, problem) in [
            ("", "is not a URL"),
            ("canary", "is not a URL"),
            ("http://u:canary@h", "scheme"),
            ("canary:", "scheme"),
            ("redis:", "no host"),
            ("redis:///0", "no host"),
            ("rediss://:canary@", "not a URL"),
            ("rediss://u:canary@h:0", "port 0"),
            ("rediss://u:canary@h:99999", "not a URL"),
            ("rediss://u:canary@h/x", "database"),
            ("rediss://u:canary@h/+1", "database"),
            ("rediss://u:canary@h/-1", "database"),
            ("rediss://u:canary@h/1/2", "database"),
            ("rediss://u:canary@h/99999", "database"),
            ("rediss://u:canary@h?protocol=resp3", "query"),
            ("rediss://u:canary@h#insecure", "fragment"),
            ("rediss://canary@h", "without a password"),
            ("rediss://u:canary%ff@h", "password"),
            ("rediss://u:canary%@h", "password"),
            ("rediss://u:canary%00@h", "password"),
            ("rediss://u%ff:canary@h", "user"),
            ("redis://u:canary@cache.test", "another machine"),
            ("redis://10.0.0.1", "another machine"),
            ("redis://0.0.0.0", "another machine"),
            ("redis://localhost.test", "another machine"),
            ("redis://128.0.0.1", "another machine"),
            ("redis://[::2]", "another machine"),
            #[cfg(unix)]
            ("unix:canary", "not absolute"),
            #[cfg(unix)]
            ("unix:", "not absolute"),
            #[cfg(unix)]
            ("unix://canary/a", "names a host"),
            #[cfg(unix)]
            ("unix:/a?password=canary", "parameter"),
            #[cfg(unix)]
            ("unix:/a?canary", "parameter"),
        ] {
            let error = Address::parse(url, false).expect_err(url);
            let text = format!("{error} {error:?}");
            assert!(text.contains(problem), "{url}: {text}");
            assert!(!text.contains("canary"), "{url}: {text}");
            assert_eq!(error.setting(), SETTING);
        }
    }

    #[test]
    fn plain_tcp_to_another_machine_is_for_who_allows_it() {
        for host in ["cache.test", "10.0.0.1", "[fe80::1]"] {
            let url = format!("redis://{host}");
            Address::parse(&url, false).unwrap_err();
            let address = Address::parse(&url, true).unwrap();
            assert_eq!(address.to_string(), format!("redis://{host}:6379/0"));
            // Nobody is moved from TLS to the clear by it.
            let address = Address::parse(&url.replace("redis:", "rediss:"), true).unwrap();
            assert!(matches!(address.endpoint, Endpoint::Tls { .. }));
        }
    }
}
