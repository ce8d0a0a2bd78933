//! The file: `<xml>` around one `<iommu id="14" dev_id="0000:01:00.0" driver="nvidia"/>` a device.
//!
//! The first deploy-vfio wrote it so, and read it with xmllint. Whatever it does not have is
//! refused, not passed over. Document types, and with them entities, are refused before the parser
//! sees them, as are namespaces and tags with so many attributes that comparing them takes long.

use std::collections::BTreeSet;

use roxmltree::{Attribute, Document, Node, ParsingOptions};
use vfio_core::{Address, layout::VFIO_PCI};

use crate::{
    Error, Known, Position,
    database::{LARGEST, is_plain},
};

/// What a database has no use for.
const REFUSED: [(&str, &str); 4] = [
    ("<!DOCTYPE", "a document type has no place here"),
    ("<!ENTITY", "an entity has no place here"),
    ("\0", "a NUL byte has no place here"),
    ("xmlns", "a namespace has no place here"),
];

/// More attributes than any tag has.
const MOST_EQUALS: usize = 256;

/// Elements and the texts between them: far more devices than fit into a machine.
const MOST_NODES: u32 = 100_000;

/// The bytes as text.
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, Error> {
    str::from_utf8(bytes).map_err(|error| {
        let good = str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
        wrong(good, good.len(), "not UTF-8 text")
    })
}

/// What is wrong with a file of more than [`LARGEST`] bytes.
pub(crate) fn too_large(bytes: &[u8]) -> Error {
    let text = String::from_utf8_lossy(&bytes[..LARGEST.min(bytes.len())]);
    let what = format!("a database of drivers is at most {} MiB large", LARGEST >> 20);
    wrong(&text, text.len(), what)
}

/// Where a file says something of a device; `None` when it is no XML or does not.
pub(crate) fn place(bytes: &[u8], device: Address) -> Option<Position> {
    let text = str::from_utf8(bytes).ok()?;
    let document = Document::parse(text).ok()?;
    let is_it = |node: &Node<'_, '_>| {
        node.attribute("dev_id").and_then(|id| address(id).ok()) == Some(device)
    };
    let node = document.root_element().children().find(is_it)?;
    Some(position(text, node.range().start))
}

/// The devices in a file's text, in its order.
pub(crate) fn read(text: &str) -> Result<Vec<Known>, Error> {
    harmless(text)?;
    let options =
        ParsingOptions { allow_dtd: false, nodes_limit: MOST_NODES, ..Default::default() };
    let document = Document::parse_with_options(text, options).map_err(|e| malformed(text, &e))?;
    let reader = Reader { text };
    let root = document.root_element();
    if root.tag_name().name() != "xml" {
        let what = format!("the outer element is `{}`, not `xml`", shown(root.tag_name().name()));
        return Err(reader.wrong(root, what));
    }
    if let Some(attribute) = root.attributes().next() {
        return Err(reader.unknown(&attribute, "xml"));
    }
    reader.devices(root)
}

/// A file's text for devices in this order.
pub(crate) fn write(devices: &[Known]) -> String {
    let line = |Known { group, address, driver }: &Known| {
        let driver = escaped(driver.as_deref().unwrap_or_default());
        format!("\t<iommu id=\"{group}\" dev_id=\"{address}\" driver=\"{driver}\"/>\n")
    };
    format!("<xml>\n{}</xml>\n", devices.iter().map(line).collect::<String>())
}

/// Text as it may stand between the quotes of an attribute.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' | '\n' | '\r' => escaped.push_str(&format!("&#{};", u32::from(c))),
            c => escaped.push(c),
        }
    }
    escaped
}

struct Reader<'t> {
    text: &'t str,
}

