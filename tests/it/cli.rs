//! The command line, as somebody types it: what it teaches, and what it says about mistakes.

use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result};
use sluice_tests::control_plane::workspace;
use sluice_tests::{guest_plugins, sluice_binary};

/// Runs `sluice` in the root of the repository, with nothing of this machine's configuration.
fn sluice(arguments: &[&str]) -> Result<Output> {
    Command::new(sluice_binary()?)
        .args(arguments)
        .current_dir(workspace())
        .stdin(Stdio::null())
        .env_remove("KUBECONFIG")
        .env_remove("KUBERNETES_SERVICE_HOST")
        .env("HOME", "/nonexistent")
        .output()
        .context("failed to start sluice")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What it says when it fails in this way, without the logs.
fn complaint(arguments: &[&str], code: i32) -> Result<String> {
    let output = sluice(arguments)?;
    assert_eq!(
        output.status.code(),
        Some(code),
        "{arguments:?}: {}",
        text(&output.stderr)
    );
    assert_eq!(text(&output.stdout), "", "{arguments:?}");
    Ok(text(&output.stderr))
}

#[test]
fn help_says_what_there_is_and_gives_examples() -> Result<()> {
    let output = sluice(&["--help"])?;
    assert!(output.status.success());
    let help = text(&output.stdout);
    for said in [
        "a drop-in replacement for Argo Rollouts",
        "controller  ",
        "demo        ",
        "version     ",
        "Examples:",
        "sluice demo",
        "sluice controller --plugin-dir",
    ] {
        assert!(help.contains(said), "{said:?} is missing:\n{help}");
    }
    // What only the controller itself calls is of no use to people.
    assert!(!help.contains("compile-plugin"), "{help}");
    // Without a verb it is the same, as a mistake.
    assert_eq!(sluice(&[])?.status.code(), Some(2));
    Ok(())
}

#[test]
fn the_version_is_the_same_wherever_one_asks_for_it() -> Result<()> {
    let expected = format!("sluice {}\n", env!("CARGO_PKG_VERSION"));
    for arguments in [&["version"][..], &["--version"], &["-V"]] {
        let output = sluice(arguments)?;
        assert!(output.status.success(), "{arguments:?}");
        assert_eq!(text(&output.stdout), expected, "{arguments:?}");
    }
    // CTL-006
    let controller = text(&sluice(&["controller", "--version"])?.stdout);
    assert!(
        controller.contains(env!("CARGO_PKG_VERSION")),
        "{controller}"
    );
    Ok(())
}

// CTL-001 to CTL-006: `--help` wins over everything else, but only once every flag before it was understood.
#[test]
fn the_controller_takes_every_flag_of_upstream() -> Result<()> {
    for flags in [
        "--rollout-resync 900 --namespaced --loglevel info --logformat json --kloglevel 0 --metricsPort 8090",
        "--namespaced=false --metricsport 8090 --healthzPort 8080 --instance-id x --qps 40 --burst 80",
        "--rollout-threads 10 --experiment-threads 10 --analysis-threads 30 --service-threads 10",
        "--ingress-threads 10 --ephemeral-metadata-threads 10 --ephemeral-metadata-update-pod-retries 3",
        "--aws-target-group-binding-api-version elbv2.k8s.aws/v1beta1 --alb-tag-key-resource-id a/b",
        "--istio-api-version v1 --ambassador-api-version getambassador.io/v2 --traffic-split-api-version v1alpha1",
        "--traefik-api-group traefik.io --traefik-api-version traefik.io/v1alpha1 --ingress-api-version networking/v1",
        "--appmesh-crd-version v1beta2 --alb-ingress-classes alb,other --nginx-ingress-classes nginx",
        "--nginx-ingress-classes a --nginx-ingress-classes b --aws-verify-target-group --alb-verify-weight=false",
        "--leader-elect --leader-election-lease-duration 15s --leader-election-renew-deadline 10s",
        "--leader-elect=false --leader-election-retry-period 2s --self-service-notification-enabled",
        "--controllers analysis --enable-pprof-address :6060 --loglevel WARNING",
        "--kubeconfig x --context c --cluster k --user u --server https://x:6443 --token t --as a --as-group b -n n",
        "--request-timeout 30s --request-timeout 30 --insecure-skip-tls-verify --insecure-skip-tls-verify=false",
        "--certificate-authority ca --client-certificate c --client-key k --tls-server-name n --as-uid 7",
        "--username u --password p --proxy-url http://x --disable-compression --disable-compression=true",
    ] {
        let mut arguments = vec!["controller"];
        arguments.extend(flags.split(' '));
        arguments.push("--help");
        let output = sluice(&arguments)?;
        assert!(output.status.success(), "{flags}: {}", text(&output.stderr));
    }
    Ok(())
}

#[test]
fn the_controllers_help_explains_what_it_needs() -> Result<()> {
    let help = text(&sluice(&["controller", "--help"])?.stdout);
    for said in [
        "--plugin-dir <DIR>",
        "They are trusted with what their manifests ask for",
        "--kubeconfig <FILE>",
        "--instance-id <ID>",
        "--metricsPort <PORT>",
        "[default: 8090]",
        "[default: 8080]",
        "--leader-elect",
        "Settings of plugins:",
        "--istio-api-version",
    ] {
        assert!(help.contains(said), "{said:?} is missing:\n{help}");
    }
    Ok(())
}

#[test]
fn mistakes_are_answered_with_what_would_be_right() -> Result<()> {
    for (arguments, said) in [
        (
            &["contoller"][..],
            "a similar subcommand exists: 'controller'",
        ),
        (
            &["controller", "--plugindir", "x"],
            "a similar argument exists: '--plugin-dir'",
        ),
        (
            &["controller", "--loglevel", "loud"],
            "[possible values: trace, debug, info, warn, error]",
        ),
        (
            &["controller", "--controllers", "rollouts"],
            "[possible values: analysis]",
        ),
        (
            &["controller", "--request-timeout", "soon"],
            "invalid value 'soon' for '--request-timeout <DURATION>'",
        ),
        (
            &["controller", "--leader-election-lease-duration=10s"],
            "--leader-election-lease-duration (10s) must be greater than --leader-election-renew-deadline (10s)",
        ),
        (
            &["controller", "--leader-election-retry-period", "2"],
            "invalid value '2' for '--leader-election-retry-period <DURATION>'",
        ),
        (
            &["controller", "--metricsPort", "99999"],
            "invalid value '99999' for '--metricsPort <PORT>'",
        ),
        (
            &["controller", "--plugin-setting", "x"],
            "expected NAME=VALUE",
        ),
    ] {
        let complaint = complaint(arguments, 2)?;
        assert!(
            complaint.contains(said),
            "{said:?} is missing:\n{complaint}"
        );
    }
    Ok(())
}

#[test]
fn a_kubeconfig_that_is_of_no_use_is_named_with_the_reason() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let check = |content: Option<&str>, expected: &str| -> Result<()> {
        let file = folder.path().join("kubeconfig");
        if let Some(content) = content {
            std::fs::write(&file, content)?;
        }
        let file = file.to_string_lossy().into_owned();
        let said = complaint(&["controller", "--kubeconfig", &file], 1)?;
        let said = said.replace(&file, "FILE");
        assert!(said.starts_with("sluice: "), "{said}");
        assert!(said.contains(expected), "{expected:?} is missing: {said}");
        Ok(())
    };
    check(
        None,
        "sluice: failed to read kubeconfig FILE: No such file or directory (os error 2)\n",
    )?;
    check(Some("users: 7"), "failed to read kubeconfig FILE")?;
    check(
        Some(
            "{apiVersion: v1, kind: Config, clusters: [], users: [], contexts: [], current-context: prod}",
        ),
        "failed to use kubeconfig FILE",
    )?;
    let said = complaint(&["controller"], 1)?;
    assert!(said.contains("name one with --kubeconfig"), "{said}");
    Ok(())
}

