//! What a core dump tells of a process that has dropped its last provider:
//! neither the client secret nor a key that was derived from it.
//!
//! The process is this test binary again. What it could have written into a
//! core is read from `/proc/<pid>/mem`, which needs no debugger and no setting
//! of the machine: everything writable, the stacks of threads that are gone
//! included. A core holds the registers of threads as well; here the one thread
//! that is left waits for its parent, far from any secret.

use std::{
    collections::hash_map::RandomState,
    ffi::OsString,
    fs::{self, File},
    hash::{BuildHasher as _, Hasher as _},
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::{fd::AsFd as _, unix::fs::FileExt as _},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use bloom_auth::{
    BloomAuth, ClientAuthentication, ClientCredentials, ClientId, ClientSecret, Environment,
    FileCache, FileCredentials,
};
use bloom_auth_core::test_util::skip;
use bloom_auth_emulator::Emulator;
use hkdf::Hkdf;
use sha2::Sha256;
use tokio::runtime::{Builder, Runtime};
use zeroize::Zeroizing;

use crate::canary::encodings;

const TEST: &str =
    "core_dump::a_core_after_the_last_drop_holds_neither_the_secret_nor_a_derived_key";

/// Which of the cases a child process is to play; a process without it is a
/// parent.
const ROLE: &str = "BLOOM_AUTH_TEST_ROLE";

/// Where things are: none of them is secret, as the environment of a process
/// is part of its core.
const ORIGIN: &str = "BLOOM_AUTH_CORE_ORIGIN";
const AUDIENCE: &str = "BLOOM_AUTH_CORE_AUDIENCE";
const CA_FILE: &str = "BLOOM_AUTH_CORE_CA_FILE";
const DIRECTORY: &str = "BLOOM_AUTH_CORE_DIRECTORY";

/// Of such a length that no part of the Basic header is one of the bare secret's
/// base64 as well.
const ID: &str = "a-dumped-client";

/// No page is smaller.
const PAGE: usize = 4096;

/// No part of a needle that is shorter is looked for.
const PART: usize = 16;

/// How the secret comes to a provider, and how it goes to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    /// As a value, in the body of the request.
    Post,
    /// The same, without TLS.
    PostPlain,
    /// From a file, which is read at every fetch.
    File,
    /// From a setting, as `from_env` reads it.
    Setting,
    /// As a value, in a header.
    Basic,
}

impl Case {
    const ALL: [Self; 5] = [
        Self::Post,
        Self::PostPlain,
        Self::File,
        Self::Setting,
        Self::Basic,
    ];

    fn name(self) -> String {
        format!("{self:?}")
    }

    fn holds_it(self) -> bool {
        self != Self::File
    }

    fn has_tls(self) -> bool {
        self != Self::PostPlain
    }

    fn build(self, secret: Zeroizing<Vec<u8>>) -> BloomAuth {
        let origin = variable(ORIGIN);
        let url = format!("{origin}/oauth/token");
        let directory = variable(DIRECTORY);
        let cache = Path::new(&directory).join("cache");
        let text = |mut secret: Zeroizing<Vec<u8>>| {
            String::from_utf8(std::mem::take(&mut *secret)).unwrap()
        };
        if self == Self::Setting {
            return BloomAuth::from_lookup(move |name| {
                let value = match name {
                    "BLOOM_CLIENT_ID" => ID.into(),
                    "BLOOM_CLIENT_SECRET" => OsString::from(text(secret.clone())),
                    "BLOOM_TOKEN_URL" => url.clone().into(),
                    "BLOOM_API_URL" => origin.clone().into(),
                    "BLOOM_AUDIENCE" => variable(AUDIENCE).into(),
                    "BLOOM_CA_FILE" => variable(CA_FILE).into(),
                    "BLOOM_CACHE" => "file".into(),
                    "BLOOM_CACHE_DIR" => cache.clone().into(),
                    _ => return None,
                };
                Some(value)
            })
            .unwrap();
        }
        let environment = Environment::custom(url, origin)
            .audience(variable(AUDIENCE))
            .allow_insecure_loopback()
            .build()
            .unwrap();
        let id = ClientId::new(ID).unwrap();
        let mut builder = BloomAuth::builder()
            .environment(environment)
            .client_authentication(if self == Self::Basic {
                ClientAuthentication::Basic
            } else {
                ClientAuthentication::Post
            })
            .cache(FileCache::in_directory(cache).unwrap());
        builder = if self == Self::File {
            let path = Path::new(&directory).join("secret");
            builder.credentials(FileCredentials::new(id, path))
        } else {
            builder.client(id, ClientSecret::new(text(secret)).unwrap())
        };
        if self.has_tls() {
            builder = builder.ca_file(variable(CA_FILE));
        }
        builder.build().unwrap()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the child is told apart, and told where things are, by its environment"
)]
fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

#[expect(clippy::disallowed_methods, reason = "as above")]
fn variable(name: &str) -> String {
    std::env::var(name).unwrap()
}

