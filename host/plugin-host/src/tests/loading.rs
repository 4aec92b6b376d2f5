//! Files and components: what is taken, what is not, and that one broken file affects no other.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::future::BoxFuture;
use serde_json::json;
use sluice_engine::plugin::{PluginKind, PluginName, Reply};

use super::guest::{Does, Guest, append_section, manifest, no_effects, plan};
use super::world::World;
use crate::{ChildProcess, Compiler, InProcess, Limits, Sandbox, Unusable};

fn router() -> Guest {
    Guest::router(Does::Answers(vec![plan(no_effects())]))
}

fn router_named(name: &str) -> PluginName {
    PluginName {
        kind: PluginKind::TrafficRouter,
        name: name.to_owned(),
    }
}

#[tokio::test]
async fn one_broken_file_affects_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let write =
        |name: &str, bytes: &[u8]| std::fs::write(directory.path().join(name), bytes).unwrap();
    write("a-garbage.wasm", b"not wasm");
    write("b-good.wasm", &router().build());
    write("c-evil.wasm", &{
        let mut bytes =
            wat::parse_str("(component (import \"wasi:sockets/tcp@0.2.0\" (instance)))").unwrap();
        append_section(
            &mut bytes,
            "sluice:plugin",
            manifest("step").to_string().as_bytes(),
        );
        bytes
    });
    write("notes.txt", b"not a plugin");
    let world = World::new();
    let loaded = world.host.load_directory(directory.path()).await;
    let found: Vec<(String, Result<String, String>)> = loaded
        .into_iter()
        .map(|outcome| match outcome {
            Ok(plugin) => (plugin.origin, Ok(plugin.manifest.name.clone())),
            Err(error) => (error.origin, Err(error.reason)),
        })
        .map(|(origin, outcome)| {
            (
                Path::new(&origin)
                    .file_name()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned(),
                outcome,
            )
        })
        .collect();
    assert_eq!(found.len(), 3);
    assert!(
        matches!(&found[0], (file, Err(why)) if file == "a-garbage.wasm" && why.starts_with("is not a WebAssembly"))
    );
    assert_eq!(found[1], ("b-good.wasm".to_owned(), Ok("probe".to_owned())));
    assert!(
        matches!(&found[2], (file, Err(why)) if file == "c-evil.wasm" && why.starts_with("imports `wasi:sockets"))
    );
    assert_eq!(
        world.host.registry().keys().cloned().collect::<Vec<_>>(),
        [router_named("probe")]
    );
}

#[tokio::test]
async fn only_regular_files_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("a-pipe.wasm");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    std::fs::create_dir(directory.path().join("b-directory.wasm")).unwrap();
    std::fs::write(directory.path().join("c-good.wasm"), router().build()).unwrap();
    let world = World::new();
    let mut loaded = world
        .host
        .load_directory(directory.path())
        .await
        .into_iter();
    for _ in 0..2 {
        let error = loaded.next().unwrap().unwrap_err();
        assert_eq!(
            (error.reason.as_str(), error.again),
            ("is not a regular file", false)
        );
    }
    assert!(loaded.next().unwrap().is_ok());
}

/// Fails the first time.
#[derive(Default)]
struct Late(AtomicUsize);

impl Compiler for Late {
    fn compile(&self, component: Bytes) -> BoxFuture<'static, Result<Vec<u8>, Unusable>> {
        if self.0.fetch_add(1, Ordering::Relaxed) == 0 {
            return Box::pin(async { Err(Unusable::for_now("does not compile within 180 s")) });
        }
        InProcess.compile(component)
    }
}

#[tokio::test]
async fn a_file_that_was_not_compiled_in_time_can_be_loaded_another_time() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("probe.wasm");
    std::fs::write(&file, router().build()).unwrap();
    let refused = directory.path().join("garbage.wasm");
    std::fs::write(&refused, b"not wasm").unwrap();
    let world = World::with(|settings| settings.compiler = Arc::new(Late::default()));
    assert!(!world.host.load_file(&refused).await.unwrap_err().again);
    assert!(world.host.load_file(&file).await.unwrap_err().again);
    assert!(world.host.registry().is_empty());
    world.host.load_file(&file).await.unwrap();
    assert!(world.host.registry().contains_key(&router_named("probe")));
}

