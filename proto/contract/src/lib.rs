//! The wire contract between the planes: generated code only.
