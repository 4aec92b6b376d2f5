//! Flags over a kubeconfig.

use std::io::{Read as _, Write as _};
use std::path::Path;

use anyhow::Result;

use sluice_plugin_host::Proxies;

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
        self.config_in(&[], flags)
    }

    /// With these variables in the environment.
    fn config_in(&self, environment: &[(&str, &str)], flags: &str) -> Result<kube::Config> {
        let proxies = Proxies::of(|name| {
            let mut variables = environment.iter();
            let found = variables.find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        });
        let flags = flags.replace("DIR", &self.0.display().to_string());
        let flags = format!("--kubeconfig {}/kubeconfig {flags}", self.0.display());
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(arguments(&flags).connection.config(&proxies))
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

// CTL-001: the flag, then the kubeconfig, then the environment, which only counts for what `NO_PROXY` leaves.
#[test]
fn the_proxy_is_the_first_that_somebody_names() -> Result<()> {
    let folder = Folder::new("proxies");
    let through = |environment: &[(&str, &str)], flags: &str| -> Result<Option<String>> {
        let config = folder.config_in(environment, flags)?;
        Ok(config.proxy_url.map(|url| url.to_string()))
    };
    let proxy = ("HTTPS_PROXY", "http://me:secret@proxy:3128");
    let of_environment = Some("http://me:secret@proxy:3128/".to_owned());
    assert_eq!(through(&[], "")?, None);
    assert_eq!(through(&[proxy], "")?, of_environment);
    assert_eq!(
        through(&[("https_proxy", "proxy:3128")], "")?.as_deref(),
        Some("http://proxy:3128/")
    );
    assert_eq!(
        through(&[("HTTP_PROXY", "http://proxy:3128")], "")?,
        None,
        "the server is reached by https"
    );
    for (no_proxy, expected) in [
        ("prod", None),
        ("other, .example.com,", of_environment.clone()),
        ("proxy", of_environment.clone()),
        ("*", None),
    ] {
        let environment = [proxy, ("NO_PROXY", no_proxy)];
        assert_eq!(through(&environment, "")?, expected, "{no_proxy}");
    }
    assert_eq!(
        through(
            &[proxy, ("NO_PROXY", "10.0.0.0/8")],
            "--server https://10.1.2.3"
        )?,
        None
    );
    assert_eq!(
        through(&[proxy], "--server https://127.0.0.1:6443")?,
        None,
        "the machine itself is reached directly"
    );
    assert_eq!(
        through(&[proxy, ("NO_PROXY", "*")], "--proxy-url socks5://far:1080")?.as_deref(),
        Some("socks5://far:1080/")
    );
    let error = through(&[], "--proxy-url ftp://far").unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "failed to use --proxy-url: unsupported scheme \"ftp\", must be http, https, or socks5"
    );

    let with_proxy = KUBECONFIG.replace(
        r#""server": "#,
        r#""proxy-url": "http://of-prod:8080", "server": "#,
    );
    std::fs::write(folder.0.join("kubeconfig"), with_proxy)?;
    // `NO_PROXY` is about the environment's proxies.
    let environment = [proxy, ("NO_PROXY", "*")];
    let of_kubeconfig = Some("http://of-prod:8080/".to_owned());
    assert_eq!(through(&environment, "")?, of_kubeconfig);
    assert_eq!(
        through(&environment, "--proxy-url http://far")?.as_deref(),
        Some("http://far/")
    );
    Ok(())
}

#[test]
fn requests_to_the_api_server_go_through_the_proxy() -> Result<()> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let asked = std::thread::spawn(move || -> std::io::Result<String> {
        let (mut stream, _) = listener.accept()?;
        let mut head = [0; 1024];
        let length = stream.read(&mut head)?;
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")?;
        Ok(String::from_utf8_lossy(&head[..length]).into_owned())
    });
    let flags = format!("--proxy-url http://me:se%40cret@{address} --token t");
    let folder = Folder::new("tunnel");
    let kubeconfig = KUBECONFIG.replace(
        "\"client-certificate-data\": \"YQ==\", \"client-key-data\": \"YQ==\"",
        "",
    );
    std::fs::write(folder.0.join("kubeconfig"), kubeconfig)?;
    let mut config = folder.config(&flags)?;
    config.default_retry = false;
    let runtime = tokio::runtime::Runtime::new()?;
    let outcome = runtime.block_on(async {
        let client = kube::Client::try_from(config)?;
        client.apiserver_version().await
    });
    assert!(outcome.is_err(), "there is no server behind it");
    let asked = asked.join().expect("the proxy")?;
    assert!(
        asked.starts_with("CONNECT prod:6443 HTTP/1.1\r\n"),
        "{asked}"
    );
    assert!(
        asked
            .to_ascii_lowercase()
            .contains("proxy-authorization: basic bwu6c2vay3jlda=="),
        "{asked}"
    );
    Ok(())
}
