//! Flags over a kubeconfig.

use std::path::Path;

use anyhow::Result;

use crate::controller::tests::arguments;

const KUBECONFIG: &str = r#"{
    "apiVersion": "v1", "kind": "Config", "current-context": "prod",
    "clusters": [{ "name": "prod", "cluster": { "server": "https://prod:6443", "tls-server-name": "of-prod" } }],
    "users": [{ "name": "me", "user": { "client-certificate-data": "YQ==", "client-key-data": "YQ==" } }],
    "contexts": [{ "name": "prod", "context": { "cluster": "prod", "user": "me", "namespace": "shop" } }]
}"#;

struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sluice-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        for file in ["ca", "cert", "key"] {
            std::fs::write(path.join(file), "").expect("a file");
        }
        std::fs::write(path.join("kubeconfig"), KUBECONFIG).expect("a kubeconfig");
        Self(path)
    }

    fn config(&self, flags: &str) -> Result<kube::Config> {
        let flags = flags.replace("DIR", &self.0.display().to_string());
        let flags = format!("--kubeconfig {}/kubeconfig {flags}", self.0.display());
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(arguments(&flags).connection.config())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_kubeconfig_is_used_as_it_is_without_flags() -> Result<()> {
    let config = Folder::new("plain").config("")?;
    assert_eq!(config.cluster_url.host(), Some("prod"));
    assert_eq!(config.default_namespace, "shop");
    assert_eq!(config.tls_server_name.as_deref(), Some("of-prod"));
    assert!(!config.accept_invalid_certs);
    Ok(())
}

#[test]
fn flags_come_before_the_kubeconfig() -> Result<()> {
    let folder = Folder::new("flags");
    let config = folder.config(
        "--client-certificate DIR/cert --client-key DIR/key --certificate-authority DIR/ca \
         --as a --as-uid 7 --as-group g",
    )?;
    let user = &config.auth_info;
    let path = |name: &str| folder.0.join(name).to_str().map(str::to_owned);
    assert_eq!(user.client_certificate, path("cert"));
    assert_eq!(user.client_certificate_data, None);
    assert_eq!(user.client_key, path("key"));
    assert!(user.client_key_data.is_none());
    assert_eq!(
        config.root_cert_file.as_deref().and_then(Path::to_str),
        path("ca").as_deref()
    );
    assert_eq!(user.impersonate.as_deref(), Some("a"));
    assert_eq!(user.impersonate_uid.as_deref(), Some("7"));
    assert_eq!(user.impersonate_groups, Some(vec!["g".to_owned()]));

    let config = folder.config("--insecure-skip-tls-verify --username u --password p")?;
    assert!(config.accept_invalid_certs);
    assert_eq!(config.auth_info.username.as_deref(), Some("u"));
    assert!(config.auth_info.password.is_some());

    // The name in the certificate was the other server's.
    let config = folder.config("--server https://other:6443")?;
    assert_eq!(config.cluster_url.host(), Some("other"));
    assert_eq!(config.tls_server_name, None);
    let config = folder.config("--server https://other:6443 --tls-server-name x")?;
    assert_eq!(config.tls_server_name.as_deref(), Some("x"));
    Ok(())
}
