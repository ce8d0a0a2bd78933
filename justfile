# What CI runs, recipe by recipe; `just` alone lists them.

default:
    @just --list

# Formatting
fmt:
    cargo fmt --all --check

# Clippy, warnings denied
lint:
    cargo clippy --workspace --all-targets --locked -- -D warnings

# Scripts that run on the target machine
assets:
    xargs shellcheck < tests/shell-scripts
    for script in crates/vfio-grub/assets/* crates/vfio-hugepages/assets/runtime-hugepages crates/vfio-iommu/assets/*; do dash -n "$script" || exit 1; done

# Documentation, broken links denied
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

# The main job on a sample machine, as the README shows it
demo:
    cargo xtask demo

# Every test that needs neither root nor network; with the machines that
# $DEPLOY_VFIO_MACHINES describes
test:
    #!/bin/sh
    # Thousands of small trees are written and synced: in memory, where there is room.
    room=$(df --output=avail /dev/shm 2>/dev/null | tail -n 1)
    [ "${room:-0}" -lt 4000000 ] || export TMPDIR=/dev/shm
    exec cargo test --workspace --locked

# Every parser, on what no person would write
fuzz:
    cargo fmt --check --manifest-path fuzz/Cargo.toml
    cargo xtask fuzz --seconds 60

# Kills, I/O errors, power cuts and user edits at the steps of the real programs; all of them
# without --quick
faults:
    cargo xtask faults --quick

# The statically linked programs in an empty root
live:
    cargo xtask live

# The Debian package, and what lintian says of it
package:
    cargo xtask package

# A real Debian machine in QEMU, reboots included
vm:
    cargo xtask vm --jobs 2

# Real libvirt daemons of Debian 11, 12 and 13; `ci` unpacks one of them only
libvirt *releases:
    cargo xtask libvirt {{releases}}

# A real PipeWire with the loopback that `audio-loopback` sets up
sound:
    cargo xtask sound

# Dependencies: licences, sources, duplicates
deny:
    cargo deny --offline check bans licenses sources

# All of it
ci: fmt lint assets doc demo test fuzz faults live package sound (libvirt "bookworm") vm