#[test]
fn a_core_after_the_last_drop_holds_neither_the_secret_nor_a_derived_key() {
    if let Some(role) = role() {
        let case = Case::ALL.into_iter().find(|case| case.name() == role);
        return child(case.unwrap());
    }
    for case in Case::ALL {
        check(case);
    }
}

/// In the child: gets a token, drops everything, and waits at each step while
/// its memory is read.
fn child(case: Case) {
    let mut parent = Parent::new();
    let threads = threads();
    let secret = parent.receive();
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    // One stores the token, and the other finds it.
    let both = [case.build(secret.clone()), case.build(secret)];
    runtime.block_on(async {
        let [first, second] = &both;
        let token = first.token().await.unwrap();
        assert_eq!(second.token().await.unwrap(), token);
        assert_eq!(second.status().counts.cache_hits, 1);
    });
    parent.wait_at("alive");
    drop(both);
    drop(runtime);
    // Those of the file cache are told to stop, not waited for.
    while self::threads() > threads {
        thread::sleep(Duration::from_millis(10));
    }
    parent.wait_at("dropped");
    let mut planted = Vec::new();
    loop {
        let needle = parent.receive();
        if needle.is_empty() {
            break;
        }
        planted.push(needle);
    }
    parent.wait_at("planted");
    drop(planted);
}

fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

/// The parent, from its child: standard input without a buffer that would
/// keep what went through it.
struct Parent(File);

impl Parent {
    fn new() -> Self {
        let stdin = io::stdin().as_fd().try_clone_to_owned().unwrap();
        Self(stdin.into())
    }

    /// Bytes behind their length.
    fn receive(&mut self) -> Zeroizing<Vec<u8>> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).unwrap();
        let length = u32::from_be_bytes(length) as usize;
        let mut bytes = Zeroizing::new(vec![0; length]);
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    fn wait_at(&mut self, step: &str) {
        let mut out = io::stdout();
        writeln!(out, "\nchild-at={step}").unwrap();
        out.flush().unwrap();
        assert!(self.receive().is_empty());
    }
}

fn check(case: Case) {
    let secret = secret();
    let directory = tempfile::tempdir().unwrap();
    let runtime = Runtime::new().unwrap();
    let mut emulator = Emulator::builder().client(ID, &secret);
    if !case.has_tls() {
        emulator = emulator.plain_http();
    }
    let emulator = runtime.block_on(emulator.start()).unwrap();
    let ca_file = directory.path().join("ca.pem");
    fs::write(&ca_file, emulator.ca_pem().unwrap_or_default()).unwrap();
    fs::write(directory.path().join("secret"), &secret).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", TEST, "--nocapture", "--test-threads=1"])
        .env_clear()
        .env(ROLE, case.name())
        .env(ORIGIN, emulator.origin())
        .env(AUDIENCE, emulator.audience())
        .env(CA_FILE, &ca_file)
        .env(DIRECTORY, directory.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut send = |bytes: &[u8]| {
        let length = u32::try_from(bytes.len()).unwrap();
        stdin.write_all(&length.to_be_bytes()).unwrap();
        stdin.write_all(bytes).unwrap();
    };
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut until = |step: &str| {
        let line = format!("child-at={step}");
        let is_there = lines.any(|said| said.unwrap() == line);
        assert!(is_there, "{case:?}: the child ended before it was {step}");
    };

    send(secret.as_bytes());
    until("alive");
    let alive = match memory(child.id()) {
        Ok(memory) => memory,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            drop(stdin);
            let _ = child.wait();
            return skip(TEST, "may not read the memory of its own child");
        }
        Err(error) => panic!("{error}"),
    };
    let needles = needles(&secret, &directory.path().join("cache"));
    // While it is in use, the secret is there, unless it stands in a file and
    // is read for each fetch.
    let found = find(&alive, &needles);
    let is_held = found.iter().any(|name| name.starts_with("raw"));
    assert_eq!(is_held, case.holds_it(), "{case:?}: {found:?}");
    drop(alive);

    send(b"");
    until("dropped");
    let mut found = find(&memory(child.id()).unwrap(), &needles);
    if case == Case::Basic {
        // hyper writes headers into a buffer of its own, which it only frees.
        found.retain(|name| !name.starts_with("basic"));
    }

    send(b"");
    for (_, needle) in &needles {
        send(needle);
    }
    send(b"");
    until("planted");
    // Whatever is there is found: each needle, by each of its parts.
    let planted = find(&memory(child.id()).unwrap(), &needles);
    let parts = needles.iter().flat_map(parts).count();
    assert_eq!(planted.len(), parts, "{case:?}: {planted:?}");
    send(b"");
    assert!(child.wait().unwrap().success());
    assert_eq!(found, Vec::<String>::new(), "{case:?}");
}

/// Random, so that it is in no binary; with characters that each encoding has
/// a form of its own for, within the block of SHA-256.
fn secret() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}\"\u{e9}+/{:016x}%&=:", random(), random())
}

