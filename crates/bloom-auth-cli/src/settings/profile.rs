//! `bloom-auth.toml`: where it is, what may stand in it, and who may read it.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};
use zeroize::Zeroizing;

use super::names::{self, SETTINGS, Setting};
use crate::exit::Failure;

pub(crate) const FILE: &str = "bloom-auth.toml";

/// More than any settings need.
const MAX_BYTES: u64 = 256 * 1024;

const PROFILES: &str = "profiles";
const DEFAULT_PROFILE: &str = "default_profile";
const KEYRING: &str = "keyring";

/// A value from the file, and where it stands.
pub(crate) struct Entry {
    pub(crate) setting: &'static Setting,
    pub(crate) value: Zeroizing<String>,
    pub(crate) line: usize,
}

/// What the file says for one profile; later entries are stronger.
#[derive(Default)]
pub(crate) struct Profile {
    pub(crate) name: Option<String>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) keyring: Option<bool>,
}

/// The platform's place for it.
pub(crate) fn default_path(lookup: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let variables: &[(&str, &[&str])] = if cfg!(windows) {
        &[("APPDATA", &[])]
    } else if cfg!(target_vendor = "apple") {
        &[("HOME", &["Library", "Application Support"])]
    } else {
        &[("XDG_CONFIG_HOME", &[]), ("HOME", &[".config"])]
    };
    variables.iter().find_map(|(variable, below)| {
        // As for the cache: relative ones do not count.
        let base = lookup(variable).map(PathBuf::from);
        let mut path = base.filter(|base| base.is_absolute())?;
        path.extend(*below);
        path.push(FILE);
        Some(path)
    })
}

