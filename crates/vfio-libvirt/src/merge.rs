//! A definition with what it needs in it, every other byte as it was.
//!
//! What is wanted is a `<domain>` of which every element, attribute and text is to be there. An
//! element that is there already ([`same`]) gets what it lacks; one that is not comes last in its
//! parent. What libvirt or a person added to them stays.

use std::ops::Range;

use roxmltree::Node;

use crate::{
    Error,
    markup::{INDENT, domain, escaped, text, written},
    same::{agrees, is_meant, is_other_model, is_surplus, is_theirs, is_whole, same},
};

/// The definition `there` with all of what `wanted` has.
///
/// # Errors
///
/// Either is no XML, is too long, has a document type or is no `<domain>`.
pub fn merge(there: &str, wanted: &str) -> Result<String, Error> {
    let (document, wanted) = (domain(there)?, domain(wanted)?);
    let mut edits = Edits { text: there, edits: Vec::new() };
    edits.element(document.root_element(), wanted.root_element());
    let merged = edits.done();
    // What we made is what we can read.
    domain(&merged)?;
    Ok(merged)
}

/// Replacements in a text.
struct Edits<'t> {
    text: &'t str,
    edits: Vec<(Range<usize>, String)>,
}

impl Edits<'_> {
    fn element(&mut self, there: Node<'_, '_>, wanted: Node<'_, '_>) {
        if is_whole(wanted) || is_other_model(there, wanted) {
            if !agrees(there, wanted) || is_other_model(there, wanted) {
                let new = written(wanted, &self.indent(there), Some(there));
                self.edits.push((there.range(), new.trim_start().to_owned()));
            }
            return;
        }
        self.attributes(there, wanted);
        if let Some(new) = text(wanted) {
            if text(there) != Some(new) {
                self.content(there, escaped(new));
            }
            self.current(there, new);
            return;
        }
        let mut lacking = Vec::new();
        for child in wanted.children().filter(Node::is_element) {
            match there.children().find(|node| node.is_element() && same(*node, child)) {
                Some(found) => self.element(found, child),
                None => lacking.push(child),
            }
        }
        let lacking = with_options(wanted, lacking);
        for surplus in there.children().filter(|node| is_surplus(*node, wanted)) {
            self.remove(surplus.range());
        }
        self.append(there, &lacking);
    }

    fn attributes(&mut self, there: Node<'_, '_>, wanted: Node<'_, '_>) {
        let mut new = String::new();
        for attribute in wanted.attributes() {
            let (name, value) = (attribute.name(), attribute.value());
            match there.attribute_node(name) {
                Some(_) if is_theirs(there, name) => {}
                Some(old) if old.value() == value => {}
                Some(old) => self.edits.push((old.range_value(), escaped(value))),
                None if is_meant(there, name) => {}
                None => new += &format!(" {name}='{}'", escaped(value)),
            }
        }
        if !new.is_empty() {
            let at = self.name_end(there);
            self.edits.push((at..at, new));
        }
    }

    /// Of so many virtual CPUs, not more can be there at the start.
    fn current(&mut self, there: Node<'_, '_>, count: &str) {
        let number = |text: &str| text.trim().parse::<u64>().unwrap_or(u64::MAX);
        let current = there.attribute_node("current").filter(|_| there.has_tag_name("vcpu"));
        if let Some(current) = current.filter(|now| number(now.value()) > number(count)) {
            self.edits.push((current.range_value(), count.to_owned()));
        }
    }

    /// Where the name in an element's first tag ends.
    fn name_end(&self, node: Node<'_, '_>) -> usize {
        let start = node.range().start;
        let tag = &self.text[start..node.range().end];
        let end = tag.find(|c: char| c.is_ascii_whitespace() || c == '/' || c == '>');
        start + end.unwrap_or(tag.len())
    }

    /// The inside of an element: where its text and its elements are; `None` of `<a/>`.
    fn inside(&self, node: Node<'_, '_>) -> Option<Range<usize>> {
        let range = node.range();
        let element = &self.text[range.clone()];
        let end = range.start + element.rfind("</")?;
        let first = node.first_child().map(|child| child.range().start);
        // Without anything inside, the first tag ends where the last one begins.
        Some(first.unwrap_or(end)..end)
    }

    /// Puts `new` inside an element instead of what is there.
    fn content(&mut self, node: Node<'_, '_>, new: String) {
        match self.inside(node) {
            Some(range) => self.edits.push((range, new)),
            None => self.open(node, &new),
        }
    }

    /// Turns `<a/>` into `<a>…</a>`.
    fn open(&mut self, node: Node<'_, '_>, inside: &str) {
        let range = node.range();
        let name = &self.text[range.start + 1..self.name_end(node)];
        self.edits.push((range.end - 2..range.end, format!(">{inside}</{name}>")));
    }

    /// Adds elements at the end of `parent`.
    fn append(&mut self, parent: Node<'_, '_>, elements: &[Node<'_, '_>]) {
        if elements.is_empty() {
            return;
        }
        let outer = self.indent(parent);
        let last = parent.children().rfind(|node| !node.is_text());
        let indent = match last {
            Some(last) => self.indent(last),
            None => format!("{outer}{INDENT}"),
        };
        let new = elements.iter().map(|new| format!("\n{}", written(*new, &indent, Some(parent))));
        let new: String = new.collect();
        match (last, self.inside(parent)) {
            (Some(last), _) => self.edits.push((last.range().end..last.range().end, new)),
            (None, Some(inside)) => self.edits.push((inside, format!("{new}\n{outer}"))),
            (None, None) => self.open(parent, &format!("{new}\n{outer}")),
        }
    }

    /// What stands before an element on its line, where that is nothing but blanks.
    fn indent(&self, node: Node<'_, '_>) -> String {
        let before = &self.text[..node.range().start];
        let line = &before[before.rfind('\n').map_or(0, |at| at + 1)..];
        let blank = line.bytes().all(|byte| byte == b' ' || byte == b'\t');
        if blank { line.to_owned() } else { String::new() }
    }

    /// Removes an element, with its line where it stands alone there.
    fn remove(&mut self, range: Range<usize>) {
        let before = self.text[..range.start].trim_end_matches([' ', '\t']);
        let alone = before.ends_with('\n') && self.text[range.end..].starts_with(['\n', '\r']);
        let line =
            before.strip_suffix('\n').map(|before| before.strip_suffix('\r').unwrap_or(before));
        let start = line.filter(|_| alone).map_or(range.start, str::len);
        self.edits.push((start..range.end, String::new()));
    }

    fn done(mut self) -> String {
        self.edits.sort_by_key(|(range, _)| (range.start, range.end));
        let mut out = String::with_capacity(self.text.len() + 1024);
        let mut at = 0;
        for (range, new) in &self.edits {
            out += &self.text[at..range.start];
            out += new;
            at = range.end;
        }
        out + &self.text[at..]
    }
}

