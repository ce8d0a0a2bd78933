//! What a guest's definition says about its processors, for libvirt.

use std::fmt::Write as _;

use vfio_core::host::{Cpu, Vendor};

use crate::{Core, Split};

impl Split {
    /// The elements of a libvirt domain that give one guest all the guests' CPUs: one virtual CPU
    /// a thread, siblings beside each other, and the emulator's own threads on the host's CPUs.
    #[must_use]
    pub fn domain_xml(&self, cpu: &Cpu) -> String {
        self.domain_xml_for(cpu, self.guest_cpus().len(), true)
    }

    /// The same for a guest with this many virtual CPUs, which is given the first of the guests'
    /// CPUs; with `passthrough` it sees the host's processor as it is.
    #[must_use]
    pub fn domain_xml_for(&self, cpu: &Cpu, vcpus: usize, passthrough: bool) -> String {
        let threads = self.guest.iter().flat_map(|core| core.threads.iter().copied());
        let threads: Vec<u32> = threads.take(vcpus).collect();
        let mut xml = format!("<vcpu placement='static'>{}</vcpu>\n<cputune>\n", threads.len());
        for (virtual_cpu, thread) in threads.iter().enumerate() {
            let _ = writeln!(xml, "  <vcpupin vcpu='{virtual_cpu}' cpuset='{thread}'/>");
        }
        let _ = writeln!(xml, "  <emulatorpin cpuset='{}'/>\n</cputune>", self.host_cpus());
        if let Some(node) = self.guest_node() {
            let _ = writeln!(
                xml,
                "<numatune>\n  <memory mode='strict' nodeset='{node}'/>\n</numatune>"
            );
        }
        let siblings = siblings(&self.guest, threads.len());
        let _ = writeln!(
            xml,
            "<cpu mode='host-passthrough'>\n  <topology sockets='1' cores='{}' threads='{siblings}'/>",
            threads.len() / siblings
        );
        // Without it an AMD guest takes sibling threads for cores.
        if passthrough && siblings > 1 && cpu.vendor == Vendor::Amd {
            let _ = writeln!(xml, "  <feature policy='require' name='topoext'/>");
        }
        xml.push_str("</cpu>\n");
        xml.truncate(xml.trim_end().len());
        xml
    }

    /// The memory node that all of the guests' cores are on, on a machine that has others.
    fn guest_node(&self) -> Option<u32> {
        let node = self.guest.first()?.node?;
        let one = self.guest.iter().all(|core| core.node == Some(node));
        let others = self.host.iter().any(|core| core.node != Some(node));
        (one && others).then_some(node)
    }
}

/// How many threads a core has that a guest sees: one where its cores have not all as many, or
/// where its last core is not whole.
fn siblings(guest: &[Core], vcpus: usize) -> usize {
    let threads = guest.first().map_or(1, |core| core.threads.len()).max(1);
    let alike = guest.iter().all(|core| core.threads.len() == threads);
    if alike && vcpus.is_multiple_of(threads) { threads } else { 1 }
}

#[cfg(test)]
mod tests {
    use crate::{Request, split, topology::invented};

    fn xml(cores: &[(&str, &str)], amd: bool) -> String {
        let mut cpu = invented(cores);
        if amd {
            cpu.vendor = vfio_core::host::Vendor::Amd;
        }
        split(&cpu, &Request::Auto).unwrap().unwrap().domain_xml(&cpu)
    }

    #[test]
    fn siblings_are_neighbours_and_the_emulator_is_the_hosts() {
        insta::assert_snapshot!(
            xml(&[("0,3 @0", "0,3"), ("1,4 @1", "1-2,4-5"), ("2,5 @1", "1-2,4-5")], true),
            @r"
        <vcpu placement='static'>4</vcpu>
        <cputune>
          <vcpupin vcpu='0' cpuset='1'/>
          <vcpupin vcpu='1' cpuset='4'/>
          <vcpupin vcpu='2' cpuset='2'/>
          <vcpupin vcpu='3' cpuset='5'/>
          <emulatorpin cpuset='0,3'/>
        </cputune>
        <numatune>
          <memory mode='strict' nodeset='1'/>
        </numatune>
        <cpu mode='host-passthrough'>
          <topology sockets='1' cores='2' threads='2'/>
          <feature policy='require' name='topoext'/>
        </cpu>
        "
        );
        let mixed = xml(&[("0", ""), ("1", ""), ("2", ""), ("3,5", ""), ("4", "")], false);
        assert!(mixed.contains("cores='4' threads='1'") && !mixed.contains("numatune"), "{mixed}");
    }

    #[test]
    fn a_smaller_guest_has_whole_cores_where_it_can() {
        let mut cpu = invented(&[("0,4", ""), ("1,5", ""), ("2,6", ""), ("3,7", "")]);
        cpu.vendor = vfio_core::host::Vendor::Amd;
        let split = split(&cpu, &Request::HostCores(1)).unwrap().unwrap();
        for (vcpus, passthrough, topology) in [
            (6, true, "cores='3' threads='2'/>\n  <feature policy='require' name='topoext'/>"),
            (4, false, "cores='2' threads='2'/>\n</cpu>"),
            (3, true, "cores='3' threads='1'/>\n</cpu>"),
            (1, true, "cores='1' threads='1'/>\n</cpu>"),
        ] {
            let xml = split.domain_xml_for(&cpu, vcpus, passthrough);
            assert!(xml.contains(topology), "{vcpus}: {xml}");
            assert_eq!(xml.matches("<vcpupin").count(), vcpus);
        }
        let xml = split.domain_xml_for(&cpu, 3, true);
        assert!(xml.contains("vcpu='0' cpuset='1'/>\n  <vcpupin vcpu='1' cpuset='5'/>"), "{xml}");
    }
}
