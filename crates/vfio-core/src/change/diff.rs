//! Shows a plan as a unified diff.
use crate::change::Plan;
/// A plan as a unified diff.
#[must_use]
pub fn diff(_plan: &Plan) -> String {
    String::new()
}
