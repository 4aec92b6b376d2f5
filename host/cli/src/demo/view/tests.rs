use expect_test::{Expect, expect};
use ratatui::backend::TestBackend;

use super::*;

fn check(scene: &Scene, expected: Expect) {
    let mut terminal = Terminal::new(TestBackend::new(80, HEIGHT)).unwrap();
    terminal.draw(|frame| picture(frame, scene)).unwrap();
    let buffer = terminal.backend().buffer();
    let width = usize::from(buffer.area.width);
    let cells: Vec<&str> = buffer.content.iter().map(|cell| cell.symbol()).collect();
    let lines: Vec<String> = cells
        .chunks(width)
        .map(|row| row.concat().trim_end().to_owned())
        .collect();
    expected.assert_eq(&format!("{}\n", lines.join("\n").trim_end()));
}

fn set(revision: i64, role: &'static str, ready: i64, wanted: i64) -> Set {
    Set {
        name: String::new(),
        revision,
        image: format!("shop:v{revision}"),
        role,
        wanted,
        ready,
    }
}

#[test]
fn an_update_at_work() {
    let scene = Scene {
        phase: "Paused".to_owned(),
        message: "CanaryPauseStep".to_owned(),
        step: (1, 6),
        doing: "pause: 5s".to_owned(),
        weight: Some(20),
        sets: vec![
            set(1, "", 0, 0),
            set(2, "stable", 5, 5),
            set(3, "canary", 1, 2),
        ],
        measurements: vec![Measurement {
            metric: "success-rate".to_owned(),
            values: ["1", "0.9", "1", "1", "0.8", "1", "0.99"]
                .map(str::to_owned)
                .into(),
            phase: "Running".to_owned(),
        }],
        ..Scene::default()
    };
    check(
        &scene,
        expect![[r#"
        Paused   step 2 of 6: pause: 5s
        CanaryPauseStep
        traffic   canary  20 % ████████░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░  80 % stable

        revision 2   stable  ■■■■■  5/5 ready  shop:v2
        revision 3   canary  ■□     1/2 ready  shop:v3

        success-rate         Running      0.9 1 1 0.8 1 0.99
    "#]],
    );
}

#[test]
fn before_the_controller_has_seen_anything() {
    check(
        &Scene::default(),
        expect![[r#"
        the controller loads its plugins …

        traffic   canary   0 % ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░ 100 % stable
    "#]],
    );
}

#[test]
fn long_lines_are_broken_between_words() {
    for (text, width, expected) in [
        ("  1.0s a b", 80, vec!["  1.0s a b"]),
        (
            "  1.0s Traffic weight updated",
            20,
            vec!["  1.0s Traffic ", "          weight ", "          updated"],
        ),
        ("averyverylongword", 4, vec!["averyverylongword"]),
        ("", 10, vec![""]),
    ] {
        assert_eq!(wrapped(text, width), expected, "{text}");
    }
}
