//! The Security Token Service: credentials for a role (AWS's query protocol, version 2011-06-15).

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use jiff::Timestamp;
use url::form_urlencoded;

use super::credentials::{Credentials, LARGEST};
use super::identity::{AwsIdentity, SESSION};
use super::{refused, signature};
use crate::http::HttpFailure;
use crate::http::port::{BodyLimit, HttpPort};

/// Where roles are assumed.
pub(super) struct Endpoint<'a> {
    address: String,
    region: &'a str,
}

/// What belongs to the names of regions, by how these begin; the rest of the world is in `amazonaws.com`.
const PARTITIONS: [(&str, &str); 3] = [
    ("cn-", "amazonaws.com.cn"),
    ("us-iso-", "c2s.ic.gov"),
    ("us-isob-", "sc2s.sgov.gov"),
];

impl<'a> Endpoint<'a> {
    /// The one of the region, unless the environment names another.
    pub fn of(identity: &AwsIdentity, region: &'a str) -> Self {
        let domain = PARTITIONS
            .iter()
            .find(|(begin, _)| region.starts_with(begin))
            .map_or("amazonaws.com", |(_, domain)| *domain);
        let address = identity
            .sts_endpoint
            .clone()
            .unwrap_or_else(|| format!("https://sts.{region}.{domain}/"));
        Self { address, region }
    }

    /// Credentials of a role, for whoever has these.
    pub async fn assume_role(
        &self,
        port: &HttpPort,
        role_arn: &str,
        base: &Credentials,
        now: Timestamp,
    ) -> Result<Credentials, HttpFailure> {
        let mut request = self.request(&[
            ("Action", "AssumeRole"),
            ("RoleArn", role_arn),
            ("RoleSessionName", SESSION),
        ])?;
        signature::sign(&mut request, base, "sts", self.region, now).map_err(|why| failed(&why))?;
        exchange(request, port).await
    }

    /// Credentials of a role, for whoever shows this token.
    pub async fn assume_role_with_web_identity(
        &self,
        port: &HttpPort,
        role_arn: &str,
        session: &str,
        token: &str,
    ) -> Result<Credentials, HttpFailure> {
        let request = self.request(&[
            ("Action", "AssumeRoleWithWebIdentity"),
            ("RoleArn", role_arn),
            ("RoleSessionName", session),
            ("WebIdentityToken", token),
        ])?;
        exchange(request, port).await
    }

    fn request(&self, fields: &[(&str, &str)]) -> Result<http::Request<Bytes>, HttpFailure> {
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .append_pair("Version", "2011-06-15")
            .finish();
        let mut request = http::Request::new(Bytes::from(form));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self
            .address
            .parse()
            .map_err(|_| failed("its address is not usable"))?;
        request.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        request.extensions_mut().insert(BodyLimit(LARGEST));
        Ok(request)
    }
}

async fn exchange(
    request: http::Request<Bytes>,
    port: &HttpPort,
) -> Result<Credentials, HttpFailure> {
    let response = port.send(request).await?;
    let body = String::from_utf8_lossy(response.body());
    if response.status() != http::StatusCode::OK {
        let (code, message) = (element(&body, "Code"), element(&body, "Message"));
        let why = [code, message]
            .map(|text| text.unwrap_or_default())
            .join(" ");
        return Err(failed(
            format!("status {} {why}", response.status()).trim_end(),
        ));
    }
    let field = |name: &str| {
        element(&body, name).ok_or_else(|| failed(&format!("the answer has no {name}")))
    };
    let expires = field("Expiration")?;
    let expires = expires
        .parse()
        .map_err(|error| failed(&format!("Expiration {expires:?}: {error}")))?;
    Ok(Credentials {
        id: field("AccessKeyId")?,
        secret: field("SecretAccessKey")?,
        token: Some(field("SessionToken")?),
        expires: Some(expires),
    })
}

/// The text of the first element of this name. The service's answers are flat where we look, and their names are unique,
/// so that this needs no more of XML.
fn element(body: &str, name: &str) -> Option<String> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let named = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
    ];
    let text = named
        .iter()
        .fold(text.to_owned(), |text, (escaped, plain)| {
            text.replace(escaped, plain)
        });
    Some(text.replace("&amp;", "&"))
}

fn failed(why: &str) -> HttpFailure {
    refused("the Security Token Service", why)
}