// CTL-001: what the client cannot do, or what contradicts itself, is said before anything is asked of a server.
#[test]
fn a_connection_that_cannot_be_had_is_refused_with_the_reason() -> Result<()> {
    for (flags, said) in [
        (
            "--proxy-url ftp://proxy",
            "failed to use --proxy-url: unsupported scheme \"ftp\", must be http, https, or socks5",
        ),
        (
            "--insecure-skip-tls-verify --certificate-authority nowhere",
            "--certificate-authority and --insecure-skip-tls-verify exclude each other",
        ),
        (
            "--certificate-authority nowhere",
            "failed to read nowhere (--certificate-authority): No such file or directory",
        ),
        (
            "--client-certificate nowhere",
            "failed to read nowhere (--client-certificate): No such file or directory",
        ),
        ("--password p", "--password needs --username"),
        (
            "--username u --token t",
            "both a user name and a token are given",
        ),
    ] {
        let mut arguments = vec!["controller", "--server", "https://127.0.0.1:1"];
        arguments.extend(flags.split(' '));
        let complaint = complaint(&arguments, 1)?;
        assert!(
            complaint.contains(said),
            "{said:?} is missing:\n{complaint}"
        );
    }
    Ok(())
}

#[test]
fn a_demo_that_cannot_begin_says_what_is_missing() -> Result<()> {
    let empty = tempfile::tempdir()?;
    let empty = empty.path().to_string_lossy().into_owned();
    let plugins = guest_plugins()?.to_string_lossy().into_owned();
    for (arguments, said) in [
        (
            ["--plugin-dir", "nowhere", "--scenario", "examples/canary"],
            "failed to read nowhere: No such file or directory",
        ),
        (
            ["--plugin-dir", &empty, "--scenario", "examples/canary"],
            "holds no plugin (*.wasm); build them with `cargo xtask build-plugins`",
        ),
        (
            ["--plugin-dir", &plugins, "--scenario", "nowhere"],
            "failed to read nowhere: No such file or directory",
        ),
        (
            ["--plugin-dir", &plugins, "--scenario", &empty],
            "must hold exactly one Rollout, found 0",
        ),
    ] {
        let output = sluice(&[&["demo", "--plain"][..], &arguments].concat())?;
        let complaint = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {complaint}");
        assert!(
            complaint.contains(said),
            "{said:?} is missing:\n{complaint}"
        );
    }
    Ok(())
}

