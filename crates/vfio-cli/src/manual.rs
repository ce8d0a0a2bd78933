//! The manual page of a program, made of what parses its words.
//!
//! Everything that the page says beyond the options is the command's `after_long_help`, which
//! `--help` prints as well: first paragraphs for the description, then sections.
//!
//! ```text
//! The normal entry stays as it is.
//!
//! Examples:
//!   deploy-vfio multiboot last
//!       The last GPU drives the desktop.
//!
//! See also:
//!   deploy-vfio groups
//! ```

use std::io;

use clap::Command;
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};
use vfio_core::Exit;

/// What every program's exit status says.
const EXIT_STATUS: [(u8, &str); 10] = [
    (0, "Done, or nothing to do."),
    (
        Exit::Failed as u8,
        "Failed; the system is as before. Also: a check found something that is not as it should \
         be, or `--exit-code` found changes pending.",
    ),
    (Exit::Usage as u8, "Words that no machine could accept."),
    (Exit::NeedsRecovery as u8, "An interrupted operation waits for `deploy-vfio recover`."),
    (Exit::Conflict as u8, "An undo conflicts with a later edit: `--keep` or `--restore`."),
    (Exit::Busy as u8, "Another run is at work, or something changed meanwhile; nothing was done."),
    (
        Exit::Refused as u8,
        "Refused: a safety check, a limit of this machine, or a missing privilege.",
    ),
    (Exit::Unverified as u8, "What was generated failed its verification and was rolled back."),
    (Exit::Interrupted as u8, "Interrupted, and rolled back."),
    (Exit::Terminated as u8, "Terminated, and rolled back."),
];

/// What every page refers to.
const SEE_ALSO: [&str; 5] = [
    "deploy-vfio",
    "deploy-vfio list",
    "deploy-vfio log",
    "deploy-vfio status",
    "deploy-vfio undo",
];

/// A part of `after_long_help`: a heading, and the lines below it.
struct Section<'t> {
    heading: &'t str,
    lines: Vec<&'t str>,
}

/// Whether a program printed a manual page, and not its plain help.
pub(crate) fn is_page(text: &[u8]) -> bool {
    text.starts_with(b".ie ") || text.starts_with(b".TH ")
}

/// The page, as roff.
pub(crate) fn page(mut command: Command) -> String {
    let name = match command.get_name() {
        "deploy-vfio" => "deploy-vfio".to_owned(),
        name => format!("deploy-vfio-{name}"),
    };
    let more = command.get_after_long_help().or(command.get_after_help());
    let more = more.map(ToString::to_string).unwrap_or_default();
    let usage = command.render_usage().to_string();
    let usage = usage.trim().trim_start_matches("Usage: ").to_owned();
    let source = format!("deploy-vfio {}", command.get_version().unwrap_or_default());
    let man = Man::new(command.display_name(name.clone()).override_usage(usage));
    // No date: the same version makes the same page, whenever it is built. The quotes hold its
    // place.
    let man = man.title(name.to_uppercase()).date("\"\"").source(source).manual("deploy-vfio");

    let mut page = Vec::new();
    write(&man, &name, sections(&more), &mut page).expect("writing to memory works");
    finished(&String::from_utf8_lossy(&page))
}

fn write(man: &Man, name: &str, mut more: Vec<Section<'_>>, page: &mut Vec<u8>) -> io::Result<()> {
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    let mut about = Roff::new();
    lay_out(&mut about, &more.remove(0).lines, false);
    about.to_writer(page)?;
    man.render_options_section(page)?;
    rest(name, more).to_writer(page)
}

