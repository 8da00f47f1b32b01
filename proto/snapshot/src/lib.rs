//! The validated snapshot a data plane runs: contract messages parsed into types that cannot be wrong.