/// An argument of QEMU belongs to the option before it, which may be there for others.
fn with_options<'a, 'i>(wanted: Node<'a, 'i>, lacking: Vec<Node<'a, 'i>>) -> Vec<Node<'a, 'i>> {
    if wanted.tag_name().name() != "commandline" {
        return lacking;
    }
    let is_option =
        |node: &Node<'_, '_>| node.attribute("value").is_some_and(|value| value.starts_with('-'));
    let values = lacking.into_iter().filter(|node| !is_option(node));
    values.flat_map(|value| value.prev_sibling_element().into_iter().chain([value])).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As libvirt writes a guest, with comments of a person's.
    const GUEST: &str = "<!--\nWARNING: generated\n-->\n\n<domain type='kvm'>
  <name>win10</name>
  <vcpu placement='static' cpuset='0-7'>8</vcpu>
  <cputune>
    <shares>2048</shares>
    <vcpupin vcpu='0' cpuset='0'/>
    <vcpupin vcpu='7' cpuset='7'/>
  </cputune>
  <cpu mode='host-model' check='partial'>
    <topology sockets='8' dies='1' cores='1' threads='1'/>
  </cpu>
  <devices>
    <!-- mine -->
    <hostdev mode='subsystem' type='pci' managed='no'>
      <driver name='vfio'/>
      <source>
        <address domain='0x0000' bus='1' slot='0x00' function='0x0'/>
      </source>
      <address type='pci' domain='0x0000' bus='0x06' slot='0x00' function='0x0'/>
    </hostdev>
    <memballoon model='virtio'>
      <address type='pci' domain='0x0000' bus='0x05' slot='0x00' function='0x0'/>
    </memballoon>
  </devices>
</domain>
";

    const WANTED: &str = "<domain><vcpu placement='static'>2</vcpu><iothreads>1</iothreads>
        <cputune><vcpupin vcpu='0' cpuset='2'/><vcpupin vcpu='1' cpuset='6'/>
        <emulatorpin cpuset='0-1'/></cputune>
        <cpu mode='host-passthrough'><topology sockets='1' cores='1' threads='2'/></cpu>
        <devices><hostdev mode='subsystem' type='pci' managed='yes'><source>
        <address domain='0x0000' bus='0x01' slot='0x00' function='0x0'/></source></hostdev>
        <hostdev mode='subsystem' type='pci' managed='yes'><source>
        <address domain='0x0000' bus='0x01' slot='0x00' function='0x1'/></source></hostdev>
        <memballoon model='none'/></devices></domain>";

    fn again(there: &str, wanted: &str) -> String {
        let merged = merge(there, wanted).unwrap();
        assert_eq!(merge(&merged, wanted).unwrap(), merged, "the second time");
        merged
    }

    #[test]
    fn what_is_there_stays_and_what_is_lacking_comes() {
        insta::assert_snapshot!(again(GUEST, WANTED), @r"
        <!--
        WARNING: generated
        -->

        <domain type='kvm'>
          <name>win10</name>
          <vcpu placement='static' cpuset='0-7'>2</vcpu>
          <cputune>
            <shares>2048</shares>
            <vcpupin vcpu='0' cpuset='2'/>
            <vcpupin vcpu='1' cpuset='6'/>
            <emulatorpin cpuset='0-1'/>
          </cputune>
          <cpu mode='host-model' check='partial'>
            <topology sockets='1' cores='1' threads='2'/>
          </cpu>
          <devices>
            <!-- mine -->
            <hostdev mode='subsystem' type='pci' managed='yes'>
              <driver name='vfio'/>
              <source>
                <address domain='0x0000' bus='0x01' slot='0x00' function='0x0'/>
              </source>
              <address type='pci' domain='0x0000' bus='0x06' slot='0x00' function='0x0'/>
            </hostdev>
            <memballoon model='none'/>
            <hostdev mode='subsystem' type='pci' managed='yes'>
              <source>
                <address domain='0x0000' bus='0x01' slot='0x00' function='0x1'/>
              </source>
            </hostdev>
          </devices>
          <iothreads>1</iothreads>
        </domain>
        ");
    }

    #[test]
    fn an_element_without_an_inside_gets_one() {
        for (there, merged) in [
            ("<domain/>", "<domain>\n  <a>\n    <b c='1'/>\n  </a>\n</domain>"),
            ("<domain></domain>", "<domain>\n  <a>\n    <b c='1'/>\n  </a>\n</domain>"),
            ("<domain>\n  <a/>\n</domain>", "<domain>\n  <a>\n    <b c='1'/>\n  </a>\n</domain>"),
            (
                "<domain>\n\t<a  d='2' />\n</domain>",
                "<domain>\n\t<a  d='2' >\n\t  <b c='1'/>\n\t</a>\n</domain>",
            ),
            ("<domain><a><b c=\"0\"/></a></domain>", "<domain><a><b c=\"1\"/></a></domain>"),
            ("<domain><a><b/></a></domain>", "<domain><a><b c='1'/></a></domain>"),
        ] {
            assert_eq!(again(there, "<domain><a><b c='1'/></a></domain>"), merged);
        }
        let text = "<domain><vcpu>4</vcpu></domain>";
        for there in [
            "<domain><vcpu/></domain>",
            "<domain><vcpu></vcpu></domain>",
            "<domain><vcpu> 2 </vcpu></domain>",
        ] {
            assert_eq!(again(there, text), text);
        }
    }

    #[test]
    fn arguments_of_qemu_come_with_their_options_and_are_told_by_their_ids() {
        let wanted = |keys: &str| {
            format!(
                "<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\
                 <qemu:commandline><qemu:arg value='-object'/><qemu:arg \
                 value='input-linux,id=evdev1,evdev=/dev/input/k,grab-toggle={keys}'/>\
                 <qemu:arg value='-object'/><qemu:arg value='input-linux,id=evdev2'/>\
                 </qemu:commandline></domain>"
            )
        };
        let merged = again("<domain type='kvm'>\n</domain>", &wanted("a"));
        insta::assert_snapshot!(merged, @r"
        <domain type='kvm'>
          <qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
            <qemu:arg value='-object'/>
            <qemu:arg value='input-linux,id=evdev1,evdev=/dev/input/k,grab-toggle=a'/>
            <qemu:arg value='-object'/>
            <qemu:arg value='input-linux,id=evdev2'/>
          </qemu:commandline>
        </domain>
        ");
        let changed = again(&merged, &wanted("b"));
        assert_eq!(changed, merged.replace("toggle=a", "toggle=b"));
        let theirs = "<domain xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'>
  <q:commandline>
    <q:arg value='-object'/>
    <q:arg value='rng-random,id=r'/>
  </q:commandline>
</domain>";
        insta::assert_snapshot!(again(theirs, &wanted("a")), @r"
        <domain xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'>
          <q:commandline>
            <q:arg value='-object'/>
            <q:arg value='rng-random,id=r'/>
            <q:arg value='-object'/>
            <q:arg value='input-linux,id=evdev1,evdev=/dev/input/k,grab-toggle=a'/>
            <q:arg value='-object'/>
            <q:arg value='input-linux,id=evdev2'/>
          </q:commandline>
        </domain>
        ");
    }

    #[test]
    fn what_would_not_fit_beside_the_new_goes() {
        for (there, wanted, merged) in [
            ("<vcpu current='4'>8</vcpu>", "<vcpu>2</vcpu>", "<vcpu current='2'>2</vcpu>"),
            ("<vcpu current='1'>8</vcpu>", "<vcpu>2</vcpu>", "<vcpu current='1'>2</vcpu>"),
            (
                "<cpu><topology sockets='1' dies='2'/></cpu>",
                "<cpu><topology sockets='1'/></cpu>",
                "<cpu><topology sockets='1'/></cpu>",
            ),
            (
                "<cpu><topology sockets='1' dies='1'/></cpu>",
                "<cpu><topology sockets='1'/></cpu>",
                "<cpu><topology sockets='1' dies='1'/></cpu>",
            ),
            (
                "<cpu match='exact'><model>x</model></cpu>",
                "<cpu mode='host-passthrough'/>",
                "<cpu match='exact'><model>x</model></cpu>",
            ),
            (
                "<shmem name='a'><model type='ivshmem-doorbell'/><server/></shmem>",
                "<shmem name='a'><model type='ivshmem-plain'/></shmem>",
                "<shmem name='a'>\n  <model type='ivshmem-plain'/>\n</shmem>",
            ),
        ] {
            let domain = |inner: &str| format!("<domain>{inner}</domain>");
            assert_eq!(again(&domain(there), &domain(wanted)), domain(merged));
        }
        let crlf = "<domain>\r\n<cputune>\r\n<vcpupin vcpu='0'/>\r\n<vcpupin vcpu='1'/>\r\n\
                    </cputune>\r\n</domain>";
        let merged = again(crlf, "<domain><cputune><vcpupin vcpu='0'/></cputune></domain>");
        assert_eq!(merged, crlf.replace("\r\n<vcpupin vcpu='1'/>", ""));
        let kept = "<domain><cputune><?keep me?></cputune></domain>";
        assert!(again(kept, "<domain><cputune><a/></cputune></domain>").contains("<?keep me?>"));
    }

    #[test]
    fn hostile_words_stay_inside_their_attributes() {
        let wanted = "<domain><a b=\"&apos;/>&lt;x&#10;\">&lt;/a>&amp;</a></domain>";
        let merged = again("<domain><a b='1'>t</a></domain>", wanted);
        assert_eq!(merged, "<domain><a b='&apos;/&gt;&lt;x&#10;'>&lt;/a&gt;&amp;</a></domain>");
    }

    /// A small element of the words that merging knows.
    #[derive(Clone, Debug)]
    struct Element {
        name: &'static str,
        value: u8,
        space: String,
        inner: Vec<Element>,
    }

    impl Element {
        fn xml(&self) -> String {
            let Self { name, value, space, inner } = self;
            let tag = format!("{space}<{name} vcpu='{value}' name=\"{value}\"");
            match inner.is_empty() {
                true => tag + "/>",
                false => format!("{tag}>{}{space}</{name}>", xml(inner)),
            }
        }

        /// Without what says the same twice: what is wanted never does.
        fn once(&self) -> Self {
            Self { inner: once(&self.inner), ..self.clone() }
        }
    }

    fn xml(elements: &[Element]) -> String {
        elements.iter().map(Element::xml).collect()
    }

    fn once(elements: &[Element]) -> Vec<Element> {
        let mut kept: Vec<Element> = Vec::new();
        for element in elements {
            let key =
                |e: &Element| (e.name, ["vcpupin", "shmem"].contains(&e.name).then_some(e.value));
            if !kept.iter().any(|other| key(other) == key(element)) {
                kept.push(element.once());
            }
        }
        kept
    }

    fn elements() -> impl Strategy<Value = Vec<Element>> {
        let names = ["vcpupin", "cputune", "shmem", "topology", "a"];
        let new = move |inner| {
            (prop::sample::select(names.to_vec()), 0..3u8, "[ \n]{0,2}", inner)
                .prop_map(|(name, value, space, inner)| Element { name, value, space, inner })
        };
        let element = new(Just(Vec::new()).boxed())
            .prop_recursive(3, 16, 4, move |inner| new(prop::collection::vec(inner, 0..4).boxed()));
        prop::collection::vec(element, 0..5)
    }

    proptest! {
        #[test]
        fn merging_twice_is_merging_once(there in elements(), wanted in elements()) {
            let domain = |inner: &[Element]| format!("<domain>{}</domain>", xml(inner));
            let (there, wanted) = (domain(&there), domain(&once(&wanted)));
            let merged = merge(&there, &wanted).unwrap();
            prop_assert_eq!(&merge(&merged, &wanted).unwrap(), &merged);
            prop_assert_eq!(&merge(&wanted, &wanted).unwrap(), &wanted);
        }
    }
}