/// What follows the options.
fn rest(name: &str, mut sections: Vec<Section<'_>>) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in EXIT_STATUS {
        roff.control("TP", []).text([bold(code.to_string())]).text([roman(meaning)]);
    }
    let mut pages: Vec<String> = SEE_ALSO.iter().map(|page| page.replace(' ', "-")).collect();
    let own = sections.iter().position(|section| section.heading == "See also:");
    if let Some(own) = own.map(|at| sections.remove(at)) {
        let lines = own.lines.iter().map(|line| line.trim().replace(' ', "-"));
        pages.extend(lines.filter(|line| !line.is_empty()));
    }
    for section in sections {
        let heading = section.heading.trim_end_matches(':').to_uppercase();
        roff.control("SH", [heading.as_str()]);
        lay_out(&mut roff, &section.lines, true);
    }
    pages.retain(|page| page != name);
    pages.sort();
    pages.dedup();
    roff.control("SH", ["SEE ALSO"]);
    let last = pages.len().saturating_sub(1);
    for (at, page) in pages.into_iter().enumerate() {
        roff.text([bold(page), roman(if at < last { "(1)," } else { "(1)" })]);
    }
    roff
}

/// The text in parts; the first has no heading.
fn sections(text: &str) -> Vec<Section<'_>> {
    let mut sections = vec![Section { heading: "", lines: Vec::new() }];
    for line in text.lines() {
        if line.ends_with(':') && line.starts_with(char::is_uppercase) && line.len() < 32 {
            sections.push(Section { heading: line, lines: Vec::new() });
        } else if let Some(section) = sections.last_mut() {
            section.lines.push(line);
        }
    }
    sections
}

/// Paragraphs at the margin; indented by two, an item; indented further, what it means.
fn lay_out(roff: &mut Roff, lines: &[&str], mut first: bool) {
    let mut parted = true;
    for line in lines {
        let words = line.trim();
        let indent = line.len() - line.trim_start().len();
        if !words.is_empty() {
            match indent {
                0 if parted && !first => _ = roff.control("PP", []).text([roman(words)]),
                1..=3 => _ = roff.control("TP", []).text([bold(words)]),
                _ => _ = roff.text([roman(words)]),
            }
            first = false;
        }
        parted = words.is_empty();
    }
}

/// The page with one preamble, the help's `code` in bold, and characters that a shell takes back.
fn finished(page: &str) -> String {
    let mut text = String::new();
    let mut last = "";
    for (at, line) in page.lines().enumerate() {
        let again = at > 1 && (line.starts_with(".ie ") || line.starts_with(".el "));
        if again || line.is_empty() || (line == ".br" && last == line) {
            continue;
        }
        last = line;
        let mut inside = false;
        for part in line.split_inclusive('`') {
            let plain = part.trim_end_matches('`').replace(r"\\", r"\(rs");
            text.push_str(&plain.replace('~', r"\(ti").replace('^', r"\(ha"));
            if part.ends_with('`') {
                text.push_str(if inside { r"\fR" } else { r"\fB" });
                inside = !inside;
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_what_the_help_says() {
        let more = "It isn't `off` yet.\nReally.\n\nMore.\n\nExamples:\n  deploy-vfio x '~\\n'\n      \
                    .So it goes.\n\nSee also:\n  deploy-vfio y";
        let page = page(Command::new("x").about("Do x").version("1").after_long_help(more));
        let (head, end) = page.split_once(".SH OPTIONS\n").unwrap();
        assert!(
            head.contains(".TH DEPLOY-VFIO-X 1 \"\" \"deploy-vfio 1\" deploy-vfio\n"),
            "{head}"
        );
        let about =
            ".SH DESCRIPTION\nDo x\n.PP\nIt isn\\*(Aqt \\fBoff\\fR yet.\nReally.\n.PP\nMore.\n";
        assert!(head.ends_with(about), "{head}");
        let example =
            ".SH EXAMPLES\n.TP\n\\fBdeploy\\-vfio x \\*(Aq\\(ti\\(rsn\\*(Aq\\fR\n\\&.So it goes.\n";
        assert!(end.contains(example), "{end}");
        assert!(end.ends_with("\\fBdeploy\\-vfio\\-y\\fR(1)\n"), "{end}");
        assert_eq!(page.matches(".ie ").count(), 1);
        assert!(is_page(page.as_bytes()) && !is_page(b"Do x\n"));
    }
}
