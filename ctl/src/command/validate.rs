//! `sluice validate`: would this configuration run?

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use jiff::Timestamp;
use sluice_controlplane::compile::{Node, choices, compile, doubts, referred};
use sluice_controlplane::language::{Config, Fault};
use sluice_controlplane::secrets::{SecretValue, Secrets};
use sluice_snapshot::chunk;
use zeroize::Zeroizing;

use crate::configuration;
use crate::fault;
use crate::output::{self, Failure, talk};
use crate::written::Written;

/// Check a configuration without starting anything.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sluice validate -f mcp.yaml && echo fine
  sluice validate -f fleet/                   every *.yaml, *.yml and *.json of a folder, as one

What is for some nodes only (`nodes`) is judged as for those; that a control plane has the secrets they name is taken for granted, as for \
a folder. Exit code 0: it would run. Exit code 2: it would not, and stderr says why. Variables are looked up as `sluice run`
does, so that one that is not set is found here.")]
pub(crate) struct Args {
    /// The file, YAML or JSON, or the file of a client such as Claude, Cursor or VS Code; a folder of such files; `-` for stdin
    #[arg(short, long, visible_alias = "config", value_name = "FILE")]
    file: PathBuf,
}

/// Checks the file.
pub(crate) fn run(args: &Args) -> ExitCode {
    output::exit(check(args))
}

fn check(args: &Args) -> Result<(), Failure> {
    if args.file.is_dir() {
        return check_folder(&args.file);
    }
    let document = configuration::read(&args.file)?;
    let judged = judge(&document.config, &document.folder, &Secrets::default());
    let Judged { servers, warnings } = judged.map_err(|faults| configuration::refused(&document.source, faults))?;
    let mut warnings = [document.warnings, warnings].concat();
    warnings.sort_by_key(|warning| document.source.position(warning));
    talk(&document.source.show("warning", &warnings).to_string());
    talk(&format!("ok: {}\n", count(servers.len(), "server")));
    Ok(())
}

/// The files of a folder are one configuration, as `sluice apply` reads them.
fn check_folder(folder: &Path) -> Result<(), Failure> {
    let written = Written::of(folder)?;
    let files = written.files();
    let show =
        |word: &str, faults: &[Fault]| fault::show(word, &faults.iter().map(fault::carried).collect::<Vec<_>>(), files);
    let refused = |faults: Vec<Fault>| Failure::Input(show("error", &faults));
    let config = written.config().map_err(refused)?;
    let Judged { servers, warnings } = judge(&config, folder, &assumed(&config)).map_err(refused)?;
    talk(&show("warning", &warnings));
    talk(&format!("ok: {} in {}\n", count(servers.len(), "server"), count(files.len(), "file")));
    Ok(())
}

/// What came of judging a configuration that is right.
struct Judged {
    servers: BTreeSet<String>,
    warnings: Vec<Fault>,
}

/// Compiles it for every node it speaks of: those with labels run servers that others do not. `secrets` are those of a node without
/// labels; nodes that have some belong to a control plane, and it is the control plane that knows which secrets there are.
fn judge(config: &Config, folder: &Path, secrets: &Secrets) -> Result<Judged, Vec<Fault>> {
    let of_fleet = assumed(config);
    let mut judged = Judged { servers: BTreeSet::new(), warnings: doubts(config, Timestamp::now(), &[]) };
    let mut faults: Vec<Fault> = Vec::new();
    for labels in choices(config) {
        let secrets = if labels.is_empty() { secrets } else { &of_fleet };
        let node = Node { folder: folder.to_owned(), labels, ..Node::default() };
        let (known, found) = match compile(config, &[], secrets, &node, 1) {
            Ok(compiled) => {
                judged.servers.extend(compiled.snapshot.servers.into_iter().map(|server| server.name));
                (&mut judged.warnings, compiled.warnings)
            }
            Err(found) => (&mut faults, found),
        };
        for one in found {
            // most of it is the same for every node
            if !known.contains(&one) {
                known.push(one);
            }
        }
    }
    if faults.is_empty() { Ok(judged) } else { Err(faults) }
}

/// Every secret that is referred to, as if it were there.
fn assumed(config: &Config) -> Secrets {
    let value = |name: String| {
        let chunk = chunk::Name::of(name.as_bytes());
        (name, SecretValue { version: 1, chunk, value: Zeroizing::new(b"-".to_vec()) })
    };
    referred(config).into_iter().map(value).collect()
}

fn count(number: usize, of: &str) -> String {
    if number == 1 { format!("1 {of}") } else { format!("{number} {of}s") }
}
