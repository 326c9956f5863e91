//! Files of the cache: whatever is in one, it is a record that was sealed for this client and comes
//! from no future, or it is a miss; never an error, and never in the way of the next record.
//!
//! Lines `seal` (`yes` to seal the body first), `cut` (how many bytes are cut off) and `then`
//! (`store` to put a record in its place); the body is what is in the files.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::PathBuf,
    sync::{Mutex, OnceLock, PoisonError},
    time::{Duration, SystemTime},
};

use bloom_auth_cache::FileCache;
use bloom_auth_core::{CacheRecord, Clock as _, TokenCache as _, test_util::ManualClock};
use tokio::runtime::{Builder, Runtime};

use crate::{message::Message, sealed::Holder};

/// Further in the future than this, nothing is believed.
const MAX_CLOCK_DIFFERENCE: Duration = Duration::from_secs(300);

/// Tries one input.
pub fn run(input: &[u8]) {
    static PLACE: OnceLock<Mutex<Place>> = OnceLock::new();
    let place = PLACE.get_or_init(|| Mutex::new(Place::new()));
    let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);

    let message = Message::parse(input);
    let mut contents = match message.text("seal") {
        Some("yes") => place.holder.seal(message.body),
        _ => message.body.to_vec(),
    };
    let cut = message.number("cut").unwrap_or(0);
    contents.truncate(contents.len().saturating_sub(cut));
    place.write(&contents);

    let Place { holder, cache, .. } = &*place;
    let access = &holder.access;
    let now = ManualClock::new().now().system_time();
    let record = holder.sealer.open(access, &contents).ok();
    let record = record.filter(|record| record.sent_at() <= now + MAX_CLOCK_DIFFERENCE);
    let loaded = place.runtime.block_on(cache.load(access));
    assert!(loaded.is_ok(), "{loaded:?}");
    assert_eq!(loaded.ok().flatten(), record);
    let refusal = place.runtime.block_on(cache.load_refusal(access));
    assert!(refusal.is_ok(), "{refusal:?}");
    assert_eq!(
        refusal.ok().flatten(),
        holder.sealer.open_refusal(access, &contents).ok()
    );

    if message.text("then") == Some("store") {
        let next = match CacheRecord::new("next", None, now, Duration::from_secs(60)) {
            Ok(next) => next,
            Err(error) => panic!("{error}"),
        };
        let is_later = |record: &CacheRecord| {
            record.sent_at() > next.sent_at() && record.token().expires_at() > now
        };
        let stored = place.runtime.block_on(cache.store(access, &next));
        assert!(stored.is_ok(), "{stored:?}");
        let loaded = place.runtime.block_on(cache.load(access));
        let expected = record.filter(is_later).unwrap_or(next);
        assert_eq!(loaded.ok().flatten(), Some(expected));
        place.files = None;
    }
}

/// A directory with a cache in it.
struct Place {
    directory: PathBuf,
    name: String,
    holder: Holder,
    cache: FileCache,
    runtime: Runtime,
    /// The files of the record and of the refusal, kept open to be written quickly.
    files: Option<[File; 2]>,
}

impl Place {
    fn new() -> Self {
        let holder = Holder::of_secret();
        let name = holder.sealer.name(&holder.access).unwrap_or_default();
        let name = name.iter().map(|byte| format!("{byte:02x}")).collect();
        // One for each process: several may look at once.
        let folder = format!("{}/../../target/fuzz-files", env!("CARGO_MANIFEST_DIR"));
        let made = fs::create_dir_all(&folder).and_then(|()| fs::canonicalize(folder));
        let directory = made.map(|folder| folder.join(std::process::id().to_string()));
        let directory = directory.unwrap_or_else(|error| panic!("{error}"));
        let cache = FileCache::builder()
            .directory(&directory)
            .clock(ManualClock::new())
            .build();
        let cache = cache.unwrap_or_else(|error| panic!("{error}"));
        let runtime = Builder::new_current_thread().build();
        let place = Self {
            directory,
            name,
            holder,
            cache,
            runtime: runtime.unwrap_or_else(|error| panic!("{error}")),
            files: None,
        };
        // Makes the directory.
        let record = CacheRecord::new("first", None, SystemTime::UNIX_EPOCH, Duration::ZERO);
        let record = record.unwrap_or_else(|error| panic!("{error}"));
        let stored = place.cache.store(&place.holder.access, &record);
        let stored = place.runtime.block_on(stored);
        stored.unwrap_or_else(|error| panic!("{error}"));
        place
    }

    fn write(&mut self, contents: &[u8]) {
        if self.files.is_none() {
            let open = |ending: &str| {
                let path = self.directory.join(format!("{}.v1.{ending}", self.name));
                let mut options = OpenOptions::new();
                options.write(true).create(true).truncate(true);
                #[cfg(unix)]
                std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
                let file = options.open(path);
                file.unwrap_or_else(|error| panic!("{error}"))
            };
            self.files = Some([open("token"), open("refusal")]);
        }
        for file in self.files.iter_mut().flatten() {
            let written = file
                .set_len(0)
                .and_then(|()| std::io::Seek::rewind(file))
                .and_then(|()| file.write_all(contents));
            written.unwrap_or_else(|error| panic!("{error}"));
        }
    }
}
