//! Shows a scene: one picture that is kept up to date on a terminal, plain lines elsewhere.

use std::io::{IsTerminal as _, Stdout};
use std::time::Instant;

use anyhow::Result;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Gauge, Paragraph, Widget as _};
use ratatui::{Frame, Terminal, TerminalOptions, Viewport};

use super::scene::{Scene, Set};

/// Lines of the picture.
const HEIGHT: u16 = 12;

pub(super) struct View {
    began: Instant,
    shown: Option<Scene>,
    events: usize,
    terminal: Option<Terminal<CrosstermBackend<Stdout>>>,
}

impl View {
    pub fn open(plain: bool) -> Result<Self> {
        let terminal = (!plain && std::io::stdout().is_terminal())
            .then(|| {
                Terminal::with_options(
                    CrosstermBackend::new(std::io::stdout()),
                    TerminalOptions {
                        viewport: Viewport::Inline(HEIGHT),
                    },
                )
            })
            .transpose()?;
        Ok(Self {
            began: Instant::now(),
            shown: None,
            events: 0,
            terminal,
        })
    }

    /// A new part of the story.
    pub fn chapter(&mut self, title: &str) -> Result<()> {
        let style = Style::default()
            .fg(Color::Cyan)
            .add_modifier(Modifier::BOLD);
        self.line(&format!("── {title}"), style)
    }

    /// Shows what has changed since the last time.
    pub fn show(&mut self, scene: &Scene) -> Result<()> {
        for event in scene.events.iter().skip(self.events) {
            let style = if event.warning {
                Style::default().fg(Color::Yellow)
            } else {
                Style::default().fg(Color::DarkGray)
            };
            self.line(&format!("   {}: {}", event.reason, event.message), style)?;
        }
        self.events = scene.events.len();
        if self.shown.as_ref() == Some(scene) {
            return Ok(());
        }
        if let Some(terminal) = &mut self.terminal {
            terminal.draw(|frame| picture(frame, scene))?;
        } else if self.shown.as_ref().map(summary) != Some(summary(scene)) {
            self.line(&summary(scene), Style::default())?;
        }
        self.shown = Some(scene.clone());
        Ok(())
    }

    /// Leaves the last picture on the screen.
    pub fn close(&mut self, scene: &Scene) -> Result<()> {
        self.show(scene)?;
        if self.terminal.is_some() {
            println!();
        }
        Ok(())
    }

    fn line(&mut self, text: &str, style: Style) -> Result<()> {
        let seconds = self.began.elapsed().as_secs_f32();
        let text = format!("{seconds:5.1}s {text}");
        match &mut self.terminal {
            Some(terminal) => {
                let line = Line::from(Span::styled(text, style));
                terminal
                    .insert_before(1, |buffer| Paragraph::new(line).render(buffer.area, buffer))?;
            }
            None => println!("{text}"),
        }
        Ok(())
    }
}

/// One line for everything that a reader of a log wants to know.
fn summary(scene: &Scene) -> String {
    let sets: Vec<String> = scene
        .sets
        .iter()
        .filter(|set| set.wanted > 0 || set.ready > 0)
        .map(|set| {
            format!(
                "r{} {}/{} {}",
                set.revision, set.ready, set.wanted, set.role
            )
            .trim_end()
            .to_owned()
        })
        .collect();
    let weight = scene
        .weight
        .map_or_else(|| "-".to_owned(), |weight| format!("{weight}%"));
    let mut text = format!(
        "{:<11} step {}/{} canary {weight:>4}  pods {}",
        scene.phase,
        scene.step.0,
        scene.step.1,
        sets.join(", ")
    );
    for measurement in &scene.measurements {
        if let Some(latest) = measurement.values.last() {
            text.push_str(&format!("  success rate {latest}"));
        }
    }
    if !scene.message.is_empty() {
        text.push_str(&format!("  ({})", scene.message));
    }
    text
}

fn picture(frame: &mut Frame<'_>, scene: &Scene) {
    let rows = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(1),
    ]);
    let [head, message, weight, _, body] = rows.areas(frame.area());
    let phase = Style::default()
        .fg(phase_color(&scene.phase))
        .add_modifier(Modifier::BOLD);
    let step = if scene.doing.is_empty() {
        format!("   step {}/{}", scene.step.0, scene.step.1)
    } else {
        format!(
            "   step {}/{}: {}",
            scene.step.0.saturating_add(1),
            scene.step.1,
            scene.doing
        )
    };
    frame.render_widget(
        Line::from(vec![
            Span::styled(scene.phase.clone(), phase),
            Span::raw(step),
        ]),
        head,
    );
    frame.render_widget(Line::from(scene.message.clone()).dark_gray(), message);
    let share = u16::try_from(scene.weight.unwrap_or(0).clamp(0, 100)).unwrap_or(0);
    frame.render_widget(
        Gauge::default()
            .percent(share)
            .gauge_style(Style::default().fg(Color::Green).bg(Color::Blue))
            .label(format!(
                "canary {share} %   stable {} %",
                100_u16.saturating_sub(share)
            )),
        weight,
    );
    let mut lines: Vec<Line<'_>> = scene
        .sets
        .iter()
        .filter(|set| set.wanted > 0 || set.ready > 0)
        .map(set_line)
        .collect();
    lines.push(Line::default());
    for measurement in &scene.measurements {
        let latest: Vec<&str> = measurement
            .values
            .iter()
            .rev()
            .take(6)
            .rev()
            .map(String::as_str)
            .collect();
        lines.push(Line::from(format!(
            "{}  {}  {}",
            measurement.run,
            measurement.phase,
            latest.join(" ")
        )));
    }
    frame.render_widget(Paragraph::new(lines), body);
}

fn set_line(set: &Set) -> Line<'static> {
    let ready = usize::try_from(set.ready.max(0)).unwrap_or(0);
    let missing = usize::try_from((set.wanted.saturating_sub(set.ready)).max(0)).unwrap_or(0);
    let color = if set.role == "canary" {
        Color::Green
    } else {
        Color::Blue
    };
    Line::from(vec![
        Span::raw(format!("revision {:<3} {:<7} ", set.revision, set.role)),
        Span::styled("■".repeat(ready), Style::default().fg(color)),
        Span::styled("□".repeat(missing), Style::default().fg(Color::DarkGray)),
        Span::raw(format!("  {}", set.image)),
    ])
}

fn phase_color(phase: &str) -> Color {
    match phase {
        "Healthy" => Color::Green,
        "Degraded" => Color::Red,
        "Paused" => Color::Yellow,
        _ => Color::Cyan,
    }
}
