//! Layered configuration with provenance: files, profile, environment, command line
