//! The control plane: the configuration people write, compiled into snapshots.
//!
//! The life of one configuration goes through the modules in this order: [`language`] reads what people wrote, [`source`] does so
//! for a file and the files it names, [`compile`] turns it into what a node runs, [`publish`] hands that to the nodes,
//! which [`sync`] lets in by certificates of the [`authority`]. [`store`]
//! keeps what outlives the process, [`secrets`] seals what of that must not be read, and [`audit`]
//! remembers who did what. See the crate's README.

pub mod api;
pub mod app;
pub mod audit;
pub mod authority;
pub mod compile;
mod hex;
pub mod language;
pub mod listen;
pub mod log;
pub mod publish;
pub mod secrets;
pub mod service;
pub mod settings;
pub mod source;
pub mod store;
pub mod sync;
