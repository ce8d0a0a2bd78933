//! Facts about a machine, and changes to it.