/// Reads the file, for this profile or the one that it names itself; `None` if
/// there is no file.
pub(crate) fn read(path: &Path, profile: Option<&str>) -> Result<Option<Profile>, Failure> {
    let shown = path.display();
    let unreadable =
        |error: io::Error| Failure::settings(format!("{shown} cannot be read: {error}"));
    // Asked before opening: to open a FIFO would wait for a writer.
    let size = match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => metadata.len(),
        Ok(_) => return Err(Failure::settings(format!("{shown} is not a regular file"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let file = File::open(path).map_err(unreadable)?;
    let rights = Rights::of(&file).map_err(unreadable)?;
    if rights.all_write {
        return Err(Failure::settings(format!(
            "{shown} can be written to by everybody, who could have the secret sent elsewhere: \
             look at what it says, and run `chmod 600 {}`",
            crate::output::shell::quoted(&path.to_string_lossy()),
        )));
    }
    // It may hold a secret, parts of which a buffer that had to grow would leave
    // behind.
    let room = usize::try_from(size.min(MAX_BYTES) + 1).unwrap_or(0);
    let mut text = Zeroizing::new(String::with_capacity(room));
    file.take(MAX_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(Failure::settings(format!(
            "{shown} is larger than any settings"
        )));
    }
    let parsed =
        parse(&text, profile).map_err(|wrong| Failure::settings(format!("{shown}{wrong}")))?;
    if rights.others_read && parsed.holds_secret {
        return Err(Failure::settings(format!(
            "{shown} holds a client secret and can be read by others: run `chmod 600 {}`, and \
             have the secret replaced if others use this machine",
            crate::output::shell::quoted(&path.to_string_lossy()),
        )));
    }
    Ok(Some(parsed.profile))
}

/// What others may do with the file.
#[derive(Default)]
struct Rights {
    others_read: bool,
    all_write: bool,
}

impl Rights {
    #[cfg(unix)]
    fn of(file: &File) -> io::Result<Self> {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = file.metadata()?.permissions().mode();
        Ok(Self {
            others_read: mode & 0o044 != 0,
            all_write: mode & 0o002 != 0,
        })
    }

    /// They are inherited from the directory there.
    #[cfg(not(unix))]
    #[expect(clippy::unnecessary_wraps, reason = "as on Unix")]
    fn of(_: &File) -> io::Result<Self> {
        Ok(Self::default())
    }
}

struct Parsed {
    profile: Profile,
    /// In whichever profile.
    holds_secret: bool,
}

/// What is wrong begins with the line, and repeats no value.
fn parse(text: &str, wanted: Option<&str>) -> Result<Parsed, String> {
    // Looked for once: every value has a line, and there may be many.
    let line_ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
    let line = |at: usize| line_ends.partition_point(|end| *end < at) + 1;
    let wrong = |at: usize, problem: &str| format!(", line {}: {problem}", line(at));
    let document = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        // The message alone: the rest of it shows the line, which may be a secret's.
        wrong(at, error.message())
    })?;
    let document = document.get_ref();
    let mut parsed = Parsed {
        profile: Profile::default(),
        holds_secret: false,
    };
    let mut base = Vec::new();
    let mut base_keyring = None;
    let mut profiles = Vec::new();
    let mut default = None;
    for (key, value) in document {
        match (key.get_ref().as_ref(), value.get_ref()) {
            (PROFILES, DeValue::Table(tables)) => {
                for (name, table) in tables {
                    let DeValue::Table(table) = table.get_ref() else {
                        let problem = "a profile is a table: `[profiles.NAME]`";
                        return Err(wrong(name.span().start, problem));
                    };
                    profiles.push((name.get_ref().as_ref(), table));
                }
            }
            (PROFILES, _) => {
                return Err(wrong(
                    key.span().start,
                    "profiles are tables: `[profiles.NAME]`",
                ));
            }
            (DEFAULT_PROFILE, DeValue::String(name)) => {
                default = Some((name.as_ref(), key.span().start))
            }
            (DEFAULT_PROFILE, _) => {
                return Err(wrong(
                    key.span().start,
                    "`default_profile` is the name of a profile",
                ));
            }
            _ => entry(key, value, &line, true, &mut base, &mut base_keyring)
                .map_err(|problem| wrong(key.span().start, &problem))?,
        }
    }
    let mut found = None;
    let chosen = wanted
        .map(|name| (name, None))
        .or_else(|| default.map(|(name, at)| (name, Some(at))));
    // All of them are checked, so that a mistake is found before it matters.
    for (name, table) in &profiles {
        let (mut entries, mut keyring) = (Vec::new(), None);
        for (key, value) in *table {
            entry(key, value, &line, false, &mut entries, &mut keyring)
                .map_err(|problem| wrong(key.span().start, &problem))?;
        }
        parsed.holds_secret |= holds_secret(&entries);
        if chosen.is_some_and(|(chosen, _)| chosen == *name) {
            found = Some((entries, keyring));
        }
    }
    parsed.holds_secret |= holds_secret(&base);
    if let Some((name, at)) = chosen {
        let Some((entries, keyring)) = found else {
            let names = profiles.iter().map(|(name, _)| *name);
            let all: Vec<_> = names.clone().map(|name| format!("`{name}`")).collect();
            let hint = match names::nearest(name, names) {
                Some(near) => format!("; did you mean `{near}`?"),
                None if all.is_empty() => "; it has none".to_owned(),
                None => format!("; it has {}", all.join(", ")),
            };
            let problem = format!("has no profile `{name}`{hint}");
            return Err(at.map_or_else(|| format!(" {problem}"), |at| wrong(at, &problem)));
        };
        parsed.profile.name = Some(name.to_owned());
        drop_weaker_secrets(&mut base, &entries, keyring);
        base.extend(entries);
        base_keyring = keyring.or(base_keyring);
    }
    parsed.profile.entries = base;
    parsed.profile.keyring = base_keyring;
    Ok(parsed)
}

/// A profile with a secret of its own does not want that of all profiles.
fn drop_weaker_secrets(base: &mut Vec<Entry>, entries: &[Entry], keyring: Option<bool>) {
    if keyring == Some(true) || entries.iter().any(|entry| is_secret(entry.setting)) {
        base.retain(|entry| !is_secret(entry.setting));
    }
}

pub(crate) fn is_secret(setting: &Setting) -> bool {
    [names::CLIENT_SECRET, names::CLIENT_SECRET_FILE].contains(&setting.variable)
}

fn holds_secret(entries: &[Entry]) -> bool {
    entries
        .iter()
        .any(|entry| entry.setting.variable == names::CLIENT_SECRET)
}

fn entry(
    key: &Spanned<std::borrow::Cow<'_, str>>,
    value: &Spanned<DeValue<'_>>,
    line: &dyn Fn(usize) -> usize,
    is_top: bool,
    entries: &mut Vec<Entry>,
    keyring: &mut Option<bool>,
) -> Result<(), String> {
    let name = key.get_ref().as_ref();
    if name == KEYRING {
        let DeValue::Boolean(value) = value.get_ref() else {
            return Err("`keyring` is `true` or `false`".to_owned());
        };
        *keyring = Some(*value);
        return Ok(());
    }
    let Some(setting) = SETTINGS.iter().find(|setting| setting.key == name) else {
        let of_the_file: &[&str] = if is_top {
            &[PROFILES, DEFAULT_PROFILE]
        } else {
            &[]
        };
        let known = SETTINGS.iter().map(|setting| setting.key);
        let known = known.chain([KEYRING]).chain(of_the_file.iter().copied());
        // It may be a secret that was put on the wrong side, which would be longer.
        return Err(match names::nearest(name, known) {
            Some(near) => format!("unknown key `{name}`; did you mean `{near}`?"),
            None if name.len() <= 12 => {
                format!("unknown key `{name}`; the README lists those that there are")
            }
            None => "unknown key; the README lists those that there are".to_owned(),
        });
    };
    let text = match value.get_ref() {
        DeValue::String(text) => text.as_ref().to_owned(),
        DeValue::Boolean(value) if setting.variable == names::ALLOW_INSECURE_LOOPBACK => {
            value.to_string()
        }
        _ => return Err(format!("`{name}` is a text in quotes")),
    };
    entries.push(Entry {
        setting,
        value: Zeroizing::new(text),
        line: line(key.span().start),
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
client_id = 'base'
client_secret_file = 'a'
default_profile = 'live'

[profiles.live]
environment = 'production'
client_secret = 'canary'

[profiles.test]
allow_insecure_loopback = true
client_id = 'test'
";

    fn values(text: &str, profile: Option<&str>) -> Vec<(&'static str, String, usize)> {
        let parsed = parse(text, profile).unwrap_or_else(|error| panic!("{error}"));
        let entries = parsed.profile.entries.iter();
        entries
            .map(|it| (it.setting.key, it.value.to_string(), it.line))
            .collect()
    }

    #[test]
    fn a_profile_lies_over_what_is_for_all() {
        let own = |rows: &[(&'static str, &str, usize)]| -> Vec<(&'static str, String, usize)> {
            let own = |(key, value, line): &(&'static str, &str, usize)| {
                (*key, (*value).to_owned(), *line)
            };
            rows.iter().map(own).collect()
        };
        let live = own(&[
            ("client_id", "base", 1),
            ("client_secret", "canary", 7),
            ("environment", "production", 6),
        ]);
        let mut found = values(FILE, None);
        found.sort();
        assert_eq!(found, live);
        let test = own(&[
            ("client_id", "base", 1),
            ("client_secret_file", "a", 2),
            ("allow_insecure_loopback", "true", 10),
            ("client_id", "test", 11),
        ]);
        assert_eq!(values(FILE, Some("test")), test);
    }

    #[test]
    fn k13_what_is_wrong_is_named_with_its_line_and_the_nearest_key() {
        for (text, profile, expected) in [
            (
                "client_idd = 'x'",
                None,
                ", line 1: unknown key `client_idd`; did you mean `client_id`?",
            ),
            (
                "\n[profiles.a]\ncolour = 'canary'",
                None,
                ", line 3: unknown key `colour`; the README lists those that there are",
            ),
            // It may be a secret that was put on the wrong side.
            (
                "canary-0123456789 = 'client_secret'",
                None,
                ", line 1: unknown key; the README lists those that there are",
            ),
            (
                "client_certificate_fil = 'x'",
                None,
                ", line 1: unknown key `client_certificate_fil`; did you mean \
                 `client_certificate_file`?",
            ),
            (
                "profile = 1",
                None,
                ", line 1: unknown key `profile`; did you mean `profiles`?",
            ),
            (
                "client_id = 1",
                None,
                ", line 1: `client_id` is a text in quotes",
            ),
            (
                "[profiles.live]",
                Some("lvie"),
                " has no profile `lvie`; did you mean `live`?",
            ),
            (
                "[profiles.live]",
                Some("other"),
                " has no profile `other`; it has `live`",
            ),
            ("", Some("other"), " has no profile `other`; it has none"),
            (
                "default_profile = 'x'",
                None,
                ", line 1: has no profile `x`; it has none",
            ),
            (
                "profiles = 1",
                None,
                ", line 1: profiles are tables: `[profiles.NAME]`",
            ),
            (
                "keyring = 'yes'",
                None,
                ", line 1: `keyring` is `true` or `false`",
            ),
        ] {
            let Err(error) = parse(text, profile) else {
                panic!("{text}");
            };
            assert_eq!(error, expected);
        }
        let Err(error) = parse("a = 'x'\nclient_secret = 'canary", None) else {
            panic!("it is not closed");
        };
        assert!(error.starts_with(", line 2: "), "{error}");
        assert!(!error.contains("canary"), "{error}");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the time itself is measured")]
    fn a_large_file_takes_time_that_grows_with_its_size_alone() {
        let time = |profiles: usize| {
            let profile = |n: usize| format!("[profiles.p{n}]\nscope = 'x'\n");
            let text: String = (0..profiles).map(profile).collect();
            assert!(text.len() as u64 <= MAX_BYTES);
            let once = || {
                let start = std::time::Instant::now();
                assert!(parse(&text, Some("p0")).is_ok());
                start.elapsed()
            };
            (0..3).map(|_| once()).min().unwrap_or_default()
        };
        let (small, large) = (time(500), time(8_000));
        assert!(large < small * 64, "{small:?}, then {large:?}");
    }

    #[test]
    fn k12_a_secret_counts_in_whichever_profile() {
        assert!(parse(FILE, Some("test")).is_ok_and(|parsed| parsed.holds_secret));
        assert!(parse("client_secret_file = 'x'", None).is_ok_and(|parsed| !parsed.holds_secret));
    }
}
