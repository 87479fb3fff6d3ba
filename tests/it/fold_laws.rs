//! fold_laws
