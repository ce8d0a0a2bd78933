//! libvirt itself: its library, opened while the program runs.
//!
//! Where it is not installed the rest of deploy-vfio works all the same. Functions of libvirt's are
//! never removed or changed (<https://libvirt.org/support.html>), so a name is enough. The library
//! is never closed again: it starts threads.
#![expect(unsafe_code, reason = "calling a C library is what this module is for")]

use std::{
    ffi::{CStr, CString, c_char, c_int, c_uint, c_void},
    ptr,
};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use crate::Error;

/// The name by which every version of libvirt's library is found.
pub const LIBRARY: &str = "libvirt.so.0";

/// `VIR_DOMAIN_DEFINE_VALIDATE`: what the schema does not know is refused, not passed over.
const VALIDATE: c_uint = 1;

type ErrorFunc = unsafe extern "C" fn(*mut c_void, *mut c_void);

/// The functions that are used, out of `libvirt.h` and `virterror.h`.
#[derive(Clone, Copy, Debug)]
struct Functions {
    set_error_func: unsafe extern "C" fn(*mut c_void, Option<ErrorFunc>),
    last_error: unsafe extern "C" fn() -> *const c_char,
    open: unsafe extern "C" fn(*const c_char) -> *mut c_void,
    close: unsafe extern "C" fn(*mut c_void) -> c_int,
    define: unsafe extern "C" fn(*mut c_void, *const c_char, c_uint) -> *mut c_void,
    free_domain: unsafe extern "C" fn(*mut c_void) -> c_int,
}

/// libvirt's library.
#[derive(Clone, Copy, Debug)]
pub struct Libvirt {
    functions: Functions,
}

/// libvirt would print errors to standard error by itself.
unsafe extern "C" fn silent(_: *mut c_void, _: *mut c_void) {}

impl Libvirt {
    /// Opens the library of this name, [`LIBRARY`] but for tests.
    ///
    /// # Errors
    ///
    /// It is not installed, or too old; the program is linked statically.
    pub fn open(name: &str) -> Result<Self, Error> {
        if cfg!(target_feature = "crt-static") {
            // A C library inside opens only libraries of exactly its own version, and crashes at others.
            return Err(Error::NotInstalled("a statically linked program opens none".to_owned()));
        }
        // SAFETY: libvirt's initialisers only set up its own state.
        let library = unsafe { Library::open(Some(name), RTLD_NOW | RTLD_LOCAL) }
            .map_err(|error| Error::NotInstalled(error.to_string()))?;
        // SAFETY: each type is that of the function of this name in libvirt's headers.
        let functions = unsafe {
            Functions {
                set_error_func: symbol(&library, "virSetErrorFunc")?,
                last_error: symbol(&library, "virGetLastErrorMessage")?,
                open: symbol(&library, "virConnectOpen")?,
                close: symbol(&library, "virConnectClose")?,
                define: symbol(&library, "virDomainDefineXMLFlags")?,
                free_domain: symbol(&library, "virDomainFree")?,
            }
        };
        // The functions are copied out of it, so it stays loaded for good.
        std::mem::forget(library);
        // SAFETY: the function is there as long as the program.
        unsafe { (functions.set_error_func)(ptr::null_mut(), Some(silent)) };
        Ok(Self { functions })
    }

    /// Has the daemon at `uri` accept a guest: one of that name and UUID is redefined, from its
    /// next start on.
    ///
    /// # Errors
    ///
    /// The daemon does not answer, or does not accept what the schema does not know.
    pub fn define(&self, uri: &str, definition: &str) -> Result<(), Error> {
        let text = |text: &str| {
            CString::new(text).map_err(|_| Error::NotADomain("it has a NUL byte".to_owned()))
        };
        let (address, definition) = (text(uri)?, text(definition)?);
        // SAFETY: a string that ends with a NUL byte and outlives the call.
        let connection = unsafe { (self.functions.open)(address.as_ptr()) };
        if connection.is_null() {
            return Err(Error::NoAnswer { uri: uri.to_owned(), why: self.why() });
        }
        // SAFETY: the connection is open, and the string as above.
        let domain = unsafe { (self.functions.define)(connection, definition.as_ptr(), VALIDATE) };
        let result = match domain.is_null() {
            true => Err(Error::NotAccepted(self.why())),
            false => Ok(()),
        };
        // SAFETY: each is what libvirt gave us, given back once.
        unsafe {
            if !domain.is_null() {
                (self.functions.free_domain)(domain);
            }
            (self.functions.close)(connection);
        }
        result
    }

    /// What went wrong in the last call.
    fn why(&self) -> String {
        // SAFETY: the message is libvirt's and stays until this thread's next call.
        let message = unsafe { (self.functions.last_error)() };
        if message.is_null() {
            return "it does not say why".to_owned();
        }
        // SAFETY: not null, and ends with a NUL byte.
        unsafe { CStr::from_ptr(message) }.to_string_lossy().trim().to_owned()
    }
}

/// A function of the library.
///
/// # Safety
///
/// `T` is the type of the function.
unsafe fn symbol<T: Copy>(library: &Library, name: &'static str) -> Result<T, Error> {
    // SAFETY: as our caller promises.
    unsafe { library.get::<T>(name.as_bytes()) }
        .map(|found| *found)
        .map_err(|_| Error::TooOld(name))
}
