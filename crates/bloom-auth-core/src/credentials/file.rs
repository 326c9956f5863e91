//! Credentials in files, which are read anew at every fetch.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use tokio::task::JoinHandle;

use super::{CredentialsError, CredentialsSource};
use crate::{
    client::{ClientCredentials, ClientId, secret_from_bytes},
    error::ConfigurationError,
};
#[cfg(feature = "private-key-jwt")]
use crate::{private_key::PrivateKey, signer::SigningAlgorithm};

/// A file larger than this holds no secret and no key.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Reads the secret from a file at every fetch, as Kubernetes mounts them;
/// one trailing line break is trimmed.
///
/// Reading is done on a thread for blocking work, one at a time. Should the
/// file system hang, so does that one thread, and callers get an error in
/// time.
#[derive(Clone, Debug)]
pub struct FileCredentials {
    id: ClientId,
    path: PathBuf,
    under_way: UnderWay,
}

impl FileCredentials {
    /// The client id, and the file that holds the secret. The file is not
    /// read yet.
    #[must_use]
    pub fn new(id: ClientId, path: impl Into<PathBuf>) -> Self {
        Self {
            id,
            path: path.into(),
            under_way: UnderWay::default(),
        }
    }

    /// Reads the file now; this blocks for as long as the file system does.
    ///
    /// # Errors
    ///
    /// [`CredentialsError`] if it is no regular file, cannot be read, or does
    /// not hold a secret.
    pub fn read(&self) -> Result<ClientCredentials, CredentialsError> {
        let secret = read_file(
            "client secret",
            "no client secret",
            &self.path,
            secret_from_bytes,
        )?;
        Ok(ClientCredentials::new(self.id.clone(), secret))
    }
}

#[async_trait]
impl CredentialsSource for FileCredentials {
    async fn credentials(&self) -> Result<ClientCredentials, CredentialsError> {
        let this = self.clone();
        self.under_way.read(move || this.read()).await
    }
}

/// Reads a private key from a PEM file at every fetch, so that a rotated one
/// needs no restart; as [`FileCredentials`] does for a secret. Feature
/// `private-key-jwt`.
///
/// # Example
///
/// ```
/// use bloom_auth_core::{ClientId, PrivateKeyFile};
///
/// let id = ClientId::new("my-backend")?;
/// let source = PrivateKeyFile::new(id, "/run/secrets/bloom-key.pem").key_id("2026-11");
/// # Ok::<(), bloom_auth_core::ConfigurationError>(())
/// ```
#[cfg(feature = "private-key-jwt")]
#[derive(Clone, Debug)]
pub struct PrivateKeyFile {
    id: ClientId,
    path: PathBuf,
    key_id: Option<String>,
    algorithm: Option<SigningAlgorithm>,
    audience: Option<String>,
    under_way: UnderWay,
}

#[cfg(feature = "private-key-jwt")]
impl PrivateKeyFile {
    /// The client id, and the file that holds the private key. The file is not
    /// read yet.
    #[must_use]
    pub fn new(id: ClientId, path: impl Into<PathBuf>) -> Self {
        Self {
            id,
            path: path.into(),
            key_id: None,
            algorithm: None,
            audience: None,
            under_way: UnderWay::default(),
        }
    }

    /// Sets the name by which the server knows the key; see
    /// [`PrivateKey::with_key_id`]. It stays the same when the file changes.
    #[must_use]
    pub fn key_id(mut self, id: impl Into<String>) -> Self {
        self.key_id = Some(id.into());
        self
    }

    /// Sets how to sign; see [`PrivateKey::with_algorithm`].
    #[must_use]
    pub fn algorithm(mut self, algorithm: SigningAlgorithm) -> Self {
        self.algorithm = Some(algorithm);
        self
    }

    /// Sets whom the assertions are for; see
    /// [`ClientCredentials::with_assertion_audience`].
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// Reads the file now; this blocks for as long as the file system does.
    ///
    /// # Errors
    ///
    /// [`CredentialsError`] if it is no regular file, cannot be read, does not
    /// hold a private key, or the other settings do not go with that.
    pub fn read(&self) -> Result<ClientCredentials, CredentialsError> {
        let mut key = read_file(
            "private key",
            "no usable private key",
            &self.path,
            PrivateKey::from_pem,
        )?;
        if let Some(id) = &self.key_id {
            key = key.with_key_id(id)?;
        }
        if let Some(algorithm) = self.algorithm {
            key = key.with_algorithm(algorithm)?;
        }
        let credentials = ClientCredentials::with_signer(self.id.clone(), key);
        Ok(match &self.audience {
            Some(audience) => credentials.with_assertion_audience(audience)?,
            None => credentials,
        })
    }
}

#[cfg(feature = "private-key-jwt")]
#[async_trait]
impl CredentialsSource for PrivateKeyFile {
    async fn credentials(&self) -> Result<ClientCredentials, CredentialsError> {
        let this = self.clone();
        self.under_way.read(move || this.read()).await
    }
}

/// The one thread that reads a file at a time. Clones are the same one.
#[derive(Clone, Debug, Default)]
struct UnderWay(Arc<tokio::sync::Mutex<Option<JoinHandle<Read>>>>);

type Read = Result<ClientCredentials, CredentialsError>;

impl UnderWay {
    async fn read(&self, read: impl FnOnce() -> Read + Send + 'static) -> Read {
        let mut under_way = self.0.lock().await;
        if let Some(earlier) = under_way.as_mut() {
            // Its caller has given up; what it read may be out of date by now.
            let _ = earlier.await;
        }
        let read = under_way.insert(tokio::task::spawn_blocking(read));
        let result = read.await;
        *under_way = None;
        result.unwrap_or_else(|_| Err(CredentialsError::new("the runtime is shutting down")))
    }
}

