//! What would become of a call to `sluice run`: its file is compiled here.

use std::path::Path;

use sluice_contract::v1::{ExplainRequest, ExplainResponse};
use sluice_controlplane::compile::{Node, compile};
use sluice_controlplane::secrets::Secrets;
use sluice_controlplane::service::{Asked, explained};
use sluice_controlplane::store::Keys;

use crate::configuration;
use crate::output::Failure;
use crate::state::StateDir;

pub(super) fn explain(file: &Path, state: &StateDir, request: &ExplainRequest) -> Result<ExplainResponse, Failure> {
    let document = configuration::read(file)?;
    let keys = Keys::new(state.folder()?).list().map_err(Failure::other)?;
    let node = Node { folder: document.folder.clone(), ..Node::default() };
    let compiled = compile(&document.config, &keys, &Secrets::default(), &node, 0)
        .map_err(|faults| configuration::refused(&document.source, faults))?;
    let asked = Asked::new(request).map_err(Failure::input)?;
    explained(&compiled.snapshot, &asked).map_err(Failure::input)
}
