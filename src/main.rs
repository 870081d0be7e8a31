//! The program: arguments in, exit code out.

use std::process::ExitCode;

use barque::cli::Cli;
use barque::error::{kind_of, render};
use barque::printable::printable;
use clap::Parser;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: starting: {error}");
            return ExitCode::from(1);
        }
    };
    let answer = runtime.block_on(cli.run());
    // An agent whose channel ended must not outlive it: whatever still runs in the background is given up.
    runtime.shutdown_background();
    match answer {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("{}", printable(&render(&error)));
            ExitCode::from(kind_of(&error).exit_code())
        }
    }
}
