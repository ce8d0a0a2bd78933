//! A running machine and the shell on it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::disk::Disk;
use super::line::{Line, Output};
use super::qemu::{Console, Direct, Qemu};
use super::topology::{Card, Machine};
use super::transcript::Transcript;

/// From the power button to the agent: 40 to 110 s are usual without KVM, more when the host is busy.
const BOOT: Duration = Duration::from_secs(600);

/// The longest a command may take; `update-initramfs` takes minutes.
const COMMAND: Duration = Duration::from_secs(900);

/// A machine that is switched on. Dropped without [`Guest::power_off`], it first saves what tells why.
#[derive(Debug)]
pub struct Guest {
    /// The machine's topology.
    pub machine: Machine,
    qemu: Qemu,
    line: Line,
    disk: Option<Disk>,
    boot: String,
    log: Transcript,
    listening: bool,
}

impl Guest {
    /// Switches a machine on and waits until it has come up.
    pub fn boot(
        machine: &Machine,
        disk: Disk,
        mut log: Transcript,
        direct: Option<&Direct<'_>>,
    ) -> Result<Self> {
        log.add("# power on");
        let console = Console::File(log.directory().join("console.log"));
        let (qemu, line) = Qemu::start(machine, &disk, console, direct)?;
        let machine = machine.clone();
        let (boot, disk) = (String::new(), Some(disk));
        let mut guest = Self { machine, qemu, line, disk, boot, log, listening: false };
        guest.come_up()?;
        Ok(guest)
    }

    /// The PCI address of a card that is plugged in.
    pub fn address(&self, card: Card) -> Result<String> {
        self.machine.address_of(card).with_context(|| format!("{card:?} is not plugged in"))
    }

    /// Runs a shell command; it may fail.
    pub fn run(&mut self, command: &str) -> Result<Output> {
        self.run_within(command, COMMAND)
    }

    /// Runs a shell command that may take this long.
    pub fn run_within(&mut self, command: &str, limit: Duration) -> Result<Output> {
        ensure!(self.listening, "the machine does not listen any more");
        self.note(&format!("$ {command}"));
        let start = Instant::now();
        self.listening = false;
        let output = self.line.run(command, limit, || self.qemu.alive());
        let output = output.map_err(|error| self.qemu.blame(error));
        let output = output.with_context(|| format!("running `{command}`"))?;
        self.listening = true;
        self.note(output.text.trim_end());
        let (code, seconds) = (output.code, start.elapsed().as_secs_f32());
        self.note(&format!("# exit {code} after {seconds:.1} s"));
        Ok(output)
    }

    /// Runs a shell command that must exit 0; returns what it printed, without the last newline.
    pub fn ok(&mut self, command: &str) -> Result<String> {
        self.fails(command, 0)
    }

    /// Runs a shell command that must exit with this code; returns what it printed.
    pub fn fails(&mut self, command: &str, code: i32) -> Result<String> {
        let output = self.run(command)?;
        if output.code != code {
            bail!("`{command}` exited {}, not {code}:\n{}", output.code, output.text);
        }
        Ok(output.text.trim_end().to_owned())
    }

    /// Writes a text file into the running machine, with these permission bits such as `"0644"`.
    pub fn write(&mut self, path: &str, mode: &str, text: &str) -> Result<()> {
        ensure!(!text.lines().any(|line| line == "END-OF-FILE" || line.starts_with('@')));
        let end = if text.ends_with('\n') || text.is_empty() { "" } else { "\n" };
        self.ok(&format!(
            "mkdir -p \"$(dirname {path})\" && cat >{path} <<'END-OF-FILE' && chmod {mode} {path}\n\
             {text}{end}END-OF-FILE"
        ))?;
        Ok(())
    }

    /// Reboots in good order and waits until the machine is up again.
    pub fn reboot(&mut self) -> Result<()> {
        self.run(&soon("systemctl reboot"))?;
        self.come_back("# reboot")
    }