#[test]
fn the_demo_tells_both_ends_of_a_canary_and_what_to_try_next() -> Result<()> {
    let plugins = guest_plugins()?;
    let log = tempfile::NamedTempFile::new()?;
    let arguments: Vec<&std::ffi::OsStr> = vec![
        "demo".as_ref(),
        "--plain".as_ref(),
        "--plugin-dir".as_ref(),
        plugins.as_os_str(),
        "--log".as_ref(),
        log.path().as_os_str(),
    ];
    let output = Command::new(sluice_binary()?)
        .args(arguments)
        .current_dir(workspace())
        .stdin(Stdio::null())
        .output()?;
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", text(&output.stderr));
    let mut rest = said.as_str();
    for part in [
        "version 1 is deployed",
        "version 2 is released",
        "TrafficWeightUpdated: Traffic weight updated from 0 to 20",
        "canary  20%",
        "canary  50%",
        "Healthy",
        "version 3 is released",
        "Degraded",
        "version 3 was taken back",
        "Try next:",
    ] {
        let place = rest.find(part);
        rest = place
            .map(|place| &rest[place..])
            .with_context(|| format!("{part:?} is missing, in this order:\n{said}"))?;
    }
    assert!(
        said.contains("RolloutAborted: Rollout aborted update to revision 3"),
        "{said}"
    );
    // Nothing of a terminal where there is none.
    assert!(!said.contains('\u{1b}'), "{said}");
    assert!(std::fs::read_to_string(log.path())?.contains("plugin loaded"));
    Ok(())
}
