//! How our programs read their command lines: as clap does, but a variable of the environment that is empty is not set, and the
//! usage in an error shows what has to be typed rather than what the environment says.

use std::ffi::{OsStr, OsString};

use std::net::SocketAddr;

use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::{Command, Error, Parser};

/// What was typed; where it is wrong, or asks for help, that is shown and the process ends.
#[must_use]
pub fn parse<T: Parser>() -> T {
    read(std::env::args_os().collect(), |name| std::env::var_os(name)).unwrap_or_else(|error| error.exit())
}

/// An address to listen on, or where somebody does.
///
/// # Errors
/// It is none: a sentence with one that is.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        let port = text.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or(8000_u16);
        format!("write an address and a port, such as `127.0.0.1:{port}`")
    })
}

fn read<T: Parser>(typed: Vec<OsString>, environment: impl Fn(&OsStr) -> Option<OsString>) -> Result<T, Error> {
    let is_empty = |name: &OsStr| environment(name).is_some_and(|value| value.is_empty());
    let mut command = without(T::command(), &is_empty);
    let found = command.try_get_matches_from_mut(typed.iter().cloned());
    let found = found.and_then(|matches| T::from_arg_matches(&matches).map_err(|error| error.format(&mut command)));
    found.map_err(|error| {
        if error.kind() == ErrorKind::MissingRequiredArgument || !error.use_stderr() {
            return error;
        }
        let plain = without(T::command(), &|_| true).try_get_matches_from(typed);
        plain.err().filter(|plain| plain.kind() == error.kind()).unwrap_or(error)
    })
}

/// A command that does not look at some variables.
fn without(command: Command, is_left_out: &dyn Fn(&OsStr) -> bool) -> Command {
    let command = command.mut_args(|arg| match arg.get_env() {
        Some(name) if is_left_out(name) => arg.env(Resettable::<clap::builder::OsStr>::Reset),
        _ => arg,
    });
    command.mut_subcommands(|verb| without(verb, is_left_out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Parser)]
    #[command(name = "program")]
    struct Typed {
        #[command(subcommand)]
        verb: Verb,
    }

    #[derive(Debug, clap::Subcommand)]
    enum Verb {
        Get {
            #[arg(long, env = "SLUICE_ARGUMENTS_TEST")]
            place: Option<String>,
            #[arg(long)]
            limit: Option<u8>,
        },
    }

    fn typed(words: &[&str], value: &'static str) -> Result<Typed, Error> {
        read(words.iter().map(OsString::from).collect(), |_| Some(value.into()))
    }

    #[test]
    fn a_variable_that_is_empty_is_not_looked_at() {
        let place = |command: &Command| {
            let verb = command.get_subcommands().next().unwrap();
            verb.get_arguments().filter_map(clap::Arg::get_env).count()
        };
        use clap::CommandFactory as _;
        assert_eq!(place(&without(Typed::command(), &|_| true)), 0);
        assert_eq!(place(&without(Typed::command(), &|_| false)), 1);
        let Verb::Get { place, limit } = typed(&["program", "get", "--limit", "3"], "").unwrap().verb;
        assert_eq!((place, limit), (None, Some(3)));
    }

    #[test]
    fn whoever_writes_no_address_is_shown_one() {
        assert_eq!(address("[::1]:80"), Ok("[::1]:80".parse().unwrap()));
        for (text, shown) in [("21000", "21000"), ("localhost:21000", "21000"), (":9", "9"), ("127.0.0.1", "8000")] {
            assert!(address(text).unwrap_err().ends_with(&format!(" `127.0.0.1:{shown}`")), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_still_told() {
        let told = typed(&["program", "get", "--limit", "x"], "there").unwrap_err();
        assert_eq!(told.kind(), ErrorKind::ValueValidation);
        assert!(typed(&["program", "--help"], "").unwrap_err().to_string().contains("Usage"));
    }
}
