//! From what was typed, set and written to the settings that count, each with
//! where it came from.

pub(crate) mod names;
mod profile;
pub(crate) mod secret;

use std::{
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bloom_auth::{BloomAuthBuilder, ConfigurationError, core::EnvironmentLookup};
use zeroize::Zeroizing;

use self::names::{SETTINGS, Setting};
use crate::{args::SettingsArgs, exit::Failure};

/// The process's environment, or a test's.
#[derive(Clone)]
pub(crate) struct Environment {
    pub(crate) lookup: Arc<EnvironmentLookup>,
    pub(crate) names: Vec<String>,
}

impl Environment {
    fn get(&self, name: &str) -> Option<OsString> {
        (self.lookup)(name)
    }
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Flag(&'static str),
    Variable(&'static str),
    File {
        key: &'static str,
        path: PathBuf,
        line: usize,
    },
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => f.write_str(flag),
            Self::Variable(variable) => f.write_str(variable),
            Self::File { key, path, line } => {
                write!(f, "`{key}` in {}, line {line}", path.display())
            }
            Self::Default => f.write_str("default"),
        }
    }
}

#[derive(Clone)]
pub(crate) struct Value {
    pub(crate) setting: &'static Setting,
    /// It may be the secret.
    pub(crate) value: Zeroizing<Vec<u8>>,
    pub(crate) origin: Origin,
}

/// The settings that count.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) values: Vec<Value>,
    pub(crate) profile: Option<String>,
    /// The file that was read.
    pub(crate) config: Option<PathBuf>,
    pub(crate) warnings: Vec<String>,
    environment: Environment,
}

/// Who may say something, from the strongest to the weakest.
type Layer = Vec<Value>;

pub(crate) fn resolve(args: &SettingsArgs, environment: &Environment) -> Result<Settings, Failure> {
    let mut warnings = misspelled(environment);
    let (config, file) = file(args, environment)?;
    let mut layers: [Layer; 3] = [flags(args)?, variables(environment), Vec::new()];
    let mut keyring = args.keyring;
    let mut profile = None;
    if let (Some(path), Some(file)) = (&config, file) {
        keyring |= file.keyring == Some(true) && !layers.iter().any(has_secret);
        layers[2] = entries(path, file.entries)?;
        profile = file.name;
    }
    // One of them says where the secret is; what the others say of it is not
    // to be mixed in.
    if let Some(strongest) = layers.iter().position(has_secret) {
        for layer in layers.iter_mut().skip(strongest + 1) {
            layer.retain(|value| !profile::is_secret(value.setting));
        }
    }
    let mut values: Vec<Value> = Vec::new();
    for layer in layers {
        // Within a file the later entry is the stronger one.
        for value in layer.into_iter().rev() {
            if !values
                .iter()
                .any(|it| it.setting.variable == value.setting.variable)
            {
                values.push(value);
            }
        }
    }
    if keyring {
        let id = text(&values, names::CLIENT_ID);
        let secret = secret::from_keyring(id.as_deref())?;
        values.retain(|value| !profile::is_secret(value.setting));
        values.extend(value_of(
            names::CLIENT_SECRET,
            secret.as_bytes(),
            Origin::Flag("--keyring"),
        ));
    }
    if text(&values, names::CACHE).is_none() {
        values.extend(value_of(names::CACHE, b"file", Origin::Default));
    }
    warnings.extend(secret_files_for_all(&values));
    Ok(Settings {
        values,
        profile,
        config,
        warnings,
        environment: environment.clone(),
    })
}

impl Settings {
    pub(crate) fn get(&self, variable: &str) -> Option<&Value> {
        self.values
            .iter()
            .find(|it| it.setting.variable == variable)
    }

    /// A builder for it. Its errors name where the value at fault came from.
    pub(crate) fn builder(&self) -> Result<BloomAuthBuilder, Failure> {
        BloomAuthBuilder::from_lookup(self.lookup()).map_err(|error| self.failure(&error))
    }

    pub(crate) fn build(&self) -> Result<bloom_auth::BloomAuth, Failure> {
        self.finish(self.builder()?)
    }

