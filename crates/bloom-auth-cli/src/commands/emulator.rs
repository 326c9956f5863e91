//! `bloom-auth emulator`: a stand-in for Bloom on this machine.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use bloom_auth_emulator::{
    Emulator, EmulatorBuilder, EmulatorError, Fault, FaultRule, Scenario, TokenQuota,
};
use zeroize::Zeroizing;

use super::{Context, Signals, block_on};
use crate::{
    args::{Dialect, EmulatorArgs},
    exit::{Exit, Failure},
    output::{self, Kind, shell},
    settings::{names, secret},
};

pub(crate) fn run(args: &EmulatorArgs, context: &Context) -> Result<(), Failure> {
    if args.list_faults {
        return output::print(faults().as_bytes());
    }
    let admin = args.admin.then(admin_token).transpose()?;
    let builder = builder(args, admin.as_ref().map(|token| token.as_str()))?;
    block_on(async {
        let mut signals = Signals::new()?;
        let emulator = builder.start().await.map_err(|error| failure(&error))?;
        if let (Some(path), Some(pem)) = (&args.tls_ca_file, emulator.ca_pem()) {
            fs::write(path, pem).map_err(|error| unusable(path, &error))?;
        }
        let lines = lines(args, &emulator, admin.as_ref().map(|token| token.as_str()));
        let printed = output::print(lines.as_bytes());
        // Whoever has read enough of them has no more use for the lines alone.
        if let Err(failure) = printed
            && failure.exit != Exit::Ok
        {
            return Err(failure);
        }
        if !context.is_quiet {
            let ready = format!(
                "the emulator listens on {}; SIGINT ends it",
                emulator.origin()
            );
            output::say(context.style, Kind::Note, &ready);
        }
        signals.next().await;
        emulator.shutdown().await;
        Ok(())
    })
}

fn builder(args: &EmulatorArgs, admin: Option<&str>) -> Result<EmulatorBuilder, Failure> {
    let mut builder = Emulator::builder().port(args.port);
    if args.tls_ca_file.is_none() {
        builder = builder.plain_http();
    }
    if let Some(id) = &args.client_id {
        builder = builder.client(id, client_secret(args)?.as_str());
    }
    if let Some(audience) = &args.audience {
        builder = builder.audience(audience);
    }
    if let Some(lifetime) = args.lifetime {
        builder = builder.token_lifetime(lifetime);
    }
    if let Some(latency) = args.latency {
        builder = builder.latency(latency);
    }
    for quota in &args.quota {
        builder = builder.token_quota(TokenQuota::new(quota.tokens, quota.period));
    }
    for rule in &args.fault {
        let rule: FaultRule = rule
            .parse()
            .map_err(|error| Failure::settings(format!("--fault {rule}: {error}")))?;
        builder = builder.fault(rule);
    }
    if let Some(path) = &args.scenario {
        let text = fs::read_to_string(path).map_err(|error| unusable(path, &error))?;
        let scenario = Scenario::parse(&text)
            .map_err(|error| Failure::settings(format!("{}, {error}", path.display())))?;
        builder = builder.scenario(scenario);
    }
    if let Some(seed) = args.seed {
        builder = builder.seed(seed);
    }
    if let Some(seconds) = args.clock_stands_at {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.into());
        builder = builder.clock_stands_at(time);
    }
    if let Some(token) = admin {
        builder = builder.admin_token(token);
    }
    Ok(builder)
}

fn client_secret(args: &EmulatorArgs) -> Result<Zeroizing<String>, Failure> {
    if args.secret_stdin {
        return secret::from_stdin();
    }
    let Some(path) = &args.client_secret_file else {
        return Err(Failure::settings(
            "--client-id needs the secret too, by --client-secret-file or --secret-stdin",
        ));
    };
    let text = fs::read_to_string(path).map_err(|error| unusable(path, &error))?;
    let text = Zeroizing::new(text);
    Ok(Zeroizing::new(
        text.trim_end_matches(['\r', '\n']).to_owned(),
    ))
}

/// To paste into a shell.
fn lines(args: &EmulatorArgs, emulator: &Emulator, admin: Option<&str>) -> Zeroizing<String> {
    let token_url = match args.auth_version {
        Dialect::V1 => emulator.v1_token_url(),
        Dialect::V2 => emulator.v2_token_url(),
    };
    let mut pairs = vec![
        (names::CLIENT_ID, emulator.client_id().to_owned()),
        (names::CLIENT_SECRET, emulator.client_secret()),
        (names::AUDIENCE, emulator.audience().to_owned()),
        (names::TOKEN_URL, token_url),
        (names::API_URL, emulator.api_url()),
    ];
    if args.auth_version == Dialect::V2 {
        pairs.push((names::AUTH_VERSION, "v2".to_owned()));
        pairs.push((names::SCOPE, "data-access:all furnishment:all".to_owned()));
    }
    match &args.tls_ca_file {
        None => pairs.push((names::ALLOW_INSECURE_LOOPBACK, "true".to_owned())),
        Some(path) => {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            pairs.push((names::CA_FILE, path.to_string_lossy().into_owned()));
        }
    }
    if let Some(token) = admin {
        pairs.push((
            "BLOOM_EMULATOR_ADMIN",
            format!("{}/_emulator", emulator.origin()),
        ));
        pairs.push(("BLOOM_EMULATOR_ADMIN_TOKEN", token.to_owned()));
    }
    let lines = pairs.iter().map(|(name, value)| shell::export(name, value));
    Zeroizing::new(lines.collect())
}

fn faults() -> String {
    let line = |fault: Fault| {
        let endpoints: Vec<_> = fault.endpoints().iter().map(ToString::to_string).collect();
        let (name, row, what) = (fault.name(), fault.row(), fault.description());
        format!("{name:<28} {row:<4} {:<16} {what}\n", endpoints.join(","))
    };
    Fault::all().map(line).collect()
}

fn admin_token() -> Result<Zeroizing<String>, Failure> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| {
        Failure::new(
            Exit::Unavailable,
            format!("the system has no randomness: {error}"),
        )
    })?;
    let digits = random.iter().map(|byte| format!("{byte:02x}"));
    Ok(Zeroizing::new(digits.collect()))
}

fn unusable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        Exit::Files,
        format!("{} cannot be used: {error}", path.display()),
    )
}

fn failure(error: &EmulatorError) -> Failure {
    let message = bloom_auth::core::chain(error);
    match error {
        EmulatorError::Bind { .. } => Failure::settings(format!(
            "{message}; leave out --port for a free one, or end what listens there"
        )),
        EmulatorError::Settings { .. } => Failure::settings(message),
        _ => Failure::new(Exit::Unavailable, message),
    }
}
