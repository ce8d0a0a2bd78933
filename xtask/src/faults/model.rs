//! A file system that keeps as little as it may: what was not synced survives a power cut or not.
//!
//! A file's bytes and its attributes become durable with its own fsync; a name with the fsync of
//! its directory; an exchange or rename is one step for all names it means. Two tempers: *weak*
//! lets any of the pending name changes survive without the others, *ordered* only the first so
//! many, as a journalling file system does. Both lose and tear file contents at will.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::harness::Dice;
use super::record::Op;
use super::tree::{FileNode, Node, Tree};

type Inode = usize;
type Names = BTreeMap<(Inode, OsString), Inode>;

/// One step of the name space.
#[derive(Clone, Debug)]
struct Step {
    sets: Vec<((Inode, OsString), Option<Inode>)>,
    durable: bool,
}

/// What is known about one file or directory.
#[derive(Clone, Debug)]
struct Content {
    durable: Node,
    /// Each state since then.
    later: Vec<Node>,
}

/// The state of a file system, durable and not.
#[derive(Clone, Debug)]
pub struct Model {
    base: Names,
    now: Names,
    steps: Vec<Step>,
    inodes: Vec<Content>,
}

/// What survives a power cut: an answer for each pending thing, in a fixed order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pick {
    keep: Vec<bool>,
    /// Contents that survive do so torn, by the dice of this number.
    tear: Option<u64>,
}

/// How name changes survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temper {
    Weak,
    Ordered,
}

const ROOT: Inode = 0;

impl Model {
    /// A file system on which all of `tree` is durable.
    pub fn new(tree: &Tree) -> Self {
        let root = Node::Dir { mode: 0o755, owner: (0, 0) };
        let first = Content { durable: root, later: Vec::new() };
        let mut model =
            Self { base: Names::new(), now: Names::new(), steps: Vec::new(), inodes: vec![first] };
        for (path, node) in tree {
            model.step(&Op::Add(path.clone(), node.clone()));
        }
        model.base = std::mem::take(&mut model.steps).into_iter().fold(Names::new(), apply);
        model
    }

    fn find(&self, path: &Path) -> Option<Inode> {
        path.iter().try_fold(ROOT, |dir, name| self.now.get(&(dir, name.to_owned())).copied())
    }

    fn place(&self, path: &Path) -> Option<(Inode, OsString)> {
        Some((self.find(path.parent()?)?, path.file_name()?.to_owned()))
    }

    /// Carries out one operation; one about files that were never seen changes nothing.
    pub fn step(&mut self, op: &Op) {
        let _ = self.try_step(op);
    }

    fn try_step(&mut self, op: &Op) -> Option<()> {
        let sets = match op {
            Op::Add(path, node) => {
                let place = self.place(path)?;
                // What a new file is before anything else happens to it.
                self.inodes.push(Content { durable: node.clone(), later: Vec::new() });
                vec![(place, Some(self.inodes.len() - 1))]
            }
            Op::Change(path, node) => {
                let inode = self.find(path)?;
                let content = &mut self.inodes[inode];
                if content.later.last().unwrap_or(&content.durable) != node {
                    content.later.push(node.clone());
                }
                return Some(());
            }
            Op::Link(from, to) => vec![(self.place(to)?, Some(self.find(from)?))],
            Op::Rename(from, to) => {
                vec![(self.place(from)?, None), (self.place(to)?, Some(self.find(from)?))]
            }
            Op::Exchange(one, two) => vec![
                (self.place(one)?, Some(self.find(two)?)),
                (self.place(two)?, Some(self.find(one)?)),
            ],
            Op::Remove(path) => vec![(self.place(path)?, None)],
            Op::Sync(path) => {
                let inode = self.find(path)?;
                self.sync(Some(inode));
                return Some(());
            }
            Op::SyncAll => {
                self.sync(None);
                return Some(());
            }
        };
        let step = Step { sets, durable: false };
        self.now = apply(std::mem::take(&mut self.now), step.clone());
        self.steps.push(step);
        Some(())
    }

    /// Makes one file, or the names in one directory, or everything durable.
    fn sync(&mut self, which: Option<Inode>) {
        for step in &mut self.steps {
            step.durable |= which.is_none_or(|dir| step.sets.iter().any(|((d, _), _)| *d == dir));
        }
        for (inode, content) in self.inodes.iter_mut().enumerate() {
            if which.is_none_or(|which| which == inode)
                && let Some(last) = content.later.pop()
            {
                *content = Content { durable: last, later: Vec::new() };
            }
        }
    }

    fn pending_steps(&self) -> usize {
        self.steps.iter().filter(|step| !step.durable).count()
    }

    fn dirty(&self) -> Vec<Inode> {
        (0..self.inodes.len()).filter(|&inode| !self.inodes[inode].later.is_empty()).collect()
    }

    /// What may survive: all answers if they are few; else none, all, each alone, all but each,
    /// and `samples` random ones; then torn contents.
    pub fn picks(&self, samples: usize, dice: &mut Dice) -> Vec<Pick> {
        // Bytes and attributes of a file are two things.
        let n = self.pending_steps() + 2 * self.dirty().len();
        let mut keeps: Vec<Vec<bool>> = Vec::new();
        if n <= 6 {
            keeps.extend((0..1_u32 << n).map(|mask| (0..n).map(|k| mask >> k & 1 == 1).collect()));
        } else {
            for rest in [false, true] {
                keeps.push(vec![rest; n]);
                keeps.extend((0..n).map(|one| (0..n).map(|k| (k == one) != rest).collect()));
            }
            keeps.extend((0..samples).map(|_| (0..n).map(|_| dice.roll() & 1 == 1).collect()));
        }
        let whole = keeps.iter().map(|keep| Pick { keep: keep.clone(), tear: None });
        let mut picks: Vec<_> = whole.collect();
        if !self.dirty().is_empty() {
            let all = || vec![true; n];
            picks.extend((0..6).map(|_| Pick { keep: all(), tear: Some(dice.roll()) }));
        }
        picks
    }