    pub(crate) fn finish(
        &self,
        builder: BloomAuthBuilder,
    ) -> Result<bloom_auth::BloomAuth, Failure> {
        builder.build().map_err(|error| self.failure(&error))
    }

    pub(crate) fn lookup(&self) -> impl Fn(&str) -> Option<OsString> + Send + Sync + 'static {
        let (values, environment) = (self.values.clone(), self.environment.clone());
        move |name| {
            let value = values.iter().find(|it| it.setting.variable == name);
            match value {
                Some(value) => os_string(&value.value),
                // Others are not ours to decide: where the cache directory is.
                None if SETTINGS.iter().any(|setting| setting.variable == name) => None,
                None => environment.get(name),
            }
        }
    }

    pub(crate) fn failure(&self, error: &ConfigurationError) -> Failure {
        // By what the facade calls it, with or without what of it is wrong.
        let setting = error.setting();
        let (variable, rest) = setting
            .find(|c: char| !(c.is_ascii_uppercase() || c == '_'))
            .map_or((setting, ""), |at| setting.split_at(at));
        let Some(known) = known(variable).or_else(|| by_words(setting)) else {
            return Failure::settings(error.to_string());
        };
        let rest = if known.variable == variable { rest } else { "" };
        let mut failure = Failure::settings(error.to_string());
        if let Some(Value { origin, .. }) = self.get(known.variable) {
            let named = match origin {
                Origin::Variable(_) | Origin::Default => known.variable.to_owned(),
                other => other.to_string(),
            };
            failure.message = error
                .clone()
                .for_setting(format!("{named}{rest}"))
                .to_string();
        } else if error.to_string().contains("is not set") {
            failure.message.push_str(
                "; --client-id and --client-secret-file, or a profile in bloom-auth.toml, do too",
            );
        }
        failure
    }
}

fn known(variable: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.variable == variable)
}

/// What a builder calls the settings that it checks last.
fn by_words(setting: &str) -> Option<&'static Setting> {
    let words = [
        ("scope", names::SCOPE),
        ("CA file", names::CA_FILE),
        ("client certificate file", names::CLIENT_CERTIFICATE_FILE),
        ("client id", names::CLIENT_ID),
    ];
    let found = words.iter().find(|(words, _)| setting.starts_with(words));
    found.and_then(|(_, variable)| known(variable))
}

fn value_of(variable: &str, value: &[u8], origin: Origin) -> Option<Value> {
    Some(Value {
        setting: known(variable)?,
        value: Zeroizing::new(value.to_vec()),
        origin,
    })
}

fn has_secret(layer: &Layer) -> bool {
    layer.iter().any(|value| profile::is_secret(value.setting))
}

fn text(values: &[Value], variable: &str) -> Option<String> {
    let value = values.iter().find(|it| it.setting.variable == variable)?;
    String::from_utf8(value.value.to_vec()).ok()
}

fn flags(args: &SettingsArgs) -> Result<Layer, Failure> {
    let mut layer = Vec::new();
    for setting in SETTINGS {
        if let Some(value) = args.get(setting.variable) {
            layer.push(Value {
                setting,
                value: Zeroizing::new(value.into_bytes()),
                origin: Origin::Flag(setting.flag),
            });
        }
    }
    if args.secret_stdin {
        let secret = secret::from_stdin()?;
        let origin = Origin::Flag("--secret-stdin");
        layer.extend(value_of(names::CLIENT_SECRET, secret.as_bytes(), origin));
    }
    Ok(layer)
}

fn variables(environment: &Environment) -> Layer {
    let value = |setting: &'static Setting| {
        let value = environment.get(setting.variable)?;
        Some(Value {
            setting,
            value: Zeroizing::new(value.into_encoded_bytes()),
            origin: Origin::Variable(setting.variable),
        })
    };
    SETTINGS.iter().filter_map(value).collect()
}

fn entries(path: &Path, entries: Vec<profile::Entry>) -> Result<Layer, Failure> {
    let mut layer = Vec::new();
    for profile::Entry {
        setting,
        value,
        line,
    } in entries
    {
        let value = if setting.is_path {
            let directory = path.parent().unwrap_or_else(|| Path::new(""));
            let whole = std::path::absolute(directory).map(|it| it.join(&*value));
            whole
                .map_err(|error| Failure::settings(format!("no current directory: {error}")))?
                .into_os_string()
                .into_encoded_bytes()
        } else {
            value.as_bytes().to_vec()
        };
        let path = path.to_owned();
        layer.push(Value {
            setting,
            value: Zeroizing::new(value),
            origin: Origin::File {
                key: setting.key,
                path,
                line,
            },
        });
    }
    Ok(layer)
}

