//! Where a user's caches are: the platform's convention, from an injected
//! look-up of environment variables.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use bloom_auth_core::ConfigurationError;

/// Our directory among the user's caches.
const OURS: &str = "bloom-auth";

/// The platform's directory for caches, and ours in it. If there is none,
/// nothing is made up, such as a place in `/tmp`.
pub(super) fn default(
    lookup: &dyn Fn(&str) -> Option<OsString>,
) -> Result<PathBuf, ConfigurationError> {
    let variables: &[(&str, &[&str])] = if cfg!(windows) {
        &[("LOCALAPPDATA", &[])]
    } else if cfg!(target_vendor = "apple") {
        &[("HOME", &["Library", "Caches"])]
    } else {
        &[("XDG_CACHE_HOME", &[]), ("HOME", &[".cache"])]
    };
    for (variable, below) in variables {
        // The XDG specification has relative paths ignored; an empty one is
        // one of them.
        let base = lookup(variable).map(PathBuf::from);
        if let Some(mut directory) = base.filter(|base| base.is_absolute()) {
            directory.extend(*below);
            directory.push(OURS);
            return Ok(plain(&directory));
        }
    }
    let names: Vec<_> = variables.iter().map(|(name, _)| *name).collect();
    let problem = match names.as_slice() {
        [one, other] => format!("neither {one} nor {other} holds an absolute path"),
        names => format!("{} holds no absolute path", names.join(" or ")),
    };
    Err(ConfigurationError::new(
        "cache directory",
        format!("cannot be found: {problem}"),
        "name a directory that only this user can write to",
    ))
}

/// A directory that was given.
pub(super) fn given(path: &Path) -> Result<PathBuf, ConfigurationError> {
    if path.is_absolute() {
        return Ok(plain(path));
    }
    // Not what it is: that could be a secret which was put here by mistake.
    let problem = if path.as_os_str().is_empty() {
        "is empty"
    } else {
        "is relative"
    };
    Err(ConfigurationError::new(
        "cache directory",
        problem,
        "use an absolute path: the same one wherever a program is started",
    ))
}

/// Without a separator at the end, by which a link would be followed.
fn plain(path: &Path) -> PathBuf {
    path.components().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(all(unix, not(target_vendor = "apple")))]
    #[test]
    fn d6_the_directory_is_the_users_own_or_there_is_none() {
        use std::os::unix::ffi::OsStringExt as _;

        let odd = OsString::from_vec(b"/home/\xff".to_vec());
        let check =
            |xdg: Option<&OsString>, home: Option<&OsString>, expected: Option<&OsString>| {
                let lookup = |name: &str| match name {
                    "XDG_CACHE_HOME" => xdg.cloned(),
                    "HOME" => home.cloned(),
                    // Whoever asks for TMPDIR gets the worst answer.
                    _ => Some("/tmp".into()),
                };
                let found = default(&lookup).ok();
                let case = format!("{xdg:?} {home:?}");
                assert_eq!(found, expected.map(PathBuf::from), "{case}");
            };
        let text = |text: &str| OsString::from(text);
        let (home, xdg) = (text("/home/a"), text("/var/cache/a"));
        let (ours, in_home) = (
            text("/var/cache/a/bloom-auth"),
            text("/home/a/.cache/bloom-auth"),
        );
        check(Some(&xdg), Some(&home), Some(&ours));
        check(Some(&xdg), None, Some(&ours));
        check(None, Some(&home), Some(&in_home));
        for bad in ["", "cache", "./cache", "../cache"].map(text) {
            check(Some(&bad), Some(&home), Some(&in_home));
            check(Some(&bad), Some(&bad), None);
            check(None, Some(&bad), None);
        }
        check(None, None, None);
        let mut in_odd = odd.clone();
        in_odd.push("/.cache/bloom-auth");
        check(None, Some(&odd), Some(&in_odd));
        let error = default(&|_| None).unwrap_err().to_string();
        assert!(
            error.contains("neither XDG_CACHE_HOME nor HOME holds an"),
            "{error}"
        );
        assert!(!error.contains("/tmp"), "{error}");
    }

    #[test]
    fn d6_a_relative_directory_is_refused() {
        for path in ["", "cache", "./cache"] {
            let error = given(Path::new(path)).unwrap_err();
            assert_eq!(error.setting(), "cache directory");
        }
        let here = std::env::current_exe().unwrap();
        assert_eq!(given(&here).unwrap(), here);
    }
}
