//! What somebody has to put into a guest's definition, after a plan is carried out.

use serde_json::{Map, Value, json};
use vfio_cli::Context;

/// The XML that a feature needs in a guest.
pub(crate) struct ForGuest {
    /// The feature, as `--json` names it.
    pub(crate) feature: &'static str,
    /// What `--json` says of it beside the XML: an object.
    pub(crate) data: Value,
    /// The element that it belongs into.
    pub(crate) inside: &'static str,
    /// The XML.
    pub(crate) xml: String,
}

impl ForGuest {
    /// What `--json` says beside the outcome.
    pub(crate) fn data(all: &[Self]) -> Map<String, Value> {
        let one = |each: &Self| {
            let mut data = each.data.clone();
            data["xml"] = json!({ "inside": each.inside, "text": each.xml });
            (each.feature.to_owned(), data)
        };
        all.iter().map(one).collect()
    }

    /// The same for people: what belongs into one element stands together.
    pub(crate) fn tell(all: &[Self], cx: &Context) {
        if cx.global().json {
            return;
        }
        for inside in ["devices", "domain"] {
            let xml = all.iter().filter(|each| each.inside == inside).map(|each| each.xml.as_str());
            let xml: String = xml.collect();
            if !xml.is_empty() {
                cx.say(format!("For the guest's XML (`virsh edit`), inside <{inside}>:"));
                cx.print(xml.trim_end());
            }
        }
    }
}
