//! XML as text: read within limits, and written as libvirt writes it.

use roxmltree::{Document, Node, ParsingOptions};
use vfio_core::markup::out_of_bounds;

use crate::Error;

/// The longest definition that is read, as long as one that libvirt takes from a person.
const LONGEST: usize = 4 << 20;
const MOST_NODES: u32 = 100_000;
/// libvirt indents by so much.
pub(crate) const INDENT: &str = "  ";

/// A definition as a document: bounded, without a document type, and a `<domain>`.
pub(crate) fn domain(text: &str) -> Result<Document<'_>, Error> {
    if text.len() > LONGEST {
        return Err(Error::NotADomain(format!("it is longer than {} MiB", LONGEST >> 20)));
    }
    if let Some(why) = out_of_bounds(text) {
        return Err(Error::NotADomain(why));
    }
    let options = ParsingOptions { nodes_limit: MOST_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options)
        .map_err(|error| Error::NotADomain(error.to_string()))?;
    let root = document.root_element().tag_name();
    match (root.name(), root.namespace()) {
        ("domain", None) => Ok(document),
        ("domain", Some(_)) => Err(Error::NotADomain("its <domain> is in a namespace".to_owned())),
        (other, _) => Err(Error::NotADomain(format!("it is a <{}>", other.escape_debug()))),
    }
}

/// The elements below `node` along `names`.
pub(crate) fn path<'a, 'i>(node: Node<'a, 'i>, names: &[&str]) -> Vec<Node<'a, 'i>> {
    let mut found = vec![node];
    for name in names {
        let named = |child: &Node<'_, '_>| child.tag_name().name() == *name;
        found = found.iter().flat_map(Node::children).filter(named).collect();
    }
    found
}

/// The text of an element that has nothing but text.
pub(crate) fn text<'a>(node: Node<'a, '_>) -> Option<&'a str> {
    if node.children().any(|child| child.is_element()) {
        return None;
    }
    node.text().map(str::trim).filter(|text| !text.is_empty())
}

/// An element as text where `scope` is around it, without a line break at its end.
pub(crate) fn written(node: Node<'_, '_>, indent: &str, scope: Option<Node<'_, '_>>) -> String {
    let spaces = scope.into_iter().flat_map(|scope| scope.namespaces());
    let known = spaces
        .filter_map(|space| Some((space.uri().to_owned(), space.name()?.to_owned())))
        .collect();
    within(node, indent, known)
}

/// The same where these namespaces are `known`, each with its prefix.
fn within(node: Node<'_, '_>, indent: &str, mut known: Vec<(String, String)>) -> String {
    let mut name = node.tag_name().name().to_owned();
    let mut declared = String::new();
    if let Some(uri) = node.tag_name().namespace() {
        let prefix = match known.iter().find(|(space, _)| space == uri) {
            Some((_, prefix)) => prefix.clone(),
            None => {
                let prefix = node.lookup_prefix(uri).unwrap_or_default().to_owned();
                declared = format!(" xmlns:{prefix}='{}'", escaped(uri));
                known.push((uri.to_owned(), prefix.clone()));
                prefix
            }
        };
        name = format!("{prefix}:{name}");
    }
    let mut out = format!("{indent}<{name}{declared}");
    for attribute in node.attributes() {
        out += &format!(" {}='{}'", attribute.name(), escaped(attribute.value()));
    }
    let children: Vec<_> = node.children().filter(Node::is_element).collect();
    if let Some(text) = text(node) {
        return out + &format!(">{}</{name}>", escaped(text));
    }
    if children.is_empty() {
        return out + "/>";
    }
    out.push('>');
    for child in children {
        out.push('\n');
        out += &within(child, &format!("{indent}{INDENT}"), known.clone());
    }
    out + &format!("\n{indent}</{name}>")
}

/// Text as an attribute or an element holds it.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '\'' => out += "&apos;",
            '"' => out += "&quot;",
            // A parser would turn these into spaces.
            '\n' | '\r' | '\t' => out += &format!("&#{};", u32::from(c)),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_was_read() {
        let text = "<domain>\n  <name>a&amp;b</name>\n  <q:a xmlns:q='http://q/1.0'>\n    \
                    <q:b value='x=&apos;&#10;'/>\n    <c/>\n  </q:a>\n</domain>";
        let document = domain(text).unwrap();
        assert_eq!(written(document.root_element(), "", None), text);
    }

    #[test]
    fn what_is_no_guest_is_refused() {
        for bad in [
            "",
            "<domain>",
            "<network/>",
            "<domain xmlns='urn:x'/>",
            "<!DOCTYPE d [<!ENTITY a \"x\">]><domain>&a;</domain>",
            &format!("<domain>{}</domain>", " ".repeat(LONGEST)),
        ] {
            assert!(domain(bad).is_err(), "{}", bad.get(..60).unwrap_or(bad));
        }
    }
}
