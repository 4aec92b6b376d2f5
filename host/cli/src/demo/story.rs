//! The story that the demo tells, and the check that it went as told.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::Instant;

use super::scene::Scene;
use super::view::View;
use super::world::World;

/// How often the picture is looked at. People cannot see more.
const FRAME: Duration = Duration::from_millis(100);
/// No chapter takes so long unless something is wrong. The first one compiles the plugins, on a busy machine for minutes.
const CHAPTER: Duration = Duration::from_secs(300);

/// The code of a program that Ctrl-C has ended.
const INTERRUPTED: u8 = 130;

pub(super) async fn tell(arguments: &super::Arguments) -> Result<ExitCode> {
    let mut view = View::open(arguments.plain)?;
    view.chapter("a simulated cluster, the controller, and its plugins")?;
    let world = World::start(&arguments.plugin_dir, &arguments.scenario).await?;
    let told = tokio::select! {
        biased;
        heard = tokio::signal::ctrl_c() => heard.map(|()| Told::Interrupted).map_err(Into::into),
        told = chapters(&world, &mut view) => told.map(|()| Told::All),
    };
    let closed = view.close(&world.scene());
    let told = told?;
    closed?;
    world.stop().await?;
    println!();
    if let Told::Interrupted = told {
        println!("Stopped in the middle; the controller has given its lease back.");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    println!("Both ends of a canary, by the controller and the plugins that run on a cluster.");
    println!();
    println!("Try next:");
    let edit = format!(
        "$EDITOR {}/rollout.yaml && cargo xtask demo",
        arguments.scenario.display()
    );
    let program = std::env::current_exe().unwrap_or_else(|_| "sluice".into());
    let here = std::env::current_dir().unwrap_or_default();
    let help = format!("{} controller --help", short(&program, &here).display());
    for (command, does) in [
        (edit.as_str(), "your own steps"),
        ("cargo xtask test --fast", "tests without a control plane"),
        (help.as_str(), "run it on your own cluster"),
    ] {
        println!("  {command:<56}  {does}");
    }
    Ok(ExitCode::SUCCESS)
}

/// The path as somebody would type it there.
fn short<'a>(program: &'a Path, there: &Path) -> &'a Path {
    match program.strip_prefix(there) {
        // A name alone would be looked for in PATH.
        Ok(below) if below.components().count() > 1 => below,
        Ok(_) | Err(_) => program,
    }
}

/// How much of the story was told.
enum Told {
    All,
    Interrupted,
}

async fn chapters(world: &World, view: &mut View) -> Result<()> {
    view.chapter("version 1 is deployed")?;
    until(world, view, "version 1 to be healthy", |scene| {
        scene.phase == "Healthy"
    })
    .await?;
    let first = world.scene().stable;

    view.chapter("version 2 is released: a good one")?;
    world.release("registry.example/shop:v2", None)?;
    let promoted = until(world, view, "version 2 to be promoted", |scene| {
        scene.phase == "Healthy" && scene.stable != first && scene.weight == Some(0)
    })
    .await?;

    view.chapter("version 3 is released: it fails four of ten requests")?;
    world.release("registry.example/shop:v3", Some("0.4"))?;
    let degraded = until(world, view, "version 3 to be taken back", |scene| {
        scene.phase == "Degraded" && scene.weight == Some(0)
    })
    .await?;
    expect(
        degraded.stable == promoted.stable,
        "version 2 is still stable",
        &degraded,
    )?;
    view.chapter("version 3 was taken back: all traffic is on version 2")
}

fn expect(holds: bool, what: &str, scene: &Scene) -> Result<()> {
    if holds {
        return Ok(());
    }
    bail!(
        "the story went wrong: expected that {what}; {}: {}",
        scene.phase,
        scene.message
    )
}

async fn until(
    world: &World,
    view: &mut View,
    what: &str,
    reached: impl Fn(&Scene) -> bool,
) -> Result<Scene> {
    let began = Instant::now();
    loop {
        world.check()?;
        let scene = world.scene();
        view.show(&scene)?;
        if reached(&scene) {
            return Ok(scene);
        }
        if began.elapsed() > CHAPTER {
            bail!(
                "waited five minutes for {what}; now {}: {}",
                scene.phase,
                scene.message
            );
        }
        tokio::time::sleep(FRAME).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_named_as_somebody_would_type_it() {
        for (program, there, named) in [
            (
                "/src/sluice/target/debug/sluice",
                "/src/sluice",
                "target/debug/sluice",
            ),
            (
                "/src/sluice/target/debug/sluice",
                "/elsewhere",
                "/src/sluice/target/debug/sluice",
            ),
            (
                "/usr/local/bin/sluice",
                "/usr/local/bin",
                "/usr/local/bin/sluice",
            ),
            ("sluice", "", "sluice"),
        ] {
            assert_eq!(
                short(Path::new(program), Path::new(there)),
                Path::new(named)
            );
        }
    }
}