#[tokio::test]
async fn a_missing_directory_is_one_error() {
    let world = World::new();
    let loaded = world
        .host
        .load_directory(Path::new("/nonexistent/plugins"))
        .await;
    let why = loaded[0].as_ref().unwrap_err().to_string();
    assert_eq!(loaded.len(), 1);
    assert!(
        why.starts_with("/nonexistent/plugins cannot be read: "),
        "{why}"
    );
}

#[tokio::test]
async fn a_plugin_is_found_under_its_name_and_each_alias() {
    let guest = router()
        .with("aliases", json!(["argoproj-labs/probe", "old-probe"]))
        .with("capabilities", json!(["header-routes"]))
        .with("statusKeys", json!(["alb"]));
    let world = World::new().load(&guest).await;
    let registry = world.host.registry();
    for name in ["probe", "argoproj-labs/probe", "old-probe"] {
        let info = &registry[&router_named(name)];
        assert_eq!(info.display_name, "Probe");
        assert!(info.digest.starts_with("sha256:") && info.digest.len() == 71);
        assert!(info.capabilities.contains("header-routes") && info.status_keys.contains("alb"));
    }
    assert_eq!(registry.len(), 3);
}

/// A component that is refused for what it is: nobody need try it again.
async fn refused(component: Vec<u8>, expected: &str) {
    let world = World::new();
    let error = world.host.load("probe.wasm", component).await.unwrap_err();
    let why = error.reason;
    assert!(why.contains(expected), "{why:?} should say {expected:?}");
    assert!(!error.again, "{why}");
    assert!(world.host.registry().is_empty());
}

#[tokio::test]
async fn a_component_that_does_not_fit_is_refused_at_once() {
    let two_kinds = router().with("kinds", json!(["traffic-router", "step"]));
    refused(
        two_kinds.build(),
        "does not export `sluice:plugin/step@0.1.0` as its manifest says",
    )
    .await;
    let newer = router().with("abi", json!("0.2.0"));
    refused(
        newer.build(),
        "is built for sluice:plugin@0.2.0; this host speaks 0.1",
    )
    .await;
    let mut traps = router();
    traps.extra = "(func $refuse unreachable) (start $refuse)".to_owned();
    let trapped = "wasm `unreachable` instruction executed in refuse";
    refused(traps.build(), trapped).await;
    let mut hungry = router();
    hungry.extra = "(table 200000 funcref)".to_owned();
    refused(hungry.build(), "exceeds the limit of 100000").await;
}

#[tokio::test]
async fn a_component_that_does_not_validate_is_refused_by_its_compiler() {
    // A function that leaves out its result, which only the compiler looks at.
    let mut invalid = wat::parse_str("(component (core module (func (result i32))))").unwrap();
    append_section(
        &mut invalid,
        "sluice:plugin",
        manifest("step").to_string().as_bytes(),
    );
    refused(invalid, "does not compile: ").await;
}

#[tokio::test]
async fn a_component_that_does_not_start_in_time_may_be_tried_again() {
    let mut computes = router();
    computes.extra = "(func $compute (loop $for_ever (br $for_ever))) (start $compute)".to_owned();
    let world = World::with(|settings| {
        settings.ticker = true;
        settings.limits.cpu = std::time::Duration::from_millis(30);
    });
    let error = world
        .host
        .load("probe.wasm", computes.build())
        .await
        .unwrap_err();
    assert!(
        error.reason.contains("used up its 30 ms of processor time") && error.again,
        "{error:?}"
    );
}

