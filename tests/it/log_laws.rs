//! log_laws
