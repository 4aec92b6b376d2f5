//! Who may talk to the control plane: users with tokens, the serving certificate, kubeconfig files.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde_json::json;
use sha2::{Digest, Sha256};

/// Who a test acts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum User {
    /// May do everything.
    Admin,
    /// The service account that the manifests in `deploy/` give the controller: it may do what their RBAC
    /// rules allow once a test has applied them, and nothing before.
    Controller,
    /// May do everything, under a name of its own, so that its requests are counted apart: the controller
    /// that ours is compared with.
    Peer,
    /// The control plane's own parts. Their requests are not counted.
    System,
}

impl User {
    /// All users.
    pub const ALL: [Self; 4] = [Self::Admin, Self::Controller, Self::Peer, Self::System];

    /// The name that the API server knows the user by.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            // The name that upstream's manifests, and so ours, use.
            Self::Controller => "system:serviceaccount:argo-rollouts:argo-rollouts",
            Self::Peer => "peer",
            Self::System => "sluice:control-plane",
        }
    }

    fn groups(self) -> &'static [&'static str] {
        match self {
            Self::Controller => &[
                "system:serviceaccounts",
                "system:serviceaccounts:argo-rollouts",
            ],
            Self::Admin | Self::Peer | Self::System => &["system:masters"],
        }
    }

    fn file_name(self) -> &'static str {
        match self {
            Self::Admin => "admin.kubeconfig",
            Self::Controller => "controller.kubeconfig",
            Self::Peer => "peer.kubeconfig",
            Self::System => "system.kubeconfig",
        }
    }

    /// The user's kubeconfig in the folder of a control plane.
    pub(super) fn kubeconfig(self, folder: &Path) -> PathBuf {
        folder.join(self.file_name())
    }
}

/// The files that the API server is started with.
pub struct Credentials {
    pub authority: PathBuf,
    pub certificate: PathBuf,
    pub certificate_key: PathBuf,
    /// Signs the tokens of service accounts.
    pub service_account_key: PathBuf,
    /// Checks these tokens.
    pub service_account_public_key: PathBuf,
    pub tokens: PathBuf,
    secret: String,
}

impl Credentials {
    /// Makes new keys and writes all files, readable by their owner only.
    pub fn create(folder: &Path) -> Result<Self> {
        let service_accounts =
            KeyPair::generate().context("failed to generate the key of service accounts")?;
        let (authority, certificate, certificate_key) =
            serving_certificate().context("failed to make the serving certificate")?;
        let credentials = Self {
            authority: folder.join("authority.crt"),
            certificate: folder.join("serving.crt"),
            certificate_key: folder.join("serving.key"),
            service_account_key: folder.join("service-accounts.key"),
            service_account_public_key: folder.join("service-accounts.pub"),
            tokens: folder.join("tokens.csv"),
            secret: service_accounts.serialize_pem(),
        };
        let tokens = User::ALL.map(|user| {
            let (name, groups) = (user.name(), user.groups().join(","));
            format!("{},{name},{name},\"{groups}\"\n", credentials.token(user))
        });
        write_private(&credentials.authority, &authority)?;
        write_private(&credentials.certificate, &certificate)?;
        write_private(&credentials.certificate_key, &certificate_key)?;
        write_private(
            &credentials.service_account_key,
            &service_accounts.serialize_pem(),
        )?;
        write_private(
            &credentials.service_account_public_key,
            &service_accounts.public_key_pem(),
        )?;
        write_private(&credentials.tokens, &tokens.concat())?;
        Ok(credentials)
    }

    /// Writes the kubeconfig of every user.
    pub fn write_kubeconfigs(&self, folder: &Path, server: &str) -> Result<()> {
        for user in User::ALL {
            let config = json!({
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "sluice", "cluster": {"server": server, "certificate-authority": self.authority}}],
                "users": [{"name": user.name(), "user": {"token": self.token(user)}}],
                "contexts": [{"name": "sluice", "context": {"cluster": "sluice", "user": user.name()}}],
                "current-context": "sluice",
            });
            write_private(&user.kubeconfig(folder), &format!("{config:#}\n"))?;
        }
        Ok(())
    }

    /// Nobody else on this machine can know it: it is derived from a fresh private key.
    fn token(&self, user: User) -> String {
        let digest = Sha256::new()
            .chain_update(&self.secret)
            .chain_update(user.name())
            .finalize();
        digest
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// Writes a file that only its owner may read.
pub(super) fn write_private(path: &Path, text: &str) -> Result<()> {
    let mut file = fs::OpenOptions::new();
    file.write(true).create(true).truncate(true).mode(0o600);
    let written = file
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.with_context(|| format!("failed to write {}", path.display()))
}

/// The certificates of an authority and of the API server, and the server's key, as PEM.
fn serving_certificate() -> Result<(String, String, String), rcgen::Error> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority
        .distinguished_name
        .push(DnType::CommonName, "sluice tests");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    let authority_key = KeyPair::generate()?;
    let authority_certificate = authority.self_signed(&authority_key)?.pem();
    let issuer = Issuer::new(authority, authority_key);

    let mut server = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()])?;
    server
        .distinguished_name
        .push(DnType::CommonName, "kube-apiserver");
    server.use_authority_key_identifier_extension = true;
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let server_key = KeyPair::generate()?;
    let server_certificate = server.signed_by(&server_key, &issuer)?.pem();
    Ok((
        authority_certificate,
        server_certificate,
        server_key.serialize_pem(),
    ))
}
