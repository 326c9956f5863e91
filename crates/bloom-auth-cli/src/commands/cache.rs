//! `bloom-auth cache`: what the directory holds.

use bloom_auth::FileCache;
use serde_json::json;

use super::Context;
use crate::{
    args::{CacheAction, CacheArgs},
    exit::Failure,
    output::{self, time},
    settings::{Settings, names},
};

pub(crate) fn run(args: &CacheArgs, context: &Context) -> Result<(), Failure> {
    let args_of_settings = match &args.action {
        CacheAction::List(list) => &list.settings,
        CacheAction::Clear(settings) | CacheAction::Path(settings) => settings,
    };
    let cache = of(&context.settings(args_of_settings)?)?;
    let path = cache.directory().display();
    match &args.action {
        CacheAction::Path(_) => output::print(format!("{path}\n").as_bytes()),
        CacheAction::Clear(_) => {
            let removed = cache.clear()?;
            output::print(format!("removed {removed} from {path}\n").as_bytes())
        }
        CacheAction::List(list) => {
            let entries = cache.entries()?;
            let kind = |is_refusal| if is_refusal { "refusal" } else { "token" };
            if list.json {
                let entries = entries.iter().map(|entry| {
                    json!({
                        "name": entry.name,
                        "kind": kind(entry.is_refusal),
                        "written_at": time::rfc3339(entry.modified),
                    })
                });
                let list: Vec<_> = entries.collect();
                let object = json!({ "directory": path.to_string(), "entries": list });
                return output::print(format!("{object}\n").as_bytes());
            }
            let mut text = String::new();
            for entry in entries {
                let age = time::now()
                    .duration_since(entry.modified)
                    .unwrap_or_default();
                let short: String = entry.name.chars().take(12).collect();
                let (kind, age) = (kind(entry.is_refusal), time::for_people(age));
                text += &format!("{short}  {kind:8}  {age} old\n");
            }
            output::print(text.as_bytes())
        }
    }
}

/// The file cache of these settings, whether it is used or not.
pub(crate) fn of(settings: &Settings) -> Result<FileCache, Failure> {
    let mut builder = FileCache::builder().lookup(settings.lookup());
    if let Some(directory) = settings.lookup()(names::CACHE_DIR) {
        builder = builder.directory(directory);
    }
    builder.build().map_err(|error| settings.failure(&error))
}

/// Whether the settings say to keep tokens in files.
pub(crate) fn is_chosen(settings: &Settings) -> bool {
    settings
        .get(names::CACHE)
        .is_some_and(|value| value.value.as_slice() == b"file")
}