    /// Reboots, and waits until the console shows `mark`: this boot is not to come up.
    pub fn reboot_until(&mut self, mark: &str, limit: Duration) -> Result<()> {
        let console = self.log.directory().join("console.log");
        let before = std::fs::metadata(&console)?.len();
        self.run(&soon("systemctl reboot"))?;
        self.note(&format!("# reboot, until the console shows `{mark}`"));
        self.listening = false;
        let end = Instant::now() + limit;
        loop {
            let text = std::fs::read(&console)?;
            let since = text.get(usize::try_from(before)?..).unwrap_or_default();
            if String::from_utf8_lossy(since).contains(mark) {
                return Ok(());
            }
            ensure!(Instant::now() < end, "the console never showed `{mark}`");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits until a machine that failed has started anew and is up.
    pub fn come_back_by_itself(&mut self) -> Result<()> {
        // A panic is told in many lines.
        std::thread::sleep(Duration::from_secs(3));
        self.qemu.forgive();
        self.come_back("# on its way back by itself")
    }

    /// Takes the power away, at whatever moment; what its disk has not been given is lost.
    pub fn cut_power(mut self) -> Result<Disk> {
        self.note("# power cut");
        self.listening = false;
        self.disk.take().context("the machine has no disk")
    }

    /// Shuts the machine down and returns its disk.
    pub fn power_off(mut self) -> Result<Disk> {
        self.run(&soon("systemctl poweroff"))?;
        self.qemu.wait_off(BOOT)?;
        self.note("# off");
        self.listening = false;
        self.disk.take().context("the machine has no disk")
    }

    /// Writes a line into the scenario's transcript.
    pub fn note(&mut self, text: &str) {
        self.log.add(text);
    }

    fn come_back(&mut self, how: &str) -> Result<()> {
        self.note(how);
        self.listening = false;
        let before = self.boot.clone();
        self.come_up()?;
        ensure!(self.boot != before, "the agent came back, but the machine did not reboot");
        Ok(())
    }

    fn come_up(&mut self) -> Result<()> {
        let start = Instant::now();
        let boot = self.line.ready(BOOT, || self.qemu.alive());
        self.boot = boot.map_err(|error| self.qemu.blame(error))?;
        self.listening = true;
        let agent = start.elapsed().as_secs_f32();
        let state = self.run_within("systemctl is-system-running --wait", BOOT)?;
        // Cards that nothing waits for get their drivers last.
        self.run_within("udevadm settle --timeout=300", BOOT)?;
        let all = start.elapsed().as_secs_f32();
        self.note(&format!("# up after {agent:.1} s, settled after {all:.1} s"));
        if state.text.trim() != "running" {
            let failed = self.run("systemctl --no-pager --failed; systemctl list-jobs")?;
            bail!("the machine came up {}:\n{}", state.text.trim(), failed.text);
        }
        Ok(())
    }

    /// Saves what a person needs to find out why a scenario failed.
    fn save_evidence(&mut self) {
        const EVIDENCE: &[(&str, &str)] = &[
            ("grub.cfg", "cat /boot/grub/grub.cfg"),
            ("dmesg", "dmesg"),
            ("journal", "journalctl --boot --no-pager"),
            ("lspci", "lspci -nnk"),
            ("etc-deploy-vfio", "tail -n +1 $(find /etc/deploy-vfio -type f) </dev/null"),
        ];
        self.note("# the scenario ended early; saving evidence");
        for (name, command) in EVIDENCE {
            let output = self.line.run(command, Duration::from_secs(60), || self.qemu.alive());
            match output {
                Ok(output) => self.log.save(name, &output.text),
                Err(_) => return,
            }
        }
    }
}

/// A command that ends the agent too, begun when the agent has answered.
fn soon(command: &str) -> String {
    format!("(sleep 2; {command}) >/dev/null 2>&1 </dev/null &")
}

impl Drop for Guest {
    fn drop(&mut self) {
        if self.listening {
            self.save_evidence();
        }
    }
}
