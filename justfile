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
    shellcheck --shell=sh crates/*/assets/* examples/deploy-vfio-*
    for script in crates/*/assets/* examples/deploy-vfio-*; do dash -n "$script" || exit 1; done

# Documentation, broken links denied
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

# The main job on a sample machine, as the README shows it
demo:
    cargo xtask demo

# Every test that needs neither root nor network
test:
    cargo test --workspace --locked

# Every described machine in $DEPLOY_VFIO_MACHINES
machines:
    cargo test --locked --test it -- machines

# Kills, I/O errors, power cuts and user edits at every step of the real binary
faults:
    cargo xtask faults

# A real Debian machine in QEMU, reboots included
vm:
    cargo xtask vm

# Dependencies: licences, sources, duplicates
deny:
    cargo deny --offline check bans licenses sources

# All of it
ci: fmt lint assets doc test demo machines faults vm
