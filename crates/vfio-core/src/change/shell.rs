//! Reads a plain assignment from a shell file such as `/etc/default/grub`, and writes words for a shell.
//!
//! Invariant: a value is returned only when the shell would certainly give the variable that
//! value; whatever is computed, conditional or beyond this reader is `None`.

/// A word as a person can give it to a shell (bash, zsh or busybox where it has control characters), on one
/// line.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_@%+=:,./-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    if !word.contains(char::is_control) {
        return shlex::try_quote(word).unwrap_or_default().into_owned();
    }
    let escaped = word.chars().map(|c| match c {
        '\\' | '\'' => format!("\\{c}"),
        c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    });
    format!("$'{}'", escaped.collect::<String>())
}

/// The value the last plain assignment to `key` gives it; `None` when there is none, or when
/// it is computed.
#[must_use]
pub fn shell_assignment(text: &[u8], key: &str) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let mut reader = Reader { rest: text.chars().collect(), at: 0 };
    let (mut value, mut depth): (Option<String>, usize) = (None, 0);
    while let Some(words) = reader.statement(key, value.as_deref()) {
        let first = words.first().map_or("", |word| word.plain.as_str());
        match first {
            "if" | "case" | "while" | "until" | "for" | "{" | "(" => depth += 1,
            "fi" | "esac" | "done" | "}" | ")" => depth = depth.saturating_sub(1),
            _ if first.ends_with("()") || words.get(1).is_some_and(|w| w.plain == "()") => {
                depth += 1;
            }
            _ => {}
        }
        let prefix = words.iter().take_while(|word| word.assigns()).count();
        // `KEY=value program` is for the program alone; `export KEY=value` is for us too.
        let all = prefix == words.len() || matches!(first, "export" | "readonly" | "local");
        for word in &words {
            match word.assigned(key) {
                Some(_) if depth > 0 => value = None,
                Some(new) if all => value = new,
                Some(_) if prefix == 0 => value = None,
                _ => {}
            }
        }
    }
    value
}

/// A word, quotes taken away.
struct Word {
    plain: String,
    /// Whether the shell would compute part of it.
    computed: bool,
    /// Where its first unquoted `=` is.
    equals: Option<usize>,
}

impl Word {
    fn name(&self) -> Option<&str> {
        let name = &self.plain[..self.equals?];
        let name = name.strip_suffix('+').unwrap_or(name);
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        (!name.is_empty() && name.chars().all(plain)).then_some(name)
    }

    fn assigns(&self) -> bool {
        self.name().is_some()
    }

    /// What it assigns to `key`: `Some(None)` when that is computed.
    fn assigned(&self, key: &str) -> Option<Option<String>> {
        if self.name()? != key {
            return None;
        }
        let at = self.equals?;
        let appended = self.plain[..at].ends_with('+');
        Some((!self.computed && !appended).then(|| self.plain[at + 1..].to_owned()))
    }
}

