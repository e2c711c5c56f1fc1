//! A file that other processes keep their hands off.

use std::{
    fs::{File, TryLockError},
    io,
    ops::{Deref, DerefMut},
};

/// A file with the operating system's lock, until it is dropped.
#[derive(Debug)]
pub(super) struct LockedFile(File);

impl LockedFile {
    /// `None` if somebody else has the lock.
    pub(super) fn try_new(file: File) -> io::Result<Option<Self>> {
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Deref for LockedFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl DerefMut for LockedFile {
    fn deref_mut(&mut self) -> &mut File {
        &mut self.0
    }
}

impl Drop for LockedFile {
    fn drop(&mut self) {
        // Closing it is not enough: a child that this process is just starting has the file too, until it
        // runs its own program, and the lock with it.
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_ends_although_a_child_still_has_the_file() {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        let lock = || {
            let file = File::options().write(true).open(&path).unwrap();
            LockedFile::try_new(file).unwrap()
        };
        let first = lock().unwrap();
        // What a child has of it.
        let _inherited = first.try_clone().unwrap();
        assert!(lock().is_none());
        drop(first);
        assert!(lock().is_some());
    }
}