impl Reader<'_> {
    fn devices(&self, root: Node<'_, '_>) -> Result<Vec<Known>, Error> {
        let (mut devices, mut seen) = (Vec::new(), BTreeSet::new());
        let (mut first, mut on_vfio) = (None, Vec::new());
        for node in root.children().filter(|node| !is_blank(node)) {
            if !node.is_element() || node.tag_name().name() != "iommu" {
                return Err(self.wrong(node, format!("{}, where `iommu` should be", name(&node))));
            }
            let known = self.device(node)?;
            if !seen.insert(known.address) {
                return Err(self.wrong(node, format!("{} is there already", known.address)));
            }
            // The modules are called with `_`, the drivers with `-`.
            if known.driver.as_deref().is_some_and(|d| d.replace('_', "-") == VFIO_PCI) {
                first.get_or_insert(position(self.text, node.range().start));
                on_vfio.push(known.address);
            }
            devices.push(known);
        }
        match on_vfio.is_empty() {
            true => Ok(devices),
            false => Err(Error::Bound { at: first, devices: on_vfio }),
        }
    }

    fn device(&self, node: Node<'_, '_>) -> Result<Known, Error> {
        if let Some(child) = node.children().find(|child| !is_blank(child)) {
            return Err(self.wrong(child, format!("{} inside `iommu`", name(&child))));
        }
        let mine =
            |attribute: &Attribute<'_, '_>| ["id", "dev_id", "driver"].contains(&attribute.name());
        if let Some(attribute) = node.attributes().find(|attribute| !mine(attribute)) {
            return Err(self.unknown(&attribute, "iommu"));
        }
        let attribute = |name| {
            let found = node.attribute_node(name);
            found.ok_or_else(|| self.wrong(node, format!("`iommu` without `{name}`")))
        };
        Ok(Known {
            group: self.value(attribute("id")?, group)?,
            address: self.value(attribute("dev_id")?, address)?,
            driver: self.value(attribute("driver")?, driver)?,
        })
    }

    fn value<T>(
        &self,
        attribute: Attribute<'_, '_>,
        parse: fn(&str) -> Result<T, String>,
    ) -> Result<T, Error> {
        let at = attribute.range_value().start;
        parse(attribute.value()).map_err(|what| wrong(self.text, at, what))
    }

    fn unknown(&self, attribute: &Attribute<'_, '_>, of: &str) -> Error {
        let what = format!("`{of}` has no attribute `{}`", shown(attribute.name()));
        wrong(self.text, attribute.range().start, what)
    }

    fn wrong(&self, node: Node<'_, '_>, what: String) -> Error {
        wrong(self.text, node.range().start, what)
    }
}

/// Comments and white space mean nothing.
fn is_blank(node: &Node<'_, '_>) -> bool {
    node.is_comment() || (node.is_text() && node.text().unwrap_or_default().trim().is_empty())
}

fn name(node: &Node<'_, '_>) -> String {
    match node.is_element() {
        true => format!("`{}`", shown(node.tag_name().name())),
        false => "text".to_owned(),
    }
}

fn group(text: &str) -> Result<u32, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| text.parse().ok()).flatten();
    number.ok_or_else(|| format!("`{}` is not the number of an IOMMU group", shown(text)))
}

/// The domain may be left out, as `lspci` does.
fn address(text: &str) -> Result<Address, String> {
    let short = text.matches(':').count() == 1;
    let whole = if short { format!("0000:{text}") } else { text.to_owned() };
    let not = || format!("`{}` is not a PCI address; one looks like `0000:01:00.0`", shown(text));
    whole.parse().map_err(|_| not())
}

fn driver(text: &str) -> Result<Option<String>, String> {
    match text {
        "" => Ok(None),
        text if is_plain(text) => Ok(Some(text.to_owned())),
        text => Err(format!("`{}` is not the name of a driver", shown(text))),
    }
}

/// Refuses what would cost the parser much or lead it elsewhere, wherever it stands.
fn harmless(text: &str) -> Result<(), Error> {
    if text.trim().is_empty() {
        return Err(wrong(text, 0, "the file is empty"));
    }
    for (odd, what) in REFUSED {
        if let Some(at) = text.find(odd) {
            return Err(wrong(text, at, what));
        }
    }
    // Each attribute has a `=`, and no attribute holds a `<`.
    let mut equals = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'<' => equals = 0,
            b'=' => equals += 1,
            _ => {}
        }
        if equals > MOST_EQUALS {
            return Err(wrong(text, at, format!("more than {MOST_EQUALS} attributes")));
        }
    }
    Ok(())
}

/// What the parser says, without its own spelling of the place.
fn malformed(text: &str, error: &roxmltree::Error) -> Error {
    use roxmltree::Error as Xml;
    match error {
        Xml::UnclosedRootNode | Xml::UnexpectedEndOfStream => {
            wrong(text, text.len(), "the file ends too early")
        }
        Xml::NoRootNode => wrong(text, text.len(), "the file has no `xml` element"),
        Xml::NodesLimitReached => {
            wrong(text, 0, format!("more than {MOST_NODES} elements and texts"))
        }
        error => {
            let at = error.pos();
            let what = error.to_string().replace(&format!(" at {at}"), "");
            let what = visible(&what, 120);
            let at = Position { line: at.row as usize, column: at.col as usize };
            Error::Malformed { at, what }
        }
    }
}

fn wrong(text: &str, at: usize, what: impl Into<String>) -> Error {
    Error::Malformed { at: position(text, at), what: what.into() }
}

/// The line and column of a byte.
fn position(text: &str, at: usize) -> Position {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Position { line, column }
}

/// Foreign text, short and without what a terminal would obey.
fn shown(text: &str) -> String {
    visible(text, 40)
}

/// As many characters of a text, odd ones as escapes.
fn visible(text: &str, longest: usize) -> String {
    let quoted = |c: char| match c {
        '\'' | '"' => c.to_string(),
        c => c.escape_debug().to_string(),
    };
    text.chars().take(longest).map(quoted).collect()
}

#[cfg(test)]
mod tests;
