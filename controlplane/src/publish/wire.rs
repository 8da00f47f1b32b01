//! Faults as they are told over the wire.

use sluice_contract::v1;

use crate::language::{Fault, Segment};

/// A fault of a configuration, in the words of the contract.
pub(crate) fn fault(fault: Fault) -> v1::ConfigurationFault {
    let step = |segment: &Segment| match segment {
        Segment::Key(key) => key.clone(),
        Segment::Index(index) => index.to_string(),
    };
    v1::ConfigurationFault {
        path: fault.path.segments().iter().map(step).collect(),
        is_key: fault.is_key(),
        message: fault.message,
        advice: fault.advice.unwrap_or_default(),
        node: String::new(),
    }
}
