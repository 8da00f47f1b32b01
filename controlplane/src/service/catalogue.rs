//! What servers offer.

use std::collections::BTreeSet;

use sluice_contract::v1;

use super::{Caller, Operation, Service, ServiceError};
use crate::language::Kind;
use crate::publish::{Nodes, OfferKind};
use crate::store::{objects, revisions};

/// Items that are listed where nobody says how many.
const USUAL: u32 = 1_000;
/// Most items of one answer: the next ones are asked for with `offset`.
const MOST: u32 = 10_000;

impl Service {
    /// Tools, prompts or resources, as the nodes last heard them, of servers that are configured.
    ///
    /// # Errors
    ///
    /// Not allowed, or there is no such kind.
    pub async fn catalogue(
        &self,
        caller: &Caller,
        nodes: &Nodes,
        asked: &v1::CatalogueRequest,
    ) -> Result<v1::CatalogueResponse, ServiceError> {
        self.allow(caller, Operation::Catalogue).await?;
        let kind = OfferKind::named(&asked.kind).ok_or_else(|| {
            let shown = asked.kind.escape_debug();
            ServiceError::Invalid(format!(
                "`{shown}` is nothing that servers offer; there are tool, prompt and resource"
            ))
        })?;
        let mut found = nodes.catalogue(kind, &asked.server, &asked.name);
        if found.items.iter().any(|item| item.nodes == 0) {
            // nodes that are away do not say that a server is gone
            let servers = self.server_names().await?;
            found.items.retain(|item| item.nodes > 0 || servers.contains(&item.server));
        }
        let limit = if asked.limit == 0 { USUAL } else { asked.limit.min(MOST) };
        let total = u32::try_from(found.items.len()).unwrap_or(u32::MAX);
        let items = found.items.into_iter().skip(asked.offset as usize).take(limit as usize).collect();
        Ok(v1::CatalogueResponse { items, total, left_out: found.left_out })
    }

    /// What the configured servers are called.
    async fn server_names(&self) -> Result<BTreeSet<String>, ServiceError> {
        self.store()
            .read(|db| {
                let rows = objects::at(db, revisions::head(db)?)?;
                Ok(rows.into_iter().filter(|row| row.kind == Kind::Server.as_str()).map(|row| row.name).collect())
            })
            .await
    }
}
