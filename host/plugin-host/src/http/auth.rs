//! How credentials become headers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

/// The value of `Authorization` for a user name and a password (RFC 7617).
pub(super) fn basic(username: &str, password: &str) -> Result<HeaderValue, String> {
    secret_value(&format!(
        "Basic {}",
        STANDARD.encode(format!("{username}:{password}"))
    ))
}

/// The value of `Authorization` for a bearer token (RFC 6750).
pub(super) fn bearer(token: &str) -> Result<HeaderValue, String> {
    secret_value(&format!("Bearer {token}"))
}

/// A header value that is kept out of debug output.
pub(super) fn secret_value(text: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| "contains characters that no header may have".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}