struct Reader {
    rest: Vec<char>,
    at: usize,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.rest.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek();
        self.at += usize::from(c.is_some());
        c
    }

    /// The words up to a line break or a semicolon; `None` at the end.
    fn statement(&mut self, key: &str, now: Option<&str>) -> Option<Vec<Word>> {
        self.peek()?;
        let mut words = Vec::new();
        loop {
            match self.peek() {
                None => return Some(words),
                Some('\n' | ';' | '&' | '|') => {
                    self.at += 1;
                    return Some(words);
                }
                Some('\r' | ' ' | '\t') => self.at += 1,
                Some('#') => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.at += 1;
                    }
                }
                Some('\\') if matches!(self.rest.get(self.at + 1), Some('\n')) => self.at += 2,
                Some(_) => words.push(self.word(key, now)),
            }
        }
    }

    fn word(&mut self, key: &str, now: Option<&str>) -> Word {
        let mut word = Word { plain: String::new(), computed: false, equals: None };
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' | '\n' | ';' | '&' | '|' => break,
                '\r' if matches!(self.rest.get(self.at + 1), Some('\n') | None) => break,
                '\'' => self.single(&mut word),
                '"' => self.double(&mut word, key, now),
                '\\' => {
                    self.at += 1;
                    match self.next() {
                        Some('\n') | None => {}
                        Some(c) => word.plain.push(c),
                    }
                }
                '$' | '`' => self.expansion(&mut word, key, now),
                '*' | '?' | '[' | '~' | '<' | '>' => {
                    // A pattern or a redirection is not read; in an assignment it is a letter.
                    word.computed |= matches!(c, '<' | '>' | '~');
                    self.at += 1;
                    word.plain.push(c);
                }
                c => {
                    if c == '=' && word.equals.is_none() {
                        word.equals = Some(word.plain.len());
                    }
                    self.at += 1;
                    word.plain.push(c);
                }
            }
        }
        word
    }

    fn single(&mut self, word: &mut Word) {
        self.at += 1;
        loop {
            match self.next() {
                Some('\'') => return,
                Some(c) => word.plain.push(c),
                None => return word.computed = true,
            }
        }
    }

    fn double(&mut self, word: &mut Word, key: &str, now: Option<&str>) {
        self.at += 1;
        loop {
            match self.peek() {
                None => return word.computed = true,
                Some('"') => return self.at += 1,
                Some('$' | '`') => self.expansion(word, key, now),
                Some('\\') => {
                    self.at += 1;
                    match self.next() {
                        Some('\n') | None => {}
                        Some(c @ ('$' | '`' | '"' | '\\')) => word.plain.push(c),
                        Some(c) => word.plain.extend(['\\', c]),
                    }
                }
                Some(c) => {
                    self.at += 1;
                    word.plain.push(c);
                }
            }
        }
    }

    /// `$key` and `${key}` are what it is so far; everything else is computed.
    fn expansion(&mut self, word: &mut Word, key: &str, now: Option<&str>) {
        for form in [format!("${{{key}}}"), format!("${key}")] {
            let form: Vec<char> = form.chars().collect();
            let after = self.rest.get(self.at + form.len());
            let ends = form.ends_with(&['}'])
                || !after.is_some_and(|c| c.is_ascii_alphanumeric() || *c == '_');
            if self.rest[self.at..].starts_with(&form) && ends {
                self.at += form.len();
                match now {
                    Some(now) => word.plain.push_str(now),
                    None => word.computed = true,
                }
                return;
            }
        }
        word.computed = true;
        let opened = self.next();
        match (opened, self.peek()) {
            (Some('`'), _) => self.skip_to('`'),
            (_, Some('(')) => self.skip_to(')'),
            (_, Some('{')) => self.skip_to('}'),
            _ => {}
        }
    }

    fn skip_to(&mut self, end: char) {
        while self.next().is_some_and(|c| c != end) {}
    }
}

#[cfg(test)]
mod tests {
    use super::{quoted, shell_assignment};

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a test asks a shell")]
    fn words_are_one_for_a_shell() {
        for (word, shown) in [
            ("/mnt", "/mnt"),
            ("/my disk", "'/my disk'"),
            ("/it's $(id)", r#""/it's "'$(id)'"#),
            ("/a\n'b\u{1b}\\", r"$'/a\u000a\'b\u001b\\'"),
        ] {
            assert_eq!(quoted(word), shown);
            let echo = std::process::Command::new("bash")
                .args(["-c", &format!("printf %s {shown}")])
                .output();
            assert!(echo.is_err() || echo.is_ok_and(|echo| echo.stdout == word.as_bytes()));
        }
    }

    #[test]
    fn the_last_plain_assignment_wins() {
        for (text, value) in [
            ("A=1\n", Some("1")),
            ("A=1", Some("1")),
            ("A='x y'\r\nB=2\r\n", Some("x y")),
            ("A=\"x \\\"y\\\" \\n\"  # comment\n", Some("x \"y\" \\n")),
            ("A=1\nA=2\n#A=3\n", Some("2")),
            ("A=\n", Some("")),
            ("A=x\nA=\"${A} y\"\nA=\"$A z\"\n", Some("x y z")),
            ("A=\"${A} y\"\n", None),
            ("A=\"$(cat x)\"\n", None),
            ("A=`cat x`\n", None),
            ("A=\"$AB\"\n", None),
            ("A=1\nA+=2\n", None),
            ("export A=1\n", Some("1")),
            ("  A=1\n", Some("1")),
            ("A=1 true\n", None),
            ("B='\nA=1\n'\n", None),
            ("B=\"\nA=1\n\"\nA=2\n", Some("2")),
            ("A=1\nif true; then\nA=2\nfi\n", None),
            ("if true; then\nB=2\nfi\nA=1\n", Some("1")),
            ("A=one\\\ntwo\n", Some("onetwo")),
            ("A=a'b c'\"d\"\n", Some("ab cd")),
            ("A='open\n", None),
            ("AA=1\nB=A=2\n", None),
            ("A=x;B=y\n", Some("x")),
        ] {
            assert_eq!(shell_assignment(text.as_bytes(), "A").as_deref(), value, "{text:?}");
        }
    }
}
