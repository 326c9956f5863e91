//! What can be typed: commands, flags, and the help that teaches them.

use std::{ffi::OsString, mem::ManuallyDrop, path::PathBuf, time::Duration};

use clap::{Args, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::settings::names;

/// For the help and the manual.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0    ok; also if whoever reads the output closes it early
  2    wrong usage or settings
  3    the authorization server refused the credentials, the client or the request
  4    server or network trouble, or an answer that cannot be used: try again
  5    the API refused the request
  6    a local file or output that the command needs cannot be used
  130  ended by SIGINT; 143 by SIGTERM
`exec` ends with the code of its program; 126 and 127 if that cannot be started.";

const EXAMPLES: &str = "\
Examples:
  export BLOOM_CLIENT_ID=... BLOOM_CLIENT_SECRET_FILE=/run/secrets/bloom
  bloom-auth token --format header | curl -H @- \"$URL\"
  bloom-auth request GET /v2/core/organization | jq .
  bloom-auth exec -- ./nightly-report
  bloom-auth doctor
  bloom-auth emulator            # a Bloom to develop against, without credentials

Settings come from flags, BLOOM_* variables, a profile in bloom-auth.toml, or
defaults, in this order; `bloom-auth status` says which came from where.";

/// Access tokens for Bloom Credit's API: one for all processes of a user,
/// fetched only when it is needed.
#[derive(Debug, Parser)]
#[command(
    name = "bloom-auth",
    version,
    max_term_width = 90,
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"),
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) volume: Volume,
}

// No documentation: clap would take it for that of the program.
#[derive(Debug, Default, Args)]
pub(crate) struct Volume {
    /// Say on stderr what is done; twice for details, three times for
    /// everything. Never a secret
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Print no warnings
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

impl Cli {
    /// Reads what was typed, the program's name included.
    ///
    /// A token that is at hand is there sooner than the parser for all commands
    /// is made, so those that scripts give again and again have shorter ways.
    pub(crate) fn read(arguments: &[OsString]) -> Result<Self, clap::Error> {
        let alone = match (arguments.get(1).and_then(|name| name.to_str()), arguments) {
            // Everything is as it is by default.
            (Some("token"), [_, _]) => Some(Self {
                command: Command::Token(TokenArgs::default()),
                volume: Volume::default(),
            }),
            (Some("token"), _) => Self::read_alone(arguments, Command::Token),
            (Some("exec"), _) => Self::read_alone(arguments, Command::Exec),
            _ => None,
        };
        match alone {
            Some(cli) => Ok(cli),
            None => Self::try_parse_from(arguments),
        }
    }

    /// With the flags of this command alone. `None` leaves what is wrong, or the
    /// help that was asked for, to the parser that knows the other ones too.
    fn read_alone<T: Args>(arguments: &[OsString], of: fn(T) -> Command) -> Option<Self> {
        let command = Volume::augment_args(T::augment_args(clap::Command::new("")));
        // To take it apart costs as much as to make it, and the process ends soon.
        let mut command = ManuallyDrop::new(command);
        // The command's name stands where clap expects the program's.
        let typed = arguments.iter().skip(1);
        let mut matches = command.try_get_matches_from_mut(typed).ok()?;
        Some(Self {
            command: of(T::from_arg_matches_mut(&mut matches).ok()?),
            volume: Volume::from_arg_matches_mut(&mut matches).ok()?,
        })
    }
}

// The flags of a command are made when it is the one that was asked for: those of
// all of them together take longer than a token that is at hand.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum Command {
    /// Print an access token
    Token(TokenArgs),
    /// Call the API with the token
    Request(RequestArgs),
    /// Run a program with the token in its environment
    Exec(ExecArgs),
    /// Show what is set, and the token that is held; asks no server
    Status(StatusArgs),
    /// Check everything that a token and the API need, and say what to do
    Doctor(DoctorArgs),
    /// Look into the token cache, or clear it
    Cache(CacheArgs),
    /// Run a stand-in for Bloom on this machine
    Emulator(Box<EmulatorArgs>),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Print the manual, or write it into a directory
    Man(ManArgs),
}

