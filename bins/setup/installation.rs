//! The programs themselves, as files below a prefix such as `/usr/local`.
//!
//! What is installed stands in [`LIST`] below the prefix, in the format of `sha256sum`, so a later
//! version, a removal, and a person (`sha256sum -c`) can tell what is still as it was put there.

use std::{collections::BTreeMap, fmt, str::FromStr};

use vfio_cli::{Failure, Usage};
use vfio_core::{Error, change::Draft, host::package_owner};

/// Where the list of installed files is, below the prefix.
pub const LIST: &str = "share/deploy-vfio/installed.sha256";

/// The first line of the list; a reader of sums takes it for a comment.
const FORMAT: &str = "# deploy-vfio, format 1: `sha256sum -c` checks it where `bin` is below";

/// A directory that programs are installed below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(String);

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
        let odd = parts.contains(&"..") || text.contains(char::is_control);
        if odd || !text.starts_with('/') {
            let shown: String = text.escape_debug().take(60).collect();
            return Err(format!("`{shown}` is no prefix; write a whole path such as `/usr/local`"));
        }
        Ok(Self(parts.join("/")))
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0)
    }
}

impl Prefix {
    /// The path below the root of what is at `path` below the prefix.
    #[must_use]
    pub fn join(&self, path: &str) -> String {
        if self.0.is_empty() { path.to_owned() } else { format!("{}/{path}", self.0) }
    }
}

/// What a file below the prefix is to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A program: it can be run.
    Program(Vec<u8>),
    /// Text that comes with the programs.
    Text(String),
}

/// Writes `files`, by their paths below the prefix, into `draft`, and takes away what an earlier
/// version had besides them.
///
/// # Errors
///
/// A file that belongs to a package of the distribution, or a directory that does; a list of
/// installed files that cannot be read.
pub fn install(
    draft: &mut Draft<'_>,
    prefix: &Prefix,
    files: BTreeMap<String, Content>,
) -> Result<(), Failure> {
    let all: Vec<&str> = files.keys().map(String::as_str).chain([LIST, "bin"]).collect();
    refuse_packaged(draft, prefix, &all)?;
    for (path, sum) in listed(draft, prefix)?.unwrap_or_default() {
        if !files.contains_key(&path) {
            take_away(draft, &prefix.join(&path), &sum)?;
        }
    }
    let mut list = format!("{FORMAT}\n");
    for (path, content) in files {
        let at = prefix.join(&path);
        match content {
            Content::Program(bytes) => draft.write_executable(&at, bytes)?,
            Content::Text(text) => draft.write(&at, text)?,
        }
        let sum = draft.image(&at)?.sha256().unwrap_or_default();
        list += &format!("{sum}  {path}\n");
    }
    Ok(draft.write(&prefix.join(LIST), list)?)
}

/// Takes away what is listed below the prefix; `false` when nothing is.
///
/// # Errors
///
/// A list of installed files that cannot be read.
pub fn uninstall(draft: &mut Draft<'_>, prefix: &Prefix) -> Result<bool, Failure> {
    let Some(files) = listed(draft, prefix)? else { return Ok(false) };
    for (path, sum) in files {
        take_away(draft, &prefix.join(&path), &sum)?;
    }
    draft.remove(&prefix.join(LIST));
    Ok(true)
}

