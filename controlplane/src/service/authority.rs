//! What people do with the authorities by which nodes and control plane know each other.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Caller, Operation, Service, ServiceError};
use crate::audit::{self, Event};
use crate::authority::{About, Authority, AuthorityError};
use crate::publish::Nodes;
use crate::store::StoreError;

/// The authorities, and which nodes have a certificate of which.
pub struct Authorities {
    /// In order of their making, each with the connected nodes that have a certificate of it.
    pub all: Vec<(About, Vec<String>)>,
    /// Nodes that are not known to have a certificate of the one that signs.
    pub behind: Vec<String>,
}

impl Service {
    /// The authorities there are.
    ///
    /// # Errors
    ///
    /// Not allowed.
    pub async fn authorities(&self, caller: &Caller, nodes: &Nodes) -> Result<Authorities, ServiceError> {
        self.allow(caller, Operation::ListAuthorities).await?;
        Ok(authorities(&*self.authority()?, nodes))
    }

    /// Makes another authority, which signs from now on, and has nodes renew their certificates.
    ///
    /// # Errors
    ///
    /// Not allowed, or it cannot be kept.
    pub async fn rotate_authority(&self, caller: &Caller, nodes: &Nodes) -> Result<Authorities, ServiceError> {
        self.allow(caller, Operation::RotateAuthority).await?;
        let authority = self.authority()?;
        authority.rotate().map_err(|error| self.failed(error))?;
        nodes.renew(false);
        let signing = authority.fingerprint();
        self.record(caller, "authority.rotate", format!("certificates are made by {signing}")).await?;
        Ok(authorities(&authority, nodes))
    }

    /// Ends the trust in all authorities before the one that signs.
    ///
    /// # Errors
    ///
    /// Not allowed, nodes would have to join again and it was not said that this is meant, or what is left cannot be kept.
    pub async fn withdraw_authorities(
        &self,
        caller: &Caller,
        nodes: &Nodes,
        force: bool,
    ) -> Result<Authorities, ServiceError> {
        self.allow(caller, Operation::WithdrawAuthorities).await?;
        let authority = self.authority()?;
        let Authorities { all, behind } = authorities(&authority, nodes);
        let withdrawn: Vec<_> = all.iter().map(|(about, _)| about).take_while(|about| !about.signs).collect();
        if withdrawn.is_empty() {
            return Err(ServiceError::Impossible(
                "there is no authority before the one that signs; `sluice authority rotate` makes another one"
                    .to_owned(),
            ));
        }
        if !behind.is_empty() && !force {
            return Err(ServiceError::Impossible(format!(
                "these nodes have no certificate of the new authority yet, and would have to join again: {}. They get one when they \
                 are connected; revoke those that will not come back, or say --force",
                behind.join(", ")
            )));
        }
        authority.withdraw().map_err(|error| self.failed(error))?;
        nodes.renew(true);
        let fingerprints: Vec<_> = withdrawn.iter().map(|about| about.fingerprint.as_str()).collect();
        self.record(caller, "authority.withdraw", format!("no longer trusted: {}", fingerprints.join(" "))).await?;
        Ok(authorities(&authority, nodes))
    }

    fn authority(&self) -> Result<Arc<Authority>, ServiceError> {
        let authority = self.0.authority.get().cloned();
        authority.ok_or_else(|| ServiceError::Impossible("there are no nodes here, and no authority".to_owned()))
    }

    async fn record(&self, caller: &Caller, action: &'static str, detail: String) -> Result<(), ServiceError> {
        let event =
            Event { actor: caller.name.clone(), action, object: "authority".to_owned(), detail, ..Event::default() };
        let written = self.store().write(move |db| Ok(audit::record(db, Timestamp::now(), event)?)).await;
        written
            .map_err(|error: ServiceError| error.after("the authorities were changed, which is not in the audit log"))
    }

    /// What kept the authorities from being changed.
    fn failed(&self, error: AuthorityError) -> ServiceError {
        let error = match error {
            AuthorityError::Io(error) => {
                self.store().told(StoreError::Io(self.store().folder().path().to_owned(), error))
            }
            error => {
                tracing::error!(%error, "the authorities could not be changed");
                return ServiceError::Impossible(format!("nothing has changed: {error}"));
            }
        };
        error.into()
    }
}

fn authorities(authority: &Authority, nodes: &Nodes) -> Authorities {
    let nodes = nodes.certificates();
    let abouts = authority.all();
    let signing = abouts.iter().find(|about| about.signs).map(|about| about.name.clone());
    let has = |name: &str| {
        let of_it = nodes.iter().filter(|(_, by, is_connected)| *is_connected && by.as_deref() == Some(name));
        of_it.map(|(node, ..)| node.clone()).collect()
    };
    let behind = nodes.iter().filter(|(_, by, _)| *by != signing).map(|(node, ..)| node.clone()).collect();
    let all = abouts.into_iter().map(|about| {
        let nodes = has(&about.name);
        (about, nodes)
    });
    Authorities { all: all.collect(), behind }
}
