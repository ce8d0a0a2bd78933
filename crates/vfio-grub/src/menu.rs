//! A generated `grub.cfg`, read far enough to know what each entry would boot.
//!
//! The reader splits GRUB's script language into commands by its own quoting rules (GRUB manual,
//! "Shell-like scripting"); it expands nothing and is total on any bytes.

use vfio_core::Cmdline;

/// One `menuentry`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MenuEntry {
    /// Its id; empty when it has none.
    pub id: String,
    /// What the user reads.
    pub title: String,
    /// The ids of the submenus around it, outermost first.
    pub submenus: Vec<String>,
    /// The kernel it boots, as GRUB finds it; empty when it boots something else.
    pub kernel: String,
    /// The kernel's parameters.
    pub arguments: Cmdline,
    /// The initial RAM file systems it loads.
    pub initrds: Vec<String>,
}

impl MenuEntry {
    /// Whether the distribution's own generator made it: other systems, memory tests and the user's own
    /// entries have other ids.
    pub(crate) fn is_distribution_s(&self) -> bool {
        self.id.starts_with("gnulinux-")
    }

    /// What a person is told of it: its id, or its title where it has none.
    pub(crate) fn name(&self) -> &str {
        if self.id.is_empty() { &self.title } else { &self.id }
    }
}

/// What a `grub.cfg` offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Menu {
    /// Every entry, in order, those of submenus included.
    pub entries: Vec<MenuEntry>,
    /// Every value that `default` is set to anywhere.
    pub defaults: Vec<String>,
}

enum Block {
    Entry(MenuEntry),
    Submenu(String),
    Other,
}

impl Menu {
    /// Reads the text of a `grub.cfg`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut menu = Self::default();
        let mut blocks: Vec<Block> = Vec::new();
        for command in commands(text) {
            match command {
                Command::Open(words) => {
                    let block = menu.open(&words, &blocks);
                    blocks.push(block);
                }
                Command::Close => {
                    if let Some(Block::Entry(entry)) = blocks.pop() {
                        menu.entries.push(entry);
                    }
                }
                Command::Run(words) => menu.run(&words, blocks.last_mut()),
            }
        }
        menu
    }

    /// The entries that the distribution's generator made: of each id the first, which is what GRUB boots by
    /// that id. People copy entries of theirs with the id.
    pub(crate) fn of_distribution(&self) -> impl Iterator<Item = &MenuEntry> {
        let first = |at: usize, id: &str| self.entries[..at].iter().all(|other| other.id != id);
        let own = self.entries.iter().enumerate().filter(|(_, entry)| entry.is_distribution_s());
        own.filter(move |(at, entry)| first(*at, &entry.id)).map(|(_, entry)| entry)
    }

    /// The entry with this id that stands outside every submenu.
    #[must_use]
    pub fn top_level(&self, id: &str) -> Option<&MenuEntry> {
        self.entries.iter().find(|entry| entry.id == id && entry.submenus.is_empty())
    }

    fn open(&self, words: &[String], around: &[Block]) -> Block {
        let title = words.get(1).cloned().unwrap_or_default();
        let option = |word: &String| word == "$menuentry_id_option" || word == "--id";
        let at = words.iter().position(option);
        let id = at.and_then(|at| words.get(at + 1)).cloned().unwrap_or_default();
        match words.first().map(String::as_str) {
            Some("menuentry") => {
                let submenus = around.iter().filter_map(|block| match block {
                    Block::Submenu(id) => Some(id.clone()),
                    _ => None,
                });
                let submenus = submenus.collect();
                Block::Entry(MenuEntry { id, title, submenus, ..MenuEntry::default() })
            }
            Some("submenu") => Block::Submenu(id),
            _ => Block::Other,
        }
    }

    fn run(&mut self, words: &[String], block: Option<&mut Block>) {
        let (Some(name), rest) = (words.first(), words.get(1..).unwrap_or_default()) else {
            return;
        };
        match (name.as_str(), block) {
            ("set", _) => {
                let value = rest.iter().find_map(|word| word.strip_prefix("default="));
                self.defaults.extend(value.map(str::to_owned));
            }
            ("linux" | "linuxefi" | "linux16", Some(Block::Entry(entry))) => {
                entry.kernel = rest.first().cloned().unwrap_or_default();
                entry.arguments = rest.get(1..).unwrap_or_default().join(" ").as_str().into();
            }
            ("initrd" | "initrdefi" | "initrd16", Some(Block::Entry(entry))) => {
                entry.initrds.extend_from_slice(rest);
            }
            _ => {}
        }
    }
}