/// Reads what is called by this name, from a buffer that the parser zeroizes;
/// the second name is that of what it cannot parse.
fn read_file<T>(
    what: &str,
    otherwise: &str,
    path: &Path,
    parse: impl FnOnce(Vec<u8>) -> Result<T, ConfigurationError>,
) -> Result<T, CredentialsError> {
    let error = |problem: &str| {
        let path = path.display();
        CredentialsError::new(format!("the {what} file {path} {problem}"))
    };
    let io_error = |source: std::io::Error| error("cannot be read").with_source(source);
    let too_large = || error(&format!("is too large to hold a {what}"));
    let file = open(path).map_err(io_error)?;
    let metadata = file.metadata().map_err(io_error)?;
    if !metadata.is_file() {
        return Err(error("is not a regular file"));
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(too_large());
    }
    // Room for all that is read, so that no un-zeroized copy stays behind when
    // the buffer grows; one more byte tells a file that has grown.
    let room = usize::try_from(MAX_FILE_BYTES).unwrap_or(usize::MAX) + 1;
    let mut bytes = Vec::with_capacity(room);
    let read = file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes);
    let is_whole = read.is_ok() && bytes.len() < room;
    let parsed = parse(bytes);
    read.map_err(io_error)?;
    if !is_whole {
        return Err(too_large());
    }
    parsed.map_err(|source| error(&format!("holds {otherwise}")).with_source(source))
}

/// Opens a file without waiting for a writer, should it be a FIFO.
#[cfg(unix)]
fn open(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;

    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits();
    let mut options = File::options();
    options.read(true).custom_flags(nonblocking.cast_signed());
    options.open(path)
}

#[cfg(not(unix))]
fn open(path: &Path) -> std::io::Result<File> {
    File::open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_secret_is_named() {
        let id = ClientId::new("id").unwrap();
        let error = FileCredentials::new(id.clone(), "/nowhere/at/all").read();
        let text = error.unwrap_err().to_string();
        assert_eq!(
            text,
            "the client secret file /nowhere/at/all cannot be read"
        );
        let directory = std::env::temp_dir();
        let error = FileCredentials::new(id, directory).read().unwrap_err();
        assert!(error.to_string().ends_with("is not a regular file"));
    }

    /// A file with these contents, for as long as the closure runs.
    fn with_file<T>(name: &str, contents: &[u8], read: impl FnOnce(&Path) -> T) -> T {
        let path = std::env::temp_dir().join(format!("bloom-auth-{name}-{}", std::process::id()));
        std::fs::write(&path, contents).unwrap();
        let result = read(&path);
        std::fs::remove_file(&path).unwrap();
        result
    }

    #[test]
    fn a_file_is_read_anew_each_time() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        with_file("anew", b"first", |path| {
            let source = FileCredentials::new(ClientId::new("id").unwrap(), path);
            let secret = || {
                let credentials = runtime.block_on(source.credentials()).unwrap();
                credentials.secret().unwrap().expose().to_owned()
            };
            assert_eq!(secret(), "first");
            std::fs::write(path, "second").unwrap();
            assert_eq!(secret(), "second");
        });
    }

    #[test]
    fn what_a_file_holds_instead_of_a_secret_is_said_and_not_shown() {
        let id = || ClientId::new("id").unwrap();
        let most = usize::try_from(MAX_FILE_BYTES).unwrap();
        for (contents, problem) in [
            (vec![b'x'; most + 1], "is too large to hold a client secret"),
            (b"\xffcanary".to_vec(), "holds no client secret"),
            (Vec::new(), "holds no client secret"),
        ] {
            with_file("problem", &contents, |path| {
                let error = FileCredentials::new(id(), path).read().unwrap_err();
                let text = crate::chain(&error);
                assert!(text.contains(problem), "{text}");
                assert!(!text.contains("canary") && !text.contains("xxx"), "{text}");
            });
        }
    }

    #[cfg(feature = "private-key-jwt")]
    #[test]
    fn a_private_key_is_read_with_what_goes_with_it() {
        use crate::test_keys::{ED25519, P256};

        let id = || ClientId::new("id").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        with_file("key", P256.private_pem.as_bytes(), |path| {
            let source = PrivateKeyFile::new(id(), path).key_id("k").audience("a");
            let credentials = runtime.block_on(source.credentials()).unwrap();
            assert!(credentials.secret().is_none());
            // A key of another kind cannot sign so.
            let other = source.algorithm(SigningAlgorithm::Rs256).read();
            assert!(other.is_err());
        });
        with_file("key-2", ED25519.private_pem.as_bytes(), |path| {
            assert!(PrivateKeyFile::new(id(), path).read().is_ok());
        });
        let error = with_file("no-key", b"canary", |path| {
            PrivateKeyFile::new(id(), path).read().unwrap_err()
        });
        let text = crate::chain(&error);
        assert!(text.contains("holds no usable private key"), "{text}");
        assert!(!text.contains("canary"), "{text}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_fifo_is_refused_at_once() {
        let name = format!("bloom-auth-fifo-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).unwrap();
        let id = ClientId::new("id").unwrap();
        let error = FileCredentials::new(id, &path).read().unwrap_err();
        std::fs::remove_file(&path).unwrap();
        assert!(error.to_string().ends_with("is not a regular file"));
    }
}
