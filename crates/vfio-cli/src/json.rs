//! JSON on standard output and standard error: one document, `"format": 1`.

use serde::Serialize;
use serde_json::{Map, Value, json};
use vfio_core::change::{Change, Image, Plan};

use crate::output;

/// Prints `value`, which is an object, as one document; `"format": 1` is added.
pub fn print(mut value: Value) {
    if let Some(object) = value.as_object_mut() {
        object.insert("format".to_owned(), json!(1));
    }
    output::data(&format!("{value:#}"));
}

/// What a mutating program did, or would do.
#[derive(Serialize)]
pub(crate) struct Outcome<'a> {
    pub changed: bool,
    pub dry_run: bool,
    pub operation: Option<u32>,
    pub reboot_required: bool,
    pub files: Vec<Value>,
    pub rebuilds: Vec<String>,
    pub by_hand: &'a [String],
    pub notes: &'a [String],
    pub warnings: Vec<Value>,
}

impl Outcome<'_> {
    pub(crate) fn print(&self, data: &Map<String, Value>) {
        let mut document = serde_json::to_value(self).unwrap_or_default();
        if let Some(object) = document.as_object_mut() {
            object.extend(data.clone());
        }
        print(document);
    }
}

/// Each warning of `plan` with the ways out.
pub(crate) fn warnings(plan: &Plan) -> Vec<Value> {
    plan.warnings.iter().map(|w| json!({ "what": w.what, "help": w.help })).collect()
}

/// Each change of `plan` with its whole text before and after.
pub(crate) fn files(plan: &Plan) -> Vec<Value> {
    plan.changes.iter().map(file).collect()
}

fn file(change: &Change) -> Value {
    json!({
        "path": format!("/{}", change.path),
        "before": image(&change.before),
        "after": image(&change.after),
    })
}

/// A file that not everyone may read stays unread here too.
fn image(image: &Image) -> Value {
    match image {
        Image::Absent => Value::Null,
        Image::Link(target) => json!({ "link": target }),
        _ if image.is_secret() => json!({ "secret": true }),
        Image::File { bytes, meta } if !bytes.contains(&0) => json!({
            "mode": format!("{:04o}", meta.mode),
            "text": String::from_utf8_lossy(bytes),
        }),
        // No text: what tells it from others.
        Image::File { meta, .. } | Image::Unkept { meta, .. } => json!({
            "mode": format!("{:04o}", meta.mode),
            "size": image.size(),
            "sha256": image.sha256(),
        }),
    }
}

pub(crate) fn error(what: &str, because: &[String], help: &[String], exit: u8) {
    let document = json!({
        "format": 1,
        "error": { "what": what, "because": because, "help": help, "exit": exit },
    });
    output::talk(&format!("{document:#}"));
}