enum Command {
    Open(Vec<String>),
    Close,
    Run(Vec<String>),
}

/// Splits a script into commands; quotes and backslashes are taken away, variables stay.
fn commands(text: &str) -> Vec<Command> {
    let mut commands = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                let word = word.get_or_insert_default();
                word.extend(chars.by_ref().take_while(|&c| c != '\''));
            }
            '"' => double_quoted(&mut chars, word.get_or_insert_default()),
            '\\' => match chars.next() {
                Some('\n') | None => {}
                Some(c) => word.get_or_insert_default().push(c),
            },
            '#' if word.is_none() => while chars.next_if(|&c| c != '\n').is_some() {},
            c if c.is_whitespace() || c == ';' => {
                words.extend(word.take());
                if (c == '\n' || c == ';') && !words.is_empty() {
                    commands.push(Command::Run(std::mem::take(&mut words)));
                }
            }
            '{' if word.is_none() => commands.push(Command::Open(std::mem::take(&mut words))),
            '}' if word.is_none() => {
                if !words.is_empty() {
                    commands.push(Command::Run(std::mem::take(&mut words)));
                }
                commands.push(Command::Close);
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if !words.is_empty() {
        commands.push(Command::Run(words));
    }
    commands
}

fn double_quoted(chars: &mut impl Iterator<Item = char>, word: &mut String) {
    while let Some(c) = chars.next() {
        match c {
            '"' => return,
            '\\' => word.extend(chars.next()),
            c => word.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CFG: &str = r#"
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
else
   set default="deploy-vfio-0000:01:00.0"
fi
function gfxmode {
	set gfxpayload="${1}"
}
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-u' {
	search --no-floppy --fs-uuid --set=root u
	linux	/boot/vmlinuz-6.1 root=UUID=u ro  quiet
	initrd	/boot/initrd.img-6.1
}
submenu 'Advanced' $menuentry_id_option 'gnulinux-advanced-u' {
	menuentry 'Debian, with 6.1' $menuentry_id_option 'gnulinux-6.1-advanced-u' {
		linux	/boot/vmlinuz-6.1 root=UUID=u ro
		initrd	/boot/microcode.img /boot/initrd.img-6.1
	}
}
menuentry 'It'\''s { } "mine"' --id deploy-vfio-0000:01:00.0 { # comment {
	linux /boot/vmlinuz-6.1 root=UUID=u a=b
}
"#;

    #[test]
    fn reads_entries_submenus_and_defaults() {
        let menu = Menu::parse(CFG);
        let ids: Vec<_> = menu.entries.iter().map(|e| (e.id.as_str(), e.submenus.len())).collect();
        assert_eq!(
            ids,
            [
                ("gnulinux-simple-u", 0),
                ("gnulinux-6.1-advanced-u", 1),
                ("deploy-vfio-0000:01:00.0", 0)
            ]
        );
        assert_eq!(menu.defaults, ["${next_entry}", "deploy-vfio-0000:01:00.0"]);
        let ours = menu.top_level("deploy-vfio-0000:01:00.0").unwrap();
        assert_eq!(
            (ours.title.as_str(), ours.kernel.as_str()),
            ("It's { } \"mine\"", "/boot/vmlinuz-6.1")
        );
        assert_eq!(ours.arguments.value("a"), Some("b"));
        assert_eq!(menu.entries[1].initrds, ["/boot/microcode.img", "/boot/initrd.img-6.1"]);
        assert_eq!(menu.top_level("gnulinux-6.1-advanced-u"), None);
    }

    proptest! {
        #[test]
        fn never_panics(text in "[ -~\n]{0,200}") {
            let _ = Menu::parse(&text);
        }
    }
}
