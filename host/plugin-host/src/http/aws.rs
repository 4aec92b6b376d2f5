//! Signatures for AWS, made with the controller's own identity. Where that comes from is told by [`AwsIdentity`]; which
//! plugin may use it, by its grant.

mod credentials;
mod identity;
mod signature;
mod sts;

pub use identity::AwsIdentity;

pub(super) use credentials::Vault;
pub(super) use signature::sign;

use super::HttpFailure;

/// What a request is signed for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AwsRequest {
    /// The signing name of the service.
    pub service: String,
    /// None: the controller's own region.
    pub region: Option<String>,
    /// A role to assume first.
    pub role_arn: Option<String>,
    /// A profile of shared configuration files.
    pub profile: Option<String>,
}

/// The same, once it is known that it can be signed for.
pub(super) struct Wanted {
    pub service: String,
    pub region: String,
    pub role_arn: Option<String>,
}

impl AwsRequest {
    /// What is to be signed for, once it is known that it can be.
    ///
    /// # Errors
    /// What is missing, naming the field.
    pub(super) fn resolve(self, identity: &AwsIdentity) -> Result<Wanted, String> {
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        if filled(self.profile).is_some() {
            return Err(
                "sigv4.profile: shared AWS configuration files are not read; leave it out, and give the controller its \
                 identity by environment variables, a service account, or sigv4.roleArn"
                    .to_owned(),
            );
        }
        let region = filled(self.region).or_else(|| identity.region.clone());
        // The text of the library that upstream signs with.
        let region =
            region.ok_or("region not configured in sigv4 or in default credentials chain")?;
        // It becomes part of a host name.
        if !region
            .chars()
            .all(|char| char.is_ascii_alphanumeric() || char == '-')
        {
            return Err("sigv4.region: is not the name of a region".to_owned());
        }
        Ok(Wanted {
            service: self.service,
            region,
            role_arn: filled(self.role_arn),
        })
    }
}

/// An answer without credentials.
fn refused(who: &str, why: &str) -> HttpFailure {
    HttpFailure::Denied(format!("no AWS credentials: {who}: {why}"))
}