// Settings by flag. Each has a variable (`--token-url`: `BLOOM_TOKEN_URL`) and
// a key in `bloom-auth.toml` (`token_url`). No documentation: clap would take it
// for that of the command.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct SettingsArgs {
    /// The profile in `bloom-auth.toml` to use
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// The file of settings, in the place of the one in the config directory
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// `sandbox` or `production`
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// `v1` or `v2`: which of Bloom's authorization servers
    #[arg(long, value_name = "VERSION")]
    auth_version: Option<String>,
    /// The client id
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// A file that holds the client secret alone
    #[arg(long, value_name = "FILE")]
    client_secret_file: Option<String>,
    /// Read the client secret from the standard input
    #[arg(long, conflicts_with = "client_secret_file")]
    pub(crate) secret_stdin: bool,
    /// Take the client secret from the operating system's keyring
    #[arg(long, conflicts_with_all = ["client_secret_file", "secret_stdin"])]
    pub(crate) keyring: bool,
    /// How the client proves who it is: `post`, `basic`, `private_key_jwt` or
    /// `tls_client_auth`
    #[arg(long, value_name = "METHOD")]
    client_auth: Option<String>,
    /// A PEM file of the client's private key, for `private_key_jwt`
    #[arg(long, value_name = "FILE")]
    private_key_file: Option<String>,
    /// The name by which the server knows the key
    #[arg(long, value_name = "ID")]
    private_key_id: Option<String>,
    /// Whom assertions are for
    #[arg(long, value_name = "AUDIENCE")]
    assertion_audience: Option<String>,
    /// Scopes, separated by spaces; needed by `v2`
    #[arg(long, value_name = "SCOPES")]
    scope: Option<String>,
    /// The audience
    #[arg(long)]
    audience: Option<String>,
    /// The token endpoint
    #[arg(long, value_name = "URL")]
    token_url: Option<String>,
    /// The URL under which the API's paths stand
    #[arg(long, value_name = "URL")]
    api_url: Option<String>,
    /// A PEM file of root certificates to trust instead of the platform's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<String>,
    /// A PEM file of a client certificate and its private key
    #[arg(long, value_name = "FILE")]
    client_certificate_file: Option<String>,
    /// Allow plain http, to loopback only
    #[arg(long)]
    allow_insecure_loopback: bool,
    /// Where tokens are kept: `file`, or `memory` (`none`)
    #[arg(long, value_name = "KIND")]
    cache: Option<String>,
    /// The directory for `file`
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<String>,
}

