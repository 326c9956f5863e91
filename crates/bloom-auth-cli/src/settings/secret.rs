//! The client secret from where it does not stand among the settings.

use std::io::{self, IsTerminal as _, Read as _};

use zeroize::{Zeroize as _, Zeroizing};

use crate::exit::Failure;

/// More than any secret has.
const MAX_BYTES: usize = 64 * 1024;

/// Reads the whole standard input, without the line break at its end.
pub(crate) fn from_stdin() -> Result<Zeroizing<String>, Failure> {
    let stdin = io::stdin().lock();
    if stdin.is_terminal() {
        return Err(Failure::settings(
            "--secret-stdin does not read from a terminal, which would show the secret: pipe it \
             in, as in `pass show bloom | bloom-auth token --secret-stdin`",
        ));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 1));
    stdin
        .take(MAX_BYTES as u64)
        .read_to_end(&mut bytes)
        .map_err(|error| {
            Failure::settings(format!("the standard input cannot be read: {error}"))
        })?;
    let bytes = std::mem::take(&mut *bytes);
    let mut secret = Zeroizing::new(String::from_utf8(bytes).map_err(|error| {
        error.into_bytes().zeroize();
        Failure::settings("the client secret on the standard input is not UTF-8")
    })?);
    if secret.ends_with('\n') {
        secret.pop();
        if secret.ends_with('\r') {
            secret.pop();
        }
    }
    if secret.is_empty() {
        return Err(Failure::settings(
            "the standard input is empty, and should hold the client secret",
        ));
    }
    Ok(secret)
}

/// Looks before anything else is done with the arguments, so that no error
/// repeats what follows.
pub(crate) fn refuse_as_argument(
    arguments: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>,
) -> Result<(), Failure> {
    for argument in arguments {
        let argument = argument.as_ref().to_string_lossy();
        if argument == "--" {
            break;
        }
        let name = argument.split('=').next().unwrap_or_default();
        let name = name.to_ascii_lowercase().replace('_', "-");
        if [
            "--client-secret",
            "--clientsecret",
            "--secret",
            "--password",
        ]
        .contains(&name.as_str())
        {
            return Err(Failure::settings(
                "a client secret among the arguments can be seen by every user of this machine: \
                 use --client-secret-file, --secret-stdin or BLOOM_CLIENT_SECRET, and have this \
                 secret replaced if it is a real one",
            ));
        }
    }
    Ok(())
}

/// The platform's tool for its keyring, asked with a time limit, so that it hangs
/// nowhere, as it might where nobody can unlock the keyring.
#[cfg(feature = "keyring")]
pub(crate) fn from_keyring(client_id: Option<&str>) -> Result<Zeroizing<String>, Failure> {
    use std::{
        process::{Command, Stdio},
        thread,
        time::Duration,
    };

    const TRIES: u32 = 150;
    const PAUSE: Duration = Duration::from_millis(20);

    let client_id = client_id.ok_or_else(|| {
        Failure::settings("the keyring is asked for the secret of a client id: set one")
    })?;

    let mut command = if cfg!(target_vendor = "apple") {
        let mut command = Command::new("security");
        command.args([
            "find-generic-password",
            "-s",
            "bloom-auth",
            "-w",
            "-a",
            client_id,
        ]);
        command
    } else {
        let mut command = Command::new("secret-tool");
        command.args(["lookup", "service", "bloom-auth", "client_id", client_id]);
        command
    };
    let tool = command.get_program().to_string_lossy().into_owned();
    let failure = |problem: &str| {
        Failure::settings(format!(
            "the keyring has no client secret to give: {tool} {problem}; use --client-secret-file, \
             --secret-stdin or BLOOM_CLIENT_SECRET where there is no keyring"
        ))
    };
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command
        .spawn()
        .map_err(|error| failure(&format!("cannot be run ({error})")))?;
    for _ in 0..TRIES {
        let Some(status) = child
            .try_wait()
            .map_err(|error| failure(&error.to_string()))?
        else {
            thread::sleep(PAUSE);
            continue;
        };
        // A buffer that had to grow would leave parts of it behind.
        let mut secret = Zeroizing::new(String::with_capacity(MAX_BYTES + 1));
        // Less than a pipe holds, so that it never waited for us.
        let read = child
            .stdout
            .take()
            .map(|stdout| stdout.take(MAX_BYTES as u64).read_to_string(&mut secret));
        let secret = Zeroizing::new(secret.trim_end_matches(['\r', '\n']).to_owned());
        return match read {
            Some(Ok(_)) if status.success() && !secret.is_empty() => Ok(secret),
            _ => Err(failure(&format!(
                "found none for service `bloom-auth` and client id `{client_id}`"
            ))),
        };
    }
    let _ = child.kill();
    let _ = child.wait();
    Err(failure("did not answer within 3 s"))
}

#[cfg(not(feature = "keyring"))]
pub(crate) fn from_keyring(_: Option<&str>) -> Result<Zeroizing<String>, Failure> {
    Err(Failure::settings(
        "this bloom-auth was built without the keyring: install it with `--features keyring`, or \
         use --client-secret-file, --secret-stdin or BLOOM_CLIENT_SECRET",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s1_a_secret_among_the_arguments_is_refused_and_not_repeated() {
        for arguments in [
            &["token", "--client-secret", "canary"][..],
            &["token", "--client-secret=canary"],
            &["token", "--client_secret=canary"],
            &["--Secret=canary"],
            &["exec", "--password", "canary", "--", "x"],
        ] {
            let Err(failure) = refuse_as_argument(arguments) else {
                panic!("{arguments:?}");
            };
            assert!(!failure.message.contains("canary"), "{failure}");
        }
        for arguments in [
            &["token", "--client-secret-file", "x"][..],
            &["exec", "--", "mysql", "--password=x"],
        ] {
            assert!(refuse_as_argument(arguments).is_ok(), "{arguments:?}");
        }
    }
}
