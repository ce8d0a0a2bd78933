//! How far the journal had come when somebody began to plan.
//!
//! Invariant: a plan is carried out only over the files that it was made from. Those that it changes are
//! compared one by one; of the others, which a run in between may have been at, the journal tells.

use crate::{
    Error, Result, Root,
    change::{
        place::join,
        store::{ids, tx_path},
    },
};

/// The operations that were recorded, and how much was written about each; nothing where only root may know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp(Option<Vec<(u32, i64)>>);

impl Stamp {
    /// As it is now.
    pub(crate) fn now(root: &Root) -> Self {
        let length = |id: &u32| {
            let stat = root.stat(&join(&tx_path(*id), "journal")).ok()?;
            Some((*id, stat.map_or(0, |stat| stat.st_size)))
        };
        Self(ids(root).ok().and_then(|ids| ids.iter().map(length).collect()))
    }

    /// Refuses to go on where another run wrote since.
    pub(crate) fn still(&self, root: &Root) -> Result<()> {
        if self.0.is_none() || *self == Self::now(root) { Ok(()) } else { Err(faster()) }
    }
}

/// Somebody else came in between.
pub(crate) fn faster() -> Error {
    let what = "another run of deploy-vfio was faster: what was shown is not what there is now";
    Error::Busy { what: what.to_owned() }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test makes its own trees")]
mod tests {
    use std::fs;

    use super::*;
    use crate::change::{self, Draft, NoRebuild, OnConflict, laws::settings};

    /// Whatever another run did, also where the files of the plan itself are as they were.
    #[test]
    fn a_plan_from_before_another_run_is_not_carried_out() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("etc")).unwrap();
        let root = Root::open(dir.path()).unwrap();
        let settings = settings(&NoRebuild);
        let plan = |path: &str| {
            let mut draft = Draft::new(&root);
            draft.write(path, "x\n").unwrap();
            draft.finish(path).unwrap()
        };
        let refused =
            |plan| matches!(change::apply(&root, plan, &settings), Err(Error::Busy { .. }));
        let first = plan("etc/first");
        change::apply(&root, &plan("etc/other"), &settings).unwrap();
        assert!(refused(&first));
        let first = plan("etc/first");
        change::undo(&root, OnConflict::Stop, &settings).unwrap().unwrap();
        assert!(refused(&first));
        change::apply(&root, &plan("etc/first"), &settings).unwrap();
    }
}
