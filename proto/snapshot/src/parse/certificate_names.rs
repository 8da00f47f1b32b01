//! Which certificates clients may show, and what the names in them stand for.

use sluice_contract::v1;

use super::{Faults, access, text};
use crate::model::{Certificate, ClientCertificates, Pattern};

const PATH: &str = "listener.client_certificates";

pub(super) fn parse(
    wire: &v1::ClientCertificates,
    own: &[Certificate],
    faults: &mut Faults,
) -> Option<ClientCertificates> {
    let before = faults.0.len();
    if own.is_empty() {
        faults.note::<()>(PATH, "needs TLS: there is no certificate of the listener's own");
    }
    if wire.authority_files.is_empty() {
        faults.note::<()>(format!("{PATH}.authority_files"), "is empty: no certificate could be verified");
    }
    let authorities = files(&wire.authority_files, "authority_files", faults);
    let revocations = files(&wire.revocation_files, "revocation_files", faults);
    let mut names = Vec::with_capacity(wire.names.len());
    for (index, name) in wire.names.iter().enumerate() {
        let path = format!("{PATH}.names[{index}]");
        let pattern = text::without_nul(&name.pattern, format!("{path}.pattern"), faults);
        if name.pattern.is_empty() {
            faults.note::<()>(format!("{path}.pattern"), "is empty");
        }
        let roles = access::roles(&name.roles, &format!("{path}.roles"), faults);
        names.extend(pattern.map(|pattern| (Pattern::new(pattern), roles)));
    }
    (faults.0.len() == before).then_some(ClientCertificates {
        authorities,
        revocations,
        required: wire.required,
        names,
    })
}

fn files(wire: &[String], list: &str, faults: &mut Faults) -> Vec<std::path::PathBuf> {
    let said = wire.iter().enumerate();
    said.filter_map(|(index, file)| text::file(file, format!("{PATH}.{list}[{index}]"), faults)).collect()
}
