//! `features`