#[tokio::test]
async fn the_wrong_shape_of_a_function_is_found_by_the_trial() {
    let text = "(component
        (core module $m (func (export \"f\") (result i32) unreachable) (memory (export \"m\") 1))
        (core instance $i (instantiate $m))
        (func $f (result string) (canon lift (core func $i \"f\") (memory $i \"m\")))
        (instance $step (export \"execute\" (func $f)))
        (export \"sluice:plugin/step@0.1.0\" (instance $step)))";
    let mut bytes = wat::parse_str(text).unwrap();
    append_section(
        &mut bytes,
        "sluice:plugin",
        manifest("step").to_string().as_bytes(),
    );
    refused(bytes, "does not fit this host").await;
}

#[tokio::test]
async fn a_new_version_takes_the_place_of_the_old_and_a_broken_one_does_not() {
    let mut world = World::new().load(&router()).await;
    let before = world.route();
    let newer = router().with("version", json!("2.0.0"));
    world.host.load("probe.wasm", newer.build()).await.unwrap();
    let after = world.route();
    assert_ne!(before.digest, after.digest);
    // A call for the old one is not answered by the new one.
    let (reason, message) = world.broken(&before).await;
    assert_eq!(
        (reason.as_str(), message.as_str()),
        ("Unavailable", "the plugin has been replaced")
    );
    world
        .host
        .load("probe.wasm", b"broken".to_vec())
        .await
        .unwrap_err();
    assert!(matches!(world.answer(&after).await, Reply::Routed(_)));
}

#[tokio::test]
async fn a_name_belongs_to_whoever_came_first() {
    let world = World::new().load(&router()).await;
    let other = router()
        .with("name", json!("other"))
        .with("aliases", json!(["probe"]));
    let error = world
        .host
        .load("other.wasm", other.build())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "other.wasm the name `probe` is taken by probe.wasm"
    );
}

#[tokio::test]
async fn settings_come_from_flag_environment_and_default_in_this_order() {
    let guest = router().with(
        "settings",
        json!({
            "a": { "flag": "istio-a", "environment": "ISTIO_A", "default": "default", "description": "" },
            "b": { "flag": "istio-b", "environment": "ISTIO_B", "default": "default", "description": "" },
            "c": { "flag": "istio-c", "default": "default", "description": "" },
            "d": { "flag": "istio-d", "description": "" },
        }),
    );
    let values = [
        ("istio-a", "flag"),
        ("ISTIO_A", "environment"),
        ("ISTIO_B", "environment"),
    ];
    let values: BTreeMap<String, String> = values
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let loaded = World::new()
        .host
        .load("probe.wasm", guest.build())
        .await
        .unwrap();
    let expected = [("a", "flag"), ("b", "environment"), ("c", "default")];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(
        loaded.manifest.settings_from(&values),
        BTreeMap::from(expected)
    );
}

/// Counts compilations.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicUsize>);

impl Compiler for Counting {
    fn compile(&self, component: Bytes) -> BoxFuture<'static, Result<Vec<u8>, Unusable>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        InProcess.compile(component)
    }
}

#[tokio::test]
async fn hosts_that_share_a_sandbox_compile_a_component_once() {
    let sandbox = Sandbox::shared(Limits::default(), false).unwrap();
    let compiler = Counting::default();
    let trapping = || Guest::router(Does::Runs("unreachable".to_owned()));
    for (component, answers) in [(router(), true), (router(), true), (trapping(), false)] {
        let mut world = World::with(|settings| {
            settings.sandbox = Some(Arc::clone(&sandbox));
            settings.compiler = Arc::new(compiler.clone());
        })
        .load(&component)
        .await;
        let call = world.route();
        let answered = matches!(world.answer(&call).await, Reply::Routed(_));
        assert_eq!(answered, answers);
    }
    assert_eq!(compiler.0.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn compiled_code_is_kept_and_authenticated() {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("compiled");
    let compiler = Counting::default();
    let load = async || {
        let mut world = World::with(|settings| {
            settings.cache_dir = Some(cache.clone());
            settings.compiler = Arc::new(compiler.clone());
        })
        .load(&router())
        .await;
        let call = world.route();
        assert!(matches!(world.answer(&call).await, Reply::Routed(_)));
    };
    load().await;
    load().await;
    assert_eq!(compiler.0.load(Ordering::Relaxed), 1);
    let is_code = |path: &Path| {
        path.extension()
            .is_some_and(|extension| extension == "cwasm")
    };
    let files: Vec<_> = std::fs::read_dir(&cache)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let code = files.iter().find(|path| is_code(path)).unwrap();
    // One flipped bit in the machine code, which wasmtime itself would not notice.
    let mut bytes = std::fs::read(code).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(code, bytes).unwrap();
    load().await;
    assert_eq!(compiler.0.load(Ordering::Relaxed), 2);
    // Cut off within the authentication code.
    std::fs::write(code, b"short").unwrap();
    load().await;
    assert_eq!(compiler.0.load(Ordering::Relaxed), 3);
    // A file that another key has authenticated.
    std::fs::write(cache.join("key"), [7; 64]).unwrap();
    load().await;
    assert_eq!(compiler.0.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn a_cache_that_others_may_open_is_not_used() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let world = World::with(|settings| settings.cache_dir = Some(directory.path().to_owned()));
    let _world = world.load(&router()).await;
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

/// Compiles by a script in place of the child process.
async fn by_script(script: &str) -> Result<Vec<u8>, Unusable> {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("program");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let limits = Limits {
        compile_wall: std::time::Duration::from_millis(500),
        ..Limits::default()
    };
    ChildProcess::new(program, limits)
        .compile(Bytes::from_static(b"component"))
        .await
}

#[tokio::test]
async fn a_child_process_compiles_from_a_file_into_a_file() {
    let code =
        by_script("[ \"$1\" = compile-plugin ] && [ -z \"$HOME\" ] && cp \"$2\" \"$3\"").await;
    assert_eq!(code.unwrap(), b"component");
}

#[tokio::test]
async fn a_child_process_that_fails_or_hangs_is_told_of() {
    let complained = by_script("echo first; echo it is wrong >&2; exit 1")
        .await
        .unwrap_err();
    assert_eq!(complained, Unusable::refused("it is wrong"));
    // Everything else says nothing about the component.
    let hindered = by_script("echo no room >&2; exit 2").await.unwrap_err();
    assert_eq!(hindered, Unusable::for_now("no room"));
    let killed = by_script("kill -9 $$").await.unwrap_err();
    let limits = "of processor time and 1024 MiB (signal: 9";
    assert!(killed.reason.contains(limits) && killed.again, "{killed:?}");
    let panicked = by_script("echo out of memory >&2; exit 101")
        .await
        .unwrap_err();
    assert!(
        panicked.reason.ends_with("(exit status: 101)") && panicked.again,
        "{panicked:?}"
    );
    let hung = by_script("while :; do :; done").await.unwrap_err();
    assert_eq!(hung, Unusable::for_now("does not compile within 0 s"));
    let missing = ChildProcess::new("/nonexistent/sluice", Limits::default());
    let missing = missing.compile(Bytes::new()).await.unwrap_err();
    let why = "cannot be compiled: /nonexistent/sluice: ";
    assert!(
        missing.reason.starts_with(why) && missing.again,
        "{missing:?}"
    );
}

/// Remembers what was compiled.
#[derive(Default)]
struct Refusing(Mutex<Vec<Bytes>>);

impl Compiler for Refusing {
    fn compile(&self, component: Bytes) -> BoxFuture<'static, Result<Vec<u8>, Unusable>> {
        self.0.lock().unwrap().push(component);
        Box::pin(async { Err(Unusable::refused("does not compile: out of luck")) })
    }
}

#[tokio::test]
async fn nothing_is_compiled_that_the_gate_refuses() {
    let compiler = Arc::new(Refusing::default());
    let used: Arc<dyn Compiler> = Arc::<Refusing>::clone(&compiler);
    let world = World::with(|settings| settings.compiler = used);
    world
        .host
        .load("a", router().component())
        .await
        .unwrap_err();
    assert!(compiler.0.lock().unwrap().is_empty());
    let error = world.host.load("b", router().build()).await.unwrap_err();
    assert_eq!(error.to_string(), "b does not compile: out of luck");
    assert_eq!(compiler.0.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_router_with_several_names_says_once_what_it_may_change() {
    let world = World::new();
    let grant = |kinds: &[&str]| json!({ "group": "mesh.example", "kinds": kinds, "verbs": ["patch"], "namespaces": "subject" });
    let router = router()
        .with("aliases", json!(["acme/probe"]))
        .with(
            "grants",
            json!({ "changes": [grant(&["Rule", "Gate"]), grant(&["Rule"])] }),
        )
        .build();
    let loaded = world.host.load("router", router).await.unwrap();
    let kinds = ["Gate", "Rule"].map(|kind| ("mesh.example".to_owned(), kind.to_owned()));
    let reach = crate::Reach {
        router: "probe".to_owned(),
        digest: loaded.digest,
        kinds: kinds.into(),
    };
    assert_eq!(world.host.reaches(), [reach]);
}
