#!/bin/bash
# Managed by deploy-vfio: do not edit, `deploy-vfio undo` takes it away.
#
# Puts vfio-pci, and the script that binds devices before anything else can take
# them, into every initramfs.  dracut reads this file with its own bash.
#
# The script has the same name in there as in one of initramfs-tools, so that one
# look tells whether an initramfs has it.
# shellcheck disable=SC2154 # dracut sets moddir

check() {
	return 0
}

depends() {
	return 0
}

installkernel() {
	# Whatever this machine has loaded.  One by one: an unknown name must not
	# keep the other out.
	hostonly='' instmods vfio-pci
	hostonly='' instmods vfio_iommu_type1
	return 0
}

install() {
	inst_simple "$moddir/bind" /scripts/init-top/deploy-vfio
	inst_hook pre-udev 05 "$moddir/deploy-vfio.sh"
}
