//! What the controller was built from (MET-013).

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Info {
    version: &'static str,
}

/// Upstream's labels, without the one about Go, and with the toolchain that there is in its place.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Build {
    version: &'static str,
    rustversion: &'static str,
    goarch: &'static str,
    commit: &'static str,
}

/// The commit that a release is built from; whoever builds says it. Nothing is asked at build time, so that the same
/// source gives the same program.
const COMMIT: Option<&str> = option_env!("SLUICE_COMMIT");
/// The toolchain that rustup chose; absent where the program was built without it.
const TOOLCHAIN: Option<&str> = option_env!("RUSTUP_TOOLCHAIN");

pub(super) fn register(registry: &mut Registry) {
    let version = env!("CARGO_PKG_VERSION");
    let info = Family::<Info, Gauge>::default();
    info.get_or_create(&Info { version }).set(1);
    registry.register(
        "argo_rollouts_controller_info",
        "Version of the controller",
        info,
    );
    let build = Family::<Build, Gauge>::default();
    let labels = Build {
        version,
        rustversion: TOOLCHAIN.unwrap_or("unknown"),
        goarch: goarch(std::env::consts::ARCH),
        commit: COMMIT.unwrap_or("unknown"),
    };
    build.get_or_create(&labels).set(1);
    registry.register("build_info", "What the controller was built from", build);
}

/// The architecture's name in Go, which is its name in Kubernetes.
fn goarch(arch: &'static str) -> &'static str {
    match arch {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}
