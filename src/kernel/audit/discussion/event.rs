//! What the events tell beyond the state.
