//! Signature Version 4, as AWS documents it. The computation is small; AWS's own crate for it comes with a dozen others and
//! with second versions of the hashes that are here already.

use bytes::Bytes;
use hmac::{Hmac, Mac as _};
use http::{HeaderName, HeaderValue, header};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use url::Url;

use super::credentials::Credentials;
use crate::digest::hex;
use crate::http::auth::secret_value;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// Signs a request that is complete; it must not be changed afterwards. What is signed besides the host, the body and the
/// address are the headers that AWS asks for: others may be changed on the way.
///
/// # Errors
/// The request cannot be signed, which names no secret.
pub(in super::super) fn sign(
    request: &mut http::Request<Bytes>,
    credentials: &Credentials,
    service: &str,
    region: &str,
    now: Timestamp,
) -> Result<(), String> {
    let url = Url::parse(&request.uri().to_string())
        .map_err(|_| "the request cannot be signed: its address is not usable".to_owned())?;
    let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    let date = now.strftime("%Y%m%d").to_string();
    let headers = request.headers_mut();
    let text = |value: &str| HeaderValue::from_str(value).map_err(|error| error.to_string());
    headers.insert(DATE, text(&time)?);
    headers.remove(TOKEN);
    if let Some(token) = &credentials.token {
        let token = secret_value(token).map_err(|why| format!("the session token {why}"))?;
        headers.insert(TOKEN, token);
    }
    let (names, canonical) = canonical_request(request, &url)?;
    let scope = format!("{date}/{region}/{service}/aws4_request");
    let to_sign = format!(
        "{ALGORITHM}\n{time}\n{scope}\n{}",
        hash(canonical.as_bytes())
    );
    let first = format!("AWS4{}", credentials.secret).into_bytes();
    let key = [date.as_str(), region, service, "aws4_request"]
        .into_iter()
        .fold(first, |key, part| keyed_hash(&key, part));
    let mut signature = String::new();
    hex(&mut signature, &keyed_hash(&key, &to_sign));
    let authorization = secret_value(&format!(
        "{ALGORITHM} Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
        credentials.id
    ))
    .map_err(|why| format!("the access key {why}"))?;
    request
        .headers_mut()
        .insert(header::AUTHORIZATION, authorization);
    Ok(())
}

/// The names of the headers that are signed, and the request in the one form that both sides know.
fn canonical_request(
    request: &http::Request<Bytes>,
    url: &Url,
) -> Result<(String, String), String> {
    let host = url
        .host_str()
        .ok_or("the request cannot be signed: its address has no host")?;
    let host = match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let mut signed = vec![("host".to_owned(), host)];
    for name in request.headers().keys() {
        if *name != header::CONTENT_TYPE && !name.as_str().starts_with("x-amz-") {
            continue;
        }
        let mut values = Vec::new();
        for value in request.headers().get_all(name) {
            let value = value.to_str().map_err(|_| {
                format!("the request cannot be signed: the header {name} is not plain text")
            })?;
            values.push(value.split_ascii_whitespace().collect::<Vec<_>>().join(" "));
        }
        signed.push((name.as_str().to_owned(), values.join(",")));
    }
    signed.sort();
    let names: Vec<&str> = signed.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(";");
    let headers: String = signed
        .iter()
        .map(|(name, value)| format!("{name}:{value}\n"))
        .collect();
    let mut query: Vec<(String, String)> = url
        .query_pairs()
        .map(|(name, value)| (encoded(&name, ""), encoded(&value, "")))
        .collect();
    query.sort();
    let query: Vec<String> = query
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let canonical = [
        request.method().as_str(),
        // A path that is encoded already is encoded once more, for every service but S3.
        &encoded(url.path(), "/"),
        &query.join("&"),
        &headers,
        &names,
        &hash(request.body()),
    ]
    .join("\n");
    Ok((names, canonical))
}

/// Percent-encoded as AWS wants it: all but the unreserved characters of RFC 3986, and these.
fn encoded(text: &str, kept: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        let char = char::from(byte);
        if char.is_ascii_alphanumeric() || "-_.~".contains(char) || kept.contains(char) {
            encoded.push(char);
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

fn hash(bytes: &[u8]) -> String {
    let mut text = String::new();
    hex(&mut text, &Sha256::digest(bytes));
    text
}

/// HMAC with SHA-256.
fn keyed_hash(key: &[u8], text: &str) -> Vec<u8> {
    // A key of any length will do; no error is possible.
    let Ok(mut mac) = <Hmac<Sha256> as hmac::Mac>::new_from_slice(key) else {
        return Vec::new();
    };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