/// A file that was changed since it was installed is somebody's own now.
fn take_away(draft: &mut Draft<'_>, path: &str, sum: &str) -> Result<(), Failure> {
    match draft.image(path) {
        Ok(vfio_core::change::Image::Absent) => {}
        Ok(image) if image.sha256().as_deref() == Some(sum) => draft.remove(path),
        Ok(_) | Err(Error::Refused { .. }) => {
            draft.note(format!("/{path} was changed since it was installed, and stays"));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// What is installed below the prefix, with the sum of each file; `None` when nothing is.
fn listed(draft: &Draft<'_>, prefix: &Prefix) -> Result<Option<BTreeMap<String, String>>, Failure> {
    let path = prefix.join(LIST);
    let Some(text) = draft.text(&path)? else { return Ok(None) };
    match parse(&text) {
        Ok(files) => Ok(Some(files)),
        Err(what) => {
            let help = [
                "the version that wrote it can remove what it installed",
                "without the file, `deploy-vfio install` begins a new list",
            ];
            Err(Usage::refused(format!("/{path}: {what}"), &help).into())
        }
    }
}

fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut lines = text.lines();
    if lines.next() != Some(FORMAT) {
        return Err("it is not a list of installed files that this version knows".to_owned());
    }
    let mut files = BTreeMap::new();
    for (number, line) in (2..).zip(lines) {
        let wrong = || format!("line {number} is no sum and file");
        let (sum, path) = line.split_once("  ").ok_or_else(wrong)?;
        let is_sum = sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
        let inside = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if !is_sum || !inside || path.contains(char::is_control) {
            return Err(wrong());
        }
        files.insert(path.to_owned(), sum.to_owned());
    }
    Ok(files)
}

/// What a package brought is the package manager's to replace, whatever links lead there.
fn refuse_packaged(draft: &Draft<'_>, prefix: &Prefix, paths: &[&str]) -> Result<(), Failure> {
    let mut paths: Vec<String> = paths.iter().map(|path| prefix.join(path)).collect();
    for path in &mut paths {
        if let Some((dir, name)) = path.rsplit_once('/')
            && let Some(real) = draft.root().real_path(dir)?
        {
            *path = [real.as_str(), name].join("/").trim_start_matches('/').to_owned();
        }
    }
    let Some((path, package)) = package_owner(draft.root(), &paths)? else { return Ok(()) };
    let help = [
        "`deploy-vfio install --prefix /usr/local`: that one is not the package manager's",
        "`apt remove` what is in the way, where it is a package of deploy-vfio",
    ];
    let help = if paths.last() == Some(&path) { &help[..1] } else { &help[..] };
    let what = format!("/{path} belongs to the package {package}");
    Err(Usage::refused(what, help).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_prefix_is_a_whole_path() {
        for (text, shown, below) in [
            ("/usr/local", "/usr/local", "usr/local/bin"),
            ("//opt/./vfio/", "/opt/vfio", "opt/vfio/bin"),
            ("/", "/", "bin"),
        ] {
            let prefix: Prefix = text.parse().unwrap();
            assert_eq!((prefix.to_string().as_str(), prefix.join("bin").as_str()), (shown, below));
        }
        for text in ["", "opt", "./x", "/usr/../etc", "/a\nb", "~/x"] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
    }

    #[test]
    fn format_1_of_the_list_is_read() {
        let list = include_str!("fixtures/installed-format-1.sha256");
        let files = parse(list).unwrap();
        let paths: Vec<&str> = files.keys().map(String::as_str).collect();
        assert_eq!(paths, ["bin/deploy-vfio", "share/man/man1/deploy-vfio.1"]);
        assert_eq!(files["bin/deploy-vfio"], SUM);
    }

    #[test]
    fn a_list_that_was_tampered_with_is_not_believed() {
        assert_eq!(parse(&format!("{FORMAT}\n")), Ok(BTreeMap::new()));
        for line in [
            format!("{SUM} bin/x"),
            format!("{SUM}  ../etc/passwd"),
            format!("{SUM}  /etc/passwd"),
            format!("{SUM}  bin//x"),
            format!("{SUM}  "),
            format!("{}  bin/x", &SUM[1..]),
            format!("{}g  bin/x", &SUM[1..]),
            String::new(),
        ] {
            let list = format!("{FORMAT}\n{SUM}  bin/y\n{line}\n");
            assert_eq!(parse(&list), Err("line 3 is no sum and file".to_owned()), "{line}");
        }
        for list in ["", "\u{0}", "# deploy-vfio, format 2\n"] {
            assert!(parse(list).is_err(), "{list}");
        }
    }
}
