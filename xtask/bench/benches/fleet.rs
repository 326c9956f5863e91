//! From `build()` to the first token where another machine has left one in Redis, each time in a
//! new process with a new connection, over loopback.

use std::{
    fs,
    io::Write as _,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
    time::Duration,
};

use bench::{Problem, Scenario, Start, credentials};
use bloom_auth_cache::RedisCache;
use bloom_auth_core::{
    AuthVersion, Environment, TokenProvider,
    test_util::{Reply, ScriptedTransport},
};

const SCENARIOS: &[Scenario] = &[Scenario {
    name: "warm_redis",
    requests: 0,
    prepare: leave_a_token,
    start: warm,
}];

/// Ends the server at the end of its input, which is that of the benchmark.
const KEEPER: &str = r#"
exec 3<&0
"$@" </dev/null >/dev/null 2>&1 3<&- &
cat <&3 >/dev/null
kill -9 $!
"#;

fn main() -> Result<(), Problem> {
    if program().is_none() {
        println!("warm_redis              skipped: no redis-server or valkey-server");
        return Ok(());
    }
    bench::main(SCENARIOS, Path::new(env!("CARGO_TARGET_TMPDIR")))
}

/// A server from PATH, or the one that `cargo xtask test` has put into its folder.
fn program() -> Option<PathBuf> {
    let tools = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tools");
    let ours = Path::new(tools).join("valkey/bin/valkey-server");
    let runs = |program: &PathBuf| {
        let mut version = Command::new(program);
        version.arg("--version").stdout(Stdio::null());
        version.status().is_ok_and(|status| status.success())
    };
    ["redis-server".into(), "valkey-server".into(), ours]
        .into_iter()
        .find(runs)
}

/// Starts a server for as long as the benchmark runs, and leaves a token there.
fn leave_a_token(folder: &Path) -> Result<(), Problem> {
    static KEPT: OnceLock<Child> = OnceLock::new();
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port();
    let keeper = Command::new("sh")
        .args(["-c", KEEPER, "sh"])
        .arg(program().ok_or("no server")?)
        .args(["--bind", "127.0.0.1", "--save", "", "--port"])
        .arg(port.to_string())
        .arg("--dir")
        .arg(folder)
        .stdin(Stdio::piped())
        .spawn()?;
    // Its input ends with this process.
    KEPT.get_or_init(|| keeper);
    let is_there = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
    for _ in 0..1000 {
        if is_there() {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    let mut file = fs::File::create(folder.join("url"))?;
    write!(file, "redis://127.0.0.1:{port}")?;

    // Good for as long as the benchmark takes.
    let transport = ScriptedTransport::new([Reply::token(&bench::token(), 86_400)]);
    start(folder, &transport)?;
    Ok(())
}

fn warm(folder: &Path) -> Result<Start, Problem> {
    start(folder, &ScriptedTransport::default())
}

fn start(folder: &Path, transport: &ScriptedTransport) -> Result<Start, Problem> {
    let cache = RedisCache::new(&fs::read_to_string(folder.join("url"))?)?;
    let environment = Environment::sandbox(AuthVersion::V1);
    let builder = TokenProvider::builder(environment, credentials()?, transport.clone());
    let builder = builder.cache(cache);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(Start::measure(async || {
        builder.build()?.token().await?;
        Ok(transport.request_count())
    }))
}