impl SettingsArgs {
    /// The value of each flag that was given, by the variable of the setting.
    pub(crate) fn get(&self, variable: &str) -> Option<String> {
        let value = match variable {
            names::ENVIRONMENT => &self.environment,
            names::AUTH_VERSION => &self.auth_version,
            names::CLIENT_ID => &self.client_id,
            names::CLIENT_SECRET_FILE => &self.client_secret_file,
            names::CLIENT_AUTH => &self.client_auth,
            names::PRIVATE_KEY_FILE => &self.private_key_file,
            names::PRIVATE_KEY_ID => &self.private_key_id,
            names::ASSERTION_AUDIENCE => &self.assertion_audience,
            names::SCOPE => &self.scope,
            names::AUDIENCE => &self.audience,
            names::TOKEN_URL => &self.token_url,
            names::API_URL => &self.api_url,
            names::CA_FILE => &self.ca_file,
            names::CLIENT_CERTIFICATE_FILE => &self.client_certificate_file,
            names::CACHE => &self.cache,
            names::CACHE_DIR => &self.cache_dir,
            names::ALLOW_INSECURE_LOOPBACK => {
                return self.allow_insecure_loopback.then(|| "true".to_owned());
            }
            _ => return None,
        };
        value.clone()
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// The token alone, on a line
    #[default]
    Raw,
    /// One object, with all that is known of the token
    Json,
    /// `Authorization: Bearer ...`
    Header,
    /// `export` lines, safe under `eval`
    Env,
}

#[derive(Debug, Default, Args)]
#[command(after_help = "\
Examples:
  bloom-auth token
  bloom-auth token --format header | curl -H @- \"$URL\"   # not in the list of processes
  eval \"$(bloom-auth token --format env)\" && ./script
  bloom-auth token --format json | jq -r .expires_at
  bloom-auth token --min-lifetime 600      # one that stands for ten minutes more

Nothing is printed to stdout on failure; the exit code says why.")]
pub(crate) struct TokenArgs {
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    /// Fetch another one if the token expires in fewer seconds than these
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub(crate) min_lifetime: u32,
    /// Fetch a new one, whatever is held
    #[arg(long)]
    pub(crate) refresh: bool,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bloom-auth request GET /v2/core/organization
  bloom-auth request POST /v2/core/consumers --data @consumer.json
  jq -c . consumer.json | bloom-auth request POST /v2/core/consumers --data @-
  bloom-auth request GET /v2/core/consumers --include

The body goes to stdout as it comes, also that of an error, which ends with
exit code 5.")]
pub(crate) struct RequestArgs {
    /// The method, such as GET
    pub(crate) method: String,
    /// The path under the API's URL; a whole URL only of an allowed origin
    pub(crate) path: String,
    /// The body; `@FILE` for that of a file, `@-` for the standard input. It is
    /// sent as JSON unless a header says otherwise
    #[arg(long, short, value_name = "TEXT")]
    pub(crate) data: Option<String>,
    /// A header more, as `NAME: VALUE`; can be repeated
    #[arg(long, short = 'H', value_name = "HEADER")]
    pub(crate) header: Vec<String>,
    /// Print the status and the headers before the body
    #[arg(long, short)]
    pub(crate) include: bool,
    /// Another origin that may get the token, such as `https://files.example.com`
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) allow_origin: Vec<String>,
    /// How long all of it may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) timeout: u32,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bloom-auth exec -- ./nightly-report
  bloom-auth exec --min-lifetime 3600 -- python3 import.py

The program gets BLOOM_ACCESS_TOKEN and BLOOM_ACCESS_TOKEN_EXPIRES_AT, and not
BLOOM_CLIENT_SECRET. On Unix it takes the place of bloom-auth, so signals, the
terminal and the exit code are its own.")]
pub(crate) struct ExecArgs {
    /// Fetch another token first if it expires in fewer seconds than these
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub(crate) min_lifetime: u32,
    /// The program and its arguments, after `--`
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Checks settings, name resolution, TLS, credentials, the clock, the token quota
where the server tells of it, the cache, and the API. It fetches one token, which
the cache then keeps. The exit code is that of the first finding that is an error.")]
pub(crate) struct DoctorArgs {
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CacheArgs {
    #[command(subcommand)]
    pub(crate) action: CacheAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CacheAction {
    /// List the entries: sealed files, so not whose they are
    List(Box<CacheListArgs>),
    /// Remove every entry
    Clear(Box<SettingsArgs>),
    /// Print the directory
    Path(Box<SettingsArgs>),
}

#[derive(Debug, Args)]
pub(crate) struct CacheListArgs {
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bloom-auth emulator                          # then paste what it prints
  bloom-auth emulator --tls-ca-file ca.pem --lifetime 60s --quota 10/hour
  bloom-auth emulator --fault server-error:next=2 --fault slow-body:every=10
  bloom-auth emulator --scenario outage.toml --seed 7
  bloom-auth emulator --list-faults

It listens on loopback alone. The lines to paste go to stdout, one line a request
to stderr. SIGINT and SIGTERM end it.")]
pub(crate) struct EmulatorArgs {
    /// The port; a free one by default
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    pub(crate) port: u16,
    /// Serve HTTPS, and write the certificate to trust to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_ca_file: Option<PathBuf>,
    /// Which authorization server the lines to paste are for; both are there
    #[arg(long, value_enum, default_value_t)]
    pub(crate) auth_version: Dialect,
    /// The client id; random by default, as is the secret
    #[arg(long, value_name = "ID")]
    pub(crate) client_id: Option<String>,
    /// A file that holds the client secret to expect
    #[arg(long, value_name = "FILE", requires = "client_id")]
    pub(crate) client_secret_file: Option<PathBuf>,
    /// Read the client secret to expect from the standard input
    #[arg(long, requires = "client_id", conflicts_with = "client_secret_file")]
    pub(crate) secret_stdin: bool,
    /// The one audience
    #[arg(long)]
    pub(crate) audience: Option<String>,
    /// How long tokens stand, such as `90s`, `30m` or `24h`
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) lifetime: Option<Duration>,
    /// How long the token endpoints wait before they answer, such as `200ms`
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) latency: Option<Duration>,
    /// How many tokens there are in a time, such as `10/hour`, `50/day` or
    /// `3/90s`; can be repeated
    #[arg(long, value_name = "QUOTA", value_parser = quota)]
    pub(crate) quota: Vec<Quota>,
    /// A fault, as `NAME[@ENDPOINT][:SCHEDULE]`; can be repeated
    #[arg(long, value_name = "RULE")]
    pub(crate) fault: Vec<String>,
    /// A file of faults in steps
    #[arg(long, value_name = "FILE")]
    pub(crate) scenario: Option<PathBuf>,
    /// Draw everything random from this number, to repeat a run
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
    /// Have the clock stand at this time, in seconds since 1970
    #[arg(long, value_name = "SECONDS")]
    pub(crate) clock_stands_at: Option<u32>,
    /// Serve the admin endpoint, for those who have the token that is printed
    #[arg(long)]
    pub(crate) admin: bool,
    /// Print every fault that there is, and end
    #[arg(long)]
    pub(crate) list_faults: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dialect {
    #[default]
    V1,
    V2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) tokens: u64,
    pub(crate) period: Duration,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bloom-auth completions bash > ~/.local/share/bash-completion/completions/bloom-auth
  bloom-auth completions zsh > \"${fpath[1]}/_bloom-auth\"
  bloom-auth completions fish > ~/.config/fish/completions/bloom-auth.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bloom-auth man | man -l -
  bloom-auth man --dir ~/.local/share/man/man1")]
pub(crate) struct ManArgs {
    /// Write a page for each command into this directory
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "is not a time such as `200ms`, `90s`, `30m`, `24h` or `7d`".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let number: u32 = number.parse().map_err(|_| wrong())?;
    let unit = match unit {
        "ms" => Duration::from_millis(1),
        "s" | "" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        "h" => Duration::from_secs(3600),
        "d" => Duration::from_secs(86_400),
        _ => return Err(wrong()),
    };
    Ok(unit * number)
}

fn quota(text: &str) -> Result<Quota, String> {
    let wrong = || "is not a quota such as `10/hour`, `50/day` or `3/90s`".to_owned();
    let (tokens, period) = text.split_once('/').ok_or_else(wrong)?;
    let period = match period {
        "hour" => Duration::from_secs(3600),
        "day" => Duration::from_secs(86_400),
        time => duration(time).map_err(|_| wrong())?,
    };
    let tokens = tokens.parse().map_err(|_| wrong())?;
    Ok(Quota { tokens, period })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn s1_every_setting_but_the_secret_has_a_flag() {
        let mut command = Cli::command();
        command.build();
        let token = command.find_subcommand("token").unwrap();
        for setting in names::SETTINGS {
            let long = setting.flag.trim_start_matches("--");
            let found = token.get_arguments().any(|it| it.get_long() == Some(long));
            assert_eq!(found, setting.variable != names::CLIENT_SECRET, "{long}");
        }
    }

    #[test]
    fn the_shorter_ways_lead_to_what_the_parser_for_all_commands_finds() {
        for line in [
            "",
            "token",
            "token -v",
            "token -qv",
            "token --verbose --quiet",
            "token --format header --min-lifetime 60 --refresh",
            "token --format=Header",
            "token --min-lifetime -1",
            "token --client-id x --scope=y --cache-dir /z -vv",
            "token --secret-stdin --keyring",
            "token --profile",
            "token --",
            "token -h",
            "token --help",
            "token -V",
            "token --version",
            "token help",
            "token exec",
            "token --json",
            "-v token",
            "tokens",
            "exec",
            "exec x",
            "exec -q --min-lifetime 5 -- x --help -v",
            "exec --client-id y -- token",
            "exec --help -- x",
            "status --json",
            "help token",
        ] {
            let line = ["bloom-auth"].into_iter().chain(line.split_whitespace());
            let line: Vec<OsString> = line.map(OsString::from).collect();
            let shown = |read: Result<Cli, clap::Error>| match read {
                Ok(cli) => format!("{cli:?}"),
                Err(error) => format!("{:?}: {error}", error.kind()),
            };
            let expected = shown(Cli::try_parse_from(&line));
            assert_eq!(shown(Cli::read(&line)), expected, "{line:?}");
        }
    }

    #[test]
    fn times_and_quotas_are_read_or_refused() {
        for (text, millis) in [
            ("200ms", 200),
            ("90s", 90_000),
            ("5", 5_000),
            ("2h", 7_200_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)));
        }
        for text in ["", "s", "-1s", "1 s", "1w", "99999999999s"] {
            assert!(duration(text).is_err(), "{text}");
        }
        let period = Duration::from_secs(90);
        assert_eq!(quota("3/90s"), Ok(Quota { tokens: 3, period }));
        for text in ["3", "3/", "/day", "x/day", "3/week"] {
            assert!(quota(text).is_err(), "{text}");
        }
    }
}