/// The file of settings, if there is one, and what it says.
fn file(
    args: &SettingsArgs,
    environment: &Environment,
) -> Result<(Option<PathBuf>, Option<profile::Profile>), Failure> {
    for name in [names::PROFILE, names::CONFIG] {
        if environment.get(name).is_some_and(|value| value.is_empty()) {
            return Err(Failure::settings(format!(
                "{name} is set, but empty: unset it, or give it a value"
            )));
        }
    }
    let name = match (&args.profile, environment.get(names::PROFILE)) {
        (Some(name), _) => Some(name.clone()),
        (None, Some(name)) => Some(name.into_string().map_err(|_| {
            Failure::settings(format!("{} is not UTF-8: name a profile", names::PROFILE))
        })?),
        (None, None) => None,
    };
    let given = args
        .config
        .clone()
        .or_else(|| environment.get(names::CONFIG).map(PathBuf::from));
    let is_given = given.is_some();
    let path = given.or_else(|| profile::default_path(&*environment.lookup));
    let read = match &path {
        Some(path) => profile::read(path, name.as_deref())?,
        None => None,
    };
    match (read, name) {
        (Some(profile), _) => Ok((path, Some(profile))),
        (None, None) if !is_given => Ok((None, None)),
        (None, name) => {
            let wanted = name.map_or_else(String::new, |name| format!(" for profile `{name}`"));
            let place = path.map_or_else(
                || format!("no directory for {}", profile::FILE),
                |path| format!("no file {}", path.display()),
            );
            Err(Failure::settings(format!("there is {place}{wanted}")))
        }
    }
}

/// Variables that look like ours, and are none.
fn misspelled(environment: &Environment) -> Vec<String> {
    let others = [names::CONFIG, names::PROFILE];
    let known = || {
        let ours = SETTINGS.iter().map(|setting| setting.variable);
        ours.chain(others).chain(names::OUTPUT.iter().copied())
    };
    let mut warnings = Vec::new();
    for name in &environment.names {
        if !name.starts_with("BLOOM_") || known().any(|known| known == name) {
            continue;
        }
        if let Some(near) = names::nearest(name, known())
            && strsim::osa_distance(name, near) <= 2
        {
            warnings.push(format!("{name} is no setting; did you mean {near}?"));
        }
    }
    warnings
}

/// Where secrets are mounted for a service, everybody may read them by default,
/// so that this is no error.
#[cfg(unix)]
fn secret_files_for_all(values: &[Value]) -> Vec<String> {
    use std::os::unix::fs::PermissionsExt as _;
    let files = [
        (names::CLIENT_SECRET_FILE, "client secret"),
        (names::PRIVATE_KEY_FILE, "private key"),
        (names::CLIENT_CERTIFICATE_FILE, "client certificate's key"),
    ];
    let warning = |(variable, what): (&str, &str)| {
        let path = text(values, variable)?;
        let metadata = std::fs::metadata(&path).ok()?;
        if !metadata.is_file() || metadata.permissions().mode() & 0o004 == 0 {
            return None;
        }
        let path = crate::output::shell::quoted(&path);
        Some(format!(
            "the file of the {what} can be read by everybody: run `chmod 600 {path}`"
        ))
    };
    files.into_iter().filter_map(warning).collect()
}

#[cfg(not(unix))]
fn secret_files_for_all(_: &[Value]) -> Vec<String> {
    Vec::new()
}

#[cfg(unix)]
fn os_string(bytes: &[u8]) -> Option<OsString> {
    use std::os::unix::ffi::OsStringExt as _;
    Some(OsString::from_vec(bytes.to_vec()))
}

#[cfg(not(unix))]
fn os_string(bytes: &[u8]) -> Option<OsString> {
    let text = std::str::from_utf8(bytes).ok()?;
    Some(text.into())
}

#[cfg(test)]
mod tests;
