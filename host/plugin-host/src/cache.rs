//! Keeps machine code between starts. It is code of this process, so nothing is taken from a file that was not
//! authenticated: wasmtime itself loads a file with flipped bytes as it is.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::compile::create_private;

/// Bytes of the authentication code at the head of each file.
const CODE: usize = 32;
/// Bytes of the key: a block of SHA-256.
const KEY: usize = 64;

/// A directory of authenticated machine code.
pub(crate) struct Cache {
    directory: PathBuf,
    key: [u8; KEY],
}

impl Cache {
    /// Opens or creates the directory, which must be ours alone.
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        match create_private(directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other?,
        }
        let metadata = fs::metadata(directory)?;
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(io::Error::other("the directory belongs to another user"));
        }
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(io::Error::other(
                "others may look into the directory; its mode must be 0700",
            ));
        }
        Ok(Self {
            key: key(&directory.join("key"))?,
            directory: directory.to_owned(),
        })
    }

    /// The machine code under this name, if it is there and is what was put there.
    pub(crate) fn get(&self, name: &str) -> Option<Vec<u8>> {
        let mut file = fs::read(self.path(name)).ok()?;
        if file.len() < CODE {
            return None;
        }
        let code = file.split_off(CODE);
        if self.authenticate(name, &code).verify_slice(&file).is_err() {
            tracing::warn!(
                name,
                "a compiled plugin in the cache is not what was put there; it is compiled again"
            );
            return None;
        }
        Some(code)
    }

    /// Puts machine code under this name. A failure costs time at the next start, nothing else.
    pub(crate) fn put(&self, name: &str, code: &[u8]) {
        if let Err(error) = self.write(name, code) {
            tracing::warn!(name, %error, "a compiled plugin could not be kept");
        }
    }

    fn write(&self, name: &str, code: &[u8]) -> io::Result<()> {
        let path = self.path(name);
        let mut draft = path.clone();
        draft.set_extension("draft");
        // A draft that a crash left behind is in the way.
        let _ = fs::remove_file(&draft);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(&self.authenticate(name, code).finalize().into_bytes())?;
        file.write_all(code)?;
        file.sync_all()?;
        fs::rename(&draft, &path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.cwasm"))
    }

    fn authenticate(&self, name: &str, code: &[u8]) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as hmac::digest::KeyInit>::new((&self.key).into());
        mac.update(name.as_bytes());
        mac.update(&[0]);
        mac.update(code);
        mac
    }
}

/// The key that lives as long as the directory: whoever can read it could as well write the code.
fn key(path: &Path) -> io::Result<[u8; KEY]> {
    let mut key = [0; KEY];
    match fs::File::open(path) {
        Ok(mut file) => {
            file.read_exact(&mut key)?;
            Ok(key)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            getrandom::fill(&mut key)?;
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)?;
            file.write_all(&key)?;
            file.sync_all()?;
            Ok(key)
        }
        Err(error) => Err(error),
    }
}
