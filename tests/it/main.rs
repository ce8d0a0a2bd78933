//! Tests of the whole: the programs on described machines, and the source itself.

#![allow(clippy::disallowed_methods, reason = "tests read the source and run programs")]

mod by_hand;
mod install;
mod journal;
mod original;
mod pages;
mod plugins;
mod product;
mod readme;
mod refusals;
mod security;
mod setup;
mod shells;
mod snapshot;
mod tidy;
mod tools;
mod user;
mod wizard;
mod written;
