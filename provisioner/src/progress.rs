//! What a person sees while steps are done: a spinner on a terminal, plain lines elsewhere. All of it goes to standard
//! error; standard output is for results.

use std::io::IsTerminal as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Where progress is shown.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    terminal: bool,
}

/// A step that is being done.
pub struct Step {
    bar: Option<ProgressBar>,
    text: String,
    began: Instant,
}

impl Progress {
    /// On standard error, as suits it.
    #[must_use]
    pub fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal() }
    }

    /// Begins a step.
    #[must_use]
    pub fn step(&self, text: impl Into<String>) -> Step {
        let text = text.into();
        let bar = self.terminal.then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed:.dim}") {
                bar.set_style(style);
            }
            bar.set_message(text.clone());
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Step { bar, text, began: Instant::now() }
    }

    /// Says something.
    pub fn say(&self, text: &str) {
        line(text);
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Step {
    /// Says what is being waited for.
    pub fn note(&self, note: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{}: {note}", self.text));
        }
    }

    /// Ends it well.
    pub fn done(self) {
        let took = self.began.elapsed();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let took = if took >= Duration::from_secs(1) {
            format!(" ({:.1} s)", took.as_secs_f64())
        } else {
            String::new()
        };
        line(&format!("✓ {}{took}", self.text));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn line(text: &str) {
    // Whoever closed standard error does not want to know.
    writeln!(anstream::stderr(), "{text}").ok();
}
