//! `bridge` with VLANs.