type Needle = (String, Vec<u8>);

/// What must not be found: the secret in every form that it takes, and the keys
/// that are derived from it, for the names and the one sealed file there are.
fn needles(secret: &str, cache: &Path) -> Vec<Needle> {
    let mut needles: Vec<Needle> = encodings(secret)
        .into_iter()
        // With the id of another test.
        .filter(|(name, _)| *name != "basic")
        .map(|(name, text)| (name.to_owned(), text.into_bytes()))
        .collect();
    let percent = needles.iter().find(|(name, _)| name == "percent").unwrap();
    let percent = String::from_utf8(percent.1.clone()).unwrap();
    let basic = STANDARD_NO_PAD.encode(format!("{ID}:{percent}"));
    // The id alone is no secret.
    needles.push(("basic".to_owned(), basic.as_bytes()[20..].to_vec()));
    // As HMAC takes a key: anybody can undo that.
    for pad in [0x36, 0x5c] {
        let padded = secret.bytes().map(|byte| byte ^ pad).collect();
        needles.push((format!("HMAC's pad {pad:#x}"), padded));
    }
    let (id, client_secret) = (
        ClientId::new(ID).unwrap(),
        ClientSecret::new(secret).unwrap(),
    );
    let tag = ClientCredentials::new(id, client_secret).tag();
    let mut derive = |name: &str, salt: Option<&[u8]>, info: &[&[u8]]| {
        let (between, hkdf) = Hkdf::<Sha256>::extract(salt, secret.as_bytes());
        let mut key = [0; 32];
        hkdf.expand_multi_info(info, &mut key).unwrap();
        needles.push((format!("{name} key"), key.to_vec()));
        needles.push((format!("{name} key, extracted"), between.to_vec()));
    };
    derive("name", None, &[b"bloom-auth name v1"]);
    let sealed = sealed_files(cache);
    assert!(!sealed.is_empty(), "nothing was sealed");
    for sealed in sealed {
        // The salt stands behind `bloomtok` and the version.
        let salt = &sealed[9..41];
        derive("seal", Some(salt), &[b"bloom-auth seal v1", tag.as_bytes()]);
    }
    needles
}

fn sealed_files(cache: &Path) -> Vec<Vec<u8>> {
    let paths = fs::read_dir(cache)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let files = paths.filter(|path| path.is_file());
    let contents = files.map(|path| fs::read(path).unwrap());
    contents
        .filter(|bytes| bytes.starts_with(b"bloomtok"))
        .collect()
}

/// Everything that the process can write to.
fn memory(process: u32) -> io::Result<Vec<Vec<u8>>> {
    let maps = fs::read_to_string(format!("/proc/{process}/maps"))?;
    let memory = File::open(format!("/proc/{process}/mem"))?;
    let mut regions = Vec::new();
    for line in maps.lines() {
        let mut fields = line.split(' ');
        let (range, rights) = (fields.next().unwrap(), fields.next().unwrap());
        if !rights.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|hex| u64::from_str_radix(hex, 16).unwrap());
        // Pages that were never written to are most of them: what is between
        // is a region of its own.
        let mut region = Vec::new();
        for page in (from..to).step_by(PAGE) {
            let mut bytes = [0; PAGE];
            match memory.read_exact_at(&mut bytes, page) {
                Err(error) if error.raw_os_error() == Some(libc::EIO) => {
                    // Taken back since the list was made.
                    bytes = [0; PAGE];
                }
                read => read?,
            }
            if bytes != [0; PAGE] {
                region.extend_from_slice(&bytes);
            } else if !region.is_empty() {
                regions.push(std::mem::take(&mut region));
            }
        }
        regions.push(region);
    }
    Ok(regions)
}

/// The parts of a needle: what is left of one that was half overwritten is
/// found as well.
fn parts((name, needle): &Needle) -> impl Iterator<Item = (String, &[u8])> {
    let last = needle.len() - PART;
    let starts = (0..last).step_by(PART / 2).chain([last]);
    starts.map(move |start| {
        let end = start + PART;
        (format!("{name} [{start}..{end}]"), &needle[start..end])
    })
}

/// The names of those parts that are there.
fn find(memory: &[Vec<u8>], needles: &[Needle]) -> Vec<String> {
    let parts: Vec<_> = needles.iter().flat_map(parts).collect();
    // One look at most places.
    let mut begins = vec![false; 1 << 16];
    for (_, part) in &parts {
        begins[usize::from(u16::from_le_bytes([part[0], part[1]]))] = true;
    }
    let mut is_found = vec![false; parts.len()];
    for region in memory {
        for window in region.windows(PART) {
            if !begins[usize::from(u16::from_le_bytes([window[0], window[1]]))] {
                continue;
            }
            for (found, (_, part)) in is_found.iter_mut().zip(&parts) {
                *found |= window == *part;
            }
        }
    }
    let found = parts.into_iter().zip(is_found);
    found
        .filter_map(|((name, _), is_found)| is_found.then_some(name))
        .collect()
}
