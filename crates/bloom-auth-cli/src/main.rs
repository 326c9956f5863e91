//! The binary `bloom-auth`: all of it is in the library.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    bloom_auth_cli::main()
}
