//! SHA-256, as OCI registries write it.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// `sha256:` and the digest in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(71);
    text.push_str("sha256:");
    hex(&mut text, &Sha256::digest(bytes));
    text
}

/// Appends bytes in hexadecimal.
pub(crate) fn hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
}