    /// The tree that a power cut leaves.
    pub fn cut(&self, pick: &Pick, temper: Temper) -> Tree {
        let (mut next, mut lost) = (0, false);
        let mut names = self.base.clone();
        for step in &self.steps {
            let survives = step.durable || {
                next += 1;
                pick.keep[next - 1] && !(lost && temper == Temper::Ordered)
            };
            lost |= !survives;
            if survives {
                names = apply(names, step.clone());
            }
        }
        let mut contents: Vec<Node> = self.inodes.iter().map(|c| c.durable.clone()).collect();
        let mut dice = pick.tear.map(Dice);
        for inode in self.dirty() {
            let (bytes, attributes) = (pick.keep[next], pick.keep[next + 1]);
            next += 2;
            contents[inode] = survivor(&self.inodes[inode], bytes, attributes, dice.as_mut());
        }
        let mut tree = Tree::new();
        plant(&names, &contents, ROOT, &PathBuf::new(), &mut tree);
        tree
    }
}

fn apply(mut names: Names, step: Step) -> Names {
    for (place, inode) in step.sets {
        match inode {
            Some(inode) => drop(names.insert(place, inode)),
            None => drop(names.remove(&place)),
        }
    }
    names
}

/// What is left of a file: its bytes, its attributes, both or neither, or torn bytes.
fn survivor(content: &Content, bytes: bool, attributes: bool, dice: Option<&mut Dice>) -> Node {
    let last = content.later.last().unwrap_or(&content.durable);
    let (Node::File(old), Node::File(new)) = (&content.durable, last) else {
        return if attributes { last.clone() } else { content.durable.clone() };
    };
    let written = match (bytes, dice) {
        (false, _) => old.bytes.clone(),
        (true, None) => new.bytes.clone(),
        (true, Some(dice)) => torn(content, old, new, dice),
    };
    let dressed = if attributes { new } else { old };
    Node::File(FileNode { bytes: written, ..dressed.clone() })
}

/// An earlier state, the first half of what was written, or zeros in its place.
fn torn(content: &Content, old: &FileNode, new: &FileNode, dice: &mut Dice) -> Vec<u8> {
    let same = old.bytes.iter().zip(&new.bytes).take_while(|(one, two)| one == two).count();
    match dice.below(3) {
        0 => content.later[dice.below(content.later.len())].bytes().to_vec(),
        1 => new.bytes[..usize::midpoint(same, new.bytes.len())].to_vec(),
        _ => {
            let mut bytes = new.bytes.clone();
            bytes[same..].fill(0);
            bytes
        }
    }
}

fn plant(names: &Names, contents: &[Node], dir: Inode, path: &Path, tree: &mut Tree) {
    // A directory is never below itself but for a bug in here.
    if path.iter().count() > 20 {
        return;
    }
    for ((_, name), &inode) in names.range((dir, OsString::new())..(dir + 1, OsString::new())) {
        let path = path.join(name);
        tree.insert(path.clone(), contents[inode].clone());
        if matches!(contents[inode], Node::Dir { .. }) {
            plant(names, contents, inode, &path, tree);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Node {
        Node::File(FileNode {
            bytes: text.into(),
            mode: 0o644,
            owner: (0, 0),
            mtime: (0, 0),
            xattrs: BTreeMap::new(),
        })
    }

    fn texts(model: &Model, temper: Temper) -> Vec<Option<String>> {
        let picks = model.picks(0, &mut Dice(1));
        let text = |pick: &Pick| {
            let tree = model.cut(pick, temper);
            tree.get(Path::new("a")).map(|n| String::from_utf8_lossy(n.bytes()).into_owned())
        };
        let mut all: Vec<_> = picks.iter().map(text).collect();
        all.sort();
        all.dedup();
        all
    }

    #[test]
    fn a_rename_without_fsync_may_leave_an_empty_file() {
        let mut model = Model::new(&Tree::from([("a".into(), file("old"))]));
        model.step(&Op::Add("b".into(), file("")));
        model.step(&Op::Change("b".into(), file("new!")));
        model.step(&Op::Rename("b".into(), "a".into()));
        assert!(texts(&model, Temper::Ordered).contains(&Some(String::new())));

        let mut model = Model::new(&Tree::from([("a".into(), file("old"))]));
        model.step(&Op::Add("b".into(), file("")));
        model.step(&Op::Change("b".into(), file("new!")));
        model.step(&Op::Sync("b".into()));
        model.step(&Op::Rename("b".into(), "a".into()));
        for temper in [Temper::Weak, Temper::Ordered] {
            assert_eq!(texts(&model, temper), [Some("new!".into()), Some("old".into())]);
        }
        model.step(&Op::Sync(PathBuf::new()));
        assert_eq!(texts(&model, Temper::Weak), [Some("new!".into())]);
    }

    #[test]
    fn an_exchange_is_one_step() {
        let tree = Tree::from([("a".into(), file("old")), ("b".into(), file("new"))]);
        let mut model = Model::new(&tree);
        model.step(&Op::Exchange("a".into(), "b".into()));
        let picks = model.picks(0, &mut Dice(1));
        let cuts: Vec<_> = picks.iter().map(|pick| model.cut(pick, Temper::Weak)).collect();
        assert_eq!(cuts.len(), 2);
        assert!(cuts.iter().all(|cut| cut.len() == 2));
        assert_ne!(cuts[0], cuts[1]);
    }
}
