//! `sluice get`: the configuration of the control plane, or what a gateway on this machine knows of its servers.

mod object;
mod offered;
mod servers;

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::ValueEnum;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use sluice_contract::v1::{GetRequest, StatusRequest};
use sluice_controlplane::language::Kind;

use crate::client::{Connection, ControlPlane};
use crate::command::status::trouble;
use crate::kind;
use crate::output::{self, Failure, Format, talk};
use offered::{Offered, Which};

/// Show the configuration, or how the servers of a running gateway are.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sluice get                                  everything, a line each
  sluice get server weather -o yaml           in the words of a configuration file
  sluice get -o yaml --revision 12 > old.yaml as it was
  sluice get tools --server weather           what a server offers, as was last heard
  sluice get servers --admin 127.0.0.1:8001   how the servers of a gateway are

Asks the control plane that is named, or the usual one where it runs. Secrets are shown as ***.

With --admin, or for `servers`, `tools`, `prompts` and `resources` where there is no control plane, asks the gateway at its admin port instead: transport \
and era as found out, what it offers, its last trouble. STATE there is `up` or `down` as of the last attempt to reach \
a server, `unknown` before the first; `-` where nobody has listed what it offers yet; QUIRKS names what it does otherwise than the specification says, and is served all the same.")]
pub(crate) struct Args {
    /// What kind of object; or `tools`, `prompts`, `resources`: what servers offer
    #[arg(value_parser = what())]
    kind: Option<What>,

    /// Only this one
    name: Option<String>,

    /// How to show them
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
    output: Format,

    /// Only tools, prompts or resources of this server
    #[arg(long, value_name = "NAME")]
    server: Option<String>,

    /// As it was in this revision
    #[arg(long, value_name = "REVISION", default_value_t = 0, hide_default_value = true)]
    revision: u64,

    /// Ask the gateway with this admin port how its servers are, or what they offer [default: 127.0.0.1:8001]
    #[arg(long, value_name = "ADDR", conflicts_with = "revision", value_parser = sluice_arguments::address)]
    admin: Option<SocketAddr>,

    #[command(flatten)]
    control_plane: ControlPlane,
}

/// What can be shown.
#[derive(Debug, Clone, Copy)]
enum What {
    /// A part of the configuration.
    Object(Kind),
    /// What servers offer.
    Offered(Offered),
}

/// Reads what is to be shown: one word each, the plural will do.
fn what() -> impl TypedValueParser<Value = What> {
    let offered = Offered::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    PossibleValuesParser::new(kind::words().chain(offered)).map(|word| {
        let object = Kind::named(&word).map(What::Object);
        object.unwrap_or_else(|| {
            What::Offered(Offered::from_str(&word, false).expect("the parser lets no other word pass"))
        })
    })
}

/// Asks, and shows the answer.
pub(crate) fn run(args: &Args) -> ExitCode {
    output::exit(get(args))
}

fn get(args: &Args) -> Result<(), Failure> {
    let kind = match args.kind {
        Some(What::Offered(offered)) if args.revision == 0 => {
            let which = Which { kind: offered, name: args.name.as_deref(), server: args.server.as_deref() };
            let connection = if args.admin.is_some() { None } else { args.control_plane.connect_if_meant()? };
            return match connection {
                Some(connection) => offered::of_fleet(connection, &which, args.output),
                None => offered::of_gateway(args.admin.unwrap_or(sluice_dataplane::ADMIN), &which, args.output),
            };
        }
        Some(What::Offered(_)) => {
            return Err(Failure::input("what servers offer is known as it is now: leave out --revision"));
        }
        Some(What::Object(kind)) => Some(kind),
        None => None,
    };
    if args.server.is_some() {
        return Err(Failure::input("--server goes with `tools`, `prompts` or `resources`"));
    }
    let is_about_servers = kind == Some(Kind::Server);
    if let Some(admin) = args.admin {
        return if is_about_servers {
            servers::show(admin, args.name.as_deref(), args.output)
        } else {
            Err(Failure::input(
                "a gateway tells of its servers, and what they offer: `sluice get servers --admin ADDR`, or `tools`, `prompts`, \
                 `resources`",
            ))
        };
    }
    // Servers are known at both doors; everything else at the control plane alone.
    let connection = if is_about_servers && args.revision == 0 {
        args.control_plane.connect_if_meant()?
    } else {
        Some(args.control_plane.connect()?)
    };
    match connection {
        Some(connection) => configured(connection, kind, args),
        None => servers::show(sluice_dataplane::ADMIN, args.name.as_deref(), args.output),
    }
}

fn configured(mut connection: Connection, kind: Option<Kind>, args: &Args) -> Result<(), Failure> {
    let request = GetRequest {
        kind: kind.map(|kind| kind.as_str().to_owned()).unwrap_or_default(),
        name: args.name.clone().unwrap_or_default(),
        revision: args.revision,
    };
    let answer = connection.ask(async |admin| admin.get(request).await)?;
    if answer.objects.is_empty() && args.name.is_some() {
        return Err(object::nowhere(kind, args.name.as_deref()));
    }
    if args.output != Format::Table {
        return output::values(args.output, &object::file(&answer.objects)?);
    }
    if answer.objects.is_empty() {
        talk(&format!("revision {} has none\n", answer.revision));
        return Ok(());
    }
    let table = object::table(&answer.objects);
    if kind != Some(Kind::Server) || args.revision != 0 {
        return output::painted_data(table);
    }
    let status = connection.ask(async |admin| admin.status(StatusRequest {}).await)?;
    let troubles = trouble::with_servers(&status.nodes, args.name.as_deref(), status.at_ms);
    output::painted_data(std::iter::once(table).chain(troubles).collect::<Vec<_>>().join("\n\n"))
}
