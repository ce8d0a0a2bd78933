//! Who a program works for.
//!
//! On the machine itself the system is asked, which knows users of LDAP and systemd-homed too; in
//! another tree only its own files count.

use std::ffi::CString;

use nix::unistd::{Gid, Group, Uid, User as Account};
use vfio_core::host::User;

use crate::{Context, Failure, Usage};

impl Context {
    /// The user called `named`, else who started this through sudo or pkexec, else who runs it;
    /// `None` when that is root, and in another tree.
    ///
    /// # Errors
    ///
    /// A name that no user has.
    pub fn user(&self, named: Option<&str>) -> Result<Option<User>, Failure> {
        let Some(name) = named else {
            let here = self.root().is_host();
            return here.then(invoker).flatten().map(|account| full(&account)).transpose();
        };
        let user = match self.root().is_host() {
            true => Account::from_name(name).map_err(unknowable)?.map(|a| full(&a)).transpose()?,
            false => User::find(self.root(), name)?,
        };
        user.map(Some).ok_or_else(|| {
            let what = format!("there is no user `{}`", name.escape_debug());
            let place = self.root().path().join("etc/passwd");
            let because = match self.root().is_host() {
                true => "the system knows nobody of that name".to_owned(),
                false => format!("{} names nobody so", place.display()),
            };
            Usage::refused(what, &[]).because(vec![because]).into()
        })
    }
}

/// Who asked; `None` for root itself.
fn invoker() -> Option<Account> {
    let number = |name: &str| variable(name)?.parse().ok().map(Uid::from_raw);
    let uid = number("SUDO_UID").or_else(|| number("PKEXEC_UID")).unwrap_or_else(Uid::effective);
    let by_name = || Account::from_name(&variable("SUDO_USER")?).ok().flatten();
    let account = if uid.is_root() { by_name() } else { Account::from_uid(uid).ok().flatten() };
    account.filter(|account| !account.uid.is_root())
}

#[expect(clippy::disallowed_methods, reason = "this crate reads the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn full(account: &Account) -> Result<User, Failure> {
    let name = CString::new(account.name.as_str()).unwrap_or_default();
    let groups = nix::unistd::getgrouplist(&name, account.gid).map_err(unknowable)?;
    let called = |gid: Gid| Group::from_gid(gid).ok().flatten().map(|group| group.name);
    let groups = groups.into_iter().filter_map(called).collect();
    Ok(User { name: account.name.clone(), uid: account.uid.as_raw(), groups })
}

fn unknowable(error: nix::Error) -> Failure {
    Usage::refused(format!("the system cannot say who its users are: {error}"), &[]).into()
}
