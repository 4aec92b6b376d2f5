//! Shows a scene: one picture that is kept up to date on a terminal, plain lines elsewhere.

use std::io::{IsTerminal as _, Stdout};
use std::time::Instant;

use anyhow::Result;
use ratatui::backend::CrosstermBackend;
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Widget as _};
use ratatui::{Frame, Terminal, TerminalOptions, Viewport};

use super::scene::{Measurement, Scene, Set};

/// Lines of the picture.
const HEIGHT: u16 = 11;
const CANARY: Color = Color::Green;
const STABLE: Color = Color::Blue;

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
                let lines = wrapped(&text, usize::from(terminal.size()?.width));
                let height = u16::try_from(lines.len()).unwrap_or(1);
                let lines = lines.into_iter().map(|line| Line::styled(line, style));
                let text = Paragraph::new(lines.collect::<Vec<_>>());
                terminal.insert_before(height, |buffer| text.render(buffer.area, buffer))?;
                // The picture has moved down, and is not there before it is drawn again.
                if let Some(scene) = &self.shown {
                    terminal.draw(|frame| picture(frame, scene))?;
                }
            }
            None => println!("{text}"),
        }
        Ok(())
    }
}

/// Under the words of a line that goes on.
const INDENT: &str = "          ";

/// A text in lines of this width, broken between words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_inclusive(' ') {
        let length = |line: &String| line.chars().count();
        if let Some(line) = lines.last_mut() {
            let fits = length(line).saturating_add(word.trim_end().chars().count()) <= width;
            if fits || line.trim().is_empty() {
                line.push_str(word);
                continue;
            }
        }
        lines.push(format!("{INDENT}{word}"));
    }
    lines
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
            text.push_str(&format!("  {} {latest}", measurement.metric));
        }
    }
    if !scene.message.is_empty() {
        text.push_str(&format!("  ({})", scene.message));
    }
    text
}

/// Cells of the bar that shows the traffic.
const BAR: usize = 40;

fn picture(frame: &mut Frame<'_>, scene: &Scene) {
    let mut lines = vec![head(scene), Line::from(scene.message.clone()).dark_gray()];
    lines.push(traffic(scene.weight));
    lines.push(Line::default());
    let most = scene
        .sets
        .iter()
        .map(|set| cells(set.ready).max(cells(set.wanted)))
        .max();
    let sets = scene
        .sets
        .iter()
        .filter(|set| set.wanted > 0 || set.ready > 0);
    lines.extend(sets.map(|set| set_line(set, most.unwrap_or(0))));
    lines.push(Line::default());
    lines.extend(scene.measurements.iter().map(measurement_line));
    frame.render_widget(Paragraph::new(lines), frame.area());
}

fn head(scene: &Scene) -> Line<'static> {
    if scene.phase.is_empty() {
        return Line::from("the controller loads its plugins …").dark_gray();
    }
    let phase = Style::default()
        .fg(phase_color(&scene.phase))
        .add_modifier(Modifier::BOLD);
    let (done, steps) = scene.step;
    let step = if scene.doing.is_empty() {
        format!("   {done} of {steps} steps done")
    } else {
        format!(
            "   step {} of {steps}: {}",
            done.saturating_add(1),
            scene.doing
        )
    };
    Line::from(vec![
        Span::styled(scene.phase.clone(), phase),
        Span::raw(step),
    ])
}

fn traffic(weight: Option<i64>) -> Line<'static> {
    let canary = usize::try_from(weight.unwrap_or(0).clamp(0, 100)).unwrap_or(0);
    let share = canary.saturating_mul(BAR) / 100;
    let stable = 100_usize.saturating_sub(canary);
    Line::from(vec![
        Span::raw(format!("traffic   canary {canary:>3} % ")),
        Span::styled("█".repeat(share), Style::default().fg(CANARY)),
        Span::styled(
            "░".repeat(BAR.saturating_sub(share)),
            Style::default().fg(STABLE),
        ),
        Span::raw(format!(" {stable:>3} % stable")),
    ])
}

fn cells(count: i64) -> usize {
    usize::try_from(count).unwrap_or(0)
}

/// A square for each pod; the columns behind them do not move while pods come and go.
fn set_line(set: &Set, most: usize) -> Line<'static> {
    let (ready, wanted) = (cells(set.ready), cells(set.wanted));
    let missing = wanted.saturating_sub(ready);
    let space = most.saturating_sub(ready.max(wanted));
    let color = if set.role == "canary" { CANARY } else { STABLE };
    Line::from(vec![
        Span::raw(format!("revision {:<3} {:<7} ", set.revision, set.role)),
        Span::styled("■".repeat(ready), Style::default().fg(color)),
        Span::styled("□".repeat(missing), Style::default().fg(Color::DarkGray)),
        Span::raw(" ".repeat(space)),
        Span::raw(format!("  {ready}/{wanted} ready  {}", set.image)),
    ])
}

fn measurement_line(measurement: &Measurement) -> Line<'static> {
    const SHOWN: usize = 6;
    let values = &measurement.values;
    let latest = values.iter().skip(values.len().saturating_sub(SHOWN));
    let latest: Vec<&str> = latest.map(String::as_str).collect();
    Line::from(vec![
        Span::raw(format!("{:<20} ", measurement.metric)),
        Span::styled(
            format!("{:<12} ", measurement.phase),
            Style::default().fg(phase_color(&measurement.phase)),
        ),
        Span::raw(latest.join(" ")),
    ])
}

fn phase_color(phase: &str) -> Color {
    match phase {
        "Healthy" | "Successful" => Color::Green,
        "Degraded" | "Failed" | "Error" => Color::Red,
        "Paused" => Color::Yellow,
        _ => Color::Cyan,
    }
}

#[cfg(test)]
mod tests;
