//! What goes to guests on described machines, and laws over random ones.

mod binding;
mod booting;
mod describe;
mod files;
mod fixing;
mod laws;
mod protecting;
mod selecting;
